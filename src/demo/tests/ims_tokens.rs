//! Codes and tokens: what they say, how long they are good, and what ends them.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::demo::DemoServer;
use crate::demo::knobs::{Discovery, ImsPaths, Rotation};

use super::client::{Answer, exchange};
use super::login::{
    SCOPES, Tokens, VERIFIER, assert_oauth_error, authorize, authorize_for_code, demo, encoded, log_in,
    post_token, redeem, refresh, returned, tokens,
};

/// The payload of a JWT.
pub(super) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn get(server: &DemoServer, path: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1");
    exchange(&server.base_url(), &head, "").await.unwrap()
}

async fn post(server: &DemoServer, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded");
    exchange(&server.base_url(), &head, &encoded(pairs))
        .await
        .unwrap()
}

async fn log_in_for(server: &DemoServer, scope: &str) -> Tokens {
    let code = authorize_for_code(server, scope).await;
    tokens(&redeem(server, &code, VERIFIER).await)
}

/// Whether the server holds a token good.
async fn is_active(server: &DemoServer, token: &str) -> bool {
    introspected(server, token).await["active"].as_bool().unwrap()
}

async fn introspected(server: &DemoServer, token: &str) -> Value {
    let (client, secret) = server.web_client();
    let pairs = [
        ("token", token),
        ("client_id", &client),
        ("client_secret", &secret),
    ];
    let answer = post(server, "/connect/introspect", &pairs).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let server = demo().await;
    let young = authorize_for_code(&server, SCOPES).await;
    server.advance_clock(Duration::from_secs(50));
    assert_eq!(redeem(&server, &young, VERIFIER).await.status, 200);
    let old = authorize_for_code(&server, SCOPES).await;
    server.advance_clock(Duration::from_secs(60));
    assert_oauth_error(&redeem(&server, &old, VERIFIER).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_code_used_twice_ends_what_it_gave() {
    let server = demo().await;
    let code = authorize_for_code(&server, SCOPES).await;
    let first = tokens(&redeem(&server, &code, VERIFIER).await);
    let other = log_in(&server).await;
    assert!(is_active(&server, &first.access_token).await);
    assert_oauth_error(&redeem(&server, &code, VERIFIER).await, 400, "invalid_grant");
    assert!(!is_active(&server, &first.access_token).await);
    let token = first.refresh_token.unwrap();
    assert_oauth_error(&refresh(&server, &token).await, 400, "invalid_grant");
    assert!(is_active(&server, &other.access_token).await);
}

#[tokio::test]
async fn a_rotated_token_used_again_ends_the_whole_family() {
    let server = demo().await;
    let first = log_in(&server).await.refresh_token.unwrap();
    let second = tokens(&refresh(&server, &first).await);
    assert_oauth_error(&refresh(&server, &first).await, 400, "invalid_grant");
    assert!(!is_active(&server, &second.access_token).await);
    let newest = second.refresh_token.unwrap();
    assert_oauth_error(&refresh(&server, &newest).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_may_stay_the_same_or_be_left_out() {
    let server = demo().await;
    server.turn(|knobs| knobs.rotation = Rotation::Keep);
    let token = log_in(&server).await.refresh_token.unwrap();
    for _ in 0..2 {
        let again = tokens(&refresh(&server, &token).await).refresh_token;
        assert_eq!(again.as_ref(), Some(&token));
    }
    server.turn(|knobs| knobs.rotation = Rotation::Silent);
    for _ in 0..2 {
        let answer = refresh(&server, &token).await;
        assert_eq!(answer.status, 200);
        assert_eq!(tokens(&answer).refresh_token, None);
    }
}

#[tokio::test]
async fn a_refresh_token_lives_as_long_as_the_knob_says() {
    let server = demo().await;
    server.turn(|knobs| knobs.refresh_lifetime = Duration::from_secs(100));
    let first = log_in(&server).await.refresh_token.unwrap();
    server.advance_clock(Duration::from_secs(90));
    let second = tokens(&refresh(&server, &first).await).refresh_token.unwrap();
    server.advance_clock(Duration::from_secs(101));
    assert_oauth_error(&refresh(&server, &second).await, 400, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_and_not_widen_it() {
    let server = demo().await;
    let client = server.native_client_id();
    let token = log_in_for(&server, "projectwise:read itwin-platform offline_access").await;
    let mut token = token.refresh_token.unwrap();
    let ask = async |token: &str, scope: &str| {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client.as_str()),
            ("scope", scope),
        ];
        post_token(&server, &pairs, "").await
    };
    let wider = ask(&token, "projectwise:read email").await;
    assert_oauth_error(&wider, 400, "invalid_scope");
    // A refused request does not spend the token, and narrowing once does not last.
    for scope in ["itwin-platform", "projectwise:read itwin-platform"] {
        let answer = ask(&token, scope).await;
        assert_eq!(answer.json()["scope"], scope);
        let words: Vec<_> = scope.split(' ').collect();
        assert_eq!(claims(&tokens(&answer).access_token)["scope"], json!(words));
        token = tokens(&answer).refresh_token.unwrap();
    }
}

#[tokio::test]
async fn another_apps_refresh_token_is_refused_and_stays_good() {
    let server = demo().await;
    let token = log_in(&server).await.refresh_token.unwrap();
    let spa = server.spa_client_id();
    let pairs = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("client_id", &spa),
    ];
    assert_oauth_error(&post_token(&server, &pairs, "").await, 400, "invalid_grant");
    assert_eq!(refresh(&server, &token).await.status, 200);
}

#[tokio::test]
async fn an_access_token_lives_as_long_as_the_knob_says_when_it_is_issued() {
    let server = demo().await;
    server.turn(|knobs| knobs.token_lifetime = Duration::from_secs(120));
    let code = authorize_for_code(&server, SCOPES).await;
    let answer = redeem(&server, &code, VERIFIER).await;
    assert_eq!(answer.json()["expires_in"], 120);
    let token = tokens(&answer).access_token;
    let said = claims(&token);
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 120);
    server.advance_clock(Duration::from_secs(100));
    assert!(is_active(&server, &token).await);
    server.advance_clock(Duration::from_secs(21));
    assert!(!is_active(&server, &token).await);
}

#[tokio::test]
async fn an_access_token_is_signed_and_says_who_where_and_what() {
    let server = demo().await;
    server.turn(|knobs| knobs.audience = "one-api https://two.example/resources".to_owned());
    let token = log_in_for(&server, "projectwise:read itwin-platform")
        .await
        .access_token;
    let keys = get(&server, "/.well-known/openid-configuration/jwks")
        .await
        .json();
    let key = &keys["keys"][0];
    let (text, signature) = token.rsplit_once('.').unwrap();
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": key["kid"] }));
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let public = RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &signature)
        .unwrap();

    let said = claims(&token);
    assert_eq!(said["iss"], server.issuer());
    assert_eq!(said["aud"], json!(["one-api", "https://two.example/resources"]));
    assert_eq!(said["scope"], json!(["projectwise:read", "itwin-platform"]));
    assert_eq!(said["client_id"], server.native_client_id());
    assert_eq!(said["email"], "demo.engineer@example.com");
    assert_eq!(said["name"], "Demo Engineer");
    for text in [
        "sub",
        "sid",
        "jti",
        "given_name",
        "family_name",
        "preferred_username",
        "org",
        "org_name",
        "ultimate_site",
        "usage_country_iso",
    ] {
        assert!(said[text].is_string(), "{text}");
    }
    for list in ["entitlement", "role"] {
        assert!(said[list].is_array(), "{list}");
    }
    assert!(said["nbf"].is_u64());
}

#[tokio::test]
async fn an_id_token_is_for_the_app_and_bound_to_the_access_token() {
    let server = demo().await;
    let answer = authorize(&server, &[("scope", "openid email"), ("nonce", "n-1")]).await;
    let code = returned(&answer, "code").unwrap();
    let answer = redeem(&server, &code, VERIFIER).await.json();
    let said = claims(answer["id_token"].as_str().unwrap());
    let digest = Sha256::digest(answer["access_token"].as_str().unwrap());
    assert_eq!(said["at_hash"], URL_SAFE_NO_PAD.encode(&digest[..16]));
    assert_eq!(said["aud"], server.native_client_id());
    assert_eq!(
        (&said["nonce"], &said["email"]),
        (&json!("n-1"), &json!("demo.engineer@example.com"))
    );
    assert!(said["name"].is_null());
}

#[tokio::test]
async fn user_info_tells_what_the_scopes_allow() {
    let server = demo().await;
    let ask = async |token: &str| {
        let head = format!("GET /connect/userinfo HTTP/1.1\r\nAuthorization: Bearer {token}");
        exchange(&server.base_url(), &head, "").await.unwrap()
    };
    let token = log_in_for(&server, "openid profile").await.access_token;
    let user = ask(&token).await.json();
    assert_eq!(
        (&user["given_name"], &user["email"]),
        (&json!("Demo"), &Value::Null)
    );
    let token = log_in(&server).await.access_token;
    assert_oauth_error(&ask(&token).await, 403, "insufficient_scope");
    assert_oauth_error(&ask("nobody").await, 401, "invalid_token");
}

#[tokio::test]
async fn introspection_writes_the_scope_as_one_text() {
    let server = demo().await;
    let token = log_in(&server).await;
    let said = introspected(&server, &token.access_token).await;
    assert_eq!(said["scope"], SCOPES);
    assert_eq!(said["sub"], claims(&token.access_token)["sub"]);
    let refresh_token = token.refresh_token.unwrap();
    assert_eq!(introspected(&server, &refresh_token).await["scope"], SCOPES);
    assert_eq!(
        introspected(&server, "nonsense").await,
        json!({ "active": false })
    );

    let native = server.native_client_id();
    let pairs = [
        ("token", token.access_token.as_str()),
        ("client_id", native.as_str()),
    ];
    let answer = post(&server, "/connect/introspect", &pairs).await;
    assert_oauth_error(&answer, 401, "invalid_client");
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_access_tokens() {
    let server = demo().await;
    let (native, spa) = (server.native_client_id(), server.spa_client_id());
    let issued = log_in(&server).await;
    let token = issued.refresh_token.unwrap();
    let revoke = async |client: &str| {
        let pairs = [("token", token.as_str()), ("client_id", client)];
        post(&server, "/connect/revocation", &pairs).await
    };
    assert_oauth_error(&revoke(&spa).await, 400, "invalid_grant");
    assert!(is_active(&server, &issued.access_token).await);
    assert_eq!(revoke(&native).await.status, 200);
    assert!(!is_active(&server, &issued.access_token).await);
    assert_oauth_error(&refresh(&server, &token).await, 400, "invalid_grant");
    // Once more does no harm (RFC 7009 2.2).
    assert_eq!(revoke(&native).await.status, 200);
}

#[tokio::test]
async fn the_discovery_document_may_be_short_or_missing() {
    let server = demo().await;
    let path = "/.well-known/openid-configuration";
    assert!(get(&server, path).await.json()["revocation_endpoint"].is_string());
    server.turn(|knobs| knobs.discovery = Discovery::Minimal);
    let document = get(&server, path).await.json();
    let names: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(document["token_endpoint"].is_string() && document["jwks_uri"].is_string());
    server.turn(|knobs| knobs.discovery = Discovery::Missing);
    assert_eq!(get(&server, path).await.status, 404);
}

#[tokio::test]
async fn endpoints_may_be_where_only_discovery_tells() {
    let server = demo().await;
    server.turn(|knobs| knobs.ims_paths = ImsPaths::Ping);
    let document = get(&server, "/.well-known/openid-configuration").await.json();
    let keys = document["jwks_uri"].as_str().unwrap();
    let path = keys.strip_prefix(&server.base_url()).unwrap();
    assert!(get(&server, path).await.json()["keys"][0]["n"].is_string());
    let revocation = post(&server, "/connect/revocation", &[]).await;
    assert_eq!(revocation.status, 404);
}
