//! How a command fails: the words a person reads, and the status a program reads.
//!
//! Lower layers are typed and without advice; which sentence, which name and which next step belong to an error is decided
//! here: `server` for the document server, `network` for the way to it, `sign_in` for logins, `machine` for all that is here.
//! What a hint needs to know of the profile is added by whoever knows it ([`CliError::for_account`]). docs/troubleshooting.md
//! lists them all, and a test compares.
#![deny(clippy::wildcard_enum_match_arm)]

use std::error::Error;
use std::io;

use serde_json::json;

use super::output::escape;

mod code;
mod hint;
mod machine;
mod network;
mod platform;
mod server;
mod sign_in;

pub use code::Code;
pub use hint::{Account, Hint};

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

    /// The name of a failure that has none of its own.
    const fn code(self) -> Code {
        match self {
            // Nobody is told of a broken pipe.
            Self::Failure | Self::BrokenPipe => Code::Failure,
            Self::Usage => Code::Usage,
            Self::Unreachable => Code::Unreachable,
            Self::CannotCreate => Code::CannotCreate,
            Self::TryAgain => Code::TryAgain,
            Self::Login => Code::Login,
            Self::Config => Code::Config,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    kind: ErrorKind,
    code: Code,
    message: String,
    causes: Vec<String>,
    hints: Vec<Hint>,
    request_id: Option<Box<str>>,
    /// What completes the hints.
    account: Option<Box<Account>>,
}

impl CliError {
    /// A failure in one sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: kind.code(),
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            request_id: None,
            account: None,
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

    /// Names the failure for scripts. Without it, it is called after its kind.
    #[must_use]
    pub const fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Hint>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds why it happened.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds the id by which the server's own log knows the request.
    #[must_use]
    pub fn request_id(mut self, id: Option<&str>) -> Self {
        self.request_id = id.map(Box::from);
        self
    }

    /// Takes the name and the hints of `first`, one of several failures this one stands for.
    #[must_use]
    pub fn as_if(self, first: &Self) -> Self {
        Self {
            code: first.code,
            hints: first.hints.clone(),
            ..self
        }
    }

    /// Completes the hints with what the profile knows, its Client ID above all.
    #[must_use]
    pub fn for_account(self, account: Account) -> Self {
        Self {
            account: Some(Box::new(account)),
            ..self
        }
    }

    /// The name of the failure.
    pub const fn name(&self) -> Code {
        self.code
    }

    /// What to do next, line by line.
    pub fn hints(&self) -> Vec<String> {
        let nobody = Account::default();
        let account = self.account.as_deref().unwrap_or(&nobody);
        self.hints.iter().flat_map(|hint| hint.lines(account)).collect()
    }

    /// The causes, the nearest first.
    pub fn causes(&self) -> &[String] {
        &self.causes
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
        for hint in self.hints() {
            text.push_str(&format_line("Hint", &hint));
        }
        text
    }

    pub(super) fn to_json(&self) -> String {
        let document = json!({ "error": {
            "code": self.code.text(),
            "kind": self.kind.word(),
            "exit_code": self.exit_code(),
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints(),
            "request_id": self.request_id,
        }});
        format!("{document}\n")
    }
}

fn format_line(label: &str, text: &str) -> String {
    format!("{label}: {}\n", escape(text))
}

const TRY_LATER: &str = "try again in a few minutes";
const REPORT: &str = "if it stays, tell us what server it is: docs/compatibility.md says how";
/// The guide's own row, in its words.
const NOT_REACHABLE: &str = "on-premises server not reachable: firewall rules must let this machine's outbound \
                             address through; contact IT";

#[cfg(test)]
mod tests;
