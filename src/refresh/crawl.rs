//! Lists everything below some folders, breadth first and in parallel.
//!
//! Listing fifty thousand folders is simple until you consider that:
//! 1. it takes hours within a budget, and the process, the machine or the network may end meanwhile;
//! 2. a folder may fail for a moment, for good, or because the server is away;
//! 3. whoever started it wants to know that nothing is missing.
//!
//! When it began is kept in the catalog until it ends, and what was listed since is not listed again: 1. What failed is
//! tried again after a pause, and an outage is waited out: 2. What could not be listed in the end is told by name: 3.
//! Where the server does it, everything below a folder is asked for together (`crawl/plots.rs`): 1.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::outage::{Blame, blame};
use crate::catalog::DirKey;
use crate::clock::Moment;
use crate::model::{DirId, Entry, ObjectId};
use crate::remote::{RemoteError, Urgency};
use crate::tree::{Freshened, Tree, TreeError};

mod beginning;
mod plots;
mod report;

use beginning::Beginning;
use plots::{Planted, Plot, Plots};
use report::is_lost;
pub use report::{CrawlFailure, CrawlProgress, CrawlReport, CrawlSummary, FailedFolder, FailureKind, TOLD};

/// How often a folder is tried, and how long after each failure it is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// While the server is away, one listing after each pause finds out: the first, doubled by each failure, and the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// So many failures in a row, and it is the server and not the folders.
const IN_A_ROW: usize = 20;

/// A server that has answered nothing for so long is not waited for any more: whoever waits is told.
const PATIENCE: Duration = Duration::from_mins(5);

/// So often what moves is followed from folder to folder; nobody moves anything that fast.
const HOPS: usize = 8;

/// Where a crawl begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The directory.
    pub dir: DirId,
    /// How failures below it are to be named; empty for the root.
    pub name: String,
}

/// Which listings are taken as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Those that would do for any answer, and those of a crawl of the same tops that was cut off.
    OfAnswers,
    /// Those that were asked for so long before the crawl began, or later.
    Within(Duration),
}

/// Lists everything at and below `tops`, `at_once` folders at a time; what is young enough is taken as it is.
///
/// There is no deadline: it waits for the budget, and ends when everything was tried. Dropped, it leaves what was listed,
/// and the next crawl of the same tops goes on.
pub async fn crawl(
    tree: &Tree,
    tops: &[Top],
    age: Age,
    at_once: usize,
    progress: &watch::Sender<CrawlProgress>,
) -> CrawlReport {
    let (since, beginning) = match age {
        Age::OfAnswers => {
            let beginning = Beginning::find(tree, tops).await;
            // What is young enough for any answer is young enough here, too.
            let since = tree.metadata_ttl().map(|ttl| beginning.at.minus(ttl));
            (since, Some(beginning))
        }
        // Nobody asks for it by the same moment again.
        Age::Within(age) => (Some(tree.clock().now().minus(age)), None),
    };
    let mut crawl = Crawl {
        tree: tree.clone(),
        since,
        known: HashMap::new(),
        queue: VecDeque::new(),
        plots: Plots::default(),
        later: BinaryHeap::new(),
        tries: HashMap::new(),
        away: None,
        failed_in_a_row: 0,
        progress: CrawlProgress::default(),
        failures: Vec::new(),
    };
    for top in tops {
        if crawl.discover(top.dir, None, &top.name) {
            crawl.queue.push_back(top.dir);
        }
    }
    crawl.run(at_once.max(1), progress).await;
    if let Age::Within(_) = age {
        crawl.follow().await;
    }
    if let Some(beginning) = beginning
        && crawl.failures.is_empty()
    {
        beginning.forget(tree).await;
    }
    CrawlReport {
        progress: crawl.progress,
        failures: crawl.failures,
    }
}

struct Crawl {
    tree: Tree,
    /// What was fetched at this moment or later is not asked for; `None` takes any age.
    since: Option<Moment>,
    /// Every folder seen, where it was found and by which name. Each is listed once, wherever else it turns up.
    known: HashMap<DirId, (Option<DirId>, Box<str>)>,
    queue: VecDeque<DirId>,
    /// Folders whose children wait for a question for everything below.
    plots: Plots,
    /// What failed, and when it is tried again.
    later: BinaryHeap<Reverse<(Instant, DirId)>>,
    tries: HashMap<DirId, usize>,
    away: Option<Away>,
    failed_in_a_row: usize,
    progress: CrawlProgress,
    failures: Vec<CrawlFailure>,
}

/// The server is away.
struct Away {
    since: Instant,
    pause: Duration,
    until: Instant,
}

type Listing = BoxFuture<'static, (DirId, Result<Freshened, TreeError>)>;

impl Crawl {
    /// Notes a folder; true where it was not known before and is to be listed.
    fn discover(&mut self, dir: DirId, parent: Option<DirId>, name: &str) -> bool {
        let std::collections::hash_map::Entry::Vacant(place) = self.known.entry(dir) else {
            return false;
        };
        place.insert((parent, name.into()));
        self.progress.known += 1;
        true
    }

    async fn run(&mut self, at_once: usize, progress: &watch::Sender<CrawlProgress>) {
        let mut under_way: FuturesUnordered<Listing> = FuturesUnordered::new();
        let mut planting: FuturesUnordered<BoxFuture<'static, Planted>> = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            while let Some(Reverse((at, dir))) = self.later.peek().copied()
                && at <= now
            {
                self.later.pop();
                self.queue.push_back(dir);
            }
            // While the server is away, one finds out.
            let (may_begin, room) = match &self.away {
                Some(away) => (away.until <= now, 1),
                None => (true, at_once),
            };
            while may_begin
                && under_way.len() < room
                && let Some(dir) = self.queue.pop_front()
            {
                under_way.push(self.list(dir));
            }
            while self.away.is_none()
                && let Some(plot) = self.plots.next(planting.len())
            {
                planting.push(plot.plant(&self.tree));
            }
            let is_idle = under_way.is_empty() && planting.is_empty();
            if is_idle && self.queue.is_empty() && self.later.is_empty() && self.plots.is_empty() {
                break;
            }
            progress.send_replace(self.progress);
            let wakes = self
                .away
                .as_ref()
                .map(|away| away.until)
                .filter(|until| *until > now)
                .into_iter()
                .chain(self.later.peek().map(|Reverse((at, _))| *at))
                .min();
            let wake = async {
                match wakes {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((dir, outcome)) = under_way.next() => self.note(dir, outcome).await,
                Some(planted) = planting.next() => self.queue.extend(self.plots.note(planted)),
                () = wake => {}
            }
        }
        progress.send_replace(self.progress);
    }

    /// Asks for what left a folder for another one: whoever wants to know how things are by now is to be told where it is.
    /// Where that fails, nothing is said: it is seen by what is still on its way.
    async fn follow(&self) {
        for _ in 0..HOPS {
            let tree = self.tree.clone();
            let found = tokio::task::spawn_blocking(move || Some(tree.catalog()?.on_their_way())).await;
            let on_their_way = match found {
                Ok(Some(Ok(on_their_way))) => on_their_way,
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "what is on its way to another folder is not known");
                    return;
                }
                Ok(None) | Err(_) => return,
            };
            let dir = |key: DirKey| key.as_folder().map_or(DirId::Root, DirId::Folder);
            let targets: HashSet<DirId> = on_their_way
                .into_iter()
                .filter(|(from, _)| self.known.contains_key(&dir(*from)))
                .map(|(_, to)| dir(to))
                .collect();
            if targets.is_empty() {
                return;
            }
            let asked = targets
                .into_iter()
                .map(|to| self.tree.freshen(to, Duration::ZERO, Urgency::Bulk));
            drop(join_all(asked).await);
        }
    }

    fn list(&self, dir: DirId) -> Listing {
        let (tree, since) = (self.tree.clone(), self.since);
        Box::pin(async move {
            let most = || since.map_or(Duration::MAX, |since| tree.clock().now().since(since));
            let mut outcome = tree.freshen(dir, most(), Urgency::Bulk).await;
            if let (Ok(fresh), Some(since)) = (&outcome, since)
                && fresh.stored.arrival.fetched < since
            {
                // It was on its way before this began.
                outcome = tree.freshen(dir, most(), Urgency::Bulk).await;
            }
            (dir, outcome)
        })
    }

    async fn note(&mut self, dir: DirId, outcome: Result<Freshened, TreeError>) {
        match outcome {
            Ok(fresh) => {
                self.away = None;
                self.failed_in_a_row = 0;
                self.progress.waiting = false;
                self.take(dir, &fresh);
            }
            Err(error) => self.failed(dir, error).await,
        }
    }

    fn take(&mut self, dir: DirId, fresh: &Freshened) {
        self.progress.done += 1;
        if fresh.asked {
            self.progress.listings += 1;
        } else if self.plots.brought(dir) {
            self.progress.together += 1;
        } else {
            self.progress.skipped += 1;
        }
        self.tries.remove(&dir);
        let mut children = Vec::new();
        let entries: Vec<Arc<Entry>> = fresh.stored.listing.entries().cloned().collect();
        for entry in entries {
            match &*entry {
                Entry::Folder(folder) => {
                    let child = DirId::Folder(folder.id);
                    if self.discover(child, Some(dir), &folder.name) {
                        children.push(child);
                    }
                }
                Entry::Document(_) => self.progress.documents += 1,
            }
        }
        match dir {
            DirId::Folder(folder) if fresh.asked => {
                let plot = Plot {
                    folder,
                    stored: fresh.stored.clone(),
                    children,
                };
                self.queue.extend(self.plots.add(plot));
            }
            DirId::Folder(_) | DirId::Root => self.queue.extend(children),
        }
    }

    async fn failed(&mut self, dir: DirId, error: TreeError) {
        self.progress.listings += 1;
        let now = Instant::now();
        let blamed = match blame(&error) {
            Blame::Folder if self.failed_in_a_row >= IN_A_ROW => Blame::Server,
            blamed => blamed,
        };
        if blamed != Blame::Refused {
            self.failed_in_a_row += 1;
        }
        match blamed {
            Blame::Server if is_lost(&error) => self.give_up(dir, &error),
            Blame::Server => {
                let away = self.away.get_or_insert(Away {
                    since: now,
                    pause: Duration::ZERO,
                    until: now,
                });
                if now.duration_since(away.since) >= PATIENCE {
                    return self.give_up(dir, &error);
                }
                if away.until <= now {
                    away.pause = (away.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
                    away.until = now + away.pause;
                }
                self.progress.waiting = true;
                self.queue.push_front(dir);
            }
            Blame::Folder => {
                let tries = self.tries.entry(dir).or_default();
                match PAUSES.get(*tries) {
                    Some(pause) => {
                        *tries += 1;
                        self.later.push(Reverse((now + *pause, dir)));
                    }
                    None => self.fail(dir, error),
                }
            }
            Blame::Refused => {
                if self.has_left(dir, &error).await {
                    self.known.remove(&dir);
                    self.progress.known = self.progress.known.saturating_sub(1);
                } else {
                    self.fail(dir, error);
                }
            }
        }
    }

    /// Whether a folder that the server does not find is no longer where it was listed.
    async fn has_left(&self, dir: DirId, error: &TreeError) -> bool {
        let (TreeError::Remote(RemoteError::NotFound { .. }), DirId::Folder(folder)) = (error, dir) else {
            return false;
        };
        let Some((Some(parent), _)) = self.known.get(&dir) else {
            return false;
        };
        match self.tree.freshen(*parent, Duration::ZERO, Urgency::Bulk).await {
            Ok(fresh) => fresh.stored.listing.find(ObjectId::Folder(folder)).is_none(),
            // Then it is told as what it is: not listed.
            Err(_) => false,
        }
    }

    /// Nothing more can be listed: everything that is left has failed.
    fn give_up(&mut self, dir: DirId, error: &TreeError) {
        self.fail(dir, error.clone());
        let left: Vec<DirId> = self
            .queue
            .drain(..)
            .chain(self.later.drain().map(|Reverse((_, dir))| dir))
            .chain(self.plots.clear())
            .collect();
        for dir in left {
            self.fail(dir, error.clone());
        }
    }

    fn fail(&mut self, dir: DirId, error: TreeError) {
        self.progress.failed += 1;
        self.failures.push(CrawlFailure {
            dir,
            path: self.path(dir),
            error,
        });
    }

    /// The names that lead to a folder.
    fn path(&self, dir: DirId) -> String {
        let mut names = Vec::new();
        let mut here = Some(dir);
        while let Some(dir) = here
            && let Some((parent, name)) = self.known.get(&dir)
        {
            if !name.is_empty() {
                names.push(&**name);
            }
            here = *parent;
        }
        names.reverse();
        names.join("/")
    }
}

#[cfg(test)]
mod tests;
