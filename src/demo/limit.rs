//! What the gateway bears: so many requests at once, and so many a minute of one account.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::knobs::{Knobs, RetryAfter};
use super::reply::Reply;

const MINUTE: Duration = Duration::from_secs(60);
/// What a busy server tells clients to wait.
const BUSY: Duration = Duration::from_secs(1);

/// The state of both limits.
#[derive(Default)]
pub(super) struct Limits {
    inside: Arc<AtomicU64>,
    rates: Rates,
}

/// One of the requests at once; dropping it makes room.
pub(super) struct Place(Arc<AtomicU64>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    /// Takes a place, which is held until the answer was sent, or refuses by 503 or 429.
    pub(super) fn enter(&self, knobs: &Knobs, account: Option<&str>) -> Result<Place, Reply> {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.inside));
        if knobs.concurrency > 0 && before >= knobs.concurrency {
            let message = "Too many requests at once.";
            let reply = Reply::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
            return Err(with_retry_after(reply, BUSY, knobs.retry_after));
        }
        if let Err(wait) = self.rates.take(account.unwrap_or_default(), knobs.rate) {
            let message = "Too many requests in a minute.";
            let reply = Reply::error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
            return Err(with_retry_after(reply, wait, knobs.retry_after));
        }
        Ok(place)
    }

    /// Forgets who asked how much.
    pub(super) fn reset(&self) {
        self.rates.paid.lock().clear();
    }
}

/// A bucket for each who asks: a minute's worth at once, refilled evenly.
#[derive(Default)]
pub(super) struct Rates {
    /// When all that was asked is paid for.
    paid: Mutex<HashMap<String, Instant>>,
}

impl Rates {
    /// Takes one request of `per_minute` (0: no limit), or tells how long to wait for the next.
    pub(super) fn take(&self, who: &str, per_minute: u64) -> Result<(), Duration> {
        if per_minute == 0 {
            return Ok(());
        }
        let cost = Duration::from_nanos(60_000_000_000 / per_minute);
        let now = Instant::now();
        let mut paid = self.paid.lock();
        let from = paid.get(who).copied().unwrap_or(now).max(now);
        let until = from + cost;
        let owed = until - now;
        if let Some(wait) = owed.checked_sub(MINUTE).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        paid.insert(who.to_owned(), until);
        Ok(())
    }
}

/// Says when to come again, as the knob wants it said.
pub(super) fn with_retry_after(reply: Reply, wait: Duration, said: RetryAfter) -> Reply {
    // A part of a second is a second: a client that comes early is refused again.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match said {
        RetryAfter::Seconds => reply.with(RETRY_AFTER, &seconds.to_string()),
        RetryAfter::Date => {
            let then = Timestamp::now().checked_add(Duration::from_secs(seconds));
            reply.with(RETRY_AFTER, &http_date(then.unwrap_or(Timestamp::MAX)))
        }
        RetryAfter::Absent => reply,
    }
}

/// A date as HTTP writes it (RFC 9110 5.6.7).
pub(super) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_minute_holds_so_many_requests_of_each() {
        let rates = Rates::default();
        for _ in 0..30 {
            assert_eq!(rates.take("a", 30), Ok(()));
        }
        assert_eq!(rates.take("a", 30), Err(Duration::from_secs(2)));
        assert_eq!(rates.take("b", 30), Ok(()));
        assert_eq!(rates.take("a", 0), Ok(()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(rates.take("a", 30), Ok(()));
        assert!(rates.take("a", 30).is_err());
        tokio::time::advance(MINUTE).await;
        for _ in 0..30 {
            assert_eq!(rates.take("a", 30), Ok(()));
        }
        assert!(rates.take("a", 30).is_err());
    }

    #[test]
    fn a_date_is_written_as_http_does() {
        let time: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
