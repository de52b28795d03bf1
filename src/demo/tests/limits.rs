//! Conditions: limits, paces, and faults that come at times.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::demo::knobs::RetryAfter;
use crate::demo::{Chance, DemoOptions, Effect, Fault, RequestKind};

use super::client::{Bench, exchange};

const NODES: &str = "/Navigation/NavNode";

async fn demo() -> Bench {
    Bench::new(DemoOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_requests_is_refused_with_a_time_to_come_again() {
    let bench = demo().await;
    bench.server.turn(|knobs| knobs.rate = 2);
    for _ in 0..2 {
        assert_eq!(bench.get(NODES).await.status, 200);
    }
    let refused = bench.get(NODES).await;
    refused.assert_error(429, "TooManyRequests");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    bench.server.turn(|knobs| knobs.retry_after = RetryAfter::Date);
    let refused = bench.get(NODES).await;
    assert!(refused.header("retry-after").unwrap().ends_with(" GMT"));
    bench.server.turn(|knobs| knobs.retry_after = RetryAfter::Absent);
    assert_eq!(bench.get(NODES).await.header("retry-after"), None);
    // The identity service and the admin API are not the gateway.
    let base = bench.server.base_url();
    for other in ["/.well-known/openid-configuration", "/admin/requests"] {
        let answer = exchange(&base, &format!("GET {other} HTTP/1.1"), "")
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
    }
    tokio::time::advance(Duration::from_secs(wait)).await;
    assert_eq!(bench.get(NODES).await.status, 200);
}

#[tokio::test]
async fn more_requests_at_once_are_refused_until_one_has_gone() {
    let bench = demo().await;
    bench.server.turn(|knobs| knobs.concurrency = 1);
    let id = bench
        .server
        .inject(Fault::on(RequestKind::NavNode, Effect::HangAfterAccept));
    let mut hanging = Box::pin(bench.get(NODES));
    tokio::select! {
        _ = &mut hanging => panic!("it answered"),
        () = bench.server.wait_for(RequestKind::NavNode, 1) => {}
    }
    let refused = bench.get("/PW_WSG/User").await;
    refused.assert_error(503, "ServiceUnavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    bench.server.clear_fault(id);
    assert_eq!(hanging.await.status, 200);
    assert_eq!(bench.get("/PW_WSG/User").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn bandwidth_paces_a_connection_and_leaves_the_admin_api_alone() {
    let bench = demo().await;
    bench.server.turn(|knobs| knobs.bandwidth = 1000);
    let start = Instant::now();
    let answer = bench.get(NODES).await;
    assert!(answer.complete());
    let least = Duration::from_millis(u64::try_from(answer.body.len()).unwrap());
    assert!(start.elapsed() >= least, "{:?} for {least:?}", start.elapsed());
    let start = Instant::now();
    let admin = exchange(&bench.server.base_url(), "GET /admin HTTP/1.1", "").await;
    assert!(admin.unwrap().complete());
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_body_trickles_and_a_head_comes_slowly() {
    let bench = demo().await;
    let fault = |effect| {
        bench
            .server
            .inject(Fault::on(RequestKind::NavNode, effect).times(1))
    };
    let start = Instant::now();
    let whole = bench.get(NODES).await;
    let quick = start.elapsed();
    fault(Effect::Trickle { bytes_per_second: 1 });
    let start = Instant::now();
    let answer = bench.get(NODES).await;
    assert_eq!(answer.body, whole.body);
    let least = Duration::from_secs(u64::try_from(answer.body.len()).unwrap() - 1);
    assert!(start.elapsed() >= least);
    fault(Effect::SlowHeaders { bytes_per_second: 10 });
    let start = Instant::now();
    let answer = bench.get(NODES).await;
    assert_eq!(answer.body, whole.body);
    // A head has more than 100 bytes; the body is as quick as ever.
    assert!(start.elapsed() >= Duration::from_secs(10));
    assert!(start.elapsed() < Duration::from_secs(100) + quick);
}

/// Everything that comes after asking for the plugins, and how the connection ended.
async fn outcome(bench: &Bench) -> (Vec<u8>, Result<(), ErrorKind>) {
    let address = bench.server.base_url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let plugins = b"GET /ws/v2.8/Plugins HTTP/1.1\r\nHost: demo\r\n\r\n";
    stream.write_all(plugins).await.unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    (bytes, ended.map(|_| ()).map_err(|error| error.kind()))
}

#[tokio::test]
async fn connections_are_reset_refused_and_closed() {
    let bench = demo().await;
    let reset = (Vec::new(), Err(ErrorKind::ConnectionReset));
    let id = bench
        .server
        .inject(Fault::on(RequestKind::Plugins, Effect::ResetConnection));
    assert_eq!(outcome(&bench).await, reset);
    bench.server.clear_fault(id);
    let id = bench.server.inject(Fault::everywhere(Effect::RefuseConnections));
    assert_eq!(outcome(&bench).await, reset);
    let base = bench.server.base_url();
    let faults = exchange(&base, "GET /admin/faults HTTP/1.1", "")
        .await
        .unwrap()
        .json();
    assert!(faults[0]["struck"].as_u64() >= Some(1));
    bench.server.clear_fault(id);
    bench
        .server
        .inject(Fault::on(RequestKind::Plugins, Effect::CloseConnection));
    // Without "Connection: close" of ours the end comes from the server.
    let (bytes, ended) = outcome(&bench).await;
    assert!(!bytes.is_empty() && ended.is_ok());
}

#[tokio::test]
async fn a_body_breaks_off_with_a_reset_after_its_first_bytes() {
    let bench = demo().await;
    let head = "GET /ws/v2.8/Plugins HTTP/1.1";
    let whole = exchange(&bench.server.base_url(), head, "").await.unwrap();
    assert!(whole.body.len() > 50);
    bench
        .server
        .inject(Fault::on(RequestKind::Plugins, Effect::ResetBody { after: 50 }));
    let (bytes, ended) = outcome(&bench).await;
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    // What was sent before a reset may be lost on the way; what came is the start, and nothing after it comes.
    if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let body = &bytes[head + 4..];
        assert!(body.len() <= 50 && whole.body.starts_with(body), "{}", body.len());
    }
}

#[tokio::test]
async fn headers_come_and_then_nothing_until_the_fault_is_cleared() {
    let bench = demo().await;
    bench
        .server
        .inject(Fault::on(RequestKind::Plugins, Effect::HangAfterHeaders));
    let address = bench.server.base_url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let plugins = b"GET /ws/v2.8/Plugins HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n";
    stream.write_all(plugins).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
    bench.server.clear_faults();
    let head = bytes.len();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.len() > head);
}

#[tokio::test]
async fn the_clock_is_wrong() {
    let bench = demo().await;
    let seconds = -86_400 * 365 * 10;
    bench
        .server
        .inject(Fault::on(RequestKind::NavNode, Effect::ClockSkew { seconds }));
    let year = |date: &str| date.split(' ').nth(3).unwrap().parse::<i32>().unwrap();
    let then = year(bench.get(NODES).await.header("date").unwrap());
    let now = year(bench.get("/PW_WSG/User").await.header("date").unwrap());
    assert!((9..=11).contains(&(now - then)), "{then} and {now}");
}

async fn statuses<const N: usize>(bench: &Bench) -> [u16; N] {
    let mut seen = [0; N];
    for status in &mut seen {
        *status = bench.get(NODES).await.status;
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_fault_comes_every_third_time_by_chance_by_count_and_by_time() {
    let bench = demo().await;
    let fault = Fault::status(RequestKind::NavNode, 500);
    bench.server.inject(fault.clone().after(1).every(3));
    assert_eq!(statuses(&bench).await, [200, 200, 200, 500, 200, 200, 500]);
    bench.server.clear_faults();

    bench.server.inject(Fault {
        after_requests: 2,
        until_requests: Some(3),
        ..fault.clone()
    });
    assert_eq!(statuses(&bench).await, [200, 200, 500, 200]);
    bench.server.clear_faults();

    let by_chance = Fault {
        chance: Some(Chance {
            in_a_million: 500_000,
            seed: 4,
        }),
        ..fault.clone()
    };
    bench.server.inject(by_chance.clone());
    let once: [u16; 16] = statuses(&bench).await;
    bench.server.clear_faults();
    bench.server.inject(by_chance);
    let again: [u16; 16] = statuses(&bench).await;
    assert_eq!(once, again);
    assert!(once.contains(&200) && once.contains(&500), "{once:?}");
    bench.server.clear_faults();

    let second = Duration::from_secs(1);
    bench.server.inject(fault.during(60 * second, 10 * second));
    assert_eq!(bench.get(NODES).await.status, 200);
    tokio::time::advance(61 * second).await;
    assert_eq!(bench.get(NODES).await.status, 500);
    tokio::time::advance(10 * second).await;
    assert_eq!(bench.get(NODES).await.status, 200);
}

#[tokio::test]
async fn a_fault_is_about_several_kinds_paths_and_methods() {
    let bench = demo().await;
    bench.server.inject(Fault {
        kinds: vec![RequestKind::NavNode, RequestKind::ListProjects],
        path: Some("$top=3".to_owned()),
        method: Some("get".to_owned()),
        ..Fault::status(RequestKind::NavNode, 500)
    });
    for (tail, status) in [
        (NODES, 200),
        ("/Navigation/NavNode?$top=3", 500),
        ("/PW_WSG/Project?$top=3", 500),
        ("/PW_WSG/Document?$top=3", 200),
    ] {
        assert_eq!(bench.get(tail).await.status, status, "{tail}");
    }
}
