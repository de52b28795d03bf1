//! What apps ask the IMS without a browser: tokens, revocation, introspection, the user's claims.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::demo::knobs::Knobs;
use crate::demo::reply::Reply;

use super::Ims;
use super::apps::{App, GrantType};
use super::authorize::scope_refusal;
use super::claims::{Holder, Who, merge, user_claims};
use super::form::Form;
use super::grants::{Issued, Live, Refusal};

impl Ims {
    pub(super) fn token(&self, form: &Form, headers: &HeaderMap, knobs: &Knobs) -> Reply {
        self.tokens(form, headers, knobs)
            .unwrap_or_else(|refused| refused)
    }

    fn tokens(&self, form: &Form, headers: &HeaderMap, knobs: &Knobs) -> Result<Reply, Reply> {
        sound(form, headers)?;
        let app = self.authenticate(form, headers)?;
        let grant = match form.get("grant_type") {
            "authorization_code" => GrantType::Code,
            "refresh_token" => GrantType::Refresh,
            "client_credentials" => GrantType::ClientCredentials,
            "" => return Err(bad_request("invalid_request", "grant_type is missing.")),
            _ => {
                return Err(bad_request(
                    "unsupported_grant_type",
                    "This grant type is not offered.",
                ));
            }
        };
        if !app.kind.may_use(grant) {
            let reason = "An app of this type may not use this grant type.";
            return Err(bad_request("unauthorized_client", reason));
        }
        let issued = match grant {
            GrantType::Code => self.grants.redeem_code(
                knobs,
                required(form, "code")?,
                &app.client_id,
                required(form, "redirect_uri")?,
                form.value("code_verifier"),
            ),
            GrantType::Refresh => self.grants.redeem_refresh(
                knobs,
                required(form, "refresh_token")?,
                &app.client_id,
                form.value("scope"),
            ),
            GrantType::ClientCredentials => match app.granted(form.get("scope"), knobs) {
                Some(scope) => {
                    let holder = Holder {
                        client_id: app.client_id,
                        scope,
                        who: Who::Service { acts_as: app.acts_as },
                    };
                    Ok(self.grants.issue_to_service(knobs, &holder))
                }
                None => Err(Refusal::Scope),
            },
        };
        match issued {
            Ok(issued) => Ok(Reply::json(StatusCode::OK, &token_json(&issued))),
            Err(Refusal::Grant(reason)) => Err(bad_request("invalid_grant", reason)),
            Err(Refusal::Scope) => {
                let (error, reason) = scope_refusal(knobs);
                Err(bad_request(error, reason))
            }
        }
    }

    /// Tells which app calls: by Basic or by the form, with a secret exactly if it has one.
    fn authenticate(&self, form: &Form, headers: &HeaderMap) -> Result<App, Reply> {
        let basic = basic_credentials(headers);
        let refused = |reason: &str| {
            // RFC 6749 5.2: 401 and the challenge where the app used the header.
            if basic.is_some() {
                oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", Some(reason))
                    .with(WWW_AUTHENTICATE, "Basic realm=\"IMS\"")
            } else {
                bad_request("invalid_client", reason)
            }
        };
        let (client_id, secret) = match &basic {
            Some((client_id, secret)) => {
                if form.value("client_secret").is_some() {
                    let reason = "The client was authenticated in two ways at once.";
                    return Err(bad_request("invalid_request", reason));
                }
                if form.value("client_id").is_some_and(|other| other != client_id) {
                    return Err(refused("The client_id is not that of the Authorization header."));
                }
                (client_id.as_str(), Some(secret.as_str()))
            }
            None => (form.get("client_id"), form.value("client_secret")),
        };
        let secret = secret.filter(|text| !text.is_empty());
        let Some(app) = self.grants.app(client_id) else {
            return Err(refused("The client is unknown."));
        };
        match (app.secret.as_deref(), secret) {
            (Some(own), Some(sent)) if own == sent => Ok(app),
            (None, None) => Ok(app),
            (Some(_), Some(_)) => Err(refused("The secret is wrong.")),
            (Some(_), None) => Err(refused("The secret is missing.")),
            (None, Some(_)) => Err(refused("An app of this type has no secret.")),
        }
    }

    pub(super) fn user_info(&self, headers: &HeaderMap) -> Reply {
        let Some(live) = bearer_token(headers).and_then(|token| self.grants.live_access(token)) else {
            return oauth_error(StatusCode::UNAUTHORIZED, "invalid_token", None)
                .with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
        };
        match &live.holder.who {
            Who::Person { account, .. } if live.holder.has("openid") => {
                Reply::json(StatusCode::OK, &user_claims(account, &live.holder))
            }
            Who::Person { .. } | Who::Service { .. } => {
                let challenge = "Bearer error=\"insufficient_scope\", scope=\"openid\"";
                oauth_error(StatusCode::FORBIDDEN, "insufficient_scope", None)
                    .with(WWW_AUTHENTICATE, challenge)
            }
        }
    }

    /// RFC 7009.
    pub(super) fn revocation(&self, form: &Form, headers: &HeaderMap) -> Reply {
        let revoke = || {
            sound(form, headers)?;
            let app = self.authenticate(form, headers)?;
            if self.grants.revoke(required(form, "token")?, &app.client_id) {
                return Ok(Reply::empty(StatusCode::OK));
            }
            let reason = "The token was issued to another client.";
            Err(bad_request("invalid_grant", reason))
        };
        revoke().unwrap_or_else(|refused: Reply| refused)
    }

    /// RFC 7662. Only an app that proves itself by a secret may ask: anybody can call himself a native one.
    pub(super) fn introspection(&self, form: &Form, headers: &HeaderMap) -> Reply {
        let introspect = || {
            sound(form, headers)?;
            let app = self.authenticate(form, headers)?;
            if !app.kind.has_secret() {
                let reason = "Only an app with a secret may introspect.";
                return Err(oauth_error(
                    StatusCode::UNAUTHORIZED,
                    "invalid_client",
                    Some(reason),
                ));
            }
            let token = required(form, "token")?;
            let answer = match self.grants.live_access(token) {
                Some(live) => active(live, "Bearer"),
                None => match self.grants.live_refresh(token) {
                    Some(live) => active(live, "refresh_token"),
                    None => json!({ "active": false }),
                },
            };
            Ok(Reply::json(StatusCode::OK, &answer))
        };
        introspect().unwrap_or_else(|refused: Reply| refused)
    }
}

/// The claims, with the scope as one text and not as the array of the JWT (fact sheet 3).
fn active(live: Live, token_type: &str) -> Json {
    let scope = live.holder.scope.join(" ");
    let mut answer = live.claims;
    let more = json!({ "active": true, "scope": scope, "token_type": token_type });
    merge(&mut answer, more);
    answer
}

/// Refuses a body that is no form, or says something twice (RFC 6749 3.2).
fn sound(form: &Form, headers: &HeaderMap) -> Result<(), Reply> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    // One that does not say what it is is read as a form.
    if !kind.is_empty() && !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(bad_request("invalid_request", "The body is not a form."));
    }
    match form.doubled() {
        Some(name) => {
            let reason = format!("{name} was sent more than once.");
            Err(bad_request("invalid_request", &reason))
        }
        None => Ok(()),
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Reply> {
    let missing = || bad_request("invalid_request", &format!("{name} is missing."));
    form.value(name).ok_or_else(missing)
}

/// The bearer token of a request.
pub(in crate::demo) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Both are form-encoded before they are joined (RFC 6749 2.3.1).
    let plain = |part: &str| {
        let whole = format!("x={part}");
        let mut pairs = form_urlencoded::parse(whole.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    Some((plain(user)?, plain(password)?))
}

fn token_json(issued: &Issued) -> Json {
    let mut json = json!({
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    });
    for (key, token) in [
        ("refresh_token", &issued.refresh_token),
        ("id_token", &issued.id_token),
    ] {
        if let Some(token) = token {
            merge(&mut json, json!({ key: token }));
        }
    }
    json
}

fn bad_request(error: &str, description: &str) -> Reply {
    oauth_error(StatusCode::BAD_REQUEST, error, Some(description))
}

/// The error envelope of OAuth.
pub(in crate::demo) fn oauth_error(status: StatusCode, error: &str, description: Option<&str>) -> Reply {
    let mut json = json!({ "error": error });
    if let Some(description) = description {
        merge(&mut json, json!({ "error_description": description }));
    }
    Reply::json(status, &json)
}
