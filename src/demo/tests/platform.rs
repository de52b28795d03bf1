//! The iTwin Platform: who is let in, and what it says to the others. Its three services have files of their own.

mod itwins;
mod storage;
mod work_areas;

use std::time::Duration;

use serde_json::Value;

use crate::demo::accounts::ACCOUNTS;
use crate::demo::knobs::Knobs;
use crate::demo::{DemoOptions, DemoServer, Effect, Fault, RequestKind};
use crate::model::Guid;

use super::client::{Answer, Bench, exchange};

const V1: &str = "Accept: application/vnd.bentley.itwin-platform.v1+json";

impl Bench {
    /// Asks the platform with the bench's token.
    async fn platform_with(&self, path: &str, headers: &[&str]) -> Answer {
        let mut head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {}", self.token);
        for header in headers {
            head.push_str("\r\n");
            head.push_str(header);
        }
        exchange(&self.server.base_url(), &head, "").await.unwrap()
    }

    async fn platform(&self, path: &str) -> Answer {
        self.platform_with(path, &[V1]).await
    }

    /// The JSON of an answer, which must be a 200.
    #[track_caller]
    fn good(answer: &Answer) -> Value {
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }
}

/// A bench with these knobs.
async fn turned(change: impl FnOnce(&mut Knobs)) -> Bench {
    let bench = Bench::new(DemoOptions::default()).await;
    bench.server.turn(change);
    bench
}

/// A bench where somebody else is signed in.
async fn signed_in(email: &str) -> Bench {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let token = super::login::log_in_as(&server, email).await.access_token;
    Bench { server, token }
}

fn email(number: usize) -> &'static str {
    ACCOUNTS[number].email
}

/// The iTwin of the bridge project, as the datasource tells it.
async fn bridge(bench: &Bench) -> Guid {
    let tail = "/PW_WSG/Project!poly?$filter=IsConnectedProject eq true";
    let rows = bench.get(tail).await.instances();
    let mut rows = rows.iter().map(|row| &row["properties"]);
    let row = rows.find(|row| row["Name"] == "Leven Estuary Crossing").unwrap();
    row["ConnectedProjectGuid"].as_str().unwrap().parse().unwrap()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, detail: Option<&str>) {
    let error = &answer.json()["error"];
    let seen = (
        answer.status,
        error["code"].as_str(),
        error["details"][0]["code"].as_str(),
    );
    assert_eq!(seen, (status, Some(code), detail), "{error}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty())
    );
    assert_eq!(error.get("details").is_some(), detail.is_some());
}

#[tokio::test]
async fn without_a_login_nothing_is_told() {
    let bench = turned(|_| {}).await;
    for path in [
        "/itwins",
        "/workarea/v1/projects/x/connections",
        "/storage/?iTwinId=x",
    ] {
        let ask = |header: &str| format!("GET {path} HTTP/1.1{header}");
        let base = bench.server.base_url();
        let nobody = exchange(&base, &ask(""), "").await.unwrap();
        assert_refused(&nobody, 401, "HeaderNotFound", None);
        for wrong in ["Bearer nonsense", "Basic dTpw"] {
            let head = ask(&format!("\r\nAuthorization: {wrong}"));
            let answer = exchange(&base, &head, "").await.unwrap();
            assert_refused(&answer, 401, "Unauthorized", None);
            assert!(answer.header("WWW-Authenticate").is_some());
        }
    }
    bench.server.expire_access_tokens();
    assert_refused(&bench.platform("/itwins").await, 401, "Unauthorized", None);
}

#[tokio::test]
async fn an_app_unknown_to_the_platform_is_told_so() {
    let bench = turned(|knobs| knobs.platform_unknown_client = true).await;
    let answer = bench.platform("/itwins").await;
    assert_refused(&answer, 401, "Unauthorized", Some("UnknownClient"));
}

#[tokio::test]
async fn a_token_for_others_is_told_whom_it_should_be_for() {
    let options = DemoOptions {
        knobs: Knobs {
            audience: "itwinjs-services".to_owned(),
            ..Knobs::default()
        },
        ..DemoOptions::default()
    };
    let bench = Bench::new(options).await;
    let answer = bench.platform("/itwins").await;
    assert_refused(&answer, 401, "Unauthorized", None);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("IDX10214") && message.contains("'bentley-api-management'"),
        "{message}"
    );
    assert!(message.contains("itwinjs-services"), "{message}");
}

#[tokio::test]
async fn a_missing_scope_is_forbidden() {
    let bench = turned(|knobs| knobs.platform_scope = "itwin-platform".to_owned()).await;
    let answer = bench.platform("/itwins").await;
    assert_refused(&answer, 403, "InsufficientPermissions", None);
    bench
        .server
        .turn(|knobs| knobs.platform_scope = "projectwise:read".to_owned());
    Bench::good(&bench.platform("/itwins").await);
}

#[tokio::test]
async fn a_wrong_address_and_a_wrong_accept_header_look_alike() {
    let bench = turned(|_| {}).await;
    for path in [
        "/itwins/a/b/c",
        "/workarea/v2/projects",
        "/storage/files/x/versions",
        "/storage/x",
    ] {
        let answer = bench.platform(path).await;
        assert_refused(&answer, 404, "ResourceNotFound", Some("OperationNotFound"));
    }
    let wrong = [
        "text/html",
        "application/xml",
        "application/vnd.bentley.itwin-platform.v2+json",
        "application/vnd.bentley.itwin-platform.v1+octet-stream",
    ];
    for accept in wrong {
        let answer = bench
            .platform_with("/itwins", &[&format!("Accept: {accept}")])
            .await;
        assert_refused(&answer, 404, "ResourceNotFound", Some("OperationNotFound"));
    }
    for accept in ["*/*", "application/json", "text/html, application/json;q=0.5"] {
        Bench::good(
            &bench
                .platform_with("/itwins", &[&format!("Accept: {accept}")])
                .await,
        );
    }
    Bench::good(&bench.platform_with("/itwins", &[]).await);
}

#[tokio::test]
async fn a_write_is_refused_and_counted() {
    let bench = turned(|_| {}).await;
    let head = format!(
        "POST /itwins/favorites/x HTTP/1.1\r\nAuthorization: Bearer {}",
        bench.token
    );
    let answer = exchange(&bench.server.base_url(), &head, "").await.unwrap();
    assert_refused(&answer, 403, "InsufficientPermissions", None);
    assert_eq!(bench.server.requests().mutation_attempts, 1);
}

#[tokio::test]
async fn who_asks_too_often_waits_as_told() {
    let bench = turned(|knobs| knobs.platform_rate = 4).await;
    for _ in 0..4 {
        Bench::good(&bench.platform("/itwins").await);
    }
    let answer = bench.platform("/itwins").await;
    assert_refused(&answer, 429, "RateLimitExceeded", None);
    let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=15).contains(&wait), "{wait}");
    let same = answer
        .header("iTwinPlatform-RateLimit-Retry-After-Seconds")
        .unwrap();
    assert_eq!(same, wait.to_string());
    assert_eq!(answer.header("iTwinPlatform-RateLimit-RemainingCalls"), Some("0"));
    assert!(answer.header("ITwinPlatform-RateLimited-Tier").is_some());
    bench.server.advance_clock(Duration::from_secs(wait));
    Bench::good(&bench.platform("/itwins").await);
    assert_eq!(bench.platform("/itwins").await.status, 429);
    bench.server.turn(|knobs| knobs.platform_rate = 0);
    Bench::good(&bench.platform("/itwins").await);
}

#[tokio::test]
async fn requests_are_counted_by_service_and_faults_find_them() {
    let bench = turned(|_| {}).await;
    let itwin = bridge(&bench).await;
    bench.platform("/itwins/").await;
    bench.platform("/iTwins/recents").await;
    bench
        .platform(&format!("/workarea/v1/projects/{itwin}/connections"))
        .await;
    bench.platform(&format!("/storage?iTwinId={itwin}")).await;
    let counters = bench.server.requests();
    let count = |kind| counters.of(kind);
    assert_eq!(
        [RequestKind::ITwins, RequestKind::WorkAreas, RequestKind::Storage].map(count),
        [2, 1, 1]
    );
    let down = Effect::Status {
        code: 503,
        error_id: Some("ServiceUnavailable".to_owned()),
        retry_after: None,
    };
    bench
        .server
        .inject(Fault::on(RequestKind::WorkAreas, down).times(1));
    let answer = bench
        .platform(&format!("/workarea/v1/projects/{itwin}/connections"))
        .await;
    assert_refused(&answer, 503, "ServiceUnavailable", None);
}
