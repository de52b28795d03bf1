//! What stands between this machine and the servers: certificates, proxies, what may go unencrypted, and how fast.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::is_loopback;
use super::pace::Pace;

/// How servers are reached, as a profile says it. The default is what the system and the environment say.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// PEM file of certificates to trust, besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// PEM file of the certificate this client shows to servers that ask for one.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its private key; where absent the key stands beside the certificate.
    pub client_key: Option<PathBuf>,
    /// Proxy for http and https, or [`DIRECT`]; where absent that of the environment (`HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY`). May hold a user and a password: show it with [`without_login`] only.
    pub proxy: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy; where absent those of `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// True where servers of the network may be spoken to without encryption.
    pub allow_plain_http: bool,
    /// How fast servers are asked; where absent [`Pace::Normal`], and servers on this machine without a limit.
    pub pace: Option<Pace>,
}

/// The word for "no proxy at all", whatever the environment says.
pub const DIRECT: &str = "none";

/// A proxy's address as it may be shown: user and password left out.
pub fn without_login(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").unwrap_or(("", proxy));
    // The last `@` of all: a password that nobody escaped may hold `@` and `/`.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    match scheme {
        "" => host.to_owned(),
        scheme => format!("{scheme}://{host}"),
    }
}

/// True if a proxy's address names a user or a password.
pub fn names_login(proxy: &str) -> bool {
    proxy.contains('@')
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("ca_bundle", &self.ca_bundle)
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key)
            .field("proxy", &self.proxy.as_deref().map(without_login))
            .field("no_proxy", &self.no_proxy)
            .field("allow_plain_http", &self.allow_plain_http)
            .field("pace", &self.pace)
            .finish()
    }
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
    fn a_proxy_is_shown_without_its_login() {
        for (proxy, shown, login) in [
            ("http://proxy.example:3128", "http://proxy.example:3128", false),
            (
                "http://me:s3cret@proxy.example:3128",
                "http://proxy.example:3128",
                true,
            ),
            ("http://me:s3@c/ret@proxy.example", "http://proxy.example", true),
            ("me:s3cret@proxy.example:3128", "proxy.example:3128", true),
            ("proxy.example:3128", "proxy.example:3128", false),
        ] {
            assert_eq!(without_login(proxy), shown);
            assert_eq!(names_login(proxy), login, "{proxy}");
            let network = Network {
                proxy: Some(proxy.to_owned()),
                ..Network::default()
            };
            let printed = format!("{network:?}");
            assert!(printed.contains(shown) && !printed.contains("ret"), "{printed}");
        }
    }

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
