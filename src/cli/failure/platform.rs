//! Words for the refusals of the iTwin Platform. Each ends in the way round it: the datasource URL, from somebody who has it.
#![deny(clippy::wildcard_enum_match_arm)]

use crate::auth::login::PORTAL;
use crate::remote::RemoteError;
use crate::remote::platform::PlatformError;

use super::{CliError, ErrorKind, LOG_IN};

const ASK_FOR_URL: &str = "to go on without it, ask the ProjectWise administrator for the datasource URL, and give it \
                           with --datasource";

impl From<PlatformError> for CliError {
    fn from(error: PlatformError) -> Self {
        let (kind, next) = match &error {
            PlatformError::NoPlatform(_) | PlatformError::NoApp => (
                ErrorKind::Config,
                "iTwins are found with an iTwin app's login at Bentley's identity provider only".to_owned(),
            ),
            PlatformError::UnknownClient(_) => (
                ErrorKind::Login,
                format!(
                    "compare the Client ID (`pwfs whoami` shows it) with that of the app at {PORTAL}, and see that the app \
                     is registered for the iTwins API"
                ),
            ),
            PlatformError::WrongAudience(_) => (
                ErrorKind::Login,
                format!(
                    "the platform may want its own scope: enable itwin-platform for the app ({PORTAL}), then run `pwfs \
                     login --scope \"projectwise:read itwin-platform offline_access\"`"
                ),
            ),
            PlatformError::Forbidden { .. } => (
                ErrorKind::Login,
                format!(
                    "the account must be a member of the iTwin, and the app may need the scope itwin-platform ({PORTAL}); \
                     whether apps of other organisations may list work areas at all is for Bentley to say"
                ),
            ),
            PlatformError::HeaderLost(_) => (
                ErrorKind::Failure,
                "something on the way, such as a proxy, takes the login out of requests; contact IT".to_owned(),
            ),
            PlatformError::NoOperation { .. } => (
                ErrorKind::Failure,
                "the platform's address or interface is another one than this pwfs knows; a newer pwfs may know it"
                    .to_owned(),
            ),
            PlatformError::RateLimited { retry_after, .. } => {
                let wait = retry_after.map_or_else(
                    || "in a minute".to_owned(),
                    |wait| format!("in {} s", wait.as_secs().max(1)),
                );
                let next = format!("try again {wait}; --search TEXT asks about fewer iTwins");
                (ErrorKind::TryAgain, next)
            }
            PlatformError::Remote(remote) => return of_remote(remote),
        };
        Self::of(kind, &error).hint(next).hint(ASK_FOR_URL)
    }
}

/// What every server may answer, as far as the platform's administrators and addresses are others.
fn of_remote(error: &RemoteError) -> CliError {
    match error {
        RemoteError::LoginRequired(_) => CliError::of(ErrorKind::Login, error)
            .hint(LOG_IN)
            .hint(ASK_FOR_URL),
        RemoteError::Unreachable(_) => CliError::of(ErrorKind::Unreachable, error)
            .hint(
                "check the network and the proxy; a firewall must let requests to the iTwin Platform through",
            )
            .hint(ASK_FOR_URL),
        RemoteError::NotFound { .. } | RemoteError::Denied { .. } => {
            CliError::of(ErrorKind::Failure, error).hint(ASK_FOR_URL)
        }
        RemoteError::Protocol(_) => CliError::of(ErrorKind::Failure, error)
            .hint("a proxy or a login page may have answered in the iTwin Platform's place")
            .hint(ASK_FOR_URL),
        RemoteError::SecretRequired(_)
        | RemoteError::LockedOut(_)
        | RemoteError::Throttled { .. }
        | RemoteError::TimedOut(_)
        | RemoteError::Server(_) => error.clone().into(),
    }
}
