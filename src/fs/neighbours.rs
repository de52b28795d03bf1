//! The documents somebody will read next: those after the ones that were just read to their end, in the same order.
//!
//! Decides only; [`super::ahead`] does. Deciding is simple until you consider that:
//! 1. a program that looks at the head of each document reads all of them, and needs none;
//! 2. one that copies with sixteen threads finishes them in any order, and `find -exec` has a process for each, so a reader
//!    is known by the folder it goes through and not by its number;
//! 3. `find` goes in the order the directory has, a shell goes by name, and `cp -r` by inode number;
//! 4. whoever reads three documents may not want a fourth.
//!
//! Three documents of a folder that were read to their end, each near the one before, are a run: 1 and 2. It is looked for
//! in each of these orders: 3. What was fetched and not read yet is bounded, by two at first, and by more only as it is read: 4.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::model::{DirId, DocumentId};

/// So many documents make a run.
const STEPS: u32 = 3;

/// How far from the foremost document the next one may be: as many readers as one program commonly has, or as many
/// documents as it may leave out.
const NEAR: usize = 16;

/// How many documents may be fetched and not read yet: at first, and at most.
const FIRST_WINDOW: usize = 2;
const LAST_WINDOW: usize = 64;

/// The largest document that is fetched ahead, in bytes: larger ones are worth waiting for, and not worth guessing.
pub(super) const LARGEST: u64 = 8 << 20;

/// Bytes of all folders that may be on their way at once.
const MOST_UNDER_WAY: u64 = 16 << 20;

/// Bytes of one folder that may be fetched and not read yet.
const MOST_UNREAD: u64 = 64 << 20;

/// How much of a document's beginning the kernel may have had before: programs look at heads.
const HEAD: u64 = 256 << 10;

/// How many documents are followed while they are read, and how many folders.
const MOST_READ: usize = 512;
const MOST_RUNS: usize = 32;

/// How many documents of a run are remembered.
const TRAIL: usize = 256;

/// In which order a reader goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As the directory is read.
    Slot,
    /// As names sort, byte by byte.
    Name,
    /// As inode numbers do: coreutils read that way what they read all of, which is fast on disks.
    Inode,
}

const ORDERS: [Order; 3] = [Order::Slot, Order::Name, Order::Inode];

/// A document that could be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) document: DocumentId,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

/// What a run needs to know of a listing.
pub(super) trait Shelf {
    /// How many documents are between two of them, or some number that is far; `None` where the second does not come after
    /// the first.
    fn between(&self, order: Order, first: DocumentId, second: DocumentId) -> Option<usize>;
    /// The next `count` documents after this one.
    fn after(&self, order: Order, document: DocumentId, count: usize) -> Vec<Candidate>;
}

/// What became of a document that was to be fetched ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    /// It was fetched.
    Fetched,
    /// There was nothing to fetch: it is here, or not to be had.
    Needless,
    /// It failed, or the cache is full.
    Failed,
}

/// What was fetched ahead since the mount began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Documents fetched.
    pub(super) fetched: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Those that were then read to their end.
    pub(super) used: u64,
}

/// How far documents were read that are being read.
#[derive(Debug, Default)]
pub(super) struct Ends {
    read: HashMap<DocumentId, Progress>,
    order: VecDeque<DocumentId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    bytes: u64,
    /// Its last byte was among them.
    end: bool,
}

impl Ends {
    /// `bytes` at `offset` of a document of `length` bytes were read; true if it is all read by that.
    ///
    /// The kernel asks for a byte once, in pieces that may come in any order, so that they need only be counted.
    pub(super) fn note(&mut self, document: DocumentId, offset: u64, bytes: u64, length: u64) -> bool {
        let before = self.read.get(&document).copied();
        let mut progress = before.unwrap_or_default();
        progress.bytes = progress.bytes.saturating_add(bytes);
        progress.end |= offset.saturating_add(bytes) >= length;
        let head = HEAD.min(length / 2);
        if progress.end && progress.bytes.saturating_add(head) >= length {
            self.read.remove(&document);
            return true;
        }
        self.read.insert(document, progress);
        if before.is_none() {
            self.order.push_back(document);
        }
        if self.order.len() > MOST_READ
            && let Some(oldest) = self.order.pop_front()
        {
            self.read.remove(&oldest);
        }
        false
    }
}

/// The runs through all folders.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// The one that moved last is the last.
    runs: Vec<(DirId, Run)>,
    under_way: u64,
    tally: Tally,
}

#[derive(Debug)]
struct Run {
    /// How it goes in each of [`ORDERS`].
    ways: [Way; 3],
    /// Read to their end lately, or not to be fetched.
    done: Trail,
    /// Fetched, or on their way, and not read yet; with their lengths.
    ahead: HashMap<DocumentId, u64>,
    window: usize,
    /// How many were read since the window grew.
    used: usize,
}

/// A run as it is in one order.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Where it began: whoever goes the other way comes before it each time.
    first: DocumentId,
    /// The foremost.
    front: DocumentId,
    steps: u32,
}

impl Way {
    const fn new(first: DocumentId) -> Self {
        Self {
            first,
            front: first,
            steps: 1,
        }
    }
}

impl Run {
    fn new(first: DocumentId) -> Self {
        let way = Way::new(first);
        let mut done = Trail::default();
        done.add(first);
        Self {
            ways: [way; 3],
            done,
            ahead: HashMap::new(),
            window: FIRST_WINDOW,
            used: 0,
        }
    }

    /// The order it goes in, and where it is; `None` where it is no run yet.
    fn way(&self) -> Option<(Order, Way)> {
        let ways = ORDERS.into_iter().zip(self.ways);
        // The first of equals: the directory's own.
        ways.rev()
            .max_by_key(|(_, way)| way.steps)
            .filter(|(_, way)| way.steps >= STEPS)
    }

    fn step(&mut self, document: DocumentId, listed: &dyn Shelf) {
        if self.ahead.remove(&document).is_some() {
            self.used += 1;
            if self.used * 2 >= self.window {
                self.window = (self.window * 2).min(LAST_WINDOW);
                self.used = 0;
            }
        }
        if self.done.has(document) {
            // Read once more: whoever does that is not on the way anywhere.
            return;
        }
        self.done.add(document);
        let mut is_run = false;
        for (order, way) in ORDERS.into_iter().zip(&mut self.ways) {
            if is_run {
                // The others are dearer, and one order is enough.
                *way = Way::new(document);
                continue;
            }
            let near = |between: Option<usize>| between.is_some_and(|between| between < NEAR);
            if near(listed.between(order, way.front, document)) {
                way.steps = way.steps.saturating_add(1);
                way.front = document;
            } else if near(listed.between(order, document, way.front))
                && listed.between(order, way.first, document).is_some()
            {
                // One of many readers came later than those after it.
                way.steps = way.steps.saturating_add(1);
            } else {
                *way = Way::new(document);
            }
            is_run = way.steps >= STEPS;
        }
        self.give_up_on_passed(listed);
    }

    /// Forgets what the reader has passed by, and fetches less from now on.
    fn give_up_on_passed(&mut self, listed: &dyn Shelf) {
        let Some((order, way)) = self.way() else {
            // Another one, elsewhere in the folder: what was fetched for the last is left to whoever wants it.
            self.ahead.clear();
            self.window = FIRST_WINDOW;
            return;
        };
        let before = self.ahead.len();
        self.ahead.retain(|document, _| {
            listed
                .between(order, *document, way.front)
                .is_none_or(|between| between < NEAR)
        });
        if self.ahead.len() < before {
            self.window = (self.window / 2).max(FIRST_WINDOW);
            self.used = 0;
        }
    }

    fn unread(&self) -> u64 {
        self.ahead.values().sum()
    }
}

impl Neighbours {
    /// A document of `dir` was read to its end; true if that is part of a run.
    pub(super) fn finished(&mut self, dir: DirId, document: DocumentId, listed: &dyn Shelf) -> bool {
        let run = match self.runs.iter().position(|(of, _)| *of == dir) {
            Some(at) => {
                let mut moved = self.runs.remove(at);
                self.tally.used += u64::from(moved.1.ahead.contains_key(&document));
                moved.1.step(document, listed);
                moved
            }
            None => (dir, Run::new(document)),
        };
        let is_run = run.1.way().is_some();
        if self.runs.len() >= MOST_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(run);
        is_run
    }

    /// The next document to fetch, which [`Neighbours::landed`] must be told of; `None` where enough is.
    pub(super) fn next(&mut self, dir: DirId, listed: &dyn Shelf) -> Option<Candidate> {
        let under_way = self.under_way;
        let run = self.run(dir)?;
        let (order, way) = run.way()?;
        let unread = run.unread();
        let is_new = |candidate: &Candidate| {
            !run.ahead.contains_key(&candidate.document) && !run.done.has(candidate.document)
        };
        // Past those that other readers are at; not much further, so that a folder that is all here is not looked through at
        // once.
        let next = listed
            .after(order, way.front, run.window + NEAR)
            .into_iter()
            .find(is_new)?;
        let fits = run.ahead.len() < run.window
            && unread + next.bytes <= MOST_UNREAD
            && under_way + next.bytes <= MOST_UNDER_WAY;
        if next.bytes > LARGEST || next.bytes == 0 {
            run.done.add(next.document);
            return self.next(dir, listed);
        }
        if !fits {
            return None;
        }
        run.ahead.insert(next.document, next.bytes);
        self.under_way += next.bytes;
        Some(next)
    }

    /// What became of it.
    pub(super) fn landed(&mut self, dir: DirId, candidate: Candidate, landed: Landed) {
        self.under_way = self.under_way.saturating_sub(candidate.bytes);
        if landed == Landed::Fetched {
            self.tally.fetched += 1;
            self.tally.bytes += candidate.bytes;
        }
        let Some(run) = self.run(dir) else { return };
        if landed != Landed::Fetched && run.ahead.remove(&candidate.document).is_some() {
            run.done.add(candidate.document);
        }
        if landed == Landed::Failed {
            // Whoever reads on is told why; nothing more is tried before that works.
            self.stop(dir);
        }
    }

    /// Begins anew in this folder: whoever reads it may have nothing fetched, or nothing can be.
    pub(super) fn stop(&mut self, dir: DirId) {
        self.runs.retain(|(of, _)| *of != dir);
    }

    /// What was fetched ahead.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    fn run(&mut self, dir: DirId) -> Option<&mut Run> {
        self.runs
            .iter_mut()
            .find(|(of, _)| *of == dir)
            .map(|(_, run)| run)
    }
}

/// The last documents of a run.
#[derive(Debug, Default)]
struct Trail {
    known: HashSet<DocumentId>,
    order: VecDeque<DocumentId>,
}

impl Trail {
    fn has(&self, document: DocumentId) -> bool {
        self.known.contains(&document)
    }

    fn add(&mut self, document: DocumentId) {
        if !self.known.insert(document) {
            return;
        }
        self.order.push_back(document);
        if self.order.len() > TRAIL
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
