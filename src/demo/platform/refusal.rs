//! The platform's errors in the shapes confirmed for it (fact sheet 2.1).

use axum::http::StatusCode;
use axum::http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value as Json, json};

use crate::demo::reply::Reply;

use super::AUDIENCE;

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody is logged in.
    NoHeader,
    /// The token is unknown, has ended, or is no Bearer token.
    BadToken,
    /// The app is not registered for the API.
    UnknownClient,
    /// The token is for others: it has these audiences.
    Audience(String),
    /// The scope or the right is missing.
    Forbidden,
    /// There is no such operation, or it does not answer what the caller accepts.
    NoOperation,
    /// There is no such object for this caller.
    NotFound {
        code: &'static str,
        message: &'static str,
    },
    /// A parameter is wrong.
    Invalid {
        code: &'static str,
        target: String,
        message: String,
    },
    /// More requests than the subscription allows; one more is allowed after so many seconds.
    TooMany { seconds: u64 },
}

/// One entry of `details`.
pub(super) struct Detail<'a> {
    code: &'a str,
    message: &'a str,
    target: Option<&'a str>,
}

impl Refusal {
    pub(super) fn reply(&self) -> Reply {
        let unauthorized = |code: &str, message: &str, details: &[Detail<'_>]| {
            let reply = envelope(StatusCode::UNAUTHORIZED, code, message, details);
            // Where older clients look for the reason (fact sheet 2.3).
            reply.with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
        };
        match self {
            Self::NoHeader => {
                let message = "Header Authorization was not found in the request. Access denied.";
                let reply = envelope(StatusCode::UNAUTHORIZED, "HeaderNotFound", message, &[]);
                reply.with(WWW_AUTHENTICATE, "Bearer")
            }
            Self::BadToken => {
                unauthorized("Unauthorized", "The access token is invalid or has expired.", &[])
            }
            Self::UnknownClient => unauthorized(
                "Unauthorized",
                "Access denied due to invalid client. Make sure to register the client for this API.",
                &[Detail {
                    code: "UnknownClient",
                    message: "The client is not registered for this API.",
                    target: None,
                }],
            ),
            Self::Audience(audiences) => {
                let message = format!(
                    "IDX10214: Audience validation failed. Audiences: '{audiences}'. Did not match: \
                     validationParameters.ValidAudience: 'null' or \
                     validationParameters.ValidAudiences: '{AUDIENCE}'."
                );
                unauthorized("Unauthorized", &message, &[])
            }
            Self::Forbidden => envelope(
                StatusCode::FORBIDDEN,
                "InsufficientPermissions",
                "The user has insufficient permissions for the requested operation.",
                &[],
            ),
            Self::NoOperation => envelope(
                StatusCode::NOT_FOUND,
                "ResourceNotFound",
                "Requested resource is not available.",
                &[Detail {
                    code: "OperationNotFound",
                    message: "Unable to match incoming request to an operation.",
                    target: None,
                }],
            ),
            Self::NotFound { code, message } => envelope(StatusCode::NOT_FOUND, code, message, &[]),
            Self::Invalid {
                code,
                target,
                message,
            } => envelope(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                "Request is invalid.",
                &[Detail {
                    code: "InvalidParameter",
                    message,
                    target: Some(target),
                }],
            ),
            Self::TooMany { seconds } => {
                // Two copies of the page name different headers (fact sheet 2.1): all are sent.
                const TIER: HeaderName = HeaderName::from_static("itwinplatform-ratelimited-tier");
                const LEFT: HeaderName = HeaderName::from_static("itwinplatform-ratelimit-remainingcalls");
                const WAIT: HeaderName =
                    HeaderName::from_static("itwinplatform-ratelimit-retry-after-seconds");
                let seconds = seconds.to_string();
                let message = "The client sent more requests than allowed by this API for the current tier of the client.";
                envelope(StatusCode::TOO_MANY_REQUESTS, "RateLimitExceeded", message, &[])
                    .with(RETRY_AFTER, &seconds)
                    .with(WAIT, &seconds)
                    .with(LEFT, "0")
                    .with(TIER, "Community")
            }
        }
    }
}

/// The error envelope; `details` are left out where there are none.
pub(super) fn envelope(status: StatusCode, code: &str, message: &str, details: &[Detail<'_>]) -> Reply {
    let mut error = json!({ "code": code, "message": message });
    if !details.is_empty() {
        let details = details.iter().map(|detail| {
            let mut json = json!({ "code": detail.code, "message": detail.message });
            if let Some(target) = detail.target {
                json["target"] = target.into();
            }
            json
        });
        error["details"] = Json::Array(details.collect());
    }
    Reply::json(status, &json!({ "error": error }))
}
