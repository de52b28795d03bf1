//! What one answer of a gateway amounts to, refusals included.

use crate::remote::RemoteError;

use super::super::error::Failure;
use super::super::problem::ErrorId;

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it amounts to.
    pub sort: Sort,
    /// The status; 0 where no answer came.
    pub status: u16,
    /// The gateway's `errorId`, where it gave a known one.
    pub error_id: Option<String>,
    /// The gateway's words on one line, with its request id; bounded, and still hostile to terminals.
    pub words: String,
}

/// What an answer amounts to (projectwise-api 1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// What was asked for.
    Answered,
    /// The query names something the server does not have: the login was accepted before that was found out.
    UnknownQuery,
    /// The server does not know the caller: 401, `LoginFailed`, a way to a login page.
    LoginRefused,
    /// The server says that the caller may not: 403, `NotEnoughRights`.
    RightsRefused,
    /// The server says that there is no such datasource, which some say for an ended login, too.
    NoDatasource,
    /// The server says that there is no such object.
    NoObject,
    /// Too many bad logins.
    LockedOut,
    /// No ProjectWise licence.
    NoLicence,
    /// It asks to slow down.
    Throttled,
    /// The server failed.
    Failed,
    /// An answer that no gateway gives: another program stands in its place.
    Strange,
    /// No answer at all.
    Unreached,
}

impl Seen {
    /// A success.
    pub const fn answered(status: u16) -> Self {
        Self {
            sort: Sort::Answered,
            status,
            error_id: None,
            words: String::new(),
        }
    }

    /// True if the gateway accepted the login, whatever it said then.
    pub const fn is_accepted(&self) -> bool {
        match self.sort {
            Sort::Answered | Sort::UnknownQuery | Sort::NoObject => true,
            Sort::LoginRefused
            | Sort::RightsRefused
            | Sort::NoDatasource
            | Sort::LockedOut
            | Sort::NoLicence
            | Sort::Throttled
            | Sort::Failed
            | Sort::Strange
            | Sort::Unreached => false,
        }
    }

    pub(in crate::remote::wsg) fn of(failure: &Failure) -> Self {
        let sort = match failure.kind {
            Some(kind) => by_kind(kind),
            None => by_error(failure),
        };
        Self {
            sort,
            status: failure.status,
            error_id: failure.kind.map(|kind| format!("{kind:?}")),
            words: match &failure.error {
                RemoteError::NotFound { detail, .. } | RemoteError::Denied { detail, .. } => {
                    detail.to_string()
                }
                RemoteError::LoginRequired(detail)
                | RemoteError::SecretRequired(detail)
                | RemoteError::LockedOut(detail)
                | RemoteError::Unreachable(detail)
                | RemoteError::TimedOut(detail)
                | RemoteError::Server(detail)
                | RemoteError::Protocol(detail) => detail.to_string(),
                error @ RemoteError::Throttled { .. } => error.to_string(),
            },
        }
    }
}

const fn by_kind(kind: ErrorId) -> Sort {
    match kind {
        ErrorId::LoginFailed => Sort::LoginRefused,
        ErrorId::NotEnoughRights => Sort::RightsRefused,
        ErrorId::DatasourceNotFound | ErrorId::RepositoryNotFound => Sort::NoDatasource,
        ErrorId::SchemaNotFound
        | ErrorId::ClassNotFound
        | ErrorId::PropertyNotFound
        | ErrorId::LinkTypeNotFound
        | ErrorId::NotSupported => Sort::UnknownQuery,
        ErrorId::ObjectNotFound | ErrorId::InstanceNotFound | ErrorId::FileNotFound => Sort::NoObject,
        ErrorId::NoServerLicense | ErrorId::NoClientLicense => Sort::NoLicence,
        ErrorId::TooManyBadLoginAttempts => Sort::LockedOut,
        ErrorId::SslRequired => Sort::Strange,
    }
}

const fn by_error(failure: &Failure) -> Sort {
    match &failure.error {
        // To another organisation's login page, most often.
        RemoteError::Protocol(_) if matches!(failure.status, 302 | 303) => Sort::LoginRefused,
        RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_) => Sort::LoginRefused,
        RemoteError::Denied { .. } => Sort::RightsRefused,
        RemoteError::LockedOut(_) => Sort::LockedOut,
        RemoteError::Throttled { .. } => Sort::Throttled,
        RemoteError::NotFound { .. } => Sort::NoObject,
        RemoteError::Unreachable(_) | RemoteError::TimedOut(_) if failure.status == 0 => Sort::Unreached,
        RemoteError::Unreachable(_) | RemoteError::TimedOut(_) | RemoteError::Server(_) => Sort::Failed,
        RemoteError::Protocol(_) => Sort::Strange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_id_has_a_sort() {
        let of = |kind, status| {
            Seen::of(&Failure {
                kind,
                status,
                ..Failure::protocol("x")
            })
            .sort
        };
        for (kind, sort) in [
            (ErrorId::LoginFailed, Sort::LoginRefused),
            (ErrorId::NotEnoughRights, Sort::RightsRefused),
            (ErrorId::DatasourceNotFound, Sort::NoDatasource),
            (ErrorId::ClassNotFound, Sort::UnknownQuery),
            (ErrorId::SchemaNotFound, Sort::UnknownQuery),
            (ErrorId::InstanceNotFound, Sort::NoObject),
            (ErrorId::NoClientLicense, Sort::NoLicence),
            (ErrorId::TooManyBadLoginAttempts, Sort::LockedOut),
            (ErrorId::SslRequired, Sort::Strange),
        ] {
            assert_eq!(of(Some(kind), 500), sort, "{kind:?}");
        }
        assert_eq!(of(None, 302), Sort::LoginRefused);
        assert_eq!(of(None, 200), Sort::Strange);
    }

    #[test]
    fn what_was_refused_before_the_query_was_read_is_not_accepted() {
        let seen = |sort| Seen {
            sort,
            ..Seen::answered(404)
        };
        assert!(seen(Sort::UnknownQuery).is_accepted() && seen(Sort::NoObject).is_accepted());
        for sort in [Sort::LoginRefused, Sort::RightsRefused, Sort::NoDatasource] {
            assert!(!seen(sort).is_accepted(), "{sort:?}");
        }
    }
}
