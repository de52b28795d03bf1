//! A listing's failure on its way to another process: the same kind arrives, with the same words.
//!
//! What is lost is where it comes from ([`Origin`]): that is for a person at the command that failed, and a mount's
//! callers see the kind alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::remote::{Detail, Origin, RemoteError};
use crate::tree::TreeError;

/// Why something asked for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// In words, without secrets.
    pub text: String,
    /// What was asked for, where the kind names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The id by which the server's log knows the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How long the server asked to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What a caller can do about it; as [`RemoteError`] and [`TreeError`] tell, and of the protocol itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`RemoteError::NotFound`].
    NotFound,
    /// [`RemoteError::Denied`].
    Denied,
    /// [`RemoteError::LoginRequired`].
    LoginRequired,
    /// [`RemoteError::SecretRequired`].
    SecretRequired,
    /// [`RemoteError::LockedOut`].
    LockedOut,
    /// [`RemoteError::Throttled`].
    Throttled,
    /// [`RemoteError::Unreachable`].
    Unreachable,
    /// [`RemoteError::TimedOut`].
    ServerTimedOut,
    /// [`RemoteError::Server`].
    Server,
    /// [`RemoteError::Protocol`].
    Protocol,
    /// [`TreeError::TimedOut`].
    TimedOut,
    /// [`TreeError::Unproved`].
    Unproved,
    /// [`TreeError::Gone`].
    Gone,
    /// The leader speaks another version of this protocol.
    Version,
    /// The leader does not know the request, or cannot do it.
    Unknown,
}

impl Failure {
    /// A failure of the protocol itself.
    pub fn of(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            what: None,
            request_id: None,
            retry_after_ms: None,
        }
    }

    /// The failure of a listing that it stands for; `None` where the leader could not be asked.
    pub fn tree_error(self) -> Option<TreeError> {
        let what = self.what.unwrap_or_default();
        let retry_after = self.retry_after_ms.map(Duration::from_millis);
        let text = self.text;
        let detail = Detail::of_request(text.clone(), Origin::Client, self.request_id);
        let remote = match self.kind {
            Kind::NotFound => RemoteError::NotFound { what, detail },
            Kind::Denied => RemoteError::Denied { what, detail },
            Kind::LoginRequired => RemoteError::LoginRequired(detail),
            Kind::SecretRequired => RemoteError::SecretRequired(detail),
            Kind::LockedOut => RemoteError::LockedOut(detail),
            Kind::Throttled => RemoteError::Throttled { retry_after, detail },
            Kind::Unreachable => RemoteError::Unreachable(detail),
            Kind::ServerTimedOut => RemoteError::TimedOut(detail),
            Kind::Server => RemoteError::Server(detail),
            Kind::Protocol => RemoteError::Protocol(detail),
            Kind::TimedOut => return Some(TreeError::TimedOut),
            Kind::Unproved => return Some(TreeError::Unproved(text)),
            Kind::Gone => return Some(TreeError::Gone),
            Kind::Version | Kind::Unknown => return None,
        };
        Some(TreeError::Remote(remote))
    }
}

impl From<&TreeError> for Failure {
    fn from(error: &TreeError) -> Self {
        match error {
            TreeError::Remote(error) => error.into(),
            TreeError::TimedOut => Self::of(Kind::TimedOut, error.to_string()),
            TreeError::Unproved(text) => Self::of(Kind::Unproved, text.clone()),
            TreeError::Gone => Self::of(Kind::Gone, error.to_string()),
        }
    }
}

impl From<&RemoteError> for Failure {
    fn from(error: &RemoteError) -> Self {
        let (kind, what, retry_after) = match error {
            RemoteError::NotFound { what, .. } => (Kind::NotFound, Some(what), None),
            RemoteError::Denied { what, .. } => (Kind::Denied, Some(what), None),
            RemoteError::LoginRequired(_) => (Kind::LoginRequired, None, None),
            RemoteError::SecretRequired(_) => (Kind::SecretRequired, None, None),
            RemoteError::LockedOut(_) => (Kind::LockedOut, None, None),
            RemoteError::Throttled { retry_after, .. } => (Kind::Throttled, None, *retry_after),
            RemoteError::Unreachable(_) => (Kind::Unreachable, None, None),
            RemoteError::TimedOut(_) => (Kind::ServerTimedOut, None, None),
            RemoteError::Server(_) => (Kind::Server, None, None),
            RemoteError::Protocol(_) => (Kind::Protocol, None, None),
        };
        Self {
            kind,
            text: error.detail().to_string(),
            what: what.cloned(),
            request_id: error.detail().request_id().map(str::to_owned),
            retry_after_ms: retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_arrives_as_the_kind_it_was_sent_as() {
        let detail = || Detail::of_request("words", Origin::Client, Some("r-1".to_owned()));
        let what = || "the folder".to_owned();
        let wait = Some(Duration::from_millis(1500));
        let errors = [
            TreeError::Remote(RemoteError::NotFound {
                what: what(),
                detail: detail(),
            }),
            TreeError::Remote(RemoteError::Denied {
                what: what(),
                detail: detail(),
            }),
            TreeError::Remote(RemoteError::LoginRequired(detail())),
            TreeError::Remote(RemoteError::SecretRequired(detail())),
            TreeError::Remote(RemoteError::LockedOut(detail())),
            TreeError::Remote(RemoteError::Throttled {
                retry_after: wait,
                detail: detail(),
            }),
            TreeError::Remote(RemoteError::Unreachable(detail())),
            TreeError::Remote(RemoteError::TimedOut(detail())),
            TreeError::Remote(RemoteError::Server(detail())),
            TreeError::Remote(RemoteError::Protocol(detail())),
            TreeError::TimedOut,
            TreeError::Unproved("short".to_owned()),
            TreeError::Gone,
        ];
        for error in errors {
            let text = serde_json::to_string(&Failure::from(&error)).unwrap();
            let arrived: Failure = serde_json::from_str(&text).unwrap();
            let arrived = arrived.tree_error().unwrap();
            // The debug form names the variant and everything in it.
            assert_eq!(format!("{arrived:?}"), format!("{error:?}"), "{text}");
        }
    }

    #[test]
    fn a_leader_that_cannot_be_asked_is_no_failure_of_the_folder() {
        for kind in [Kind::Version, Kind::Unknown] {
            assert!(Failure::of(kind, "…").tree_error().is_none());
        }
    }
}
