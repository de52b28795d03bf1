//! What the document server's failures are called, and what helps against each.

use std::time::Duration;

use super::code::Code;
use super::hint::{Hint, enable_scope};
use super::network::{self, Peer};
use super::{CliError, ErrorKind, NOT_REACHABLE, REPORT, TRY_LATER};
use crate::daemon::choose::ChooseError;
use crate::daemon::connect::ConnectionError;
use crate::http::Obstacle;
use crate::model::Datasource;
use crate::remote::link::LinkError;
use crate::remote::wsg::{AddressError, ConnectError, ErrorId, Problem};
use crate::remote::{Origin, RemoteError};

const CHECK_URL: &str =
    "check the datasource URL; one looks like https://example-pw-ws.bentley.com/ws/v2.8/Repositories/<id>";
const DATASOURCE_FORMS: &str = "a datasource URL looks like https://example-pw-ws.bentley.com/ws/v2.8/Repositories/<id>; the part \
                                up to /ws is enough where the server has one datasource, and a link of ProjectWise \
                                (pw://server:datasource/…) will do, too";
const CHECK_DATASOURCE: &str =
    "check the end of the datasource URL: `pwfs datasources` lists what the server has";
const SOMEBODY_ELSE: &str = "open the URL in a browser: the login page of a network, or a proxy, may answer in the server's \
                             place";
const OTHER_STYLE: &str = "ask in another way: query_style = \"path\" in the profile (config.toml)";
const ADMINISTRATOR: &str = "if it stays, give the request id to the ProjectWise administrator";
const NOT_THERE: &str =
    "it may have been deleted, or this account may not see it; `pwfs tree` shows what it sees";

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        let detail = error.detail();
        let failure = match detail.origin() {
            // In the words of a command that signs in: it is the same failure.
            Origin::Auth(cause) => return cause.clone().into(),
            Origin::Http(cause) => return network::failure(Peer::Server, cause),
            Origin::Wsg(problem) => of_problem(*problem, &error),
            Origin::Client => of_variant(&error),
        };
        failure.request_id(detail.request_id())
    }
}

/// A failure that a gateway's answer tells of.
fn of_problem(problem: Problem, error: &RemoteError) -> CliError {
    let (kind, code) = sort(problem);
    let failure = CliError::of(kind, error).code(code);
    match problem {
        Problem::Said(id) => of_error_id(id, failure),
        Problem::Unauthorized => failure.hint(Hint::NotAccepted),
        Problem::LoginPage => failure.hint(Hint::NotAccepted).hint(CHECK_URL),
        Problem::Forbidden => failure
            .hint(Hint::InsufficientPermissions)
            .hint(Hint::Whitelist)
            .hint("a web server or a firewall before the gateway may refuse, too: contact IT"),
        Problem::InsufficientScope => failure.hint(enable_scope()).hint(Hint::SignInAnew),
        Problem::NotFound | Problem::NotAGateway => failure
            .hint(CHECK_URL)
            .hint("if it is right, the gateway may be stopped: tell the ProjectWise administrator"),
        Problem::Page | Problem::Redirect => failure.hint(SOMEBODY_ELSE).hint(CHECK_URL),
        Problem::BadRequest => failure.hint(OTHER_STYLE).hint(REPORT),
        Problem::ProxyLogin => failure.hint(network::way_round(Obstacle::ProxyLogin).1),
        Problem::Timeout | Problem::Conflict | Problem::ServerError => {
            failure.hint(TRY_LATER).hint(ADMINISTRATOR)
        }
        Problem::Throttled => {
            let wait = if let RemoteError::Throttled { retry_after, .. } = error {
                *retry_after
            } else {
                None
            };
            failure.hint(when(wait))
        }
        Problem::UnexpectedStatus => failure.hint(SOMEBODY_ELSE).hint(REPORT),
        Problem::TooOld => failure.hint("let the ProjectWise administrator update the Web Services Gateway"),
        Problem::FileStore => failure
            .hint(TRY_LATER)
            .hint("if it stays, have the gateway send the files itself: blob_redirect = \"refuse\" in the profile (config.toml)"),
    }
}

fn of_error_id(id: ErrorId, failure: CliError) -> CliError {
    match id {
        ErrorId::LoginFailed => failure.hint(Hint::NotAccepted),
        ErrorId::SslRequired => failure.hint("begin the datasource URL with https://"),
        ErrorId::NotEnoughRights => failure.hint(Hint::InsufficientPermissions).hint(Hint::Whitelist),
        ErrorId::DatasourceNotFound => failure.hint(CHECK_DATASOURCE).hint(Hint::NotAccepted),
        ErrorId::RepositoryNotFound => failure.hint(CHECK_DATASOURCE),
        ErrorId::SchemaNotFound | ErrorId::ClassNotFound => failure
            .hint("only a ProjectWise datasource can be shown: `pwfs datasources` marks the others")
            .hint(REPORT),
        ErrorId::PropertyNotFound | ErrorId::LinkTypeNotFound | ErrorId::NotSupported => {
            failure.hint(OTHER_STYLE).hint(REPORT)
        }
        ErrorId::ObjectNotFound | ErrorId::InstanceNotFound => failure.hint(NOT_THERE),
        ErrorId::FileNotFound => {
            failure.hint("the document is there without its file; `pwfs tree` marks those")
        }
        ErrorId::NoServerLicense => {
            failure.hint("let the ProjectWise administrator see to the server's licence")
        }
        ErrorId::NoClientLicense => failure
            .hint("let the ProjectWise administrator give the account a licence, or wait until one is free"),
        ErrorId::TooManyBadLoginAttempts => failure.hint(Hint::Unlock),
    }
}

/// The exit status and the name of a problem.
const fn sort(problem: Problem) -> (ErrorKind, Code) {
    match problem {
        Problem::Said(id) => sort_error_id(id),
        Problem::Unauthorized => (ErrorKind::Login, Code::WsgUnauthorized),
        Problem::LoginPage => (ErrorKind::Login, Code::WsgLoginPage),
        Problem::Forbidden => (ErrorKind::Login, Code::WsgForbidden),
        Problem::InsufficientScope => (ErrorKind::Login, Code::WsgInsufficientScope),
        Problem::NotFound => (ErrorKind::Failure, Code::WsgNotFound),
        Problem::Page => (ErrorKind::Failure, Code::WsgPage),
        Problem::Redirect => (ErrorKind::Failure, Code::WsgRedirect),
        Problem::BadRequest => (ErrorKind::Failure, Code::WsgBadRequest),
        Problem::ProxyLogin => (ErrorKind::Unreachable, Code::NetworkProxy),
        Problem::Timeout => (ErrorKind::TryAgain, Code::WsgTimeout),
        Problem::Conflict => (ErrorKind::TryAgain, Code::WsgConflict),
        Problem::Throttled => (ErrorKind::TryAgain, Code::WsgThrottled),
        Problem::ServerError => (ErrorKind::TryAgain, Code::WsgServerError),
        Problem::UnexpectedStatus => (ErrorKind::Failure, Code::WsgUnexpectedStatus),
        Problem::NotAGateway => (ErrorKind::Failure, Code::WsgNotAGateway),
        Problem::TooOld => (ErrorKind::Failure, Code::WsgTooOld),
        Problem::FileStore => (ErrorKind::TryAgain, Code::WsgFileStore),
    }
}

const fn sort_error_id(id: ErrorId) -> (ErrorKind, Code) {
    match id {
        ErrorId::LoginFailed => (ErrorKind::Login, Code::WsgLoginFailed),
        ErrorId::SslRequired => (ErrorKind::Config, Code::WsgSslRequired),
        ErrorId::NotEnoughRights => (ErrorKind::Login, Code::WsgNotEnoughRights),
        // A login the server does not want may look like this: repeating it helps nobody.
        ErrorId::DatasourceNotFound => (ErrorKind::Login, Code::WsgDatasourceNotFound),
        ErrorId::RepositoryNotFound => (ErrorKind::Config, Code::WsgRepositoryNotFound),
        ErrorId::SchemaNotFound => (ErrorKind::Failure, Code::WsgSchemaNotFound),
        ErrorId::ClassNotFound => (ErrorKind::Failure, Code::WsgClassNotFound),
        ErrorId::PropertyNotFound => (ErrorKind::Failure, Code::WsgPropertyNotFound),
        ErrorId::LinkTypeNotFound => (ErrorKind::Failure, Code::WsgLinkTypeNotFound),
        ErrorId::ObjectNotFound => (ErrorKind::Failure, Code::WsgObjectNotFound),
        ErrorId::InstanceNotFound => (ErrorKind::Failure, Code::WsgInstanceNotFound),
        ErrorId::FileNotFound => (ErrorKind::Failure, Code::WsgFileNotFound),
        ErrorId::NotSupported => (ErrorKind::Failure, Code::WsgNotSupported),
        ErrorId::NoServerLicense => (ErrorKind::Login, Code::WsgNoServerLicense),
        ErrorId::NoClientLicense => (ErrorKind::Login, Code::WsgNoClientLicense),
        ErrorId::TooManyBadLoginAttempts => (ErrorKind::Login, Code::WsgTooManyBadLoginAttempts),
    }
}

/// A failure that this side found, by what can be done about it alone.
fn of_variant(error: &RemoteError) -> CliError {
    match error {
        RemoteError::NotFound { .. } => CliError::of(ErrorKind::Failure, error).hint(NOT_THERE),
        RemoteError::Denied { .. } => CliError::of(ErrorKind::Login, error)
            .hint(Hint::InsufficientPermissions)
            .hint(Hint::Whitelist),
        RemoteError::LoginRequired(_) => CliError::of(ErrorKind::Login, error)
            .code(Code::LoginRequired)
            .hint(Hint::SignIn),
        RemoteError::SecretRequired(_) => CliError::of(ErrorKind::Login, error)
            .code(Code::LoginSecretRefused)
            .hint(Hint::NewSecret),
        RemoteError::LockedOut(_) => of_problem(Problem::Said(ErrorId::TooManyBadLoginAttempts), error),
        RemoteError::Throttled { .. } => of_problem(Problem::Throttled, error),
        RemoteError::Unreachable(text) => {
            let failure = CliError::of(ErrorKind::Unreachable, error);
            match Obstacle::told_by(text).map(network::way_round) {
                Some((code, hint)) => failure.code(code).hint(hint),
                None => failure.code(Code::NetworkUnreachable).hint(NOT_REACHABLE),
            }
        }
        RemoteError::TimedOut(_) => of_problem(Problem::Timeout, error),
        RemoteError::Server(_) => of_problem(Problem::ServerError, error),
        RemoteError::Protocol(_) => CliError::of(ErrorKind::Failure, error)
            .code(Code::WsgMalformed)
            .hint("try again; a proxy may change answers on their way: contact IT")
            .hint(REPORT),
    }
}

/// After how long a new try makes sense.
fn when(wait: Option<Duration>) -> String {
    match wait {
        Some(wait) => format!("try again in {} s", wait.as_secs().max(1)),
        None => TRY_LATER.to_owned(),
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Remote(error) => error.into(),
            ConnectError::SeveralDatasources(choices) => {
                let mut failure =
                    Self::new(ErrorKind::Usage, "the server has several ProjectWise datasources")
                        .code(Code::WsgSeveralDatasources)
                        .hint(
                            "give the URL of one of them, …/Repositories/<id>; `pwfs datasources` shows it:",
                        );
                for choice in choices {
                    failure = failure.hint(format!("{} ({})", choice.id, choice.label));
                }
                failure
            }
            ConnectError::NoDatasource(_) => Self::of(ErrorKind::Failure, &error)
                .code(Code::WsgNoDatasource)
                .hint(Hint::InsufficientPermissions)
                .hint(Hint::Whitelist),
        }
    }
}

impl From<AddressError> for CliError {
    fn from(error: AddressError) -> Self {
        Self::of(ErrorKind::Usage, &error)
            .code(Code::AddressInvalid)
            .hint(DATASOURCE_FORMS)
    }
}

impl From<LinkError> for CliError {
    fn from(error: LinkError) -> Self {
        let failure = Self::of(ErrorKind::Usage, &error).code(Code::AddressInvalid);
        match error {
            LinkError::Address(error) => error.into(),
            LinkError::NotDocuments(_) | LinkError::BeyondGuid => {
                failure.hint("give the link of a folder or of a document")
            }
            LinkError::Empty
            | LinkError::SeveralLines
            | LinkError::NoDatasource(_)
            | LinkError::Server(_) => failure.hint(DATASOURCE_FORMS),
        }
    }
}

impl CliError {
    /// Adds a choice of datasources, with the URLs ready to copy.
    fn choice(self, what: &str, choices: &[(Datasource, String)]) -> Self {
        choices.iter().fold(self.hint(what), |error, (datasource, url)| {
            error.hint(format!("{url} ({})", datasource.label))
        })
    }
}

impl From<ConnectionError> for CliError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::NoDatasource(_) => Self::of(ErrorKind::Config, &error)
                .code(Code::ConfigNoDatasource)
                .hint("`pwfs datasources` finds those of your iTwins, where an iTwin app signs in")
                .hint(
                    "give the datasource URL, or any link to it, on the command line, or keep it in the profile \
                     (config.toml)",
                ),
            ConnectionError::Link(error) => error.into(),
            ConnectionError::Address(error) => error.into(),
            ConnectionError::SeveralDatasources { ref choices, .. } => Self::of(ErrorKind::Usage, &error)
                .code(Code::WsgSeveralDatasources)
                .choice("give the URL of one of them:", choices),
            ConnectionError::NoSuchDatasource { ref choices, .. } => {
                let failure = Self::of(ErrorKind::Failure, &error).code(Code::WsgNoSuchDatasource);
                // A server that shows none may have some: for others.
                if choices.is_empty() {
                    failure
                        .hint(Hint::InsufficientPermissions)
                        .hint(Hint::Whitelist)
                } else {
                    failure.choice("if one of these is meant, give its URL:", choices)
                }
            }
            ConnectionError::NoGateway { error: ref cause, .. } => {
                let kind = Self::from(cause.clone()).kind();
                Self::of(kind, &error)
                    .code(Code::WsgNoGateway)
                    .hint(NOT_REACHABLE)
                    .hint(
                        "a ProjectWise link does not say where its gateway is: ask the ProjectWise administrator for the \
                         datasource URL, and give that",
                    )
            }
            ConnectionError::Path(error) => error.into(),
            ConnectionError::Homeless(_) => Self::of(ErrorKind::Failure, &error)
                .code(Code::FolderHomeless)
                .hint("give the link of its folder"),
            ConnectionError::Platform(error) => error.into(),
            ConnectionError::Http(error) => error.into(),
            ConnectionError::Connect(error) => error.into(),
            ConnectionError::Remote(error) => error.into(),
        }
    }
}

impl From<ChooseError> for CliError {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::Remote(error) => error.into(),
            ChooseError::NoSuchFolder { .. } => Self::of(ErrorKind::Failure, &error)
                .code(Code::FolderNotFound)
                .hint("names are matched exactly, upper and lower case too; `pwfs folders` lists them"),
            ChooseError::Ambiguous { .. } => Self::of(ErrorKind::Usage, &error)
                .code(Code::FolderAmbiguous)
                .hint("give the GUID of one of them instead"),
            ChooseError::Twice(_) | ChooseError::Empty => Self::of(ErrorKind::Usage, &error)
                .code(Code::FolderChoice)
                .hint("name each folder once, by its path or its GUID"),
        }
    }
}
