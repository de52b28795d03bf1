//! The login behind a mount, as the mount's root tells of it.

use tokio::sync::watch;

use crate::auth::{LoginHealth, LoginState};

/// The attribute that names the profile.
pub const PROFILE: &str = "user.projectwise.profile";
/// The attribute with the state of the login, as [`word`] has it.
pub const LOGIN: &str = "user.projectwise.login";
/// The attribute that tells since when it is so, as RFC 3339 has it, in UTC.
pub const LOGIN_SINCE: &str = "user.projectwise.login_since";
/// The attribute with the words of whoever refused the login; only while it is refused.
pub const LOGIN_DETAIL: &str = "user.projectwise.login_detail";
/// The attribute that tells what a person does about it; only while there is something to do.
pub const LOGIN_REMEDY: &str = "user.projectwise.login_remedy";

/// The login behind a mount.
#[derive(Debug, Clone)]
pub struct Login {
    /// The profile it belongs to.
    pub profile: String,
    /// How it is; the last state stays where nobody tells any more.
    pub health: watch::Receiver<LoginHealth>,
    /// What a person does about it.
    pub remedies: Remedies,
}

/// What a person does about a login that does not work, each in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedies {
    /// For [`LoginState::LoginNeeded`].
    pub login_needed: String,
    /// For [`LoginState::SecretNeeded`].
    pub secret_needed: String,
    /// For [`LoginState::LockedOut`].
    pub locked_out: String,
}

impl Remedies {
    /// What mends `state`; nothing where nothing is broken.
    pub fn of(&self, state: LoginState) -> Option<&str> {
        match state {
            LoginState::Good => None,
            LoginState::LoginNeeded => Some(&self.login_needed),
            LoginState::SecretNeeded => Some(&self.secret_needed),
            LoginState::LockedOut => Some(&self.locked_out),
        }
    }
}

impl Login {
    /// True unless the login is known not to work.
    pub fn is_good(&self) -> bool {
        self.health.borrow().state == LoginState::Good
    }
}

/// The state as one word, for attributes and programs.
pub const fn word(state: LoginState) -> &'static str {
    match state {
        LoginState::Good => "good",
        LoginState::LoginNeeded => "login-needed",
        LoginState::SecretNeeded => "secret-needed",
        LoginState::LockedOut => "locked-out",
    }
}
