//! Walkers: programs that read directory after directory of a tree. Who is one, and how far ahead of it to list.
//!
//! Telling a walker from a person is simple until you consider that:
//! 1. a person reads a folder, then one in it, then one in that: so does `find`;
//! 2. a walker may rest for minutes between two directories, for it reads what is in them;
//! 3. one that is told to leave folders out, or to end early, never reads what it seemed to be about to.
//!
//! A person takes their time, and does not go through neighbours in order: a directory counts as a step of a walk if it
//! follows the one before at once, or is the next one beside it: 1 and 2. What was listed ahead and not read yet is bounded,
//! and the bound grows only as it is read: 3.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::DirId;

/// A directory read this soon after another was opened by a program. A person who clicks or types takes longer.
const AT_ONCE: Duration = Duration::from_millis(400);

/// So many steps make a walk: the third directory in a row is no accident.
const STEPS: u32 = 2;

/// How many directories may be listed and not read yet, at first, more for each one that was read, and at most.
const FIRST_WINDOW: usize = 8;
const MORE: usize = 4;
const LAST_WINDOW: usize = 32;

/// How many of them may be on their way at once, at most: what a gateway serves well beside its other users.
const MOST_UNDER_WAY: usize = 16;

/// A walker that has read nothing for so long may have ended: nothing more is begun until it goes on.
const RESTING: Duration = Duration::from_secs(2);

/// A walk that has read nothing for so long is over.
const OVER: Duration = Duration::from_mins(5);

/// How many walks are told apart.
const WALKS: usize = 8;

/// How many directories a walk remembers to have read; one that lost its way starts anew.
const TRAIL: usize = 4096;

/// In which order a walker goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// What is in a directory comes before its neighbours.
    Depth,
    /// The neighbours come first; whether what is in them comes at all is not known.
    Level,
}

/// What a walk needs to know of the listings.
pub(super) trait Listings {
    /// True if `later` is the folder that follows `earlier` in `parent`.
    fn follows(&self, parent: DirId, earlier: DirId, later: DirId) -> bool;
    /// The first folder in `dir`.
    fn first_folder(&self, dir: DirId) -> Option<DirId>;
}

/// All walks that go on.
#[derive(Debug, Default)]
pub(super) struct Walks {
    walks: Vec<Walk>,
    next: u64,
}

#[derive(Debug)]
struct Walk {
    number: u64,
    last: DirId,
    trail: Trail,
    order: Order,
    steps: u32,
    window: usize,
    /// Listed ahead, and not read yet.
    ahead: HashSet<DirId>,
    under_way: usize,
    /// How many of its directories are being read.
    open: usize,
    /// When the last of them was.
    rested: Instant,
}

/// Where a walker stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// The directory it read last, and those above it as far as it came through them.
    pub(super) line: Vec<DirId>,
    /// Where it goes from there.
    pub(super) order: Order,
    /// How far ahead to look, in directories.
    pub(super) window: usize,
}

impl Walks {
    /// A directory in `parent` is being read; returns the number of the walk it is part of.
    pub(super) fn begin(&mut self, parent: DirId, dir: DirId, listings: &dyn Listings, now: Instant) -> u64 {
        self.walks
            .retain(|walk| walk.open > 0 || now.duration_since(walk.rested) < OVER);
        let part_of = |walk: &&mut Walk| walk.trail.knows(dir) || walk.trail.knows(parent);
        if let Some(walk) = self.walks.iter_mut().rev().find(part_of) {
            walk.step(parent, dir, listings, now);
            return walk.number;
        }
        if self.walks.len() >= WALKS {
            let longest = self
                .walks
                .iter()
                .enumerate()
                .min_by_key(|(_, walk)| (walk.open > 0, walk.rested));
            if let Some((at, _)) = longest {
                self.walks.remove(at);
            }
        }
        let number = self.next;
        self.next += 1;
        let mut trail = Trail::default();
        trail.add(parent, dir);
        self.walks.push(Walk {
            number,
            last: dir,
            trail,
            order: Order::Depth,
            steps: 0,
            window: FIRST_WINDOW,
            ahead: HashSet::new(),
            under_way: 0,
            open: 1,
            rested: now,
        });
        number
    }

    /// A directory of the walk was read.
    pub(super) fn end(&mut self, number: u64, now: Instant) {
        if let Some(walk) = self.find(number) {
            walk.open = walk.open.saturating_sub(1);
            walk.rested = now;
        }
    }

    /// Where the walker stands; `None` where it is none, or has gone.
    pub(super) fn stand(&mut self, number: u64, now: Instant) -> Option<Stand> {
        let walk = self.find(number)?;
        let goes_on = walk.open > 0 || now.duration_since(walk.rested) < RESTING;
        (goes_on && walk.steps >= STEPS).then(|| Stand {
            line: walk.trail.line(walk.last),
            order: walk.order,
            window: walk.window,
        })
    }

    /// True if `dir` may be listed ahead now; then [`Walks::landed`] follows.
    pub(super) fn start(&mut self, number: u64, dir: DirId) -> bool {
        let Some(walk) = self.find(number) else {
            return false;
        };
        let room = walk.ahead.len() < walk.window && walk.under_way < walk.window.min(MOST_UNDER_WAY);
        if room && !walk.trail.has_read(dir) && walk.ahead.insert(dir) {
            walk.under_way += 1;
            return true;
        }
        false
    }

    /// A directory that was listed ahead has arrived, or failed.
    pub(super) fn landed(&mut self, number: u64) {
        if let Some(walk) = self.find(number) {
            walk.under_way = walk.under_way.saturating_sub(1);
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Walk> {
        self.walks.iter_mut().find(|walk| walk.number == number)
    }
}

impl Walk {
    fn step(&mut self, parent: DirId, dir: DirId, listings: &dyn Listings, now: Instant) {
        let at_once = self.open > 0 || now.duration_since(self.rested) < AT_ONCE;
        self.open += 1;
        if self.trail.has_read(dir) {
            // Read once more: whoever does that is not on the way anywhere.
            return;
        }
        let beside = self.trail.parent(self.last) == Some(parent);
        if at_once || (beside && listings.follows(parent, self.last, dir)) {
            self.steps = self.steps.saturating_add(1);
        } else if !self.ahead.contains(&dir) {
            self.steps = 0;
            self.window = FIRST_WINDOW;
        }
        if parent == self.last {
            self.order = Order::Depth;
        } else if let Some(passed) = listings.first_folder(self.last)
            && !self.trail.has_read(passed)
        {
            if self.order == Order::Depth {
                // What was listed for a walker that would go down is not what this one reads next.
                self.ahead.retain(|ahead| *ahead == dir);
            }
            self.order = Order::Level;
        }
        if self.ahead.remove(&dir) {
            self.window = (self.window + MORE).min(LAST_WINDOW);
        }
        self.trail.add(parent, dir);
        self.last = dir;
    }
}

/// The directories a walk has read lately, and where each of them is.
#[derive(Debug, Default)]
struct Trail {
    parents: HashMap<DirId, DirId>,
    /// How many of them are in each directory.
    children: HashMap<DirId, usize>,
    order: VecDeque<DirId>,
}

impl Trail {
    fn add(&mut self, parent: DirId, dir: DirId) {
        if self.parents.insert(dir, parent).is_some() {
            return;
        }
        *self.children.entry(parent).or_default() += 1;
        self.order.push_back(dir);
        if self.order.len() > TRAIL
            && let Some(first) = self.order.pop_front()
            && let Some(parent) = self.parents.remove(&first)
            && let Some(count) = self.children.get_mut(&parent)
        {
            *count -= 1;
            if *count == 0 {
                self.children.remove(&parent);
            }
        }
    }

    fn has_read(&self, dir: DirId) -> bool {
        self.parents.contains_key(&dir)
    }

    fn knows(&self, dir: DirId) -> bool {
        self.has_read(dir) || self.children.contains_key(&dir)
    }

    fn parent(&self, dir: DirId) -> Option<DirId> {
        self.parents.get(&dir).copied()
    }

    /// `dir` and those above it that are part of the walk: read by it, or several folders in them. Whoever walks one folder
    /// goes nowhere above it. A folder moved below itself is no way without end.
    fn line(&self, dir: DirId) -> Vec<DirId> {
        let mut line = vec![dir];
        let mut here = dir;
        while let Some(parent) = self.parent(here)
            && (self.has_read(parent) || self.children.get(&parent).is_some_and(|count| *count > 1))
            && !line.contains(&parent)
        {
            line.push(parent);
            here = parent;
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FolderId, Guid};

    /// Folder 1 holds 11 … 14, folder 11 holds 111 …, as the digits say.
    struct Tens;

    fn dir(number: u32) -> DirId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        DirId::Folder(FolderId(Guid::from_bytes(bytes)))
    }

    fn number(dir: DirId) -> u32 {
        let DirId::Folder(folder) = dir else { return 0 };
        u32::from_be_bytes(folder.0.as_bytes()[..4].try_into().unwrap())
    }

    impl Listings for Tens {
        fn follows(&self, _parent: DirId, earlier: DirId, later: DirId) -> bool {
            number(earlier) + 1 == number(later)
        }
        fn first_folder(&self, parent: DirId) -> Option<DirId> {
            (number(parent) < 100).then(|| dir(number(parent) * 10 + 1))
        }
    }

    struct Stage {
        walks: Walks,
        now: Instant,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                walks: Walks::default(),
                now: Instant::now(),
            }
        }

        /// Reads one directory, `pause` after the one before.
        fn read(&mut self, read: u32, pause: u64) -> u64 {
            self.now += Duration::from_millis(pause);
            let walk = self.walks.begin(dir(read / 10), dir(read), &Tens, self.now);
            self.now += Duration::from_millis(50);
            self.walks.end(walk, self.now);
            walk
        }

        fn is_recognised(&mut self, walk: u64) -> bool {
            self.walks.stand(walk, self.now).is_some()
        }
    }

    #[test]
    fn a_program_that_goes_down_is_recognised_and_a_person_who_does_is_not() {
        let mut stage = Stage::new();
        let walk = stage.read(1, 0);
        assert!(!stage.is_recognised(walk));
        stage.read(11, 1);
        assert!(!stage.is_recognised(walk), "two may be an accident");
        assert_eq!(stage.read(111, 1), walk);
        let stand = stage.walks.stand(walk, stage.now).unwrap();
        assert_eq!(
            stand.line,
            [dir(111), dir(11), dir(1)],
            "and nothing beside its top"
        );
        assert_eq!(stand.order, Order::Depth);

        let mut stage = Stage::new();
        for folder in [1, 13, 132, 1321] {
            let walk = stage.read(folder, 900);
            assert!(!stage.is_recognised(walk), "{folder}");
        }
    }

    #[test]
    fn neighbours_read_in_order_are_a_walk_however_slow_and_others_are_not() {
        let mut stage = Stage::new();
        let walk = stage.read(11, 0);
        stage.read(12, 60_000);
        stage.read(13, 60_000);
        let stand = stage.walks.stand(walk, stage.now).unwrap();
        assert_eq!(stand.order, Order::Level);

        let mut stage = Stage::new();
        for folder in [11, 14, 12, 17, 13] {
            let walk = stage.read(folder, 5000);
            assert!(!stage.is_recognised(walk), "{folder}");
        }
    }

    #[test]
    fn the_same_directory_read_again_and_again_is_no_walk() {
        let mut stage = Stage::new();
        for _ in 0..10 {
            let walk = stage.read(11, 1);
            assert!(!stage.is_recognised(walk));
        }
    }

    #[test]
    fn what_is_listed_ahead_is_bounded_and_more_only_as_it_is_read() {
        let mut stage = Stage::new();
        let walk = [11, 12, 13].map(|folder| stage.read(folder, 1))[0];
        let mut started = (14..100).filter(|folder| stage.walks.start(walk, dir(*folder)));
        assert_eq!(started.by_ref().count(), FIRST_WINDOW);
        drop(started);
        assert!(!stage.walks.start(walk, dir(14)), "once is enough");
        for _ in 0..FIRST_WINDOW {
            stage.walks.landed(walk);
        }
        assert!(!stage.walks.start(walk, dir(50)), "nothing of it was read yet");
        stage.read(14, 1);
        let more = (50..100)
            .filter(|folder| stage.walks.start(walk, dir(*folder)))
            .count();
        assert_eq!(more, 1 + MORE);
    }

    #[test]
    fn one_that_passes_by_what_is_below_goes_level_by_level() {
        let mut stage = Stage::new();
        let walk = [1, 11, 12].map(|folder| stage.read(folder, 1))[0];
        assert_eq!(stage.walks.stand(walk, stage.now).unwrap().order, Order::Level);
        assert_eq!(stage.read(121, 1), walk);
        assert_eq!(stage.walks.stand(walk, stage.now).unwrap().order, Order::Depth);
    }

    #[test]
    fn one_that_rests_is_not_served_until_it_goes_on() {
        let mut stage = Stage::new();
        let walk = [11, 12, 13].map(|folder| stage.read(folder, 1))[0];
        stage.now += RESTING;
        assert!(!stage.is_recognised(walk));
        stage.read(14, 1);
        assert!(stage.is_recognised(walk));
        stage.now += OVER;
        assert_ne!(stage.read(15, 1), walk, "it was over");
    }

    #[test]
    fn walks_are_told_apart_and_few() {
        let mut stage = Stage::new();
        let first = stage.read(11, 1);
        for top in 2..20 {
            assert_ne!(stage.read(top * 10 + 1, 1), first);
        }
        assert!(stage.walks.walks.len() <= WALKS);
        let mut trail = Trail::default();
        for folder in 0..2 * u32::try_from(TRAIL).unwrap() {
            trail.add(dir(folder / 10), dir(folder));
        }
        assert_eq!(trail.parents.len(), TRAIL);
        assert!(trail.children.len() <= TRAIL / 10 + 2);
    }
}
