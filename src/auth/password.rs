//! A user's name and password, as servers of one's own take them: of ProjectWise, or of Windows (projectwise-api 1.10).
//!
//! A password is a dangerous thing to repeat: directories lock accounts after a few wrong ones, for the person's other
//! programs too. So a refused one is never sent again, by no process, until somebody stores a login anew: the refusal
//! is remembered beside the login ([`Refusal`]), and `presented.rs` lets one request try what was not tried yet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credentials::{Identity, kind_of, new_login, place_of, unreadable, version_of};
use super::kind::AuthKind;
use super::presented::{Loaded, Verdict};
use super::store::CredentialStore;
use super::{AuthError, Authorization};
use crate::http::Secret;

/// The record of a login by name and password, as kept in the credential store.
#[derive(Debug, Clone)]
pub struct PasswordLogin {
    /// Tells this login from every other, one with the same password included.
    pub login: String,
    /// Whose account it is: [`AuthKind::Basic`] or [`AuthKind::Windows`].
    pub kind: AuthKind,
    /// The user's name; of Windows with its domain, `DOMAIN\name`.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// When it was stored.
    pub obtained: Timestamp,
}

/// That a server refused a password. Holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The login it is about.
    pub(super) login: String,
    /// True where the account was locked.
    pub(super) locked: bool,
    /// The server's words.
    pub(super) words: String,
}

impl PasswordLogin {
    /// A login that nobody has tried yet.
    pub fn new(kind: AuthKind, username: &str, password: Secret, now: Timestamp) -> Self {
        Self {
            login: new_login(),
            kind,
            username: username.to_owned(),
            password,
            obtained: now,
        }
    }

    /// What a request carries.
    pub fn authorization(&self) -> Authorization {
        let pair = Zeroizing::new(format!("{}:{}", self.username, self.password.expose()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        let info = (self.kind == AuthKind::Windows).then_some(OF_WINDOWS);
        Authorization::new(Secret::new(format!("Basic {}", encoded.as_str())), info)
    }

    /// Who it is: the same text for the same account, in cache keys too.
    pub fn identity(&self) -> Identity {
        Identity {
            subject: Some(format!("{} {}", self.kind, self.username)),
            email: None,
            name: Some(self.username.clone()),
        }
    }

    /// The record as stored.
    pub(super) fn to_json(&self) -> Result<Zeroizing<String>, AuthError> {
        let wire = Wire {
            version: version_of(self.kind),
            kind: self.kind.to_string(),
            login: self.login.clone(),
            username: self.username.clone(),
            password: self.password.expose().to_owned(),
            obtained_at: self.obtained,
        };
        serde_json::to_string(&wire)
            .map(Zeroizing::new)
            .map_err(|error| AuthError::Store(format!("the login cannot be written: {error}")))
    }

    /// Reads a stored record; `None` where it is of another kind.
    pub(super) fn from_json(json: &[u8], place: &str) -> Result<Option<Self>, AuthError> {
        let kind = kind_of(json, place)?;
        if !kind.has_password() {
            return Ok(None);
        }
        let wire: Wire =
            serde_json::from_slice(json).map_err(|error| unreadable(place, &place_of(&error)))?;
        Ok(Some(Self {
            login: wire.login,
            kind,
            username: wire.username,
            password: Secret::new(wire.password),
            obtained: wire.obtained_at,
        }))
    }
}

/// What tells the gateway that the password is a Windows account's (projectwise-api 1.10).
const OF_WINDOWS: &str = "CredentialType=Windows";

/// The stored form, in both stores.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    kind: String,
    login: String,
    username: String,
    password: String,
    obtained_at: Timestamp,
}

/// Where a source finds the password of its profile.
pub(super) struct StoredPassword {
    pub(super) store: CredentialStore,
    pub(super) kind: AuthKind,
    /// The name in the profile; where there is none, that of the stored login counts.
    pub(super) username: Option<String>,
}

impl StoredPassword {
    pub(super) async fn load(&self) -> Result<Loaded, AuthError> {
        let profile = self.store.profile();
        let Some(login) = self.store.load_password().await? else {
            return Err(AuthError::LoginRequired(format!(
                "no password is stored for profile {profile:?}"
            )));
        };
        let ours = self.username.as_ref().is_none_or(|name| *name == login.username);
        if login.kind != self.kind || !ours {
            return Err(AuthError::LoginRequired(format!(
                "the login of profile {profile:?} is now that of another account ({} {}); mount again to see its \
                 files, or log in as before",
                login.kind, login.username
            )));
        }
        let refusal = self.store.refusal().await;
        let verdict = refusal
            .filter(|refusal| refusal.login == login.login)
            .map(|refusal| {
                if refusal.locked {
                    Verdict::LockedOut(refusal.words)
                } else {
                    Verdict::Refused(refusal.words)
                }
            });
        let identity = login.identity();
        Ok(Loaded {
            authorization: login.authorization(),
            account: identity.subject.clone(),
            names_account: true,
            identity,
            ends: None,
            login: login.login,
            verdict,
        })
    }

    /// What is told to whoever asks for a password that was refused.
    pub(super) fn refused(name: &str, words: &str) -> AuthError {
        AuthError::SecretRequired(format!(
            "the server refuses the password of {name} ({words}); it is not sent again until it is stored anew"
        ))
    }

    /// Remembers the refusal for every process. Waits for the store's lock, at most 40 s.
    pub(super) async fn remember(&self, refusal: &Refusal) {
        let marked = async { self.store.lock().await?.mark(refusal).await };
        if let Err(error) = marked.await {
            tracing::warn!(
                profile = self.store.profile(),
                %error,
                "the refusal of the password is known to this process alone"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::StoreKind;

    fn login(kind: AuthKind) -> PasswordLogin {
        PasswordLogin::new(
            kind,
            "WORKS\\anna",
            Secret::new("pass:wörd-s3cret"),
            Timestamp::now(),
        )
    }

    #[test]
    fn a_password_travels_as_basic_and_says_when_it_is_one_of_windows() {
        let basic = login(AuthKind::Basic).authorization();
        // printf 'WORKS\\anna:pass:wörd-s3cret' | base64
        let expected = "Basic V09SS1NcYW5uYTpwYXNzOnfDtnJkLXMzY3JldA==";
        assert_eq!(basic.header().expose(), expected);
        assert_eq!(basic.connection_info(), None);
        let windows = login(AuthKind::Windows).authorization();
        assert_eq!(windows.header().expose(), expected);
        assert_eq!(windows.connection_info(), Some("CredentialType=Windows"));
        assert!(!windows.is(&basic), "a server tells them apart");
        assert_ne!(
            login(AuthKind::Basic).identity().account(),
            login(AuthKind::Windows).identity().account()
        );
    }

    #[tokio::test]
    async fn a_password_is_kept_and_taken_for_no_other_login() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::new(StoreKind::File, dir.path(), "p");
        let kept = login(AuthKind::Windows);
        store.lock().await.unwrap().save_password(&kept).await.unwrap();
        let read = store.load_password().await.unwrap().unwrap();
        assert_eq!(
            (read.username.as_str(), read.kind),
            ("WORKS\\anna", AuthKind::Windows)
        );
        assert_eq!(read.password.expose(), "pass:wörd-s3cret");
        assert_eq!(read.login, kept.login);
        assert!(store.load().await.unwrap().is_none(), "no app's login");
        assert!(!format!("{read:?}").contains("s3cret"));
    }
}
