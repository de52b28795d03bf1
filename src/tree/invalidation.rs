//! What the kernel must be told to drop, gathered by directory until a thread comes to tell it.
//!
//! Telling the kernel is simple until you consider that:
//! 1. it holds a notification about a name back while anyone looks something up in, or reads, the same directory, for
//!    as long as that takes, and nothing can wake who waits there, not even the end of the process: a mount that is
//!    killed meanwhile stays half alive, and with it everyone who waits for its answers;
//! 2. what comes after such a notification waits behind it, also where the answer would be at hand;
//! 3. changes come faster than they can be told.
//!
//! So the answers to the kernel say here when they must wait ([`Invalidations::wait_in`]), and the names of a
//! directory are told only while nobody waits in it: a notification then never waits for a server. A producer only
//! ever adds to a set, which takes no time and cannot grow beyond the names a directory had.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
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

impl Drops {
    /// True if any of it can be told whoever waits: only names are held back by the kernel.
    const fn concerns_inode(&self) -> bool {
        self.listing || self.attributes
    }
}

/// The set; shared by the tree, which adds, the adaptor, which waits, and the notifying threads, which take.
#[derive(Debug, Default)]
pub struct Invalidations {
    pending: Mutex<Pending>,
    /// There is something to take.
    work: Condvar,
    /// Something was told.
    told: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    drops: HashMap<InodeNo, Queued>,
    /// What can be taken, first come first served. Whatever has drops is here, or busy, or waited in.
    ready: VecDeque<InodeNo>,
    /// Inodes a thread is telling the kernel about; a second thread leaves them alone, so that order is kept.
    busy: HashMap<InodeNo, Busy>,
    /// How many answers about a directory wait for a server.
    waiting: HashMap<InodeNo, usize>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queued {
    drops: Drops,
    /// It is in `ready`, once.
    ready: bool,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    /// Names are being told, so that nobody may begin to wait in the directory.
    names: bool,
    /// Somebody wanted to.
    wanted: bool,
}

impl Pending {
    /// Puts what there is to drop for `ino` in line, unless it is there, or a thread or a reader has to go first.
    fn line_up(&mut self, ino: InodeNo) -> bool {
        if self.closed || self.busy.contains_key(&ino) {
            return false;
        }
        let waited_in = self.waiting.contains_key(&ino);
        let Some(queued) = self.drops.get_mut(&ino) else {
            return false;
        };
        if queued.ready || (waited_in && !queued.drops.concerns_inode()) {
            return false;
        }
        queued.ready = true;
        self.ready.push_back(ino);
        true
    }

    /// Takes what may be told of `ino` now, and leaves the rest.
    fn start(&mut self, ino: InodeNo) -> Option<Drops> {
        let queued = self.drops.get_mut(&ino)?;
        queued.ready = false;
        let drops = if self.waiting.contains_key(&ino) && !queued.drops.names.is_empty() {
            if !queued.drops.concerns_inode() {
                return None;
            }
            let names = std::mem::take(&mut queued.drops.names);
            std::mem::replace(
                &mut queued.drops,
                Drops {
                    names,
                    ..Drops::default()
                },
            )
        } else {
            self.drops.remove(&ino)?.drops
        };
        let names = !drops.names.is_empty();
        self.busy.insert(ino, Busy { names, wanted: false });
        Some(drops)
    }
}

impl Invalidations {
    /// Adds to what must be dropped for `ino`.
    pub fn add(&self, ino: InodeNo, add: impl FnOnce(&mut Drops)) {
        let mut pending = self.pending.lock();
        if pending.closed {
            return;
        }
        add(&mut pending.drops.entry(ino).or_default().drops);
        if pending.line_up(ino) {
            self.work.notify_one();
        }
    }

    /// Waits for work and takes it; `None` once closed. Give it back with [`Invalidations::done`].
    pub fn take(&self) -> Option<(InodeNo, Drops)> {
        let mut pending = self.pending.lock();
        loop {
            if pending.closed {
                return None;
            }
            match pending.ready.pop_front() {
                Some(ino) => {
                    if let Some(drops) = pending.start(ino) {
                        return Some((ino, drops));
                    }
                }
                None => self.work.wait(&mut pending),
            }
        }
    }

    /// Whether the thread that took `ino` may tell its next name. If not, somebody has to wait in that directory, and
    /// the thread leaves what is left to [`Invalidations::done`].
    pub fn goes_on(&self, ino: InodeNo) -> bool {
        let pending = self.pending.lock();
        !pending.closed && pending.busy.get(&ino).is_some_and(|busy| !busy.wanted)
    }

    /// Says that the kernel was told about `ino`, but for these names.
    pub fn done(&self, ino: InodeNo, left: impl IntoIterator<Item = FileName>) {
        let mut pending = self.pending.lock();
        pending.busy.remove(&ino);
        let mut left = left.into_iter().peekable();
        if left.peek().is_some() && !pending.closed {
            pending.drops.entry(ino).or_default().drops.names.extend(left);
        }
        if pending.line_up(ino) {
            self.work.notify_one();
        }
        self.told.notify_all();
    }

    /// Says that an answer about something in the directory `ino` must wait for a server, until the token is dropped.
    ///
    /// `None` while names of that directory are being told: the kernel may have the notification wait for this very
    /// answer, which therefore has to be given at once. The thread that tells stops after the name it is at.
    pub fn wait_in(self: &Arc<Self>, ino: InodeNo) -> Option<Waiting> {
        let mut pending = self.pending.lock();
        if let Some(busy) = pending.busy.get_mut(&ino)
            && busy.names
        {
            busy.wanted = true;
            return None;
        }
        *pending.waiting.entry(ino).or_default() += 1;
        Some(Waiting {
            invalidations: self.clone(),
            ino,
        })
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
            if self.told.wait_until(&mut pending, deadline).timed_out() {
                return false;
            }
        }
    }

    /// Ends all waiting; nothing is told any more.
    pub fn close(&self) {
        let mut pending = self.pending.lock();
        pending.closed = true;
        pending.drops.clear();
        pending.ready.clear();
        self.work.notify_all();
        self.told.notify_all();
    }
}

/// An answer about something in a directory waits for a server; see [`Invalidations::wait_in`].
#[derive(Debug)]
#[must_use = "dropping it says that the answer was given"]
pub struct Waiting {
    invalidations: Arc<Invalidations>,
    ino: InodeNo,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut pending = self.invalidations.pending.lock();
        match pending.waiting.get_mut(&self.ino) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                pending.waiting.remove(&self.ino);
                if pending.line_up(self.ino) {
                    self.invalidations.work.notify_one();
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: InodeNo = InodeNo(7);

    fn name(text: &str) -> FileName {
        FileName::new(text).unwrap()
    }

    fn names(drops: &Drops) -> usize {
        drops.names.len()
    }

    #[test]
    fn work_for_one_directory_is_gathered_into_one_turn() {
        let set = Invalidations::default();
        set.add(DIR, |drops| drops.listing = true);
        set.add(DIR, |drops| drops.attributes = true);
        let (ino, drops) = set.take().unwrap();
        assert_eq!(ino, DIR);
        assert!(drops.listing && drops.attributes);
        set.done(ino, []);
        assert!(set.settle(Duration::ZERO));
    }

    #[test]
    fn a_directory_being_told_is_left_alone_by_the_next_thread() {
        let set = Invalidations::default();
        set.add(DIR, |drops| drops.listing = true);
        let (first, _) = set.take().unwrap();
        set.add(DIR, |drops| drops.listing = true);
        set.add(InodeNo(8), |drops| drops.listing = true);
        assert_eq!(set.take().unwrap().0, InodeNo(8));
        assert!(!set.settle(Duration::ZERO));
        set.done(first, []);
        assert_eq!(set.take().unwrap().0, DIR);
    }

    #[test]
    fn names_of_a_directory_wait_for_whoever_waits_in_it_and_nothing_else_does() {
        let set = Arc::new(Invalidations::default());
        let (one, two) = (set.wait_in(DIR).unwrap(), set.wait_in(DIR).unwrap());
        set.add(DIR, |drops| {
            drops.listing = true;
            drops.names.insert(name("a"));
        });
        set.add(InodeNo(8), |drops| {
            drops.names.insert(name("b"));
        });
        let (ino, drops) = set.take().unwrap();
        assert_eq!((ino, drops.listing, names(&drops)), (DIR, true, 0));
        set.done(ino, []);
        let (other, drops) = set.take().unwrap();
        assert_eq!((other, names(&drops)), (InodeNo(8), 1));
        set.done(other, []);
        // A second change meanwhile joins the first, and its listing is told again.
        set.add(DIR, |drops| {
            drops.listing = true;
            drops.names.insert(name("c"));
        });
        let (ino, drops) = set.take().unwrap();
        assert_eq!((ino, drops.listing, names(&drops)), (DIR, true, 0));
        set.done(ino, []);
        drop(one);
        assert!(set.pending.lock().ready.is_empty());
        assert!(!set.settle(Duration::ZERO), "two names are still to be told");
        drop(two);
        let (ino, drops) = set.take().unwrap();
        assert_eq!((ino, names(&drops)), (DIR, 2));
        set.done(ino, []);
        assert!(set.settle(Duration::ZERO));
    }

    #[test]
    fn nobody_begins_to_wait_where_names_are_being_told_and_the_rest_is_told_later() {
        let set = Arc::new(Invalidations::default());
        set.add(DIR, |drops| drops.names.extend([name("a"), name("b")]));
        let (ino, mut drops) = set.take().unwrap();
        assert!(set.goes_on(ino));
        assert!(
            set.wait_in(DIR).is_none(),
            "the kernel may hold the notification for it"
        );
        assert!(!set.goes_on(ino));
        let told = drops.names.iter().next().unwrap().clone();
        drops.names.remove(&told);
        set.done(ino, drops.names);
        let waiting = set.wait_in(DIR).unwrap();
        drop(waiting);
        let (ino, drops) = set.take().unwrap();
        assert_eq!((ino, names(&drops)), (DIR, 1));
        assert!(!drops.names.contains(&told));
    }

    #[test]
    fn what_concerns_the_inode_alone_lets_others_wait() {
        let set = Arc::new(Invalidations::default());
        set.add(DIR, |drops| drops.listing = true);
        let (ino, _) = set.take().unwrap();
        assert!(set.wait_in(DIR).is_some());
        set.done(ino, []);
    }

    #[test]
    fn a_set_that_is_never_told_holds_each_name_once() {
        let set = Arc::new(Invalidations::default());
        let _waiting = set.wait_in(DIR).unwrap();
        for round in 0..100 {
            set.add(DIR, |drops| {
                drops.names.extend([name("a"), name("b"), name("c")]);
                drops.attributes = round % 2 == 0;
            });
        }
        let pending = set.pending.lock();
        assert_eq!(pending.ready.len(), 1);
        assert_eq!(names(&pending.drops[&DIR].drops), 3);
    }

    #[test]
    fn closing_ends_the_wait_and_forgets_what_was_left() {
        let set = Invalidations::default();
        set.add(DIR, |drops| drops.listing = true);
        set.close();
        assert!(set.take().is_none());
        assert!(set.settle(Duration::ZERO));
        assert!(set.pending.lock().drops.is_empty());
    }
}
