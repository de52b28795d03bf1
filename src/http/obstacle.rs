//! What stands between this machine and a server, as far as it decides what to do next.

/// What stands in the way, where the words of an error alone tell what to do about it. Errors travel upwards as text;
/// the phrase in the text is the only thing that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// A certificate of somebody this machine does not trust: a private authority, or a proxy that opens TLS.
    UnknownIssuer,
    /// A certificate that is over, or a clock that runs ahead.
    Expired,
    /// A certificate that begins later, or a clock that lags.
    NotYetValid,
    /// A certificate of somebody else.
    WrongHost,
    /// A server that wants to see a certificate of this client.
    ClientCertificate,
    /// A proxy that wants a user and a password (407).
    ProxyLogin,
    /// A proxy that will not, or cannot, reach the server.
    ProxyRefusal,
    /// A proxy that cannot be reached or spoken to itself.
    Proxy,
    /// A login that would leave unencrypted.
    PlainHttp,
}

impl Obstacle {
    /// All of them, the more telling ones first.
    pub const ALL: [Self; 9] = [
        Self::UnknownIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::ClientCertificate,
        Self::ProxyLogin,
        Self::ProxyRefusal,
        Self::Proxy,
        Self::PlainHttp,
    ];

    /// The words by which it is told, and known again.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "which this machine does not trust",
            Self::Expired => "expired on",
            Self::NotYetValid => "is not valid before",
            Self::WrongHost => "is for other names",
            Self::ClientCertificate => "asks for a client certificate",
            Self::ProxyLogin => "the proxy wants a login",
            Self::ProxyRefusal => "the proxy does not connect to",
            Self::Proxy => "cannot be used as a proxy",
            Self::PlainHttp => "a login must not go unencrypted",
        }
    }

    /// What an error's `text` tells of.
    pub fn told_by(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|obstacle| text.contains(obstacle.phrase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_is_known_again_by_its_phrase() {
        for obstacle in Obstacle::ALL {
            let text = format!("pw.example.com: {} (x)", obstacle.phrase());
            assert_eq!(Obstacle::told_by(&text), Some(obstacle));
        }
        assert_eq!(
            Obstacle::told_by("pw.example.com: the connection was refused"),
            None
        );
    }
}
