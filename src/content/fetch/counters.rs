//! What is counted of all that is fetched, and who waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::content::ContentKey;
use crate::sync::Mutex;

/// The seconds a rate is taken over: short enough to follow a line, long enough not to flicker.
const SECONDS: usize = 5;

/// Counts across all fetches of a reader.
#[derive(Debug, Default)]
pub(in crate::content) struct Counters {
    /// Fetches begun: of whole documents, and of what somebody reads of one.
    pub(in crate::content) started: AtomicU64,
    /// Requests for bytes.
    pub(in crate::content) requests: AtomicU64,
    /// Bytes that came.
    bytes: AtomicU64,
    /// Requests that bytes are awaited from.
    in_flight: AtomicU64,
    meter: Mutex<Meter>,
    waits: Mutex<Waits>,
}

/// Bytes of the last seconds.
#[derive(Debug, Default)]
struct Meter {
    since: Option<Instant>,
    /// By second, round and round, with the second each belongs to.
    buckets: [(u64, u64); SECONDS],
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    /// In the order they came.
    waiting: BTreeMap<u64, (ContentKey, Instant)>,
}

impl Counters {
    /// Notes bytes that came.
    pub(in crate::content) fn came(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.meter.lock().add(Instant::now(), bytes as u64);
    }

    /// Bytes that came.
    pub(in crate::content) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes a second, lately.
    pub(in crate::content) fn rate(&self) -> u64 {
        self.meter.lock().rate(Instant::now())
    }

    /// Requests that bytes are awaited from.
    pub(in crate::content) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request, or what stands for it, for as long as the result lives.
    pub(in crate::content) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Counts a read as waiting for as long as the result lives.
    pub(in crate::content) fn wait(&self, key: &ContentKey) -> Waiting<'_> {
        let mut waits = self.waits.lock();
        let number = waits.next;
        waits.next += 1;
        waits.waiting.insert(number, (key.clone(), Instant::now()));
        Waiting {
            counters: self,
            number,
        }
    }

    /// How many reads wait, and which content the longest of them waits for, and for how long.
    pub(in crate::content) fn waiting(&self) -> (u64, Option<(ContentKey, Duration)>) {
        let waits = self.waits.lock();
        let longest = waits.waiting.first_key_value();
        let longest = longest.map(|(_, (key, since))| (key.clone(), since.elapsed()));
        (waits.waiting.len() as u64, longest)
    }
}

/// See [`Counters::begin`].
#[derive(Debug)]
pub(in crate::content) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See [`Counters::wait`].
#[derive(Debug)]
pub(in crate::content) struct Waiting<'a> {
    counters: &'a Counters,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counters.waits.lock().waiting.remove(&self.number);
    }
}

impl Meter {
    fn second(&mut self, now: Instant) -> u64 {
        now.duration_since(*self.since.get_or_insert(now)).as_secs()
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        let second = self.second(now);
        let bucket = &mut self.buckets[place(second)];
        if bucket.0 != second {
            *bucket = (second, 0);
        }
        bucket.1 += bytes;
    }

    fn rate(&mut self, now: Instant) -> u64 {
        let second = self.second(now);
        let recent = |&&(at, _): &&(u64, u64)| second - at.min(second) < SECONDS as u64;
        let bytes: u64 = self.buckets.iter().filter(recent).map(|(_, bytes)| bytes).sum();
        bytes / (second + 1).min(SECONDS as u64)
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentTag, DocumentId, Guid};

    fn key(revision: u32) -> ContentKey {
        ContentKey {
            server: "s".into(),
            account: "a".into(),
            document: DocumentId(Guid::from_bytes([1; 16])),
            tag: ContentTag {
                size: None,
                stamp: None,
                revision,
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_the_last_seconds() {
        let counters = Counters::default();
        assert_eq!(counters.rate(), 0);
        for _ in 0..10 {
            counters.came(1000);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((counters.bytes(), counters.rate()), (10_000, 800));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(counters.rate(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longest_is_known_by_name() {
        let counters = Counters::default();
        let first = counters.wait(&key(1));
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = counters.wait(&key(2));
        assert_eq!(counters.waiting(), (2, Some((key(1), Duration::from_secs(3)))));
        drop(first);
        assert_eq!(counters.waiting(), (1, Some((key(2), Duration::ZERO))));
        drop(second);
        assert_eq!(counters.waiting(), (0, None));
        let flying = counters.begin();
        assert_eq!(counters.in_flight(), 1);
        drop(flying);
        assert_eq!(counters.in_flight(), 0);
    }
}
