//! Who asks: the four logins of the gateway, and how it says that one failed (fact sheet 1.10, 7.1 to 7.3, 7.11).

use std::collections::HashMap;

use axum::http::header::{AUTHORIZATION, HeaderName, LOCATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::demo::accounts::{self, Account};
use crate::demo::dispatch::Demo;
use crate::demo::ims;
use crate::demo::knobs::{AppAllowed, AuthFailure, Knobs};
use crate::demo::reply::Reply;
use crate::model::Timestamp;

use super::saml::{self, SamlError};
use super::{Call, errors};

/// Says whose password a Basic login carries (fact sheet 1.10).
const CONNECTION_INFO: HeaderName = HeaderName::from_static("mas-connection-info");

/// How a request is logged in.
#[derive(Debug, Clone)]
pub(in crate::demo) enum Login {
    /// As this person; empty where no login is needed.
    Accepted { email: String },
    /// Not, and this is the answer.
    Refused(Box<Reply>),
}

/// Counts wrong passwords.
#[derive(Default)]
pub(in crate::demo) struct Lockout {
    /// Wrong ones in a row, by user name in lower case.
    wrong: Mutex<HashMap<String, u64>>,
}

impl Lockout {
    /// Forgets every wrong password, as an administrator does who unlocks accounts.
    pub(in crate::demo) fn reset(&self) {
        self.wrong.lock().clear();
    }

    /// Lets a password through, or counts it; once `limit` wrong ones came in a row not even the right one helps.
    fn admit(&self, user: &str, right: bool, limit: u64) -> Result<(), Refusal> {
        let user = user.to_lowercase();
        let mut wrong = self.wrong.lock();
        let count = wrong.get(&user).copied().unwrap_or(0);
        if limit > 0 && count >= limit {
            return Err(Refusal::LockedOut);
        }
        if right {
            wrong.remove(&user);
            return Ok(());
        }
        wrong.insert(user, count + 1);
        Err(Refusal::Password)
    }
}

/// Why a login is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("no login was sent")]
    Missing,
    #[error("logins by {0} are not taken here")]
    Scheme(String),
    #[error("the Authorization header is malformed")]
    Malformed,
    #[error("the token is unknown or expired")]
    Token,
    #[error("the token is not meant for this service: its audience lacks {0}")]
    Audience(String),
    #[error("The token does not carry the scope {0}.")]
    Scope(String),
    #[error("the application {0} is not allowed to use this datasource")]
    App(String, AppAllowed),
    #[error("the identity {0} is not mapped to a ProjectWise account")]
    Unmapped(String),
    #[error("the user name or password is wrong")]
    Password,
    #[error("Too many bad login attempts: the account is locked.")]
    LockedOut,
    #[error(transparent)]
    Saml(#[from] SamlError),
    #[error("the assertion has expired")]
    Stale,
    #[error("the link has expired or is not meant for this document")]
    Link,
}

/// Checks the login of a request, where it needs one.
pub(in crate::demo) fn login(demo: &Demo, call: &Call, headers: &HeaderMap, knobs: &Knobs) -> Login {
    if call.public(knobs) {
        return Login::Accepted { email: String::new() };
    }
    let gateway = &demo.gateway;
    let result = match call.link() {
        Some((guid, token)) => gateway.files.links.redeem(token, guid).ok_or(Refusal::Link),
        None => authorized(demo, headers, knobs, Purpose::Entry).map(|account| account.email.to_owned()),
    };
    match result {
        Ok(email) => Login::Accepted { email },
        Err(refusal) => Login::Refused(Box::new(refusal.reply(&demo.ims.issuer, knobs))),
    }
}

/// The e-mail address a request would be logged in as; empty for nobody. Nothing is counted.
pub(in crate::demo) fn whose(demo: &Demo, headers: &HeaderMap, knobs: &Knobs) -> &'static str {
    authorized(demo, headers, knobs, Purpose::Question).map_or("", |account| account.email)
}

/// What a login is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To let the request in: wrong passwords count.
    Entry,
    /// To tell who it is.
    Question,
}

/// The account behind the Authorization header.
fn authorized(
    demo: &Demo,
    headers: &HeaderMap,
    knobs: &Knobs,
    purpose: Purpose,
) -> Result<&'static Account, Refusal> {
    let header = headers.get(AUTHORIZATION).ok_or(Refusal::Missing)?;
    let text = header.to_str().map_err(|_| Refusal::Malformed)?;
    let (scheme, credentials) = text.trim().split_once(' ').ok_or(Refusal::Malformed)?;
    let credentials = credentials.trim();
    let word = match scheme.to_ascii_lowercase().as_str() {
        "basic" if of_windows(headers) => "windows".to_owned(),
        other => other.to_owned(),
    };
    if !knobs.auth.split_whitespace().any(|taken| taken == word) {
        return Err(Refusal::Scheme(word));
    }
    match word.as_str() {
        "bearer" => bearer(demo, credentials, knobs),
        "basic" | "windows" => {
            let (user, password) = basic(credentials)?;
            let account = password_of(&user, &password, word == "windows");
            if purpose == Purpose::Entry {
                demo.lockout.admit(&user, account.is_some(), knobs.bad_logins)?;
            }
            account.ok_or(Refusal::Password)
        }
        "token" => assertion(demo, credentials),
        _ => Err(Refusal::Scheme(word)),
    }
}

fn bearer(demo: &Demo, token: &str, knobs: &Knobs) -> Result<&'static Account, Refusal> {
    let bearer = demo.ims.grants.bearer(token).ok_or(Refusal::Token)?;
    let audience = &knobs.required_audience;
    if !audience.is_empty() && !bearer.audience.contains(audience) {
        return Err(Refusal::Audience(audience.clone()));
    }
    if knobs.app_allowed != AppAllowed::Yes {
        return Err(Refusal::App(bearer.client_id, knobs.app_allowed));
    }
    let scope = &knobs.required_scope;
    if !scope.is_empty() && !bearer.scope.contains(scope) {
        return Err(Refusal::Scope(scope.clone()));
    }
    mapped(accounts::by_email(&bearer.email), &bearer.email)
}

/// The account, if the datasource knows it: not every identity is mapped to a ProjectWise user.
fn mapped(account: Option<&'static Account>, identity: &str) -> Result<&'static Account, Refusal> {
    account
        .filter(|account| account.user.is_some())
        .ok_or_else(|| Refusal::Unmapped(identity.to_owned()))
}

/// User and password of a Basic login.
fn basic(credentials: &str) -> Result<(String, String), Refusal> {
    let bytes = STANDARD.decode(credentials).map_err(|_| Refusal::Malformed)?;
    let text = String::from_utf8(bytes).map_err(|_| Refusal::Malformed)?;
    let (user, password) = text.split_once(':').ok_or(Refusal::Malformed)?;
    Ok((user.to_owned(), password.to_owned()))
}

/// The account of a user of ProjectWise, or of Windows (`DOMAIN\user`), if the password is right.
fn password_of(user: &str, password: &str, windows: bool) -> Option<&'static Account> {
    // A name with a domain is one of Windows and no other.
    let of_domain = user
        .split_once('\\')
        .is_some_and(|(domain, plain)| !domain.is_empty() && !plain.contains('\\'));
    let shaped = if windows { of_domain } else { !user.contains('\\') };
    accounts::by_user(user).filter(|account| shaped && account.password == password)
}

/// True where a Basic login carries a Windows account's password.
fn of_windows(headers: &HeaderMap) -> bool {
    let info = headers.get(CONNECTION_INFO);
    let text = info.and_then(|value| value.to_str().ok()).unwrap_or("");
    text.split([';', ','])
        .any(|pair| pair.trim().eq_ignore_ascii_case("CredentialType=Windows"))
}

/// The account a SAML assertion names.
fn assertion(demo: &Demo, credentials: &str) -> Result<&'static Account, Refusal> {
    let bytes = STANDARD.decode(credentials).map_err(|_| Refusal::Malformed)?;
    let xml = String::from_utf8(bytes).map_err(|_| Refusal::Saml(SamlError::Malformed))?;
    let assertion = saml::read(&xml)?;
    let now = Timestamp::UNIX_EPOCH.checked_add(demo.clock.since_epoch());
    let stale = match (assertion.ends, now) {
        (Some(ends), Ok(now)) => ends <= now,
        // The demo's clock stands beyond what a time stamp can say.
        (Some(_), Err(_)) => true,
        (None, _) => false,
    };
    if stale {
        return Err(Refusal::Stale);
    }
    let known = assertion.names.iter().find_map(|name| {
        if name.contains('@') {
            accounts::by_email(name)
        } else {
            accounts::by_user(name)
        }
    });
    let first = assertion.names.first().map_or("", String::as_str);
    mapped(known, first)
}

impl Refusal {
    /// The answer; `issuer` is where the sign-in page is.
    fn reply(&self, issuer: &str, knobs: &Knobs) -> Reply {
        let shape = match self {
            Self::Scope(_) => return errors::error("NotEnoughRights", &self.to_string()),
            Self::LockedOut => return errors::error("TooManyBadLoginAttempts", &self.to_string()),
            Self::App(_, AppAllowed::Forbidden) => {
                return errors::error("NotEnoughRights", &format!("Access is denied: {self}."));
            }
            Self::App(_, AppAllowed::Unauthorized) => AuthFailure::Unauthorized,
            Self::App(_, AppAllowed::NotFound) => AuthFailure::NotFound,
            Self::App(_, AppAllowed::Redirect) => AuthFailure::Redirect,
            Self::App(_, AppAllowed::Yes)
            | Self::Missing
            | Self::Scheme(_)
            | Self::Malformed
            | Self::Token
            | Self::Audience(_)
            | Self::Unmapped(_)
            | Self::Password
            | Self::Saml(_)
            | Self::Stale
            | Self::Link => knobs.auth_failure,
        };
        match shape {
            AuthFailure::Unauthorized => errors::error("LoginFailed", &format!("The login failed: {self}."))
                .with(WWW_AUTHENTICATE, &challenges(knobs)),
            AuthFailure::Redirect => {
                let page = format!("{issuer}/IMS/Account/Login?ReturnUrl=%2F");
                Reply::empty(StatusCode::FOUND).with(LOCATION, &page)
            }
            AuthFailure::Page => ims::login_page(),
            AuthFailure::NotFound => errors::error("DatasourceNotFound", "The datasource was not found."),
        }
    }
}

/// The schemes a client may log in by, each named once: a Windows account's password travels as Basic, too.
fn challenges(knobs: &Knobs) -> String {
    let mut schemes: Vec<&str> = Vec::new();
    for word in knobs.auth.split_whitespace() {
        let scheme = match word {
            "bearer" => "Bearer",
            "basic" | "windows" => "Basic",
            "token" => "Token",
            _ => continue,
        };
        if !schemes.contains(&scheme) {
            schemes.push(scheme);
        }
    }
    let challenges = schemes
        .iter()
        .map(|scheme| format!("{scheme} realm=\"Bentley.PW\""));
    challenges.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_password_leaves_nothing_behind_and_a_reset_opens_the_locked() {
        let lockout = Lockout::default();
        lockout.admit("Ann", true, 2).unwrap();
        lockout.admit("Ann", false, 2).unwrap_err();
        lockout.admit("ann", true, 2).unwrap();
        assert!(lockout.wrong.lock().is_empty());
        for _ in 0..2 {
            assert_eq!(lockout.admit("ann", false, 2), Err(Refusal::Password));
        }
        assert_eq!(lockout.admit("ann", true, 2), Err(Refusal::LockedOut));
        lockout.reset();
        assert_eq!(lockout.admit("ann", true, 2), Ok(()));
    }
}
