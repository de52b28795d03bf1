//! Goes the way to a server stage by stage and tells what is there, for `pwfs doctor`.
//!
//! No login is ever sent: neither a token nor a cookie nor a password for the server. A proxy gets the login that the
//! environment holds for it, and a server that proved who it is the client certificate it asks for, as with any request.
//! A certificate that is refused ends the handshake with nothing sent; whose it is and who issued it are told all the same,
//! which is how a proxy that opens TLS is named.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;

use super::certificate::Certificate;
use super::proxy::{Environment, Proxies, Through};
use super::tls::Tls;
use super::{HttpError, Network, Obstacle, SafeUrl};

mod answer;
mod way;

use answer::ask;
use way::{connect, resolve, secure, tunnel};

/// How long each stage may take: as long as a connection of the client itself.
const STAGE_TIMEOUT: Duration = Duration::from_secs(10);

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
