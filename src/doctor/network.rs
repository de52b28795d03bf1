//! The way to a server: what was seen of it, and what that means.
//!
//! [`Reached`] is all this file knows of the network; who fills it is `reach`.

use serde_json::json;

use super::check::{Check, Id, Kind, Outcome};
use super::remedy;

/// What was seen on the way to one server, step by step. A step behind a failed one was not tried.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Host and port.
    pub host: String,
    /// The addresses of the host, or of the proxy where one is used.
    pub dns: Step<Vec<String>>,
    /// The proxy that applies, as it may be shown: without user and password.
    pub proxy: Option<Proxy>,
    /// How long the connection took to be made, in milliseconds.
    pub tcp: Step<u64>,
    /// The certificate.
    pub tls: Step<Certificate, TlsTrouble>,
    /// The answer to a harmless question.
    pub http: Step<Answered>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T, E = String> {
    /// It went well.
    Done(T),
    /// It did not, for this reason.
    Failed(E),
    /// An earlier step failed.
    NotTried,
    /// There is no such step on this way.
    NotNeeded,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its address without user and password.
    pub shown: String,
    /// Why it does not let this machine through to the server, where it does not.
    pub refusal: Option<String>,
}

/// A certificate that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Who issued it, where that is known.
    pub issuer: Option<String>,
    /// The server would like to see a certificate of this client, and none is set. It may do without.
    pub lacks_client_certificate: bool,
}

/// No secure connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsTrouble {
    /// Why, in words.
    pub reason: String,
    /// Who issued the certificate that was refused, where that is known.
    pub issuer: Option<String>,
    /// What kind of trouble it is.
    pub fault: TlsFault,
}

/// What is wrong with a secure connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is vouched for by somebody this machine does not trust.
    Issuer,
    /// The certificate is over, or begins later; or the clock is wrong.
    Dates,
    /// The certificate is for another host.
    Host,
    /// The server wants to see a certificate of this client.
    ClientCertificate,
    /// Something else.
    Other,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// How far the server's clock is ahead of this machine's, in seconds; `None` where it does not tell.
    pub skew: Option<i64>,
    /// What came in place of data.
    pub page: Page,
}

/// What came in place of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Nothing: the answer is the server's own.
    None,
    /// The server's own way of asking for a login.
    Login,
    /// The way to another host of the same house.
    Moved(String),
    /// Another program's page, or the way to one: a captive portal, a proxy. How that showed, as in `it redirects to
    /// portal.example`.
    Foreign(String),
}

/// Whose way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Idp,
    Wsg,
}

/// The six checks of a way, in order.
struct Ids {
    dns: Id,
    proxy: Id,
    tcp: Id,
    tls: Id,
    http: Id,
    clock: Id,
}

impl Whose {
    const fn ids(self) -> Ids {
        match self {
            Self::Idp => Ids {
                dns: Id::IdpDns,
                proxy: Id::IdpProxy,
                tcp: Id::IdpTcp,
                tls: Id::IdpTls,
                http: Id::IdpHttp,
                clock: Id::IdpClock,
            },
            Self::Wsg => Ids {
                dns: Id::WsgDns,
                proxy: Id::WsgProxy,
                tcp: Id::WsgTcp,
                tls: Id::WsgTls,
                http: Id::WsgHttp,
                clock: Id::WsgClock,
            },
        }
    }

    /// All of them.
    pub(super) const fn all(self) -> [Id; 6] {
        let ids = self.ids();
        [ids.dns, ids.proxy, ids.tcp, ids.tls, ids.http, ids.clock]
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Idp => "the identity provider",
            Self::Wsg => "the server",
        }
    }
}

/// Beyond this tokens and signed addresses begin to be refused by strict servers.
const SKEW_TO_KNOW: u64 = 60;
/// The leeway that verifiers of tokens commonly give (five minutes).
const SKEW_TO_MEND: u64 = 300;

/// What the way means.
pub(super) fn checks(whose: Whose, reached: &Reached) -> Vec<Check> {
    let ids = whose.ids();
    let mut checks = vec![
        dns(&ids, whose, reached),
        proxy(&ids, reached),
        tcp(&ids, whose, reached),
        tls(&ids, reached),
        http(&ids, whose, reached),
        clock(&ids, whose, reached),
    ];
    // What was not tried waits for what failed.
    let broken = checks
        .iter()
        .find(|check| check.outcome == Outcome::Fail)
        .map(|check| check.id);
    for check in &mut checks {
        if check.outcome == Outcome::Skipped
            && check.waits_for.is_some()
            && let Some(broken) = broken
        {
            *check = Check::waits(check.id, broken);
        }
    }
    checks
}

fn dns(ids: &Ids, whose: Whose, reached: &Reached) -> Check {
    let id = ids.dns;
    let host = &reached.host;
    match &reached.dns {
        Step::Done(addresses) => {
            let of = match &reached.proxy {
                Some(proxy) => format!("the proxy {}", proxy.shown),
                None => host.clone(),
            };
            Check::pass(id, format!("{of} is {}", shortened(addresses)))
                .detail("addresses", addresses.as_slice())
        }
        Step::Failed(reason) => {
            let (name, mend) = match &reached.proxy {
                Some(proxy) => (
                    proxy.shown.as_str(),
                    "correct the proxy's address, or ask IT for it",
                ),
                None => (
                    host.as_str(),
                    match whose {
                        Whose::Idp => {
                            "check the issuer's address (key issuer) and this machine's network and DNS"
                        }
                        Whose::Wsg => "check the datasource URL, and this machine's network and DNS",
                    },
                ),
            };
            Check::fail(
                id,
                Kind::Unreachable,
                format!("the name of {name} cannot be resolved: {reason}"),
            )
            .remedy(mend)
            .remedy("where the server is inside your organisation's network: connect to it (VPN) first")
        }
        Step::NotTried => Check::waits(id, ids.dns),
        Step::NotNeeded => Check::pass(id, format!("{host} is an address already")),
    }
    .detail("host", host.as_str())
}

/// A handful tells as much as all.
fn shortened(addresses: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = addresses
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if addresses.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

fn proxy(ids: &Ids, reached: &Reached) -> Check {
    let id = ids.proxy;
    let Some(proxy) = &reached.proxy else {
        return Check::pass(id, "none").detail("proxy", json!(null));
    };
    match &proxy.refusal {
        None => Check::pass(id, proxy.shown.clone()),
        Some(reason) => Check::fail(
            id,
            Kind::Unreachable,
            format!(
                "{} does not let this machine through to {}: {reason}",
                proxy.shown, reached.host
            ),
        )
        .remedy(PROXY_LOGIN)
        .remedy(remedy::PROXY_PAGE),
    }
    .detail("proxy", proxy.shown.as_str())
}

const PROXY_LOGIN: &str = "where the proxy wants a login: name it with user and password in HTTPS_PROXY (http://user:password@host:port)";

fn tcp(ids: &Ids, whose: Whose, reached: &Reached) -> Check {
    let id = ids.tcp;
    match &reached.tcp {
        Step::Done(took) => {
            Check::pass(id, format!("a connection was made in {took} ms")).detail("milliseconds", *took)
        }
        Step::Failed(reason) => {
            let to = match &reached.proxy {
                Some(proxy) => format!("the proxy {}", proxy.shown),
                None => reached.host.clone(),
            };
            let check = Check::fail(
                id,
                Kind::Unreachable,
                format!("no connection to {to} could be made: {reason}"),
            );
            match whose {
                // The guide's row speaks of the ProjectWise server; any firewall is opened in the same way.
                Whose::Wsg => check
                    .remedy(format!("on-premises server not reachable: {}", remedy::NOT_REACHABLE))
                    .remedy("check host and port of the datasource URL; connect to your organisation's network (VPN) first"),
                Whose::Idp => check
                    .remedy(remedy::NOT_REACHABLE)
                    .remedy("check the issuer's address (key issuer) and the proxy"),
            }
        }
        Step::NotTried => Check::waits(id, ids.dns),
        Step::NotNeeded => Check::not_needed(id, "the proxy connects"),
    }
}

fn tls(ids: &Ids, reached: &Reached) -> Check {
    let id = ids.tls;
    let of = |issuer: &Option<String>| {
        issuer
            .as_ref()
            .map_or_else(String::new, |issuer| format!(", issued by {issuer}"))
    };
    match &reached.tls {
        Step::Done(certificate) => {
            let issuer = certificate.issuer.as_deref();
            let check = if issuer.is_some_and(intercepts) {
                Check::warn(
                    id,
                    format!(
                        "the connection is intercepted: the certificate is not the server's own{}; this machine trusts it",
                        of(&certificate.issuer)
                    ),
                )
                .remedy("your organisation can read what is sent; if that is not meant to be, ask IT to leave this host alone")
            } else if certificate.lacks_client_certificate {
                Check::pass(
                    id,
                    format!(
                        "the certificate is trusted{}; the server asks for one of this client, and none is set \
                         (client_certificate)",
                        of(&certificate.issuer)
                    ),
                )
            } else {
                Check::pass(
                    id,
                    format!("the certificate is trusted{}", of(&certificate.issuer)),
                )
            };
            check.detail("issuer", issuer)
        }
        Step::Failed(trouble) => {
            let check = Check::fail(
                id,
                Kind::Unreachable,
                format!("no secure connection: {}{}", trouble.reason, of(&trouble.issuer)),
            )
            .detail("issuer", trouble.issuer.as_deref());
            match trouble.fault {
                TlsFault::Issuer => check
                    .remedy(
                        "where your organisation issues its own certificates or looks into connections: get its CA \
                         certificate from IT and name the file in the profile: ca_bundle = \"/path/to/ca.pem\"",
                    )
                    .remedy("if the system has no certificates, install them (package ca-certificates)"),
                TlsFault::Dates => check
                    .remedy("compare this machine's date and time with a watch, and set them right")
                    .remedy("if they are right, tell the server's administrator that its certificate has ended"),
                TlsFault::Host => check
                    .remedy("check the host in the address: the certificate is for another one")
                    .remedy("if it is right, a proxy answers in its place: ask IT"),
                TlsFault::ClientCertificate => check.remedy(
                    "get a certificate for this client from IT, and name its files in the profile: client_certificate and \
                     client_key",
                ),
                TlsFault::Other => check
                    .remedy("check the host and port in the address: does a web server with https answer there?")
                    .remedy("if the system has no certificates, install them (package ca-certificates)"),
            }
        }
        Step::NotTried => Check::waits(id, ids.tcp),
        Step::NotNeeded => Check::not_needed(id, "the address is http: nothing is encrypted"),
    }
}

/// True for the names that products which look into connections issue certificates under. No list is complete: the issuer
/// is shown in any case.
fn intercepts(issuer: &str) -> bool {
    const NAMES: [&str; 18] = [
        "zscaler",
        "netskope",
        "fortinet",
        "fortigate",
        "palo alto",
        "blue coat",
        "bluecoat",
        "symantec web",
        "sophos",
        "umbrella",
        "check point",
        "forcepoint",
        "skyhigh",
        "barracuda",
        "watchguard",
        "kaspersky",
        "avast",
        "mitmproxy",
    ];
    let issuer = issuer.to_lowercase();
    NAMES.iter().any(|name| issuer.contains(name))
}

fn http(ids: &Ids, whose: Whose, reached: &Reached) -> Check {
    let id = ids.http;
    let host = &reached.host;
    match &reached.http {
        Step::Done(answered) => {
            let status = answered.status;
            match &answered.page {
                Page::None if status == 407 => {
                    Check::fail(id, Kind::Unreachable, "the proxy wants a login").remedy(PROXY_LOGIN)
                }
                Page::None => Check::pass(id, format!("{host} answers (status {status})")),
                Page::Moved(to) => Check::pass(id, format!("{host} answers, and leads to {to}")),
                // An identity provider's discovery is open to all.
                Page::Login if whose == Whose::Wsg => {
                    Check::pass(id, format!("{host} answers, and asks for a login"))
                }
                Page::Login | Page::Foreign(_) => {
                    let how = match &answered.page {
                        Page::Foreign(how) => how.as_str(),
                        Page::Login | Page::Moved(_) | Page::None => "it answers with a sign-in page",
                    };
                    Check::fail(
                        id,
                        Kind::Unreachable,
                        format!(
                            "it is not {} that answers at {host}, but a captive portal, a proxy or a sign-in page: {how} \
                             (status {status})",
                            whose.words()
                        ),
                    )
                    .remedy(remedy::PORTAL_PAGE)
                    .remedy(remedy::PROXY_PAGE)
                    .remedy(match whose {
                        Whose::Idp => "or the issuer's address is wrong (key issuer)",
                        Whose::Wsg => "or the datasource URL is wrong",
                    })
                }
            }
            .detail("status", status)
        }
        Step::Failed(reason) => Check::fail(
            id,
            Kind::Unreachable,
            format!("{host} takes the connection and does not answer: {reason}"),
        )
        .remedy("try again in a few minutes; if it stays, tell the server's administrator")
        .remedy(remedy::NOT_REACHABLE),
        Step::NotTried => Check::waits(id, ids.tcp),
        Step::NotNeeded => Check::not_needed(id, "nothing is asked"),
    }
}

const SET_CLOCK: &str = "set the clock, and keep it right: sudo timedatectl set-ntp true";

fn clock(ids: &Ids, whose: Whose, reached: &Reached) -> Check {
    let id = ids.clock;
    let Step::Done(answered) = &reached.http else {
        return Check::waits(id, ids.http);
    };
    if matches!(answered.page, Page::Foreign(_)) {
        return Check::waits(id, ids.http);
    }
    let Some(skew) = answered.skew else {
        return Check::not_needed(id, "the answer has no date");
    };
    let away = skew.unsigned_abs();
    // Positive is the server ahead, so this machine is behind.
    let way = if skew > 0 { "behind" } else { "ahead of" };
    let found = format!("this machine's clock is {away} s {way} that of {}", whose.words());
    if away > SKEW_TO_MEND {
        Check::fail(id, Kind::Failure, found)
            .remedy(SET_CLOCK)
            .remedy("until then logins are refused as ended, or not begun yet")
    } else if away > SKEW_TO_KNOW {
        Check::warn(id, found).remedy(SET_CLOCK)
    } else {
        Check::pass(id, format!("within {} s", away.max(1)))
    }
    .detail("skew_seconds", skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Reached {
        Reached {
            host: "h.example:443".to_owned(),
            dns: Step::Done(vec!["192.0.2.1".to_owned()]),
            proxy: None,
            tcp: Step::Done(12),
            tls: Step::Done(Certificate::default()),
            http: Step::Done(Answered {
                status: 200,
                skew: Some(0),
                page: Page::None,
            }),
        }
    }

    fn answered(change: impl FnOnce(&mut Answered)) -> Reached {
        let mut reached = well();
        if let Step::Done(answered) = &mut reached.http {
            change(answered);
        }
        reached
    }

    /// The only failure, with words of it.
    #[track_caller]
    fn fails(reached: &Reached, whose: Whose, id: Id, words: &str) -> Vec<Check> {
        let checks = checks(whose, reached);
        let failed: Vec<_> = checks
            .iter()
            .filter(|check| check.outcome == Outcome::Fail)
            .collect();
        let [failed] = failed.as_slice() else {
            panic!("{checks:?}");
        };
        let text = format!("{} {}", failed.finding, failed.remedy.join(" "));
        assert_eq!(failed.id, id, "{text}");
        assert!(text.contains(words), "{text}");
        checks
    }

    #[test]
    fn a_way_without_a_fault_passes_in_order() {
        for whose in [Whose::Idp, Whose::Wsg] {
            let checks = checks(whose, &well());
            assert_eq!(
                checks.iter().map(|check| check.id).collect::<Vec<_>>(),
                whose.all()
            );
            assert!(
                checks.iter().all(|check| check.outcome == Outcome::Pass),
                "{checks:?}"
            );
        }
    }

    #[test]
    fn what_lies_behind_a_broken_step_waits_for_it() {
        let reached = Reached {
            dns: Step::Failed("no such host".to_owned()),
            tcp: Step::NotTried,
            tls: Step::NotTried,
            http: Step::NotTried,
            ..well()
        };
        let checks = fails(&reached, Whose::Wsg, Id::WsgDns, "VPN");
        for id in [Id::WsgTcp, Id::WsgTls, Id::WsgHttp, Id::WsgClock] {
            let check = checks.iter().find(|check| check.id == id).unwrap();
            assert_eq!(check.waits_for, Some(Id::WsgDns), "{check:?}");
        }
    }

    #[test]
    fn a_closed_port_is_the_guides_firewall() {
        let reached = Reached {
            tcp: Step::Failed("refused".to_owned()),
            tls: Step::NotTried,
            http: Step::NotTried,
            ..well()
        };
        fails(
            &reached,
            Whose::Wsg,
            Id::WsgTcp,
            "on-premises server not reachable: firewall rules must let",
        );
        fails(&reached, Whose::Idp, Id::IdpTcp, "contact IT");
        let proxied = Reached {
            proxy: Some(Proxy {
                shown: "http://proxy:3128".to_owned(),
                refusal: None,
            }),
            ..reached
        };
        fails(&proxied, Whose::Wsg, Id::WsgTcp, "the proxy http://proxy:3128");
    }

    #[test]
    fn interception_is_named() {
        let refused = |fault| Reached {
            tls: Step::Failed(TlsTrouble {
                reason: "it is not trusted".to_owned(),
                issuer: Some("CN=Example Web Filter".to_owned()),
                fault,
            }),
            http: Step::NotTried,
            ..well()
        };
        fails(
            &refused(TlsFault::Issuer),
            Whose::Wsg,
            Id::WsgTls,
            "CN=Example Web Filter",
        );
        fails(&refused(TlsFault::Issuer), Whose::Wsg, Id::WsgTls, "ca_bundle");
        fails(&refused(TlsFault::Dates), Whose::Idp, Id::IdpTls, "date and time");
        fails(&refused(TlsFault::Host), Whose::Wsg, Id::WsgTls, "another one");
        fails(
            &refused(TlsFault::ClientCertificate),
            Whose::Wsg,
            Id::WsgTls,
            "client_key",
        );
        let trusted = |issuer: &str| Reached {
            tls: Step::Done(Certificate {
                issuer: Some(issuer.to_owned()),
                lacks_client_certificate: false,
            }),
            ..well()
        };
        let checks = checks(Whose::Wsg, &trusted("CN=Zscaler Intermediate Root CA"));
        assert_eq!(checks[3].outcome, Outcome::Warn);
        assert!(checks[3].finding.contains("intercepted") && checks[3].finding.contains("Zscaler"));
        let checks = super::checks(Whose::Wsg, &trusted("CN=DigiCert TLS RSA SHA256 2020 CA1"));
        assert_eq!(checks[3].outcome, Outcome::Pass);
        assert!(checks[3].finding.contains("DigiCert"));
    }

    #[test]
    fn a_proxy_that_says_no_is_named() {
        let reached = Reached {
            proxy: Some(Proxy {
                shown: "http://proxy.example:3128".to_owned(),
                refusal: Some("it answers with status 403".to_owned()),
            }),
            tls: Step::NotTried,
            http: Step::NotTried,
            ..well()
        };
        let checks = fails(
            &reached,
            Whose::Wsg,
            Id::WsgProxy,
            "http://proxy.example:3128 does not let",
        );
        assert_eq!(checks[3].waits_for, Some(Id::WsgProxy));
    }

    #[test]
    fn a_page_in_place_of_data_is_a_portal_unless_a_gateway_asks_for_a_login() {
        let foreign = answered(|answered| {
            answered.page = Page::Foreign("it redirects to wifi.hotel.example".to_owned());
        });
        let checks = fails(&foreign, Whose::Wsg, Id::WsgHttp, "wifi.hotel.example");
        assert_eq!(
            checks[5].waits_for,
            Some(Id::WsgHttp),
            "another program's clock proves nothing"
        );
        let login = answered(|answered| answered.page = Page::Login);
        fails(&login, Whose::Idp, Id::IdpHttp, "captive portal");
        assert_eq!(super::checks(Whose::Wsg, &login)[4].outcome, Outcome::Pass);
        let proxy = answered(|answered| answered.status = 407);
        fails(&proxy, Whose::Wsg, Id::WsgHttp, "proxy wants a login");
    }

    #[test]
    fn silence_after_the_connection_is_no_firewall_and_told_as_such() {
        let reached = Reached {
            http: Step::Failed("nothing for 10 s".to_owned()),
            ..well()
        };
        fails(&reached, Whose::Wsg, Id::WsgHttp, "does not answer");
    }

    #[test]
    fn a_clock_is_warned_of_after_a_minute_and_wrong_after_five() {
        for (skew, outcome) in [
            (0, Outcome::Pass),
            (60, Outcome::Pass),
            (-61, Outcome::Warn),
            (300, Outcome::Warn),
            (301, Outcome::Fail),
            (-86_400, Outcome::Fail),
        ] {
            let checks = checks(Whose::Wsg, &answered(|answered| answered.skew = Some(skew)));
            assert_eq!(checks[5].outcome, outcome, "{skew}");
        }
        fails(
            &answered(|answered| answered.skew = Some(400)),
            Whose::Idp,
            Id::IdpClock,
            "400 s behind",
        );
        let silent = answered(|answered| answered.skew = None);
        assert_eq!(checks(Whose::Wsg, &silent)[5].outcome, Outcome::Skipped);
    }
}
