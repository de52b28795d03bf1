//! The token dance.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::demo::knobs::Knobs;
use crate::demo::{DemoOptions, DemoServer, RequestKind};

use super::client::{Answer, Bench, exchange};

pub(super) const REDIRECT: &str = "http://localhost:3301/signin-callback";
pub(super) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0123456789";
pub(super) const SCOPES: &str = "projectwise:read offline_access";

pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
}

/// Signs in as the native app.
pub(super) async fn log_in(server: &DemoServer) -> Tokens {
    let code = authorize_for_code(server, SCOPES).await;
    let answer = redeem(server, &code, VERIFIER).await;
    assert_eq!(answer.status, 200);
    tokens(&answer)
}

/// Signs in as the native app, as this person.
pub(super) async fn log_in_as(server: &DemoServer, email: &str) -> Tokens {
    let answer = authorize(server, &[("login_hint", email)]).await;
    let code = returned(&answer, "code").unwrap();
    let answer = redeem(server, &code, VERIFIER).await;
    assert_eq!(answer.status, 200);
    tokens(&answer)
}

pub(super) fn tokens(answer: &Answer) -> Tokens {
    let json = answer.json();
    Tokens {
        access_token: json["access_token"].as_str().unwrap().to_owned(),
        refresh_token: json["refresh_token"].as_str().map(str::to_owned),
    }
}

pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

pub(super) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

pub(super) async fn authorize(server: &DemoServer, changes: &[(&str, &str)]) -> Answer {
    let (client, challenge) = (server.native_client_id(), challenge());
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", REDIRECT),
        ("scope", SCOPES),
        ("state", "a state & more"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for change in changes {
        pairs.retain(|(key, _)| key != &change.0);
        pairs.push(*change);
    }
    let head = format!("GET /connect/authorize?{} HTTP/1.1", encoded(&pairs));
    exchange(&server.base_url(), &head, "").await.unwrap()
}

/// A parameter of the redirect.
pub(super) fn returned(answer: &Answer, key: &str) -> Option<String> {
    let location = answer.header("location")?;
    assert!(location.starts_with(REDIRECT), "{location}");
    let (_, query) = location.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
}

pub(super) async fn authorize_for_code(server: &DemoServer, scope: &str) -> String {
    let answer = authorize(server, &[("scope", scope)]).await;
    assert_eq!(answer.status, 302);
    returned(&answer, "code").unwrap()
}

pub(super) async fn post_token(server: &DemoServer, pairs: &[(&str, &str)], header: &str) -> Answer {
    let head =
        format!("POST /connect/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded{header}");
    exchange(&server.base_url(), &head, &encoded(pairs))
        .await
        .unwrap()
}

pub(super) async fn redeem(server: &DemoServer, code: &str, verifier: &str) -> Answer {
    let client = server.native_client_id();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", &client),
        ("code_verifier", verifier),
    ];
    post_token(server, &pairs, "").await
}

pub(super) async fn refresh(server: &DemoServer, token: &str) -> Answer {
    let client = server.native_client_id();
    let pairs = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", &client),
    ];
    post_token(server, &pairs, "").await
}

#[track_caller]
pub(super) fn assert_oauth_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (status, Some(error))
    );
}

pub(super) async fn demo() -> DemoServer {
    DemoServer::start(DemoOptions::default()).await.unwrap()
}

#[tokio::test]
async fn discovery_names_endpoints_that_exist() {
    let server = demo().await;
    let head = "GET /.well-known/openid-configuration HTTP/1.1";
    let document = exchange(&server.base_url(), head, "").await.unwrap().json();
    assert_eq!(document["issuer"], server.issuer());
    for endpoint in [
        "authorization",
        "token",
        "userinfo",
        "revocation",
        "introspection",
        "end_session",
    ] {
        let url = document[format!("{endpoint}_endpoint")]
            .as_str()
            .unwrap()
            .to_owned();
        let path = url.strip_prefix(&server.base_url()).unwrap();
        let answer = exchange(&server.base_url(), &format!("GET {path} HTTP/1.1"), "").await;
        assert_ne!(answer.unwrap().status, 404, "{endpoint}");
    }
}

#[tokio::test]
async fn a_code_with_its_verifier_becomes_tokens_once() {
    let server = demo().await;
    let code = authorize_for_code(&server, SCOPES).await;
    let answer = redeem(&server, &code, VERIFIER).await;
    let issued = tokens(&answer);
    assert_eq!(answer.json()["expires_in"], 3600);
    assert!(issued.refresh_token.is_some());
    let payload = issued.access_token.split('.').nth(1).unwrap();
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(
        payload["scope"],
        serde_json::json!(["projectwise:read", "offline_access"])
    );
    assert_eq!(payload["iss"], server.issuer());
    assert_oauth_error(&redeem(&server, &code, VERIFIER).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_wrong_verifier_is_refused_and_spends_the_code() {
    let server = demo().await;
    let code = authorize_for_code(&server, SCOPES).await;
    assert_oauth_error(&redeem(&server, &code, "wrong").await, 400, "invalid_grant");
    assert_oauth_error(&redeem(&server, &code, VERIFIER).await, 400, "invalid_grant");
}

#[tokio::test]
async fn state_comes_back_and_mistakes_are_told() {
    let server = demo().await;
    let answer = authorize(&server, &[]).await;
    assert_eq!(returned(&answer, "state").unwrap(), "a state & more");

    let answer = authorize(&server, &[("scope", "projectwise:read storage:write")]).await;
    assert_eq!(returned(&answer, "error").unwrap(), "invalid_scope");
    let description = returned(&answer, "error_description").unwrap();
    assert!(description.contains("exceeds that which the client is permitted"));

    let answer = authorize(&server, &[("code_challenge", "")]).await;
    assert_eq!(returned(&answer, "error").unwrap(), "invalid_request");
}

#[tokio::test]
async fn an_unregistered_address_gets_no_redirect() {
    let server = demo().await;
    for change in [
        ("redirect_uri", "http://localhost:3302/signin-callback"),
        ("client_id", "nobody"),
    ] {
        let answer = authorize(&server, &[change]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, None),
            "{change:?}"
        );
    }
    server.register_redirect_uri("http://localhost:3302/signin-callback");
    let answer = authorize(
        &server,
        &[("redirect_uri", "http://localhost:3302/signin-callback")],
    );
    assert_eq!(answer.await.status, 302);
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let server = demo().await;
    let first = log_in(&server).await.refresh_token.unwrap();
    let answer = refresh(&server, &first).await;
    let second = tokens(&answer).refresh_token.unwrap();
    assert_ne!(first, second);
    assert_eq!(refresh(&server, &second).await.status, 200);
    assert_oauth_error(&refresh(&server, &first).await, 400, "invalid_grant");
}

#[tokio::test]
async fn no_offline_access_means_no_refresh_token() {
    let server = demo().await;
    let code = authorize_for_code(&server, "projectwise:read").await;
    assert!(
        tokens(&redeem(&server, &code, VERIFIER).await)
            .refresh_token
            .is_none()
    );
}

#[tokio::test]
async fn the_web_app_proves_itself_by_form_or_basic() {
    let server = demo().await;
    let (client, secret) = server.web_client();
    let with = |given: &str| {
        let pair = |text: &str| encoded(&[("", text)]).trim_start_matches('=').to_owned();
        let basic = STANDARD.encode(format!("{}:{}", pair(&client), pair(given)));
        format!("\r\nAuthorization: Basic {basic}")
    };
    let grant = async || {
        let answer = authorize(&server, &[("client_id", &client)]).await;
        returned(&answer, "code").unwrap()
    };
    for by_basic in [true, false] {
        let code = grant().await;
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        let refused = if by_basic {
            post_token(&server, &pairs, &with("wrong")).await
        } else {
            pairs.extend([("client_id", client.as_str()), ("client_secret", "wrong")]);
            post_token(&server, &pairs, "").await
        };
        assert_oauth_error(&refused, if by_basic { 401 } else { 400 }, "invalid_client");
        let header = if by_basic { with(&secret) } else { String::new() };
        if !by_basic {
            pairs.pop();
            pairs.push(("client_secret", &secret));
        }
        // A failed proof of the client does not spend the code.
        assert_eq!(post_token(&server, &pairs, &header).await.status, 200);
    }
}

#[tokio::test]
async fn a_secret_sent_for_the_native_app_is_refused() {
    let server = demo().await;
    let code = authorize_for_code(&server, SCOPES).await;
    let client = server.native_client_id();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", &client),
        ("client_secret", "any"),
        ("code_verifier", VERIFIER),
    ];
    assert_oauth_error(&post_token(&server, &pairs, "").await, 400, "invalid_client");
}

#[tokio::test]
async fn the_gateway_wants_a_living_token_of_the_right_scope() {
    let mut bench = Bench::new(DemoOptions::default()).await;
    assert_eq!(bench.get("/Navigation/NavNode").await.status, 200);
    bench.server.expire_access_tokens();
    bench
        .get("/Navigation/NavNode")
        .await
        .assert_error(401, "LoginFailed");
    bench
        .get("/PW_WSG/NoSuchClass")
        .await
        .assert_error(401, "LoginFailed");

    let code = authorize_for_code(&bench.server, "openid").await;
    bench.token = tokens(&redeem(&bench.server, &code, VERIFIER).await).access_token;
    bench
        .get("/Navigation/NavNode")
        .await
        .assert_error(403, "NotEnoughRights");
}

#[tokio::test]
async fn revoking_everything_ends_refresh_tokens_too() {
    let server = demo().await;
    let token = log_in(&server).await.refresh_token.unwrap();
    server.revoke_all_tokens();
    assert_oauth_error(&refresh(&server, &token).await, 400, "invalid_grant");
    assert_eq!(server.requests().of(RequestKind::Token), 2);
}

#[tokio::test]
async fn a_token_lives_as_long_as_asked() {
    let token_lifetime = std::time::Duration::ZERO;
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            token_lifetime,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    bench
        .get("/Navigation/NavNode")
        .await
        .assert_error(401, "LoginFailed");
}

#[tokio::test]
async fn a_rotated_secret_refuses_the_old_one() {
    let server = demo().await;
    let (client, secret) = server.web_client();
    server.rotate_web_secret("another");
    for (given, error) in [(secret.as_str(), "invalid_client"), ("another", "invalid_grant")] {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "unknown"),
            ("client_id", client.as_str()),
            ("client_secret", given),
        ];
        assert_oauth_error(&post_token(&server, &pairs, "").await, 400, error);
    }
}

#[tokio::test]
async fn a_revoked_token_opens_nothing() {
    let bench = Bench::new(DemoOptions::default()).await;
    let client = bench.server.native_client_id();
    let pairs = encoded(&[("token", bench.token.as_str()), ("client_id", client.as_str())]);
    let head = "POST /connect/revocation HTTP/1.1";
    let base = bench.server.base_url();
    assert_eq!(exchange(&base, head, &pairs).await.unwrap().status, 200);
    bench
        .get("/Navigation/NavNode")
        .await
        .assert_error(401, "LoginFailed");
}
