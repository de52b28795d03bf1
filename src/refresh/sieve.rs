//! Many folders looked at by one question: everything below one they have in common is asked for, and those that are as
//! they were need no look of their own.
//!
//! Believing that is simple until you consider that:
//! 1. it may cost more than it saves;
//! 2. a server may tell what is below from another source than its listings, a day behind, or to whom it refuses them.
//!
//! So a question is planned from what is held, and bounded by what it is worth: 1. And each folder is looked at by itself
//! about once an hour all the same: 2.
//!
//! It is worth it where many are due at once, which is when single looks cannot keep up. What the answer says of a folder
//! that changed is not used: that one is looked at by itself, as ever.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Paces;
use super::outage::{Blame, blame};
use crate::clock::Moment;
use crate::model::{DirId, FolderId};
use crate::remote::Urgency;
use crate::tree::{HeldFolder, Together, Tree, TreeError};

/// Fewer due folders are looked at as they come: twice what is under way at once.
const LEAST_DUE: usize = 8;

/// What a server sends at once, in rows; ours are asked for pages of five hundred.
const PAGE: usize = 500;

/// Listing one folder is two requests: its folders, and its documents.
const SINGLE: usize = 2;

/// More rows are not taken, whatever they would save: about ten megabytes of memory.
const MOST_ROWS: usize = 10_000;

/// Where nothing pays, it is looked for again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The listing of the folder asked below may be so old; an answer that does not agree with it is thrown away.
const YOUNG: Duration = Duration::from_secs(10);

/// A question that pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Below which folder.
    pub(super) top: FolderId,
    /// What is due there, or will be soon.
    pub(super) folders: Vec<FolderId>,
    /// How many of them are due.
    due: usize,
    /// So many rows may come before it ceases to pay.
    most: usize,
}

/// Each folder is looked at by itself so often at least; as often as a person would wonder.
const BY_ITSELF: Duration = Duration::from_hours(1);

/// For that, so many at most are left out of one question: it is not to lose its point because many folders came into use
/// together an hour ago.
const LEFT_OUT: usize = 8;

/// What came of a question, or of looking for one.
pub(super) enum Sifted {
    /// What to ask, if anything pays.
    Found(Option<Plan>),
    /// What was asked.
    Asked(Plan, Result<Together, TreeError>),
}

/// What is asked when.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    is_busy: bool,
    /// The server does not do it.
    is_in_vain: bool,
    not_before: Option<Moment>,
    /// Tops that brought nothing, and until when they are left alone.
    spared: HashMap<FolderId, Moment>,
    /// What did not pass and is looked at by itself first.
    singly: HashSet<DirId>,
    /// When each was last looked at by itself, or first seen here.
    by_itself: HashMap<DirId, Moment>,
}

impl Sieve {
    /// Looks for a question that pays, if enough is due and none is under way.
    pub(super) fn look(
        &mut self,
        tree: &Tree,
        due: impl Iterator<Item = DirId>,
        soon: &[DirId],
        now: Moment,
    ) -> Option<BoxFuture<'static, Sifted>> {
        if self.is_busy || self.is_in_vain || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let due: Vec<DirId> = due.collect();
        let left_out = self.left_out(due.iter().chain(soon), now);
        let together = |dir: DirId| match dir {
            DirId::Folder(folder) if !self.singly.contains(&dir) && !left_out.contains(&dir) => Some(folder),
            DirId::Folder(_) | DirId::Root => None,
        };
        let due: HashSet<FolderId> = due.into_iter().filter_map(together).collect();
        if due.len() < LEAST_DUE {
            return None;
        }
        self.spared.retain(|_, until| *until > now);
        let spared: HashSet<FolderId> = self.spared.keys().copied().collect();
        let soon: Vec<FolderId> = soon.iter().copied().filter_map(together).collect();
        self.is_busy = true;
        let tree = tree.clone();
        Some(Box::pin(async move {
            // It goes through everything that is held.
            let found = tokio::task::spawn_blocking(move || best(&tree.held_folders(), &due, &soon, &spared));
            Sifted::Found(found.await.ok().flatten())
        }))
    }

    /// Nothing was found that pays.
    pub(super) fn found_nothing(&mut self, now: Moment) {
        self.is_busy = false;
        self.not_before = Some(now.plus(LOOK_AGAIN));
    }

    /// Draws the consequences of a question; what it renewed.
    pub(super) fn asked(
        &mut self,
        plan: &Plan,
        outcome: &Result<Together, TreeError>,
        paces: &Paces,
        now: Moment,
    ) -> Vec<DirId> {
        self.is_busy = false;
        let mut spare = |pause: Duration| _ = self.spared.insert(plan.top, now.plus(pause));
        let renewed: Vec<DirId> = match outcome {
            Ok(Together::Folders(renewed)) => {
                // Where that much changes, it saves nothing.
                if renewed.len() * 2 < plan.due {
                    spare(paces.cold);
                }
                renewed.iter().copied().map(DirId::Folder).collect()
            }
            Ok(Together::TooLarge) => {
                spare(paces.cold);
                Vec::new()
            }
            Ok(Together::NotSupported) => {
                self.is_in_vain = true;
                Vec::new()
            }
            // Nobody is asked anything now, and afterwards it is due for all.
            Err(error) if blame(error) == Blame::Server => Vec::new(),
            Ok(Together::Unsettled) | Err(_) => {
                // It cost twice its price, and may do so again.
                spare(paces.cold / 3);
                Vec::new()
            }
        };
        if matches!(outcome, Ok(Together::Folders(_))) {
            let passed: HashSet<DirId> = renewed.iter().copied().collect();
            let asked = plan.folders.iter().copied().map(DirId::Folder);
            self.singly.extend(asked.filter(|dir| !passed.contains(dir)));
        }
        renewed
    }

    /// Those whose last look of their own is longest ago, if that is too long.
    fn left_out<'a>(&mut self, dirs: impl Iterator<Item = &'a DirId>, now: Moment) -> HashSet<DirId> {
        let mut old: Vec<(Moment, DirId)> = dirs
            .map(|dir| (*self.by_itself.entry(*dir).or_insert(now), *dir))
            .filter(|(at, _)| now.since(*at) >= BY_ITSELF)
            .collect();
        old.sort_unstable();
        old.into_iter().take(LEFT_OUT).map(|(_, dir)| dir).collect()
    }

    /// A folder was looked at by itself.
    pub(super) fn looked(&mut self, dir: DirId, now: Moment) {
        self.singly.remove(&dir);
        self.by_itself.insert(dir, now);
    }

    /// Forgets what is of no concern any more.
    pub(super) fn retain(&mut self, is_known: impl Fn(&DirId) -> bool) {
        self.singly.retain(&is_known);
        self.by_itself.retain(|dir, _| is_known(dir));
    }
}

/// Asks.
pub(super) fn sift(tree: &Tree, plan: Plan) -> BoxFuture<'static, Sifted> {
    let tree = tree.clone();
    Box::pin(async move {
        let outcome = async {
            let top = tree
                .freshen(DirId::Folder(plan.top), YOUNG, Urgency::Background)
                .await?;
            let folders = plan.folders.clone();
            tree.sift(plan.top, &top.stored, folders, plan.most, Urgency::Background)
                .await
        };
        let outcome = outcome.await;
        Sifted::Asked(plan, outcome)
    })
}

/// What is known to lie below a folder, itself included.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    due: usize,
    folders: usize,
    documents: usize,
}

impl Below {
    /// Requests to ask for all of it: the folder's own listing, its folders twice, its documents.
    fn price(self) -> usize {
        let pages = |rows: usize| rows.div_ceil(PAGE).max(1);
        SINGLE + 2 * pages(self.folders) + pages(self.documents)
    }
}

/// The question that saves most, if there is one that costs half of the single looks or less.
fn best(
    held: &[HeldFolder],
    due: &HashSet<FolderId>,
    soon: &[FolderId],
    spared: &HashSet<FolderId>,
) -> Option<Plan> {
    let mut parents: HashMap<FolderId, FolderId> = HashMap::new();
    for folder in held {
        parents.extend(folder.folders.iter().map(|child| (*child, folder.id)));
    }
    let mut below: HashMap<FolderId, Below> = HashMap::new();
    for folder in held {
        for top in way_up(folder.id, &parents) {
            let known = below.entry(top).or_default();
            known.due += usize::from(due.contains(&folder.id));
            known.folders += folder.folders.len();
            known.documents += folder.documents;
        }
    }
    let known: HashSet<FolderId> = held.iter().map(|folder| folder.id).collect();
    let pays = below
        .into_iter()
        .filter(|(top, _)| known.contains(top) && !spared.contains(top))
        .filter(|(_, below)| below.price() * 2 <= below.due * SINGLE)
        .filter(|(_, below)| below.folders + below.documents <= MOST_ROWS);
    // Of two that save the same the smaller one: what is not known may be larger in the other.
    let (top, Below { due: most_due, .. }) = pays.max_by_key(|(top, below)| {
        let saved = below.due * SINGLE - below.price();
        (saved, std::cmp::Reverse(below.folders + below.documents), *top)
    })?;
    let is_below =
        |folder: &FolderId| known.contains(folder) && way_up(*folder, &parents).any(|up| up == top);
    let folders = due.iter().chain(soon).copied().filter(is_below).collect();
    // Half of what single looks cost, less its own listing.
    let pages = most_due * SINGLE / 2 - SINGLE;
    Some(Plan {
        top,
        folders,
        due: most_due,
        most: (pages * PAGE).min(MOST_ROWS),
    })
}

/// A folder, the one it is in, and so on. Two old listings can make a circle; nothing in it comes twice.
fn way_up(from: FolderId, parents: &HashMap<FolderId, FolderId>) -> impl Iterator<Item = FolderId> {
    let mut seen = HashSet::new();
    std::iter::successors(Some(from), |here| parents.get(here).copied())
        .take_while(move |folder| seen.insert(*folder))
}

#[cfg(test)]
mod tests;
