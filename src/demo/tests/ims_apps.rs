//! What each type of app may do, and what the authorize endpoint refuses.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::demo::knobs::{OfflineAccess, RedirectMatch, ScopeError};
use crate::demo::{App, AppType, DEFAULT_EMAIL, DemoServer};

use super::client::{Answer, Bench, exchange};
use super::ims_tokens::claims;
use super::login::{
    REDIRECT, VERIFIER, assert_oauth_error, authorize, authorize_for_code, challenge, demo, encoded,
    post_token, redeem, returned, tokens,
};

async fn service_token(server: &DemoServer, scope: &str, by_basic: bool) -> Answer {
    let (client, secret) = server.service_client();
    let mut pairs = vec![("grant_type", "client_credentials"), ("scope", scope)];
    let mut header = String::new();
    if by_basic {
        let pair = |text: &str| encoded(&[("", text)]).trim_start_matches('=').to_owned();
        let both = STANDARD.encode(format!("{}:{}", pair(&client), pair(&secret)));
        header = format!("\r\nAuthorization: Basic {both}");
    } else {
        pairs.extend([("client_id", client.as_str()), ("client_secret", secret.as_str())]);
    }
    post_token(server, &pairs, &header).await
}

#[tokio::test]
async fn a_service_gets_a_token_with_its_secret_and_reads_with_it() {
    let server = demo().await;
    let by_basic = service_token(&server, "itwin-platform", true).await;
    assert_eq!(by_basic.status, 200);
    let answer = service_token(&server, "itwin-platform projectwise:read", false).await;
    let issued = tokens(&answer);
    assert!(issued.refresh_token.is_none() && answer.json()["id_token"].is_null());
    let said = claims(&issued.access_token);
    assert_eq!(said["client_id"], server.service_client().0);
    for personal in ["sub", "sid", "email", "name", "org", "entitlement"] {
        assert!(said[personal].is_null(), "{personal}");
    }
    let token = issued.access_token;
    let bench = Bench { server, token };
    assert_eq!(bench.get("/Navigation/NavNode").await.status, 200);
}

#[tokio::test]
async fn a_service_is_refused_scopes_about_people() {
    let server = demo().await;
    for scope in ["openid", "email", "profile", "organization", "offline_access", ""] {
        let both = format!("itwin-platform {scope}");
        let asked = if scope.is_empty() { scope } else { &both };
        let answer = service_token(&server, asked, false).await;
        assert_oauth_error(&answer, 400, "invalid_scope");
    }
}

#[tokio::test]
async fn each_type_of_app_has_its_own_way_to_tokens() {
    let server = demo().await;
    let (service, secret) = server.service_client();
    let native = server.native_client_id();
    for (grant, client, secret) in [
        ("authorization_code", service.as_str(), secret.as_str()),
        ("refresh_token", &service, &secret),
        ("client_credentials", &native, ""),
    ] {
        let pairs = [
            ("grant_type", grant),
            ("client_id", client),
            ("client_secret", secret),
            ("code", "x"),
            ("redirect_uri", REDIRECT),
            ("refresh_token", "x"),
            ("scope", "itwin-platform"),
        ];
        let answer = post_token(&server, &pairs, "").await;
        assert_oauth_error(&answer, 400, "unauthorized_client");
    }
    let page = authorize(&server, &[("client_id", &service)]).await;
    assert_eq!((page.status, page.header("location")), (400, None));
}

#[tokio::test]
async fn apps_without_a_secret_need_pkce_and_the_web_app_does_not() {
    let server = demo().await;
    let spa = server.spa_client_id();
    let none = [("code_challenge", ""), ("code_challenge_method", "")];
    let plain = [
        ("code_challenge", challenge()),
        ("code_challenge_method", "plain".to_owned()),
    ];
    let refused = authorize(&server, &[("client_id", spa.as_str()), none[0], none[1]]).await;
    assert_eq!(returned(&refused, "error").unwrap(), "invalid_request");
    let plain: Vec<_> = plain.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let refused = authorize(&server, &plain).await;
    assert_eq!(returned(&refused, "error").unwrap(), "invalid_request");

    let (web, secret) = server.web_client();
    let answer = authorize(&server, &[("client_id", web.as_str()), none[0], none[1]]).await;
    let code = returned(&answer, "code").unwrap();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", web.as_str()),
        ("client_secret", secret.as_str()),
    ];
    assert_eq!(post_token(&server, &pairs, "").await.status, 200);
}

#[tokio::test]
async fn a_browser_app_redeems_with_its_verifier_and_may_read_the_answer() {
    let server = demo().await;
    let spa = server.spa_client_id();
    let answer = authorize(&server, &[("client_id", &spa)]).await;
    let code = returned(&answer, "code").unwrap();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("client_id", spa.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let header = "\r\nOrigin: http://localhost:3301";
    let answer = post_token(&server, &pairs, header).await;
    assert_eq!(answer.status, 200);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("http://localhost:3301"));
}

#[tokio::test]
async fn only_origins_of_browser_apps_may_read_answers() {
    let server = demo().await;
    let ask = async |method: &str, path: &str, origin: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nOrigin: {origin}");
        exchange(&server.base_url(), &head, "").await.unwrap()
    };
    let document = "/.well-known/openid-configuration";
    for (origin, allowed) in [("http://localhost:3301", true), ("http://evil.example", false)] {
        for (method, path, status) in [("OPTIONS", "/connect/token", 204), ("GET", document, 200)] {
            let answer = ask(method, path, origin).await;
            assert_eq!(answer.status, status);
            let header = answer.header("access-control-allow-origin");
            assert_eq!(header, allowed.then_some(origin), "{method} {path}");
        }
    }
    let methods = ask("OPTIONS", "/connect/token", "http://localhost:3301").await;
    assert!(
        methods
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
}

#[tokio::test]
async fn a_loopback_address_may_have_any_port_where_the_knob_says_so() {
    let server = demo().await;
    let moved = ("redirect_uri", "http://localhost:49152/signin-callback");
    assert_eq!(authorize(&server, &[moved]).await.status, 400);
    server.turn(|knobs| knobs.redirect_match = RedirectMatch::LoopbackPort);
    let answer = authorize(&server, &[moved]).await;
    assert!(answer.header("location").unwrap().starts_with(moved.1));
}

#[tokio::test]
async fn a_web_app_may_be_held_to_https() {
    let server = demo().await;
    let (web, _) = server.web_client();
    assert_eq!(authorize(&server, &[("client_id", &web)]).await.status, 302);
    server.turn(|knobs| knobs.web_needs_https = true);
    assert_eq!(authorize(&server, &[("client_id", &web)]).await.status, 400);
    assert_eq!(authorize(&server, &[]).await.status, 302);
}

#[tokio::test]
async fn a_native_app_may_be_held_to_this_machine() {
    let server = demo().await;
    let far = ("redirect_uri", "https://app.example.com/callback");
    server.register_redirect_uri(far.1);
    assert_eq!(authorize(&server, &[far]).await.status, 302);
    server.turn(|knobs| knobs.native_needs_loopback = true);
    assert_eq!(authorize(&server, &[far]).await.status, 400);
    assert_eq!(authorize(&server, &[]).await.status, 302);
    let spa = server.spa_client_id();
    assert_eq!(authorize(&server, &[("client_id", &spa), far]).await.status, 302);
}

#[tokio::test]
async fn mistakes_come_back_to_the_app() {
    let server = demo().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "form_post"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("prompt", "none login"), "invalid_request"),
        (("prompt", "magic"), "invalid_request"),
        (("scope", ""), "invalid_scope"),
    ] {
        let answer = authorize(&server, &[change]).await;
        assert_eq!(returned(&answer, "error").as_deref(), Some(error), "{change:?}");
        assert_eq!(returned(&answer, "state").unwrap(), "a state & more");
        assert_eq!(returned(&answer, "code"), None);
    }
    let fine = [
        ("response_mode", "query"),
        ("prompt", "consent"),
        ("access_type", "offline"),
    ];
    assert!(returned(&authorize(&server, &fine).await, "code").is_some());
}

#[tokio::test]
async fn what_is_sent_twice_is_refused() {
    let server = demo().await;
    let (client, challenge) = (server.native_client_id(), challenge());
    let pairs = [
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", REDIRECT),
        ("scope", "projectwise:read"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let again = async |pair: (&str, &str)| {
        let query = encoded(&[&pairs[..], &[pair]].concat());
        let head = format!("GET /connect/authorize?{query} HTTP/1.1");
        exchange(&server.base_url(), &head, "").await.unwrap()
    };
    let answer = again(("scope", "openid")).await;
    assert_eq!(returned(&answer, "error").unwrap(), "invalid_request");
    let answer = again(("redirect_uri", REDIRECT)).await;
    assert_eq!((answer.status, answer.header("location")), (400, None));
    assert_eq!(again(("nonce", "once")).await.status, 302);

    let twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")];
    let answer = post_token(&server, &twice, "").await;
    assert_oauth_error(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn the_token_endpoint_says_what_is_wrong() {
    let server = demo().await;
    let client = server.native_client_id();
    for (pairs, error) in [
        (vec![], "invalid_request"),
        (
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:device_code")],
            "unsupported_grant_type",
        ),
        (
            vec![("grant_type", "authorization_code"), ("redirect_uri", REDIRECT)],
            "invalid_request",
        ),
        (
            vec![("grant_type", "authorization_code"), ("code", "x")],
            "invalid_request",
        ),
        (vec![("grant_type", "refresh_token")], "invalid_request"),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "x")],
            "invalid_grant",
        ),
    ] {
        let pairs = [&pairs[..], &[("client_id", client.as_str())]].concat();
        let answer = post_token(&server, &pairs, "").await;
        assert_oauth_error(&answer, 400, error);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let head = "POST /connect/token HTTP/1.1\r\nContent-Type: application/json";
    let answer = exchange(&server.base_url(), head, "{}").await.unwrap();
    assert_oauth_error(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn scopes_are_those_the_knob_knows_and_the_error_is_the_knobs() {
    let server = demo().await;
    let storage = [("scope", "storage:read")];
    server.turn(|knobs| knobs.scope_error = ScopeError::UnauthorizedClient);
    let answer = authorize(&server, &storage).await;
    assert_eq!(returned(&answer, "error").unwrap(), "unauthorized_client");
    assert_eq!(
        returned(&answer, "error_description").unwrap(),
        "Invalid scope for client"
    );
    let answer = service_token(&server, "storage:read", false).await;
    assert_oauth_error(&answer, 400, "unauthorized_client");
    server.turn(|knobs| knobs.known_scopes.push_str(" storage:read"));
    assert!(returned(&authorize(&server, &storage).await, "code").is_some());
}

#[tokio::test]
async fn access_type_offline_alone_gives_no_refresh_token() {
    let server = demo().await;
    let changes = [("scope", "projectwise:read"), ("access_type", "offline")];
    let code = returned(&authorize(&server, &changes).await, "code").unwrap();
    let issued = tokens(&redeem(&server, &code, VERIFIER).await);
    assert_eq!(issued.refresh_token, None);
}

#[tokio::test]
async fn offline_access_is_what_the_knob_says() {
    let server = demo().await;
    let both = "projectwise:read offline_access";
    let code = authorize_for_code(&server, both).await;
    assert!(
        tokens(&redeem(&server, &code, VERIFIER).await)
            .refresh_token
            .is_some()
    );

    server.turn(|knobs| knobs.offline_access = OfflineAccess::Ignored);
    let code = authorize_for_code(&server, both).await;
    let answer = redeem(&server, &code, VERIFIER).await;
    assert!(tokens(&answer).refresh_token.is_none());
    assert_eq!(answer.json()["scope"], "projectwise:read");

    server.turn(|knobs| knobs.offline_access = OfflineAccess::Refused);
    let answer = authorize(&server, &[("scope", both)]).await;
    assert_eq!(returned(&answer, "error").unwrap(), "invalid_scope");
    assert_eq!(
        authorize(&server, &[("scope", "projectwise:read")]).await.status,
        302
    );
}

#[tokio::test]
async fn an_app_registered_later_gets_the_scopes_it_was_granted() {
    let server = demo().await;
    let app = App {
        client_id: "native-later".to_owned(),
        name: "A later one".to_owned(),
        kind: AppType::Native,
        secret: None,
        redirect_uris: BTreeSet::from([REDIRECT.to_owned()]),
        post_logout_uris: BTreeSet::new(),
        scopes: Some(vec!["itwin-platform".to_owned()]),
        acts_as: DEFAULT_EMAIL,
    };
    let client = ("client_id", "native-later");
    assert_eq!(authorize(&server, &[client]).await.status, 400);
    server.register_app(app).unwrap();
    let answer = authorize(&server, &[client]).await;
    assert_eq!(returned(&answer, "error").unwrap(), "invalid_scope");
    let answer = authorize(&server, &[client, ("scope", "itwin-platform")]).await;
    assert!(returned(&answer, "code").is_some());
}
