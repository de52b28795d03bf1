//! Logins at the gateway, and how it says no.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::demo::knobs::{Knobs, NoRights};
use crate::demo::{DemoOptions, DemoServer, Effect, Fault, RequestKind};

use super::client::{Answer, Bench, exchange};

const LIST: &str = "/PW_WSG/Project";

async fn demo() -> DemoServer {
    DemoServer::start(DemoOptions::default()).await.unwrap()
}

fn set(server: &DemoServer, name: &str, text: &str) {
    server.turn(|knobs| knobs.set(name, text).unwrap());
}

/// Asks for the folders with these headers.
async fn ask(server: &DemoServer, headers: &[&str]) -> Answer {
    let base = server.base_url();
    let path = server.datasource_url().replace(&base, "");
    let mut head = format!("GET {path}{LIST} HTTP/1.1");
    for header in headers {
        head.push_str("\r\n");
        head.push_str(header);
    }
    exchange(&base, &head, "").await.unwrap()
}

fn basic(user: &str, password: &str) -> String {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {credentials}")
}

fn saml(xml: &str) -> String {
    format!("Authorization: Token {}", STANDARD.encode(xml))
}

fn assertion(name: &str, ends: &str) -> String {
    format!(
        "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"><Subject><NameID>{name}</NameID></Subject>\
         <Conditions NotOnOrAfter=\"{ends}\"/></Assertion>"
    )
}

#[track_caller]
fn assert_let_in(answer: &Answer) {
    assert!(!answer.instances().is_empty());
}

/// Signs this person in and gives the access token.
async fn token_of(server: &DemoServer, email: &str) -> String {
    let verifier = "a-verifier-of-at-least-forty-three-characters-9876543210";
    let redirect = "http://localhost:3301/signin-callback";
    let client = server.native_client_id();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let post = async |path: &str, pairs: &[(&str, &str)]| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded");
        exchange(&server.base_url(), &head, &form).await.unwrap()
    };
    let consent = [
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", redirect),
        ("scope", "projectwise:read"),
        ("state", "x"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("login_hint", email),
    ];
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(consent)
        .finish();
    let head = format!("GET /connect/authorize?{form} HTTP/1.1");
    let back = exchange(&server.base_url(), &head, "").await.unwrap();
    let location = url::Url::parse(back.header("location").unwrap()).unwrap();
    let code = location.query_pairs().find(|(key, _)| key == "code").unwrap().1;
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", redirect),
        ("client_id", &client),
        ("code_verifier", verifier),
    ];
    let tokens = post("/connect/token", &grant).await.json();
    tokens["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_brings_nothing_is_told_every_scheme() {
    let server = demo().await;
    let answer = ask(&server, &[]).await;
    answer.assert_error(401, "LoginFailed");
    let schemes = "Bearer realm=\"Bentley.PW\", Basic realm=\"Bentley.PW\", Token realm=\"Bentley.PW\"";
    assert_eq!(answer.header("www-authenticate"), Some(schemes));
    for odd in [
        "Basic",
        "Basic !!",
        "Basic bm9jb2xvbg==",
        "Negotiate abc",
        "Bearer nobody",
    ] {
        let header = format!("Authorization: {odd}");
        ask(&server, &[&header]).await.assert_error(401, "LoginFailed");
    }
}

#[tokio::test]
async fn a_projectwise_account_logs_in_by_password() {
    let server = demo().await;
    assert_let_in(&ask(&server, &[&basic("Demo.Engineer", "leven-bridge")]).await);
    for (user, password) in [
        ("demo.engineer", "Leven-Bridge"),
        ("nobody", "leven-bridge"),
        // Of Windows, and not said to be.
        ("OFFICE\\demo.engineer", "leven-bridge"),
    ] {
        let answer = ask(&server, &[&basic(user, password)]).await;
        answer.assert_error(401, "LoginFailed");
    }
}

#[tokio::test]
async fn a_windows_account_logs_in_with_its_domain() {
    let server = demo().await;
    let windows = "Mas-Connection-Info: CredentialType=Windows";
    let of_domain = basic("OFFICE\\demo.engineer", "leven-bridge");
    assert_let_in(&ask(&server, &[&of_domain, windows]).await);
    let plain = basic("demo.engineer", "leven-bridge");
    ask(&server, &[&plain, windows])
        .await
        .assert_error(401, "LoginFailed");
}

#[tokio::test]
async fn an_assertion_logs_in_whom_it_names_until_it_ends() {
    let server = demo().await;
    let hour = jiff::Timestamp::now() + Duration::from_secs(3600);
    let good = saml(&assertion("site.inspector@example.com", &hour.to_string()));
    assert_let_in(&ask(&server, &[&good]).await);
    assert_let_in(&ask(&server, &[&good.replace("Token", "token")]).await);
    let by_user = saml(&assertion("site.inspector", &hour.to_string()));
    assert_let_in(&ask(&server, &[&by_user]).await);
    for bad in [
        saml(&assertion("stranger@example.com", &hour.to_string())),
        saml(&assertion("demo.engineer@example.com", "2020-01-01T00:00:00Z")),
        saml("<Assertion><NameID>demo.engineer@example.com</NameID>"),
        saml("demo.engineer@example.com"),
    ] {
        ask(&server, &[&bad]).await.assert_error(401, "LoginFailed");
    }
    server.advance_clock(Duration::from_secs(3601));
    ask(&server, &[&good]).await.assert_error(401, "LoginFailed");
}

#[tokio::test]
async fn only_the_schemes_of_the_knob_are_taken() {
    let bench = Bench::new(DemoOptions::default()).await;
    let server = &bench.server;
    let bearer = format!("Authorization: Bearer {}", bench.token);
    let native = basic("demo.engineer", "leven-bridge");
    let windows = [
        &*basic("OFFICE\\demo.engineer", "leven-bridge"),
        "Mas-Connection-Info: CredentialType=Windows",
    ];
    let token = saml(&assertion("demo.engineer", "9000-01-01T00:00:00Z"));
    let logins: [(&str, &[&str]); 4] = [
        ("bearer", &[&bearer]),
        ("basic", &[&native]),
        ("windows", &windows),
        ("token", &[&token]),
    ];
    for (only, _) in logins {
        set(server, "auth", only);
        for (scheme, headers) in logins {
            let answer = ask(server, headers).await;
            let status = if scheme == only { 200 } else { 401 };
            assert_eq!(answer.status, status, "{scheme} where only {only} is taken");
        }
    }
    set(server, "auth", "windows");
    let answer = ask(server, &[]).await;
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Basic realm=\"Bentley.PW\"")
    );
}

#[tokio::test]
async fn a_token_needs_scope_audience_and_an_app_that_is_allowed() {
    let bench = Bench::new(DemoOptions::default()).await;
    let server = &bench.server;
    set(server, "required-scope", "itwin-platform");
    bench.get(LIST).await.assert_error(403, "NotEnoughRights");
    set(server, "required-scope", "");
    assert_let_in(&bench.get(LIST).await);
    set(server, "required-audience", "nobody-issues-this");
    let answer = bench.get(LIST).await;
    answer.assert_error(401, "LoginFailed");
    assert!(
        answer.json()["errorMessage"]
            .as_str()
            .unwrap()
            .contains("nobody-issues-this")
    );
    set(server, "required-audience", "bentley-api-management");
    assert_let_in(&bench.get(LIST).await);
    for (word, status, id) in [
        ("403", 403, "NotEnoughRights"),
        ("401", 401, "LoginFailed"),
        ("404", 404, "DatasourceNotFound"),
    ] {
        set(server, "app-allowed", word);
        bench.get(LIST).await.assert_error(status, id);
        // Passwords are no app's.
        assert_let_in(&ask(server, &[&basic("demo.engineer", "leven-bridge")]).await);
    }
    set(server, "app-allowed", "302");
    let answer = bench.get(LIST).await;
    assert!(answer.header("location").unwrap().contains("/IMS/Account/Login?"));
}

#[tokio::test]
async fn an_identity_without_an_account_is_told_so() {
    let server = demo().await;
    for person in ["new.starter@example.com", "stranger@example.com"] {
        let xml = assertion(person, "9000-01-01T00:00:00Z");
        let answer = ask(&server, &[&saml(&xml)]).await;
        answer.assert_error(401, "LoginFailed");
        let words = answer.json()["errorMessage"].to_string();
        assert!(words.contains(person) && words.contains("not mapped"), "{words}");
    }
    let token = token_of(&server, "new.starter@example.com").await;
    let answer = ask(&server, &[&format!("Authorization: Bearer {token}")]).await;
    answer.assert_error(401, "LoginFailed");
    let words = answer.json()["errorMessage"].to_string();
    assert!(words.contains("not mapped"), "{words}");
    let token = token_of(&server, "guest.reviewer@example.com").await;
    assert_let_in(&ask(&server, &[&format!("Authorization: Bearer {token}")]).await);
}

#[tokio::test]
async fn wrong_passwords_in_a_row_lock_the_account_until_it_is_unlocked() {
    let server = demo().await;
    set(&server, "bad-logins", "3");
    let right = basic("demo.engineer", "leven-bridge");
    let wrong = basic("Demo.Engineer", "guess");
    for _ in 0..2 {
        ask(&server, &[&wrong]).await.assert_error(401, "LoginFailed");
    }
    // A right one in between starts the count anew.
    assert_let_in(&ask(&server, &[&right]).await);
    for _ in 0..3 {
        ask(&server, &[&wrong]).await.assert_error(401, "LoginFailed");
    }
    for header in [&wrong, &right] {
        let answer = ask(&server, &[header]).await;
        answer.assert_error(401, "TooManyBadLoginAttempts");
    }
    assert_let_in(&ask(&server, &[&basic("site.inspector", "leven-bridge")]).await);
    server.unlock_accounts();
    assert_let_in(&ask(&server, &[&right]).await);
    set(&server, "bad-logins", "0");
    for _ in 0..9 {
        ask(&server, &[&wrong]).await.assert_error(401, "LoginFailed");
    }
    assert_let_in(&ask(&server, &[&right]).await);
}

#[tokio::test]
async fn a_failed_login_may_look_like_four_things() {
    let server = demo().await;
    set(&server, "auth-failure", "302");
    let answer = ask(&server, &[]).await;
    let page = format!("{}/IMS/Account/Login?", server.issuer());
    assert_eq!(answer.status, 302);
    assert!(answer.header("location").unwrap().starts_with(&page));
    set(&server, "auth-failure", "page");
    let answer = ask(&server, &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    set(&server, "auth-failure", "404");
    ask(&server, &[]).await.assert_error(404, "DatasourceNotFound");
    set(&server, "auth-failure", "401");
    ask(&server, &[]).await.assert_error(401, "LoginFailed");
}

#[tokio::test]
async fn the_list_of_datasources_may_need_a_login() {
    let bench = Bench::new(DemoOptions::default()).await;
    let base = bench.server.base_url();
    let head = "GET /ws/v2.8/Repositories HTTP/1.1";
    let list = async |head: &str| exchange(&base, head, "").await.unwrap();
    assert_let_in(&list(head).await);
    set(&bench.server, "private-repositories", "true");
    list(head).await.assert_error(401, "LoginFailed");
    let head = format!("{head}\r\nAuthorization: Bearer {}", bench.token);
    assert_let_in(&list(&head).await);
    // The version may be asked by anybody all the same.
    assert_let_in(&list("GET /ws/v2.0/Plugins HTTP/1.1").await);
}

#[tokio::test]
async fn every_error_is_written_as_the_knob_says() {
    let bench = Bench::new(DemoOptions::default()).await;
    let server = &bench.server;
    let missing = "/PW_WSG/Document/00000000-0000-0000-0000-00000000abcd";
    server.inject(Fault::error(RequestKind::ListProjects, "NoClientLicense").times(3));
    for errors in ["xml", "html", "nulls"] {
        set(server, "errors", errors);
        let answers = [
            (404, "InstanceNotFound", bench.get(missing).await),
            (401, "LoginFailed", ask_without_login(server, missing).await),
            (500, "NoClientLicense", bench.get(LIST).await),
        ];
        for (status, id, answer) in answers {
            assert_eq!(answer.status, status, "{errors}");
            let text = String::from_utf8(answer.body.clone()).unwrap();
            let media_type = answer.header("content-type").unwrap();
            match errors {
                "xml" => {
                    assert!(media_type.starts_with("application/xml"), "{media_type}");
                    assert!(text.contains(&format!("<errorId>{id}</errorId>")), "{text}");
                }
                "html" => {
                    assert!(media_type.starts_with("text/html"), "{media_type}");
                    assert!(
                        text.contains(&format!("<h2>{status} - ")) && !text.contains(id),
                        "{text}"
                    );
                }
                _ => assert!(answer.json()["errorId"].is_null() && !text.contains(id), "{text}"),
            }
        }
        let challenged = ask_without_login(server, missing).await;
        assert!(challenged.header("www-authenticate").is_some());
    }
}

async fn ask_without_login(server: &DemoServer, tail: &str) -> Answer {
    let base = server.base_url();
    let path = server.datasource_url().replace(&base, "");
    exchange(&base, &format!("GET {path}{tail} HTTP/1.1"), "")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_fault_may_name_any_error_and_gets_its_status() {
    let bench = Bench::new(DemoOptions::default()).await;
    for (id, status) in [
        ("LoginFailed", 401),
        ("SslRequired", 403),
        ("NotEnoughRights", 403),
        ("DatasourceNotFound", 404),
        ("RepositoryNotFound", 404),
        ("SchemaNotFound", 404),
        ("ClassNotFound", 404),
        ("PropertyNotFound", 404),
        ("LinkTypeNotFound", 404),
        ("ObjectNotFound", 404),
        ("InstanceNotFound", 404),
        ("FileNotFound", 404),
        ("NotSupported", 405),
        ("NoServerLicense", 500),
        ("NoClientLicense", 500),
        ("TooManyBadLoginAttempts", 401),
        ("ServerError", 500),
        ("BadRequest", 400),
        ("Conflict", 409),
        ("SomethingElse", 500),
    ] {
        bench
            .server
            .inject(Fault::error(RequestKind::ListProjects, id).times(1));
        bench.get(LIST).await.assert_error(status, id);
        // A code of 0 stands for the same.
        let effect = Effect::Status {
            code: 0,
            error_id: Some(id.to_owned()),
            retry_after: None,
        };
        bench
            .server
            .inject(Fault::on(RequestKind::ListProjects, effect).times(1));
        bench.get(LIST).await.assert_error(status, id);
    }
}

#[tokio::test]
async fn what_rights_are_missing_for_answers_as_the_knob_says() {
    for (no_rights, status, id) in [
        (NoRights::Forbidden, 403, "NotEnoughRights"),
        (NoRights::Unauthorized, 401, "NotEnoughRights"),
        (NoRights::NotFound, 404, "InstanceNotFound"),
    ] {
        let knobs = Knobs {
            no_rights,
            ..Knobs::default()
        };
        let options = DemoOptions {
            knobs,
            ..DemoOptions::default()
        };
        let bench = Bench::new(options).await;
        let documents = bench.server.world().documents();
        let refused = documents
            .iter()
            .find(|d| d.listed && !d.readable && d.file_name.is_some())
            .unwrap();
        for tail in ["$file", "FileAccess.FileAccessKey"] {
            let answer = bench
                .get(&format!("/PW_WSG/Document/{}/{tail}", refused.guid))
                .await;
            answer.assert_error(status, id);
        }
        let enclosed = documents.iter().find(|d| !d.listed).unwrap();
        let answer = bench.get(&format!("/PW_WSG/Document/{}", enclosed.guid)).await;
        answer.assert_error(status, id);
    }
}

#[tokio::test]
async fn a_request_has_an_id_its_own_or_a_made_one() {
    let bench = Bench::new(DemoOptions::default()).await;
    let answer = bench.get_with(LIST, &["Mas-Request-Id: mine"]).await;
    assert_eq!(answer.header("mas-request-id"), Some("mine"));
    let answer = bench.get_with(LIST, &["X-Correlation-Id: another"]).await;
    assert_eq!(answer.header("x-correlation-id"), Some("another"));
    assert_eq!(answer.header("mas-request-id"), None);
    let made = bench.get(LIST).await.header("mas-request-id").unwrap().to_owned();
    assert_ne!(
        bench.get(LIST).await.header("mas-request-id"),
        Some(made.as_str())
    );
    // Ids came with 2.7.
    let path = bench.server.datasource_url().replace("v2.8", "v2.6");
    let path = path.replace(&bench.server.base_url(), "");
    let head = format!(
        "GET {path}{LIST} HTTP/1.1\r\nAuthorization: Bearer {}",
        bench.token
    );
    let answer = exchange(&bench.server.base_url(), &head, "").await.unwrap();
    assert_let_in(&answer);
    assert_eq!(answer.header("mas-request-id"), None);
}
