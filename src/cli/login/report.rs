//! What the three commands found and did, for people and for programs.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::auth::{AuthError, AuthKind, CredentialStore, Credentials, Identity, PasswordLogin, StoreKind};
use crate::config::Profile;

/// How a login went. [`LoginReport::keep_in`] takes over into the profile what worked.
#[derive(Debug, Clone, Serialize)]
pub struct LoginReport {
    /// The state after it.
    #[serde(flatten)]
    pub login: WhoamiReport,
    /// The redirect URI that worked; empty where there is no browser.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub redirect_uri: String,
    /// False where no browser was needed.
    pub browser: bool,
    /// The datasource to keep, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource: Option<String>,
    /// What else the person should know.
    pub notes: Vec<String>,
}

/// Who is signed in. What a way to sign in does not have is empty, and left out of the JSON.
#[derive(Debug, Clone, Serialize)]
pub struct WhoamiReport {
    /// The profile.
    pub profile: String,
    /// How it signs in, as the profile's key `auth` says it.
    pub auth: String,
    /// The account's name, where the login tells.
    pub name: Option<String>,
    /// The e-mail address, where the login tells.
    pub email: Option<String>,
    /// The account's id, where the login tells.
    pub subject: Option<String>,
    /// The identity provider.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The Client ID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    /// The scopes granted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scopes: String,
    /// The user's name, where a password is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file the token is read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// When the present token ends, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// True where it is renewed without a person.
    pub renews: bool,
    /// Why a server does not take the login any more, where it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// `keyring` or `file`; empty where pwfs keeps nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credentials: String,
    /// The place itself.
    pub stored_in: String,
}

/// How a logout went.
#[derive(Debug, Clone, Serialize)]
pub struct LogoutReport {
    /// The profile.
    pub profile: String,
    /// False where there was nothing to end.
    pub was_signed_in: bool,
    /// True where the identity provider ended the login too.
    pub revoked: bool,
    /// The file of somebody else's that the profile's token is in, and stays in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// What else the person should know.
    pub notes: Vec<String>,
}

impl LoginReport {
    /// Writes into `profile` what the next login need not be told.
    pub fn keep_in(&self, profile: &mut Profile) -> Result<(), AuthError> {
        let unreadable = |error: &dyn std::fmt::Display| AuthError::Store(error.to_string());
        let login = &self.login;
        profile.auth = login
            .auth
            .parse::<AuthKind>()
            .map_err(|error| unreadable(&error))?;
        if profile.auth.has_app() {
            profile.client_id.clone_from(&login.client_id);
            profile.issuer.clone_from(&login.issuer);
            profile.scopes = login.scopes.split_whitespace().map(str::to_owned).collect();
        }
        if profile.auth.has_browser() {
            profile.redirect_uri.clone_from(&self.redirect_uri);
        }
        if profile.auth.has_token_file() {
            profile.token_file = login.token_file.as_ref().map(Into::into);
        } else {
            profile.credentials = login
                .credentials
                .parse::<StoreKind>()
                .map_err(|error| unreadable(&error))?;
        }
        if profile.auth.has_password() {
            profile.username.clone_from(&login.username);
        }
        if self.datasource.is_some() {
            profile.datasource.clone_from(&self.datasource);
        }
        Ok(())
    }
}

impl WhoamiReport {
    pub(super) fn of_app(store: &CredentialStore, record: &Credentials) -> Self {
        Self {
            issuer: record.app.issuer.clone(),
            client_id: record.app.client_id.clone(),
            scopes: record.app.scopes.clone(),
            expires: Some(record.expires),
            renews: record.refresh.is_some() || record.kind == AuthKind::Service,
            ..Self::new(store.profile(), record.kind, &record.identity, Some(store))
        }
    }

    pub(super) fn of_password(store: &CredentialStore, login: &PasswordLogin) -> Self {
        Self {
            username: Some(login.username.clone()),
            renews: true,
            ..Self::new(store.profile(), login.kind, &login.identity(), Some(store))
        }
    }

    pub(super) fn of_file(profile: &str, kind: AuthKind, path: &str, identity: &Identity) -> Self {
        Self {
            token_file: Some(path.to_owned()),
            stored_in: path.to_owned(),
            ..Self::new(profile, kind, identity, None)
        }
    }

    fn new(profile: &str, kind: AuthKind, identity: &Identity, store: Option<&CredentialStore>) -> Self {
        Self {
            profile: profile.to_owned(),
            auth: kind.to_string(),
            name: identity.name.clone(),
            email: identity.email.clone(),
            subject: identity.subject.clone(),
            issuer: String::new(),
            client_id: String::new(),
            scopes: String::new(),
            username: None,
            token_file: None,
            expires: None,
            renews: false,
            refused: None,
            credentials: store.map(|store| store.kind().to_string()).unwrap_or_default(),
            stored_in: store.map(CredentialStore::describe).unwrap_or_default(),
        }
    }

    /// The report for people, several lines. It holds text of servers: escape it for a terminal.
    pub fn text(&self) -> String {
        let who = match (&self.name, &self.email, &self.subject) {
            (Some(name), Some(email), _) if name != email => format!("{name} <{email}>"),
            (Some(only), _, _) | (None, Some(only), _) | (None, None, Some(only)) => only.clone(),
            (None, None, None) => "an account the token does not name".to_owned(),
        };
        let mut text = format!("Signed in as {who}");
        let mut line = |label: &str, value: &str| {
            if !value.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n  {label:<10} {value}");
            }
        };
        line("profile", &self.profile);
        let way = match self.auth.parse::<AuthKind>() {
            Ok(kind) if kind.has_app() => String::new(),
            Ok(kind) => super::way::described(kind).to_owned(),
            Err(_) => self.auth.clone(),
        };
        line("with", &way);
        line("provider", &self.issuer);
        line("app", &self.client_id);
        line("scopes", &self.scopes);
        if let Some(expires) = self.expires {
            let ends = if self.renews {
                "renews itself"
            } else if self.token_file.is_some() {
                "ends"
            } else {
                "ends, and needs a new login,"
            };
            line(
                "token",
                &format!("{ends} at {}", expires.strftime("%Y-%m-%d %H:%M UTC")),
            );
        }
        line("refused", self.refused.as_deref().unwrap_or_default());
        line("kept in", &self.stored_in);
        text
    }
}
