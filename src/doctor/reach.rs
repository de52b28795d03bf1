//! Goes the way to a server, step by step.
//!
//! What is seen is put into [`Reached`]; what that means is `network`'s to say.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::http::{HttpClient, HttpError, Lane, Request, Response};

use super::network::{Answered, Certificate, Page, Reached, Step, TlsFault, TlsTrouble};

/// A name that is known is known within a second or two; resolvers of no network give up after five or more.
const NAME: Duration = Duration::from_secs(5);
/// Lives through two lost SYNs, which are repeated after one and three seconds.
const CONNECT: Duration = Duration::from_secs(5);

/// Goes to `url` and asks for it once, without a login. `own` are hosts whose pages are the server's own way of asking for
/// one.
pub(super) async fn reach(http: &HttpClient, url: &Url, own: &[String]) -> Reached {
    let port = url.port_or_known_default().unwrap_or(443);
    let host = url.host_str().unwrap_or_default();
    let mut reached = Reached {
        host: format!("{host}:{port}"),
        dns: Step::NotTried,
        proxy: None,
        tcp: Step::NotTried,
        tls: Step::NotTried,
        http: Step::NotTried,
    };
    let addresses = match url.host() {
        Some(Host::Ipv4(address)) => {
            reached.dns = Step::NotNeeded;
            vec![SocketAddr::from((address, port))]
        }
        Some(Host::Ipv6(address)) => {
            reached.dns = Step::NotNeeded;
            vec![SocketAddr::from((address, port))]
        }
        Some(Host::Domain(name)) => match resolve(name, port).await {
            Ok(addresses) => {
                let mut shown: Vec<String> =
                    addresses.iter().map(|address| address.ip().to_string()).collect();
                shown.dedup();
                reached.dns = Step::Done(shown);
                addresses
            }
            Err(reason) => {
                reached.dns = Step::Failed(reason);
                return reached;
            }
        },
        None => {
            reached.dns = Step::Failed("the address names no host".to_owned());
            return reached;
        }
    };
    match connect(&addresses).await {
        Ok(took) => reached.tcp = Step::Done(took),
        Err(reason) => {
            reached.tcp = Step::Failed(reason);
            return reached;
        }
    }
    let asked = Timestamp::now();
    let answer = http.send_once(Request::get(Lane::Login, url.clone())).await;
    let secure = url.scheme() == "https";
    match answer {
        Ok(response) => {
            reached.tls = if secure {
                Step::Done(Certificate::default())
            } else {
                Step::NotNeeded
            };
            reached.http = Step::Done(answered(&response, asked, own));
        }
        Err(error) => match tls_trouble(&error).filter(|_| secure) {
            Some(trouble) => reached.tls = Step::Failed(trouble),
            None => {
                reached.tls = if secure {
                    Step::Done(Certificate::default())
                } else {
                    Step::NotNeeded
                };
                reached.http = Step::Failed(error.to_string());
            }
        },
    }
    reached
}

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match tokio::time::timeout(NAME, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            if addresses.is_empty() {
                Err("it has no address".to_owned())
            } else {
                Ok(addresses)
            }
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", NAME.as_secs())),
    }
}

/// How many milliseconds the first address that answers took.
async fn connect(addresses: &[SocketAddr]) -> Result<u64, String> {
    let began = Instant::now();
    let tries = async {
        let mut last = "there is no address".to_owned();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(()),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(last)
    };
    match tokio::time::timeout(CONNECT, tries).await {
        Ok(Ok(())) => Ok(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err(format!("no answer within {} s", CONNECT.as_secs())),
    }
}

fn answered(response: &Response, asked: Timestamp, own: &[String]) -> Answered {
    let now = Timestamp::now();
    // The server wrote its date somewhere between the two.
    let middle = asked.as_second().midpoint(now.as_second());
    let skew = response
        .header("Date")
        .and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok())
        .map(|date| date.as_second() - middle);
    Answered {
        status: response.status,
        skew,
        page: page(response, own),
    }
}

fn page(response: &Response, own: &[String]) -> Page {
    if let Some(target) = response
        .header("Location")
        .filter(|_| (300..400).contains(&response.status))
        .and_then(|location| response.url.join(location).ok())
    {
        let host = target.host_str().unwrap_or_default();
        return if own.iter().any(|known| known == host) {
            Page::Login
        } else if is_of_one_house(host, response.url.host_str().unwrap_or_default()) {
            Page::Moved(host.to_owned())
        } else {
            Page::Foreign(format!("it redirects to {host}"))
        };
    }
    let is_html = response
        .header("Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    if !is_html || response.status != 200 {
        return Page::None;
    }
    // Bentley's own sign-in page (projectwise-api 1.8).
    let text = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
    if text.contains("/ims/account/login") {
        Page::Login
    } else {
        Page::Foreign("it answers with a page where data was asked for".to_owned())
    }
}

/// True for two hosts of one domain, by its last two labels: a captive portal has another one.
fn is_of_one_house(one: &str, other: &str) -> bool {
    let house = |host: &str| {
        let labels: Vec<_> = host.rsplit('.').take(2).map(str::to_ascii_lowercase).collect();
        labels
    };
    one == other
        || (one.contains('.') && house(one) == house(other) && one.parse::<std::net::IpAddr>().is_err())
}

fn tls_trouble(error: &HttpError) -> Option<TlsTrouble> {
    let reason = error.to_string();
    let is_tls = matches!(error, HttpError::Tls(_)) || reason.contains("(TLS)");
    let fault = if reason.contains("UnknownIssuer") {
        TlsFault::Issuer
    } else if reason.contains("Expired") || reason.contains("NotValidYet") {
        TlsFault::Dates
    } else if reason.contains("NotValidForName") {
        TlsFault::Host
    } else {
        TlsFault::Other
    };
    is_tls.then_some(TlsTrouble {
        reason,
        issuer: None,
        fault,
    })
}
