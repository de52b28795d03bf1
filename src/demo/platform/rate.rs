//! How often one app may ask (fact sheet 2.1: so many requests a minute for each subscription).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::refusal::Refusal;

const MINUTE: f64 = 60.0;

/// A bucket of requests for every app, filled again as time goes by.
pub(super) struct Meter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    /// Requests it may make at once.
    left: f64,
    /// When it was filled last.
    filled: Duration,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Fills every bucket.
    pub(super) fn reset(&self) {
        self.buckets.lock().clear();
    }

    /// Takes one request of an app that may make `a_minute` of them; 0 is no limit. `now` is the time since the start.
    pub(super) fn take(&self, app: &str, a_minute: u64, now: Duration) -> Result<(), Refusal> {
        if a_minute == 0 {
            return Ok(());
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "a limit above 2^52 requests a minute limits nobody"
        )]
        let most = a_minute as f64;
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(app.to_owned()).or_insert(Bucket {
            left: most,
            filled: now,
        });
        let grown = now.saturating_sub(bucket.filled).as_secs_f64() * most / MINUTE;
        bucket.left = (bucket.left + grown).min(most);
        bucket.filled = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.left) * MINUTE / most;
        // Rounded up, and never 0: a client that waits as told is served.
        let wait = Duration::from_secs_f64(wait);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Refusal::TooMany {
            seconds: seconds.max(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_full_minute_may_be_asked_at_once_and_then_as_time_goes_by() {
        let meter = Meter::new();
        for _ in 0..6 {
            meter.take("app", 6, START).unwrap();
        }
        let refused = meter.take("app", 6, START).unwrap_err();
        assert_eq!(refused, Refusal::TooMany { seconds: 10 });
        let later = START + Duration::from_millis(7500);
        assert_eq!(
            meter.take("app", 6, later).unwrap_err(),
            Refusal::TooMany { seconds: 3 }
        );
        meter.take("app", 6, START + Duration::from_secs(11)).unwrap();
    }

    #[test]
    fn apps_do_not_wait_for_each_other() {
        let meter = Meter::new();
        meter.take("one", 1, START).unwrap();
        meter.take("two", 1, START).unwrap();
        meter.take("one", 1, START).unwrap_err();
    }

    #[test]
    fn no_limit_is_none() {
        let meter = Meter::new();
        for _ in 0..1000 {
            meter.take("app", 0, START).unwrap();
        }
    }
}
