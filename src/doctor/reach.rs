//! Goes the way to a server, and puts what was seen into [`Reached`]; what that means is `network`'s to say.
//!
//! The way itself is `http::probe`'s, with the client's own certificates, proxies and rules.

use url::Url;

use crate::http::probe::{AnswerFacts, ProbeReport, Stage, TlsFacts, Trouble, probe};
use crate::http::{HttpClient, Obstacle};

use super::network::{Answered, Certificate, Page, Proxy, Reached, Step, TlsFault, TlsTrouble};

/// Goes to `url` and asks for it once, without a login. `own` are hosts whose pages are the server's own way of asking for
/// one.
pub(super) async fn reach(http: &HttpClient, url: &Url, own: &[String]) -> Reached {
    let port = url.port_or_known_default().unwrap_or(443);
    let mut reached = Reached {
        host: format!("{}:{port}", url.host_str().unwrap_or_default()),
        dns: Step::NotTried,
        proxy: None,
        tcp: Step::NotTried,
        tls: Step::NotTried,
        http: Step::NotTried,
    };
    match probe(http.network(), url).await {
        Ok(report) => fill(&mut reached, report, url, own),
        // Settings that cannot be used, or no certificates at all: no connection could be secure.
        Err(error) => {
            reached.tls = Step::Failed(TlsTrouble {
                reason: error.to_string(),
                issuer: None,
                fault: TlsFault::Other,
            });
        }
    }
    reached
}

fn fill(reached: &mut Reached, report: ProbeReport, url: &Url, own: &[String]) {
    let is_address = matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)));
    reached.dns = match report.addresses.outcome {
        Ok(_) if is_address && report.proxy.is_none() => Step::NotNeeded,
        Ok(addresses) => {
            let mut shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            shown.dedup();
            Step::Done(shown)
        }
        Err(trouble) => Step::Failed(trouble.text),
    };
    let refusal = [report.proxy_tls.map(forget), report.tunnel]
        .into_iter()
        .flatten()
        .find_map(|stage| stage.outcome.err())
        .or_else(|| by_the_proxy(report.answer.as_ref()));
    reached.proxy = report.proxy.map(|shown| Proxy {
        shown,
        refusal: refusal.map(|trouble| trouble.text),
    });
    if let Some(stage) = report.connection {
        let took = u64::try_from(stage.took.as_millis()).unwrap_or(u64::MAX);
        reached.tcp = match stage.outcome {
            Ok(_) => Step::Done(took),
            Err(trouble) => Step::Failed(trouble.text),
        };
    }
    reached.tls = match report.tls.map(|stage| stage.outcome) {
        _ if url.scheme() != "https" => Step::NotNeeded,
        None => Step::NotTried,
        Some(Ok(facts)) => Step::Done(Certificate {
            issuer: facts.certificate.map(|certificate| certificate.issuer),
            lacks_client_certificate: facts.lacks_client_certificate,
        }),
        Some(Err(trouble)) => Step::Failed(tls_trouble(trouble)),
    };
    reached.http = match report.answer.map(|stage| stage.outcome) {
        None => Step::NotTried,
        Some(Ok(facts)) => Step::Done(answered(facts, url, own)),
        Some(Err(trouble)) => Step::Failed(trouble.text),
    };
}

fn forget(stage: Stage<TlsFacts>) -> Stage<()> {
    Stage {
        outcome: stage.outcome.map(|_| ()),
        took: stage.took,
    }
}

/// What a proxy that forwards plain http says in the server's place.
fn by_the_proxy(answer: Option<&Stage<AnswerFacts>>) -> Option<Trouble> {
    let trouble = answer?.outcome.as_ref().err()?;
    matches!(
        trouble.obstacle,
        Some(Obstacle::ProxyLogin | Obstacle::ProxyRefusal | Obstacle::Proxy)
    )
    .then(|| trouble.clone())
}

fn tls_trouble(trouble: Trouble) -> TlsTrouble {
    let fault = match trouble.obstacle {
        Some(Obstacle::UnknownIssuer) => TlsFault::Issuer,
        Some(Obstacle::Expired | Obstacle::NotYetValid) => TlsFault::Dates,
        Some(Obstacle::WrongHost) => TlsFault::Host,
        Some(Obstacle::ClientCertificate) => TlsFault::ClientCertificate,
        Some(Obstacle::ProxyLogin | Obstacle::ProxyRefusal | Obstacle::Proxy | Obstacle::PlainHttp)
        | None => TlsFault::Other,
    };
    TlsTrouble {
        reason: trouble.text,
        issuer: trouble.certificate.map(|certificate| certificate.issuer),
        fault,
    }
}

fn answered(facts: AnswerFacts, url: &Url, own: &[String]) -> Answered {
    let target = facts
        .redirect
        .as_deref()
        .and_then(|target| Url::parse(target).ok());
    let leads_to = target.as_ref().and_then(Url::host_str);
    let page = match (leads_to, facts.portal) {
        (Some(host), _) if own.iter().any(|known| known == host) => Page::Login,
        (_, Some(why)) => Page::Foreign(why),
        (Some(host), None) if Some(host) != url.host_str() => Page::Moved(host.to_owned()),
        (Some(_) | None, None) => Page::None,
    };
    Answered {
        status: facts.status,
        // Told of the server's clock there, of this machine's here.
        skew: facts.clock_ahead.map(|ahead| -ahead.as_secs()),
        page,
    }
}
