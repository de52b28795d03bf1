//! When the kernel's copy of a directory listing lapses.
//!
//! The kernel keeps the listing of a directory without a limit of its own: a time to live covers names and
//! attributes only. So each directory it has read is noted here with the moment its listing gets too old.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::inodes::{Directory, InodeNo};
use crate::clock::Moment;

/// A directory the kernel has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapse {
    /// When the listing it was given gets too old.
    pub at: Moment,
    /// Its inode.
    pub ino: InodeNo,
    /// What it shows.
    pub directory: Directory,
}

/// All directories the kernel has read, by when their listings lapse.
#[derive(Debug, Default)]
pub struct Lapses {
    state: Mutex<State>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    order: BTreeSet<(Moment, InodeNo)>,
    by_ino: HashMap<InodeNo, (Moment, Directory)>,
}

impl State {
    /// A walk over a whole datasource leaves a table of megabytes.
    fn shrink(&mut self) {
        if self.by_ino.is_empty() {
            self.by_ino = HashMap::new();
        }
    }
}

impl Lapses {
    /// Notes that the kernel was given a listing; the earliest moment of a directory counts.
    pub fn note(&self, lapse: Lapse) {
        let mut state = self.state.lock();
        match state.by_ino.get(&lapse.ino).copied() {
            Some((at, _)) if at <= lapse.at => return,
            Some((at, _)) => {
                state.order.remove(&(at, lapse.ino));
            }
            None => {}
        }
        let first = state.order.first().copied();
        state.order.insert((lapse.at, lapse.ino));
        state.by_ino.insert(lapse.ino, (lapse.at, lapse.directory));
        if first.is_none_or(|(at, _)| lapse.at < at) {
            self.sooner.notify_one();
        }
    }

    /// The kernel has let go of a directory, and of its listing with it.
    pub fn forget(&self, ino: InodeNo) {
        let mut state = self.state.lock();
        if let Some((at, _)) = state.by_ino.remove(&ino) {
            state.order.remove(&(at, ino));
        }
        state.shrink();
    }

    /// Takes everything that has lapsed by `now`.
    pub fn due(&self, now: Moment) -> Vec<Lapse> {
        let mut state = self.state.lock();
        let mut due = Vec::new();
        while let Some(&(at, ino)) = state.order.first()
            && at <= now
        {
            state.order.pop_first();
            if let Some((at, directory)) = state.by_ino.remove(&ino) {
                due.push(Lapse { at, ino, directory });
            }
        }
        state.shrink();
        due
    }

    /// The next moment anything lapses.
    pub fn next(&self) -> Option<Moment> {
        self.state.lock().order.first().map(|&(at, _)| at)
    }

    /// Waits until something lapses sooner than what was known.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }
}
