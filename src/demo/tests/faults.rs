//! Every fault does what it says, for the requests it is about, as often as it says.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::demo::knobs::Knobs;
use crate::demo::{DemoOptions, DemoServer, Effect, Fault, RequestKind};
use crate::model::Guid;

use super::client::{Answer, Bench, exchange, parse};

const NODES: &str = "/Navigation/NavNode";

async fn demo() -> Bench {
    Bench::new(DemoOptions::default()).await
}

/// Two readable files of more than 10 kB.
fn two_files(bench: &Bench) -> (Guid, Guid) {
    let documents = bench.server.world().documents();
    let mut large = documents.iter().filter(|d| d.readable && d.size > 10_000);
    (large.next().unwrap().guid, large.next().unwrap().guid)
}

fn file(guid: Guid) -> String {
    format!("/PW_WSG/Document/{guid}/$file")
}

async fn struck(effect: Effect) -> Answer {
    let bench = demo().await;
    bench.server.inject(Fault::on(RequestKind::NavNode, effect));
    bench.get(NODES).await
}

#[tokio::test]
async fn a_fault_is_about_its_kind_and_object_after_and_for_so_many() {
    let bench = demo().await;
    let (a, b) = two_files(&bench);
    let fault = Fault::status(RequestKind::File, 503).about(a).after(1).times(2);
    bench.server.inject(fault);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(bench.get(&file(a)).await.status);
        assert_eq!(bench.get(&file(b)).await.status, 200);
        assert_eq!(bench.get(NODES).await.status, 200);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
}

#[tokio::test]
async fn a_status_carries_its_error_and_its_delay() {
    let effect = Effect::Status {
        code: 429,
        error_id: Some("TooManyBadLoginAttempts".to_owned()),
        retry_after: Some(Duration::from_secs(7)),
    };
    let answer = struck(effect.clone()).await;
    answer.assert_error(429, "TooManyBadLoginAttempts");
    assert_eq!(answer.header("retry-after"), Some("7"));

    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    server.inject(Fault::on(RequestKind::Token, effect));
    let head = "POST /connect/token HTTP/1.1";
    let answer = exchange(&server.base_url(), head, "").await.unwrap();
    assert_eq!(answer.json()["error"], "TooManyBadLoginAttempts");
}

#[tokio::test]
async fn bodies_are_malformed_html_redirected_or_empty() {
    let answer = struck(Effect::MalformedJson).await;
    assert!(answer.status == 200 && answer.complete());
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    let answer = struck(Effect::HtmlLogin).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    let answer = struck(Effect::RedirectToLogin).await;
    assert_eq!(answer.status, 302);
    assert!(answer.header("location").unwrap().contains("/IMS/Account/Login?"));
    assert!(struck(Effect::EmptyList).await.instances().is_empty());
}

#[tokio::test]
async fn a_dropped_connection_answers_nothing() {
    let bench = demo().await;
    bench
        .server
        .inject(Fault::on(RequestKind::NavNode, Effect::DropConnection).times(1));
    assert!(bench.ask("GET", NODES, &[]).await.is_none());
    assert_eq!(bench.get(NODES).await.status, 200);
}

#[tokio::test]
async fn a_truncated_body_keeps_its_announced_length() {
    let bench = demo().await;
    let (guid, _) = two_files(&bench);
    let whole = bench.get(&file(guid)).await;
    bench
        .server
        .inject(Fault::on(RequestKind::File, Effect::Truncate { after: 5000 }));
    let cut = bench.get(&file(guid)).await;
    assert_eq!(cut.status, 200);
    assert!(cut.body == whole.body[..5000]);
    assert_eq!(cut.header("content-length"), whole.header("content-length"));
}

#[tokio::test]
async fn a_wrong_length_is_cleanly_framed() {
    let bench = demo().await;
    let (guid, _) = two_files(&bench);
    let listed = bench.server.world().document(guid).unwrap().size;
    for delta in [-100_i64, 100] {
        let effect = Effect::WrongLength { delta };
        bench.server.inject(Fault::on(RequestKind::File, effect).times(1));
        let answer = bench.get(&file(guid)).await;
        assert!(answer.complete());
        let length = i64::try_from(answer.body.len()).unwrap();
        assert_eq!(length - i64::try_from(listed).unwrap(), delta);
    }
}

#[tokio::test]
async fn a_looping_token_never_ends() {
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            page_size: 5,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    bench
        .server
        .inject(Fault::on(RequestKind::ListDocuments, Effect::LoopingSkipToken));
    let first = bench.get_with("/PW_WSG/Document", &["SkipToken: 0"]).await;
    let token = format!("SkipToken: {}", first.header("skiptoken").unwrap());
    let second = bench.get_with("/PW_WSG/Document", &[&token]).await;
    assert_eq!(first.ids(), second.ids());
    assert_eq!(first.header("skiptoken"), second.header("skiptoken"));
}

#[tokio::test]
async fn a_changed_tag_differs_with_every_answer() {
    let bench = demo().await;
    let (guid, _) = two_files(&bench);
    let tag = async || bench.get(&file(guid)).await.header("etag").unwrap().to_owned();
    let true_tag = tag().await;
    assert_eq!(tag().await, true_tag);
    bench
        .server
        .inject(Fault::on(RequestKind::File, Effect::ChangedEtag));
    let (a, b) = (tag().await, tag().await);
    assert!(a != true_tag && b != true_tag && a != b);
    let condition = format!("If-Range: {true_tag}");
    let answer = bench
        .get_with(&file(guid), &["Range: bytes=0-9", &condition])
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_hanging_request_answers_when_the_fault_is_cleared() {
    let bench = demo().await;
    let id = bench
        .server
        .inject(Fault::on(RequestKind::NavNode, Effect::HangAfterAccept));
    let mut hanging = Box::pin(bench.get(NODES));
    tokio::select! {
        _ = &mut hanging => panic!("it answered"),
        () = bench.server.wait_for(RequestKind::NavNode, 1) => {}
    }
    // Others are served meanwhile.
    assert_eq!(bench.get("/PW_WSG/User").await.status, 200);
    assert!(bench.server.clear_fault(id));
    assert_eq!(hanging.await.status, 200);
}

#[tokio::test]
async fn a_stalled_body_goes_on_when_the_fault_is_cleared() {
    let bench = demo().await;
    let (guid, _) = two_files(&bench);
    let whole = bench.server.world().content(guid).unwrap();
    bench
        .server
        .inject(Fault::on(RequestKind::File, Effect::StallBody { after: 1000 }));
    let base = bench.server.base_url();
    let path = bench.server.datasource_url().replace(&base, "") + &file(guid);
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        bench.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while parse(&bytes).is_none_or(|answer| answer.body.len() < 1000) {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
    assert_eq!(parse(&bytes).unwrap().body, whole[..1000]);
    bench.server.clear_faults();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(parse(&bytes).unwrap().body == whole);
}

#[tokio::test]
async fn latency_delays_and_lets_other_faults_happen_too() {
    let bench = demo().await;
    let delay = Duration::from_millis(30);
    bench.server.inject(Fault::everywhere(Effect::Latency(delay)));
    bench.server.inject(Fault::status(RequestKind::NavNode, 500));
    let start = std::time::Instant::now();
    assert_eq!(bench.get(NODES).await.status, 500);
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn stopping_frees_the_port_even_while_requests_hang() {
    let bench = demo().await;
    bench.server.inject(Fault::everywhere(Effect::HangAfterAccept));
    let base = bench.server.base_url();
    let port: u16 = base.rsplit(':').next().unwrap().parse().unwrap();
    let hanging = async { exchange(&base, "GET /ws/v2.8/Plugins HTTP/1.1", "").await };
    let stopping = async {
        bench.server.wait_for(RequestKind::Plugins, 1).await;
        bench.server.stop().await;
    };
    let (answer, ()) = tokio::join!(hanging, stopping);
    assert!(answer.is_none());
    let again = DemoServer::start(DemoOptions {
        port,
        ..DemoOptions::default()
    })
    .await;
    assert_eq!(again.unwrap().base_url(), base);
}

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let bench = demo().await;
    let base = bench.server.base_url();
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    for _ in 0..3 {
        let request = b"GET /ws/v2.8/Plugins HTTP/1.1\r\nHost: demo\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        while !parse(&bytes).is_some_and(|answer| answer.complete()) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        assert_eq!(parse(&bytes).unwrap().instances().len(), 1);
    }
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let bench = demo().await;
    let base = bench.server.base_url();
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let request = b"GET /ws/v2.8/Plugins HTTP/1.1\r\nHost: demo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    bench.server.wait_for(RequestKind::Plugins, 1).await;
    drop(bench);
    let mut bytes = Vec::new();
    // Ends in an orderly close or a reset, but it ends.
    let _ended = stream.read_to_end(&mut bytes).await;
    assert!(
        TcpStream::connect(base.strip_prefix("http://").unwrap())
            .await
            .is_err()
    );
}
