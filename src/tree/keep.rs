//! How a listing is found again, renewed, rebuilt, and taken over from another process; `tree/commit.rs` keeps it.
//!
//! The order is always the same: catalog and journal, then memory, then whoever waits, the kernel last. A catalog that
//! fails costs what it would have saved, and nothing else: the listing is then held in memory alone, and the next one
//! that can be kept is compared with what the catalog has.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::commit::Asked;
use super::{Inner, Written, dir_object};
use crate::catalog::{self, Catalog, CatalogError, Departure, DirKey, SavedListing, Trouble};
use crate::model::{ContentTag, DirId, DocumentId, Entry, FolderId, Guid, ObjectId, Timestamp};
use crate::names::Place;
use crate::remote::Urgency;
use crate::store::listing::{Draft, Listing};
use crate::store::{Arrival, StoredListing};

/// Under which name the catalog keeps what was learnt of the server.
const LESSONS: &str = "server lessons";

/// What an earlier run left in the catalog, read before the tree begins.
pub struct Kept {
    pub(super) catalog: Catalog,
    pub(super) amendments: Vec<(DocumentId, ContentTag, ContentTag)>,
    pub(super) salts: Vec<(String, u32)>,
    /// What was learnt of the server.
    pub(super) lessons: String,
    /// The newest write that was there: later ones are another process's, or our own.
    pub(super) head: u64,
    /// What the server refused.
    pub(super) refused: HashSet<Guid>,
}

impl Kept {
    /// Reads it. Blocks.
    pub fn read(catalog: Catalog) -> Result<Self, CatalogError> {
        Ok(Self {
            amendments: catalog.amendments()?,
            salts: catalog.salts()?,
            lessons: catalog.fact(LESSONS)?.unwrap_or_default(),
            head: catalog.since(u64::MAX)?.1,
            refused: catalog.refused()?,
            catalog,
        })
    }
}

impl Inner {
    /// The key of `dir` in the catalog.
    pub(super) fn key(&self, dir: DirId) -> DirKey {
        catalog::key_of(dir, self.root_key)
    }

    /// Runs what blocks on the catalog, away from the workers.
    pub(super) async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let inner = self.clone();
        // It ends early only with the process, or by a panic that was reported where it happened.
        tokio::task::spawn_blocking(move || work(&inner)).await.ok()
    }

    /// Takes the listing of `dir` from the catalog where memory has none.
    pub(super) async fn recall(self: &Arc<Self>, dir: DirId) {
        if self.catalog.is_none() || self.store.get(dir).is_some() {
            return;
        }
        self.on_disk(move |inner| inner.adopt(dir)).await;
    }

    /// Takes the listing of `dir` from the catalog, unless memory has that one or a later one. Blocks.
    pub(super) fn adopt(&self, dir: DirId) -> Option<Arc<StoredListing>> {
        let catalog = self.catalog.as_ref()?;
        // Most of what is asked for the first time was never kept: whoever finds that out waits for nobody.
        if !catalog.keeps(self.key(dir)).unwrap_or(true) {
            return self.store.get(dir);
        }
        let _alone = self.commits.lock();
        let held = self.store.get(dir);
        let saved = match catalog.load(self.key(dir)) {
            Ok(saved) => saved?,
            Err(error) => {
                self.catalog_failed(&error);
                return held;
            }
        };
        let is_news = held.as_ref().is_none_or(|held| {
            let renewed = || self.clock.moment(&saved.fetched) > held.arrival.fetched;
            held.arrival
                .commit
                .is_some_and(|commit| commit < saved.commit || (commit == saved.commit && renewed()))
        });
        if !is_news {
            return held;
        }
        Some(self.take(dir, saved, held.as_ref()))
    }

    /// Puts a listing of the catalog into memory, and tells the kernel what of it is news. `commits` is held.
    pub(super) fn take(
        &self,
        dir: DirId,
        saved: SavedListing,
        held: Option<&Arc<StoredListing>>,
    ) -> Arc<StoredListing> {
        let residue = self.store.residue(dir);
        self.store.note_residues(&saved.below);
        let fetched = self.clock.moment(&saved.fetched);
        let listing = if saved.listing.shows(self.config.placeholders) {
            saved.listing
        } else {
            // Kept by a mount that shows it in another way.
            let entries = saved.listing.entries().cloned().collect();
            self.build(dir, entries, Some(&saved.listing), held.map(|held| &**held))
        };
        let arrival = Arrival {
            fetched,
            fetched_at: saved.fetched.wall,
            landed: fetched,
            proof: saved.proof,
            validator: saved.validator,
            commit: Some(saved.commit),
        };
        let stored = Arc::new(StoredListing::succeed(held.map(|held| &**held), listing, arrival));
        self.store.put(dir, stored.clone());
        match (held, residue) {
            (Some(held), _) => self.announce(dir, &held.listing, &stored.listing),
            // What made room in memory and is the same still tells the kernel nothing new.
            (None, Some(residue)) if residue == stored.listing.residue() => {}
            (None, Some(_)) => self.announce_anew(dir),
            (None, None) => {}
        }
        stored
    }

    /// The server said that what is held of `dir` is unchanged: that listing itself, where one is given. Blocks. `None`
    /// where it is held no more.
    pub(super) fn renew(
        &self,
        dir: DirId,
        only: Option<&Arc<Listing>>,
        times: Asked,
    ) -> Option<Arc<StoredListing>> {
        let _alone = self.commits.lock();
        let held = self.store.get(dir)?;
        if only.is_some_and(|only| !Arc::ptr_eq(only, &held.listing) || held.arrival.fetched >= times.asked) {
            return None;
        }
        let stored = Arc::new(held.renewed(times.asked, times.asked_at, self.clock.now()));
        if let (Some(catalog), Some(commit)) = (&self.catalog, held.arrival.commit) {
            let stamp = self.clock.stamp(times.asked, times.asked_at);
            match catalog.unchanged(self.key(dir), commit, stamp) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => self.catalog_failed(&error),
            }
            self.clear_trouble(dir_object(dir));
        }
        self.store.put(dir, stored.clone());
        if stored.arrival.commit.is_some() {
            self.tell(Written::Renewed { dir: self.key(dir) });
        }
        Some(stored)
    }

    /// Builds the listing of `dir` anew from the entries it has, after something else was learnt of them. Blocks.
    pub(super) fn rebuild(&self, dir: DirId) {
        let _alone = self.commits.lock();
        let Some(held) = self.store.get(dir) else {
            return;
        };
        let entries: Vec<Arc<Entry>> = held.listing.entries().cloned().collect();
        let mut arrival = held.arrival.clone();
        let mut kept = None;
        if let (Some(catalog), Some(commit)) = (&self.catalog, held.arrival.commit) {
            let rebuilt = catalog.rebuild(self.key(dir), &mut |saved| {
                // Another process's listing may have other entries; they are what counts.
                let (entries, before) = if saved.commit == commit {
                    (entries.clone(), &held.listing)
                } else {
                    (saved.listing.entries().cloned().collect(), &saved.listing)
                };
                let listing = self.build(dir, entries, Some(before), Some(&held));
                kept = Some(listing.clone());
                listing
            });
            match rebuilt {
                Ok(commit) => arrival.commit = commit,
                Err(error) => {
                    self.catalog_failed(&error);
                    (kept, arrival.commit) = (None, None);
                }
            }
        }
        let listing = kept.unwrap_or_else(|| self.build(dir, entries, Some(&held.listing), Some(&held)));
        self.put(dir, Some(&held), listing, arrival);
    }

    pub(super) fn build(
        &self,
        dir: DirId,
        entries: Vec<Arc<Entry>>,
        previous: Option<&Listing>,
        held: Option<&StoredListing>,
    ) -> Arc<Listing> {
        let now = Timestamp::now();
        Arc::new(Listing::build(Draft {
            place: if dir == DirId::Root {
                Place::Root
            } else {
                Place::Folder
            },
            entries,
            previous,
            residue: self.store.residue(dir),
            tag: &|document| self.tag(document),
            placeholders: self.config.placeholders,
            now,
            unlisted_mtime: self.unlisted_mtime(dir).unwrap_or(now),
            generation: self.generation(previous, held),
        }))
    }

    /// The last step: memory, then the kernel. `commits` is held.
    pub(super) fn put(
        &self,
        dir: DirId,
        held: Option<&StoredListing>,
        listing: Arc<Listing>,
        arrival: Arrival,
    ) -> Arc<StoredListing> {
        let residue = self.store.residue(dir);
        let stored = Arc::new(StoredListing::succeed(held, listing, arrival));
        self.store.put(dir, stored.clone());
        match held {
            Some(held) => self.announce(dir, &held.listing, &stored.listing),
            // It was listed before and had to make room: nobody knows any more what the kernel was told.
            None if residue.is_some_and(|residue| residue != stored.listing.residue()) => {
                self.announce_anew(dir);
            }
            None => {}
        }
        if let Some(commit) = stored.arrival.commit {
            self.tell(Written::Kept {
                commit,
                dir: self.key(dir),
            });
        }
        stored
    }

    /// A generation that no reader of this directory can still have in hand.
    fn generation(&self, previous: Option<&Listing>, held: Option<&StoredListing>) -> u16 {
        loop {
            let generation = self.next_generation.fetch_add(1, Ordering::Relaxed);
            if previous.is_none_or(|previous| previous.generation != generation)
                && held.is_none_or(|held| !held.remembers(generation))
            {
                return generation;
            }
        }
    }

    /// Notes that listing or reading `object` failed, for whoever asks why. Blocks.
    pub(super) fn note_trouble(&self, object: ObjectId, text: String, refused: bool) {
        let trouble = Trouble {
            at: Timestamp::now(),
            text,
            refused,
        };
        self.keep_trouble(object, Some(&trouble));
    }

    /// Notes that the server gives what is in `object`. Blocks.
    pub(super) fn clear_trouble(&self, object: ObjectId) {
        self.keep_trouble(object, None);
    }

    fn keep_trouble(&self, object: ObjectId, trouble: Option<&Trouble>) {
        if let Some(catalog) = &self.catalog
            && let Err(error) = catalog.note_trouble(object.guid(), trouble)
        {
            self.catalog_failed(&error);
        }
    }

    /// Keeps what was learnt of the server, if that is news.
    pub(super) fn keep_lessons(&self, catalog: &Catalog) {
        let lessons = self.remote.lessons();
        let mut kept = self.lessons.lock();
        if *kept != lessons {
            match catalog.set_fact(LESSONS, &lessons) {
                Ok(()) => *kept = lessons,
                Err(error) => self.catalog_failed(&error),
            }
        }
    }

    /// Removes the listings of folders that are gone: nobody would ever look at them again.
    pub(super) fn forget_gone(&self, catalog: &Catalog, departed: &[(ObjectId, Departure)]) {
        for (object, departure) in departed {
            let gone = match departure {
                Departure::Deleted | Departure::Denied | Departure::Unknown => true,
                Departure::Moved(_) | Departure::Superseded => false,
            };
            if let ObjectId::Folder(folder) = object
                && gone
                && let Err(error) = catalog.forget(*folder)
            {
                self.catalog_failed(&error);
            }
        }
    }

    /// Has folders listed anew into which something moved.
    pub(super) fn look_at(&self, folders: Vec<FolderId>) {
        if let Some(tree) = self.this.upgrade() {
            for folder in folders {
                let _joined =
                    super::Tree(tree.clone()).flight(DirId::Folder(folder), true, Urgency::Background);
            }
        }
    }

    /// What `dir` is to be asked about although its listing may not have it: what moved here or from here and was not seen
    /// to arrive, and what the journal told of it before its listing was lost with the cache. Blocks.
    pub(super) fn expected(&self, dir: DirId) -> Vec<ObjectId> {
        let (Some(catalog), DirId::Folder(folder)) = (&self.catalog, dir) else {
            return Vec::new();
        };
        let on_their_way = catalog.expected(folder);
        let told = match self.store.get(dir) {
            Some(_) => Ok(Vec::new()),
            None => catalog.told_in(self.key(dir)),
        };
        match (on_their_way, told) {
            (Ok(on_their_way), Ok(told)) => {
                let all: HashSet<_> = on_their_way.into_iter().chain(told).collect();
                all.into_iter().collect()
            }
            (Err(error), _) | (_, Err(error)) => {
                self.catalog_failed(&error);
                Vec::new()
            }
        }
    }

    /// Keeps what a download told of a document, or (`None`) that it is past. Blocks.
    pub(super) fn keep_amendment(&self, document: DocumentId, amendment: Option<(ContentTag, ContentTag)>) {
        if let Some(catalog) = &self.catalog
            && let Err(error) = catalog.set_amendment(document, amendment)
        {
            self.catalog_failed(&error);
        }
    }

    /// Says once that the catalog fails, and once that it works again would be too much: the next start tells.
    pub(super) fn catalog_failed(&self, error: &CatalogError) {
        let is_the_end = matches!(error, CatalogError::Closed);
        if is_the_end || self.catalog_has_failed.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "the catalog failed again");
        } else {
            tracing::warn!(%error, "the catalog cannot be kept; listings are held in memory only");
        }
    }
}
