//! Whether the login works, as far as the last attempt to use it tells.
//!
//! A mount shows it, and tells the desktop once when it changes. An identity provider that cannot be reached changes
//! nothing here: it says nothing about the login. And what a document server holds against a login stays until a server
//! takes it again, or there is another login: a token renewed by the hour proves nothing to it.

use std::sync::atomic::{AtomicBool, Ordering};

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
pub(super) struct HealthBoard {
    seen: watch::Sender<LoginHealth>,
    /// The state is one that a document server gave. Written under the lock of whoever owns the board.
    of_a_server: AtomicBool,
}

impl HealthBoard {
    pub(super) fn subscribe(&self) -> watch::Receiver<LoginHealth> {
        self.seen.subscribe()
    }

    /// Takes note of how an attempt to get a token went.
    pub(super) fn note(&self, outcome: Result<(), &AuthError>) {
        let (state, detail) = match outcome {
            Ok(()) if self.is_of_a_server() => return,
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
        self.of_a_server.store(false, Ordering::Relaxed);
        self.enter(state, detail);
    }

    /// Enters a state that a document server gave.
    pub(super) fn enter_by_server(&self, state: LoginState, detail: String) {
        self.of_a_server.store(true, Ordering::Relaxed);
        self.enter(state, detail);
    }

    /// True while a document server holds something against the login.
    pub(super) fn is_of_a_server(&self) -> bool {
        self.of_a_server.load(Ordering::Relaxed)
    }

    /// Nothing speaks against the login any more.
    pub(super) fn clear(&self) {
        self.of_a_server.store(false, Ordering::Relaxed);
        self.enter(LoginState::Good, String::new());
    }

    /// Enters a state; watchers are woken where it is another one than before.
    fn enter(&self, state: LoginState, detail: String) {
        self.seen.send_if_modified(|health| {
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
        Self {
            seen: watch::Sender::new(LoginHealth {
                state: LoginState::Good,
                detail: String::new(),
                since: Timestamp::now(),
            }),
            of_a_server: AtomicBool::new(false),
        }
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

    #[test]
    fn a_renewed_token_does_not_settle_what_a_server_holds_against_the_login() {
        let board = HealthBoard::default();
        let seen = board.subscribe();
        board.enter_by_server(LoginState::LoginNeeded, "wrong audience".to_owned());
        board.note(Ok(()));
        assert_eq!(seen.borrow().state, LoginState::LoginNeeded);
        board.clear();
        assert_eq!(seen.borrow().state, LoginState::Good);
        board.note(Err(&AuthError::LoginRequired("the login has ended".to_owned())));
        board.note(Ok(()));
        assert_eq!(seen.borrow().state, LoginState::Good);
    }
}
