//! What a mount did and does with documents, as its root tells: for `status`, from memory.
//!
//! It is told as one JSON object in one attribute, so that a number more is one field more here, and one line in `status`.
//! Whoever reads it takes what is missing for nothing, and passes over what it does not know: the mount may be of another
//! version.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::neighbours::Tally;
use crate::content::ReaderStats;
use crate::model::Timestamp;
use crate::tree::inodes::Inode;

/// The attribute with the [`Activity`].
pub const ACTIVITY: &str = "user.projectwise.activity";

/// What is told. Counts begin with the mount; lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// Reads answered from what was here.
    pub reads_at_once: u64,
    /// Reads that had to wait, whatever became of them.
    pub reads_waited: u64,
    /// Bytes of all reads that were answered.
    pub bytes_read: u64,
    /// Bytes that came from the server.
    pub bytes_fetched: u64,
    /// Bytes a second that come from the server now.
    pub rate: u64,
    /// Bytes that have come and are not on the disk yet.
    pub buffered: u64,
    /// Downloads begun.
    pub downloads: u64,
    /// Downloads under way.
    pub in_flight: u64,
    /// Reads that bypassed the cache, because the disk did not take it.
    pub uncached: u64,
    /// Reads that wait now.
    pub waiting: u64,
    /// The one that has waited longest.
    pub longest_wait: Option<LongestWait>,
    /// Reads refused to programs that never download, by program.
    pub refused: BTreeMap<String, u64>,
    /// Documents fetched before anybody asked for them.
    pub fetched_ahead: u64,
    /// Their bytes.
    pub bytes_ahead: u64,
    /// Those of them that were then read.
    pub used_ahead: u64,
}

/// A document somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LongestWait {
    /// Its name, where that is known.
    pub name: String,
    /// Its GUID.
    pub guid: String,
    /// Since when, as RFC 3339 has it, in UTC.
    pub since: String,
    /// For so many seconds.
    pub seconds: u64,
}

impl Activity {
    /// Bytes that were read beyond those that were fetched: so many need not be fetched a second time.
    pub const fn bytes_saved(&self) -> u64 {
        self.bytes_read.saturating_sub(self.bytes_fetched)
    }

    /// How many of all reads were answered at once, in percent; `None` before the first.
    pub fn hit_percent(&self) -> Option<u64> {
        let all = self.reads_at_once.saturating_add(self.reads_waited);
        self.reads_at_once.saturating_mul(100).checked_div(all)
    }
}

/// What the file system counts itself.
#[derive(Debug, Default)]
pub(super) struct Meter {
    at_once: AtomicU64,
    waited: AtomicU64,
    bytes: AtomicU64,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    /// By number, so that the first has waited longest.
    waiting: BTreeMap<u64, Waiter>,
}

/// A read that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) inode: Inode,
    since: Instant,
    since_at: Timestamp,
}

/// Ends a wait when it is dropped.
pub(super) struct Waiting<'a> {
    meter: &'a Meter,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.meter.waits.lock().waiting.remove(&self.number);
    }
}

impl Meter {
    /// A read need not wait.
    pub(super) fn at_once(&self) {
        self.at_once.fetch_add(1, Ordering::Relaxed);
    }

    /// A read was answered with so many bytes.
    pub(super) fn answered(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A read must wait, until what is returned is dropped.
    pub(super) fn waits(&self, inode: Inode) -> Waiting<'_> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        let mut waits = self.waits.lock();
        let number = waits.next;
        waits.next += 1;
        let waiter = Waiter {
            inode,
            since: Instant::now(),
            since_at: Timestamp::now(),
        };
        waits.waiting.insert(number, waiter);
        Waiting { meter: self, number }
    }

    /// The read that has waited longest.
    pub(super) fn longest(&self) -> Option<Waiter> {
        self.waits.lock().waiting.values().next().copied()
    }

    /// What there is to tell; who waits longest is named by whoever knows names.
    pub(super) fn activity(
        &self,
        reader: &ReaderStats,
        ahead: Tally,
        refused: BTreeMap<String, u64>,
    ) -> Activity {
        Activity {
            reads_at_once: self.at_once.load(Ordering::Relaxed),
            reads_waited: self.waited.load(Ordering::Relaxed),
            bytes_read: self.bytes.load(Ordering::Relaxed),
            bytes_fetched: reader.bytes_fetched,
            rate: reader.rate,
            buffered: reader.buffered,
            downloads: reader.downloads,
            in_flight: reader.in_flight,
            uncached: reader.uncached,
            waiting: self.waits.lock().waiting.len() as u64,
            longest_wait: None,
            refused,
            fetched_ahead: ahead.fetched,
            bytes_ahead: ahead.bytes,
            used_ahead: ahead.used,
        }
    }
}

impl Waiter {
    /// Told with the document's name and GUID.
    pub(super) fn told(&self, name: String) -> LongestWait {
        let waited: Duration = self.since.elapsed();
        LongestWait {
            name,
            guid: self
                .inode
                .object()
                .map(|object| object.guid().to_string())
                .unwrap_or_default(),
            since: self.since_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            seconds: waited.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_by_a_program_of_another_version() {
        let told = Activity {
            reads_at_once: 3,
            reads_waited: 1,
            bytes_fetched: 10,
            longest_wait: Some(LongestWait::default()),
            refused: BTreeMap::from([("tumblerd".to_owned(), 2)]),
            ..Activity::default()
        };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Activity>(&text).unwrap(), told);
        assert_eq!(told.hit_percent(), Some(75));
        assert_eq!(told.bytes_saved(), 0, "more was fetched than read");
        assert_eq!(Activity::default().hit_percent(), None);
        let later: Activity = serde_json::from_str(r#"{"waiting": 2, "of_a_later_version": [1]}"#).unwrap();
        assert_eq!((later.waiting, later.reads_at_once), (2, 0));
    }

    #[test]
    fn the_first_of_those_who_wait_has_waited_longest_and_all_of_them_leave() {
        let meter = Meter::default();
        let inode = Inode::root();
        let first = meter.waits(inode);
        let second = meter.waits(inode);
        let now = |meter: &Meter| meter.activity(&ReaderStats::default(), Tally::default(), BTreeMap::new());
        assert_eq!(now(&meter).waiting, 2);
        let since = meter.longest().unwrap().since;
        drop(first);
        assert!(meter.longest().unwrap().since >= since);
        drop(second);
        assert!(meter.longest().is_none());
        assert_eq!((now(&meter).waiting, now(&meter).reads_waited), (0, 2));
    }
}
