//! How often one folder is looked at.

use std::time::Duration;

use crate::clock::Moment;

/// How often a folder that keeps changing is looked at, and one that never does, where folders in use are looked at every
/// minute: ten seconds, and a quarter of an hour. Another pace moves both.
const HOT: u32 = 6;
const COLD: u32 = 15;

/// A folder in use is looked at when so much of its time to live is over: the rest is for the queue, the listing, and a
/// second try.
const LIFE: f64 = 0.7;

/// The paces at which folders are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paces {
    /// A folder that keeps changing.
    pub(super) hot: Duration,
    /// A folder in use.
    pub(super) usual: Duration,
    /// A folder nobody uses and nobody changes.
    pub(super) cold: Duration,
    /// The age a folder in use reaches at most; `None` where any age will do.
    pub(super) oldest_in_use: Option<Duration>,
}

impl Paces {
    /// The paces around `usual`, for listings that live for `ttl`.
    pub(super) fn around(usual: Duration, ttl: Option<Duration>) -> Self {
        let hot = usual / HOT;
        // Answers of the last second are a pace that no budget keeps: whoever asks then waits for the answer.
        let oldest_in_use = ttl.map(|ttl| ttl.mul_f64(LIFE)).filter(|oldest| *oldest >= hot);
        Self {
            hot,
            usual,
            cold: usual.saturating_mul(COLD),
            oldest_in_use,
        }
    }
}

/// How often one folder is looked at, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Cadence {
    interval: Duration,
    /// When it was last asked for, as far as was seen; memory may have let it go.
    pub(super) fetched: Option<Moment>,
    /// The membership seen last, which others may have listed, too.
    generation: Option<u16>,
    /// Not before: it was refused, or failed.
    pub(super) spared_until: Option<Moment>,
    failures: u32,
}

/// After a failure a folder is spared for so long, doubled by each further one.
const SPARED: Duration = Duration::from_secs(30);

impl Cadence {
    /// Of a folder that came into use.
    pub(super) fn new(paces: &Paces) -> Self {
        Self {
            interval: paces.usual,
            fetched: None,
            generation: None,
            spared_until: None,
            failures: 0,
        }
    }

    /// How long after a look the next one is due.
    pub(super) fn interval(&self, paces: &Paces, in_use: bool) -> Duration {
        match paces.oldest_in_use.filter(|_| in_use) {
            Some(oldest) => self.interval.min(oldest),
            None => self.interval,
        }
    }

    /// It was looked at: it has `generation` now, and `changed` if it did otherwise.
    pub(super) fn looked(&mut self, paces: &Paces, generation: u16, changed: bool, used_since: bool) {
        let changed = changed || self.generation.is_some_and(|before| before != generation);
        self.generation = Some(generation);
        self.spared_until = None;
        self.failures = 0;
        let most = if used_since { paces.usual } else { paces.cold };
        self.interval = if changed {
            self.interval / 2
        } else {
            self.interval.mul_f64(1.5).min(most)
        };
        self.interval = self.interval.max(paces.hot);
    }

    /// It could not be listed, for a reason of its own; a refusal is remembered for `refused`.
    pub(super) fn failed(&mut self, paces: &Paces, now: Moment, refused: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let doubled = SPARED.saturating_mul(1 << (self.failures - 1).min(10));
        let spared = refused.unwrap_or_default().max(doubled.min(paces.cold));
        self.spared_until = Some(now.plus(spared));
    }

    /// True if it is looked at as seldom as any.
    pub(super) fn is_cold(&self, paces: &Paces) -> bool {
        self.interval >= paces.cold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn paces() -> Paces {
        Paces::around(MINUTE, Some(5 * MINUTE))
    }

    #[test]
    fn a_folder_that_changes_is_looked_at_every_ten_seconds_and_one_that_rests_four_times_an_hour() {
        let paces = paces();
        let mut cadence = Cadence::new(&paces);
        for generation in 0..10 {
            cadence.looked(&paces, generation, generation > 0, false);
        }
        assert_eq!(cadence.interval(&paces, false), Duration::from_secs(10));
        for _ in 0..20 {
            cadence.looked(&paces, 9, false, false);
        }
        assert_eq!(cadence.interval(&paces, false), Duration::from_secs(900));
        assert!(cadence.is_cold(&paces));
        assert_eq!(cadence.interval(&paces, true), Duration::from_secs(210));
    }

    #[test]
    fn a_folder_in_use_is_looked_at_every_interval_however_quiet_it_is() {
        let paces = paces();
        let mut cadence = Cadence::new(&paces);
        for _ in 0..20 {
            cadence.looked(&paces, 1, false, true);
        }
        assert_eq!(cadence.interval(&paces, true), MINUTE);
    }

    #[test]
    fn a_change_that_somebody_else_found_counts() {
        let paces = paces();
        let mut cadence = Cadence::new(&paces);
        cadence.looked(&paces, 1, false, true);
        cadence.looked(&paces, 2, false, true);
        assert_eq!(cadence.interval(&paces, true), MINUTE / 2);
    }

    #[test]
    fn what_may_be_a_second_old_is_not_looked_at_every_second() {
        let strict = Paces::around(MINUTE, Some(Duration::from_secs(1)));
        assert_eq!(strict.oldest_in_use, None);
        let short = Paces::around(MINUTE, Some(Duration::from_secs(30)));
        assert_eq!(
            Cadence::new(&short).interval(&short, true),
            Duration::from_secs(21)
        );
        let archive = Paces::around(MINUTE, None);
        assert_eq!(archive.oldest_in_use, None);
    }

    #[test]
    fn a_folder_that_fails_is_spared_longer_each_time_and_a_refused_one_for_its_time() {
        let (paces, now) = (paces(), Clock::manual().now());
        let mut cadence = Cadence::new(&paces);
        cadence.failed(&paces, now, None);
        assert_eq!(cadence.spared_until, Some(now.plus(SPARED)));
        cadence.failed(&paces, now, None);
        assert_eq!(cadence.spared_until, Some(now.plus(2 * SPARED)));
        for _ in 0..40 {
            cadence.failed(&paces, now, None);
        }
        assert_eq!(cadence.spared_until, Some(now.plus(paces.cold)));
        cadence.failed(&paces, now, Some(24 * 60 * MINUTE));
        assert_eq!(cadence.spared_until, Some(now.plus(24 * 60 * MINUTE)));
        cadence.looked(&paces, 1, false, true);
        assert_eq!(cadence.spared_until, None);
    }
}
