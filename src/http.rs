//! The one HTTP client: timeouts, retries, `Retry-After`, size limits, redirects, redaction.
//!
//! The only place that knows reqwest, and the only place that retries. Asking a server is simple until you consider
//! that:
//! 1. a connection may die silently, and a server may stop in the middle of an answer;
//! 2. repeating a request heals most failures, and locks an account when the failure was a bad password;
//! 3. a redirect may lead to a login page, or to a machine that only this host can reach;
//! 4. URLs, headers and bodies hold secrets, and errors are printed.
//!
//! Every wait here ends ([`Options`]) and an early end of a body is an error, never a clean end: 1.
//! `http/retry.rs` decides what is repeated: 2. Each attempt waits for its turn (`http/pace.rs`). `http/redirect.rs` decides what is followed; a redirect that is not followed is an
//! answer, for the caller to read: 3. [`Secret`] and [`SafeUrl`] are the only forms in which such text travels: 4.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

mod answer;
pub mod certificate;
mod failure;
mod link;
pub mod network;
mod obstacle;
pub mod pace;
mod pool;
pub mod probe;
mod proxy;
mod redirect;
mod retry;
#[cfg(test)]
mod tests;
mod tls;

use answer::{Answer, Body};
use failure::Failure;
use futures_util::StreamExt as _;
pub use link::Link;
pub use network::Network;
pub use obstacle::Obstacle;
use pace::{Gates, Pass, Patience};
use pool::Pool;
pub use pool::is_loopback;

/// Text that is never printed, logged or formatted, and wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself; call it only where it leaves for its one destination.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A URL as it may be shown: without user, password, query and fragment, where signatures and codes live.
pub struct SafeUrl<'a>(pub &'a Url);

impl fmt::Display for SafeUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), authority(self.0), self.0.path())
    }
}

impl fmt::Debug for SafeUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Host and, where it is not the scheme's own, port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
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

impl Request {
    /// A GET of `url` without headers of its own.
    pub const fn get(lane: Lane, url: Url) -> Self {
        Self {
            method: Method::Get,
            url,
            headers: Vec::new(),
            authorization: None,
            body: None,
            lane,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({:?})", self.method, SafeUrl(&self.url), self.lane)
    }
}

/// A whole answer, whatever its status.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The URL that answered, after redirects. It may be signed: show it with [`SafeUrl`] only.
    pub url: Url,
    /// The body, bounded by [`Options::body_limit`].
    pub body: Bytes,
    headers: Vec<(String, String)>,
}

/// The head of an answer and its body as it arrives.
pub struct Streaming {
    /// The status code.
    pub status: u16,
    /// The URL that answered, after redirects. It may be signed: show it with [`SafeUrl`] only.
    pub url: Url,
    /// The body; an early end is an error.
    pub stream: BoxStream<'static, Result<Bytes, HttpError>>,
    /// Where the server asked handed over to, if it did.
    pub link: Option<Link>,
    headers: Vec<(String, String)>,
}

/// Why no answer could be had. The texts name the host and the cause, and hold no secrets.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// Name resolution, connection, TLS, or a connection lost in the middle.
    #[error("{0}")]
    Unreachable(String),
    /// This machine cannot make secure connections at all: it has no CA certificates, above all.
    #[error("{0}")]
    Tls(String),
    /// A certificate that one side refuses: the server's, with who issued it, or this client's. [`Obstacle`] tells
    /// them apart.
    #[error("{0}")]
    Certificate(String),
    /// The proxy: it cannot be reached, wants a login, or does not connect. [`Obstacle`] tells them apart.
    #[error("{0}")]
    Proxy(String),
    /// What the network's settings say cannot be used; names the setting.
    #[error("{0}")]
    Settings(String),
    /// Nothing arrived in time.
    #[error("{0}")]
    TimedOut(String),
    /// Nothing was sent: the pace, or the server's own wish, allows no further request for now.
    #[error("{words}")]
    Paced {
        /// Which server, and why.
        words: String,
        /// When there is a chance again.
        retry_after: Duration,
    },
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

/// The waits and limits of a client, and its way to the servers.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a connection may take to be made, name resolution and TLS included.
    pub connect_timeout: Duration,
    /// How long a server may send nothing at all, before its answer or within it.
    pub idle_timeout: Duration,
    /// How long one call may take for all its attempts and their waits. Bodies of [`HttpClient::open`] may take
    /// longer, as long as they move.
    pub total_timeout: Duration,
    /// The longest body [`HttpClient::send`] reads, in bytes after decompression.
    pub body_limit: usize,
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The pause before the first repeat; it doubles with each further one.
    pub first_backoff: Duration,
    /// The longest `Retry-After` that is waited for here; a longer one is the caller's to tell.
    pub longest_retry_after: Duration,
    /// Certificates, proxies, what may go unencrypted, and how fast servers are asked.
    pub network: Network,
    /// Where the processes of a user count their requests together (the runtime directory); without it this client counts
    /// its own.
    pub pace_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // A SYN is repeated after 1, 3 and 7 s: this lives through three lost ones.
            connect_timeout: Duration::from_secs(10),
            // Bentley's own client gives one object and one file 30 s (projectwise-api 1.9).
            idle_timeout: Duration::from_secs(30),
            // … and a list 120 s, for repositories that are slow to build many full instances.
            total_timeout: Duration::from_secs(120),
            // 1 000 rows of a listing are about 1 MiB; no honest page comes near this.
            body_limit: 64 << 20,
            attempts: 4,
            // With doubling: 0.2, 0.4, 0.8 s, so that a failing server is known as such in under two seconds.
            first_backoff: Duration::from_millis(200),
            longest_retry_after: Duration::from_secs(30),
            network: Network::default(),
            pace_dir: None,
        }
    }
}

/// The client; cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    options: Options,
    gates: Gates,
}

/// Whether a file may come from where its server points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// No: a redirect is an answer.
    Refuse,
    /// By 307 and 308, as far as `http/redirect.rs` finds it safe.
    Follow,
}

/// Which repeats a call allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    /// What `retry` finds safe for the request.
    WhereSafe,
    /// None at all.
    Never,
}

/// The most that is read of a failure's body to see whether a repeat makes sense. WSG errors are a few hundred bytes,
/// the error pages of gateways tens of KiB.
const FAILURE_BODY_LIMIT: usize = 1 << 20;

impl HttpClient {
    /// Makes the client. Connections, and what they need of the system, are made when first used.
    pub fn new() -> Result<Self, HttpError> {
        Self::with_options(Options::default())
    }

    /// Makes the client with waits and limits of its own.
    pub fn with_options(options: Options) -> Result<Self, HttpError> {
        let pool = Pool::new(options.clone());
        let gates = Gates::new(options.network.pace, options.pace_dir.clone());
        Ok(Self {
            inner: Arc::new(Inner { pool, options, gates }),
        })
    }

    /// Reads the files that the network's settings name now, and not with the first request: what is wrong with them
    /// is [`HttpError::Settings`]. Once read they stay as they are for this client.
    pub fn ready(&self) -> Result<(), HttpError> {
        self.inner.pool.ready()
    }

    /// How this client reaches the servers.
    pub fn network(&self) -> &Network {
        &self.inner.options.network
    }

    /// Sends `request`, retrying what is worth retrying, and reads the whole (bounded) body.
    ///
    /// A status is an answer, never an error, and so is a redirect that is not followed.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.exchange(&request, Repeats::WhereSafe).await
    }

    /// Sends `request` once, whatever happens: for what must not arrive twice, such as a one-time login code.
    pub async fn send_once(&self, request: Request) -> Result<Response, HttpError> {
        self.exchange(&request, Repeats::Never).await
    }

    /// Sends `request` and hands over the body as it arrives. A redirect is an answer.
    ///
    /// Retries until the head of an answer is here, never after.
    pub async fn open(&self, request: Request) -> Result<Streaming, HttpError> {
        self.open_following(request, Redirects::Refuse).await
    }

    /// As [`HttpClient::open`], and goes where a server points if `redirects` allow it.
    ///
    /// Whoever answers then need not be the server asked: look at [`Streaming::url`].
    pub async fn open_following(
        &self,
        request: Request,
        redirects: Redirects,
    ) -> Result<Streaming, HttpError> {
        let mut deadline = Instant::now() + self.inner.options.total_timeout;
        let mut attempt = 1;
        loop {
            let pass = self.turn(&request, &mut deadline).await?;
            let outcome = self.head(&request, redirects, pass.as_ref()).await;
            let Some(pause) = self.pause(&request, &outcome, attempt, deadline, Repeats::WhereSafe) else {
                let answer = outcome.map_err(|failure| failure.error)?;
                let mut streaming = answer.into_streaming(self.inner.options.idle_timeout);
                streaming.link = Link::between(&request.url, &streaming.url);
                return Ok(streaming.holding(pass));
            };
            drop(pass);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn exchange(&self, request: &Request, repeats: Repeats) -> Result<Response, HttpError> {
        let total = self.inner.options.total_timeout;
        let mut deadline = Instant::now() + total;
        let mut attempt = 1;
        let answer = loop {
            let pass = self.turn(request, &mut deadline).await?;
            let outcome = tokio::time::timeout_at(deadline, self.whole(request, pass.as_ref())).await;
            drop(pass);
            let outcome = outcome.map_err(|_| {
                HttpError::TimedOut(format!(
                    "{} did not finish its answer within {} s",
                    authority(&request.url),
                    total.as_secs()
                ))
            })?;
            match self.pause(request, &outcome, attempt, deadline, repeats) {
                // It ends before the deadline.
                Some(pause) => tokio::time::sleep(pause).await,
                None => break outcome.map_err(|failure| failure.error)?,
            }
            attempt += 1;
        };
        let Body::Read(body) = answer.body else {
            unreachable!("whole() reads the body")
        };
        Ok(Response {
            status: answer.status,
            url: answer.url,
            body,
            headers: answer.headers,
        })
    }

    /// Waits for the turn of an attempt. What nobody waits for has its time lengthened by that, for it has not begun.
    async fn turn(&self, request: &Request, deadline: &mut Instant) -> Result<Option<Pass>, HttpError> {
        let options = &self.inner.options;
        let patience = Patience {
            deadline: *deadline,
            total: options.total_timeout,
            longest_hold: options.longest_retry_after,
        };
        let gates = &self.inner.gates;
        Ok(gates
            .admit(request.lane, &request.url, patience)
            .await?
            .map(|(pass, longer)| {
                *deadline += longer;
                pass
            }))
    }

    /// How long to wait before the request is sent again; `None` if this outcome is the last.
    fn pause(
        &self,
        request: &Request,
        outcome: &Result<Answer, Failure>,
        attempt: u32,
        deadline: Instant,
        repeats: Repeats,
    ) -> Option<Duration> {
        let options = &self.inner.options;
        if repeats == Repeats::Never || attempt >= options.attempts {
            return None;
        }
        let pause = match outcome {
            Err(failure) => retry::after_failure(request, failure, attempt, options),
            Ok(answer) => {
                let words = match &answer.body {
                    Body::Read(bytes) => bytes,
                    Body::Arriving(_) => &Bytes::new(),
                };
                let wanted = header(&answer.headers, "retry-after").and_then(retry::parse_retry_after);
                retry::after_status(request, answer.status, wanted, words, attempt, options)
            }
        }?;
        // An answer that is here beats a time-out that would hide it.
        (Instant::now() + pause < deadline).then_some(pause)
    }

    /// One attempt, up to the head of the answer; of a failure that may be repeated, the body too.
    async fn head(
        &self,
        request: &Request,
        redirects: Redirects,
        pass: Option<&Pass>,
    ) -> Result<Answer, Failure> {
        let idle = self.inner.options.idle_timeout;
        let response = redirect::follow(&self.inner.pool, request, redirects, pass)
            .await
            .inspect_err(|failure| tracing::trace!(?request, error = %failure.error, "no answer"))?;
        let answer = Answer::new(response);
        tracing::trace!(?request, status = answer.status, "answered");
        if retry::is_temporary(answer.status) {
            return answer.read(FAILURE_BODY_LIMIT, idle).await;
        }
        Ok(answer)
    }

    /// One attempt with its whole body.
    async fn whole(&self, request: &Request, pass: Option<&Pass>) -> Result<Answer, Failure> {
        let options = &self.inner.options;
        self.head(request, Redirects::Refuse, pass)
            .await?
            .read(options.body_limit, options.idle_timeout)
            .await
    }
}

impl Response {
    /// A header's value, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The wait a 429 or 503 asked for, however long.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(retry::parse_retry_after)
    }
}

impl Streaming {
    /// It is on the way until its last byte is here.
    fn holding(self, pass: Option<Pass>) -> Self {
        let stream = self.stream.inspect(move |_| {
            let _on_the_way = &pass;
        });
        Self {
            stream: stream.boxed(),
            ..self
        }
    }

    /// A header's value, by case-insensitive name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The wait a 429 or 503 asked for, however long.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(retry::parse_retry_after)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} from {} ({} bytes)",
            self.status,
            SafeUrl(&self.url),
            self.body.len()
        )
    }
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} (streaming)", self.status, SafeUrl(&self.url))
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}
