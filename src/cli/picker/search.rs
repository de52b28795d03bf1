//! The search below a folder: breadth first, some folders at a time, telling what it finds as it finds it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::level::{Crumb, Cursor, Listing, Pattern};
use crate::cli::browse::walk::ends_everything;
use crate::model::{DirId, Entry, FolderId};
use crate::remote::{Progress, Remote, RemoteError};

/// Folders listed at once, as the command `tree` does: enough to hide latency, few enough to leave the server to its
/// users.
const AT_ONCE: usize = 8;

/// Folders one search looks at. Each takes some 100 bytes while it runs, so this is 25 MB; at the rate that pwfs asks
/// a server (600 requests a minute) a person would wait seven hours for more.
pub(super) const MOST_FOLDERS: usize = 250_000;

/// Folders found that are kept to be shown, of some 200 bytes each; who gets more types another word.
const MOST_HITS: usize = 20_000;

/// Where a search begins, and what for.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// Tells this search's findings from those of an earlier one.
    pub(super) number: u64,
    pub(super) pattern: Pattern,
    /// The way to the folder it begins in; empty for the root.
    pub(super) below: Vec<Crumb>,
    /// What that folder holds, where it is known already.
    pub(super) listing: Option<Arc<Listing>>,
}

/// A folder that fits, by the way to it.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    /// From the root down; the folder itself is the last.
    pub(super) path: Vec<Crumb>,
}

/// How far a search is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Folders looked into.
    pub(super) looked: usize,
    /// Folders it still means to look into.
    pub(super) waiting: usize,
    /// Folders that refused.
    pub(super) denied: usize,
    /// Folders that could not be listed.
    pub(super) failed: usize,
    /// There are more folders than one search looks at.
    pub(super) full: bool,
}

/// What a search tells.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) hits: Vec<Hit>,
    pub(super) reach: Reach,
    /// Nothing follows.
    pub(super) last: bool,
}

/// What a search found, as it is shown.
#[derive(Debug)]
pub(super) struct Hits {
    pub(super) number: u64,
    /// What was typed.
    pub(super) text: String,
    /// The way to the folder it began in.
    pub(super) below: Vec<Crumb>,
    pub(super) found: Vec<Hit>,
    /// Hits beyond those that are kept.
    pub(super) more: usize,
    pub(super) reach: Reach,
    pub(super) running: bool,
    pub(super) cursor: Cursor,
}

impl Hits {
    pub(super) fn new(order: &Order, text: &str) -> Self {
        Self {
            number: order.number,
            text: text.to_owned(),
            below: order.below.clone(),
            found: Vec::new(),
            more: 0,
            reach: Reach::default(),
            running: true,
            cursor: Cursor::default(),
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let room = MOST_HITS - self.found.len();
        self.more += finding.hits.len().saturating_sub(room);
        self.found.extend(finding.hits.into_iter().take(room));
        self.reach = finding.reach;
        self.running &= !finding.last;
    }
}

/// A folder that was seen, and the one it is in; the first ones are the way to where the search began.
struct Node {
    crumb: Crumb,
    parent: Option<usize>,
}

/// Looks for folders below one, and hands what it finds to `tell` until that says nobody listens any more.
///
/// # Errors
/// What makes every further request pointless ([`ends_everything`]).
pub(super) async fn search<Told: Future<Output = bool>>(
    remote: &dyn Remote,
    order: &Order,
    tell: impl Fn(Finding) -> Told,
) -> Result<(), RemoteError> {
    let mut nodes: Vec<Node> = Vec::new();
    for crumb in &order.below {
        let parent = nodes.len().checked_sub(1);
        nodes.push(Node {
            crumb: crumb.clone(),
            parent,
        });
    }
    let top = nodes.len().checked_sub(1);
    let mut seen: HashSet<FolderId> = order.below.iter().map(|crumb| crumb.id).collect();
    let mut reach = Reach::default();
    let mut waiting: VecDeque<Option<usize>> = VecDeque::new();
    let mut running = FuturesUnordered::new();
    let mut known = order.listing.clone();
    if known.is_none() {
        waiting.push_back(top);
    }
    loop {
        while running.len() < AT_ONCE
            && let Some(at) = waiting.pop_front()
        {
            let place = at.map_or(DirId::Root, |at| DirId::Folder(nodes[at].crumb.id));
            running.push(async move { (at, list(remote, place, &Progress::new()).await) });
        }
        let (at, answer) = match known.take() {
            Some(listing) => (top, Ok(listing)),
            None => match running.next().await {
                Some((at, answer)) => (at, answer.map(Arc::new)),
                None => break,
            },
        };
        let mut hits = Vec::new();
        match answer {
            Ok(listing) => {
                reach.looked += 1;
                for row in &listing.rows {
                    // One that is shown in two places is looked into once.
                    if !seen.insert(row.id) {
                        continue;
                    }
                    if nodes.len() >= MOST_FOLDERS {
                        reach.full = true;
                        break;
                    }
                    let crumb = Crumb {
                        id: row.id,
                        name: Arc::clone(&row.name),
                    };
                    nodes.push(Node { crumb, parent: at });
                    waiting.push_back(Some(nodes.len() - 1));
                    if order.pattern.fits(&row.folded) {
                        hits.push(Hit {
                            path: path(&nodes, nodes.len() - 1),
                        });
                    }
                }
            }
            Err(error) if ends_everything(&error) => return Err(error),
            Err(RemoteError::Denied { .. }) => reach.denied += 1,
            Err(_) => reach.failed += 1,
        }
        reach.waiting = waiting.len() + running.len();
        let finding = Finding {
            hits,
            reach,
            last: reach.waiting == 0,
        };
        if !tell(finding).await {
            break;
        }
    }
    Ok(())
}

fn path(nodes: &[Node], at: usize) -> Vec<Crumb> {
    let mut path = Vec::new();
    let mut next = Some(at);
    while let Some(node) = next.map(|at| &nodes[at]) {
        path.push(node.crumb.clone());
        next = node.parent;
    }
    path.reverse();
    path
}

/// The folders in one folder, or the root folders.
pub(super) async fn list(
    remote: &dyn Remote,
    place: DirId,
    progress: &Progress,
) -> Result<Listing, RemoteError> {
    let (mut folders, mut documents) = (Vec::new(), 0);
    match place {
        DirId::Root => folders = remote.roots(progress).await?,
        DirId::Folder(id) => {
            for entry in remote.list(id, progress).await? {
                match entry {
                    Entry::Folder(folder) => folders.push(folder),
                    Entry::Document(_) => documents += 1,
                }
            }
        }
    }
    // A hundred thousand names take a while to be put in order.
    tokio::task::spawn_blocking(move || Listing::new(folders, documents))
        .await
        .map_err(|error| RemoteError::Protocol(error.to_string().into()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use parking_lot::Mutex;

    use super::*;
    use crate::cli::picker::fake::World;

    /// Searches to the end, or until so many findings were told.
    async fn run(world: &World, text: &str, below: &str, most: usize) -> (Vec<String>, Vec<Finding>) {
        let order = Order {
            number: 1,
            pattern: Pattern::new(text),
            below: if below.is_empty() {
                Vec::new()
            } else {
                world.way(below)
            },
            listing: None,
        };
        let told = Mutex::new(Vec::new());
        let tell = async |finding| {
            let mut told = told.lock();
            told.push(finding);
            told.len() < most
        };
        search(world, &order, tell).await.unwrap();
        let findings = told.into_inner();
        let path = |hit: &Hit| {
            let names: Vec<&str> = hit.path.iter().map(|crumb| &*crumb.name).collect();
            names.join("/")
        };
        let hits = findings
            .iter()
            .flat_map(|finding| finding.hits.iter().map(path))
            .collect();
        (hits, findings)
    }

    #[tokio::test]
    async fn what_is_near_is_found_first_and_nothing_is_missed() {
        let world = World::new(&[
            "a/b/plans/plans old",
            "plans x",
            "a/plans 2",
            "b!/plans",
            "c?/plans",
            "d",
        ]);
        let (hits, findings) = run(&world, "plans", "", usize::MAX).await;
        assert_eq!(hits, ["plans x", "a/plans 2", "a/b/plans", "a/b/plans/plans old"]);
        let last = findings.last().unwrap();
        assert_eq!(
            last.reach,
            Reach {
                looked: 8,
                waiting: 0,
                denied: 1,
                failed: 1,
                full: false
            }
        );
        assert!(last.last && findings[..findings.len() - 1].iter().all(|finding| !finding.last));
        let (hits, _) = run(&world, "old plans", "a/b", usize::MAX).await;
        assert_eq!(hits, ["a/b/plans/plans old"], "below a folder, by the whole way");
    }

    #[tokio::test]
    async fn few_folders_are_listed_at_once_and_all_stops_when_nobody_listens() {
        let paths: Vec<String> = (0..100).map(|number| format!("{number}/x")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let world = World::new(&paths);
        let (hits, findings) = run(&world, "x", "", usize::MAX).await;
        assert_eq!((hits.len(), findings.last().unwrap().reach.looked), (100, 201));
        let most = world.most_running.load(Ordering::SeqCst);
        assert!((2..=AT_ONCE).contains(&most), "{most}");

        let world = World::new(&paths);
        run(&world, "x", "", 3).await;
        assert!(world.listed.load(Ordering::SeqCst) <= 3 + AT_ONCE);
    }

    #[tokio::test]
    async fn a_known_listing_is_not_asked_for_again() {
        let world = World::new(&["a", "b"]);
        let listing = Arc::new(list(&world, DirId::Root, &Progress::new()).await.unwrap());
        let order = Order {
            number: 1,
            pattern: Pattern::new("a"),
            below: Vec::new(),
            listing: Some(listing),
        };
        let first = Mutex::new(None);
        let tell = async |finding: Finding| {
            first.lock().get_or_insert(finding);
            false
        };
        search(&world, &order, tell).await.unwrap();
        assert_eq!(first.into_inner().unwrap().hits.len(), 1);
        assert_eq!(world.listed.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_login_that_is_over_ends_the_search() {
        let world = World::new(&["a", "b~/c"]);
        let order = Order {
            number: 1,
            pattern: Pattern::new("c"),
            below: Vec::new(),
            listing: None,
        };
        let ended = search(&world, &order, async |_| true).await;
        assert!(matches!(ended, Err(RemoteError::LoginRequired(_))));
    }
}
