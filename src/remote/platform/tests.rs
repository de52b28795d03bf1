//! The client against a platform that answers by script: what no simulator would, and what must not pass for an answer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as Asked, State};
use axum::http::{Response as Answered, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::http::Secret;

type Answer = (u16, Vec<(&'static str, String)>, String);

/// A platform that gives these answers, the last one for ever, and remembers what was asked.
struct Script {
    answers: Mutex<Vec<Answer>>,
    asked: Mutex<Vec<(String, String)>>,
}

struct Stage {
    platform: Platform,
    script: Arc<Script>,
}

async fn answer(State(script): State<Arc<Script>>, asked: Asked) -> Answered<Body> {
    let accept = asked.headers()["accept"].to_str().unwrap().to_owned();
    script.asked.lock().push((asked.uri().to_string(), accept));
    let (status, headers, body) = {
        let mut answers = script.answers.lock();
        if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        }
    };
    let mut built = Answered::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        built = built.header(name, value);
    }
    built.body(Body::from(body)).unwrap()
}

impl Stage {
    async fn with(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Script {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
        });
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::runtime::Handle::current().spawn(async move { axum::serve(listener, app).await });
        let tokens = TokenSource::fixed(Secret::new("t0ken"));
        let platform = Platform::of_issuer(HttpClient::new().unwrap(), tokens, &issuer).unwrap();
        Self { platform, script }
    }

    async fn saying(bodies: &[&str]) -> Self {
        Self::with(
            bodies
                .iter()
                .map(|body| (200, Vec::new(), (*body).to_owned()))
                .collect(),
        )
        .await
    }

    async fn refusing(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self::with(vec![(status, headers, body.to_owned())]).await
    }

    async fn connections(&self) -> Result<Vec<Connection>, PlatformError> {
        self.platform.connections(&itwin("p-1")).await
    }

    fn asked(&self) -> Vec<String> {
        self.script
            .asked
            .lock()
            .iter()
            .map(|(uri, _)| uri.clone())
            .collect()
    }
}

fn itwin(id: &str) -> ITwin {
    ITwin {
        id: id.to_owned(),
        name: "Bridge".to_owned(),
        number: String::new(),
    }
}

#[test]
fn the_platform_is_beside_its_identity_provider() {
    for (issuer, base) in [
        ("https://ims.bentley.com", Some("https://api.bentley.com/")),
        ("https://IMS.bentley.com/", Some("https://api.bentley.com/")),
        ("https://qa-ims.bentley.com", Some("https://qa-api.bentley.com/")),
        ("http://127.0.0.1:8765", Some("http://127.0.0.1:8765/")),
        ("http://localhost:8765/ims", Some("http://localhost:8765/")),
        ("https://login.example.com", None),
        ("https://ims.bentley.com.example.com", None),
        ("nonsense", None),
    ] {
        let found = base_of(issuer).map(String::from);
        assert_eq!(found.as_deref(), base, "{issuer}");
    }
}

#[tokio::test]
async fn itwins_are_asked_for_by_pages_until_a_short_one() {
    let page = |from: usize, count: usize| {
        let rows: Vec<String> = (from..from + count)
            .map(|number| format!(r#"{{"id":"i{number}","displayName":"N{number}","number":{number}}}"#))
            .collect();
        format!(r#"{{"iTwins":[{}],"_links":{{"self":{{}}}}}}"#, rows.join(","))
    };
    let stage = Stage::saying(&[&page(0, 100), &page(100, 100), &page(200, 3)]).await;
    let found = stage.platform.my_itwins(Some("a & b")).await.unwrap();
    assert_eq!(found.found.len(), 203);
    assert!(found.complete);
    assert_eq!(
        found.found[202],
        ITwin {
            id: "i202".to_owned(),
            name: "N202".to_owned(),
            number: "202".to_owned(),
        }
    );
    let asked = stage.script.asked.lock().clone();
    assert_eq!(
        asked[2].0,
        "/itwins/?subClass=Project&$top=100&$skip=200&$search=a+%26+b"
    );
    assert!(asked.iter().all(|(_, accept)| accept == VENDOR), "{asked:?}");
}

#[tokio::test]
async fn a_short_page_that_names_a_next_one_is_not_the_end() {
    let stage = Stage::saying(&[
        r#"{"itwins":[{"Id":"a","DisplayName":"A"}],"_links":{"next":{"href":"x"}}}"#,
        r#"{"itwins":[{"id":"b","displayName":"B"}],"_links":{"next":{"href":"x"}}}"#,
        r#"{"itwins":[],"_links":{"next":{"href":"x"}}}"#,
    ])
    .await;
    let names: Vec<String> = stage
        .platform
        .my_itwins(None)
        .await
        .unwrap()
        .found
        .into_iter()
        .map(|itwin| itwin.name)
        .collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(stage.asked().len(), 3);
}

#[tokio::test]
async fn a_list_that_the_platform_cuts_off_says_so() {
    let body = r#"{"iTwins":[{"id":"a"},{"id":"b"}]}"#.to_owned();
    let stage = Stage::with(vec![(200, vec![("X-Max-Return", "2".to_owned())], body)]).await;
    let found = stage.platform.my_itwins(None).await.unwrap();
    assert_eq!((found.found.len(), found.complete), (2, false));
}

#[tokio::test]
async fn an_answer_that_cannot_be_right_is_an_error_and_never_an_empty_list() {
    for body in [
        "",
        "null",
        "[1",
        "{}",
        "<html>",
        r#"{"iTwins":{}}"#,
        r#"{"iTwins":[{"displayName":"x"}]}"#,
    ] {
        let stage = Stage::saying(&[body]).await;
        let error = stage.platform.my_itwins(None).await.unwrap_err();
        assert!(
            matches!(error, PlatformError::Remote(RemoteError::Protocol(_))),
            "{body}: {error}"
        );
    }
    for body in ["", "7", "{}", r#"{"items":null}"#, r#"{"error":{"code":"x"}}"#] {
        let stage = Stage::saying(&[body]).await;
        let error = stage.connections().await.unwrap_err();
        assert!(
            matches!(error, PlatformError::Remote(RemoteError::Protocol(_))),
            "{body}: {error}"
        );
    }
    // A server that ignores $skip, with a page that looks full.
    let rows = vec![r#"{"id":"a"}"#; 100].join(",");
    let stage = Stage::saying(&[&format!(r#"{{"iTwins":[{rows}]}}"#)]).await;
    let error = stage.platform.my_itwins(None).await.unwrap_err();
    assert!(error.to_string().contains("same page"), "{error}");
}

#[tokio::test]
async fn connections_are_read_in_every_envelope_and_casing() {
    const URL: &str = "https://acme-pw-ws.bentley.com/ws/v2.8/repositories/Bentley.PW--acme-pw.bentley.com~3Aacme-pw-01/PW_WSG/Project/60e9dda5-5297-4916-9739-0e40fd00a4b8";
    let small = format!(
        r#"{{"id":"c","displayName":"Design","workAreaName":"WA-100","type":"PWDI","url":"{URL}","isPrimary":true}}"#
    );
    let large = format!(
        r#"{{"Id":"c","DisplayName":"Design","WorkAreaName":"WA-100","Type":"PWDI","WsgUrl":"{URL}","IsPrimary":"True","Description":null}}"#
    );
    let other = format!(
        r#"{{"ID":"c","name":"Design","WORKAREANAME":"WA-100","type":"PWDI","Location":"{URL}","primary":1}}"#
    );
    let mut found = Vec::new();
    for body in [
        format!(r#"{{"items":[{small}],"nextPageToken":null}}"#),
        format!(r#"{{"Items":[{large}]}}"#),
        format!(r#"{{"value":[{large}],"@odata.nextLink":""}}"#),
        format!(r#"{{"Connections":[{other}]}}"#),
        format!("[{small}]"),
    ] {
        let connections = Stage::saying(&[&body]).await.connections().await.unwrap();
        assert_eq!(connections.len(), 1, "{body}");
        found.extend(connections);
    }
    assert!(
        found.iter().all(|connection| *connection == found[0]),
        "{found:#?}"
    );
    let connection = &found[0];
    assert_eq!(
        (
            connection.name.as_str(),
            connection.work_area.as_str(),
            connection.primary
        ),
        ("Design", "WA-100", true)
    );
    let address = connection.address.as_ref().unwrap();
    assert_eq!(
        address.location().as_deref(),
        Some("acme-pw.bentley.com:acme-pw-01")
    );
    assert!(address.object.is_some());
}

#[tokio::test]
async fn a_connection_without_a_usable_address_is_shown_without_one() {
    for url in [
        "null",
        "\"https://h/ws\"",
        "\"pw://h:ds/Documents\"",
        "\"https://me:pw@h/ws/v2.8/Repositories/pw--a~3Ab\"",
    ] {
        let stage =
            Stage::saying(&[&format!(r#"{{"items":[{{"id":"c","name":"a:b","url":{url}}}]}}"#)]).await;
        let found = stage.connections().await.unwrap();
        assert_eq!(found[0].address, None, "{url}");
    }
}

#[tokio::test]
async fn pages_of_connections_are_followed_by_token_or_link_and_the_primary_one_is_first() {
    let stage = Stage::saying(&[
        r#"{"items":[{"id":"1"}],"nextPageToken":"a/b c"}"#,
        r#"{"items":[{"id":"2"}],"continuationToken":"z"}"#,
        r#"{"value":[{"id":"3"}],"@odata.nextLink":"/workarea/elsewhere?x=1"}"#,
        r#"{"items":[{"id":"4","isPrimary":true}]}"#,
    ])
    .await;
    let found = stage.connections().await.unwrap();
    let ids: Vec<&str> = found.iter().map(|connection| connection.id.as_str()).collect();
    assert_eq!(ids, ["4", "1", "2", "3"]);
    assert_eq!(
        stage.asked(),
        [
            "/workarea/v1/projects/p-1/connections",
            "/workarea/v1/projects/p-1/connections?continuationToken=a%2Fb+c",
            "/workarea/v1/projects/p-1/connections?continuationToken=z",
            "/workarea/elsewhere?x=1",
        ]
    );
    let accept = stage.script.asked.lock()[0].1.clone();
    assert_eq!(accept, "application/json");
}

#[tokio::test]
async fn pages_that_go_round_or_elsewhere_are_an_error() {
    let round = Stage::saying(&[r#"{"items":[],"nextPageToken":"again"}"#]).await;
    let error = round.connections().await.unwrap_err();
    assert!(error.to_string().contains("same page"), "{error}");
    assert_eq!(round.asked().len(), 2);
    let away = Stage::saying(&[r#"{"items":[],"@odata.nextLink":"http://127.0.0.2:9/x?sig=s3cret"}"#]).await;
    let error = away.connections().await.unwrap_err();
    assert!(error.to_string().contains("elsewhere"), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_project_id_cannot_leave_its_place_in_the_path() {
    let stage = Stage::saying(&[r#"{"items":[]}"#]).await;
    stage.platform.connections(&itwin("../a/b?c#d")).await.unwrap();
    assert_eq!(
        stage.asked(),
        ["/workarea/v1/projects/..%2Fa%2Fb%3Fc%23d/connections"]
    );
}

#[tokio::test]
async fn each_refusal_is_told_apart() {
    let envelope = |code: &str, message: &str, detail: &str| {
        format!(r#"{{"error":{{"code":"{code}","message":"{message}","details":[{{"code":"{detail}"}}]}}}}"#)
    };
    let name = |error: &PlatformError| match error {
        PlatformError::Remote(error) => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        error => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
    };
    let idx = "IDX10214: Audience validation failed. Did not match: ValidAudiences: 'bentley-api-management'";
    for (status, body, expected) in [
        (401, envelope("HeaderNotFound", "no header", ""), "HeaderLost"),
        (
            401,
            envelope("Unauthorized", "invalid client", "unknownclient"),
            "UnknownClient",
        ),
        (401, envelope("Unauthorized", idx, ""), "WrongAudience"),
        (401, envelope("Unauthorized", "expired", ""), "LoginRequired"),
        (
            401,
            r#"{"statusCode":401,"message":"Invalid JWT."}"#.to_owned(),
            "LoginRequired",
        ),
        (403, envelope("INSUFFICIENTPERMISSIONS", "no", ""), "Forbidden"),
        (403, String::new(), "Forbidden"),
        (
            404,
            envelope("ResourceNotFound", "no", "OperationNotFound"),
            "NoOperation",
        ),
        (404, "<html>".to_owned(), "NoOperation"),
        (404, envelope("iTwinNotFound", "no", ""), "NotFound"),
        (404, envelope("ItwinNotFound", "no", ""), "NotFound"),
        (422, envelope("InvalidiTwinsRequest", "no", ""), "Protocol"),
        (429, envelope("RateLimitExceeded", "slow", ""), "RateLimited"),
        (302, String::new(), "Protocol"),
        (501, String::new(), "Server"),
        (407, String::new(), "Unreachable"),
    ] {
        // Longer than anybody waits, so that the answer is not asked for again.
        let stage = Stage::refusing(
            status,
            &[("Retry-After", "90"), ("X-Correlation-Id", "r-7")],
            &body,
        )
        .await;
        let error = stage.connections().await.unwrap_err();
        assert_eq!(name(&error), expected, "{body}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("status {status}")) && text.contains("r-7"),
            "{text}"
        );
    }
    let stage = Stage::refusing(429, &[("Retry-After", "90")], "").await;
    let error = stage.connections().await.unwrap_err();
    assert!(
        matches!(error, PlatformError::RateLimited { retry_after: Some(wait), .. } if wait.as_secs() == 90),
        "{error:?}"
    );
    let login = Stage::refusing(302, &[("Location", "https://ims.bentley.com/x")], "").await;
    assert_eq!(name(&login.connections().await.unwrap_err()), "LoginRequired");
}

#[tokio::test]
async fn hostile_words_of_a_refusal_are_bounded() {
    let body = format!(
        r#"{{"error":{{"code":"x\u001b[2J","message":"{}\u202e"}}}}"#,
        "long ".repeat(1000)
    );
    let error = Stage::refusing(403, &[], &body)
        .await
        .connections()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.chars().count() < 1000, "{}", error.len());
    assert!(
        !error.contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{error:?}"
    );
}
