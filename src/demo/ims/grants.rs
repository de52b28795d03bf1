//! What the demo IMS has handed out: apps, codes, access tokens, refresh tokens.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::demo::seed::Dice;

/// How long an authorization code lives; real ones are "short-lived" (fact sheet 3).
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// A registered app.
#[derive(Debug, Clone)]
pub(in crate::demo) struct App {
    pub(in crate::demo) client_id: String,
    /// `None` for a native app.
    pub(in crate::demo) secret: Option<String>,
    pub(in crate::demo) redirect_uris: BTreeSet<String>,
}

/// What a code will be exchanged for.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) scope: Vec<String>,
    pub(super) email: String,
    pub(super) nonce: Option<String>,
}

/// The answer of the token endpoint.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: Option<String>,
    pub(super) expires_in: u64,
    pub(super) scope: String,
}

/// A valid access token's bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo) struct Bearer {
    /// Who it stands for; for a service, the account it acts as.
    pub(in crate::demo) email: String,
    /// The app it was issued to.
    pub(in crate::demo) client_id: String,
    pub(in crate::demo) scope: Vec<String>,
    /// `aud`.
    pub(in crate::demo) audience: Vec<String>,
}

struct Access {
    bearer: Bearer,
    expires: Instant,
}

struct Refresh {
    client_id: String,
    scope: Vec<String>,
    email: String,
}

/// The tables; every token is known by its text, so the demo never has to check a signature.
pub(in crate::demo) struct Grants {
    tables: Mutex<Tables>,
    lifetime: Duration,
    issuer: String,
}

struct Tables {
    dice: Dice,
    apps: Vec<App>,
    codes: HashMap<String, (Consent, Instant)>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
}

impl Grants {
    /// Tokens differ from run to run, as real ones do: a token of an earlier demo must not open this one.
    pub(in crate::demo) fn new(apps: Vec<App>, lifetime: Duration, issuer: String) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = u64::try_from(since_epoch.as_nanos() & u128::from(u64::MAX)).expect("masked to 64 bits");
        Self {
            tables: Mutex::new(Tables {
                dice: Dice::new(seed ^ u64::from(std::process::id())),
                apps,
                codes: HashMap::new(),
                access: HashMap::new(),
                refresh: HashMap::new(),
            }),
            lifetime,
            issuer,
        }
    }

    pub(in crate::demo) fn app(&self, client_id: &str) -> Option<App> {
        let tables = self.tables.lock();
        let mut apps = tables.apps.iter();
        apps.find(|app| app.client_id == client_id).cloned()
    }

    /// Adds a redirect URI to every app.
    pub(in crate::demo) fn register_redirect_uri(&self, uri: &str) {
        for app in &mut self.tables.lock().apps {
            app.redirect_uris.insert(uri.to_owned());
        }
    }

    /// Gives every app that has a secret this one, as an administrator does who rotates it.
    pub(in crate::demo) fn rotate_secret(&self, secret: &str) {
        let mut tables = self.tables.lock();
        for old in tables.apps.iter_mut().filter_map(|app| app.secret.as_mut()) {
            secret.clone_into(old);
        }
    }

    pub(super) fn issue_code(&self, consent: Consent) -> String {
        let mut tables = self.tables.lock();
        let code = tables.opaque();
        let expires = Instant::now() + CODE_LIFETIME;
        tables.codes.insert(code.clone(), (consent, expires));
        code
    }

    /// Exchanges a code; it dies with the first try, right or wrong.
    pub(super) fn redeem_code(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Option<Issued> {
        let mut tables = self.tables.lock();
        let (consent, expires) = tables.codes.remove(code)?;
        let proved = match (&consent.challenge, verifier) {
            (Some(challenge), Some(verifier)) => {
                URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == *challenge
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let good = proved
            && expires > Instant::now()
            && consent.client_id == client_id
            && consent.redirect_uri == redirect_uri;
        good.then(|| self.issue(&mut tables, &consent))
    }

    /// Exchanges a refresh token for new tokens; the old one dies. A narrower scope may be asked for.
    pub(super) fn redeem_refresh(&self, token: &str, client_id: &str, scope: Option<&str>) -> Option<Issued> {
        let mut tables = self.tables.lock();
        if tables.refresh.get(token)?.client_id != client_id {
            return None;
        }
        let old = tables.refresh.remove(token)?;
        let scope = match scope {
            Some(wanted) => {
                let wanted: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
                if wanted.iter().any(|one| !old.scope.contains(one)) {
                    return None;
                }
                wanted
            }
            None => old.scope,
        };
        let consent = Consent {
            client_id: old.client_id,
            redirect_uri: String::new(),
            challenge: None,
            scope,
            email: old.email,
            nonce: None,
        };
        Some(self.issue(&mut tables, &consent))
    }

    pub(in crate::demo) fn bearer(&self, token: &str) -> Option<Bearer> {
        let tables = self.tables.lock();
        let access = tables.access.get(token)?;
        (access.expires > Instant::now()).then(|| access.bearer.clone())
    }

    /// Forgets one token of either kind.
    pub(super) fn revoke(&self, token: &str) {
        let mut tables = self.tables.lock();
        tables.access.remove(token);
        tables.refresh.remove(token);
    }

    /// Forgets every token.
    pub(in crate::demo) fn revoke_all(&self) {
        let mut tables = self.tables.lock();
        tables.access.clear();
        tables.refresh.clear();
        tables.codes.clear();
    }

    /// Ends every access token; refresh tokens stay good.
    pub(in crate::demo) fn expire_access_tokens(&self) {
        self.tables.lock().access.clear();
    }

    fn issue(&self, tables: &mut Tables, consent: &Consent) -> Issued {
        let access_token = self.jwt(tables, consent);
        let bearer = Bearer {
            email: consent.email.clone(),
            client_id: consent.client_id.clone(),
            scope: consent.scope.clone(),
            audience: vec!["bentley-api-management".to_owned(), consent.client_id.clone()],
        };
        let expires = Instant::now() + self.lifetime;
        tables
            .access
            .insert(access_token.clone(), Access { bearer, expires });
        let has = |wanted: &str| consent.scope.iter().any(|scope| scope == wanted);
        let refresh_token = has("offline_access").then(|| {
            let token = tables.opaque();
            let row = Refresh {
                client_id: consent.client_id.clone(),
                scope: consent.scope.clone(),
                email: consent.email.clone(),
            };
            tables.refresh.insert(token.clone(), row);
            token
        });
        let id_token = has("openid").then(|| self.jwt(tables, consent));
        Issued {
            access_token,
            refresh_token,
            id_token,
            expires_in: self.lifetime.as_secs(),
            scope: consent.scope.join(" "),
        }
    }

    /// A token in the shape of a JWT. Nobody but the demo checks it, so its signature is only random text.
    fn jwt(&self, tables: &mut Tables, consent: &Consent) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "demo" });
        let user = consent.email.split('@').next().unwrap_or_default();
        let payload = json!({
            "iss": self.issuer,
            "aud": ["bentley-api-management", consent.client_id],
            "exp": now + self.lifetime.as_secs(),
            "nbf": now,
            "iat": now,
            "jti": tables.opaque(),
            "client_id": consent.client_id,
            "scope": consent.scope,
            "sub": "5d3fb2a1-7c40-4e0b-9a55-0d3f6f6f1042",
            "email": consent.email,
            "name": "Demo Engineer",
            "given_name": "Demo",
            "family_name": "Engineer",
            "preferred_username": user,
            "org_name": "Leven Estuary Joint Venture",
            "nonce": consent.nonce,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.{}", part(&header), part(&payload), tables.opaque())
    }
}

impl Tables {
    /// 43 characters of an unguessable-looking token.
    fn opaque(&mut self) -> String {
        let words: Vec<u8> = (0..4).flat_map(|_| self.dice.next().to_be_bytes()).collect();
        URL_SAFE_NO_PAD.encode(words)
    }
}
