//! The connections: one reqwest client for each lane and each way out.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use url::{Host, Url};

use super::failure::{self, Failure, Path, Stage};
use super::proxy::{Environment, Proxies};
use super::tls::Tls;
use super::{HttpError, Lane, Method, Network, Obstacle, Options, Request, authority};

/// What this program calls itself.
pub(super) const AGENT: &str = concat!("pwfs/", env!("CARGO_PKG_VERSION"));

/// Sent bytes that nobody acknowledges for so long mean a dead connection, such as one from before a suspend: asking
/// again on a new one heals it within the deadline of a metadata call, which the kernel's own 15 minutes would not.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// How often a quiet HTTP/2 connection is asked for a sign of life while a request waits on it.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// As many connections to one host are kept for later: as are in use when nobody waits. A walk by hundreds of readers
/// opens as many, and each that is kept holds some 60 KiB of buffers.
const KEPT_IDLE: usize = 32;

/// Clients, and what they are made with, are made when first used: reading the system's certificates takes milliseconds.
pub(super) struct Pool {
    options: Options,
    means: OnceLock<Result<Arc<Means>, HttpError>>,
    network: Clients,
    loopback: Clients,
}

/// What all clients are made with.
struct Means {
    tls: Tls,
    proxies: Proxies,
}

type Slot = OnceLock<Result<reqwest::Client, HttpError>>;

#[derive(Default)]
struct Clients {
    metadata: Slot,
    content: Slot,
    login: Slot,
}

/// The way to a host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through a proxy, if there is one.
    Network,
    /// Straight: no proxy can know what listens on this machine.
    Loopback,
}

impl Means {
    fn of(network: &Network) -> Result<Self, HttpError> {
        Ok(Self {
            tls: Tls::read(network)?,
            proxies: Proxies::of(network, &Environment::of_this_process())?,
        })
    }
}

impl Pool {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            means: OnceLock::new(),
            network: Clients::default(),
            loopback: Clients::default(),
        }
    }

    /// Reads the files that the network's settings name, once.
    pub(super) fn ready(&self) -> Result<(), HttpError> {
        self.means().map(drop)
    }

    fn means(&self) -> Result<&Arc<Means>, HttpError> {
        let made = self
            .means
            .get_or_init(|| Means::of(&self.options.network).map(Arc::new));
        made.as_ref().map_err(Clone::clone)
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn execute(
        &self,
        request: &Request,
        url: &Url,
        hop: Hop,
    ) -> Result<reqwest::Response, Failure> {
        let host = authority(url);
        let last = |error| Failure {
            error,
            stage: Stage::Final,
        };
        let built = build(request, url, hop).map_err(|name| {
            last(HttpError::Protocol(format!(
                "{host}: the header {name} cannot be sent"
            )))
        })?;
        let secret = hop == Hop::First && (request.authorization.is_some() || request.body.is_some());
        if secret && !self.options.network.permits(url) {
            // Whoever made the address should have looked; this is the last place that can.
            let text = format!("{host}: {} ({})", Obstacle::PlainHttp.phrase(), url.scheme());
            return Err(last(HttpError::Settings(text)));
        }
        let means = self.means().map_err(last)?;
        let through = means.proxies.through(url).map_err(last)?;
        let proxy = through.map(|proxy| proxy.shown());
        let client = self.client(means, request.lane, url).map_err(last)?;
        let idle = self.options.idle_timeout;
        match tokio::time::timeout(idle, client.execute(built)).await {
            Ok(Ok(response)) => match foreign(&host, &response, proxy.as_deref(), &means.tls) {
                Some(error) => Err(last(error)),
                None => Ok(response),
            },
            Ok(Err(error)) => {
                let path = Path {
                    host: &host,
                    proxy: proxy.as_deref(),
                    lacks_identity: means.tls.lacks_identity(),
                };
                Err(failure::before_answer(&path, &error))
            }
            Err(_) => Err(last(failure::idle(&host, idle))),
        }
    }

    fn client(&self, means: &Means, lane: Lane, url: &Url) -> Result<&reqwest::Client, HttpError> {
        let (way, clients) = if is_loopback(url) {
            (Way::Loopback, &self.loopback)
        } else {
            (Way::Network, &self.network)
        };
        let slot = match lane {
            Lane::Metadata => &clients.metadata,
            Lane::Content => &clients.content,
            Lane::Login => &clients.login,
        };
        slot.get_or_init(|| make(lane, way, &self.options, means))
            .as_ref()
            .map_err(Clone::clone)
    }
}

/// The error in an answer that is not the server's, or not to the request.
fn foreign(host: &str, response: &reqwest::Response, proxy: Option<&str>, tls: &Tls) -> Option<HttpError> {
    let status = response.status().as_u16();
    match proxy {
        // Of a request that is not encrypted the proxy reads, and answers, the head.
        Some(proxy) if status == 407 => {
            return Some(HttpError::Proxy(format!(
                "{host}: {}",
                failure::wants_login(proxy)
            )));
        }
        Some(_) | None => {}
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if tls.lacks_identity() {
        return failure::page_for_strangers(host, status, kind.unwrap_or_default());
    }
    None
}

fn make(lane: Lane, way: Way, options: &Options, means: &Means) -> Result<reqwest::Client, HttpError> {
    let builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .redirect(reqwest::redirect::Policy::none())
        // Only http::retry retries.
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .tcp_user_timeout(DEAD_AFTER)
        .pool_max_idle_per_host(KEPT_IDLE)
        // The environment's are among ours.
        .no_proxy();
    let (builder, protocols): (_, &[&str]) = match lane {
        Lane::Metadata => (
            builder
                .gzip(true)
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(DEAD_AFTER),
            &["h2", "http/1.1"],
        ),
        // Over HTTP/2 all ranges of a file would share one connection.
        Lane::Content | Lane::Login => (builder.no_gzip().http1_only(), &["http/1.1"]),
    };
    let proxies = match way {
        Way::Network => means.proxies.for_reqwest(),
        Way::Loopback => Vec::new(),
    };
    let builder = proxies.into_iter().fold(builder, reqwest::ClientBuilder::proxy);
    // A machine without any CA certificate still talks to its own simulator.
    let tls = means.tls.config(protocols, way == Way::Loopback)?;
    builder.tls_backend_preconfigured(tls).build().map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        HttpError::Tls(format!("TLS cannot be set up on this machine: {cause}"))
    })
}

/// Whether a request goes where its caller said, or where a server sent it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    First,
    Redirected,
}

/// What goes along to another host: what the bytes depend on, and nothing that tells who asks.
const REDIRECTED_HEADERS: [&str; 5] = ["accept", "range", "if-range", "if-match", "if-none-match"];

/// The error is the name of the header that cannot be sent.
fn build(request: &Request, url: &Url, hop: Hop) -> Result<reqwest::Request, &'static str> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
    };
    let mut built = reqwest::Request::new(method, url.clone());
    let headers = built.headers_mut();
    if request.lane == Lane::Content {
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
    }
    for (name, value) in &request.headers {
        if hop == Hop::Redirected
            && !REDIRECTED_HEADERS
                .iter()
                .any(|kept| kept.eq_ignore_ascii_case(name))
        {
            continue;
        }
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| *name)?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|_| *name)?);
    }
    if hop == Hop::First {
        if let Some(authorization) = &request.authorization {
            let mut value = HeaderValue::from_str(authorization.expose()).map_err(|_| "Authorization")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some((kind, body)) = &request.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            *built.body_mut() = Some(body.expose().to_owned().into());
        }
    }
    Ok(built)
}

/// True for a URL that names this machine: `localhost` itself and the loopback addresses. Not what ends in `.localhost`,
/// which a resolver may send anywhere.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}
