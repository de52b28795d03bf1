//! How old something is, by a clock that counts suspend and never jumps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::model::{Guid, Timestamp};

/// A point in time of one [`Clock`]; only differences mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This much earlier; the beginning of time at the earliest.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    /// This much later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Tells the time since boot, suspend included: a laptop that slept all night holds no fresh listings.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    Boot,
    /// Nanoseconds, moved by a test.
    Manual(Arc<AtomicU64>),
}

/// As the kernel tells it (random(4), `/proc/sys/kernel/random/boot_id`). Where it does not, a number of this process
/// alone: what it keeps is then judged by the wall clock by every other one.
static KERNEL_BOOT: LazyLock<BootId> = LazyLock::new(|| {
    let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let parsed = told.ok().and_then(|text| text.trim().parse::<Guid>().ok());
    BootId(parsed.map_or_else(|| fastrand::u128(1..).to_be_bytes(), |id| *id.as_bytes()))
});

/// What every moment is counted from: so long before boot that whatever is kept on a disk came later.
const BEFORE_BOOT: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The boot of a manual clock: it is the same for as long as the clock is.
const MANUAL_BOOT: BootId = BootId([0; 16]);

/// Tells one run of the machine from the next: moments of different boots cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// A moment as it can be kept on a disk and understood after a restart, of the machine too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// By the wall clock.
    pub wall: Timestamp,
    /// The run of the machine it belongs to.
    pub boot: BootId,
    /// The moment within that run; means nothing in another one.
    pub moment: Duration,
}

impl Clock {
    /// A clock that stands still until [`Clock::advance`].
    pub fn manual() -> Self {
        // Not zero, so that a test can look back.
        Self(Source::Manual(Arc::new(AtomicU64::new(1 << 40))))
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Boot => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
                let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
                Moment(BEFORE_BOOT.saturating_add(Duration::new(seconds, nanoseconds)))
            }
            Source::Manual(nanoseconds) => {
                Moment(BEFORE_BOOT.saturating_add(Duration::from_nanos(nanoseconds.load(Ordering::SeqCst))))
            }
        }
    }

    /// `moment`, which the wall clock calls `wall`, as it can be kept.
    pub fn stamp(&self, moment: Moment, wall: Timestamp) -> Stamp {
        Stamp {
            wall,
            boot: self.boot(),
            moment: moment.0,
        }
    }

    /// The moment of a stamp by this clock.
    ///
    /// Within one run of the machine exact, whatever happened to the wall clock. Else as the wall clock tells; a stamp
    /// that it puts into the future is as old as can be, for nobody knows how old it is.
    pub fn moment(&self, stamp: &Stamp) -> Moment {
        let now = self.now();
        if stamp.boot == self.boot() && stamp.moment <= now.0 {
            return Moment(stamp.moment);
        }
        match Duration::try_from(Timestamp::now().duration_since(stamp.wall)) {
            Ok(age) => now.minus(age),
            Err(_) => Moment(Duration::ZERO),
        }
    }

    /// This run of the machine.
    fn boot(&self) -> BootId {
        match &self.0 {
            Source::Manual(_) => MANUAL_BOOT,
            Source::Boot => *KERNEL_BOOT,
        }
    }

    /// Moves a manual clock on; does nothing to a real one.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(nanoseconds) = &self.0 {
            let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            nanoseconds.fetch_add(by, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_this_boot_is_exact_whatever_the_wall_clock_did() {
        let clock = Clock::default();
        let moment = clock.now();
        let wall = Timestamp::now() + jiff::SignedDuration::from_hours(7);
        assert_eq!(clock.moment(&clock.stamp(moment, wall)), moment);
    }

    #[test]
    fn a_stamp_of_another_boot_is_as_old_as_the_wall_clock_says() {
        let clock = Clock::default();
        let days = jiff::SignedDuration::from_hours(72);
        let stamp = Stamp {
            wall: Timestamp::now() - days,
            boot: BootId([1; 16]),
            moment: Duration::ZERO,
        };
        let age = clock.now().since(clock.moment(&stamp));
        assert!(
            age >= Duration::from_hours(72) && age < Duration::from_hours(73),
            "{age:?}"
        );
    }

    #[test]
    fn a_stamp_from_the_future_is_as_old_as_can_be() {
        let clock = Clock::default();
        let stamp = Stamp {
            wall: Timestamp::now() + jiff::SignedDuration::from_hours(1),
            boot: BootId([1; 16]),
            moment: Duration::ZERO,
        };
        assert!(clock.now().since(clock.moment(&stamp)) > Duration::from_hours(24 * 365));
    }

    #[test]
    fn a_manual_clock_understands_its_own_stamps_after_it_was_moved() {
        let clock = Clock::manual();
        let stamp = clock.stamp(clock.now(), Timestamp::now());
        clock.advance(Duration::from_secs(9));
        assert_eq!(clock.now().since(clock.moment(&stamp)), Duration::from_secs(9));
    }
}
