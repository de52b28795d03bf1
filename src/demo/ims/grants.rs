//! What the demo IMS has handed out: codes, access tokens, refresh tokens.
//!
//! Everything that comes of one consent is a family: ending it ends all its tokens. The tables decide whether a
//! token is good; its signature and times say the same, for whoever checks them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::demo::clock::Clock;
use crate::demo::knobs::{Knobs, Rotation};
use crate::demo::secret::opaque;

use super::apps::{App, AppError, Apps, OFFLINE_ACCESS};
use super::claims::{Frame, Holder, access_claims, id_claims};
use super::signer::signer;

/// How long an authorization code lives; real ones are "short-lived" (fact sheet 3).
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// The lengths a code verifier may have (RFC 7636 4.1).
const VERIFIER_LENGTHS: std::ops::RangeInclusive<usize> = 43..=128;

/// What a code will be exchanged for, and what it takes.
#[derive(Debug, Clone)]
pub(super) struct Consent {
    pub(super) holder: Holder,
    pub(super) redirect_uri: String,
    /// The S256 challenge, where one was sent.
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
}

/// The answer of the token endpoint.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: Option<String>,
    /// In seconds.
    pub(super) expires_in: u64,
    pub(super) scope: String,
}

/// Why nothing is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `invalid_grant`, in these words.
    Grant(&'static str),
    /// `invalid_scope`: more than was granted.
    Scope,
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

/// A token that is good now.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) holder: Holder,
    /// Its claims, or what would be those of a refresh token.
    pub(super) claims: Json,
}

struct Code {
    consent: Consent,
    expires: Instant,
    /// The family of what it was exchanged for.
    spent: Option<u64>,
}

struct Access {
    holder: Holder,
    audience: Vec<String>,
    claims: Json,
    expires: Instant,
    family: u64,
}

#[derive(Clone)]
struct Refresh {
    holder: Holder,
    expires: Instant,
    /// The same, since 1970, for introspection.
    ends: u64,
    family: u64,
    /// Exchanged for another one: good no more.
    used: bool,
}

/// Apps and tables.
pub(in crate::demo) struct Grants {
    pub(super) apps: Apps,
    tables: Mutex<Tables>,
    clock: Clock,
    issuer: String,
}

#[derive(Default)]
struct Tables {
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// Those not ended; a token of another family is no good.
    families: HashSet<u64>,
    last_family: u64,
}

impl Grants {
    pub(in crate::demo) fn new(apps: Vec<App>, clock: Clock, issuer: String) -> Self {
        Self {
            apps: Apps::new(apps),
            tables: Mutex::new(Tables::default()),
            clock,
            issuer,
        }
    }

    /// The app of this client id.
    pub(in crate::demo) fn app(&self, client_id: &str) -> Option<App> {
        self.apps.get(client_id)
    }

    /// Registers an app, in place of one with the same client id.
    ///
    /// # Errors
    ///
    /// Its secret or an address does not fit its type.
    pub(in crate::demo) fn register_app(&self, app: App) -> Result<(), AppError> {
        self.apps.register(app)
    }

    /// Adds a redirect URI to every app whose type allows it.
    pub(in crate::demo) fn register_redirect_uri(&self, uri: &str) {
        self.apps.register_redirect_uri(uri);
    }

    /// Gives an app another secret, as an administrator does who rotates it.
    ///
    /// # Errors
    ///
    /// There is no such app, or it has no secret.
    pub(in crate::demo) fn rotate_secret(&self, client_id: &str, secret: &str) -> Result<(), AppError> {
        self.apps.rotate_secret(client_id, secret)
    }

    pub(super) fn issue_code(&self, consent: Consent) -> String {
        let code = opaque();
        let now = self.clock.now();
        let mut tables = self.tables.lock();
        tables.forget_the_dead(now);
        let row = Code {
            consent,
            expires: now + CODE_LIFETIME,
            spent: None,
        };
        tables.codes.insert(code.clone(), row);
        code
    }

    /// Exchanges a code, once; a second try ends what the first one got.
    pub(super) fn redeem_code(
        &self,
        knobs: &Knobs,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Result<Issued, Refusal> {
        let now = self.clock.now();
        let (consent, family) = {
            let mut tables = self.tables.lock();
            let Some(row) = tables.codes.get(code) else {
                return Err(Refusal::Grant("The code is unknown."));
            };
            if row.consent.holder.client_id != client_id {
                return Err(Refusal::Grant("The code was issued to another client."));
            }
            if let Some(family) = row.spent {
                tables.families.remove(&family);
                return Err(Refusal::Grant("The code was used before."));
            }
            let consent = row.consent.clone();
            let refusal = if row.expires <= now {
                Some("The code has expired.")
            } else if consent.redirect_uri != redirect_uri {
                Some("The redirect_uri is not that of the authorize request.")
            } else if !proved(consent.challenge.as_deref(), verifier) {
                Some("The code_verifier does not fit the code_challenge.")
            } else {
                None
            };
            if let Some(reason) = refusal {
                // No second guess.
                tables.codes.remove(code);
                return Err(Refusal::Grant(reason));
            }
            let family = tables.new_family();
            if let Some(row) = tables.codes.get_mut(code) {
                row.spent = Some(family);
                // Keeps the family until its tokens are signed and name it themselves.
                row.expires = now + CODE_LIFETIME;
            }
            (consent, family)
        };
        let refresh_token = consent
            .holder
            .has(OFFLINE_ACCESS)
            .then(|| self.new_refresh(knobs, &consent.holder, family));
        Ok(self.issue(
            knobs,
            &consent.holder,
            consent.nonce.as_deref(),
            Some(family),
            refresh_token,
        ))
    }

    /// Exchanges a refresh token for new tokens, as the rotation knob says. A narrower scope holds for the new
    /// access token only (RFC 6749 6).
    pub(super) fn redeem_refresh(
        &self,
        knobs: &Knobs,
        token: &str,
        client_id: &str,
        scope: Option<&str>,
    ) -> Result<Issued, Refusal> {
        let now = self.clock.now();
        let (row, scope) = {
            let mut tables = self.tables.lock();
            let Some(row) = tables.refresh.get(token).cloned() else {
                return Err(Refusal::Grant("The refresh token is unknown."));
            };
            if row.holder.client_id != client_id {
                return Err(Refusal::Grant("The refresh token was issued to another client."));
            }
            if row.used {
                tables.families.remove(&row.family);
                return Err(Refusal::Grant("The refresh token was used before."));
            }
            if !tables.families.contains(&row.family) {
                return Err(Refusal::Grant("The refresh token was revoked."));
            }
            if row.expires <= now {
                return Err(Refusal::Grant("The refresh token has expired."));
            }
            let scope: Vec<String> = match scope {
                Some(wanted) => wanted.split_whitespace().map(str::to_owned).collect(),
                None => row.holder.scope.clone(),
            };
            if scope.is_empty() || !scope.iter().all(|one| row.holder.has(one)) {
                return Err(Refusal::Scope);
            }
            if let (Rotation::Rotate, Some(row)) = (knobs.rotation, tables.refresh.get_mut(token)) {
                row.used = true;
            }
            (row, scope)
        };
        let refresh_token = match knobs.rotation {
            Rotation::Rotate => Some(self.new_refresh(knobs, &row.holder, row.family)),
            Rotation::Keep => Some(token.to_owned()),
            Rotation::Silent => None,
        };
        let holder = Holder { scope, ..row.holder };
        Ok(self.issue(knobs, &holder, None, Some(row.family), refresh_token))
    }

    /// Tokens for a service, which has no refresh token: it can ask again.
    pub(super) fn issue_to_service(&self, knobs: &Knobs, holder: &Holder) -> Issued {
        self.issue(knobs, holder, None, None, None)
    }

    pub(in crate::demo) fn bearer(&self, token: &str) -> Option<Bearer> {
        let tables = self.tables.lock();
        let access = self.good_access(&tables, token)?;
        Some(Bearer {
            email: access.holder.email().to_owned(),
            client_id: access.holder.client_id.clone(),
            scope: access.holder.scope.clone(),
            audience: access.audience.clone(),
        })
    }

    /// What a good access token says.
    pub(super) fn live_access(&self, token: &str) -> Option<Live> {
        let tables = self.tables.lock();
        let access = self.good_access(&tables, token)?;
        Some(Live {
            holder: access.holder.clone(),
            claims: access.claims.clone(),
        })
    }

    /// What a good refresh token stands for.
    pub(super) fn live_refresh(&self, token: &str) -> Option<Live> {
        let tables = self.tables.lock();
        let row = tables.refresh.get(token)?;
        let good = !row.used && row.expires > self.clock.now() && tables.families.contains(&row.family);
        good.then(|| Live {
            holder: row.holder.clone(),
            claims: json!({
                "iss": self.issuer,
                "exp": row.ends,
                "client_id": row.holder.client_id,
            }),
        })
    }

    /// Ends a token; with a refresh token, all that came of the same consent (RFC 7009 2.1). An unknown token has
    /// ended already. False where it is another app's.
    pub(super) fn revoke(&self, token: &str, client_id: &str) -> bool {
        let mut tables = self.tables.lock();
        if let Some(row) = tables.refresh.get(token) {
            let (yours, family) = (row.holder.client_id == client_id, row.family);
            if yours {
                tables.families.remove(&family);
            }
            return yours;
        }
        match tables.access.get(token) {
            Some(access) if access.holder.client_id != client_id => false,
            Some(_) | None => {
                tables.access.remove(token);
                true
            }
        }
    }

    /// Ends every token and code.
    pub(in crate::demo) fn revoke_all(&self) {
        let mut tables = self.tables.lock();
        tables.families.clear();
        tables.codes.clear();
    }

    /// Ends every access token; refresh tokens stay good.
    pub(in crate::demo) fn expire_access_tokens(&self) {
        self.tables.lock().access.clear();
    }

    fn good_access<'a>(&self, tables: &'a Tables, token: &str) -> Option<&'a Access> {
        let access = tables.access.get(token)?;
        let good = access.expires > self.clock.now() && tables.families.contains(&access.family);
        good.then_some(access)
    }

    fn new_refresh(&self, knobs: &Knobs, holder: &Holder, family: u64) -> String {
        let token = opaque();
        let lifetime = knobs.refresh_lifetime;
        let row = Refresh {
            holder: holder.clone(),
            expires: self.clock.deadline(lifetime),
            ends: self.clock.since_epoch().saturating_add(lifetime).as_secs(),
            family,
            used: false,
        };
        self.tables.lock().refresh.insert(token.clone(), row);
        token
    }

    /// Signs without holding the tables, which takes a millisecond or more; without a family it is the first of one.
    fn issue(
        &self,
        knobs: &Knobs,
        holder: &Holder,
        nonce: Option<&str>,
        family: Option<u64>,
        refresh_token: Option<String>,
    ) -> Issued {
        let audience: Vec<String> = knobs.audience.split_whitespace().map(str::to_owned).collect();
        let frame = Frame {
            issuer: &self.issuer,
            audience: &audience,
            now: self.clock.since_epoch(),
            lifetime: knobs.token_lifetime,
        };
        let claims = access_claims(&frame, holder);
        let access_token = signer().sign(&claims);
        let id_token = holder
            .has("openid")
            .then(|| id_claims(&frame, holder, &access_token, nonce))
            .flatten()
            .map(|claims| signer().sign(&claims));
        let now = self.clock.now();
        let mut tables = self.tables.lock();
        tables.forget_the_dead(now);
        let family = family.unwrap_or_else(|| tables.new_family());
        let row = Access {
            holder: holder.clone(),
            audience,
            claims,
            expires: self.clock.deadline(knobs.token_lifetime),
            family,
        };
        tables.access.insert(access_token.clone(), row);
        drop(tables);
        Issued {
            access_token,
            refresh_token,
            id_token,
            expires_in: knobs.token_lifetime.as_secs(),
            scope: holder.scope.join(" "),
        }
    }
}

impl Tables {
    fn new_family(&mut self) -> u64 {
        self.last_family += 1;
        self.families.insert(self.last_family);
        self.last_family
    }

    /// The dead are of no use to anybody, and a demo may run for weeks.
    fn forget_the_dead(&mut self, now: Instant) {
        self.access.retain(|_, access| access.expires > now);
        self.refresh.retain(|_, refresh| refresh.expires > now);
        let tokens = self.access.values().map(|access| access.family);
        let tokens = tokens.chain(self.refresh.values().map(|refresh| refresh.family));
        let codes = self.codes.values().filter(|code| code.expires > now);
        let named: HashSet<u64> = tokens.chain(codes.filter_map(|code| code.spent)).collect();
        self.families.retain(|family| named.contains(family));
        let families = &self.families;
        // One that was spent is kept while its family lives: its reuse ends that.
        self.codes.retain(|_, code| match code.spent {
            Some(family) => families.contains(&family),
            None => code.expires > now,
        });
    }
}

/// PKCE (RFC 7636 4.6): a verifier exactly where there was a challenge, and the one that fits.
fn proved(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (Some(challenge), Some(verifier)) => {
            VERIFIER_LENGTHS.contains(&verifier.len())
                && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::Who;
    use super::*;

    fn holder() -> Holder {
        Holder {
            client_id: "app".to_owned(),
            scope: vec!["projectwise:read".to_owned()],
            who: Who::Service {
                acts_as: "nobody@example.invalid",
            },
        }
    }

    #[test]
    fn what_ended_is_forgotten_and_a_spent_code_is_not_before_its_tokens_end() {
        let clock = Clock::default();
        let grants = Grants::new(Vec::new(), clock.clone(), "http://ims.invalid".to_owned());
        let knobs = Knobs::default();
        let login = || {
            let code = grants.issue_code(Consent {
                holder: holder(),
                redirect_uri: String::new(),
                challenge: None,
                nonce: None,
            });
            let redeemed = grants.redeem_code(&knobs, &code, "app", "", None);
            (code, redeemed.unwrap().access_token)
        };
        let (code, token) = login();
        clock.advance(2 * CODE_LIFETIME);
        login();
        assert!(grants.bearer(&token).is_some());
        let again = grants.redeem_code(&knobs, &code, "app", "", None);
        assert_eq!(again.unwrap_err(), Refusal::Grant("The code was used before."));
        assert!(grants.bearer(&token).is_none());
        clock.advance(2 * knobs.token_lifetime);
        let issued = grants.issue_to_service(&knobs, &holder());
        assert!(grants.bearer(&issued.access_token).is_some());
        let tables = grants.tables.lock();
        let left = (tables.families.len(), tables.codes.len(), tables.access.len());
        assert_eq!(left, (1, 0, 1));
    }
}
