//! What stands between this machine and the servers: certificates, proxies, and what may go unencrypted.

use std::path::PathBuf;

use url::Url;

use super::is_loopback;

/// How servers are reached, as a profile says it. The default is what the system and the environment say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// PEM file of certificates to trust, besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// PEM file of the certificate this client shows to servers that ask for one.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its private key; where absent the key stands beside the certificate.
    pub client_key: Option<PathBuf>,
    /// Proxy for http and https; where absent that of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`).
    pub proxy: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy; where absent those of `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// True where servers of the network may be spoken to without encryption.
    pub allow_plain_http: bool,
}

impl Network {
    /// True if a login may be sent to `url`: encrypted, or to this machine, or because the user said so.
    pub fn permits(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => self.allow_plain_http || is_loopback(url),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_get_a_login_unless_the_user_says_so() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (strict, plain) = (
            Network::default(),
            Network {
                allow_plain_http: true,
                ..Network::default()
            },
        );
        for (text, without, with) in [
            ("https://pw.example.com/ws", true, true),
            ("http://127.0.0.1:8765/ws", true, true),
            ("http://[::1]/ws", true, true),
            ("http://localhost.example.com/ws", false, true),
            ("http://pw.example.com/ws", false, true),
            ("ftp://pw.example.com/ws", false, false),
        ] {
            assert_eq!(strict.permits(&url(text)), without, "{text}");
            assert_eq!(plain.permits(&url(text)), with, "{text}");
        }
    }
}
