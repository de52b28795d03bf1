//! The one HTTP client: timeouts, retries, `Retry-After`, size limits, redirects, request ids, redaction.
//!
//! The only file that knows reqwest, and the only place that retries.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::time::Duration;
use url::Url;

/// Text that is never printed, logged or formatted.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text itself; call it only where it leaves for its one destination.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a request is for: decides timeouts, the connection pool and who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Small JSON answers; HTTP/2 where offered, gzip.
    Metadata,
    /// File contents; HTTP/1.1, `identity`.
    Content,
    /// The identity provider.
    Login,
}

/// The method of a request; nothing that changes a ProjectWise server is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST: to the identity provider, and WSG's `$query`.
    Post,
}

/// One request.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Header names and values beyond the client's own; no secrets.
    pub headers: Vec<(&'static str, String)>,
    /// The whole Authorization value (`Bearer …`).
    pub authorization: Option<Secret>,
    /// The body and its content type. May hold secrets.
    pub body: Option<(&'static str, Secret)>,
    /// What it is for.
    pub lane: Lane,
}

/// A whole answer, whatever its status.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: Url,
    /// The body, bounded.
    pub body: Bytes,
    headers: Vec<(String, String)>,
}

/// The head of an answer and its body as it arrives.
pub struct Streaming {
    /// The status code.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: Url,
    /// The body; an early end is an error.
    pub stream: BoxStream<'static, Result<Bytes, HttpError>>,
    headers: Vec<(String, String)>,
}

/// Why no answer could be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// Name resolution, connection, TLS, or a connection lost in the middle.
    #[error("{0}")]
    Unreachable(String),
    /// Nothing arrived in time.
    #[error("{0}")]
    TimedOut(String),
    /// The body is longer than any honest answer.
    #[error("{0}")]
    TooLarge(String),
    /// A redirect that must not be followed.
    #[error("{0}")]
    Redirect(String),
    /// The answer broke off or breaks HTTP.
    #[error("{0}")]
    Protocol(String),
}

/// The client; cheap to clone.
#[derive(Clone)]
pub struct HttpClient {}

impl HttpClient {
    /// Makes the client.
    pub fn new() -> Result<Self, HttpError> {
        unimplemented!()
    }
    /// Sends `request`, retrying what is worth retrying, and reads the whole (bounded) body.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let _ = request;
        unimplemented!()
    }
    /// Sends `request` and hands over the body as it arrives.
    pub async fn open(&self, request: Request) -> Result<Streaming, HttpError> {
        let _ = request;
        unimplemented!()
    }
}

impl Response {
    /// A header's value, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
    /// The wait a 429 or 503 asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        unimplemented!()
    }
}

impl Streaming {
    /// A header's value, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}
