//! Signs in to the demo's identity service as a person with a browser would.

use std::path::Path;

use tokio::runtime::Handle;
use url::Url;

use crate::auth::callback::Callback;
use crate::auth::login::{LoginError, LoginNotice, Return, sign_in};
use crate::auth::oauth::App;
use crate::auth::{AuthError, CredentialStore, Credentials, StoreKind, TokenSource};
use crate::demo::DemoServer;
use crate::http::{HttpClient, HttpError, Lane, Method, Request};

/// The profile the demo's login is kept under, in a directory of its own.
pub const PROFILE: &str = "demo";

/// The redirect URI; the port is whatever is free.
const REDIRECT_URI: &str = "http://localhost:0/signin-callback";

/// The scopes of the guide's app.
const SCOPES: &str = "projectwise:read offline_access";

/// How many pages a visitor follows; the way back to us is the second.
const PAGES: usize = 5;

/// A login at the demo: who, and what hands out its tokens.
pub struct DemoLogin {
    /// The stored record.
    pub credentials: Credentials,
    /// The tokens.
    pub tokens: TokenSource,
}

/// Signs in with the demo's native app, and keeps the login below `state_dir`.
///
/// # Errors
/// Whatever a login may fail of; the demo's own faults included.
pub async fn sign_in_to_demo(
    server: &DemoServer,
    http: &HttpClient,
    state_dir: &Path,
    runtime: &Handle,
) -> Result<DemoLogin, LoginError> {
    let callback = Callback::bind(REDIRECT_URI).await?;
    server.register_redirect_uri(callback.redirect_uri().as_str());
    let issuer = server.issuer();
    let app = App {
        issuer: Url::parse(&issuer).map_err(|error| AuthError::Protocol(format!("{issuer}: {error}")))?,
        client_id: server.native_client_id(),
        client_secret: None,
        redirect_uri: callback.redirect_uri().as_str().to_owned(),
    };
    let mut browse = |notice| match notice {
        LoginNotice::Open(url) => {
            let http = http.clone();
            runtime.spawn(async move {
                if let Err(error) = visit(&http, url).await {
                    // The login itself times out and says so.
                    tracing::warn!(%error, "the demo's sign-in page could not be followed");
                }
            });
        }
        LoginNotice::WithoutOfflineAccess => {}
    };
    let credentials = sign_in(http, app, SCOPES, Return::Loopback(callback), &mut browse).await?;
    let store = CredentialStore::new(StoreKind::File, state_dir, PROFILE);
    store.lock().await?.save(&credentials).await?;
    let tokens = TokenSource::new(http.clone(), store, credentials.app.clone());
    Ok(DemoLogin { credentials, tokens })
}

/// Opens `url` and goes where it leads.
async fn visit(http: &HttpClient, mut url: Url) -> Result<(), HttpError> {
    for _ in 0..PAGES {
        let page = Request {
            method: Method::Get,
            url: url.clone(),
            headers: Vec::new(),
            authorization: None,
            body: None,
            lane: Lane::Login,
        };
        let answer = http.send(page).await?;
        match answer.header("location").and_then(|next| url.join(next).ok()) {
            Some(next) => url = next,
            None => return Ok(()),
        }
    }
    Ok(())
}
