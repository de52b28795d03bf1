//! Who is signed in with which browser, which consents were given, and whose password was guessed at too often.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use parking_lot::Mutex;

use crate::demo::accounts::{self, Account};
use crate::demo::clock::Clock;
use crate::demo::secret::opaque;

/// The name of the session's cookie.
const NAME: &str = "ims-session";
/// How long a browser stays signed in: a working day. Real lifetimes are not known.
const SESSION_LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// How long an account is locked. Real ones are not known.
const LOCKED_FOR: Duration = Duration::from_secs(15 * 60);

/// A browser in which somebody is signed in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) account: &'static Account,
    /// `sid` of the tokens; not the cookie's secret.
    pub(super) id: String,
    expires: Instant,
}

/// How a sign-in ends.
pub(super) enum SignIn {
    Accepted(&'static Account),
    Wrong,
    /// Too many wrong passwords in a row; the right one does not help either.
    Locked,
}

/// All of it.
pub(super) struct Sessions {
    book: Mutex<Book>,
    clock: Clock,
}

#[derive(Default)]
struct Book {
    /// By the cookie's value.
    open: HashMap<String, Session>,
    /// By email and client id: the scopes agreed to.
    consents: HashMap<(&'static str, String), BTreeSet<String>>,
    /// By email: wrong passwords in a row, and when the last one came.
    wrong: HashMap<&'static str, (u64, Instant)>,
}

impl Sessions {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            book: Mutex::new(Book::default()),
            clock,
        }
    }

    /// Checks a password; `limit` wrong ones in a row lock the account, 0 never does.
    pub(super) fn sign_in(&self, email: &str, password: &str, limit: u64) -> SignIn {
        // An address nobody has is not told from a wrong password.
        let Some(account) = accounts::by_email(email.trim()) else {
            return SignIn::Wrong;
        };
        let now = self.clock.now();
        let mut book = self.book.lock();
        let (wrong, last) = book.wrong.get(account.email).copied().unwrap_or((0, now));
        let wrong = if last + LOCKED_FOR <= now { 0 } else { wrong };
        if limit > 0 && wrong >= limit {
            return SignIn::Locked;
        }
        if password == account.password {
            book.wrong.remove(account.email);
            return SignIn::Accepted(account);
        }
        book.wrong.insert(account.email, (wrong + 1, now));
        SignIn::Wrong
    }

    /// Forgets every wrong password: locked accounts are open again.
    pub(super) fn forget_wrong_passwords(&self) {
        self.book.lock().wrong.clear();
    }

    /// Signs somebody in; answers the `Set-Cookie` header too.
    pub(super) fn open(&self, account: &'static Account) -> (Session, String) {
        let session = Session {
            account,
            id: opaque(),
            expires: self.clock.now() + SESSION_LIFETIME,
        };
        let secret = opaque();
        // No `Secure`: the demo is plain http on this machine.
        let cookie = format!("{NAME}={secret}; HttpOnly; SameSite=Lax; Path=/");
        let now = self.clock.now();
        let mut book = self.book.lock();
        book.open.retain(|_, session| session.expires > now);
        book.open.insert(secret, session.clone());
        drop(book);
        (session, cookie)
    }

    /// Who is signed in with the browser that sends these headers.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let secret = cookie(headers)?;
        let book = self.book.lock();
        let session = book.open.get(secret)?;
        (session.expires > self.clock.now()).then(|| session.clone())
    }

    /// Signs out; answers the `Set-Cookie` header that takes the cookie away.
    pub(super) fn close(&self, headers: &HeaderMap) -> String {
        if let Some(secret) = cookie(headers) {
            self.book.lock().open.remove(secret);
        }
        format!("{NAME}=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0")
    }

    /// Remembers that somebody lets an app have these scopes.
    pub(super) fn agree(&self, account: &'static Account, client_id: &str, scope: &[String]) {
        let mut book = self.book.lock();
        let agreed = book.consents.entry((account.email, client_id.to_owned()));
        agreed.or_default().extend(scope.iter().cloned());
    }

    /// True where all of these scopes were agreed to before.
    pub(super) fn has_agreed(&self, account: &'static Account, client_id: &str, scope: &[String]) -> bool {
        let book = self.book.lock();
        let agreed = book.consents.get(&(account.email, client_id.to_owned()));
        agreed.is_some_and(|agreed| scope.iter().all(|one| agreed.contains(one)))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'));
    cookies.find_map(|one| one.trim().strip_prefix(NAME)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_wrong_passwords_opens_a_locked_account() {
        let sessions = Sessions::new(Clock::default());
        let account = &accounts::ACCOUNTS[0];
        let sign_in = |password: &str| sessions.sign_in(account.email, password, 1);
        assert!(matches!(sign_in("wrong"), SignIn::Wrong));
        assert!(matches!(sign_in(account.password), SignIn::Locked));
        sessions.forget_wrong_passwords();
        assert!(matches!(sign_in(account.password), SignIn::Accepted(_)));
    }
}
