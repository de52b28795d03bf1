//! The demo's clock, which can be put forward so that nobody has to wait for a token to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ten thousand years in milliseconds: enough for anybody, and an `Instant` holds twice that.
const FARTHEST: u64 = 10_000 * 365 * 86_400_000;

/// The machine's clock and how far it was put forward; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    /// In milliseconds.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// Now, for comparing with what it said before.
    pub(super) fn now(&self) -> Instant {
        Instant::now() + self.ahead()
    }

    /// Now, since 1970.
    pub(super) fn since_epoch(&self) -> Duration {
        // A machine whose clock stands before 1970 gets 1970.
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        machine + self.ahead()
    }

    /// Puts it forward: everything gets older by this. Parts of a millisecond are dropped.
    pub(super) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let add = |ahead: u64| Some(ahead.saturating_add(millis).min(FARTHEST));
        let _always_some = self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The moment after so long a time, or after ten thousand years: an `Instant` holds no more for sure.
    pub(super) fn deadline(&self, after: Duration) -> Instant {
        self.now() + after.min(Duration::from_millis(FARTHEST))
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_put_forward_together() {
        let clock = Clock::default();
        let other = clock.clone();
        let (before, epoch) = (other.now(), other.since_epoch());
        clock.advance(Duration::from_secs(60));
        assert!(other.now() >= before + Duration::from_secs(60));
        assert!(other.since_epoch() >= epoch + Duration::from_secs(60));
    }

    #[test]
    fn too_far_ahead_is_as_far_as_it_goes() {
        let clock = Clock::default();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert!(clock.now() > Instant::now());
        assert!(clock.deadline(Duration::MAX) > clock.now());
    }
}
