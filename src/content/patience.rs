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
    /// The last count of signs of life, and when it was first seen.
    pulse: Option<u64>,
    moved: Instant,
}

impl Patience {
    /// The deadlines of a call that begins now.
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self {
            end: now + IN_ALL,
            pulse: None,
            moved: now,
        }
    }

    /// Takes note of a count of signs of life; true where it moved.
    pub(super) fn note(&mut self, pulse: u64) -> bool {
        let moved = self.pulse.is_some_and(|before| before != pulse);
        if moved {
            self.moved = Instant::now();
        }
        self.pulse = Some(pulse);
        moved
    }

    /// Takes note of a sign of life.
    pub(super) fn moved(&mut self) {
        self.moved = Instant::now();
    }

    /// When the wait ends, unless something moves before.
    pub(super) fn deadline(&self) -> Instant {
        self.end.min(self.moved + WITHOUT_PROGRESS)
    }

    /// True once nothing may prolong the wait.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}
