//! The circuit breaker: a server that cannot be reached is not run against.
//!
//! While it is open, what nobody waits for fails at once, with the failure that is known. Of the requests somebody waits
//! for one goes through each second or two and finds out, with those that are sent beside it: a folder is two
//! questions, and neither is an answer without the other. The rest fail at once, too.

use std::time::Duration;

use tokio::time::Instant;

use super::urgency::Urgency;
use crate::http::HttpError;

/// One call makes four tries of its own (`Options::attempts`): one that fails is no outage yet.
const FAILURES: u32 = 5;
/// How soon after a failed probe the next may go: a server that is back is noticed within a second.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A probe that hears nothing for so long does not hold up the next one.
const AFTER_PROBE: Duration = Duration::from_secs(2);
/// What is sent within so long of a probe belongs to it: the questions of one call leave together.
const BESIDE: Duration = Duration::from_millis(50);

/// Whether one server can be reached by one kind of requests.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Failures without an answer in between.
    failures: u32,
    answered: Option<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    error: HttpError,
    next_probe: Instant,
    /// When the last one was sent, while nothing is known of it.
    probing: Option<Instant>,
}

impl Breaker {
    /// The failure that a request of this urgency would get at once.
    pub(super) fn refusal(&self, urgency: Urgency, now: Instant) -> Option<HttpError> {
        let open = self.open.as_ref()?;
        let beside = open
            .probing
            .is_some_and(|sent| now.saturating_duration_since(sent) <= BESIDE);
        let may_probe = urgency == Urgency::Interactive && (now >= open.next_probe || beside);
        (!may_probe).then(|| open.error.clone())
    }

    /// A request is sent that was not refused.
    pub(super) fn sent(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            if now >= open.next_probe {
                open.probing = Some(now);
            }
            open.next_probe = now + AFTER_PROBE;
        }
    }

    /// The server answered, whatever it said.
    pub(super) fn answered(&mut self, now: Instant) {
        self.failures = 0;
        self.answered = Some(now);
        self.open = None;
    }

    /// A request sent at `begun` did not reach the server, or got no answer. True where that opens it.
    pub(super) fn failed(&mut self, begun: Instant, error: &HttpError, now: Instant) -> bool {
        if self.answered.is_some_and(|answered| answered >= begun) {
            // Others were answered meanwhile: it was the request, or a moment that is over.
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            open.error = error.clone();
            open.next_probe = open.next_probe.min(now + AFTER_FAILURE);
            open.probing = None;
            return false;
        }
        if self.failures < FAILURES {
            return false;
        }
        self.open = Some(Open {
            since: now,
            error: error.clone(),
            // Whoever asks next finds out: the failures may all have been of one object.
            next_probe: now,
            probing: None,
        });
        true
    }

    /// Forgets what is known: the network is another one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.open = None;
    }

    /// Since when, and why, the server cannot be reached.
    pub(super) fn open(&self) -> Option<(Instant, &HttpError)> {
        self.open.as_ref().map(|open| (open.since, &open.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> HttpError {
        HttpError::Unreachable("h: refused".to_owned())
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES {
            assert!(breaker.refusal(Urgency::Bulk, now).is_none());
            assert_eq!(breaker.failed(now, &gone(), now), failure == FAILURES);
        }
        breaker
    }

    #[test]
    fn open_it_lets_one_through_at_a_time_and_only_for_somebody() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut breaker = opened(begun);
        for urgency in [Urgency::Prefetch, Urgency::Background, Urgency::Bulk] {
            let error = breaker.refusal(urgency, at(60_000)).unwrap();
            assert!(error.to_string().contains("refused"));
        }
        let waits = |breaker: &Breaker, now| breaker.refusal(Urgency::Interactive, now).is_some();
        assert!(!waits(&breaker, at(1)));
        breaker.sent(at(1));
        // The other question of the same call, and nobody after it.
        assert!(!waits(&breaker, at(2)));
        breaker.sent(at(2));
        assert!(waits(&breaker, at(52)));
        breaker.failed(at(1), &gone(), at(10));
        assert!(waits(&breaker, at(11)));
        assert!(waits(&breaker, at(1009)) && !waits(&breaker, at(1010)));
        // A silent probe is not waited for.
        breaker.sent(at(1010));
        assert!(waits(&breaker, at(3009)) && !waits(&breaker, at(3010)));
    }

    #[test]
    fn an_answer_closes_it_and_so_does_another_network() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.answered(now + AFTER_FAILURE);
        assert!(breaker.refusal(Urgency::Bulk, now).is_none());
        // It takes as many failures again, and those of before do not count.
        for _ in 0..2 * FAILURES {
            assert!(!breaker.failed(now, &gone(), now + AFTER_PROBE));
        }
        let mut breaker = opened(now);
        breaker.reset();
        assert!(breaker.refusal(Urgency::Bulk, now).is_none());
        assert!(!breaker.failed(now, &gone(), now));
    }
}
