//! Goes the way to a server stage by stage and tells what is there, for `pwfs doctor`.
//!
//! No login is ever sent: neither a token nor a cookie nor a password for the server. A proxy gets the login that the
//! environment holds for it, and a server that proved who it is the client certificate it asks for, as with any request.
//! A certificate that is refused ends the handshake with nothing sent; whose it is and who issued it are told all the same,
//! which is how a proxy that opens TLS is named.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::certificate::Certificate;
use super::failure::{self, Obstacle};
use super::proxy::{Environment, Proxies, Through};
use super::tls::Tls;
use super::{HttpError, Network, SafeUrl, authority};

/// How long each stage may take: as long as a connection of the client itself.
const STAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an address is tried before the next one is tried beside it (RFC 8305, 5 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// The longest head of an answer to CONNECT; the client's own library reads as much.
const TUNNEL_HEAD: usize = 8192;

/// What was found on the way to a server. A stage that was not reached, or does not apply, is `None`.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// What was asked for, without query.
    pub url: String,
    /// The proxy on the way, without its login. Where there is one, names and connections are those of the proxy.
    pub proxy: Option<String>,
    /// The addresses of the name.
    pub addresses: Stage<Vec<IpAddr>>,
    /// The address that took the connection.
    pub connection: Option<Stage<SocketAddr>>,
    /// TLS to an https proxy.
    pub proxy_tls: Option<Stage<TlsFacts>>,
    /// The proxy's consent to reach the server (CONNECT).
    pub tunnel: Option<Stage<()>>,
    /// TLS to the server.
    pub tls: Option<Stage<TlsFacts>>,
    /// The server's answer.
    pub answer: Option<Stage<AnswerFacts>>,
}

/// How a stage went.
#[derive(Debug, Clone)]
pub struct Stage<T> {
    /// What it found.
    pub outcome: Result<T, Trouble>,
    /// How long it took.
    pub took: Duration,
}

/// Why a stage ended the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, in words; no secrets.
    pub text: String,
    /// The kind of it, where that tells what to do.
    pub obstacle: Option<Obstacle>,
    /// The certificate that was refused.
    pub certificate: Option<Box<Certificate>>,
}

/// A secure connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// Such as `TLS 1.3`.
    pub version: String,
    /// The server's certificate, verified up to an authority this machine trusts.
    pub certificate: Option<Certificate>,
    /// The server asked for a client certificate, and none is set. It may do without.
    pub lacks_client_certificate: bool,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFacts {
    /// The status code.
    pub status: u16,
    /// How far this machine's clock is ahead of the server's `Date`, to the second; negative where it lags. The time of
    /// the way is in it: a few seconds mean nothing.
    pub clock_ahead: Option<SignedDuration>,
    /// Where a redirect leads, without its query.
    pub redirect: Option<String>,
    /// Why the answer looks like that of a sign-in page of the network (a captive portal) and not of the server.
    pub portal: Option<String>,
}

impl ProbeReport {
    /// The first stage that failed, by name.
    pub fn trouble(&self) -> Option<(&'static str, &Trouble)> {
        fn of<'a, T>(name: &'static str, stage: Option<&'a Stage<T>>) -> Option<(&'static str, &'a Trouble)> {
            stage?.outcome.as_ref().err().map(|trouble| (name, trouble))
        }
        of("name", Some(&self.addresses))
            .or_else(|| of("connection", self.connection.as_ref()))
            .or_else(|| of("TLS of the proxy", self.proxy_tls.as_ref()))
            .or_else(|| of("proxy", self.tunnel.as_ref()))
            .or_else(|| of("TLS", self.tls.as_ref()))
            .or_else(|| of("answer", self.answer.as_ref()))
    }
}

impl Trouble {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            obstacle: Obstacle::told_by(&text),
            text,
            certificate: None,
        }
    }
}

/// Goes the way to `url`, as `network` says, and asks for it once, without a login.
///
/// Each stage ends within 10 s. The error is that `network` itself cannot be used ([`HttpError::Settings`], or
/// [`HttpError::Tls`] on a machine without CA certificates).
pub async fn probe(network: &Network, url: &Url) -> Result<ProbeReport, HttpError> {
    let tls = Tls::read(network)?;
    let proxies = Proxies::of(network, &Environment::of_this_process())?;
    probe_with(&tls, &proxies, url).await
}

pub(super) async fn probe_with(tls: &Tls, proxies: &Proxies, url: &Url) -> Result<ProbeReport, HttpError> {
    let through = proxies.through(url)?;
    let first = through.as_ref().map_or(url, |proxy| &proxy.url);
    let config = Arc::new(tls.config(&["http/1.1"], super::is_loopback(url))?);
    let addresses = stage(resolve(first)).await;
    let mut report = ProbeReport {
        url: SafeUrl(url).to_string(),
        proxy: through.as_ref().map(Through::shown),
        addresses,
        connection: None,
        proxy_tls: None,
        tunnel: None,
        tls: None,
        answer: None,
    };
    // What fails is in the report by then.
    let _ = go_on(&mut report, tls, &config, through.as_ref(), url).await;
    Ok(report)
}

/// The stages after the name; `None` where one failed.
async fn go_on(
    report: &mut ProbeReport,
    tls: &Tls,
    config: &Arc<rustls::ClientConfig>,
    through: Option<&Through>,
    url: &Url,
) -> Option<()> {
    let first = through.map_or(url, |proxy| &proxy.url);
    let port = first.port_or_known_default().unwrap_or(443);
    let addresses = report.addresses.outcome.as_ref().ok()?;
    let connected = stage(connect(addresses, port)).await;
    let mut wire = note(&mut report.connection, connected)?;
    if first.scheme() == "https" && through.is_some() {
        let secured = stage(secure(tls, config, first, wire)).await;
        wire = note(&mut report.proxy_tls, secured)?;
    }
    if let Some(proxy) = through
        && url.scheme() == "https"
    {
        let made = stage(tunnel(proxy, url, wire)).await;
        wire = note(&mut report.tunnel, made)?;
    }
    if url.scheme() == "https" {
        let secured = stage(secure(tls, config, url, wire)).await;
        wire = note(&mut report.tls, secured)?;
    }
    let forwarding = through.filter(|_| url.scheme() == "http");
    report.answer = Some(stage(ask(url, forwarding, wire, tls)).await);
    Some(())
}

/// A connection in whatever wrapping.
type Wire = Box<dyn Duplex>;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Keeps what a stage found in its place, and hands on the connection.
fn note<T>(place: &mut Option<Stage<T>>, stage: Stage<(T, Wire)>) -> Option<Wire> {
    let (outcome, wire) = match stage.outcome {
        Ok((found, wire)) => (Ok(found), Some(wire)),
        Err(trouble) => (Err(trouble), None),
    };
    *place = Some(Stage {
        outcome,
        took: stage.took,
    });
    wire
}

async fn stage<T>(work: impl Future<Output = Result<T, Trouble>>) -> Stage<T> {
    let begin = Instant::now();
    let late = |_| {
        let text = format!("nothing came of it within {} s", STAGE_TIMEOUT.as_secs());
        Err(Trouble::new(text))
    };
    let outcome = tokio::time::timeout(STAGE_TIMEOUT, work)
        .await
        .unwrap_or_else(late);
    Stage {
        outcome,
        took: begin.elapsed(),
    }
}

async fn resolve(url: &Url) -> Result<Vec<IpAddr>, Trouble> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(vec![address.into()]),
        Some(Host::Ipv6(address)) => return Ok(vec![address.into()]),
        Some(Host::Domain(name)) => name,
        None => return Err(Trouble::new(format!("{} names no host", SafeUrl(url)))),
    };
    let unknown = |why: &str| Trouble::new(format!("{name}: its name cannot be resolved ({why})"));
    let found = tokio::net::lookup_host((name, 0)).await;
    let mut addresses: Vec<IpAddr> = found
        .map_err(|error| unknown(&error.to_string()))?
        .map(|address| address.ip())
        .collect();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(unknown("it has no address"));
    }
    Ok(addresses)
}

/// Tries all addresses, each a moment after the one before; the first that answers is taken.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<(SocketAddr, Wire), Trouble> {
    let attempts = addresses.iter().zip(0_u32..).map(|(address, place)| {
        let address = SocketAddr::new(*address, port);
        async move {
            tokio::time::sleep(STAGGER * place).await;
            let socket = TcpStream::connect(address).await.map_err(|error| {
                let words = failure::io_words(error.kind()).map_or_else(|| error.to_string(), str::to_owned);
                Trouble::new(format!("{address}: {words}"))
            })?;
            Ok((address, Box::new(socket) as Wire))
        }
        .boxed()
    });
    select_ok(attempts).await.map(|(first, _)| first)
}

/// Asks the proxy for a connection to the host of `url` (RFC 9110, 9.3.6).
async fn tunnel(proxy: &Through, url: &Url, mut wire: Wire) -> Result<((), Wire), Trouble> {
    let shown = proxy.shown();
    let host = url.host_str().unwrap_or_default();
    let target = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", agent()).into_bytes();
    if let Some(login) = proxy.intercept.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let unusable = |why: &str| Trouble::new(format!("{shown} {}: {why}", Obstacle::Proxy.phrase()));
    wire.write_all(&request)
        .await
        .map_err(|error| unusable(&error.to_string()))?;
    let mut head = Vec::new();
    // Nothing may be read beyond the head: what follows is the server's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == TUNNEL_HEAD {
            return Err(unusable("its answer is too long"));
        }
        match wire.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Err(unusable("it closed the connection without an answer")),
        }
    }
    let text = String::from_utf8_lossy(&head);
    let line = text.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    match status {
        Some("200") => Ok(((), wire)),
        Some("407") => Err(Trouble::new(failure::wants_login(&shown))),
        Some(status) => {
            let phrase = Obstacle::ProxyRefusal.phrase();
            let text = format!("{phrase} {target} ({shown} answers with status {status})");
            Err(Trouble::new(text))
        }
        None => Err(unusable("it does not answer in HTTP")),
    }
}

async fn secure(
    tls: &Tls,
    config: &Arc<rustls::ClientConfig>,
    url: &Url,
    wire: Wire,
) -> Result<(TlsFacts, Wire), Trouble> {
    let host = match url.host() {
        // Not as the URL writes it: an IPv6 address has no brackets here.
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_) | Host::Ipv4(_)) | None => url.host_str().unwrap_or_default().to_owned(),
    };
    let name = ServerName::try_from(host)
        .map_err(|_| Trouble::new(format!("{}: no certificate can be for this name", authority(url))))?;
    let shaken = TlsConnector::from(Arc::clone(config)).connect(name, wire).await;
    let stream = shaken.map_err(|error| tls_trouble(url, tls, &error))?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        // rustls speaks no others.
        other => format!("{other:?}"),
    };
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let facts = TlsFacts {
        version,
        certificate: shown.and_then(|shown| Certificate::read(shown)),
        lacks_client_certificate: tls.lacks_identity(),
    };
    Ok((facts, Box::new(stream)))
}

fn tls_trouble(url: &Url, tls: &Tls, error: &std::io::Error) -> Trouble {
    let host = authority(url);
    let found = failure::tls_error_behind(error);
    if let Some(refused) = found.and_then(failure::refused) {
        return Trouble {
            certificate: refused.certificate.clone().map(Box::new),
            ..Trouble::new(format!("{host}: {refused}"))
        };
    }
    let words = match found {
        Some(rustls::Error::AlertReceived(alert)) => failure::alert_words(*alert, tls.lacks_identity()),
        Some(_) => None,
        None => failure::io_words(error.kind()).map(str::to_owned),
    };
    let words = words.unwrap_or_else(|| format!("no secure connection (TLS) could be made: {error}"));
    Trouble::new(format!("{host}: {words}"))
}

fn agent() -> String {
    format!("User-Agent: pwfs/{}", env!("CARGO_PKG_VERSION"))
}

/// One GET, of which only the head of the answer is read. A proxy that forwards gets the whole address, and its login.
async fn ask(url: &Url, proxy: Option<&Through>, wire: Wire, tls: &Tls) -> Result<AnswerFacts, Trouble> {
    let host = authority(url);
    let odd = |error: hyper::http::Error| Trouble::new(format!("{host}: it cannot be asked ({error})"));
    let target = match proxy {
        Some(_) => &url[..url::Position::AfterQuery],
        None => &url[url::Position::BeforePath..url::Position::AfterQuery],
    };
    let mut request = hyper::Request::get(target)
        .header(HOST, &host)
        .header(USER_AGENT, concat!("pwfs/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(login) = proxy.and_then(|proxy| proxy.intercept.basic_auth()) {
        request = request.header(PROXY_AUTHORIZATION, login);
    }
    let request = request.body(String::new()).map_err(odd)?;
    let failed = |error: &hyper::Error| match failure::tls_error_behind(error) {
        // TLS 1.3 lets a server refuse this client when the handshake is over.
        Some(rustls::Error::AlertReceived(alert)) => {
            let words = failure::alert_words(*alert, tls.lacks_identity());
            Trouble::new(format!(
                "{host}: {}",
                words.unwrap_or_else(|| format!("{alert:?}"))
            ))
        }
        _ if error.is_parse() => Trouble::new(format!("{host} does not answer in HTTP ({error})")),
        _ => Trouble::new(format!("{host}: the connection was lost before an answer came")),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire))
        .await
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The answer may be here already.
        _ = &mut connection => answer.await,
    };
    let answer = answer.map_err(|error| failed(&error))?;
    if let (407, Some(proxy)) = (answer.status().as_u16(), proxy) {
        return Err(Trouble::new(failure::wants_login(&proxy.shown())));
    }
    Ok(facts(
        url,
        answer.status().as_u16(),
        answer.headers(),
        Timestamp::now(),
    ))
}

fn facts(url: &Url, status: u16, headers: &hyper::HeaderMap, now: Timestamp) -> AnswerFacts {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value: &hyper::header::HeaderValue| value.to_str().ok())
    };
    let date = header(DATE).and_then(|text| rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    let clock_ahead = date.map(|date| SignedDuration::from_secs(now.as_second() - date.as_second()));
    let redirect = match status {
        300..400 => header(LOCATION).and_then(|text| url.join(text).ok()),
        _ => None,
    };
    let portal = match &redirect {
        Some(next) if !is_of_one_house(url, next) => Some(format!("it redirects to {}", authority(next))),
        Some(_) => None,
        None => {
            let html = header(CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html"));
            (status == 200 && html).then(|| "it answers with a page where data was asked for".to_owned())
        }
    };
    AnswerFacts {
        status,
        clock_ahead,
        redirect: redirect.as_ref().map(|next| SafeUrl(next).to_string()),
        portal,
    }
}

/// A service that has moved within its house (`ims.bentley.com` to `imsoidc.bentley.com`) is no portal.
fn is_of_one_house(one: &Url, other: &Url) -> bool {
    let house = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => {
            let labels: Vec<&str> = name.rsplit('.').take(2).collect();
            Some(labels.join(".").to_ascii_lowercase())
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => url.host_str().map(str::to_owned),
    };
    house(one) == house(other)
}
