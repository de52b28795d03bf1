//! How long one caller waits: by the clock around its call, and by signs of life.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait without a sign of life of the document.
const WITHOUT_PROGRESS: Duration = Duration::from_secs(10);

/// Longest wait while bytes arrive.
const IN_ALL: Duration = Duration::from_secs(600);

/// The deadlines of one call.
#[derive(Debug)]
pub(super) struct Patience {
    end: Instant,
    /// The last sign of life, or the begin of the call.
    moved: Instant,
}

impl Patience {
    /// The deadlines of a call that begins now.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self {
            end: now + IN_ALL,
            moved: now,
        }
    }

    /// Takes note of the last sign of life, which may be older than the call.
    pub(super) fn moved(&mut self, alive: Option<Instant>) {
        self.moved = alive.map_or(self.moved, |alive| alive.max(self.moved));
    }

    /// When the wait ends, unless something moves before.
    pub(super) fn deadline(&self) -> Instant {
        self.end.min(self.moved + WITHOUT_PROGRESS)
    }

    /// True once the wait has lasted too long.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline()
    }
}
