//! What a login leaves behind: the tokens, whose they are, and what they are good for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::AuthError;
use super::kind::AuthKind;
use crate::http::Secret;

/// The app a login belongs to. A refresh token is valid for exactly one (projectwise-api 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppId {
    /// The identity provider, such as `https://ims.bentley.com`, without a trailing slash.
    pub issuer: String,
    /// The Client ID.
    pub client_id: String,
    /// The scopes that were granted, separated by spaces.
    pub scopes: String,
}

impl AppId {
    /// True if a login of `self` is one of `other` too: the order of the scopes tells nothing.
    pub fn matches(&self, other: &Self) -> bool {
        let sorted = |scopes: &str| {
            let mut words: Vec<_> = scopes.split_whitespace().map(str::to_owned).collect();
            words.sort_unstable();
            words.dedup();
            words
        };
        self.issuer.trim_end_matches('/') == other.issuer.trim_end_matches('/')
            && self.client_id == other.client_id
            && sorted(&self.scopes) == sorted(&other.scopes)
    }
}

/// Who is logged in, as far as the token tells. For display and for cache keys; no decision rests on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account's stable id (`sub`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The person's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Identity {
    /// The text that stands for the account in cache keys: the id, else the e-mail address.
    pub fn account(&self) -> Option<&str> {
        self.subject.as_deref().or(self.email.as_deref())
    }
}

/// What pwfs reads of a token's payload.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    email: Option<String>,
    name: Option<String>,
    preferred_username: Option<String>,
    exp: Option<i64>,
}

/// Reads the payload of a JWT without verifying it: the servers do that. `None` for an opaque token.
fn claims(token: &Secret) -> Option<Claims> {
    let payload = token.expose().split('.').nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&json).ok()
}

/// The identity an access token names.
pub(super) fn identity(token: &Secret) -> Identity {
    claims(token).map_or_else(Identity::default, |claims| Identity {
        subject: claims.sub,
        email: claims.email.or(claims.preferred_username),
        name: claims.name,
    })
}

/// When an access token ends, as far as it tells.
pub(super) fn ends(token: &Secret) -> Option<Timestamp> {
    Timestamp::from_second(claims(token)?.exp?).ok()
}

/// Tokens as the identity provider gave them.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// The refresh token; `None` where none was given.
    pub refresh: Option<Secret>,
    /// How long the access token lives, where the answer says so.
    pub lifetime: Option<std::time::Duration>,
    /// The scopes granted, where the answer says so.
    pub scopes: Option<String>,
}

/// The record of an app's login, as kept in the credential store.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The type of the app.
    pub kind: AuthKind,
    /// Tells this login from every other, and stays through its renewals; empty in records from before it was kept.
    pub login: String,
    /// The app and scopes it is for.
    pub app: AppId,
    /// The redirect URI that was registered; empty for a service.
    pub redirect_uri: String,
    /// The access token.
    pub access: Secret,
    /// When the access token was given.
    pub obtained: Timestamp,
    /// When the access token ends.
    pub expires: Timestamp,
    /// The newest refresh token.
    pub refresh: Option<Secret>,
    /// The Client Secret, for apps that have one.
    pub client_secret: Option<Secret>,
    /// Who logged in.
    pub identity: Identity,
}

/// Used where neither the answer nor the token states a lifetime; IMS gives 3600 s (projectwise-api 3).
const USUAL_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// A token that is said to have ended when it is given (`expires_in` 0, or a clock that goes wrong) would cost a refresh
/// for each request. A server that agrees says 401, and the token is replaced then; no sooner than this either way.
const LEAST_LIFETIME: SignedDuration = SignedDuration::from_secs(5);

/// A refresh starts that long before the end, or at four fifths of a life too short for it.
const AHEAD: SignedDuration = SignedDuration::from_secs(60);

impl Credentials {
    /// The record after a login of a Web App at `now`.
    pub fn new(
        app: AppId,
        redirect_uri: &str,
        client_secret: Option<Secret>,
        tokens: Tokens,
        now: Timestamp,
    ) -> Self {
        let mut record = Self {
            kind: AuthKind::Web,
            login: new_login(),
            app,
            redirect_uri: redirect_uri.to_owned(),
            access: tokens.access.clone(),
            obtained: now,
            expires: now,
            refresh: None,
            client_secret,
            identity: Identity::default(),
        };
        record.renew(tokens, now);
        record
    }

    /// The same record for an app of another type. One without a secret forgets it.
    #[must_use]
    pub fn of_kind(mut self, kind: AuthKind) -> Self {
        self.kind = kind;
        if !kind.has_secret() {
            self.client_secret = None;
        }
        if kind == AuthKind::Service && self.identity.account().is_none() {
            // A service's token names no person, and a service is always the same account.
            self.identity.subject = Some(format!("service {}", self.app.client_id));
        }
        self
    }

    /// Takes over the tokens of a refresh; the old refresh token stays where no new one was given.
    pub(crate) fn renew(&mut self, tokens: Tokens, now: Timestamp) {
        let stated = tokens
            .lifetime
            .and_then(|life| SignedDuration::try_from(life).ok());
        let ends = match (stated, claims(&tokens.access).and_then(|claims| claims.exp)) {
            (Some(life), _) => now.checked_add(life).ok(),
            // Only as long as the clocks agree, hence the second choice.
            (None, Some(exp)) => Timestamp::from_second(exp).ok(),
            (None, None) => None,
        };
        let least = now.saturating_add(LEAST_LIFETIME).unwrap_or(now);
        let identity = identity(&tokens.access);
        if identity.account().is_some() {
            self.identity = identity;
        }
        self.access = tokens.access;
        self.obtained = now;
        self.expires = ends
            .unwrap_or_else(|| now.saturating_add(USUAL_LIFETIME).unwrap_or(now))
            .max(least);
        if tokens.refresh.is_some() {
            self.refresh = tokens.refresh;
        }
    }

    /// When the access token should be replaced: 60 s before its end, or at 80 % of its life if that is later.
    pub(super) fn due(&self) -> Timestamp {
        let life = self.expires.duration_since(self.obtained);
        let fifth = life.as_secs() / 5;
        let ahead = AHEAD
            .min(SignedDuration::from_secs(fifth))
            .max(SignedDuration::ZERO);
        self.expires.saturating_sub(ahead).unwrap_or(self.expires)
    }

    /// The record as stored.
    pub(super) fn to_json(&self) -> Result<Zeroizing<String>, AuthError> {
        let wire = Wire {
            version: version_of(self.kind),
            kind: Some(self.kind.to_string()),
            login: self.login.clone(),
            issuer: self.app.issuer.clone(),
            client_id: self.app.client_id.clone(),
            scopes: self.app.scopes.clone(),
            redirect_uri: self.redirect_uri.clone(),
            access_token: self.access.expose().to_owned(),
            obtained_at: self.obtained,
            expires_at: self.expires,
            refresh_token: self.refresh.as_ref().map(|secret| secret.expose().to_owned()),
            client_secret: self
                .client_secret
                .as_ref()
                .map(|secret| secret.expose().to_owned()),
            account: self.identity.clone(),
        };
        serde_json::to_string(&wire)
            .map(Zeroizing::new)
            .map_err(|error| AuthError::Store(format!("the login cannot be written: {error}")))
    }

    /// Reads a stored record; `None` where it is not an app's.
    pub(super) fn from_json(json: &[u8], place: &str) -> Result<Option<Self>, AuthError> {
        let kind = kind_of(json, place)?;
        if !kind.has_app() {
            return Ok(None);
        }
        let wire: Wire =
            serde_json::from_slice(json).map_err(|error| unreadable(place, &place_of(&error)))?;
        Ok(Some(Self {
            kind,
            login: wire.login,
            app: AppId {
                issuer: wire.issuer,
                client_id: wire.client_id,
                scopes: wire.scopes,
            },
            redirect_uri: wire.redirect_uri,
            access: Secret::new(wire.access_token),
            obtained: wire.obtained_at,
            expires: wire.expires_at,
            refresh: wire.refresh_token.map(Secret::new),
            client_secret: wire.client_secret.map(Secret::new),
            identity: wire.account,
        }))
    }
}

/// The mark of a new login. To be different is all it has to be; nobody gains by guessing it.
pub(super) fn new_login() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The kind of login a stored record is of.
pub(super) fn kind_of(json: &[u8], place: &str) -> Result<AuthKind, AuthError> {
    let Head { version, kind } =
        serde_json::from_slice(json).map_err(|error| unreadable(place, &place_of(&error)))?;
    if !VERSIONS.contains(&version) {
        let why = format_args!("its format {version} is not known to this pwfs");
        return Err(unreadable(place, &why));
    }
    match kind {
        // From before there were others.
        None => Ok(AuthKind::Web),
        Some(word) => word.parse().map_err(|error| unreadable(place, &error)),
    }
}

pub(super) fn unreadable(place: &str, why: &dyn std::fmt::Display) -> AuthError {
    AuthError::Store(format!(
        "the login stored in {place} cannot be read ({why}); log in again"
    ))
}

/// Where an error is. serde's own words may quote the value they do not like.
pub(super) fn place_of(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// The formats that are read. Another one is not guessed at.
const VERSIONS: [u32; 2] = [1, 2];

/// The oldest format whose readers understand a record of this kind: a mount that runs on when pwfs is replaced by a
/// newer one goes on reading its login.
pub(super) const fn version_of(kind: AuthKind) -> u32 {
    if kind.has_browser() { 1 } else { 2 }
}

#[derive(Deserialize)]
struct Head {
    version: u32,
    kind: Option<String>,
}

/// The stored form, in both stores.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    kind: Option<String>,
    #[serde(default)]
    login: String,
    issuer: String,
    client_id: String,
    scopes: String,
    redirect_uri: String,
    access_token: String,
    obtained_at: Timestamp,
    expires_at: Timestamp,
    refresh_token: Option<String>,
    client_secret: Option<String>,
    account: Identity,
}
