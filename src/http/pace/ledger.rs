//! What one user has asked of one server, and may ask now: the token bucket, and what the server taught.
//!
//! A ledger is shared by processes as text (`pace/shared.rs`); here is only what it means. All moments are microseconds of
//! one clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::urgency::Urgency;

/// Of another meaning than another number's.
pub(super) const VERSION: u32 = 1;

const MINUTE: Duration = Duration::from_secs(60);

/// A full bucket is what comes in so long: 200 at 600 a minute, which is what opens a large folder tree at once.
const BURST_MINUTES: f64 = 1.0 / 3.0;
/// However slow: a login to a datasource and a first listing are about as many requests.
const LEAST_BURST: f64 = 5.0;

/// The part of the bucket that must be left over by requests nobody waits for, by [`Urgency::rank`]: what an interactive
/// one finds at once, whatever else goes on.
const LEFT_OVER: [f64; 4] = [0.0, 0.5, 0.6, 0.75];
/// The part of the rate that prefetching and the background may use together.
const SHARE: f64 = 0.5;

/// What a server teaches by one 429: the part of what was used that goes on, …
const LESSON: f64 = 0.8;
/// … which at most halves the rate: few requests may have been too many because of somebody else's, …
const HARDEST_LESSON: f64 = 0.5;
/// … and never goes below so many a minute.
const LEAST_LEARNED: f64 = 10.0;
/// One storm of refusals is one lesson.
const LESSONS_APART: Duration = Duration::from_secs(10);
/// A lesson fades by a tenth each so often: from half the rate back to it in 40 minutes.
const FADES_EVERY: Duration = Duration::from_secs(5 * 60);
const FADES_BY: f64 = 1.1;
/// What is learned without a limit of our own is forgotten where it reaches this.
const UNLIMITED: f64 = 6000.0;
/// What a first lesson is measured by where there is no limit of our own.
const MEASURE: f64 = 600.0;
/// A server may ask for more patience; then it is asked once each so often whether it still does.
const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

/// Use is counted by so many slots of a minute.
const SLOTS: usize = 12;
const SLOT_MICROS: u64 = 5_000_000;

/// A process and its pace are part of it for so long after its last request.
const MEMORY: Duration = MINUTE;
/// Text of a bounded length; more processes than these still share the tokens.
const MOST_PROCESSES: usize = 16;

/// The requests of one user to one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) version: u32,
    pub(super) server: String,
    /// The run of the machine its moments belong to.
    pub(super) boot: String,
    /// When tokens were added last.
    at: u64,
    tokens: f64,
    /// What prefetching and the background may take of them.
    share: f64,
    held_until: u64,
    learned: Option<Learned>,
    refused_at: Option<u64>,
    /// By slot, the newest first, and by rank of urgency.
    used: [[u32; 4]; SLOTS],
    slot: u64,
    processes: Vec<Process>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Learned {
    per_minute: f64,
    since: u64,
}

/// One process that asks, as the others see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The most it asks for in a minute; `None` for no limit.
    pub(super) per_minute: Option<u32>,
    /// How many small answers, and how many files, it has on the way at most, besides those somebody waits for.
    pub(super) at_once: [usize; 2],
    /// Since when it cannot reach the server.
    pub(super) away_since: Option<u64>,
    pub(super) seen: u64,
}

/// Why there is no token now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    /// When it makes sense to look again.
    pub(super) least: Duration,
    /// How long of it the server asked for.
    pub(super) held: Duration,
}

/// A limit in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) per_minute: f64,
    pub(super) burst: f64,
}

impl Limit {
    fn of(per_minute: f64) -> Self {
        Self {
            per_minute,
            burst: (per_minute * BURST_MINUTES).max(LEAST_BURST),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Sleeping exactly so long must be enough.
fn wait_of(minutes: f64) -> Duration {
    Duration::from_secs_f64((minutes * 60.0).clamp(0.0, 86_400.0)) + Duration::from_micros(1)
}

impl Ledger {
    /// A server nobody has asked yet.
    pub(super) fn new(server: &str, boot: &str, now: u64) -> Self {
        Self {
            version: VERSION,
            server: server.to_owned(),
            boot: boot.to_owned(),
            at: now,
            // As many as fit: they are cut to the burst when they are looked at.
            tokens: UNLIMITED,
            share: UNLIMITED,
            held_until: 0,
            learned: None,
            refused_at: None,
            used: [[0; 4]; SLOTS],
            slot: now / SLOT_MICROS,
            processes: Vec::new(),
        }
    }

    /// The same with nothing to give away: whatever was used before is not known.
    pub(super) fn emptied(mut self) -> Self {
        (self.tokens, self.share) = (0.0, 0.0);
        self
    }

    /// True where it can have been written by us: what is not is not reckoned with.
    pub(super) fn is_sound(&self) -> bool {
        let learned = self.learned.map_or(LEAST_LEARNED, |learned| learned.per_minute);
        [self.tokens, self.share, learned]
            .iter()
            .all(|number| number.is_finite() && *number >= 0.0)
            && learned >= 1.0
            && self.processes.len() <= MOST_PROCESSES
            && self.processes.iter().all(|process| process.per_minute != Some(0))
    }

    /// Takes a token for a request of `process`, or says how long there is none for it.
    pub(super) fn take(&mut self, now: u64, process: Process, urgency: Urgency) -> Result<(), Wait> {
        self.note(process, now);
        self.refill(now);
        let held = Duration::from_micros(self.held_until.saturating_sub(now));
        let Some(limit) = self.limit(now) else {
            if !held.is_zero() {
                return Err(Wait { least: held, held });
            }
            self.count(urgency);
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Ok(());
        };
        let wanted = (1.0 + limit.burst * LEFT_OVER[urgency.rank()]).min(limit.burst);
        let shares = matches!(urgency, Urgency::Prefetch | Urgency::Background);
        let missing = (wanted - self.tokens).max(0.0) / limit.per_minute;
        let missing = if shares {
            missing.max((1.0 - self.share).max(0.0) / (limit.per_minute * SHARE))
        } else {
            missing
        };
        if missing > 0.0 || !held.is_zero() {
            let least = held + wait_of(missing);
            return Err(Wait { least, held });
        }
        self.tokens -= 1.0;
        if shares {
            self.share -= 1.0;
        }
        self.count(urgency);
        Ok(())
    }

    /// The server asked for less, and for a pause of `wanted`.
    pub(super) fn refused(&mut self, now: u64, wanted: Duration) {
        self.refill(now);
        let is_new = now >= self.held_until
            && self
                .refused_at
                .is_none_or(|before| now.saturating_sub(before) >= micros(LESSONS_APART));
        if is_new {
            let before = self.limit(now).map_or(MEASURE, |limit| limit.per_minute);
            let used: u32 = self.used.iter().flatten().sum();
            let per_minute = (LESSON * f64::from(used))
                .max(HARDEST_LESSON * before)
                .min(LESSON * before)
                .max(LEAST_LEARNED);
            self.learned = Some(Learned {
                per_minute,
                since: now,
            });
        }
        self.refused_at = Some(now);
        (self.tokens, self.share) = (0.0, 0.0);
        let hold = micros(wanted.min(LONGEST_HOLD));
        self.held_until = self.held_until.max(now.saturating_add(hold));
    }

    /// Notes how `process` is doing.
    pub(super) fn note(&mut self, mut process: Process, now: u64) {
        process.seen = now;
        self.processes.retain(|other| {
            // A moment in the future belongs to nobody.
            other.pid != process.pid && other.seen <= now && now - other.seen < micros(MEMORY)
        });
        self.processes.truncate(MOST_PROCESSES - 1);
        self.processes.insert(0, process);
    }

    /// What holds for all: the strictest of the paces that ask, and what the server taught. `None` for no limit.
    pub(super) fn limit(&self, now: u64) -> Option<Limit> {
        let own = self
            .processes
            .iter()
            .filter_map(|process| process.per_minute)
            .min()
            .map(f64::from);
        let learned = self.learned(now);
        let strictest = match (own, learned) {
            (Some(own), Some(learned)) => own.min(learned),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some(Limit::of(strictest))
    }

    /// What the server taught, as far as it has not faded.
    pub(super) fn learned(&self, now: u64) -> Option<f64> {
        let learned = self.learned?;
        let steps = now.saturating_sub(learned.since) / micros(FADES_EVERY);
        // 10 a minute reach 6000 in 68 steps.
        let steps = i32::try_from(steps.min(100)).unwrap_or(100);
        let faded = learned.per_minute * FADES_BY.powi(steps);
        let own = self
            .processes
            .iter()
            .filter_map(|process| process.per_minute)
            .min();
        (faded < own.map_or(UNLIMITED, f64::from)).then_some(faded)
    }

    /// How many requests can be sent at once now; `None` for any number.
    pub(super) fn at_hand(&self, now: u64) -> Option<f64> {
        let mut later = self.clone();
        later.refill(now);
        later.limit(now).map(|_| later.tokens)
    }

    /// How long the server wants to be left alone.
    pub(super) fn held(&self, now: u64) -> Duration {
        Duration::from_micros(self.held_until.saturating_sub(now))
    }

    /// How long ago the server asked for less.
    pub(super) fn refused_ago(&self, now: u64) -> Option<Duration> {
        let at = self.refused_at?;
        Some(Duration::from_micros(now.saturating_sub(at)))
    }

    /// Requests of the last minute, by rank of urgency.
    pub(super) fn used(&self, now: u64) -> [u32; 4] {
        let mut later = self.clone();
        later.turn(now);
        let mut used = [0; 4];
        for slot in later.used {
            for (sum, count) in used.iter_mut().zip(slot) {
                *sum += count;
            }
        }
        used
    }

    /// The processes that asked within the last minute.
    pub(super) fn processes(&self, now: u64) -> impl Iterator<Item = &Process> {
        self.processes
            .iter()
            .filter(move |process| now.saturating_sub(process.seen) < micros(MEMORY))
    }

    fn refill(&mut self, now: u64) {
        self.turn(now);
        // Nothing comes in while the server wants to be left alone. A clock that goes back adds nothing.
        let from = self.at.max(self.held_until);
        let minutes = Duration::from_micros(now.saturating_sub(from)).as_secs_f64() / 60.0;
        self.at = now;
        if let Some(limit) = self.limit(now) {
            self.tokens = (self.tokens + limit.per_minute * minutes).min(limit.burst);
            self.share =
                (self.share + limit.per_minute * SHARE * minutes).min((limit.burst * SHARE).max(1.0));
        }
    }

    /// Leaves the slots behind that are over.
    fn turn(&mut self, now: u64) {
        let slot = now / SLOT_MICROS;
        let passed = usize::try_from(slot.saturating_sub(self.slot)).unwrap_or(SLOTS);
        if passed > 0 {
            let passed = passed.min(SLOTS);
            self.used.rotate_right(passed);
            self.used[..passed].fill([0; 4]);
        }
        self.slot = slot;
    }

    fn count(&mut self, urgency: Urgency) {
        let count = &mut self.used[0][urgency.rank()];
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
