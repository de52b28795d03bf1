//! What `pwfs doctor` is told of the way to a server.

use pwfs::http::probe::{ProbeReport, probe};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn look(network: &Network, url: &Url) -> ProbeReport {
    probe(network, url).await.unwrap()
}

/// The stage that fails, and its words.
#[track_caller]
fn trouble(report: &ProbeReport) -> (&'static str, String) {
    let (stage, trouble) = report.trouble().unwrap();
    (stage, trouble.text.clone())
}

fn answering(bench: &Bench, answer: &str) -> TlsServer {
    let identity = bench.authority.issue(&["localhost", "pw.example.test"], VALID);
    TlsServer::start(
        &Handle::current(),
        &identity,
        Clients::Anybody,
        Inside::Answer(answer.to_owned()),
    )
}

#[tokio::test]
async fn every_stage_of_the_way_is_told() {
    let bench = Bench::new();
    let server = answering(&bench, "401 Who\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT");
    let report = look(&bench.trusting(), &server.url("localhost", "/ws?token=s3cret")).await;
    assert!(report.trouble().is_none(), "{report:?}");
    assert_eq!(report.url, server.url("localhost", "/ws").as_str());
    assert_eq!(report.proxy, None);
    assert!(
        report
            .addresses
            .outcome
            .unwrap()
            .iter()
            .all(std::net::IpAddr::is_loopback)
    );
    assert_eq!(report.connection.unwrap().outcome.unwrap(), server.address);
    let tls = report.tls.unwrap().outcome.unwrap();
    assert_eq!(tls.version, "TLS 1.3");
    let certificate = tls.certificate.unwrap();
    assert_eq!(certificate.subject, "CN=localhost");
    assert_eq!(certificate.issuer, "CN=Corporate Root");
    assert_eq!(certificate.hosts, ["localhost", "pw.example.test"]);
    assert_eq!(certificate.not_before.to_string(), "2000-01-01T00:00:00Z");
    assert_eq!(certificate.not_after.to_string(), "4000-01-01T00:00:00Z");
    let answer = report.answer.unwrap().outcome.unwrap();
    assert_eq!((answer.status, answer.redirect, answer.portal), (401, None, None));
    assert!(answer.clock_ahead.unwrap().as_hours() > 24 * 365 * 30);
    let head = server.requests().pop().unwrap().to_lowercase();
    for secret in ["authorization", "cookie"] {
        assert!(!head.contains(secret), "{head}");
    }
}

#[tokio::test]
async fn whoever_opens_tls_is_named_and_sent_nothing() {
    let bench = Bench::new();
    let server = answering(&bench, "200 OK");
    let report = look(&direct(), &server.url("localhost", "/")).await;
    let (stage, found) = report.trouble().unwrap();
    assert_eq!(
        (stage, found.obstacle),
        ("TLS", Some(Obstacle::UnknownIssuer)),
        "{found:?}"
    );
    assert_eq!(found.certificate.as_ref().unwrap().issuer, "CN=Corporate Root");
    assert!(report.answer.is_none());
    assert!(server.requests().is_empty());

    let stale = serve(
        &bench.authority.issue(&["localhost"], (2000, 2020)),
        Clients::Anybody,
    );
    let report = look(&bench.trusting(), &stale.url("localhost", "/")).await;
    let (_, found) = report.trouble().unwrap();
    assert_eq!(found.obstacle, Some(Obstacle::Expired), "{found:?}");
    assert_eq!(
        found.certificate.as_ref().unwrap().not_after.to_string(),
        "2020-01-01T00:00:00Z"
    );
}

#[tokio::test]
async fn the_way_through_a_proxy_is_told_with_what_the_proxy_says() {
    let bench = Bench::new();
    let server = answering(&bench, "200 OK");
    let url = server.url("pw.example.test", "/");
    let open = proxy(to(server.address));
    let through = |proxy: &Proxy, login: &str| Network {
        proxy: Some(format!("http://{login}{}", proxy.address)),
        ..bench.trusting()
    };
    let report = look(&through(&open, ""), &url).await;
    assert!(report.trouble().is_none(), "{report:?}");
    assert_eq!(report.proxy.as_deref(), Some(open.url().as_str()));
    assert_eq!(report.connection.as_ref().unwrap().outcome, Ok(open.address));
    assert_eq!(report.tunnel.as_ref().unwrap().outcome, Ok(()));
    assert!(open.heads()[0].starts_with("CONNECT pw.example.test:"));

    let guarded = proxy(Rules {
        login: Some("bWU6czNj".to_owned()),
        ..to(server.address)
    });
    for plain in [false, true] {
        let url = if plain {
            "http://pw.example.test/".parse().unwrap()
        } else {
            url.clone()
        };
        let (stage, words) = trouble(&look(&through(&guarded, ""), &url).await);
        assert_eq!(stage, if plain { "answer" } else { "proxy" });
        assert_eq!(Obstacle::told_by(&words), Some(Obstacle::ProxyLogin), "{words}");
    }
    let report = look(&through(&guarded, "me:s3c@"), &url).await;
    assert!(report.trouble().is_none(), "{report:?}");
    assert!(!format!("{report:?}").contains("s3c@"), "{report:?}");

    let refusing = proxy(Rules {
        refuse: Some(403),
        ..Rules::default()
    });
    let (_, words) = trouble(&look(&through(&refusing, ""), &url).await);
    assert!(
        words.contains("pw.example.test") && words.contains("status 403"),
        "{words}"
    );
    assert_eq!(Obstacle::told_by(&words), Some(Obstacle::ProxyRefusal), "{words}");

    let identity = bench.authority.issue(&["localhost"], VALID);
    let front = TlsServer::start(
        &Handle::current(),
        &identity,
        Clients::Anybody,
        Inside::Pass(open.address),
    );
    let network = Network {
        proxy: Some(format!("https://localhost:{}", front.address.port())),
        ..bench.trusting()
    };
    let report = look(&network, &url).await;
    assert!(report.trouble().is_none(), "{report:?}");
    let tls = report.proxy_tls.unwrap().outcome.unwrap();
    assert_eq!(tls.certificate.unwrap().hosts, ["localhost"]);
}

#[tokio::test]
async fn a_captive_portal_is_suspected_where_somebody_else_answers() {
    let bench = Bench::new();
    let portal = async |answer: &str| {
        let server = answering(&bench, answer);
        let report = look(&bench.trusting(), &server.url("localhost", "/")).await;
        let answer = report.answer.unwrap().outcome.unwrap();
        (answer.redirect, answer.portal)
    };
    let (redirect, suspicion) = portal("302 Found\r\nLocation: http://hotel.example/login?ip=1").await;
    assert_eq!(redirect.as_deref(), Some("http://hotel.example/login"));
    assert_eq!(suspicion.as_deref(), Some("it redirects to hotel.example"));
    let (_, suspicion) = portal("200 OK\r\nContent-Type: text/html; charset=utf-8").await;
    assert!(suspicion.unwrap().contains("page"));
    for honest in [
        "302 Found\r\nLocation: /elsewhere",
        "200 OK\r\nContent-Type: application/json",
        "404 Not Found\r\nContent-Type: text/html",
    ] {
        assert_eq!(portal(honest).await.1, None, "{honest}");
    }
}

#[tokio::test]
async fn names_and_ports_that_are_not_there_are_told_as_such() {
    let away: Url = crate::program::nowhere().parse().unwrap();
    let (stage, words) = trouble(&look(&direct(), &away).await);
    assert_eq!(stage, "connection");
    assert!(words.ends_with("the connection was refused"), "{words}");
    let (stage, words) = trouble(&look(&direct(), &"https://no-such-host.invalid/".parse().unwrap()).await);
    assert_eq!(stage, "name");
    assert!(words.contains("no-such-host.invalid"), "{words}");
    let (plain, task) = crate::secure::listen(&Handle::current(), async |mut socket| {
        let mut hello = [0; 16];
        socket.read_exact(&mut hello).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let url = format!("https://{plain}/").parse().unwrap();
    let (stage, words) = trouble(&look(&direct(), &url).await);
    assert_eq!(stage, "TLS");
    assert!(words.contains("it does not speak TLS at this port"), "{words}");
    task.abort();
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_known() {
    let bench = Bench::new();
    let identity = bench.authority.issue(&["localhost"], VALID);
    let server = serve(&identity, Clients::Known(&Authority::new("Staff")));
    let report = look(&bench.trusting(), &server.url("localhost", "/")).await;
    assert!(
        report
            .tls
            .as_ref()
            .unwrap()
            .outcome
            .as_ref()
            .unwrap()
            .lacks_client_certificate
    );
    let (stage, words) = trouble(&report);
    assert_eq!(stage, "answer");
    assert_eq!(
        Obstacle::told_by(&words),
        Some(Obstacle::ClientCertificate),
        "{words}"
    );
}
