//! What failures on the way to a server are called.

use super::code::Code;
use super::{CliError, ErrorKind, NOT_REACHABLE, REPORT, TRY_LATER};
use crate::http::HttpError;

const CERTIFICATES: &str = "if the system has no certificates, install them (package ca-certificates)";
pub(super) const PROXY: &str = "the proxy is the profile's `proxy`, or that of HTTPS_PROXY; ask IT for its address, and for the \
                                user and password it wants";

/// Who could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The document server.
    Server,
    /// The identity provider.
    Issuer,
}

/// A failure on the way to `peer`.
pub(super) fn failure(peer: Peer, error: &HttpError) -> CliError {
    let who = match peer {
        Peer::Server => "the server",
        Peer::Issuer => "the identity provider",
    };
    let unreachable = |code| {
        CliError::new(
            ErrorKind::Unreachable,
            format!("{who} cannot be reached: {error}"),
        )
        .code(code)
    };
    let unusable = |code| {
        CliError::new(
            ErrorKind::Failure,
            format!("{who}'s answer cannot be used: {error}"),
        )
        .code(code)
    };
    match error {
        HttpError::Unreachable(text) => match Lost::of(text) {
            Lost::Name => unreachable(Code::NetworkName)
                .hint("check the address for a slip")
                .hint("a name of a company's own network is known only inside it: connect its VPN, or contact IT"),
            Lost::Tls => unreachable(Code::NetworkTls)
                .hint("the server, or what stands before it, does not speak TLS as it should: check the address and its port, \
                       or contact IT"),
            Lost::Connection => unreachable(Code::NetworkUnreachable).hint(match peer {
                Peer::Server => NOT_REACHABLE,
                Peer::Issuer => "check the network, the proxy and the issuer's address",
            }),
        },
        HttpError::Tls(_) => unreachable(Code::NetworkNoCertificates).hint(CERTIFICATES),
        HttpError::Certificate(_) => unreachable(Code::NetworkCertificate)
            .hint("a certificate of your organisation is trusted with ca_bundle = \"FILE.pem\" in the profile (config.toml); ask \
                   IT for the file")
            .hint("where the dates are wrong, set this machine's clock; where the name is, check the address"),
        HttpError::Proxy(_) => unreachable(Code::NetworkProxy).hint(PROXY),
        HttpError::Settings(_) => {
            CliError::of(ErrorKind::Config, error)
                .code(Code::NetworkSettings)
                .hint("mend the setting in the profile (config.toml), or in the environment")
        }
        HttpError::TimedOut(_) => {
            let message = format!("{who} did not answer in time: {error}");
            CliError::new(ErrorKind::TryAgain, message)
                .code(Code::NetworkTimeout)
                .hint(TRY_LATER)
                .hint(match peer {
                    Peer::Server => NOT_REACHABLE,
                    Peer::Issuer => "check the network, the proxy and the issuer's address",
                })
        }
        HttpError::TooLarge(_) => unusable(Code::NetworkTooLarge).hint(REPORT),
        HttpError::Redirect(_) => unusable(Code::NetworkRedirect)
            .hint("a server may send readers on to another public https address only: contact its administrator"),
        HttpError::Protocol(_) => unusable(Code::NetworkDamaged)
            .hint("check the address and its port; a proxy may damage answers on their way: contact IT"),
    }
}

/// What of a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Name,
    Tls,
    Connection,
}

impl Lost {
    /// By the words of `http/failure.rs`, which no server can have written: they are this side's own.
    fn of(text: &str) -> Self {
        if text.contains("its name cannot be resolved") {
            Self::Name
        } else if text.contains("no secure connection (TLS)") {
            Self::Tls
        } else {
            Self::Connection
        }
    }
}

impl From<HttpError> for CliError {
    fn from(error: HttpError) -> Self {
        failure(Peer::Server, &error)
    }
}
