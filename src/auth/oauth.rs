//! What is said to the identity provider: discovery, authorization code with PKCE, refresh, client credentials, revocation.
//!
//! Bentley IMS has moved its endpoints before, so every one is taken from discovery (projectwise-api 3). The `oauth2`
//! crate speaks the protocol, over our own [`HttpClient`].

use std::future::Future;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use url::Url;

use super::AuthError;
use super::credentials::Tokens;
use crate::http::{
    HttpClient, HttpError, Lane, Method, Obstacle, Request, Response, SafeUrl, Secret, is_loopback,
};

/// An app as registered in the iTwin portal.
#[derive(Debug, Clone)]
pub struct App {
    /// The identity provider, such as `https://ims.bentley.com`.
    pub issuer: Url,
    /// The Client ID.
    pub client_id: String,
    /// The Client Secret, for apps that have one.
    pub client_secret: Option<Secret>,
    /// The redirect URI, character for character as registered; empty for a service, which has none.
    pub redirect_uri: String,
}

/// Why a service gets no tokens, as far as a person can mend it.
pub(super) enum TokenRefusal {
    /// It may not ask for these scopes; the provider's words.
    Scope(String),
    /// It is no service, or not one any more; the provider's words.
    App(String),
    /// Anything else.
    Other(AuthError),
}

/// The identity provider of one app.
pub struct Provider {
    http: HttpClient,
    app: App,
    client: Client,
    revocation: Option<Url>,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A login that has begun: what the browser is sent to, and what proves that the answer belongs to it.
pub struct Attempt {
    /// What the person opens. The state is in it: whoever reads the address while the login waits could answer in the
    /// person's place, with a code of their own account. No tokens can be had with it: the verifier stays here.
    pub url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

/// What came back from the browser.
pub enum Reply {
    /// Not an answer to this attempt.
    Foreign,
    /// The one-time code.
    Code(Secret),
    /// The identity provider said no.
    Refused {
        /// The code, such as `access_denied`.
        error: String,
        /// The provider's own words, maybe none.
        description: String,
    },
}

/// Why an identity provider refuses a request for tokens, where that is neither the login's nor the secret's fault
/// (RFC 6749, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthError {
    /// `invalid_request`.
    InvalidRequest,
    /// `invalid_scope`, and what older IMS says for it.
    InvalidScope,
    /// `unauthorized_client`.
    UnauthorizedClient,
    /// `unsupported_grant_type`.
    UnsupportedGrantType,
    /// It is out of order: `server_error`, `temporarily_unavailable`, 5xx, 408, 429. Says nothing about the app.
    Unavailable,
    /// A code of its own.
    Other,
}

impl OauthError {
    fn of(error: &BasicErrorResponseType, words: &str) -> Self {
        match error {
            BasicErrorResponseType::InvalidRequest => Self::InvalidRequest,
            BasicErrorResponseType::InvalidScope => Self::InvalidScope,
            // Older IMS: "Invalid scope for client" (projectwise-api 3).
            BasicErrorResponseType::UnauthorizedClient if words.to_ascii_lowercase().contains("scope") => {
                Self::InvalidScope
            }
            BasicErrorResponseType::UnauthorizedClient => Self::UnauthorizedClient,
            BasicErrorResponseType::UnsupportedGrantType => Self::UnsupportedGrantType,
            BasicErrorResponseType::Extension(code) => match code.as_str() {
                "server_error" | "temporarily_unavailable" | "slow_down" => Self::Unavailable,
                _ => Self::Other,
            },
            BasicErrorResponseType::InvalidClient | BasicErrorResponseType::InvalidGrant => Self::Other,
        }
    }

    /// What the provider does, for a message that names it.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Unavailable => "is out of order",
            Self::InvalidRequest
            | Self::InvalidScope
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::Other => "refuses the app's request",
        }
    }
}

/// Where the endpoints of an identity provider are.
#[derive(Clone)]
pub struct Endpoints {
    authorization: Url,
    token: Url,
    revocation: Option<Url>,
    auth_type: AuthType,
}

/// The part of a discovery document that is used (OpenID Connect Discovery 1.0, 3).
#[derive(Deserialize)]
struct Discovery {
    authorization_endpoint: Url,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

impl Endpoints {
    /// Asks `issuer`. May take as long as one call of the client, 120 s: hold nothing meanwhile.
    pub async fn find(http: &HttpClient, issuer: &Url) -> Result<Self, AuthError> {
        safe(http, issuer, issuer)?;
        // The path is appended, not joined: an issuer may have a path of its own.
        let text = format!(
            "{}/.well-known/openid-configuration",
            issuer.as_str().trim_end_matches('/')
        );
        let url = Url::parse(&text)
            .map_err(|error| AuthError::Protocol(format!("the issuer's address: {error}")))?;
        let shown = SafeUrl(&url).to_string();
        // The issuer inside the document is not compared: Bentley has several names for one provider (projectwise-api
        // 3), and the document comes over TLS from the one the person chose.
        let response = fetch(http, url).await?;
        if let Some(error) = outage(&shown, response.status) {
            return Err(error);
        }
        if response.status != 200 {
            let text = format!(
                "{shown} answers with status {} instead of its endpoints",
                response.status
            );
            return Err(AuthError::Protocol(text));
        }
        let found: Discovery = serde_json::from_slice(&response.body)
            .map_err(|error| AuthError::Protocol(format!("{shown} is not a discovery document: {error}")))?;
        let endpoints = [&found.authorization_endpoint, &found.token_endpoint];
        for endpoint in endpoints.into_iter().chain(&found.revocation_endpoint) {
            safe(http, issuer, endpoint)?;
            if is_loopback(endpoint) && !is_loopback(issuer) {
                let text = format!("{shown} names an endpoint on this machine");
                return Err(AuthError::Protocol(text));
            }
        }
        // Both forms are seen with Bentley (projectwise-api 3). Basic only where the provider takes nothing else.
        let methods = &found.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        let auth_type = if has("client_secret_basic") && !has("client_secret_post") {
            AuthType::BasicAuth
        } else {
            AuthType::RequestBody
        };
        Ok(Self {
            authorization: found.authorization_endpoint,
            token: found.token_endpoint,
            revocation: found.revocation_endpoint,
            auth_type,
        })
    }
}

impl Provider {
    /// Asks `app`'s issuer where its endpoints are.
    pub async fn discover(http: &HttpClient, app: App) -> Result<Self, AuthError> {
        let endpoints = Endpoints::find(http, &app.issuer).await?;
        Self::new(http, endpoints, app)
    }

    /// The provider at `endpoints`, which must be those of `app`'s issuer. Sends nothing.
    pub fn new(http: &HttpClient, endpoints: Endpoints, app: App) -> Result<Self, AuthError> {
        let mut client = BasicClient::new(ClientId::new(app.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization))
            .set_token_uri(TokenUrl::from_url(endpoints.token))
            .set_auth_type(endpoints.auth_type);
        if !app.redirect_uri.is_empty() {
            let redirect = RedirectUrl::new(app.redirect_uri.clone()).map_err(|error| {
                AuthError::Protocol(format!("the redirect URI {:?}: {error}", app.redirect_uri))
            })?;
            client = client.set_redirect_uri(redirect);
        }
        if let Some(secret) = &app.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        Ok(Self {
            http: http.clone(),
            app,
            client,
            revocation: endpoints.revocation,
        })
    }

    /// The app it speaks for.
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Begins a login for `scopes`, separated by spaces.
    pub fn begin(&self, scopes: &str) -> Attempt {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = self.client.authorize_url(CsrfToken::new_random);
        if scopes.split_whitespace().any(|scope| scope == "offline_access") {
            // Without it a provider ignores offline_access (OpenID Connect Core 1.0, 11), and says nothing of it.
            request = request.add_extra_param("prompt", "consent");
        }
        let (url, state) = request
            .add_scopes(
                scopes
                    .split_whitespace()
                    .map(|scope| Scope::new(scope.to_owned())),
            )
            .set_pkce_challenge(challenge)
            .url();
        Attempt { url, state, verifier }
    }

    /// Exchanges the one-time code of `attempt` for tokens. Sent once: a code must not arrive twice.
    pub async fn exchange(&self, attempt: &Attempt, code: &Secret) -> Result<Tokens, AuthError> {
        let wire = Wire {
            http: &self.http,
            grant: Grant::Code,
        };
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.secret().clone()))
            .request_async(&wire)
            .await;
        if let Err(RequestTokenError::ServerResponse(refusal)) = &answer
            && matches!(refusal.error(), BasicErrorResponseType::InvalidGrant)
        {
            // There is no login yet that could have ended.
            return Err(AuthError::LoginRequired(words(refusal)));
        }
        tokens(answer)
    }

    /// Exchanges `refresh` for new tokens. The old refresh token may be dead afterwards.
    pub async fn refresh(&self, refresh: &Secret) -> Result<Tokens, AuthError> {
        let wire = Wire {
            http: &self.http,
            grant: Grant::Refresh,
        };
        let token = RefreshToken::new(refresh.expose().to_owned());
        let answer = self
            .client
            .exchange_refresh_token(&token)
            // Not in RFC 6749, but Bentley's own library sends it (projectwise-api 3).
            .add_extra_param("redirect_uri", self.app.redirect_uri.clone())
            .request_async(&wire)
            .await;
        tokens(answer)
    }

    /// Asks for tokens for `scopes` with nothing but the secret (RFC 6749, 4.4).
    pub(super) async fn service_tokens(&self, scopes: &str) -> Result<Tokens, TokenRefusal> {
        let wire = Wire {
            http: &self.http,
            grant: Grant::Service,
        };
        let scopes = scopes.split_whitespace();
        let answer = self
            .client
            .exchange_client_credentials()
            .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
            .request_async(&wire)
            .await;
        if let Err(RequestTokenError::ServerResponse(refusal)) = &answer {
            let detail = words(refusal);
            // Older IMS: `unauthorized_client`, "Invalid scope for client" (projectwise-api 3).
            let of_scope = detail.to_ascii_lowercase().contains("scope");
            match refusal.error() {
                BasicErrorResponseType::InvalidScope => return Err(TokenRefusal::Scope(detail)),
                BasicErrorResponseType::UnauthorizedClient if of_scope => {
                    return Err(TokenRefusal::Scope(detail));
                }
                BasicErrorResponseType::UnauthorizedClient | BasicErrorResponseType::UnsupportedGrantType => {
                    return Err(TokenRefusal::App(detail));
                }
                BasicErrorResponseType::InvalidClient
                | BasicErrorResponseType::InvalidGrant
                | BasicErrorResponseType::InvalidRequest
                | BasicErrorResponseType::Extension(_) => {}
            }
        }
        tokens(answer).map_err(TokenRefusal::Other)
    }

    /// Ends `refresh` at the provider (RFC 7009); false where the provider offers no way to.
    pub async fn revoke(&self, refresh: &Secret) -> Result<bool, AuthError> {
        // Not through the oauth2 crate, which refuses a simulator's http address on this machine.
        let Some(url) = self.revocation.clone() else {
            return Ok(false);
        };
        let shown = SafeUrl(&url).to_string();
        let request = self.revocation_request(url, refresh);
        let answer = self.http.send(request).await?;
        match answer.status {
            200..300 => Ok(true),
            status => match outage(&shown, status) {
                Some(error) => Err(error),
                None => Err(AuthError::Protocol(format!(
                    "{shown} refuses to end the login (status {status})"
                ))),
            },
        }
    }

    fn revocation_request(&self, url: Url, refresh: &Secret) -> Request {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", refresh.expose());
        form.append_pair("token_type_hint", "refresh_token");
        let mut authorization = None;
        match (&self.app.client_secret, self.client.auth_type()) {
            (Some(secret), AuthType::BasicAuth) => authorization = Some(basic(&self.app.client_id, secret)),
            (secret, _) => {
                form.append_pair("client_id", &self.app.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose());
                }
            }
        }
        Request {
            method: Method::Post,
            url,
            headers: vec![("Accept", "application/json".to_owned())],
            authorization,
            body: Some(("application/x-www-form-urlencoded", Secret::new(form.finish()))),
            lane: Lane::Login,
        }
    }
}

/// HTTP Basic for a client: both halves are form-encoded first (RFC 6749, 2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(client_id), encode(secret.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}

impl Attempt {
    /// Reads the query of a callback. Whatever has another state is foreign, an error too.
    pub fn reply(&self, callback: &Url) -> Reply {
        let value = |name: &str| {
            callback
                .query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let state = value("state").unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(self.state.secret().as_bytes())) {
            return Reply::Foreign;
        }
        match (value("error"), value("code")) {
            (Some(error), _) => Reply::Refused {
                error: short(&error),
                description: short(&value("error_description").unwrap_or_default()),
            },
            (None, Some(code)) => Reply::Code(Secret::new(code)),
            (None, None) => Reply::Foreign,
        }
    }
}

/// A provider that has moved says so with a redirect; the request carries nothing that could leak by following it.
const MOST_MOVES: usize = 2;

async fn fetch(http: &HttpClient, mut url: Url) -> Result<Response, AuthError> {
    for _ in 0..MOST_MOVES {
        let response = http.send(Request::get(Lane::Login, url.clone())).await?;
        let next = match (response.status, response.header("location")) {
            (301 | 302 | 307 | 308, Some(location)) => url.join(location).ok(),
            _ => None,
        };
        let Some(next) = next else { return Ok(response) };
        safe(http, &url, &next)?;
        if is_loopback(&next) && !is_loopback(&url) {
            let text = format!("{} redirects to this machine", SafeUrl(&url));
            return Err(AuthError::Protocol(text));
        }
        url = next;
    }
    Ok(http.send(Request::get(Lane::Login, url)).await?)
}

/// A stranger's words, cut to what fits a message and without control characters.
fn short(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(300)
        .collect()
}

/// Refuses addresses that would carry secrets in the open. What the user permits is to speak plainly to a provider that
/// was named so; one that was named by https cannot send us anywhere plain.
fn safe(http: &HttpClient, named: &Url, url: &Url) -> Result<(), AuthError> {
    let step_down = named.scheme() == "https" && url.scheme() == "http" && !is_loopback(url);
    if http.network().permits(url) && !step_down {
        return Ok(());
    }
    let shown = SafeUrl(url);
    let text = match url.scheme() {
        "http" if !step_down => format!(
            "{shown} is not a secure (https) address, and {}",
            Obstacle::PlainHttp.phrase()
        ),
        _ => format!("{shown} is not a secure (https) address"),
    };
    Err(AuthError::Protocol(text))
}

/// A provider that fails says nothing about the login.
fn outage(shown: &str, status: u16) -> Option<AuthError> {
    (status >= 500 || status == 429 || status == 408).then(|| AuthError::Refused {
        error: OauthError::Unavailable,
        words: format!("{shown} answers status {status}"),
    })
}

type TokenAnswer = Result<BasicTokenResponse, RequestTokenError<AuthError, BasicErrorResponse>>;

fn tokens(answer: TokenAnswer) -> Result<Tokens, AuthError> {
    match answer {
        Ok(answer) => Ok(Tokens {
            access: Secret::new(answer.access_token().secret()),
            refresh: answer.refresh_token().map(|token| Secret::new(token.secret())),
            lifetime: answer.expires_in(),
            scopes: answer.scopes().map(|scopes| {
                let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
                words.join(" ")
            }),
        }),
        Err(RequestTokenError::Request(error)) => Err(error),
        Err(RequestTokenError::ServerResponse(answer)) => Err(refused(&answer)),
        // The body may hold tokens: only its existence is told.
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => Err(AuthError::Protocol(
            "the token endpoint's answer is neither tokens nor an OAuth error".to_owned(),
        )),
    }
}

/// The provider's own words, with its code first.
fn words(answer: &BasicErrorResponse) -> String {
    match answer.error_description() {
        Some(description) => format!("{}: {}", short(answer.error().as_ref()), short(description)),
        None => short(answer.error().as_ref()),
    }
}

fn refused(answer: &BasicErrorResponse) -> AuthError {
    let words = words(answer);
    match answer.error() {
        BasicErrorResponseType::InvalidGrant => {
            AuthError::LoginRequired(format!("the login has ended ({words})"))
        }
        BasicErrorResponseType::InvalidClient => AuthError::SecretRequired(format!(
            "the app's Client Secret is missing, wrong or was renewed in the portal ({words})"
        )),
        error @ (BasicErrorResponseType::InvalidRequest
        | BasicErrorResponseType::InvalidScope
        | BasicErrorResponseType::UnauthorizedClient
        | BasicErrorResponseType::UnsupportedGrantType
        | BasicErrorResponseType::Extension(_)) => AuthError::Refused {
            error: OauthError::of(error, &words),
            words,
        },
    }
}

/// What a token request carries: decides whether it may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    Code,
    Refresh,
    Service,
}

/// Lets the `oauth2` crate speak through our client.
struct Wire<'a> {
    http: &'a HttpClient,
    grant: Grant,
}

impl<'c> AsyncHttpClient<'c> for Wire<'_> {
    type Error = AuthError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, AuthError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let url = Url::parse(&request.uri().to_string())
                .map_err(|error| HttpError::Protocol(format!("the token endpoint's address: {error}")))?;
            let shown = SafeUrl(&url).to_string();
            let header = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned)
            };
            let accept = header("accept").unwrap_or_else(|| "application/json".to_owned());
            let authorization = header("authorization").map(Secret::new);
            let body = String::from_utf8(request.into_body())
                .map_err(|_| HttpError::Protocol("a token request is not text".to_owned()))?;
            let ours = Request {
                method: Method::Post,
                url,
                headers: vec![("Accept", accept)],
                authorization,
                body: Some(("application/x-www-form-urlencoded", Secret::new(body))),
                lane: Lane::Login,
            };
            let answer = match self.grant {
                Grant::Code => self.http.send_once(ours).await?,
                Grant::Refresh | Grant::Service => self.http.send(ours).await?,
            };
            if let Some(error) = outage(&shown, answer.status) {
                return Err(error);
            }
            let mut response = oauth2::http::Response::builder().status(answer.status);
            if let Some(kind) = answer.header("content-type") {
                response = response.header("content-type", kind);
            }
            response
                .body(answer.body.to_vec())
                .map_err(|error| HttpError::Protocol(format!("{shown}: {error}")).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Network, Options};

    #[test]
    fn a_provider_is_spoken_to_plainly_only_where_it_was_named_so_and_that_is_permitted() {
        let client = |allow_plain_http| {
            let network = Network {
                allow_plain_http,
                ..Network::default()
            };
            HttpClient::with_options(Options {
                network,
                ..Options::default()
            })
            .unwrap()
        };
        let (strict, plain) = (client(false), client(true));
        for (named, url, strictly, permitted) in [
            ("https://ims.example", "https://ims.example/token", true, true),
            ("http://127.0.0.1:1", "http://localhost:2/token", true, true),
            ("http://ims.example", "http://ims.example/token", false, true),
            ("http://ims.example", "https://ims.example/token", true, true),
            ("https://ims.example", "http://ims.example/token", false, false),
            ("https://ims.example", "ftp://ims.example/token", false, false),
        ] {
            let (named, url) = (Url::parse(named).unwrap(), Url::parse(url).unwrap());
            assert_eq!(safe(&strict, &named, &url).is_ok(), strictly, "{named} {url}");
            assert_eq!(safe(&plain, &named, &url).is_ok(), permitted, "{named} {url}");
        }
        let http = Url::parse("http://ims.example").unwrap();
        let words = safe(&strict, &http, &http).unwrap_err().to_string();
        assert_eq!(Obstacle::told_by(&words), Some(Obstacle::PlainHttp), "{words}");
    }
}
