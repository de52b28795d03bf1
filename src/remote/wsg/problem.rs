//! Which failure of a gateway it was: one for each errorId, and one for each kind of answer that comes without.
//!
//! What a program does about a failure is in [`RemoteError`](crate::remote::RemoteError), sorted by `error.rs`; what a person
//! does about it depends on more than that.

/// The errorId values of WSG (projectwise-api 1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorId {
    /// The login is not accepted.
    LoginFailed,
    /// The server wants https.
    SslRequired,
    /// The account has no right to this.
    NotEnoughRights,
    /// There is no such datasource, or an expired or unwelcome token hides it.
    DatasourceNotFound,
    /// The gateway serves no repository of this id.
    RepositoryNotFound,
    /// A query's schema is not there.
    SchemaNotFound,
    /// A query's class is not there.
    ClassNotFound,
    /// A query's property is not there.
    PropertyNotFound,
    /// A query's relationship is not there.
    LinkTypeNotFound,
    /// There is no such object, or it may not be seen.
    ObjectNotFound,
    /// There is no such instance, or it may not be seen.
    InstanceNotFound,
    /// The document is there, its file is not.
    FileNotFound,
    /// The server cannot do this.
    NotSupported,
    /// The server has no licence.
    NoServerLicense,
    /// The account has no licence.
    NoClientLicense,
    /// The account is locked.
    TooManyBadLoginAttempts,
}

impl ErrorId {
    /// Every one with its spelling on the wire.
    pub const ALL: [(&'static str, Self); 16] = [
        ("LoginFailed", Self::LoginFailed),
        ("SslRequired", Self::SslRequired),
        ("NotEnoughRights", Self::NotEnoughRights),
        ("DatasourceNotFound", Self::DatasourceNotFound),
        ("RepositoryNotFound", Self::RepositoryNotFound),
        ("SchemaNotFound", Self::SchemaNotFound),
        ("ClassNotFound", Self::ClassNotFound),
        ("PropertyNotFound", Self::PropertyNotFound),
        ("LinkTypeNotFound", Self::LinkTypeNotFound),
        ("ObjectNotFound", Self::ObjectNotFound),
        ("InstanceNotFound", Self::InstanceNotFound),
        ("FileNotFound", Self::FileNotFound),
        ("NotSupported", Self::NotSupported),
        ("NoServerLicense", Self::NoServerLicense),
        ("NoClientLicense", Self::NoClientLicense),
        ("TooManyBadLoginAttempts", Self::TooManyBadLoginAttempts),
    ];

    /// Reads one in any case; `None` for one that nobody has described.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()))
            .map(|(_, kind)| *kind)
    }
}

/// A failure of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It says which, by its errorId.
    Said(ErrorId),
    /// A 401 without more.
    Unauthorized,
    /// A login page, or a redirect to one.
    LoginPage,
    /// A 403 without more.
    Forbidden,
    /// A 403, and the challenge says that the token lacks a scope (RFC 6750, 3.1).
    InsufficientScope,
    /// A 404 without more: a wrong URL, a proxy, a stopped service.
    NotFound,
    /// A page where data was asked for.
    Page,
    /// A redirect to some other page.
    Redirect,
    /// A 400 without more.
    BadRequest,
    /// A 407.
    ProxyLogin,
    /// A 408 or 504.
    Timeout,
    /// A 409.
    Conflict,
    /// A 429.
    Throttled,
    /// A 5xx without more.
    ServerError,
    /// A status that no gateway was ever seen to give.
    UnexpectedStatus,
    /// No gateway answers at the address.
    NotAGateway,
    /// The gateway's version is too old.
    TooOld,
    /// Where the gateway keeps its files refuses one.
    FileStore,
}

impl Problem {
    /// What failed, in words that go before those of the answer.
    pub(in crate::remote) const fn lead(self) -> &'static str {
        match self {
            Self::Said(ErrorId::LoginFailed) | Self::Unauthorized => "the server does not accept the login",
            Self::LoginPage => "the server shows a login page instead of accepting the login",
            Self::Said(ErrorId::DatasourceNotFound) => {
                "the server knows no such datasource, or hides it from this login"
            }
            Self::Said(ErrorId::RepositoryNotFound) => "the server has no such datasource",
            Self::Said(
                ErrorId::SchemaNotFound
                | ErrorId::ClassNotFound
                | ErrorId::PropertyNotFound
                | ErrorId::LinkTypeNotFound
                | ErrorId::NotSupported,
            )
            | Self::BadRequest => "the server does not know what it was asked",
            Self::Said(ErrorId::SslRequired) => "the server wants https",
            Self::Said(ErrorId::TooManyBadLoginAttempts) => {
                "the server has locked the account after too many bad logins"
            }
            Self::Said(ErrorId::ObjectNotFound | ErrorId::InstanceNotFound | ErrorId::FileNotFound) => {
                "the server does not find it"
            }
            Self::Said(ErrorId::NotEnoughRights) | Self::Forbidden => "the server denies access",
            Self::InsufficientScope => "the login lacks a scope",
            Self::Said(ErrorId::NoServerLicense) => "the server has no ProjectWise licence",
            Self::Said(ErrorId::NoClientLicense) => "the account has no ProjectWise licence",
            Self::NotFound => "the server finds nothing at the address",
            Self::Page => "a page came where data was asked for",
            Self::Redirect => "the server redirects to another page",
            Self::ProxyLogin => "the proxy wants a login",
            Self::Timeout => "the server did not answer in time",
            Self::Conflict => "the server reports a conflict",
            Self::Throttled => "the server limits the request rate",
            Self::ServerError => "the server failed",
            Self::UnexpectedStatus => "the server's answer cannot be used",
            Self::NotAGateway => "no ProjectWise Web Services Gateway is there",
            Self::TooOld => "the server is too old",
            Self::FileStore => "the server's file store failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_id_is_read_in_any_case_and_an_unknown_one_is_none() {
        for (name, id) in ErrorId::ALL {
            assert_eq!(ErrorId::parse(name), Some(id));
            assert_eq!(ErrorId::parse(&format!(" {} ", name.to_lowercase())), Some(id));
        }
        assert_eq!(ErrorId::parse("Brandnew"), None);
        assert_eq!(ErrorId::parse(""), None);
    }
}
