//! The way to the server: its name, a connection, the proxy's consent, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_ok;
use rustls::InvalidMessage;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{TlsFacts, Trouble, Wire};
use crate::http::certificate::Certificate;
use crate::http::pool::AGENT;
use crate::http::proxy::Through;
use crate::http::tls::Tls;
use crate::http::{Obstacle, SafeUrl, authority, failure};

/// How long an address is tried before the next one is tried beside it (RFC 8305, 5 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// The longest head of an answer to CONNECT; the client's own library reads as much.
const TUNNEL_HEAD: usize = 8192;

pub(super) async fn resolve(url: &Url) -> Result<Vec<IpAddr>, Trouble> {
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
pub(super) async fn connect(addresses: &[IpAddr], port: u16) -> Result<(SocketAddr, Wire), Trouble> {
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
pub(super) async fn tunnel(proxy: &Through, url: &Url, mut wire: Wire) -> Result<((), Wire), Trouble> {
    let shown = proxy.shown();
    let host = url.host_str().unwrap_or_default();
    let target = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
    let mut request =
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {AGENT}\r\n").into_bytes();
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

pub(super) async fn secure(
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
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            Some("no secure connection (TLS) could be made: it does not speak TLS at this port".to_owned())
        }
        // The enum is open.
        Some(_) => None,
        None => failure::io_words(error.kind()).map(str::to_owned),
    };
    let words = words.unwrap_or_else(|| format!("no secure connection (TLS) could be made: {error}"));
    Trouble::new(format!("{host}: {words}"))
}
