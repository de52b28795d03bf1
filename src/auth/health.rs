//! Whether the login works, as far as the last attempt to use it tells.
//!
//! A mount shows it, and tells the desktop once when it changes. An identity provider that cannot be reached changes
//! nothing here: it says nothing about the login.

use jiff::Timestamp;
use tokio::sync::watch;

use super::AuthError;

/// Whether the login works, or what would mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginState {
    /// Nothing speaks against it.
    Good,
    /// A person must sign in.
    LoginNeeded,
    /// The Client Secret or password is refused; a new one mends it.
    SecretNeeded,
    /// The server has locked the account; its administrator opens it.
    LockedOut,
}

/// The state of a login, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginHealth {
    /// The state.
    pub state: LoginState,
    /// The words of whoever refused it; empty while it is good.
    pub detail: String,
    /// When the state was entered.
    pub since: Timestamp,
}

/// Where the state is kept, and seen by whoever wants to know.
pub(super) struct HealthBoard(watch::Sender<LoginHealth>);

impl HealthBoard {
    pub(super) fn subscribe(&self) -> watch::Receiver<LoginHealth> {
        self.0.subscribe()
    }

    /// Takes note of how an attempt went.
    pub(super) fn note(&self, outcome: Result<(), &AuthError>) {
        let (state, detail) = match outcome {
            Ok(()) => (LoginState::Good, String::new()),
            Err(error @ AuthError::LoginRequired(_)) => (LoginState::LoginNeeded, error.to_string()),
            Err(error @ AuthError::SecretRequired(_)) => (LoginState::SecretNeeded, error.to_string()),
            Err(error @ AuthError::LockedOut(_)) => (LoginState::LockedOut, error.to_string()),
            Err(
                AuthError::Unreachable(_)
                | AuthError::Protocol(_)
                | AuthError::Refused { .. }
                | AuthError::Store(_),
            ) => return,
        };
        self.enter(state, detail);
    }

    /// Enters a state; watchers are woken where it is another one than before.
    pub(super) fn enter(&self, state: LoginState, detail: String) {
        self.0.send_if_modified(|health| {
            if health.state == state {
                return false;
            }
            *health = LoginHealth {
                state,
                detail,
                since: Timestamp::now(),
            };
            true
        });
    }
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self(watch::Sender::new(LoginHealth {
            state: LoginState::Good,
            detail: String::new(),
            since: Timestamp::now(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpError;

    #[test]
    fn a_state_is_entered_once_and_an_outage_changes_nothing() {
        let board = HealthBoard::default();
        let mut seen = board.subscribe();
        let lost = AuthError::LoginRequired("the login has ended".to_owned());
        let away = AuthError::Unreachable(HttpError::Unreachable("no route".to_owned()));
        board.note(Err(&away));
        assert!(!seen.has_changed().unwrap());
        board.note(Err(&lost));
        assert!(seen.has_changed().unwrap());
        let first = seen.borrow_and_update().clone();
        assert_eq!(
            (first.state, first.detail.as_str()),
            (LoginState::LoginNeeded, "the login has ended")
        );
        board.note(Err(&lost));
        board.note(Err(&away));
        assert!(!seen.has_changed().unwrap(), "still the same loss");
        board.note(Ok(()));
        assert_eq!(seen.borrow_and_update().state, LoginState::Good);
    }
}
