//! What the kernel must be told to drop, gathered by directory until a thread comes to tell it.
//!
//! The kernel may make a notification wait for a lookup that is in flight in the same directory, so nothing that
//! answers the kernel may ever wait for one: producers only ever add to this set, which takes no time and cannot
//! fill up beyond the names a directory has.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::inodes::InodeNo;
use crate::names::FileName;

/// Everything to drop for one inode, and one turn's work of a notifying thread.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Names in this directory whose meaning changed.
    pub names: HashSet<FileName>,
    /// The directory's own attributes and cached listing.
    pub listing: bool,
    /// The inode's attributes alone; its pages stay.
    pub attributes: bool,
}

/// The set; shared by the tree, which adds, and the notifying threads, which take.
#[derive(Debug, Default)]
pub struct Invalidations {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    drops: HashMap<InodeNo, Drops>,
    /// Inodes a thread is telling the kernel about; a second thread leaves them alone, so that order is kept.
    busy: HashSet<InodeNo>,
    closed: bool,
}

impl Invalidations {
    /// Adds to what must be dropped for `ino`.
    pub fn add(&self, ino: InodeNo, add: impl FnOnce(&mut Drops)) {
        let mut pending = self.pending.lock();
        if pending.closed {
            return;
        }
        add(pending.drops.entry(ino).or_default());
        self.changed.notify_all();
    }

    /// Waits for work and takes it; `None` once closed. Give it back with [`Invalidations::done`].
    pub fn take(&self) -> Option<(InodeNo, Drops)> {
        let mut pending = self.pending.lock();
        loop {
            if pending.closed {
                return None;
            }
            let next = pending
                .drops
                .keys()
                .find(|ino| !pending.busy.contains(ino))
                .copied();
            if let Some(ino) = next {
                let drops = pending.drops.remove(&ino).unwrap_or_default();
                pending.busy.insert(ino);
                return Some((ino, drops));
            }
            self.changed.wait(&mut pending);
        }
    }

    /// Says that the kernel was told about `ino`.
    pub fn done(&self, ino: InodeNo) {
        self.pending.lock().busy.remove(&ino);
        self.changed.notify_all();
    }

    /// Waits until everything added so far was told, at most `limit`; false if it was not.
    pub fn settle(&self, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        let mut pending = self.pending.lock();
        loop {
            let told = pending.drops.is_empty() && pending.busy.is_empty();
            if told || pending.closed {
                return true;
            }
            if self.changed.wait_until(&mut pending, deadline).timed_out() {
                return false;
            }
        }
    }

    /// Ends all waiting; nothing is told any more.
    pub fn close(&self) {
        self.pending.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_for_one_directory_is_gathered_into_one_turn() {
        let set = Invalidations::default();
        set.add(InodeNo(7), |drops| drops.listing = true);
        set.add(InodeNo(7), |drops| drops.attributes = true);
        let (ino, drops) = set.take().unwrap();
        assert_eq!(ino, InodeNo(7));
        assert!(drops.listing && drops.attributes);
        set.done(ino);
        assert!(set.settle(Duration::ZERO));
    }

    #[test]
    fn a_directory_being_told_is_left_alone_by_the_next_thread() {
        let set = Invalidations::default();
        set.add(InodeNo(7), |drops| drops.listing = true);
        let (first, _) = set.take().unwrap();
        set.add(InodeNo(7), |drops| drops.listing = true);
        set.add(InodeNo(8), |drops| drops.listing = true);
        assert_eq!(set.take().unwrap().0, InodeNo(8));
        assert!(!set.settle(Duration::ZERO));
        set.done(first);
        assert_eq!(set.take().unwrap().0, InodeNo(7));
    }

    #[test]
    fn closing_ends_the_wait() {
        let set = Invalidations::default();
        set.close();
        assert!(set.take().is_none());
    }
}
