//! Turns what reqwest reports into short words, and says how far the request came.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::HttpError;

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

/// A request to `host` that got no answer.
pub(super) fn before_answer(host: &str, error: &reqwest::Error) -> Failure {
    let timed_out = error.is_timeout();
    if error.is_connect() {
        let (cause, stage) = if error.is_dns() {
            ("its name cannot be resolved".to_owned(), Stage::Connect)
        } else if timed_out {
            // The kernel has repeated its SYN three times by now, and the caller has waited for all of them.
            ("no connection could be made in time".to_owned(), Stage::Final)
        } else if let Some(kind) = io_kind(error) {
            match (io_words(kind), tls_words(error)) {
                (Some(words), _) => (words.to_owned(), Stage::Connect),
                // A certificate does not become valid by asking again.
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
        let text = format!("{host}: {cause}");
        let error = if timed_out {
            HttpError::TimedOut(text)
        } else {
            HttpError::Unreachable(text)
        };
        return Failure { error, stage };
    }
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
    if timed_out {
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
    let error = HttpError::Unreachable(format!("{host}: the connection was lost before an answer came"));
    Failure {
        error,
        stage: Stage::Answer,
    }
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
    std::iter::successors(error.source(), |cause| {
        // The source of an I/O error is its content's source: the content itself, often another I/O error, is skipped.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(content) => Some(content as &(dyn Error + 'static)),
            None => (**cause).source(),
        }
    })
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

fn io_words(kind: io::ErrorKind) -> Option<&'static str> {
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
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidData)
        .then(|| format!("no secure connection (TLS) could be made: {}", innermost(error)))
}

fn is_malformed(error: &reqwest::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(|cause| cause.is_parse() || cause.is_parse_too_large())
}
