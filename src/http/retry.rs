//! What is worth asking again, and after how long.
//!
//! Only reads are repeated: GET, and POST on the metadata lane, which is WSG's `$query` and nothing else. A POST to the
//! identity provider is repeated only when no connection could be made, for then nobody has seen it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::failure::{Failure, Stage};
use super::{Lane, Method, Options, Request};

/// Server words that make a failure final, whatever its status: a repeated bad login locks the account, and no
/// license appears within a second (projectwise-api 1.8).
const FINAL_WORDS: [&str; 4] = [
    "TooManyBadLoginAttempts",
    "LoginFailed",
    "NoClientLicense",
    "NoServerLicense",
];

/// The longest pause of our own choosing.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// True for a status that may be another one soon.
pub(super) const fn is_temporary(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// The pause before `request` is sent again after `failure`.
pub(super) fn after_failure(
    request: &Request,
    failure: &Failure,
    attempt: u32,
    options: &Options,
) -> Option<Duration> {
    let worth = match failure.stage {
        Stage::Connect => true,
        Stage::Answer | Stage::Body => is_read(request),
        Stage::Final => false,
    };
    worth.then(|| backoff(attempt, options))
}

/// The pause before `request` is sent again after an answer with `status`, the wait it `wanted` and its `words`.
pub(super) fn after_status(
    request: &Request,
    status: u16,
    wanted: Option<Duration>,
    words: &[u8],
    attempt: u32,
    options: &Options,
) -> Option<Duration> {
    if !is_temporary(status) || !is_read(request) || is_final(words) {
        return None;
    }
    let own = backoff(attempt, options);
    match wanted {
        Some(wait) if wait > options.longest_retry_after => None,
        Some(wait) => Some(wait.max(own)),
        None => Some(own),
    }
}

fn is_read(request: &Request) -> bool {
    match (request.method, request.lane) {
        (Method::Get, Lane::Metadata | Lane::Content | Lane::Login) | (Method::Post, Lane::Metadata) => true,
        (Method::Post, Lane::Content | Lane::Login) => false,
    }
}

fn is_final(words: &[u8]) -> bool {
    let text = String::from_utf8_lossy(words);
    FINAL_WORDS.iter().any(|word| text.contains(word))
}

/// Doubles with each attempt; the random half keeps many clients of one failing server from returning together.
fn backoff(attempt: u32, options: &Options) -> Duration {
    let doubled = options
        .first_backoff
        .saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let full = doubled.min(LONGEST_BACKOFF);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Reads a `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3). A moment in the past is no wait.
pub(super) fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let wait = moment.duration_since(Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}
