//! Against a raw TCP server, so that it can misbehave in ways no HTTP library would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// What the server does with the n-th request (from 0): the bytes it sends before it closes, or `None` to hang.
type Script = fn(usize) -> Option<String>;

struct Server {
    base: Url,
    requests: Arc<parking_lot::Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let count = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (seen, count) = (Arc::clone(&seen), Arc::clone(&count));
                connections.spawn(async move {
                    let mut text = Vec::new();
                    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                        if socket.read_buf(&mut text).await.unwrap() == 0 {
                            return;
                        }
                    }
                    seen.lock().push(String::from_utf8(text).unwrap());
                    match script(count.fetch_add(1, Ordering::SeqCst)) {
                        Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            base,
            requests,
            _tasks: tasks,
        }
    }

    fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a script answers with it as it is")]
fn answer(head: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

fn client() -> HttpClient {
    HttpClient::with_options(Options {
        first_backoff: Duration::from_millis(1),
        ..Options::default()
    })
    .unwrap()
}

fn post(lane: Lane, url: Url) -> Request {
    Request {
        method: Method::Post,
        body: Some(("application/x-www-form-urlencoded", Secret::new("code=s3cret"))),
        ..Request::get(lane, url)
    }
}

#[tokio::test]
async fn an_answer_keeps_status_headers_and_body() {
    let server = Server::start(|_| answer("404 Not Found\r\nMas-Request-Id: 7", "{}")).await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("x")))
        .await
        .unwrap();
    assert_eq!((response.status, &response.body[..]), (404, &b"{}"[..]));
    assert_eq!(response.header("mas-request-ID"), Some("7"));
    let request = &server.requests()[0].to_lowercase();
    assert!(
        request.contains(concat!("user-agent: pwfs/", env!("CARGO_PKG_VERSION"))),
        "{request}"
    );
    assert!(request.contains("accept-encoding: gzip"), "{request}");
}

#[tokio::test]
async fn a_temporary_failure_is_asked_again_until_it_is_over() {
    let server = Server::start(|n| match n {
        0 => Some(String::new()),
        1 => answer("503 Busy\r\nRetry-After: 0", ""),
        2 => answer("502 Bad", ""),
        _ => answer("200 OK", "fine"),
    })
    .await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap();
    assert_eq!((response.status, server.requests().len()), (200, 4));
}

#[tokio::test]
async fn the_last_of_four_failures_is_the_answer() {
    let server = Server::start(|_| answer("500 No", "why")).await;
    let response = client()
        .send(post(Lane::Metadata, server.url("$query")))
        .await
        .unwrap();
    assert_eq!(
        (response.status, &response.body[..], server.requests().len()),
        (500, &b"why"[..], 4)
    );

    let server = Server::start(|_| answer("504 No", "why")).await;
    let mut opened = client()
        .open(Request::get(Lane::Content, server.url("")))
        .await
        .unwrap();
    let body = opened.stream.next().await.unwrap().unwrap();
    assert_eq!(
        (opened.status, &body[..], server.requests().len()),
        (504, &b"why"[..], 4)
    );
}

#[tokio::test]
async fn a_long_retry_after_is_handed_to_the_caller() {
    let server = Server::start(|_| answer("429 Slow\r\nRetry-After: 31", "")).await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap();
    assert_eq!((response.status, server.requests().len()), (429, 1));
    assert_eq!(response.retry_after(), Some(Duration::from_secs(31)));
}

#[tokio::test]
async fn a_login_that_may_lock_the_account_is_never_repeated() {
    let server = Server::start(|_| answer("503 No", r#"{"errorId":"TooManyBadLoginAttempts"}"#)).await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap();
    assert_eq!((response.status, server.requests().len()), (503, 1));
}

#[tokio::test]
async fn a_login_post_is_sent_once_even_when_the_connection_breaks() {
    let server = Server::start(|_| Some(String::new())).await;
    let error = client()
        .send(post(Lane::Login, server.url("token?x=s3cret")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Unreachable(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_named_with_its_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://user:s3cret@{address}/?sig=s3cret")).unwrap();
    let error = client()
        .send(Request::get(Lane::Metadata, url))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{address}: the connection was refused")
    );
}

#[tokio::test]
async fn an_unknown_name_is_told_as_such() {
    let url = Url::parse("http://no-such-host.invalid/").unwrap();
    // Only a request that goes straight resolves the name itself.
    let error = client().send(Request::get(Lane::Metadata, url)).await;
    if let Err(error) = error {
        assert!(error.to_string().starts_with("no-such-host.invalid: "), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut hello = [0; 16];
            socket.read_exact(&mut hello).await.unwrap();
            socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let error = client()
        .send(Request::get(Lane::Metadata, url))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_a_time_out_and_not_asked_again() {
    let server = Server::start(|_| None).await;
    let client = HttpClient::with_options(Options {
        idle_timeout: Duration::from_millis(50),
        ..Options::default()
    })
    .unwrap();
    let error = client
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::TimedOut(_)), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_falls_silent_within_an_answer_is_a_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let client = HttpClient::with_options(Options {
        idle_timeout: Duration::from_millis(50),
        ..Options::default()
    })
    .unwrap();
    let mut opened = client.open(Request::get(Lane::Content, url)).await.unwrap();
    assert_eq!(&opened.stream.next().await.unwrap().unwrap()[..], b"abc");
    let error = opened.stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, HttpError::TimedOut(_)), "{error}");
    assert!(opened.stream.next().await.is_none());
}

#[tokio::test]
async fn a_body_that_ends_early_ends_with_an_error() {
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let server = Server::start(|_| Some(CUT.to_owned())).await;
    let mut opened = client()
        .open(Request::get(Lane::Content, server.url("f")))
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    while let Some(chunk) = opened.stream.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => ends.push(error),
        }
    }
    assert_eq!(bytes, b"abc");
    assert_eq!(ends.len(), 1);
    assert!(matches!(ends[0], HttpError::Unreachable(_)), "{}", ends[0]);
    assert!(
        server.requests()[0]
            .to_lowercase()
            .contains("accept-encoding: identity")
    );

    let server = Server::start(|n| match n {
        0 => Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".to_owned()),
        _ => answer("200 OK", "whole"),
    })
    .await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap();
    assert_eq!(
        &response.body[..],
        b"whole",
        "a read that broke off is asked again"
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let client = HttpClient::with_options(Options {
        body_limit: 3,
        ..Options::default()
    })
    .unwrap();
    let server = Server::start(|_| answer("200 OK", "abcd")).await;
    let error = client
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    let server = Server::start(|_| Some("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd".to_owned())).await;
    let error = client
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_of_metadata_is_an_answer() {
    let server = Server::start(|_| answer("302 Found\r\nLocation: https://ims.example/login", "")).await;
    let response = client()
        .send(Request::get(Lane::Metadata, server.url("")))
        .await
        .unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(response.header("location"), Some("https://ims.example/login"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_file_handed_over_to_a_blob_store_is_fetched_without_the_login() {
    let server = Server::start(|n| match n {
        0 => answer("307 Over there\r\nLocation: /blob?sig=1", ""),
        _ => answer("206 Partial\r\nContent-Range: bytes 0-1/9", "ab"),
    })
    .await;
    let mut request = Request::get(Lane::Content, server.url("$file"));
    request.authorization = Some(Secret::new("Bearer s3cret"));
    request.headers = vec![
        ("Range", "bytes=0-1".to_owned()),
        ("Mas-Uuid", "device".to_owned()),
    ];
    let opened = client().open_following(request, Redirects::Follow).await.unwrap();
    assert_eq!((opened.status, opened.url.path()), (206, "/blob"));
    let requests: Vec<_> = server.requests().iter().map(|text| text.to_lowercase()).collect();
    assert!(requests[0].contains("authorization: bearer s3cret") && requests[0].contains("mas-uuid"));
    assert!(!requests[1].contains("authorization") && !requests[1].contains("mas-uuid"));
    assert!(requests[1].contains("range: bytes=0-1"));
}

#[tokio::test]
async fn a_file_is_handed_over_only_where_that_is_allowed() {
    let server = Server::start(|_| answer("307 Over there\r\nLocation: /blob", "")).await;
    let opened = client()
        .open(Request::get(Lane::Content, server.url("$file")))
        .await
        .unwrap();
    assert_eq!((opened.status, server.requests().len()), (307, 1));
}

#[tokio::test]
async fn a_login_page_never_passes_for_a_file() {
    let server = Server::start(|_| answer("302 Found\r\nLocation: /IMS/Account/Login", "")).await;
    let opened = client()
        .open_following(
            Request::get(Lane::Content, server.url("$file")),
            Redirects::Follow,
        )
        .await
        .unwrap();
    assert_eq!((opened.status, server.requests().len()), (302, 1));
}

#[tokio::test]
async fn redirects_do_not_go_on_for_ever_nor_leave_http() {
    let server = Server::start(|_| answer("307 Round\r\nLocation: /again", "")).await;
    let error = client()
        .open_following(Request::get(Lane::Content, server.url("")), Redirects::Follow)
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Redirect(_)), "{error}");
    assert_eq!(server.requests().len(), 3);
    let server = Server::start(|_| answer("307 Out\r\nLocation: file:///etc/passwd", "")).await;
    let error = client()
        .open_following(Request::get(Lane::Content, server.url("")), Redirects::Follow)
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Redirect(_)), "{error}");
}

#[test]
fn a_wait_is_read_as_seconds_or_as_a_date() {
    assert_eq!(retry::parse_retry_after(" 7 "), Some(Duration::from_secs(7)));
    assert_eq!(
        retry::parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
        Some(Duration::ZERO)
    );
    let far = retry::parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
    assert!(far > Duration::from_secs(60 * 60 * 24 * 365));
    assert_eq!(retry::parse_retry_after("soon"), None);
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let url = Url::parse("https://user:s3cret@host:8443/a/b?sig=s3cret#s3cret").unwrap();
    assert_eq!(SafeUrl(&url).to_string(), "https://host:8443/a/b");
    let mut request = post(Lane::Login, url);
    request.authorization = Some(Secret::new("Bearer s3cret"));
    assert!(!format!("{request:?} {:?}", request.authorization).contains("s3cret"));
}
