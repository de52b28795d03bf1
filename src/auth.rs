//! Who asks: the proof each request carries, from eight kinds of logins ([`AuthKind`]).
//!
//! Handing out a token is simple until you consider that:
//! 1. a hundred requests may find it ended at once, in several processes, and a refresh token works once;
//! 2. a refresh whose answer is lost loses the login, so nobody's impatience may cut it off;
//! 3. an identity provider that cannot be reached says nothing about the login;
//! 4. a person may log in again, as somebody else too, while a mount runs;
//! 5. a wrong password that is sent a few times locks the account, for the person's other programs too.
//!
//! [`TokenSource`] answers 1 with one async lock here and the store's file lock between processes, 2 by refreshing in a
//! task that no caller owns and storing before anything is used, 3 by keeping [`AuthError::Unreachable`] apart from
//! [`AuthError::LoginRequired`] to the end, and 4 by comparing the store's stamp and the account: `session.rs`. What is
//! shown as it is, a password or a token from a file, is tried by one request and never again once it was refused, which
//! answers 5: `presented.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::http::{HttpClient, HttpError, Secret};

pub mod callback;
pub mod claims;
pub mod credentials;
pub mod health;
mod keyring;
pub mod kind;
pub mod login;
pub mod oauth;
mod password;
mod port;
mod presented;
pub mod renewals;
mod saml;
pub mod service;
mod session;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;
mod token_file;

pub use claims::TokenClaims;
pub use credentials::{AppId, Credentials, Identity};
pub use health::{LoginHealth, LoginState};
pub use kind::AuthKind;
pub use password::PasswordLogin;
pub use store::{CredentialStore, StoreKind};

pub use oauth::OauthError;
use password::StoredPassword;
use presented::{Origin, Presented, Trial, Verdict};
use session::Session;
use token_file::TokenFile;

/// Hands out what proves the login; cheap to clone. Made from a profile, once for each mount.
#[derive(Clone)]
pub struct TokenSource(Source);

#[derive(Clone)]
enum Source {
    Session(Arc<Session>),
    Presented(Arc<Presented>),
}

/// What a request carries to say who asks. Keep it until the request is answered: while it lives, others may wait to
/// learn whether the server takes it.
#[derive(Debug, Clone)]
pub struct Authorization {
    proof: Arc<Proof>,
    /// The right to try it, where no server took it yet.
    trial: Option<Arc<Trial>>,
}

#[derive(Debug)]
struct Proof {
    /// The whole value of the Authorization header.
    header: Secret,
    /// What the gateway must be told of the kind of account (projectwise-api 1.10).
    connection_info: Option<&'static str>,
    /// False where it came in place of another one and does not tell whether it is the same account's.
    vouched: bool,
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthError {
    /// Only a person can mend it: never logged in, or the refresh token is dead.
    #[error("{0}")]
    LoginRequired(String),
    /// The client secret (`invalid_client`) or the password is refused; a new one heals it without a browser.
    #[error("{0}")]
    SecretRequired(String),
    /// A server has locked the account after too many bad logins. Nothing is sent until there is another login.
    #[error("{0}")]
    LockedOut(String),
    /// The identity provider could not be asked. Never means that the login is over.
    #[error("the identity provider cannot be reached: {0}")]
    Unreachable(#[from] HttpError),
    /// The identity provider answered something that cannot be used.
    #[error("the identity provider's answer cannot be used: {0}")]
    Protocol(String),
    /// The identity provider refuses the request, whoever makes it: for the app's sake, or for its own.
    #[error("the identity provider {}: {words}", .error.verb())]
    Refused {
        /// Which refusal it is.
        error: OauthError,
        /// The provider's words, its code first.
        words: String,
    },
    /// The credential store failed.
    #[error("{0}")]
    Store(String),
}

impl TokenSource {
    /// Hands out the tokens of the login in `store`, which must be one of the Web App `app`.
    pub fn new(http: HttpClient, store: CredentialStore, app: AppId) -> Self {
        Self::of_app(http, store, app, AuthKind::Web)
    }

    /// Hands out the tokens of the login in `store`, which must be one of `app`, of a kind that has an app.
    pub fn of_app(http: HttpClient, store: CredentialStore, app: AppId, kind: AuthKind) -> Self {
        Self(Source::Session(Arc::new(Session::new(http, store, app, kind))))
    }

    /// Hands out the name and password in `store`, of a kind that has a password. Where the profile names no user, that
    /// of the stored login counts.
    pub fn of_password(store: CredentialStore, kind: AuthKind, username: Option<String>) -> Self {
        Self(Source::Presented(Presented::new(Origin::Password(
            StoredPassword {
                store,
                kind,
                username,
            },
        ))))
    }

    /// Hands out what is in the file at `path`, of a kind that has a token file, and reads it again when it changes.
    pub fn of_file(kind: AuthKind, path: Option<PathBuf>) -> Self {
        let file = TokenFile::new(kind, path);
        Self(Source::Presented(Presented::new(Origin::File(file))))
    }

    /// Hands out `authorization` until a server refuses it, and nothing afterwards.
    pub fn given(authorization: Authorization, identity: Identity) -> Self {
        Self(Source::Presented(Presented::new(Origin::Given(
            authorization,
            identity,
        ))))
    }

    /// Hands out `token` until a server refuses it.
    #[expect(clippy::needless_pass_by_value, reason = "a secret is given away, not lent")]
    pub fn fixed(token: Secret) -> Self {
        let identity = credentials::identity(&token);
        Self::given(Authorization::bearer(&token), identity)
    }

    /// What the next request carries: nothing that has ended or was refused, as far as known. In the last minute of a
    /// token, another is fetched ahead.
    ///
    /// Waits while another request tries a proof that no server took yet, at most 10 s for each such request. Must be
    /// called within a tokio runtime. May be dropped at any time; a refresh that has begun goes on.
    pub async fn authorization(&self) -> Result<Authorization, AuthError> {
        match &self.0 {
            Source::Session(session) => session.authorization().await,
            Source::Presented(presented) => presented.authorization().await,
        }
    }

    /// True where another token can be had without a person, once a server refuses one.
    pub const fn renews(&self) -> bool {
        matches!(self.0, Source::Session(_))
    }

    /// Says that a server refused `authorization`, and that another one may help: the next [`TokenSource::authorization`]
    /// gets it, once for all callers.
    ///
    /// Without effect for a token that is no longer the current one, within 5 s of such a replacement (a server that
    /// refuses brand-new tokens is not healed by more of them), while a failed renewal rests, and where nothing
    /// [renews](TokenSource::renews).
    pub fn reject(&self, authorization: &Authorization) {
        match &self.0 {
            Source::Session(session) => session.reject(authorization),
            Source::Presented(_) => {}
        }
    }

    /// Says that a document server took `authorization`: whatever servers held against the login is over.
    pub fn accepted(&self, authorization: &Authorization) {
        match &self.0 {
            Source::Session(session) => session.accepted(authorization),
            Source::Presented(presented) => presented.accepted(authorization),
        }
    }

    /// Whether a document server has taken `authorization`; only what is shown as it is keeps count.
    pub fn was_accepted(&self, authorization: &Authorization) -> bool {
        match &self.0 {
            Source::Session(_) => false,
            Source::Presented(presented) => presented.was_accepted(authorization),
        }
    }

    /// Says in the server's `words` that a document server refused `authorization`, and that no other one can be had: a
    /// fresh token, a password, the token of a file. Returns what to tell whoever asked.
    ///
    /// A password or the token of a file is not handed out again until there is another one. Must be called within a
    /// tokio runtime.
    pub fn refused(&self, authorization: &Authorization, words: &str) -> AuthError {
        match &self.0 {
            Source::Session(session) => session.refused(authorization, words),
            Source::Presented(presented) => {
                presented.judged(authorization, Verdict::Refused(words.to_owned()))
            }
        }
    }

    /// Says in the server's `words` that a document server locked the account. Nothing is handed out until a person has
    /// logged in anew; a routine renewal does not count. Must be called within a tokio runtime.
    pub fn locked_out(&self, authorization: &Authorization, words: &str) -> AuthError {
        match &self.0 {
            Source::Session(session) => {
                session.locked_out(words);
                AuthError::LockedOut(words.to_owned())
            }
            Source::Presented(presented) => {
                presented.judged(authorization, Verdict::LockedOut(words.to_owned()))
            }
        }
    }

    /// Whether the login works, as the last attempt to use it told.
    pub fn health(&self) -> watch::Receiver<LoginHealth> {
        match &self.0 {
            Source::Session(session) => session.health(),
            Source::Presented(presented) => presented.health(),
        }
    }

    /// Looks whether what failed was mended by a person since: whether the store or the token file changed. If so, it is
    /// tried again, and the health tells how it went. Without a failure, and without a change since, nothing is done.
    ///
    /// For whoever watches [`TokenSource::watched`]; a mount heals by it before anybody asks.
    pub async fn look_again(&self) {
        match &self.0 {
            Source::Session(session) => session.look_again().await,
            Source::Presented(presented) => presented.look_again().await,
        }
    }

    /// The files a person's mending changes. They may not exist, are replaced by renames, and may be links; so watch the
    /// directories they are in.
    pub fn watched(&self) -> Vec<PathBuf> {
        match &self.0 {
            Source::Session(session) => session.watched(),
            Source::Presented(presented) => presented.watched(),
        }
    }

    /// Who is logged in, as far as the login tells. Asks the store or the file at most, never the network.
    pub async fn identity(&self) -> Result<Identity, AuthError> {
        match &self.0 {
            Source::Session(session) => session.identity().await,
            Source::Presented(presented) => presented.identity().await,
        }
    }

    /// When the present token ends, where that is known. Asks the store or the file at most.
    pub async fn ends(&self) -> Result<Option<Timestamp>, AuthError> {
        match &self.0 {
            Source::Session(session) => session.ends().await.map(Some),
            Source::Presented(presented) => presented.ends().await,
        }
    }

    /// The text that stands for the account in cache keys, where the server does not tell: the same for the same
    /// account, and never the same for two. `None` where the login does not tell either.
    pub async fn account(&self) -> Result<Option<String>, AuthError> {
        match &self.0 {
            Source::Session(session) => Ok(session.identity().await?.account().map(str::to_owned)),
            Source::Presented(presented) => presented.account().await,
        }
    }
}

impl Authorization {
    fn new(header: Secret, connection_info: Option<&'static str>) -> Self {
        Self {
            proof: Arc::new(Proof {
                header,
                connection_info,
                vouched: true,
            }),
            trial: None,
        }
    }

    /// An access token of the identity provider.
    pub(crate) fn bearer(token: &Secret) -> Self {
        Self::new(Secret::new(format!("Bearer {}", token.expose())), None)
    }

    /// The Authorization header's value.
    pub fn header(&self) -> Secret {
        self.proof.header.clone()
    }

    /// The value of the gateway's `Mas-Connection-Info` header, for accounts that need it.
    pub fn connection_info(&self) -> Option<&'static str> {
        self.proof.connection_info
    }

    /// True if a server cannot tell the two apart.
    pub fn is(&self, other: &Self) -> bool {
        self.proof.header.expose() == other.proof.header.expose()
            && self.proof.connection_info == other.proof.connection_info
    }

    /// False where it came in place of another one, and neither tells whether both are of one account. Ask the server
    /// before its answers are taken for that account's.
    pub fn is_vouched(&self) -> bool {
        self.proof.vouched
    }

    fn carries(&self, token: &Secret) -> bool {
        self.is(&Self::bearer(token))
    }

    fn on_trial(mut self, trial: Trial) -> Self {
        self.trial = Some(Arc::new(trial));
        self
    }

    fn in_doubt(&self) -> Self {
        Self {
            proof: Arc::new(Proof {
                header: self.proof.header.clone(),
                connection_info: self.proof.connection_info,
                vouched: false,
            }),
            trial: None,
        }
    }
}
