//! A small IMS: the OAuth 2.0 code flow with PKCE, refresh tokens that rotate, and a sign-in page (fact sheet 3).
//!
//! The issuer is the server's root: `/.well-known/openid-configuration`, `/connect/authorize`, `/connect/token`,
//! `/connect/userinfo`, `/connect/revocation`. Two apps are registered: a native one without a secret, for which
//! PKCE is a must, and a web app with one.

pub(super) mod grants;

use std::collections::HashMap;

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use self::grants::{App, Consent, Grants, Issued};
use super::reply::Reply;
use super::traffic::RequestKind;

/// The scope WSG asks for.
pub(super) const READ_SCOPE: &str = "projectwise:read";
/// Every scope the demo's apps may ask for.
const SCOPES: [&str; 5] = [READ_SCOPE, "offline_access", "openid", "profile", "email"];
/// Who signs in where nobody types another address.
const DEFAULT_EMAIL: &str = "demo.engineer@example.com";
/// IMS's own words (fact sheet 3, from a report).
const INVALID_SCOPE: &str = "The requested scope is invalid, unknown, malformed, or exceeds that which the client is permitted to request.";

/// What kind of request a path of the IMS is; `None` for a path it does not have.
pub(super) fn kind_of(path: &str) -> Option<RequestKind> {
    match path {
        "/.well-known/openid-configuration" | "/.well-known/openid-configuration/jwks" => {
            Some(RequestKind::Discovery)
        }
        "/connect/authorize" => Some(RequestKind::Authorize),
        "/connect/token" => Some(RequestKind::Token),
        "/connect/userinfo" => Some(RequestKind::UserInfo),
        "/connect/revocation" => Some(RequestKind::Revocation),
        "/IMS/Account/Login" => Some(RequestKind::LoginPage),
        _ => None,
    }
}

/// The identity service.
pub(super) struct Ims {
    pub(super) grants: Grants,
    pub(super) issuer: String,
    /// Signs in without showing the page.
    pub(super) auto_consent: bool,
}

impl Ims {
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Reply {
        match (path, method) {
            ("/.well-known/openid-configuration", &Method::GET) => self.discovery(),
            ("/.well-known/openid-configuration/jwks", &Method::GET) => {
                Reply::json(StatusCode::OK, &json!({ "keys": [] }))
            }
            ("/connect/authorize", &Method::GET) => {
                let form = fields(query.as_bytes());
                self.authorize(&form, self.auto_consent.then_some(DEFAULT_EMAIL))
            }
            ("/connect/authorize", &Method::POST) => {
                let form = fields(body);
                let email = form.get("email").map_or(DEFAULT_EMAIL, String::as_str);
                self.authorize(&form, Some(email))
            }
            ("/connect/token", &Method::POST) => {
                let reply = self.token(&fields(body), headers);
                reply.with(CACHE_CONTROL, "no-store")
            }
            ("/connect/userinfo", &Method::GET | &Method::POST) => self.user_info(headers),
            ("/connect/revocation", &Method::POST) => self.revocation(&fields(body), headers),
            ("/IMS/Account/Login", &Method::GET) => login_page(),
            _ => Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn discovery(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/connect/authorize"),
            "token_endpoint": at("/connect/token"),
            "userinfo_endpoint": at("/connect/userinfo"),
            "revocation_endpoint": at("/connect/revocation"),
            "jwks_uri": at("/.well-known/openid-configuration/jwks"),
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "none"],
            "code_challenge_methods_supported": ["S256"],
        });
        Reply::json(StatusCode::OK, &document)
    }

    /// Answers the authorize request: an error page, the sign-in page, or the redirect back.
    fn authorize(&self, form: &HashMap<String, String>, email: Option<&str>) -> Reply {
        let get = |key: &str| form.get(key).map_or("", String::as_str);
        let Some(app) = self.grants.app(get("client_id")) else {
            return error_page("unauthorized_client", "Unknown client");
        };
        let redirect_uri = get("redirect_uri");
        // Nothing is ever sent to an address that is not registered, character for character (RFC 6749 4.1.2.1).
        if !app.redirect_uris.contains(redirect_uri) {
            return error_page("unauthorized_client", "Invalid redirect_uri");
        }
        let back = |pairs: &[(&str, &str)]| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(pairs);
            if form.contains_key("state") {
                query.append_pair("state", get("state"));
            }
            let joint = if redirect_uri.contains('?') { '&' } else { '?' };
            Reply::redirect(&format!("{redirect_uri}{joint}{}", query.finish()))
        };
        let refuse =
            |error: &str, description: &str| back(&[("error", error), ("error_description", description)]);
        if get("response_type") != "code" {
            return refuse("unsupported_response_type", "Only the code flow is offered.");
        }
        let scope: Vec<String> = get("scope").split_whitespace().map(str::to_owned).collect();
        if scope.is_empty() || scope.iter().any(|one| !SCOPES.contains(&one.as_str())) {
            return refuse("invalid_scope", INVALID_SCOPE);
        }
        let challenge = form.get("code_challenge").filter(|text| !text.is_empty());
        match (challenge, get("code_challenge_method")) {
            (Some(_), "S256") => {}
            (Some(_), _) => return refuse("invalid_request", "Transform algorithm not supported"),
            (None, _) if app.secret.is_none() => {
                return refuse("invalid_request", "code challenge required");
            }
            (None, _) => {}
        }
        if form.contains_key("cancel") {
            return refuse("access_denied", "The user cancelled the sign-in.");
        }
        let Some(email) = email else {
            return sign_in_page(form);
        };
        let code = self.grants.issue_code(Consent {
            client_id: app.client_id,
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.cloned(),
            scope,
            email: email.to_owned(),
            nonce: form.get("nonce").cloned(),
        });
        back(&[("code", &code)])
    }

    fn token(&self, form: &HashMap<String, String>, headers: &HeaderMap) -> Reply {
        let app = match self.authenticate(form, headers) {
            Ok(app) => app,
            Err(reply) => return reply,
        };
        let get = |key: &str| form.get(key).map_or("", String::as_str);
        let issued = match get("grant_type") {
            "authorization_code" => self.grants.redeem_code(
                get("code"),
                &app.client_id,
                get("redirect_uri"),
                form.get("code_verifier").map(String::as_str),
            ),
            "refresh_token" => {
                let scope = form.get("scope").map(String::as_str);
                self.grants
                    .redeem_refresh(get("refresh_token"), &app.client_id, scope)
            }
            _ => return oauth_error(StatusCode::BAD_REQUEST, "unsupported_grant_type", None),
        };
        match issued {
            Some(issued) => Reply::json(StatusCode::OK, &token_json(&issued)),
            None => oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", None),
        }
    }

    /// Tells which app calls: by Basic or by the form, with a secret exactly if it has one.
    fn authenticate(&self, form: &HashMap<String, String>, headers: &HeaderMap) -> Result<App, Reply> {
        let basic = basic_credentials(headers);
        let status = if basic.is_some() {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::BAD_REQUEST
        };
        let refused = || {
            let reply = oauth_error(status, "invalid_client", None);
            if status == StatusCode::UNAUTHORIZED {
                reply.with(WWW_AUTHENTICATE, "Basic realm=\"IMS\"")
            } else {
                reply
            }
        };
        let (client_id, secret) = match basic {
            Some((client_id, secret)) => (client_id, Some(secret)),
            None => (
                form.get("client_id").cloned().unwrap_or_default(),
                form.get("client_secret").cloned(),
            ),
        };
        match self.grants.app(&client_id) {
            Some(app) if app.secret == secret => Ok(app),
            Some(_) | None => Err(refused()),
        }
    }

    fn user_info(&self, headers: &HeaderMap) -> Reply {
        match bearer_token(headers).and_then(|token| self.grants.bearer(token)) {
            Some(bearer) => {
                let claims = json!({
                    "sub": "5d3fb2a1-7c40-4e0b-9a55-0d3f6f6f1042",
                    "name": "Demo Engineer",
                    "given_name": "Demo",
                    "family_name": "Engineer",
                    "preferred_username": bearer.email.split('@').next(),
                    "email": bearer.email,
                });
                Reply::json(StatusCode::OK, &claims)
            }
            None => oauth_error(StatusCode::UNAUTHORIZED, "invalid_token", None)
                .with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
        }
    }

    fn revocation(&self, form: &HashMap<String, String>, headers: &HeaderMap) -> Reply {
        if let Err(reply) = self.authenticate(form, headers) {
            return reply;
        }
        if let Some(token) = form.get("token") {
            self.grants.revoke(token);
        }
        // An unknown token is revoked already (RFC 7009 2.2).
        Reply::empty(StatusCode::OK)
    }
}

/// The bearer token of a request.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
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

fn fields(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
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
        if let (Some(object), Some(token)) = (json.as_object_mut(), token) {
            object.insert(key.to_owned(), Json::String(token.clone()));
        }
    }
    json
}

/// The error envelope of OAuth.
pub(super) fn oauth_error(status: StatusCode, error: &str, description: Option<&str>) -> Reply {
    let mut json = json!({ "error": error });
    if let (Some(object), Some(description)) = (json.as_object_mut(), description) {
        object.insert("error_description".to_owned(), description.into());
    }
    Reply::json(status, &json)
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px sans-serif;max-width:28em;margin:4em auto;padding:0 1em}}\
         input,button{{font:inherit;padding:.4em .6em;margin:.3em 0}}</style></head>\
         <body><h1>{title}</h1>{content}</body></html>\n"
    )
}

/// The sign-in page; the request travels on in hidden fields.
fn sign_in_page(form: &HashMap<String, String>) -> Reply {
    let mut pairs: Vec<_> = form.iter().filter(|(key, _)| *key != "email").collect();
    pairs.sort();
    let mut hidden = String::new();
    for (key, value) in pairs {
        hidden.push_str("<input type=\"hidden\" name=\"");
        hidden.push_str(&escape(key));
        hidden.push_str("\" value=\"");
        hidden.push_str(&escape(value));
        hidden.push_str("\">");
    }
    let content = format!(
        "<p>This is the demo of pwfs, not Bentley. Any address will do.</p>\
         <form method=\"post\" action=\"/connect/authorize\">{hidden}\
         <label>Email<br><input type=\"email\" name=\"email\" value=\"{DEFAULT_EMAIL}\" required></label><br>\
         <button type=\"submit\">Sign in</button> \
         <button type=\"submit\" name=\"cancel\" value=\"1\" formnovalidate>Cancel</button></form>"
    );
    Reply::html(StatusCode::OK, page("Sign in to the demo", &content)).with(CACHE_CONTROL, "no-store")
}

fn error_page(error: &str, reason: &str) -> Reply {
    let content = format!("<p>{}</p><p><code>{}</code></p>", escape(reason), escape(error));
    Reply::html(StatusCode::BAD_REQUEST, page("Error", &content))
}

/// What a lost login meets: a page where JSON was expected.
pub(super) fn login_page() -> Reply {
    let content = "<form method=\"post\" action=\"/IMS/Account/Login\"><input name=\"EmailAddress\"></form>";
    Reply::html(StatusCode::OK, page("Bentley - Sign In", content))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
