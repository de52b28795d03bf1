//! Which redirects are followed, and where they may lead.
//!
//! Only where the caller allows it, which is for file contents, and only 307 and 308: that is how WSG hands a file over to blob storage (projectwise-api 1.9).
//! A 302 is as often the way to a login page, whose HTML must never pass for a file, so it goes back to the caller.
//!
//! A server must not make this machine fetch from places that only this machine can reach. Names are resolved before
//! they are followed; a name that changes its address between that look and the connection gets through, which is
//! accepted: it gains one GET without any header of ours, and pinning the address would cost the connection pool.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use url::{Host, Url};

use super::failure::{Failure, Stage};
use super::pace::Pass;
use super::pool::{self, Hop, Pool};
use super::retry;
use super::{HttpError, Redirects, Request, SafeUrl, authority};

/// One hop to the blob store, and one for a store that has moved.
const MOST_HOPS: usize = 2;

/// Name resolution has no deadline of its own.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends `request`, going where the server points as far as that is allowed.
pub(super) async fn follow(
    pool: &Pool,
    request: &Request,
    redirects: Redirects,
    pass: Option<&Pass>,
) -> Result<reqwest::Response, Failure> {
    let mut url = request.url.clone();
    if !matches!(url.scheme(), "http" | "https") {
        let text = format!("{} is not an http or https address", SafeUrl(&url));
        return Err(refusal(HttpError::Protocol(text)));
    }
    let mut hop = Hop::First;
    for _ in 0..=MOST_HOPS {
        let outcome = pool.execute(request, &url, hop).await;
        // The pass is for the server asked, and says nothing of one it points to.
        if let (Some(pass), Hop::First) = (pass, hop) {
            match &outcome {
                Ok(response) => pass.answered(response.status().as_u16(), wanted_pause(response)),
                Err(failure) => pass.failed(&failure.error),
            }
        }
        let response = outcome?;
        let handed_over = matches!(response.status().as_u16(), 307 | 308);
        if redirects == Redirects::Refuse || !handed_over {
            return Ok(response);
        }
        let Some(location) = response.headers().get("location") else {
            return Ok(response);
        };
        let next = location
            .to_str()
            .ok()
            .and_then(|text| url.join(text).ok())
            .ok_or_else(|| {
                refusal(HttpError::Redirect(format!(
                    "{} redirects to nowhere",
                    authority(&url)
                )))
            })?;
        check(&request.url, &next).await.map_err(refusal)?;
        url = next;
        hop = Hop::Redirected;
    }
    let text = format!(
        "{} redirects more than {MOST_HOPS} times",
        authority(&request.url)
    );
    Err(refusal(HttpError::Redirect(text)))
}

fn wanted_pause(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get("retry-after")?;
    retry::parse_retry_after(value.to_str().ok()?)
}

fn refusal(error: HttpError) -> Failure {
    Failure {
        error,
        stage: Stage::Final,
    }
}

/// Refuses a `next` that a server at `base` has no business sending us to.
pub(super) async fn check(base: &Url, next: &Url) -> Result<(), HttpError> {
    let refuse = |why: &str| {
        let text = format!("{} redirects to {}, {why}", authority(base), authority(next));
        Err(HttpError::Redirect(text))
    };
    match next.scheme() {
        "https" => {}
        "http" if pool::is_loopback(base) => {}
        _ => return refuse("which is not a secure (https) address"),
    }
    let ours = reaches(base).await;
    for reach in reaches(next).await {
        if reach != Reach::Public && !ours.contains(&reach) {
            return refuse("an address inside a private network");
        }
    }
    Ok(())
}

/// From where an address can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    Private,
    Link,
    Loopback,
}

/// Empty where the name cannot be resolved here; then only a proxy can, or the connection fails by itself.
async fn reaches(url: &Url) -> Vec<Reach> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return vec![reach(address.into())],
        Some(Host::Ipv6(address)) => return vec![reach(address.into())],
        Some(Host::Domain(name)) => name,
        None => return Vec::new(),
    };
    if pool::is_loopback(url) {
        return vec![Reach::Loopback];
    }
    let port = url.port_or_known_default().unwrap_or(443);
    match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => addresses.map(|address| reach(address.ip())).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [first, second, third, _] = address.octets();
    if address.is_loopback() || address.is_unspecified() {
        Reach::Loopback
    } else if address.is_link_local() || address.is_broadcast() || address.is_multicast() {
        Reach::Link
    } else if address.is_private()
        || first == 0
        || first >= 240
        // Shared address space of carriers (RFC 6598), used inside clouds too.
        || (first == 100 && (64..128).contains(&second))
        // Protocol assignments and benchmarking (RFC 6890, 2544).
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (second == 18 || second == 19))
    {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let words = address.segments();
    if address.is_loopback() || address.is_unspecified() {
        Reach::Loopback
    } else if address.is_unicast_link_local() || address.is_multicast() {
        Reach::Link
    } else if address.is_unique_local() {
        Reach::Private
    } else if words[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // NAT64 (RFC 6052): the last 32 bits are an IPv4 address.
        let [.., a, b, c, d] = address.octets();
        reach_v4(Ipv4Addr::new(a, b, c, d))
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(address: &str, expected: Reach) {
        assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn addresses_know_from_where_they_can_be_reached() {
        is("20.60.1.1", Reach::Public);
        is("2603:1030::1", Reach::Public);
        is("127.8.8.8", Reach::Loopback);
        is("0.0.0.0", Reach::Loopback);
        is("::1", Reach::Loopback);
        is("::ffff:127.0.0.1", Reach::Loopback);
        is("169.254.169.254", Reach::Link);
        is("fe80::1", Reach::Link);
        is("10.0.0.1", Reach::Private);
        is("172.16.0.1", Reach::Private);
        is("192.168.1.1", Reach::Private);
        is("100.100.100.200", Reach::Private);
        is("fd00::1", Reach::Private);
        is("64:ff9b::10.0.0.1", Reach::Private);
    }

    #[tokio::test]
    async fn a_public_server_cannot_send_us_into_our_own_network() {
        let base = Url::parse("https://93.184.216.34/ws/").unwrap();
        for next in [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://169.254.169.254/",
            "https://10.1.2.3/",
        ] {
            let error = check(&base, &Url::parse(next).unwrap()).await.unwrap_err();
            assert!(matches!(error, HttpError::Redirect(_)), "{next}: {error}");
        }
        let plain = Url::parse("http://20.60.1.1/blob?sig=secret").unwrap();
        let error = check(&base, &plain).await.unwrap_err().to_string();
        assert!(
            !error.contains("secret") && error.contains("20.60.1.1"),
            "{error}"
        );
        check(&base, &Url::parse("https://20.60.1.1/blob").unwrap())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_private_server_may_use_its_own_network_and_not_this_machine() {
        let base = Url::parse("https://10.0.0.5/ws/").unwrap();
        check(&base, &Url::parse("https://10.0.0.6/blob").unwrap())
            .await
            .unwrap();
        check(&base, &Url::parse("https://127.0.0.1/").unwrap())
            .await
            .unwrap_err();
    }
}
