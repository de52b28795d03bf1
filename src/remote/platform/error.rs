//! What refusals of the iTwin Platform mean: the only table from its envelope to [`PlatformError`].
//!
//! Facts: projectwise-api 2.1. Codes are compared without case. A 404 is as often a wrong address as a missing object;
//! only what the platform calls one by its code is one.

use std::time::Duration;

use serde_json::Value;

use crate::http::Response;
use crate::remote::wsg::error::{bounded, is_login_address, request_id};
use crate::remote::{Detail, Origin, RemoteError};

use super::wire::{member, text};

/// Why the platform did not answer what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlatformError {
    /// Nobody knows the platform of this identity provider.
    #[error("no iTwin Platform is known beside the identity provider {0}")]
    NoPlatform(String),
    /// The login is none of an iTwin app.
    #[error("the iTwin Platform takes logins of iTwin apps only")]
    NoApp,
    /// The app is not registered for this API (`UnknownClient`).
    #[error("the iTwin Platform does not know the app ({0})")]
    UnknownClient(String),
    /// The token is meant for others (`IDX10214`): the app lacks a scope of the platform.
    #[error("the login's token is not meant for the iTwin Platform ({0})")]
    WrongAudience(String),
    /// The request arrived without its login (`HeaderNotFound`).
    #[error("the iTwin Platform saw no login in the request ({0})")]
    HeaderLost(String),
    /// The account or the app may not ask this (`InsufficientPermissions`).
    #[error("the iTwin Platform refuses {what} ({detail})")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// The platform's own words and request id.
        detail: String,
    },
    /// There is no such operation (`OperationNotFound`): a wrong address or media type, never a missing object.
    #[error("the iTwin Platform has no such operation: {what} ({detail})")]
    NoOperation {
        /// What was asked for.
        what: String,
        /// The platform's own words and request id.
        detail: String,
    },
    /// The app's subscription allows no more requests for now (`RateLimitExceeded`), for longer than one call may wait.
    #[error("the iTwin Platform limits the request rate of the app ({detail})")]
    RateLimited {
        /// How long it asked to wait.
        retry_after: Option<Duration>,
        /// The platform's own words and request id.
        detail: String,
    },
    /// What every server may answer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl PlatformError {
    /// True where the next iTwin may answer although this one did not.
    pub const fn is_about_one_itwin(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::Remote(RemoteError::NotFound { .. })
        )
    }
}

/// Sorts an answer that is not a success.
pub(super) fn failure_of(response: &Response, what: &str) -> PlatformError {
    let header = |name: &str| response.header(name).map(str::to_owned);
    let said = Said::read(&response.body);
    let detail = said.detail(response.status, request_id(&header));
    tracing::debug!(status = response.status, %detail, what, "the iTwin Platform refuses");
    let what = what.to_owned();
    if said.names("UnknownClient") {
        return PlatformError::UnknownClient(detail);
    }
    if said.text.contains("IDX10214") {
        return PlatformError::WrongAudience(detail);
    }
    if said.names("HeaderNotFound") {
        return PlatformError::HeaderLost(detail);
    }
    if said.names("OperationNotFound") {
        return PlatformError::NoOperation { what, detail };
    }
    if said.names("RateLimitExceeded") || response.status == 429 {
        // Some copies of the platform's manual name a header of its own.
        let own = header("iTwinPlatform-RateLimit-Retry-After-Seconds");
        let own = own.and_then(|text| text.trim().parse().ok().map(Duration::from_secs));
        return PlatformError::RateLimited {
            retry_after: response.retry_after().or(own),
            detail,
        };
    }
    if said.names("InsufficientPermissions") {
        return PlatformError::Forbidden { what, detail };
    }
    let detail = Detail::of_request(detail, Origin::Client, request_id(&header));
    match response.status {
        401 => RemoteError::LoginRequired(detail),
        403 => {
            let detail = detail.to_string();
            return PlatformError::Forbidden { what, detail };
        }
        404 if said.is_missing_object() => RemoteError::NotFound { what, detail },
        404 => {
            let detail = detail.to_string();
            return PlatformError::NoOperation { what, detail };
        }
        300..=399 if header("Location").is_some_and(|target| is_login_address(&target)) => {
            RemoteError::LoginRequired(detail)
        }
        407 => RemoteError::Unreachable(format!("the proxy wants a login ({detail})").into()),
        408 | 504 => RemoteError::TimedOut(detail),
        500..=599 => RemoteError::Server(detail),
        _ => RemoteError::Protocol(format!("unexpected answer for {what} ({detail})").into()),
    }
    .into()
}

/// What an error body says.
#[derive(Debug, Default)]
struct Said {
    /// The code, then those of the details.
    codes: Vec<String>,
    /// The messages, in the same order.
    text: String,
}

impl Said {
    /// Reads `{"error":{"code","message","details":[…]}}`; older services leave the outer member out.
    fn read(body: &[u8]) -> Self {
        let mut said = Self::default();
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return said;
        };
        let error = member(&json, &["error"]).unwrap_or(&json);
        said.add(error);
        if let Some(details) = member(error, &["details"]).and_then(Value::as_array) {
            // One names the reason; more are the server's affair.
            details.iter().take(3).for_each(|detail| said.add(detail));
        }
        said
    }

    fn add(&mut self, entry: &Value) {
        self.codes.extend(text(entry, &["code"]));
        if let Some(message) = text(entry, &["message"]) {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(&message);
        }
    }

    fn names(&self, code: &str) -> bool {
        self.codes.iter().any(|said| said.eq_ignore_ascii_case(code))
    }

    /// `iTwinNotFound`, `FileNotFound`: all but the one of the platform itself.
    fn is_missing_object(&self) -> bool {
        self.codes
            .first()
            .is_some_and(|code| code.to_ascii_lowercase().ends_with("notfound"))
    }

    /// One line for people: status, the platform's words, its request id.
    fn detail(&self, status: u16, request_id: Option<String>) -> String {
        let mut detail = format!("status {status}");
        for part in [self.codes.join(", "), self.text.clone()] {
            if !part.is_empty() {
                detail.push_str(": ");
                detail.push_str(&bounded(&part));
            }
        }
        if let Some(id) = request_id {
            detail.push_str(", request id ");
            detail.push_str(&id);
        }
        detail
    }
}
