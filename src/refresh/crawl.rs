//! Lists everything below some folders, breadth first and in parallel.
//!
//! Listing fifty thousand folders is simple until you consider that:
//! 1. it takes hours within a budget, and the process, the machine or the network may end meanwhile;
//! 2. a folder may fail for a moment, for good, or because the server is away;
//! 3. whoever started it wants to know that nothing is missing.
//!
//! When it began is kept in the catalog until it ends, and what was listed since is not listed again: 1. What failed is
//! tried again after a pause, and an outage is waited out: 2. What could not be listed in the end is told by name: 3.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::outage::{Blame, blame};
use crate::clock::{BootId, Moment, Stamp};
use crate::model::{DirId, Entry, ObjectId, Timestamp};
use crate::remote::{RemoteError, Urgency};
use crate::tree::{Freshened, Tree, TreeError};

/// How often a folder is tried, and how long after each failure it is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// While the server is away, one listing after each pause finds out: the first, doubled by each failure, and the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// So many failures in a row, and it is the server and not the folders.
const IN_A_ROW: usize = 20;

/// A server that has answered nothing for so long is not waited for any more: whoever waits is told.
const PATIENCE: Duration = Duration::from_mins(5);

/// A crawl that was cut off is taken up again within this time; later, everything is listed anew.
const TAKEN_UP_WITHIN: Duration = Duration::from_hours(24);

/// Where a crawl begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The directory.
    pub dir: DirId,
    /// How failures below it are to be named; empty for the root.
    pub name: String,
}

/// How far a crawl is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlProgress {
    /// Folders known so far.
    pub known: u64,
    /// Those whose listing is complete, by proof.
    pub done: u64,
    /// Those of them that were listed lately and not asked for.
    pub skipped: u64,
    /// Documents in them.
    pub documents: u64,
    /// Folders that could not be listed, for good.
    pub failed: u64,
    /// Folders that were listed, and may have been in vain.
    pub listings: u64,
    /// True while the server is away.
    pub waiting: bool,
}

/// A folder that could not be listed.
#[derive(Debug, Clone)]
pub struct CrawlFailure {
    /// The directory.
    pub dir: DirId,
    /// Its raw names from the top on, joined by `/`.
    pub path: String,
    /// Why.
    pub error: TreeError,
}

/// What became of a crawl.
#[derive(Debug, Clone, Default)]
pub struct CrawlReport {
    /// The last progress.
    pub progress: CrawlProgress,
    /// What could not be listed; what is below it is not known.
    pub failures: Vec<CrawlFailure>,
}

/// What became of a crawl, for whoever had it done by another process: some of the failures, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlSummary {
    /// The last progress.
    pub progress: CrawlProgress,
    /// At most [`TOLD`] of what could not be listed.
    pub failures: Vec<FailedFolder>,
}

/// A folder that could not be listed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFolder {
    /// See [`CrawlFailure::path`].
    pub path: String,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why, without secrets.
    pub error: String,
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Try again later.
    Passing,
    /// This account may not see it.
    Refused,
    /// A person must sign in.
    Login,
}

/// As many failures are told by name.
pub const TOLD: usize = 20;

impl From<&CrawlReport> for CrawlSummary {
    fn from(report: &CrawlReport) -> Self {
        Self {
            progress: report.progress,
            failures: report
                .failures
                .iter()
                .take(TOLD)
                .map(FailedFolder::from)
                .collect(),
        }
    }
}

impl From<&CrawlFailure> for FailedFolder {
    fn from(failure: &CrawlFailure) -> Self {
        Self {
            path: failure.path.clone(),
            kind: match blame(&failure.error) {
                Blame::Refused => FailureKind::Refused,
                Blame::Server if is_lost(&failure.error) => FailureKind::Login,
                Blame::Server | Blame::Folder => FailureKind::Passing,
            },
            error: failure.error.to_string(),
        }
    }
}

impl CrawlSummary {
    /// Adds another one, of a crawl somewhere else.
    pub fn add(&mut self, other: Self) {
        self.progress.add(&other.progress);
        let room = TOLD - self.failures.len().min(TOLD);
        self.failures.extend(other.failures.into_iter().take(room));
    }
}

impl CrawlProgress {
    /// Adds another one, of a crawl somewhere else.
    pub fn add(&mut self, other: &Self) {
        self.known += other.known;
        self.done += other.done;
        self.skipped += other.skipped;
        self.documents += other.documents;
        self.failed += other.failed;
        self.listings += other.listings;
        self.waiting |= other.waiting;
    }
}

impl CrawlReport {
    /// True if everything was listed and proved.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Lists everything at and below `tops`, `at_once` folders at a time.
///
/// There is no deadline: it waits for the budget, and ends when everything was tried. Dropped, it leaves what was listed,
/// and the next crawl of the same tops goes on.
pub async fn crawl(
    tree: &Tree,
    tops: &[Top],
    at_once: usize,
    progress: &watch::Sender<CrawlProgress>,
) -> CrawlReport {
    let beginning = Beginning::find(tree, tops).await;
    // What is young enough for any answer is young enough here, too.
    let since = tree.metadata_ttl().map(|ttl| beginning.at.minus(ttl));
    let mut crawl = Crawl {
        tree: tree.clone(),
        since,
        known: HashMap::new(),
        queue: VecDeque::new(),
        later: BinaryHeap::new(),
        tries: HashMap::new(),
        away: None,
        failed_in_a_row: 0,
        progress: CrawlProgress::default(),
        failures: Vec::new(),
    };
    for top in tops {
        crawl.discover(top.dir, None, &top.name);
    }
    crawl.run(at_once.max(1), progress).await;
    if crawl.failures.is_empty() {
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
    fn discover(&mut self, dir: DirId, parent: Option<DirId>, name: &str) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.known.entry(dir) {
            place.insert((parent, name.into()));
            self.queue.push_back(dir);
            self.progress.known += 1;
        }
    }

    async fn run(&mut self, at_once: usize, progress: &watch::Sender<CrawlProgress>) {
        let mut under_way: FuturesUnordered<Listing> = FuturesUnordered::new();
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
            if under_way.is_empty() && self.queue.is_empty() && self.later.is_empty() {
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
                () = wake => {}
            }
        }
        progress.send_replace(self.progress);
    }

    fn list(&self, dir: DirId) -> Listing {
        let (tree, since) = (self.tree.clone(), self.since);
        Box::pin(async move {
            let most = since.map_or(Duration::MAX, |since| tree.clock().now().since(since));
            let outcome = tree.freshen(dir, most, Urgency::Bulk).await;
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
        self.progress.skipped += u64::from(!fresh.asked);
        self.progress.listings += u64::from(fresh.asked);
        self.tries.remove(&dir);
        let entries: Vec<Arc<Entry>> = fresh.stored.listing.entries().cloned().collect();
        for entry in entries {
            match &*entry {
                Entry::Folder(folder) => self.discover(DirId::Folder(folder.id), Some(dir), &folder.name),
                Entry::Document(_) => self.progress.documents += 1,
            }
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

/// True where waiting helps nobody: a person must sign in.
fn is_lost(error: &TreeError) -> bool {
    matches!(
        error,
        TreeError::Remote(
            RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_) | RemoteError::LockedOut(_)
        )
    )
}

/// When the crawl began: now, or before it was cut off.
struct Beginning {
    at: Moment,
    /// Under which name it is kept.
    key: String,
}

impl Beginning {
    async fn find(tree: &Tree, tops: &[Top]) -> Self {
        let now = tree.clock().now();
        let mut dirs: Vec<String> = tops
            .iter()
            .map(|top| {
                crate::catalog::key_of(top.dir, tree.root_key())
                    .guid()
                    .to_string()
            })
            .collect();
        dirs.sort_unstable();
        let key = format!("crawl:{}", dirs.join(","));
        let (kept, at) = (key.clone(), Timestamp::now());
        let begun = on_catalog(tree, move |catalog| {
            if let Some(begun) = catalog
                .fact(&kept)?
                .and_then(|text| text.parse::<Timestamp>().ok())
            {
                return Ok(Some(begun));
            }
            catalog.set_fact(&kept, &at.to_string())?;
            Ok(None)
        })
        .await
        .flatten();
        // A moment of another run of the machine, as far as the clock is concerned: it goes by the wall clock.
        let stamp = |wall| Stamp {
            wall,
            boot: BootId([0xff; 16]),
            moment: Duration::ZERO,
        };
        let earlier = begun.map(|wall| tree.clock().moment(&stamp(wall)));
        match earlier.filter(|earlier| now.since(*earlier) < TAKEN_UP_WITHIN) {
            Some(at) => Self { at, key },
            None => {
                if begun.is_some() {
                    let kept = key.clone();
                    on_catalog(tree, move |catalog| catalog.set_fact(&kept, &at.to_string())).await;
                }
                Self { at: now, key }
            }
        }
    }

    /// It came to its end.
    async fn forget(&self, tree: &Tree) {
        let key = self.key.clone();
        on_catalog(tree, move |catalog| catalog.set_fact(&key, "")).await;
    }
}

/// Does something with the catalog, where there is one and it works.
async fn on_catalog<T: Send + 'static>(
    tree: &Tree,
    work: impl FnOnce(&crate::catalog::Catalog) -> Result<T, crate::catalog::CatalogError> + Send + 'static,
) -> Option<T> {
    let catalog = tree.catalog()?.clone();
    match tokio::task::spawn_blocking(move || work(&catalog)).await.ok()? {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::debug!(%error, "a crawl cannot be noted; it would begin anew");
            None
        }
    }
}

#[cfg(test)]
mod tests;
