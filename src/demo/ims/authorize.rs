//! The authorize endpoint: checks the request, signs somebody in, asks for consent, sends back a code.

use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use url::form_urlencoded;

use crate::demo::accounts::{self, Account, DEFAULT_EMAIL};
use crate::demo::knobs::{Knobs, ScopeError};
use crate::demo::reply::Reply;
use crate::demo::secret::opaque;

use super::Ims;
use super::apps::{App, GrantType};
use super::claims::{Holder, Who};
use super::form::Form;
use super::grants::Consent;
use super::pages;
use super::sessions::{Session, SignIn};

/// IMS's own words (fact sheet 3, from a report).
const INVALID_SCOPE: &str = "The requested scope is invalid, unknown, malformed, or exceeds that which the client is permitted to request.";
/// The length of an S256 challenge: 32 bytes in base64url.
const CHALLENGE_LENGTH: usize = 43;

/// A request that may be answered with a code.
struct Asked {
    app: App,
    scope: Vec<String>,
    challenge: Option<String>,
    prompt: Prompt,
}

/// `prompt`, of OpenID Connect Core 3.1.2.1.
#[derive(Default)]
struct Prompt {
    none: bool,
    login: bool,
    consent: bool,
}

impl Prompt {
    fn read(text: &str) -> Option<Self> {
        let mut prompt = Self::default();
        for word in text.split_whitespace() {
            match word {
                "none" => prompt.none = true,
                // Selecting another account takes signing in to it.
                "login" | "select_account" => prompt.login = true,
                "consent" => prompt.consent = true,
                _ => return None,
            }
        }
        // "none" with anything else is an error.
        (!(prompt.none && (prompt.login || prompt.consent))).then_some(prompt)
    }
}

impl Ims {
    /// Answers the authorize request: an error page, the sign-in or the consent page, or the redirect back.
    pub(super) fn authorize(&self, form: &Form, posted: bool, headers: &HeaderMap, knobs: &Knobs) -> Reply {
        let asked = match self.understand(form, knobs) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        // What the pages' forms say counts in a form only: a link must not allow anything.
        let own = |name: &str| form.value(name).filter(|_| posted);
        if own("decision") == Some("deny") {
            return refuse(form, "access_denied", "The user denied the request.");
        }
        let mut cookie = None;
        let mut session = None;
        if let Some(email) = own("email") {
            match self
                .sessions
                .sign_in(email, form.get("password"), knobs.bad_logins)
            {
                SignIn::Accepted(account) => {
                    let (opened, header) = self.sessions.open(account);
                    session = Some(opened);
                    cookie = Some(header);
                }
                SignIn::Wrong => {
                    let problem = "The email or the password is wrong.";
                    return pages::sign_in(form, &asked.app, Some(problem));
                }
                SignIn::Locked => {
                    let problem = "Too many wrong passwords: this account is locked for a while.";
                    return pages::sign_in(form, &asked.app, Some(problem));
                }
            }
        } else if self.auto_consent {
            let hinted = form.value("login_hint").and_then(accounts::by_email);
            let account = hinted.or_else(|| accounts::by_email(DEFAULT_EMAIL));
            if let Some(account) = account {
                return self.grant(form, asked, account, opaque());
            }
        } else if !asked.prompt.login {
            session = self.sessions.of(headers).filter(|session| fits(session, form));
        }
        let reply = self.with_session(form, asked, session, own("decision") == Some("allow"));
        match cookie {
            Some(cookie) => reply.with(SET_COOKIE, &cookie),
            None => reply,
        }
    }

    fn with_session(&self, form: &Form, asked: Asked, session: Option<Session>, allowed: bool) -> Reply {
        let Some(session) = session else {
            if asked.prompt.none {
                return refuse(form, "login_required", "Nobody is signed in.");
            }
            return pages::sign_in(form, &asked.app, None);
        };
        let account = session.account;
        let known = self
            .sessions
            .has_agreed(account, &asked.app.client_id, &asked.scope);
        if allowed {
            self.sessions.agree(account, &asked.app.client_id, &asked.scope);
        } else if asked.prompt.none && !known {
            return refuse(form, "consent_required", "The user has not agreed to this.");
        } else if asked.prompt.consent || !known {
            return pages::consent(form, &asked.app, account, &asked.scope);
        }
        self.grant(form, asked, account, session.id)
    }

    /// Checks everything but who asks.
    fn understand(&self, form: &Form, knobs: &Knobs) -> Result<Asked, Reply> {
        for name in ["client_id", "redirect_uri"] {
            if form.is_doubled(name) {
                let reason = format!("{name} was sent more than once");
                return Err(pages::error("invalid_request", &reason));
            }
        }
        let app = self.grants.app(form.get("client_id"));
        let Some(app) = app.filter(|app| app.kind.may_use(GrantType::Code)) else {
            return Err(pages::error("unauthorized_client", "Unknown client"));
        };
        // Nothing is ever sent to an address that is not registered, character for character (RFC 6749 4.1.2.1).
        if !app.accepts_redirect(form.get("redirect_uri"), knobs) {
            return Err(pages::error("unauthorized_client", "Invalid redirect_uri"));
        }
        let wrong = |error: &str, description: &str| Err(refuse(form, error, description));
        if let Some(name) = form.doubled() {
            return wrong("invalid_request", &format!("{name} was sent more than once."));
        }
        match form.get("response_type") {
            "code" => {}
            "" => return wrong("invalid_request", "response_type is missing."),
            _ => return wrong("unsupported_response_type", "Only the code flow is offered."),
        }
        if !matches!(form.get("response_mode"), "" | "query") {
            return wrong("invalid_request", "Only the response mode query is offered.");
        }
        let challenge = form.value("code_challenge");
        match (challenge, form.get("code_challenge_method")) {
            (Some(text), "S256") if text.len() == CHALLENGE_LENGTH => {}
            (Some(_), "S256") => return wrong("invalid_request", "The code_challenge is not one of S256."),
            (Some(_), _) => return wrong("invalid_request", "Transform algorithm not supported"),
            (None, _) if app.kind.needs_pkce() => return wrong("invalid_request", "code challenge required"),
            (None, _) => {}
        }
        let Some(prompt) = Prompt::read(form.get("prompt")) else {
            return wrong("invalid_request", "The prompt is not supported.");
        };
        let Some(scope) = app.granted(form.get("scope"), knobs) else {
            let (error, reason) = scope_refusal(knobs);
            return wrong(error, reason);
        };
        Ok(Asked {
            app,
            scope,
            challenge: challenge.map(str::to_owned),
            prompt,
        })
    }

    /// Sends back a code.
    fn grant(&self, form: &Form, asked: Asked, account: &'static Account, session: String) -> Reply {
        let code = self.grants.issue_code(Consent {
            holder: Holder {
                client_id: asked.app.client_id,
                scope: asked.scope,
                who: Who::Person { account, session },
            },
            redirect_uri: form.get("redirect_uri").to_owned(),
            challenge: asked.challenge,
            nonce: form.value("nonce").map(str::to_owned),
        });
        back(form, &[("code", &code)])
    }
}

/// True unless the app hints at another person than the one signed in.
fn fits(session: &Session, form: &Form) -> bool {
    let hinted = form.value("login_hint").and_then(accounts::by_email);
    hinted.is_none_or(|hinted| hinted == session.account)
}

fn refuse(form: &Form, error: &str, description: &str) -> Reply {
    back(form, &[("error", error), ("error_description", description)])
}

/// The redirect back to the app, whose address was checked; `state` comes back as it was sent.
fn back(form: &Form, pairs: &[(&str, &str)]) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    if let Some(state) = form.value("state").filter(|_| !form.is_doubled("state")) {
        query.append_pair("state", state);
    }
    let uri = form.get("redirect_uri");
    let joint = if uri.contains('?') { '&' } else { '?' };
    Reply::redirect(&format!("{uri}{joint}{}", query.finish())).with(CACHE_CONTROL, "no-store")
}

/// The error of a scope that is not granted, and its description.
pub(super) fn scope_refusal(knobs: &Knobs) -> (&'static str, &'static str) {
    match knobs.scope_error {
        ScopeError::InvalidScope => ("invalid_scope", INVALID_SCOPE),
        ScopeError::UnauthorizedClient => ("unauthorized_client", "Invalid scope for client"),
    }
}
