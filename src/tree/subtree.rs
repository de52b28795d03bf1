//! What lies below a folder, by few questions: listings of folders that had none, and word that others are unchanged.
//!
//! Taking listings from a subtree is simple until you consider that:
//! 1. a folder without rows is not proved empty, and one that was listed before is proved by what it had;
//! 2. people and other processes list the same folders meanwhile, and their word is the better one;
//! 3. it is asked for by who has time, and a datasource does not fit into memory.
//!
//! So only folders that have rows, and of which nothing was ever known, are put in place, and anything that is there by
//! then stands: 1, 2. Of folders that were listed before only the age is renewed, where every row is as it was: 1. Every
//! question is bounded: 3.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt as _};

use super::commit::{Answered, Asked};
use super::{Inner, Tree, TreeError, dir_object};
use crate::catalog::Proof;
use crate::model::{DirId, Entry, FolderId, ObjectId, Timestamp};
use crate::remote::{Progress, RemoteError, Subtree, Urgency, UrgencyHandle, with_urgency};
use crate::store::StoredListing;
use crate::store::listing::Listing;

/// As many folders are put in place at once: those that stand in the queue for the catalog together are kept together,
/// and memory holds them in any case.
const AT_ONCE: usize = 128;

/// So many folders without a listing make a subtree worth a question: one costs no less by itself.
const LEAST: usize = 2;

/// What came of a question for everything below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Together {
    /// It served these folders.
    Folders(Vec<FolderId>),
    /// There is more below than was wanted.
    TooLarge,
    /// Not this time.
    Unsettled,
    /// The server does not do it.
    NotSupported,
}

/// A folder whose listing is in memory, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFolder {
    /// The folder.
    pub id: FolderId,
    /// Its child folders.
    pub folders: Vec<FolderId>,
    /// How many documents it has.
    pub documents: usize,
}

impl Tree {
    /// Puts the listings of the folders below `dir` in place that were never listed and are not empty, asked for
    /// together, where at least two of its own folders were not; says which.
    ///
    /// `listing` is that of `dir`, asked for just now; `most` is how many rows may come. A tree in whose place another
    /// process lists asks for nothing.
    ///
    /// # Errors
    /// Those of a server that could not be asked. It says nothing of whether single listings work.
    pub async fn plant(
        &self,
        dir: FolderId,
        listing: &StoredListing,
        most: usize,
        urgency: Urgency,
    ) -> Result<Together, TreeError> {
        let inner = &self.0;
        let children: Vec<FolderId> = folders_of(listing.listing.entries().map(|entry| &**entry)).collect();
        if inner.unlisted(children, LEAST).await.len() < LEAST {
            return Ok(Together::Folders(Vec::new()));
        }
        let times = inner.asking();
        let rows = match inner.below(dir, listing, most, urgency).await? {
            Ok(rows) => rows,
            Err(none) => return Ok(none),
        };
        let mut rows = by_parent(rows);
        // Parents first: whoever is killed in between finds the way to all that is there.
        let mut order = VecDeque::from([dir]);
        let mut found = Vec::new();
        while let Some(folder) = order.pop_front() {
            if let Some(inside) = rows.get(&folder) {
                order.extend(folders_of(inside));
                found.push(folder);
            }
        }
        found.retain(|folder| *folder != dir);
        let unlisted = inner.unlisted(found, usize::MAX).await;
        let listings: Vec<(FolderId, Vec<Entry>)> = unlisted
            .into_iter()
            .filter_map(|folder| Some((folder, rows.remove(&folder)?)))
            .collect();
        let planted = stream::iter(listings)
            .map(|(folder, entries)| async move {
                inner.put_first(folder, entries, times).await.then_some(folder)
            })
            .buffered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        Ok(Together::Folders(planted))
    }

    /// Asks for everything below `dir` and renews those of `folders` whose listing is, in every property of every row, as
    /// it was; says which. Nothing else is done with what is otherwise.
    ///
    /// The rest is as for [`Tree::plant`].
    pub async fn sift(
        &self,
        dir: FolderId,
        listing: &StoredListing,
        folders: Vec<FolderId>,
        most: usize,
        urgency: Urgency,
    ) -> Result<Together, TreeError> {
        let times = self.0.asking();
        let rows = match self.0.below(dir, listing, most, urgency).await? {
            Ok(rows) => by_parent(rows),
            Err(none) => return Ok(none),
        };
        let renewed = self.0.on_disk(move |inner| {
            let renews = |folder: &FolderId| inner.renew_unchanged(*folder, &rows, times);
            folders.into_iter().filter(renews).collect()
        });
        Ok(Together::Folders(renewed.await.unwrap_or_default()))
    }

    /// The folders whose listings are in memory. Looks at every entry: not for an async worker.
    pub fn held_folders(&self) -> Vec<HeldFolder> {
        let held = |(dir, stored): (DirId, Arc<StoredListing>)| match dir {
            DirId::Root => None,
            DirId::Folder(id) => {
                let folders: Vec<FolderId> =
                    folders_of(stored.listing.entries().map(|entry| &**entry)).collect();
                let documents = stored.listing.entries().count() - folders.len();
                Some(HeldFolder {
                    id,
                    folders,
                    documents,
                })
            }
        };
        self.0.store.all().into_iter().filter_map(held).collect()
    }
}

impl Inner {
    fn asking(&self) -> Asked {
        Asked {
            asked: self.clock.now(),
            asked_at: Timestamp::now(),
        }
    }

    /// Everything below `dir`, or why there is nothing.
    async fn below(
        &self,
        dir: FolderId,
        listing: &StoredListing,
        most: usize,
        urgency: Urgency,
    ) -> Result<Result<Vec<Entry>, Together>, RemoteError> {
        if self.is_led() {
            return Ok(Err(Together::Unsettled));
        }
        let children: Vec<ObjectId> = listing.listing.entries().map(|entry| entry.id()).collect();
        let progress = Progress::new();
        let asking = self.remote.subtree(dir, &children, most, &progress);
        let answer = with_urgency(UrgencyHandle::new(urgency), asking).await?;
        self.unanswered.store(false, Ordering::Relaxed);
        Ok(match answer {
            Subtree::Rows(rows) => Ok(rows),
            Subtree::TooLarge => Err(Together::TooLarge),
            Subtree::Unsettled => Err(Together::Unsettled),
            Subtree::NotSupported => Err(Together::NotSupported),
        })
    }

    /// The first `most` of those of `folders` of which nothing was ever known, in their order.
    async fn unlisted(self: &Arc<Self>, folders: Vec<FolderId>, most: usize) -> Vec<FolderId> {
        let unlisted = self.on_disk(move |inner| {
            let unlisted = folders.into_iter().filter(|folder| inner.is_unlisted(*folder));
            unlisted.take(most).collect()
        });
        unlisted.await.unwrap_or_default()
    }

    /// True where no listing, no failure and no telling of `folder` is known, and nobody is asking. Blocks.
    fn is_unlisted(&self, folder: FolderId) -> bool {
        let dir = DirId::Folder(folder);
        if self.store.get(dir).is_some()
            || self.store.residue(dir).is_some()
            || self.denials.lock().contains_key(&dir_object(dir))
            || self.flights.is_under_way(dir)
        {
            return false;
        }
        let is_kept = self.catalog.as_ref().map(|catalog| catalog.knows(self.key(dir)));
        match is_kept.transpose() {
            Ok(Some(true)) => false,
            Ok(Some(false) | None) => self.expected(dir).is_empty(),
            Err(error) => {
                self.catalog_failed(&error);
                false
            }
        }
    }

    /// Puts the first listing of a folder in place; false where another one was sooner.
    async fn put_first(self: &Arc<Self>, folder: FolderId, entries: Vec<Entry>, times: Asked) -> bool {
        let answered = Answered {
            entries,
            proof: Proof::Paged,
            validator: None,
            departed: Vec::new(),
            first: true,
        };
        self.commit(DirId::Folder(folder), answered, times)
            .await
            .is_some_and(|stored| stored.arrival.fetched == times.asked)
    }

    /// Renews the listing of `folder` if its `rows` are what it has, or leaves it where it is newer; false where it must
    /// be looked at. Blocks.
    fn renew_unchanged(&self, folder: FolderId, rows: &HashMap<FolderId, Vec<Entry>>, times: Asked) -> bool {
        let dir = DirId::Folder(folder);
        let Some(held) = self.store.get(dir).or_else(|| self.adopt(dir)) else {
            return false;
        };
        if held.arrival.fetched >= times.asked {
            return true;
        }
        // That it refuses is its own word, and what else is told of it does not end that.
        if self.denials.lock().contains_key(&dir_object(dir)) {
            return false;
        }
        // Without rows it may be hidden as well as empty.
        let is_unchanged = rows.get(&folder).is_some_and(|rows| is_same(rows, &held.listing));
        is_unchanged && self.renew(dir, Some(&held.listing), times).is_some()
    }
}

fn folders_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> impl Iterator<Item = FolderId> {
    entries.into_iter().filter_map(|entry| match entry {
        Entry::Folder(folder) => Some(folder.id),
        Entry::Document(_) => None,
    })
}

fn by_parent(rows: Vec<Entry>) -> HashMap<FolderId, Vec<Entry>> {
    let mut by_parent: HashMap<FolderId, Vec<Entry>> = HashMap::new();
    for row in rows {
        if let Some(parent) = row.parent() {
            by_parent.entry(parent).or_default().push(row);
        }
    }
    by_parent
}

/// True if the listing has these rows and no others, in every property.
fn is_same(rows: &[Entry], listing: &Listing) -> bool {
    let rows: HashMap<ObjectId, &Entry> = rows.iter().map(|row| (row.id(), row)).collect();
    let mut count = 0;
    let all = listing.entries().all(|entry| {
        count += 1;
        rows.get(&entry.id()).is_some_and(|row| **row == **entry)
    });
    all && count == rows.len()
}
