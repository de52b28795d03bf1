//! What failures on the way to a server are called.

use super::code::Code;
use super::{CliError, ErrorKind, NOT_REACHABLE, REPORT, TRY_LATER};
use crate::http::{HttpError, Obstacle};

const CERTIFICATES: &str = "if the system has no certificates, install them (package ca-certificates)";

/// The name of what stands in the way, and what to do about it.
pub(super) const fn way_round(obstacle: Obstacle) -> (Code, &'static str) {
    match obstacle {
        Obstacle::UnknownIssuer => (
            Code::NetworkCertificate,
            "if the issuer is your company or a security product, a proxy of your network opens secure connections; if \
             the server is your own, it may have its certificate from a private authority. Ask IT for the authority's \
             certificate (PEM) and give it with --ca-bundle FILE",
        ),
        Obstacle::Expired | Obstacle::NotYetValid => (
            Code::NetworkCertificate,
            "check this machine's clock (`date`); if it is right, the certificate must be renewed by whoever runs the \
             server",
        ),
        Obstacle::WrongHost => (
            Code::NetworkCertificate,
            "check the address; a sign-in page of the network (hotel, guest Wi-Fi) may answer in the server's place: \
             open any page in a browser first",
        ),
        Obstacle::ClientCertificate => (
            Code::NetworkCertificate,
            "give the certificate and key (PEM) this server knows with --client-cert FILE and --client-key FILE",
        ),
        Obstacle::ProxyLogin => (
            Code::NetworkProxy,
            "set PWFS_PROXY=http://USER:PASSWORD@HOST:PORT in the environment; neither config.toml nor the command line \
             holds secrets",
        ),
        Obstacle::ProxyRefusal => (
            Code::NetworkProxy,
            "the proxy may have a list of servers it reaches: ask IT to add this one, or go past the proxy with \
             --no-proxy HOST",
        ),
        Obstacle::Proxy => (
            Code::NetworkProxy,
            "check --proxy, PWFS_PROXY and the environment's HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; --proxy none goes \
             without any",
        ),
        Obstacle::PlainHttp => (
            Code::NetworkPlainHttp,
            "use the https address; --allow-plain-http lets the login go unencrypted, and everyone on the way read and \
             use it",
        ),
    }
}

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
        HttpError::Certificate(text) => match Obstacle::told_by(text).map(way_round) {
            Some((code, hint)) => unreachable(code).hint(hint),
            None => unreachable(Code::NetworkCertificate).hint(REPORT),
        },
        HttpError::Proxy(text) => match Obstacle::told_by(text).map(way_round) {
            Some((code, hint)) => unreachable(code).hint(hint),
            None => unreachable(Code::NetworkProxy).hint(way_round(Obstacle::Proxy).1),
        },
        // Nobody was asked: the settings are at fault.
        HttpError::Settings(text) => {
            let failure = CliError::of(ErrorKind::Config, error);
            match Obstacle::told_by(text).map(way_round) {
                Some((code, hint)) => failure.code(code).hint(hint),
                None => failure
                    .code(Code::NetworkSettings)
                    .hint("mend the setting in the profile (config.toml), on the command line, or in the environment"),
            }
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
        HttpError::Paced { retry_after, .. } => {
            // The identity provider is never paced.
            let wait = retry_after.as_secs().max(1);
            CliError::of(ErrorKind::TryAgain, error)
                .code(Code::WsgThrottled)
                .hint(format!("try again in {wait} s; `pwfs status` shows what is asked of each server"))
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
