//! The time ledgers are kept by: it counts suspend, never jumps, and is the same for all processes of one boot.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::clock::Clock;

/// Where the time comes from.
#[derive(Debug, Clone)]
pub(super) enum Time {
    Clock(Clock),
    /// A test's, as its runtime tells it.
    #[cfg(test)]
    Runtime(tokio::time::Instant),
}

impl Time {
    /// Microseconds, of which only differences mean something.
    pub(super) fn now(&self) -> u64 {
        let micros = match self {
            Self::Clock(clock) => clock.stamp(clock.now(), Timestamp::UNIX_EPOCH).moment.as_micros(),
            #[cfg(test)]
            Self::Runtime(start) => start.elapsed().as_micros() + 1_000_000_000,
        };
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// The run of the machine that they belong to.
    pub(super) fn boot(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Clock(clock) => {
                for byte in clock.stamp(clock.now(), Timestamp::UNIX_EPOCH).boot.0 {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{byte:02x}");
                }
            }
            #[cfg(test)]
            Self::Runtime(_) => text.push_str("test"),
        }
        text
    }
}
