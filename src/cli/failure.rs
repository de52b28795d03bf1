//! How a command fails: the words a person reads, and the status a program reads.
//!
//! Lower layers are typed and without advice; which sentence and which next step belong to an error is decided here,
//! one `From` for each layer.
#![deny(clippy::wildcard_enum_match_arm)]

use std::error::Error;
use std::io;

use serde_json::json;

use crate::auth::AuthError;
use crate::auth::login::{LoginError, PORTAL};
use crate::cli::login::LoginCommandError;
use crate::config::ConfigError;
use crate::daemon::DaemonError;
use crate::daemon::choose::ChooseError;
use crate::daemon::connect::ConnectionError;
use crate::fuse::mountpoint::MountpointError;
use crate::http::HttpError;
use crate::remote::RemoteError;
use crate::remote::wsg::{AddressError, ConnectError};
use crate::tree::TreeError;

use super::output::escape;

/// Exit statuses, as `--help` lists them (sysexits.h where it has a fitting one).
pub mod exit {
    /// The command did what it says.
    pub const OK: u8 = 0;
    /// It failed for a reason without a status of its own.
    pub const FAILURE: u8 = 1;
    /// The command line cannot be understood.
    pub const USAGE: u8 = 2;
    /// The server cannot be reached.
    pub const UNREACHABLE: u8 = 69;
    /// A directory or file cannot be created.
    pub const CANNOT_CREATE: u8 = 73;
    /// It may work later, unchanged.
    pub const TRY_AGAIN: u8 = 75;
    /// The login is over, or it may not do this.
    pub const LOGIN: u8 = 77;
    /// The configuration cannot be used.
    pub const CONFIG: u8 = 78;
}

/// What kind of failure it is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Anything else.
    Failure,
    /// The command line.
    Usage,
    /// The server cannot be reached.
    Unreachable,
    /// A directory or file cannot be created.
    CannotCreate,
    /// May work later.
    TryAgain,
    /// Login or permission.
    Login,
    /// Configuration.
    Config,
    /// Whoever read stdout has seen enough. Success.
    BrokenPipe,
}

impl ErrorKind {
    const fn exit_code(self) -> u8 {
        match self {
            Self::Failure => exit::FAILURE,
            Self::Usage => exit::USAGE,
            Self::Unreachable => exit::UNREACHABLE,
            Self::CannotCreate => exit::CANNOT_CREATE,
            Self::TryAgain => exit::TRY_AGAIN,
            Self::Login => exit::LOGIN,
            Self::Config => exit::CONFIG,
            Self::BrokenPipe => exit::OK,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::CannotCreate => "cannot-create",
            Self::TryAgain => "try-again",
            Self::Login => "login",
            Self::Config => "config",
            Self::BrokenPipe => "broken-pipe",
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    kind: ErrorKind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl CliError {
    /// A failure in one sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// A failure in the words of `error` and its sources.
    pub fn of(kind: ErrorKind, error: &dyn Error) -> Self {
        let mut failure = Self::new(kind, error.to_string());
        let mut cause = error.source();
        while let Some(source) = cause {
            let text = source.to_string();
            // Many errors quote their source already.
            if !failure.message.contains(&text) {
                failure.causes.push(text);
            }
            cause = source.source();
        }
        failure
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds why it happened.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The first sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Puts what was being done before the message, which becomes its cause.
    #[must_use]
    pub fn while_doing(mut self, doing: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.message, doing.into());
        self.causes.insert(0, cause);
        self
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit status.
    pub const fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// True if whoever read stdout has gone; that ends a command in success.
    pub const fn is_broken_pipe(&self) -> bool {
        matches!(self.kind, ErrorKind::BrokenPipe)
    }

    pub(super) fn from_output(error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe {
            ErrorKind::BrokenPipe
        } else {
            ErrorKind::Failure
        };
        Self::of(kind, error).while_doing("the output cannot be written")
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("Error: {}\n", escape(&self.message));
        for cause in &self.causes {
            text.push_str(&format_line("Cause", cause));
        }
        for hint in &self.hints {
            text.push_str(&format_line("Hint", hint));
        }
        text
    }

    pub(super) fn to_json(&self) -> String {
        let document = json!({ "error": {
            "kind": self.kind.word(),
            "exit_code": self.exit_code(),
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints,
        }});
        format!("{document}\n")
    }
}

fn format_line(label: &str, text: &str) -> String {
    format!("{label}: {}\n", escape(text))
}

const LOG_IN: &str = "run `pwfs login`";
const NEW_SECRET: &str = "give the new one with `pwfs login`, which asks for it, or reads it from a file: a Client \
                          Secret with --client-secret-file FILE, a password with --password-file FILE";
const UNLOCK: &str = "ask the ProjectWise administrator to unlock the account, then run `pwfs login`; pwfs sends nothing \
                      more until then";
const TRY_LATER: &str = "try again in a few minutes";

// The guide's own troubleshooting rows, in its words.

fn insufficient_permissions() -> String {
    format!(
        "insufficient permissions: enable the projectwise:read scope on the iTwin app ({PORTAL}), and let the server's \
         administrator grant datasource-level permission"
    )
}
const NOT_WHITELISTED: &str = "if the app is not whitelisted yet, send its Client ID (`pwfs whoami` shows it) to the \
                               ProjectWise administrator";
const NOT_REACHABLE: &str = "on-premises server not reachable: firewall rules must let this machine's outbound \
                             address through; contact IT";
const CERTIFICATES: &str = "if the system has no certificates, install them (package ca-certificates)";
const PORTAL_ACCESS: &str = "if the account does not have developer portal access: the portal is free and needs no \
                             Bentley subscription; register a personal account and create the app there";

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        match &error {
            RemoteError::NotFound { .. } => Self::of(ErrorKind::Failure, &error)
                .hint("it may have been deleted, or this account may not see it; `pwfs tree` shows what it sees"),
            RemoteError::Denied { .. } => Self::of(ErrorKind::Login, &error)
                .hint(insufficient_permissions())
                .hint(NOT_WHITELISTED),
            RemoteError::LoginRequired(_) => {
                Self::of(ErrorKind::Login, &error).hint(LOG_IN).hint(NOT_WHITELISTED)
            }
            RemoteError::SecretRequired(_) => Self::of(ErrorKind::Login, &error).hint(NEW_SECRET),
            RemoteError::LockedOut(_) => Self::of(ErrorKind::Login, &error).hint(UNLOCK),
            RemoteError::Throttled { retry_after } => {
                let wait = match retry_after {
                    Some(wait) => format!("try again in {} s", wait.as_secs().max(1)),
                    None => TRY_LATER.to_owned(),
                };
                Self::of(ErrorKind::TryAgain, &error).hint(wait)
            }
            RemoteError::Unreachable(_) => {
                Self::of(ErrorKind::Unreachable, &error).hint(NOT_REACHABLE).hint(CERTIFICATES)
            }
            RemoteError::TimedOut(_) => {
                Self::of(ErrorKind::TryAgain, &error).hint(TRY_LATER).hint(NOT_REACHABLE)
            }
            RemoteError::Server(_) => Self::of(ErrorKind::TryAgain, &error)
                .hint(TRY_LATER)
                .hint("if it stays, check the datasource URL, or give the request id to the ProjectWise administrator")
                .hint("if the credential store fails, unlock the keyring or make room on the disk"),
            RemoteError::Protocol(_) => Self::of(ErrorKind::Failure, &error)
                .hint("check the datasource URL; a proxy or a login page may have answered in the server's place"),
        }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Remote(error) => error.into(),
            ConnectError::SeveralDatasources(choices) => {
                let mut failure =
                    Self::new(ErrorKind::Usage, "the server has several ProjectWise datasources").hint(
                        "give the URL of one of them, …/Repositories/<id>; `pwfs datasources` shows it:",
                    );
                for choice in choices {
                    failure = failure.hint(format!("{} ({})", choice.id, choice.label));
                }
                failure
            }
            ConnectError::NoDatasource(_) => Self::of(ErrorKind::Failure, &error)
                .hint(insufficient_permissions())
                .hint(NOT_WHITELISTED),
        }
    }
}

impl From<AddressError> for CliError {
    fn from(error: AddressError) -> Self {
        Self::of(ErrorKind::Usage, &error).hint(
            "a datasource URL looks like https://example-pw-ws.bentley.com/ws/v2.8/Repositories/<id>; the part up to \
             /ws is enough where the server has one datasource",
        )
    }
}

impl From<HttpError> for CliError {
    fn from(error: HttpError) -> Self {
        match &error {
            HttpError::Unreachable(_) => Self::of(ErrorKind::Unreachable, &error).hint(NOT_REACHABLE),
            HttpError::Tls(_) => Self::of(ErrorKind::Failure, &error).hint(CERTIFICATES),
            HttpError::TimedOut(_) => Self::of(ErrorKind::TryAgain, &error).hint(TRY_LATER),
            HttpError::TooLarge(_) | HttpError::Redirect(_) | HttpError::Protocol(_) => {
                Self::of(ErrorKind::Failure, &error)
            }
        }
    }
}

impl From<AuthError> for CliError {
    fn from(error: AuthError) -> Self {
        match &error {
            AuthError::LoginRequired(_) => Self::of(ErrorKind::Login, &error).hint(LOG_IN),
            AuthError::SecretRequired(_) => Self::of(ErrorKind::Login, &error).hint(NEW_SECRET),
            AuthError::LockedOut(_) => Self::of(ErrorKind::Login, &error).hint(UNLOCK),
            AuthError::Unreachable(HttpError::TimedOut(_)) => {
                Self::of(ErrorKind::TryAgain, &error).hint(TRY_LATER)
            }
            AuthError::Unreachable(HttpError::Tls(_)) => {
                Self::of(ErrorKind::Failure, &error).hint(CERTIFICATES)
            }
            AuthError::Unreachable(_) => Self::of(ErrorKind::Unreachable, &error)
                .hint("check the network, the proxy and the issuer's address"),
            AuthError::Protocol(_) => Self::of(ErrorKind::Failure, &error).hint("check the issuer's address"),
            AuthError::Store(_) => Self::of(ErrorKind::Failure, &error)
                .hint("unlock the keyring, or run `pwfs login --credentials file`"),
        }
    }
}

impl From<LoginError> for CliError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Auth(error) => error.into(),
            LoginError::PortInUse { .. } | LoginError::ForeignReply | LoginError::Input(_) => {
                Self::of(ErrorKind::Failure, &error)
            }
            LoginError::RedirectUri(_) => Self::of(ErrorKind::Usage, &error),
            LoginError::TimedOut => Self::of(ErrorKind::TryAgain, &error).hint(format!(
                "if the browser showed an error in place of a sign-in page, compare the app's Client ID, type and \
                 redirect URI at {PORTAL}"
            )),
            LoginError::Denied(_) => Self::of(ErrorKind::Login, &error).hint(insufficient_permissions()),
            LoginError::InvalidScope { .. } | LoginError::UnauthorizedClient(_) => {
                Self::of(ErrorKind::Login, &error).hint(PORTAL_ACCESS)
            }
        }
    }
}

impl From<LoginCommandError> for CliError {
    fn from(error: LoginCommandError) -> Self {
        match error {
            LoginCommandError::Usage(_) => Self::of(ErrorKind::Usage, &error),
            LoginCommandError::Input { .. } => Self::of(ErrorKind::Failure, &error),
            LoginCommandError::Refused(_) => Self::of(ErrorKind::Login, &error).hint(
                "it was sent once, and is not sent again by itself: a few wrong passwords lock an account",
            ),
            LoginCommandError::Trial(error) => error.into(),
            LoginCommandError::Login(error) => error.into(),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Write { .. } => Self::of(ErrorKind::CannotCreate, &error),
            ConfigError::ChangedMeanwhile(_) => {
                Self::of(ErrorKind::TryAgain, &error).hint("run the command again")
            }
            ConfigError::NoProfile { known, .. } if known.is_empty() => {
                Self::of(ErrorKind::Config, &error).hint("run `pwfs login` to make one")
            }
            ConfigError::NoProfile { known, .. } => Self::of(ErrorKind::Config, &error).hint(format!(
                "there are: {}; choose one with --profile",
                known.join(", ")
            )),
            ConfigError::NoHome
            | ConfigError::Read { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::UnknownKey { .. } => Self::of(ErrorKind::Config, &error),
        }
    }
}

impl From<ConnectionError> for CliError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::NoDatasource(_) => Self::of(ErrorKind::Config, &error)
                .hint("give the datasource URL on the command line, or keep it in the profile (config.toml)"),
            ConnectionError::Address(error) => error.into(),
            ConnectionError::Http(_) => Self::of(ErrorKind::Failure, &error).hint(CERTIFICATES),
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
                .hint("`pwfs folders` shows the folders this account sees; names are exact, upper and lower case too"),
            ChooseError::Ambiguous { .. } | ChooseError::Twice(_) | ChooseError::Empty => {
                Self::of(ErrorKind::Usage, &error)
            }
        }
    }
}

impl From<MountpointError> for CliError {
    fn from(error: MountpointError) -> Self {
        match &error {
            MountpointError::Missing(path) => {
                Self::of(ErrorKind::Usage, &error).hint(format!("make it: mkdir -p '{}'", path.display()))
            }
            MountpointError::NotDirectory(_)
            | MountpointError::NotEmpty(_)
            | MountpointError::Foreign { .. } => {
                Self::of(ErrorKind::Usage, &error).hint("choose an empty directory")
            }
            MountpointError::AlreadyMounted(path) => Self::of(ErrorKind::Usage, &error)
                .hint(format!("`pwfs unmount '{}'` ends it", path.display())),
            MountpointError::NoDevice => Self::of(ErrorKind::Failure, &error)
                .hint("load the module: sudo modprobe fuse")
                .hint("in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN"),
            MountpointError::DeviceClosed { .. } => Self::of(ErrorKind::Failure, &error)
                .hint("let every user open it, as distributions do: sudo chmod 0666 /dev/fuse"),
            MountpointError::NoHelper => Self::of(ErrorKind::Failure, &error)
                .hint("install it: sudo apt install fuse3 (or your distribution's package of that name)"),
            MountpointError::Io { .. } => Self::of(ErrorKind::Failure, &error),
        }
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Mountpoint(error) => error.into(),
            DaemonError::Cache(_) => {
                Self::of(ErrorKind::CannotCreate, &error).hint("choose another directory with --cache-dir")
            }
            DaemonError::Tree(TreeError::Remote(error)) | DaemonError::Remote(error) => error.into(),
            DaemonError::Tree(TreeError::TimedOut) => Self::of(ErrorKind::TryAgain, &error)
                .hint(TRY_LATER)
                .hint(NOT_REACHABLE),
            DaemonError::Tree(TreeError::Unproved(_) | TreeError::Gone) => {
                Self::of(ErrorKind::TryAgain, &error).hint(TRY_LATER)
            }
            DaemonError::Mount { ref source, .. } => {
                let said = source.to_string();
                let failure = Self::of(ErrorKind::Failure, &error);
                if said.contains("user_allow_other") {
                    failure
                        .hint("add the line `user_allow_other` to /etc/fuse.conf, or leave out --allow-other")
                } else {
                    failure.hint(
                        "some systems let fusermount3 mount below your home, /mnt, /media or /tmp only (AppArmor): \
                         choose a directory there",
                    )
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
