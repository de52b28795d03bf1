//! Lists ahead of a walker what it is about to read.
//!
//! Costs a person who looks at one folder nothing: [`super::walk`] says who is a walker.

use std::time::Duration;

use tokio::time::Instant;

use super::walk::{Listings, Order, Stand};
use super::{Inner, Tree};
use crate::model::{DirId, Entry, FolderId, ObjectId};
use crate::remote::Urgency;

/// As many rows are looked at to find the next folders; a folder of a hundred thousand documents is not searched each time.
const MOST_ROWS: usize = 20_000;

/// A directory that is being read from its beginning; dropped when it was.
pub struct Reading {
    tree: Tree,
    walk: u64,
}

impl Tree {
    /// Notes that `dir`, which is in `parent`, is being read from its beginning: by `readdir`, not by a name in it.
    pub fn reading(&self, parent: DirId, dir: DirId) -> Reading {
        let walk = {
            let mut walks = self.0.walks.lock();
            walks.begin(parent, dir, &*self.0, Instant::now())
        };
        self.list_ahead(walk);
        Reading {
            tree: self.clone(),
            walk,
        }
    }

    /// Lists what the walker reads next, as far as there is room.
    fn list_ahead(&self, walk: u64) {
        let Some(stand) = self.0.walks.lock().stand(walk, Instant::now()) else {
            return;
        };
        for dir in self.0.upcoming(&stand) {
            let needs_none = self.fresh(dir).is_some() || self.0.flights.is_under_way(dir);
            if needs_none || self.denial(dir).is_some() || self.recent_failure(dir).is_some() {
                continue;
            }
            if !self.0.walks.lock().start(walk, dir) {
                continue;
            }
            let tree = self.clone();
            self.0.runtime.spawn(async move {
                let most = tree.metadata_ttl().unwrap_or(Duration::MAX);
                // Who reads it is told what failed.
                let _ = tree.freshen(dir, most, Urgency::Prefetch).await;
                tree.0.walks.lock().landed(walk);
                tree.list_ahead(walk);
            });
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.tree.0.walks.lock().end(self.walk, Instant::now());
        self.tree.list_ahead(self.walk);
    }
}

/// The directories a walker reads next, in its order.
struct Upcoming<'a> {
    inner: &'a Inner,
    found: Vec<DirId>,
    /// As many as are wanted.
    window: usize,
    rows: usize,
}

impl Inner {
    fn upcoming(&self, stand: &Stand) -> Vec<DirId> {
        let mut upcoming = Upcoming {
            inner: self,
            found: Vec::with_capacity(stand.window),
            window: stand.window,
            rows: MOST_ROWS,
        };
        match stand.order {
            Order::Depth => upcoming.down(&stand.line),
            Order::Level => upcoming.along(&stand.line),
        }
        upcoming.found
    }
}

impl Upcoming<'_> {
    /// What is below the first of `line`, then its later neighbours with what is below them, and so on upwards.
    fn down(&mut self, line: &[DirId]) {
        let Some(&here) = line.first() else { return };
        self.below(here);
        for pair in line.windows(2) {
            for folder in self.folders(pair[1], Some(pair[0])) {
                if !self.take(folder) {
                    return;
                }
                self.below(folder);
            }
        }
    }

    /// What is as deep as the first of `line` and comes after it: its later neighbours, then what is in the later neighbours
    /// of its parent, and so on upwards.
    fn along(&mut self, line: &[DirId]) {
        for (depth, pair) in line.windows(2).enumerate() {
            for neighbour in self.folders(pair[1], Some(pair[0])) {
                self.at_depth(neighbour, depth);
            }
        }
    }

    /// What is known of what lies so many levels below `dir`.
    fn at_depth(&mut self, dir: DirId, depth: usize) {
        if depth == 0 {
            self.take(dir);
            return;
        }
        for folder in self.folders(dir, None) {
            self.at_depth(folder, depth - 1);
        }
    }

    /// Everything below `dir` that is known; each step down takes one of the window, so that it ends.
    fn below(&mut self, dir: DirId) {
        for folder in self.folders(dir, None) {
            if !self.take(folder) {
                return;
            }
            self.below(folder);
        }
    }

    fn take(&mut self, dir: DirId) -> bool {
        let room = self.found.len() < self.window;
        if room {
            self.found.push(dir);
        }
        room
    }

    /// The folders in `dir` after `after`, at most as many as there is room for.
    fn folders(&mut self, dir: DirId, after: Option<DirId>) -> Vec<DirId> {
        let Some(stored) = self.inner.store.get(dir) else {
            return Vec::new();
        };
        let listing = &stored.listing;
        let slot = match after {
            None => 0,
            Some(DirId::Root) => return Vec::new(),
            Some(DirId::Folder(folder)) => match listing.find(ObjectId::Folder(folder)) {
                Some(row) => row.slot,
                None => return Vec::new(),
            },
        };
        let room = self.window.saturating_sub(self.found.len());
        let rows = listing.rows_after(slot);
        let rows = &rows[..rows.len().min(self.rows)];
        self.rows -= rows.len();
        rows.iter()
            .filter_map(|row| folder(&row.entry))
            .take(room)
            .map(DirId::Folder)
            .collect()
    }
}

impl Listings for Inner {
    fn follows(&self, parent: DirId, earlier: DirId, later: DirId) -> bool {
        let (DirId::Folder(earlier), DirId::Folder(later)) = (earlier, later) else {
            return false;
        };
        let Some(stored) = self.store.get(parent) else {
            return false;
        };
        let Some(row) = stored.listing.find(ObjectId::Folder(earlier)) else {
            return false;
        };
        let rows = stored.listing.rows_after(row.slot).iter();
        rows.take(MOST_ROWS).find_map(|row| folder(&row.entry)) == Some(later)
    }

    fn first_folder(&self, dir: DirId) -> Option<DirId> {
        let stored = self.store.get(dir)?;
        let rows = stored.listing.rows().iter();
        rows.take(MOST_ROWS)
            .find_map(|row| folder(&row.entry))
            .map(DirId::Folder)
    }
}

fn folder(entry: &Entry) -> Option<FolderId> {
    match entry {
        Entry::Folder(folder) => Some(folder.id),
        Entry::Document(_) => None,
    }
}
