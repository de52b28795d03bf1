//! What the refusals of the iTwin Platform are called. Each ends in the way round it: the datasource URL, from somebody who has it.

use std::time::Duration;

use super::code::Code;
use super::hint::Hint;
use super::{CliError, ErrorKind, TRY_LATER};
use crate::auth::login::PORTAL;
use crate::remote::platform::PlatformError;
use crate::remote::{Origin, RemoteError};

const ASK_FOR_URL: &str = "to go on without it, ask the ProjectWise administrator for the datasource URL, and give it \
                           with --datasource";

impl From<PlatformError> for CliError {
    fn from(error: PlatformError) -> Self {
        let failure = |kind, code| Self::of(kind, &error).code(code);
        let failure = match &error {
            PlatformError::NoPlatform(_) => no_app(failure(ErrorKind::Config, Code::ItwinNoPlatform)),
            PlatformError::NoApp => no_app(failure(ErrorKind::Config, Code::ItwinNoApp)),
            PlatformError::UnknownClient(_) => failure(ErrorKind::Login, Code::ItwinUnknownClient)
                .hint(Hint::CompareId),
            PlatformError::WrongAudience(_) => failure(ErrorKind::Login, Code::ItwinWrongAudience).hint(format!(
                "the platform may want its own scope: enable itwin-platform for the app ({PORTAL}), then run `pwfs login \
                 --scope \"projectwise:read itwin-platform offline_access\"`"
            )),
            PlatformError::Forbidden { .. } => {
                failure(ErrorKind::Login, Code::ItwinInsufficientPermissions).hint(format!(
                    "the account must be a member of the iTwin, and the app may need the scope itwin-platform ({PORTAL}); \
                     whether apps of other organisations may list work areas at all is for Bentley to say"
                ))
            }
            PlatformError::HeaderLost(_) => failure(ErrorKind::Failure, Code::ItwinHeaderNotFound)
                .hint("something on the way, such as a proxy, takes the login out of requests; contact IT"),
            PlatformError::NoOperation { .. } => failure(ErrorKind::Failure, Code::ItwinOperationNotFound).hint(
                "the platform's address or interface is another one than this pwfs knows; a newer pwfs may know it",
            ),
            PlatformError::RateLimited { retry_after, .. } => {
                failure(ErrorKind::TryAgain, Code::ItwinRateLimitExceeded).hint(when(*retry_after))
            }
            PlatformError::Remote(remote) => of_remote(remote),
        };
        failure.hint(ASK_FOR_URL)
    }
}

fn no_app(failure: CliError) -> CliError {
    failure.hint("iTwins are found with an iTwin app's login at Bentley's identity provider only")
}

fn when(wait: Option<Duration>) -> String {
    let wait = wait.map_or_else(
        || "in a minute".to_owned(),
        |wait| format!("in {} s", wait.as_secs().max(1)),
    );
    format!("try again {wait}; --search TEXT asks about fewer iTwins")
}

/// What every server may answer, as far as the platform's administrators and addresses are others.
fn of_remote(error: &RemoteError) -> CliError {
    let detail = error.detail();
    if !matches!(detail.origin(), Origin::Client) {
        // The login, or the way: told as everywhere.
        return error.clone().into();
    }
    let failure = |kind, code| {
        CliError::of(kind, error)
            .while_doing("the iTwin Platform does not answer what it was asked")
            .code(code)
            .request_id(detail.request_id())
    };
    match error {
        RemoteError::LoginRequired(_) => {
            failure(ErrorKind::Login, Code::ItwinUnauthorized).hint(Hint::SignIn)
        }
        RemoteError::Denied { .. } => failure(ErrorKind::Login, Code::ItwinInsufficientPermissions),
        RemoteError::NotFound { .. } => failure(ErrorKind::Failure, Code::ItwinNotFound)
            .hint("it may have been deleted, or the account is no member of it"),
        RemoteError::Protocol(_) => failure(ErrorKind::Failure, Code::ItwinMalformed)
            .hint("a proxy or a login page may have answered in the iTwin Platform's place"),
        RemoteError::TimedOut(_) => failure(ErrorKind::TryAgain, Code::ItwinTimeout).hint(TRY_LATER),
        RemoteError::Server(_) => failure(ErrorKind::TryAgain, Code::ItwinServerError).hint(TRY_LATER),
        RemoteError::Throttled { retry_after, .. } => {
            failure(ErrorKind::TryAgain, Code::ItwinRateLimitExceeded).hint(when(*retry_after))
        }
        RemoteError::SecretRequired(_) | RemoteError::LockedOut(_) | RemoteError::Unreachable(_) => {
            error.clone().into()
        }
    }
}
