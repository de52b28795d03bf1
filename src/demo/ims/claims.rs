//! What the demo's tokens say (fact sheet 3).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::demo::accounts::Account;
use crate::demo::secret::opaque;

/// The organization everybody of the demo belongs to.
const ORGANIZATION: (&str, &str) = (
    "b1d0c6a2-7e35-4f0e-9c44-6a8f2d3e9001",
    "Leven Estuary Joint Venture",
);
/// Bentley's number for it.
const ULTIMATE_SITE: &str = "1001389117";

/// Whom tokens are issued for, to which app, and for what.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) client_id: String,
    pub(super) scope: Vec<String>,
    pub(super) who: Who,
}

/// Who acts.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// Somebody who signed in, in a session of this id.
    Person {
        account: &'static Account,
        session: String,
    },
    /// A service; the account it acts as is the datasource's affair and not in the token.
    Service { acts_as: &'static str },
}

impl Holder {
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.scope.iter().any(|scope| scope == wanted)
    }

    /// The login whose rights it has.
    pub(super) fn email(&self) -> &'static str {
        match &self.who {
            Who::Person { account, .. } => account.email,
            Who::Service { acts_as } => acts_as,
        }
    }
}

/// Who issues, for which audiences, and from when to when.
pub(super) struct Frame<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a [String],
    /// Since 1970.
    pub(super) now: Duration,
    pub(super) lifetime: Duration,
}

impl Frame<'_> {
    /// In whole seconds, as JWT counts.
    fn ends(&self) -> u64 {
        self.now.saturating_add(self.lifetime).as_secs()
    }
}

/// The claims of an access token; those about a person are not in a service's.
pub(super) fn access_claims(frame: &Frame<'_>, holder: &Holder) -> Json {
    let mut claims = json!({
        "iss": frame.issuer,
        "aud": frame.audience,
        "exp": frame.ends(),
        "nbf": frame.now.as_secs(),
        "iat": frame.now.as_secs(),
        "jti": opaque(),
        "client_id": holder.client_id,
        "scope": holder.scope,
    });
    if let Who::Person { account, session } = &holder.who {
        merge(&mut claims, profile(account));
        merge(&mut claims, organization());
        merge(
            &mut claims,
            json!({
                "sub": account.subject,
                "sid": session,
                "email": account.email,
                "ultimate_site": ULTIMATE_SITE,
                "usage_country_iso": "GB",
                "entitlement": ["PROJECTWISE_DESIGN_INTEGRATION", "ITWIN"],
                "role": ["BENTLEY_USER"],
            }),
        );
    }
    claims
}

/// The claims of an ID token: for the app, about the person, bound to the access token.
pub(super) fn id_claims(
    frame: &Frame<'_>,
    holder: &Holder,
    access_token: &str,
    nonce: Option<&str>,
) -> Option<Json> {
    let Who::Person { account, session } = &holder.who else {
        return None;
    };
    // OpenID Connect Core 3.1.3.6: the left half of the digest.
    let half = &Sha256::digest(access_token)[..16];
    let mut claims = json!({
        "iss": frame.issuer,
        "aud": holder.client_id,
        "exp": frame.ends(),
        "nbf": frame.now.as_secs(),
        "iat": frame.now.as_secs(),
        "sid": session,
        "at_hash": URL_SAFE_NO_PAD.encode(half),
    });
    if let Some(nonce) = nonce {
        merge(&mut claims, json!({ "nonce": nonce }));
    }
    merge(&mut claims, user_claims(account, holder));
    Some(claims)
}

/// What the scopes let an app know of a person.
pub(super) fn user_claims(account: &Account, holder: &Holder) -> Json {
    let mut claims = json!({ "sub": account.subject });
    if holder.has("profile") {
        merge(&mut claims, profile(account));
    }
    if holder.has("email") {
        merge(
            &mut claims,
            json!({ "email": account.email, "email_verified": true }),
        );
    }
    if holder.has("organization") {
        merge(&mut claims, organization());
    }
    claims
}

fn profile(account: &Account) -> Json {
    let (given, family) = account.name;
    json!({
        "name": format!("{given} {family}"),
        "given_name": given,
        "family_name": family,
        "preferred_username": account.email,
    })
}

fn organization() -> Json {
    let (id, name) = ORGANIZATION;
    json!({ "org": id, "org_name": name })
}

/// Adds the members of one object to another.
pub(super) fn merge(into: &mut Json, more: Json) {
    if let (Json::Object(into), Json::Object(more)) = (into, more) {
        into.extend(more);
    }
}
