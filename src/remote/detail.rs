//! The words of a failure, and where they come from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::wsg::Problem;
use crate::auth::AuthError;
use crate::http::HttpError;

/// What is told of a failure beside its kind. Made of any text; [`Origin`] says more where more is known.
///
/// Cheap to clone: one failure may have many waiters.
#[derive(Debug, Clone)]
pub struct Detail(Arc<Told>);

#[derive(Debug)]
struct Told {
    words: String,
    origin: Origin,
    request_id: Option<String>,
}

/// Where a failure comes from. The variants of [`RemoteError`](super::RemoteError) tell a program what it can do; this tells a person
/// what to mend.
#[derive(Debug, Clone)]
pub enum Origin {
    /// This side: nothing was asked, or the answer contradicts itself.
    Client,
    /// There was no token to ask with.
    Auth(AuthError),
    /// There was no answer.
    Http(HttpError),
    /// The gateway's answer.
    Wsg(Problem),
}

impl Detail {
    /// The words, with their origin.
    pub fn new(words: impl Into<String>, origin: Origin) -> Self {
        Self::of_request(words, origin, None)
    }

    /// The words, with their origin and the id by which the server's own log knows the request.
    pub fn of_request(words: impl Into<String>, origin: Origin, request_id: Option<String>) -> Self {
        Self(Arc::new(Told {
            words: words.into(),
            origin,
            request_id,
        }))
    }

    /// Where the failure comes from.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The id by which the server's own log knows the request. The words hold it, too.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
}

impl From<String> for Detail {
    fn from(words: String) -> Self {
        Self::new(words, Origin::Client)
    }
}

impl From<&str> for Detail {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl Deref for Detail {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0.words
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words)
    }
}
