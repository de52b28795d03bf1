//! A raw HTTP/1.1 client of thirty lines, and a logged-in bench.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::demo::{DemoOptions, DemoServer};

/// One answer, as far as it came.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The instances of a WSG answer, which must be a 200.
    #[track_caller]
    pub(super) fn instances(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["instances"].as_array().unwrap().clone()
    }

    #[track_caller]
    pub(super) fn ids(&self) -> Vec<String> {
        let ids = self.instances();
        ids.iter()
            .map(|row| row["instanceId"].as_str().unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    pub(super) fn assert_error(&self, status: u16, id: &str) {
        assert_eq!((self.status, self.json()["errorId"].as_str()), (status, Some(id)));
    }

    /// True where the body has the announced length.
    pub(super) fn complete(&self) -> bool {
        self.header("content-length") == Some(self.body.len().to_string().as_str())
    }
}

/// Sends one request on its own connection; `None` where no answer came.
pub(super) async fn exchange(base: &str, head: &str, body: &str) -> Option<Answer> {
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let length = body.len();
    let request =
        format!("{head}\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A cut connection ends in an error; what came before it counts.
    let _cut = stream.read_to_end(&mut bytes).await;
    parse(&bytes)
}

pub(super) fn parse(bytes: &[u8]) -> Option<Answer> {
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: bytes[split + 4..].to_vec(),
    })
}

/// A demo and a bearer token for it.
pub(super) struct Bench {
    pub(super) server: DemoServer,
    pub(super) token: String,
}

impl Bench {
    pub(super) async fn new(options: DemoOptions) -> Self {
        let server = DemoServer::start(options).await.unwrap();
        let token = super::login::log_in(&server).await.access_token;
        Self { server, token }
    }

    /// Sends a request to the datasource: `tail` follows the repository's id.
    pub(super) async fn ask(&self, method: &str, tail: &str, headers: &[&str]) -> Option<Answer> {
        let base = self.server.base_url();
        let datasource = self.server.datasource_url();
        let path = datasource.strip_prefix(&base).unwrap();
        let tail = tail.replace(' ', "+");
        let mut head = format!(
            "{method} {path}{tail} HTTP/1.1\r\nAuthorization: Bearer {}",
            self.token
        );
        for header in headers {
            head.push_str("\r\n");
            head.push_str(header);
        }
        exchange(&base, &head, "").await
    }

    pub(super) async fn get(&self, tail: &str) -> Answer {
        self.get_with(tail, &[]).await
    }

    pub(super) async fn get_with(&self, tail: &str, headers: &[&str]) -> Answer {
        self.ask("GET", tail, headers).await.expect("an answer")
    }
}
