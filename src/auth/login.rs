//! One login from beginning to end: to the browser, back, and to tokens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use url::Url;

use super::AuthError;
use super::callback::{Arrival, Callback, Page};
use super::credentials::{AppId, Credentials};
use super::oauth::{App, Attempt, OauthError, Provider, Reply};
use crate::http::{HttpClient, Secret};

/// The scopes of a desktop or web app (design 9).
pub const DEFAULT_SCOPES: &str = "projectwise:read offline_access";

/// The scopes of a Service app, which needs no refresh token: it signs in anew by itself.
pub const SERVICE_SCOPES: &str = "projectwise:read";

/// The redirect URI Bentley's own command line tool registers (projectwise-api 3).
pub const DEFAULT_REDIRECT_URI: &str = "http://localhost:3301/signin-callback";

/// The identity provider of all Bentley services.
pub const DEFAULT_ISSUER: &str = "https://ims.bentley.com";

/// Where scopes and redirect URIs are registered.
pub const PORTAL: &str = "https://developer.bentley.com/my-apps/";

/// A password, a second factor and a look into the mail take minutes; a forgotten browser tab must not wait for ever.
pub const LOGIN_PATIENCE: Duration = Duration::from_secs(5 * 60);

const OFFLINE: &str = "offline_access";

/// What the person must be told while a login waits for them.
#[derive(Debug, Clone)]
pub enum LoginNotice {
    /// Open this page and sign in.
    Open(Url),
    /// The app may not ask for `offline_access`: the login lasts about an hour. A new page follows.
    WithoutOfflineAccess,
}

/// How the answer comes back from the browser.
pub enum Return<'a> {
    /// To a port of this machine.
    Loopback(Callback),
    /// By hand: the person pastes the address of the page they were sent to, here awaited.
    Paste(Paste<'a>),
    /// To a port of this machine, or by hand where the browser is on another one: whichever comes first. What is pasted
    /// and does not belong to this login is asked for again; an end of the input leaves the port alone.
    Either(Callback, Paste<'a>),
}

/// Asks for the address of the page the person was sent to. Dropping the future must take the question back.
pub type Paste<'a> = &'a mut (dyn FnMut() -> BoxFuture<'static, io::Result<String>> + Send);

/// Why a login did not come about.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Another program listens on the port of the redirect URI.
    #[error("port {port} of this machine is in use by {}", .by.as_deref().unwrap_or("another program (or another `pwfs login`)"))]
    PortInUse {
        /// The port.
        port: u16,
        /// The program that listens there, where the system tells.
        by: Option<String>,
    },
    /// The redirect URI is no address that can be used.
    #[error("the redirect URI cannot be used: {0}")]
    RedirectUri(String),
    /// The person, or their administrator, said no.
    #[error("the login was refused: {0}")]
    Denied(String),
    /// The app may not ask for these scopes.
    #[error("the app may not ask for the scopes \"{scopes}\" ({detail})")]
    InvalidScope {
        /// The scopes that were asked for last.
        scopes: String,
        /// The provider's words.
        detail: String,
    },
    /// The app may not log in like this.
    #[error("the identity provider does not allow this app to log in like this: {0}")]
    UnauthorizedClient(String),
    /// The provider does not take its own one-time code.
    #[error("the one-time code was not accepted, or came too late ({0})")]
    CodeRefused(String),
    /// What was pasted is no answer to this login.
    #[error("the pasted address does not belong to this login")]
    ForeignReply,
    /// Nobody came back in five minutes.
    #[error("nobody signed in within {} minutes", LOGIN_PATIENCE.as_secs() / 60)]
    TimedOut,
    /// What was pasted could not be read.
    #[error("the pasted address could not be read: {0}")]
    Input(#[from] io::Error),
    /// The identity provider, the network, or the credential store.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// Logs in to `app` for `scopes` through a browser, and returns the record to store.
///
/// The record names the scopes that were granted: without `offline_access` if the provider refused that. Where a
/// [`Callback`] listens, the redirect URI is the callback's; else `app`'s.
pub async fn sign_in(
    http: &HttpClient,
    mut app: App,
    scopes: &str,
    mut way_back: Return<'_>,
    notify: &mut (dyn FnMut(LoginNotice) + Send),
) -> Result<Credentials, LoginError> {
    if let Return::Loopback(callback) | Return::Either(callback, _) = &way_back {
        app.redirect_uri = redirect_text(&app.redirect_uri, callback);
    }
    let provider = Provider::discover(http, app).await?;
    let mut scopes = scopes.split_whitespace().collect::<Vec<_>>().join(" ");
    loop {
        match one_round(&provider, &scopes, &mut way_back, notify).await {
            Err(LoginError::InvalidScope { .. }) if scopes.split(' ').any(|scope| scope == OFFLINE) => {
                notify(LoginNotice::WithoutOfflineAccess);
                let kept: Vec<_> = scopes.split(' ').filter(|scope| *scope != OFFLINE).collect();
                scopes = kept.join(" ");
            }
            other => return other,
        }
    }
}

/// The registered text itself, unless it left the port open: a URL parser might add or drop a character.
fn redirect_text(registered: &str, callback: &Callback) -> String {
    match Url::parse(registered) {
        Ok(url) if url.port() == Some(0) => callback.redirect_uri().as_str().to_owned(),
        Ok(_) | Err(_) => registered.to_owned(),
    }
}

async fn one_round(
    provider: &Provider,
    scopes: &str,
    way_back: &mut Return<'_>,
    notify: &mut (dyn FnMut(LoginNotice) + Send),
) -> Result<Credentials, LoginError> {
    let attempt = Arc::new(provider.begin(scopes));
    notify(LoginNotice::Open(attempt.url.clone()));
    let answer = async {
        match way_back {
            Return::Loopback(callback) => callback.arrival(&attempt).await.map(Answer::Arrival),
            Return::Paste(paste) => {
                let url = Url::parse(paste().await?.trim()).map_err(|_| LoginError::ForeignReply)?;
                Ok(Answer::Pasted(attempt.reply(&url)))
            }
            Return::Either(callback, paste) => either(callback, paste, &attempt).await,
        }
    };
    let answer = tokio::time::timeout(LOGIN_PATIENCE, answer)
        .await
        .map_err(|_| LoginError::TimedOut)??;
    match answer {
        Answer::Pasted(reply) => conclude(provider, scopes, attempt, &reply).await,
        Answer::Arrival(arrival) => {
            let outcome = conclude(provider, scopes, attempt, &arrival.reply).await;
            let page = if outcome.is_ok() {
                Page::SignedIn
            } else {
                Page::NotSignedIn
            };
            arrival.answer(page).await;
            outcome
        }
    }
}

/// What came back from the browser, and how.
enum Answer {
    Arrival(Arrival),
    Pasted(Reply),
}

/// Waits for the browser and for the person, whoever is first. Whoever calls bounds the wait.
async fn either(
    callback: &Callback,
    paste: &mut Paste<'_>,
    attempt: &Arc<Attempt>,
) -> Result<Answer, LoginError> {
    let arrival = callback.arrival(attempt);
    tokio::pin!(arrival);
    loop {
        let pasted = tokio::select! {
            // A browser that is here goes first.
            biased;
            arrival = &mut arrival => return arrival.map(Answer::Arrival),
            pasted = paste() => pasted,
        };
        // Nobody is there to paste anything.
        let Ok(text) = pasted else {
            return arrival.await.map(Answer::Arrival);
        };
        match Url::parse(text.trim()).map(|url| attempt.reply(&url)) {
            Ok(reply @ (Reply::Code(_) | Reply::Refused { .. })) => return Ok(Answer::Pasted(reply)),
            Ok(Reply::Foreign) | Err(_) => {}
        }
    }
}

async fn conclude(
    provider: &Provider,
    scopes: &str,
    attempt: Arc<Attempt>,
    reply: &Reply,
) -> Result<Credentials, LoginError> {
    let code = match reply {
        Reply::Foreign => return Err(LoginError::ForeignReply),
        Reply::Refused { error, description } => return Err(refused(error, description, scopes)),
        Reply::Code(code) => code,
    };
    let tokens = provider
        .exchange(&attempt, code)
        .await
        .map_err(|error| match error {
            AuthError::LoginRequired(words) => LoginError::CodeRefused(words),
            AuthError::SecretRequired(_)
            | AuthError::Unreachable(_)
            | AuthError::LockedOut(_)
            | AuthError::Protocol(_)
            | AuthError::Refused { .. }
            | AuthError::Store(_) => LoginError::Auth(error),
        })?;
    let app = provider.app();
    let id = AppId {
        issuer: app.issuer.as_str().trim_end_matches('/').to_owned(),
        client_id: app.client_id.clone(),
        // What was asked for, not what the answer lists: it is what the next login must repeat, and the answer may
        // leave out `offline_access`.
        scopes: scopes.to_owned(),
    };
    let secret: Option<Secret> = app.client_secret.clone();
    Ok(Credentials::new(
        id,
        &app.redirect_uri,
        secret,
        tokens,
        Timestamp::now(),
    ))
}

fn refused(error: &str, description: &str, scopes: &str) -> LoginError {
    let detail = if description.is_empty() {
        error.to_owned()
    } else {
        format!("{error}: {description}")
    };
    match error {
        "invalid_scope" => LoginError::InvalidScope {
            scopes: scopes.to_owned(),
            detail,
        },
        // Older IMS: "Invalid scope for client" (projectwise-api 3).
        "unauthorized_client" if description.to_ascii_lowercase().contains("scope") => {
            LoginError::InvalidScope {
                scopes: scopes.to_owned(),
                detail,
            }
        }
        "unauthorized_client" | "invalid_client" | "unsupported_response_type" => {
            LoginError::UnauthorizedClient(detail)
        }
        "server_error" | "temporarily_unavailable" => LoginError::Auth(AuthError::Refused {
            error: OauthError::Unavailable,
            words: detail,
        }),
        // access_denied, and whatever else a provider may say there (RFC 6749, 4.1.2.1).
        _ => LoginError::Denied(detail),
    }
}
