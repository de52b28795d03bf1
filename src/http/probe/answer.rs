//! One request, and what the head of its answer tells.

use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use url::{Host, Url};

use super::{AnswerFacts, Trouble, Wire};
use crate::http::pool::AGENT;
use crate::http::proxy::Through;
use crate::http::tls::Tls;
use crate::http::{SafeUrl, authority, failure};

/// One GET, of which only the head of the answer is read. A proxy that forwards gets the whole address, and its login.
pub(super) async fn ask(
    url: &Url,
    proxy: Option<&Through>,
    wire: Wire,
    tls: &Tls,
) -> Result<AnswerFacts, Trouble> {
    let host = authority(url);
    let odd = |error: hyper::http::Error| Trouble::new(format!("{host}: it cannot be asked ({error})"));
    let target = match proxy {
        Some(_) => &url[..url::Position::AfterQuery],
        None => &url[url::Position::BeforePath..url::Position::AfterQuery],
    };
    let mut request = hyper::Request::get(target)
        .header(HOST, &host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(login) = proxy.and_then(|proxy| proxy.intercept.basic_auth()) {
        request = request.header(PROXY_AUTHORIZATION, login);
    }
    let request = request.body(String::new()).map_err(odd)?;
    let failed = |error: &hyper::Error| match failure::tls_error_behind(error) {
        // TLS 1.3 lets a server refuse this client when the handshake is over.
        Some(rustls::Error::AlertReceived(alert)) => {
            let words = failure::alert_words(*alert, tls.lacks_identity());
            Trouble::new(format!(
                "{host}: {}",
                words.unwrap_or_else(|| format!("{alert:?}"))
            ))
        }
        _ if error.is_parse() => Trouble::new(format!("{host} does not answer in HTTP ({error})")),
        _ => Trouble::new(format!("{host}: the connection was lost before an answer came")),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire))
        .await
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The answer may be here already.
        _ = &mut connection => answer.await,
    };
    let answer = answer.map_err(|error| failed(&error))?;
    let status = answer.status().as_u16();
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if tls.lacks_identity()
        && let Some(error) = failure::page_for_strangers(&host, status, kind.unwrap_or_default())
    {
        return Err(Trouble::new(error.to_string()));
    }
    if let (407, Some(proxy)) = (status, proxy) {
        return Err(Trouble::new(failure::wants_login(&proxy.shown())));
    }
    Ok(facts(
        url,
        answer.status().as_u16(),
        answer.headers(),
        Timestamp::now(),
    ))
}

fn facts(url: &Url, status: u16, headers: &hyper::HeaderMap, now: Timestamp) -> AnswerFacts {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value: &hyper::header::HeaderValue| value.to_str().ok())
    };
    let date = header(DATE).and_then(|text| rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    let clock_ahead = date.map(|date| SignedDuration::from_secs(now.as_second() - date.as_second()));
    let redirect = match status {
        300..400 => header(LOCATION).and_then(|text| url.join(text).ok()),
        _ => None,
    };
    let portal = match &redirect {
        Some(next) if !is_of_one_house(url, next) => Some(format!("it redirects to {}", authority(next))),
        Some(_) => None,
        None => {
            let html = header(CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("text/html"));
            (status == 200 && html).then(|| "it answers with a page where data was asked for".to_owned())
        }
    };
    AnswerFacts {
        status,
        clock_ahead,
        redirect: redirect.as_ref().map(|next| SafeUrl(next).to_string()),
        portal,
    }
}

/// A service that has moved within its house (`ims.bentley.com` to `imsoidc.bentley.com`) is no portal.
fn is_of_one_house(one: &Url, other: &Url) -> bool {
    let house = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => {
            let labels: Vec<&str> = name.rsplit('.').take(2).collect();
            Some(labels.join(".").to_ascii_lowercase())
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => url.host_str().map(str::to_owned),
    };
    house(one) == house(other)
}
