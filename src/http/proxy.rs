//! Which proxy a request goes through: the profile's, or the environment's as every program of the system takes it.
//!
//! The rules of `NO_PROXY` are those of the library that reqwest uses, so that what is told here is what is done.

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use super::network::{DIRECT, without_login};
use super::{HttpError, Network, Obstacle, authority, is_loopback};

/// The environment's proxies. An empty variable is none.
#[derive(Clone, Default)]
pub(super) struct Environment {
    pub(super) https: Option<String>,
    pub(super) http: Option<String>,
    pub(super) all: Option<String>,
    pub(super) no: Option<String>,
}

impl Environment {
    /// Reads the variables that name proxies, in upper or lower case. HTTP libraries read them themselves; here it is
    /// done by hand because no library tells which proxy it would take.
    pub(super) fn of_this_process() -> Self {
        let read = |names: [&str; 2]| {
            let texts = names.into_iter().filter_map(std::env::var_os);
            texts
                .filter_map(|text| text.into_string().ok())
                .find(|text| !text.trim().is_empty())
        };
        Self {
            https: read(["HTTPS_PROXY", "https_proxy"]),
            http: read(["HTTP_PROXY", "http_proxy"]),
            all: read(["ALL_PROXY", "all_proxy"]),
            no: read(["NO_PROXY", "no_proxy"]),
        }
    }
}

/// The proxies in force, and what goes past them.
pub(super) struct Proxies {
    https: Option<Server>,
    http: Option<Server>,
    no: String,
    matcher: Matcher,
}

/// A proxy that is set. One of the environment may be of no use to pwfs; it is told when a request needs it.
type Server = Result<Url, HttpError>;

/// The proxy a request goes through.
pub(super) struct Through {
    /// Its address, without user and password.
    pub(super) url: Url,
    /// The library's own, which knows the login.
    pub(super) intercept: Intercept,
}

impl Through {
    /// Scheme, host and port, to be shown.
    pub(super) fn shown(&self) -> String {
        format!("{}://{}", self.url.scheme(), authority(&self.url))
    }
}

impl Proxies {
    /// The proxies that `network` sets, or else those of `environment`.
    pub(super) fn of(network: &Network, environment: &Environment) -> Result<Self, HttpError> {
        let no = network.no_proxy.as_ref().or(environment.no.as_ref());
        let no = no.cloned().unwrap_or_default();
        let (https, http) = match network.proxy.as_deref().map(str::trim) {
            Some("") | None => {
                let first = |variables: [(&str, &Option<String>); 2]| {
                    let (name, text) = variables
                        .into_iter()
                        .find_map(|(name, text)| Some((name, text.as_deref()?)))?;
                    Some(server(&format!("the environment's {name}"), text))
                };
                (
                    first([
                        ("HTTPS_PROXY", &environment.https),
                        ("ALL_PROXY", &environment.all),
                    ]),
                    first([("HTTP_PROXY", &environment.http), ("ALL_PROXY", &environment.all)]),
                )
            }
            Some(word) if word.eq_ignore_ascii_case(DIRECT) => (None, None),
            Some(text) => {
                let both = server("proxy (--proxy)", text)?;
                (Some(Ok(both.clone())), Some(Ok(both)))
            }
        };
        let text = |server: &Option<Server>| match server {
            Some(Ok(url)) => url.to_string(),
            // Something, so that the rules are asked; what is wrong with it is told then.
            Some(Err(_)) => "http://unusable.invalid".to_owned(),
            None => String::new(),
        };
        let matcher = Matcher::builder()
            .https(text(&https))
            .http(text(&http))
            .no(no.clone())
            .build();
        Ok(Self {
            https,
            http,
            no,
            matcher,
        })
    }

    /// The proxy for `url`; `None` where it is reached directly, as this machine always is.
    pub(super) fn through(&self, url: &Url) -> Result<Option<Through>, HttpError> {
        if is_loopback(url) {
            return Ok(None);
        }
        let bare = format!("{}://{}/", url.scheme(), authority(url));
        let Some(intercept) = bare
            .parse::<Uri>()
            .ok()
            .and_then(|uri| self.matcher.intercept(&uri))
        else {
            return Ok(None);
        };
        let server = if url.scheme() == "https" {
            &self.https
        } else {
            &self.http
        };
        match server {
            None => Ok(None),
            Some(server) => {
                let mut url = server.clone()?;
                // Neither fails for an address with a host.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                Ok(Some(Through { url, intercept }))
            }
        }
    }

    /// The same for the HTTP library.
    pub(super) fn for_reqwest(&self) -> Vec<reqwest::Proxy> {
        let no = || reqwest::NoProxy::from_string(&self.no);
        let usable = |server: &Option<Server>| server.as_ref().and_then(|server| server.clone().ok());
        let https = usable(&self.https).map(reqwest::Proxy::https);
        let http = usable(&self.http).map(reqwest::Proxy::http);
        let made = https.into_iter().chain(http).filter_map(Result::ok);
        made.map(|proxy| proxy.no_proxy(no())).collect()
    }
}

/// Reads a proxy's address; `http://` is implied.
fn server(setting: &str, text: &str) -> Server {
    let unusable = |why: &str| {
        let shown = without_login(text);
        HttpError::Settings(format!(
            "{setting}: {shown:?} {} ({why})",
            Obstacle::Proxy.phrase()
        ))
    };
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(full.trim()).map_err(|error| unusable(&error.to_string()))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(url),
        ("http" | "https", None) => Err(unusable("it names no host")),
        _ => Err(unusable("pwfs speaks to proxies by http:// and https:// only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            https: Some("http://me:s3cret@secure.example:3128".to_owned()),
            http: None,
            all: Some("all.example:8080".to_owned()),
            no: Some("direct.example, .inner.example, 10.0.0.0/8".to_owned()),
        }
    }

    fn with(proxy: Option<&str>, no_proxy: Option<&str>) -> Network {
        Network {
            proxy: proxy.map(str::to_owned),
            no_proxy: no_proxy.map(str::to_owned),
            ..Network::default()
        }
    }

    #[track_caller]
    fn check(proxies: &Proxies, url: &str, expected: Option<&str>) {
        let through = proxies.through(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(through.map(|proxy| proxy.shown()).as_deref(), expected, "{url}");
    }

    #[test]
    fn the_environment_decides_where_the_profile_is_silent() {
        let proxies = Proxies::of(&Network::default(), &environment()).unwrap();
        check(
            &proxies,
            "https://pw.example.com/ws",
            Some("http://secure.example:3128"),
        );
        check(
            &proxies,
            "http://pw.example.com/ws",
            Some("http://all.example:8080"),
        );
        check(&proxies, "https://direct.example/", None);
        check(&proxies, "https://a.direct.example/", None);
        check(
            &proxies,
            "https://indirect.example/",
            Some("http://secure.example:3128"),
        );
        check(&proxies, "https://a.inner.example/", None);
        check(&proxies, "https://10.1.2.3/", None);
        check(&proxies, "http://127.0.0.1:80/", None);
        check(&proxies, "https://[::1]/", None);
        check(&proxies, "https://localhost/", None);
        assert_eq!(proxies.for_reqwest().len(), 2);
    }

    #[test]
    fn the_profile_takes_the_place_of_the_environment() {
        let proxies = Proxies::of(&with(Some("https://mine.example"), None), &environment()).unwrap();
        check(&proxies, "https://pw.example.com/", Some("https://mine.example"));
        check(&proxies, "http://pw.example.com/", Some("https://mine.example"));
        // Only what the profile says is replaced.
        check(&proxies, "https://direct.example/", None);
        let proxies = Proxies::of(&with(None, Some("pw.example.com")), &environment()).unwrap();
        check(&proxies, "https://pw.example.com/", None);
        check(
            &proxies,
            "https://direct.example/",
            Some("http://secure.example:3128"),
        );
        for direct in [with(Some("none"), None), with(None, Some("*"))] {
            let proxies = Proxies::of(&direct, &environment()).unwrap();
            check(&proxies, "https://pw.example.com/", None);
        }
    }

    #[test]
    fn a_proxy_of_no_use_is_told_without_its_login() {
        for text in [
            "socks5://me:s3cret@p.example",
            "http://me:s3cret@",
            "http://me:s3cret@ho st",
        ] {
            let Err(error) = Proxies::of(&with(Some(text), None), &Environment::default()) else {
                panic!("{text} is no proxy of use");
            };
            let words = error.to_string();
            assert!(matches!(error, HttpError::Settings(_)), "{words}");
            assert!(words.contains("--proxy") && !words.contains("s3cret"), "{words}");

            // One of the environment is in nobody's way until a request needs it.
            let environment = Environment {
                all: Some(text.to_owned()),
                no: Some("direct.example".to_owned()),
                ..Environment::default()
            };
            let proxies = Proxies::of(&Network::default(), &environment).unwrap();
            check(&proxies, "https://direct.example/", None);
            check(&proxies, "http://localhost/", None);
            let Err(error) = proxies.through(&Url::parse("https://pw.example.com").unwrap()) else {
                panic!("{text} is no proxy of use");
            };
            let words = error.to_string();
            assert!(
                words.contains("ALL_PROXY") && !words.contains("s3cret"),
                "{words}"
            );
        }
    }
}
