//! Turns what reqwest reports into short words, and says how far the request came.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

use super::certificate::Refused;
use super::{HttpError, Obstacle};

/// A failed attempt.
pub(super) struct Failure {
    /// What is told.
    pub(super) error: HttpError,
    /// How far the request came.
    pub(super) stage: Stage,
}

/// How far a failed request came: decides what may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// No connection was made: the server has seen nothing of it.
    Connect,
    /// The connection was lost before the first byte of an answer.
    Answer,
    /// The answer broke off.
    Body,
    /// A repeat would end the same way.
    Final,
}

/// The way a failed request was to go.
pub(super) struct Path<'a> {
    /// The server.
    pub(super) host: &'a str,
    /// The proxy before it.
    pub(super) proxy: Option<&'a str>,
    /// The server has asked for a client certificate, and there is none.
    pub(super) lacks_identity: bool,
}

/// A request that got no answer.
pub(super) fn before_answer(path: &Path<'_>, error: &reqwest::Error) -> Failure {
    if let Some((error, stage)) = tls_failure(path, error).or_else(|| tunnel_failure(path, error)) {
        return Failure { error, stage };
    }
    if error.is_connect() {
        return no_connection(path, error);
    }
    let host = path.host;
    if error.is_builder() {
        let error = HttpError::Protocol(format!(
            "{host}: the request cannot be sent ({})",
            innermost(error)
        ));
        return Failure {
            error,
            stage: Stage::Final,
        };
    }
    if error.is_timeout() {
        // The kernel's own verdict (TCP_USER_TIMEOUT): the bytes sent were never acknowledged.
        let error = HttpError::TimedOut(format!("{host}: the connection died without an answer"));
        return Failure {
            error,
            stage: Stage::Answer,
        };
    }
    if is_malformed(error) {
        let error = HttpError::Protocol(format!("{host} does not answer in HTTP ({})", innermost(error)));
        return Failure {
            error,
            stage: Stage::Final,
        };
    }
    let lost = "the connection was lost before an answer came";
    let error = if path.lacks_identity {
        HttpError::Certificate(format!(
            "{host}: {lost}; it {}",
            Obstacle::ClientCertificate.phrase()
        ))
    } else {
        HttpError::Unreachable(format!("{host}: {lost}"))
    };
    Failure {
        error,
        stage: Stage::Answer,
    }
}

/// No connection to the server; with a proxy, none to the proxy.
fn no_connection(path: &Path<'_>, error: &reqwest::Error) -> Failure {
    let timed_out = error.is_timeout();
    let (cause, stage) = if error.is_dns() {
        ("its name cannot be resolved".to_owned(), Stage::Connect)
    } else if timed_out {
        // The kernel has repeated its SYN three times by now, and the caller has waited for all of them.
        ("no connection could be made in time".to_owned(), Stage::Final)
    } else if let Some(kind) = io_kind(error) {
        match (io_words(kind), tls_words(error)) {
            (Some(words), _) => (words.to_owned(), Stage::Connect),
            // What is no TLS does not become it by asking again.
            (None, Some(words)) => (words, Stage::Final),
            (None, None) => (
                format!("no connection could be made ({})", innermost(error)),
                Stage::Connect,
            ),
        }
    } else {
        (
            format!("no connection could be made ({})", innermost(error)),
            Stage::Connect,
        )
    };
    let host = path.host;
    let error = match path.proxy {
        // The HTTP library takes the brackets of the address for a part of the name it verifies.
        Some(_) if host.starts_with('[') && innermost(error) == "Invalid Server Name" => {
            let text =
                format!("{host}: an IPv6 address cannot be reached through a proxy; use the server's name");
            return Failure {
                error: HttpError::Protocol(text),
                stage: Stage::Final,
            };
        }
        // It may be the proxy that waits for the server.
        Some(proxy) if timed_out => HttpError::TimedOut(format!("{host}: {cause} through {proxy}")),
        Some(proxy) => {
            let phrase = Obstacle::Proxy.phrase();
            HttpError::Proxy(format!("{host}: {proxy} {phrase}: {cause}"))
        }
        None if timed_out => HttpError::TimedOut(format!("{host}: {cause}")),
        None => HttpError::Unreachable(format!("{host}: {cause}")),
    };
    Failure { error, stage }
}

/// A certificate that one side refuses.
fn tls_failure(path: &Path<'_>, error: &reqwest::Error) -> Option<(HttpError, Stage)> {
    let host = path.host;
    let error = tls_error(causes(error))?;
    let words = match (refused(error), error) {
        // An https proxy shows a certificate of its own.
        (Some(refused), _) if path.proxy.is_some() && !refused.is_of(host) => {
            format!("of its proxy {}, {refused}", refused.host)
        }
        (Some(refused), _) => refused.to_string(),
        (None, rustls::Error::AlertReceived(alert)) => alert_words(*alert, path.lacks_identity)?,
        // `tls_words` tells the rest.
        (None, _) => return None,
    };
    // A certificate does not become valid by asking again.
    Some((HttpError::Certificate(format!("{host}: {words}")), Stage::Final))
}

/// An answer that is no answer of the service: some servers (nginx, IIS) take the connection of a client without a
/// certificate, and refuse its requests with a page.
pub(super) fn page_for_strangers(host: &str, status: u16, kind: &str) -> Option<HttpError> {
    // 495 and 496 are nginx's own, seen where it is told to pass them on.
    let is_page = matches!(status, 400 | 403 | 495 | 496) && kind.starts_with("text/html");
    let asks = Obstacle::ClientCertificate.phrase();
    is_page.then(|| {
        HttpError::Certificate(format!(
            "{host}: it {asks}, and answers with status {status} without one"
        ))
    })
}

/// What a server says when it ends a handshake because of the client's certificate.
pub(super) fn alert_words(alert: AlertDescription, lacks_identity: bool) -> Option<String> {
    let asks = Obstacle::ClientCertificate.phrase();
    match alert {
        AlertDescription::CertificateRequired => Some(format!("it {asks}")),
        // TLS 1.2 has no alert of its own for a certificate that is missing.
        AlertDescription::HandshakeFailure | AlertDescription::BadCertificate if lacks_identity => {
            Some(format!("it {asks}"))
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            Some(format!("it {asks}, and refuses the one it was shown ({alert:?})"))
        }
        // The enum is open.
        _ => None,
    }
}

/// A proxy that makes no tunnel. Its errors have no public type: hyper-util's words are what tells them apart.
fn tunnel_failure(path: &Path<'_>, error: &reqwest::Error) -> Option<(HttpError, Stage)> {
    let (host, proxy) = (path.host, path.proxy?);
    let text = causes(error).find_map(|cause| {
        let text = cause.to_string();
        text.strip_prefix("tunnel error: ").map(str::to_owned)
    })?;
    let (words, stage) = match text.as_str() {
        "proxy authorization required" => (wants_login(proxy), Stage::Final),
        "unsuccessful" => {
            let words = format!("{} {host} ({proxy})", Obstacle::ProxyRefusal.phrase());
            (words, Stage::Connect)
        }
        // The connection to the proxy itself.
        "failed to create underlying connection" => return None,
        other => {
            let words = format!("{proxy} {}: {other}", Obstacle::Proxy.phrase());
            (words, Stage::Connect)
        }
    };
    Some((HttpError::Proxy(format!("{host}: {words}")), stage))
}

/// A proxy's 407.
pub(super) fn wants_login(proxy: &str) -> String {
    format!("{} ({proxy})", Obstacle::ProxyLogin.phrase())
}

/// An answer of `host` that broke off.
pub(super) fn in_body(host: &str, error: &reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::TimedOut(format!("{host}: the connection died in the middle of an answer"));
    }
    if is_malformed(error) || io_kind(error) == Some(io::ErrorKind::InvalidData) {
        return HttpError::Protocol(format!("{host}: the answer is damaged ({})", innermost(error)));
    }
    HttpError::Unreachable(format!(
        "{host}: the connection was lost in the middle of an answer"
    ))
}

/// `host` sent nothing for `idle`.
pub(super) fn idle(host: &str, idle: Duration) -> HttpError {
    HttpError::TimedOut(format!("{host} sent nothing for {idle:?}"))
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    chain(error.source())
}

/// `first` and what is behind it.
fn chain<'a>(first: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |cause| {
        // The source of an I/O error is its content's source: the content itself, often another I/O error, is skipped.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(content) => Some(content as &(dyn Error + 'static)),
            None => (**cause).source(),
        }
    })
}

fn tls_error<'a>(causes: impl Iterator<Item = &'a (dyn Error + 'static)>) -> Option<&'a rustls::Error> {
    causes
        .into_iter()
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
}

/// The TLS error behind `error`.
pub(super) fn tls_error_behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    tls_error(chain(Some(error)))
}

/// The certificate that was refused, where that is the error.
pub(super) fn refused(error: &rustls::Error) -> Option<&Refused> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.downcast_ref::<Refused>()
        }
        // The enum is open.
        _ => None,
    }
}

/// The deepest cause; the layers above it only repeat it, and reqwest's own would show the whole URL.
fn innermost(error: &reqwest::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .last()
}

pub(super) fn io_words(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("the connection was refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => {
            Some("the connection was closed while it was being made")
        }
        io::ErrorKind::HostUnreachable => Some("there is no route to the host"),
        io::ErrorKind::NetworkUnreachable => Some("the network is not reachable"),
        io::ErrorKind::NetworkDown => Some("the network is down"),
        io::ErrorKind::PermissionDenied => Some("a firewall on this machine forbids the connection"),
        // io::ErrorKind is open; the caller shows the system's own words for the rest.
        _ => None,
    }
}

/// rustls hands its errors over as `InvalidData`, wrapped in an I/O error whose text is its own.
fn tls_words(error: &reqwest::Error) -> Option<String> {
    let words = match tls_error(causes(error)) {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not speak TLS at this port".to_owned()
        }
        // The enum is open.
        Some(_) => innermost(error),
        None => {
            let mut inner = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
            inner.find(|cause| cause.kind() == io::ErrorKind::InvalidData)?;
            innermost(error)
        }
    };
    Some(format!("no secure connection (TLS) could be made: {words}"))
}

fn is_malformed(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(|cause| cause.is_parse() || cause.is_parse_too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_the_handshake_says_whose_certificate_it_is_about() {
        let asks = Some("it asks for a client certificate".to_owned());
        assert_eq!(alert_words(AlertDescription::CertificateRequired, true), asks);
        assert_eq!(alert_words(AlertDescription::HandshakeFailure, true), asks);
        assert_eq!(alert_words(AlertDescription::HandshakeFailure, false), None);
        let refused = alert_words(AlertDescription::CertificateExpired, false).unwrap();
        assert!(
            refused.contains("refuses the one it was shown (CertificateExpired)"),
            "{refused}"
        );
        assert_eq!(alert_words(AlertDescription::InternalError, true), None);
    }
}
