//! Tokens: load, hand out, refresh once for all callers and processes, store safely.

use crate::http::{HttpError, Secret};

/// Hands out the login's access token; cheap to clone.
#[derive(Clone)]
pub struct TokenSource {}

/// One access token.
#[derive(Clone)]
pub struct Bearer {}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Only a person can mend it: never logged in, or the refresh token is dead.
    #[error("{0}")]
    LoginRequired(String),
    /// The client secret is refused (`invalid_client`); a new one heals it without a browser.
    #[error("{0}")]
    SecretRequired(String),
    /// The identity provider could not be asked. Never means that the login is over.
    #[error("the identity provider cannot be reached: {0}")]
    Unreachable(#[from] HttpError),
    /// The identity provider answered something that cannot be used.
    #[error("the identity provider's answer cannot be used: {0}")]
    Protocol(String),
    /// The credential store failed.
    #[error("{0}")]
    Store(String),
}

impl TokenSource {
    /// A token that is good for at least the next minute, as far as known.
    pub async fn bearer(&self) -> Result<Bearer, AuthError> {
        unimplemented!()
    }
    /// Says that a server refused `bearer`: the next [`TokenSource::bearer`] gets another one, once for all callers.
    pub fn reject(&self, bearer: &Bearer) {
        let _ = bearer;
    }
}

impl Bearer {
    /// The Authorization header's value.
    pub fn header(&self) -> Secret {
        unimplemented!()
    }
}
