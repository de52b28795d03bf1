//! The iTwin Platform beside a gateway: a second service that sees the same token, and so tells a dead token from a gateway
//! that does not want a living one.

use serde::Deserialize;
use url::{Host, Url};

use crate::auth::Authorization;
use crate::http::{HttpClient, Lane, Request, is_loopback};

use super::access::PlatformSeen;

/// The cheapest question to the platform that belongs to `issuer`; `None` where there is none.
///
/// A token is shown to Bentley's own platform only where Bentley gave it (projectwise-api 2, 3), or to the simulator that did.
pub(super) fn question(issuer: &Url) -> Option<Url> {
    let base = match issuer.host() {
        Some(Host::Domain("ims.bentley.com")) => "https://api.bentley.com".to_owned(),
        Some(Host::Domain("qa-ims.bentley.com")) => "https://qa-api.bentley.com".to_owned(),
        Some(_) if is_loopback(issuer) => issuer.origin().ascii_serialization(),
        Some(_) | None => return None,
    };
    Url::parse(&format!("{base}/itwins?subClass=Project&$top=1")).ok()
}

/// Asks it.
pub(super) async fn ask(http: &HttpClient, question: Url, authorization: &Authorization) -> PlatformSeen {
    let request = Request {
        headers: vec![(
            "Accept",
            "application/vnd.bentley.itwin-platform.v1+json".to_owned(),
        )],
        authorization: Some(authorization.header()),
        ..Request::get(Lane::Metadata, question)
    };
    match http.send_once(request).await {
        Ok(answer) => read(answer.status, &answer.body),
        Err(_) => PlatformSeen::Unknown,
    }
}

/// The error envelope (projectwise-api 2.1).
#[derive(Deserialize)]
struct Envelope {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    code: String,
}

fn read(status: u16, body: &[u8]) -> PlatformSeen {
    match status {
        // It knows who asks, and answers or forbids.
        200 | 403 => PlatformSeen::Accepted,
        401 => {
            let fault = serde_json::from_slice::<Envelope>(body)
                .map(|envelope| envelope.error)
                .ok();
            let is_unknown = fault.as_ref().is_some_and(|fault| {
                fault
                    .details
                    .iter()
                    .any(|detail| detail.code.eq_ignore_ascii_case("UnknownClient"))
            });
            // A token for other services may be alive all the same.
            let is_for_others = fault.is_some_and(|fault| fault.message.to_lowercase().contains("audience"));
            if is_unknown {
                PlatformSeen::UnknownClient
            } else if is_for_others {
                PlatformSeen::Unknown
            } else {
                PlatformSeen::Refused
            }
        }
        _ => PlatformSeen::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_to_the_platform_of_its_own_issuer_only() {
        let of = |issuer: &str| question(&Url::parse(issuer).unwrap()).map(|url| url.to_string());
        assert_eq!(
            of("https://ims.bentley.com").as_deref(),
            Some("https://api.bentley.com/itwins?subClass=Project&$top=1")
        );
        assert!(
            of("https://qa-ims.bentley.com/")
                .unwrap()
                .starts_with("https://qa-api.bentley.com/")
        );
        assert!(
            of("http://127.0.0.1:8765")
                .unwrap()
                .starts_with("http://127.0.0.1:8765/itwins")
        );
        assert_eq!(of("https://login.example.com"), None);
        assert_eq!(of("https://ims.bentley.com.example.com"), None);
    }

    #[test]
    fn only_a_plain_401_says_that_the_token_is_dead() {
        let with = |text: &str| format!(r#"{{"error":{{"code":"Unauthorized",{text}}}}}"#);
        let unknown = with(r#""message":"Access denied","details":[{"code":"UnknownClient"}]"#);
        let audience = with(r#""message":"IDX10214: Audience validation failed""#);
        for (status, body, expected) in [
            (200, "{}", PlatformSeen::Accepted),
            (403, "", PlatformSeen::Accepted),
            (401, unknown.as_str(), PlatformSeen::UnknownClient),
            (401, audience.as_str(), PlatformSeen::Unknown),
            (401, "{}", PlatformSeen::Refused),
            (401, "<html>", PlatformSeen::Refused),
            (429, "", PlatformSeen::Unknown),
            (503, "", PlatformSeen::Unknown),
        ] {
            assert_eq!(read(status, body.as_bytes()), expected, "{status} {body}");
        }
    }
}
