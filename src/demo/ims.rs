//! An IMS: OAuth 2.0 and OpenID Connect for the four types of apps (fact sheet 3).
//!
//! The issuer is the server's root. People sign in on its pages, or without them where the demo consents by itself;
//! services bring their secret. Access tokens are signed JWTs, and the server's own tables say whether one is good.

mod apps;
mod authorize;
mod claims;
mod endpoints;
mod form;
pub(super) mod grants;
mod pages;
mod sessions;
mod signer;
mod token;

use std::sync::Arc;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, ORIGIN, PRAGMA, SET_COOKIE, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use url::form_urlencoded;

use self::endpoints::{Endpoint, discovery};
use self::form::Form;
use self::grants::Grants;
use self::sessions::Sessions;
use self::signer::signer;
use super::clock::Clock;
use super::knobs::Panel;
use super::reply::Reply;

pub use self::apps::{App, AppError, AppType};
pub(super) use self::endpoints::kind_of;
pub(super) use self::pages::login_page;
pub(super) use self::token::{bearer_token, oauth_error};

/// The identity service.
pub(super) struct Ims {
    pub(super) grants: Grants,
    pub(super) issuer: String,
    /// Signs in without showing the pages.
    pub(super) auto_consent: bool,
    sessions: Sessions,
    knobs: Arc<Panel>,
}

impl Ims {
    pub(super) fn new(
        apps: Vec<App>,
        issuer: String,
        auto_consent: bool,
        knobs: Arc<Panel>,
        clock: Clock,
    ) -> Self {
        Self {
            grants: Grants::new(apps, clock.clone(), issuer.clone()),
            issuer,
            auto_consent,
            sessions: Sessions::new(clock),
            knobs,
        }
    }

    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Reply {
        let knobs = self.knobs.now();
        let Some(endpoint) = Endpoint::at(path, knobs.ims_paths) else {
            return Reply::empty(StatusCode::NOT_FOUND);
        };
        let posted = *method == Method::POST;
        let asked = || Form::parse(if posted { body } else { query.as_bytes() });
        let reply = match (endpoint, method) {
            (_, &Method::OPTIONS) if endpoint.is_for_scripts() => preflight(),
            (Endpoint::Discovery, &Method::GET) => discovery(&self.issuer, &knobs),
            (Endpoint::Keys, &Method::GET) => Reply::json(StatusCode::OK, &signer().key_set()),
            (Endpoint::Authorize, &Method::GET | &Method::POST) => {
                self.authorize(&asked(), posted, headers, &knobs)
            }
            (Endpoint::Token, &Method::POST) => {
                let reply = self.token(&asked(), headers, &knobs);
                reply.with(CACHE_CONTROL, "no-store").with(PRAGMA, "no-cache")
            }
            (Endpoint::UserInfo, &Method::GET | &Method::POST) => self.user_info(headers),
            (Endpoint::Revocation, &Method::POST) => self.revocation(&asked(), headers),
            (Endpoint::Introspection, &Method::POST) => self.introspection(&asked(), headers),
            (Endpoint::EndSession, &Method::GET | &Method::POST) => self.end_session(&asked(), headers),
            (Endpoint::LoginPage, &Method::GET) => login_page(),
            _ => Reply::empty(StatusCode::METHOD_NOT_ALLOWED),
        };
        if endpoint.is_for_scripts() {
            self.with_origin(reply, headers)
        } else {
            reply
        }
    }

    /// Forgets every wrong password: locked accounts are open again.
    pub(super) fn forget_wrong_passwords(&self) {
        self.sessions.forget_wrong_passwords();
    }

    /// Signs out, and sends the browser back where an app registered that address (RP-Initiated Logout).
    fn end_session(&self, form: &Form, headers: &HeaderMap) -> Reply {
        let cookie = self.sessions.close(headers);
        let hinted = form.value("id_token_hint").and_then(|token| {
            let claims = signer().verified(token)?;
            claims["aud"].as_str().map(str::to_owned)
        });
        let client = hinted.or_else(|| form.value("client_id").map(str::to_owned));
        let app = client.and_then(|client| self.grants.app(&client));
        let uri = form.get("post_logout_redirect_uri");
        let reply = if app.is_some_and(|app| app.post_logout_uris.contains(uri)) {
            let mut location = uri.to_owned();
            if let Some(state) = form.value("state") {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("state", state);
                location.push(if uri.contains('?') { '&' } else { '?' });
                location.push_str(&query.finish());
            }
            Reply::redirect(&location)
        } else {
            pages::signed_out()
        };
        reply.with(SET_COOKIE, &cookie)
    }

    /// Lets the scripts of registered browser apps read the answer.
    fn with_origin(&self, reply: Reply, headers: &HeaderMap) -> Reply {
        let reply = reply.with(VARY, "Origin");
        match headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) {
            Some(origin) if self.grants.apps.is_browser_origin(origin) => {
                reply.with(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
            }
            Some(_) | None => reply,
        }
    }
}

/// Makes the key that signs tokens, where this process has none yet; takes tens of milliseconds, or a second.
pub(super) fn make_key() {
    signer();
}

/// What a browser asks before it sends a script's request.
fn preflight() -> Reply {
    Reply::empty(StatusCode::NO_CONTENT)
        .with(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")
        .with(ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type")
        .with(ACCESS_CONTROL_MAX_AGE, "600")
}
