//! Metadata by folder: the listings that were proved, with their age and the generations before.
//!
//! Held in memory and bounded by bytes; one folder's listing is the unit, dropped whole and never entry by entry. What
//! must outlive it, so that the kernel and slow readers are not led astray, is its [`Residue`].

use std::collections::HashMap;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};

use crate::clock::Moment;
use crate::model::{DirId, FolderId, Timestamp};

pub mod listing;

use listing::Listing;

/// How many generations before the present one a slow reader may still be reading.
const OLDER_GENERATIONS: usize = 3;

/// What a listing costs beside its rows, about: its own fields, and its place in the cache.
const LISTING_BYTES: usize = 500;

/// How far a listing is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By its pages alone: there was nothing to compare it with.
    Paged,
    /// What had left was asked for by id.
    Compared,
    /// It was asked for twice.
    Confirmed,
}

/// Where a listing comes from, and how old it is.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When the server was asked for it, or last said that it is unchanged.
    pub fetched: Moment,
    /// The same by the wall clock, to show.
    pub fetched_at: Timestamp,
    /// When the answer was complete: a slow listing is older than that.
    pub landed: Moment,
    /// How far it is proved.
    pub proof: Proof,
    /// What the server gave to ask "has it changed" with.
    pub validator: Option<String>,
    /// The number it is kept under in the catalog; `None` where it is in memory only.
    pub commit: Option<u64>,
}

/// The last proved listing of a directory.
#[derive(Debug, Clone)]
pub struct StoredListing {
    /// The listing.
    pub listing: Arc<Listing>,
    /// Where it comes from, and how old it is.
    pub arrival: Arrival,
    older: Vec<Arc<Listing>>,
}

impl StoredListing {
    /// Puts `listing` in the place of `previous`, which stays readable for those who began with it.
    pub fn succeed(previous: Option<&Self>, listing: Arc<Listing>, arrival: Arrival) -> Self {
        let mut older = match previous {
            None => Vec::new(),
            Some(previous) if previous.listing.generation == listing.generation => previous.older.clone(),
            Some(previous) => {
                let mut older = vec![previous.listing.clone()];
                older.extend(previous.older.iter().take(OLDER_GENERATIONS - 1).cloned());
                older
            }
        };
        // Another process numbers its generations by itself. Whoever reads an older one of the same number goes on by
        // slot in this one.
        older.retain(|older| older.generation != listing.generation);
        Self {
            listing,
            arrival,
            older,
        }
    }

    /// The same listing with another age: the server said that it is unchanged.
    #[must_use]
    pub fn renewed(&self, fetched: Moment, fetched_at: Timestamp, landed: Moment) -> Self {
        Self {
            arrival: Arrival {
                fetched,
                fetched_at,
                landed,
                ..self.arrival.clone()
            },
            ..self.clone()
        }
    }

    /// True if a reader may still be reading this generation.
    pub fn remembers(&self, generation: u16) -> bool {
        self.listing.generation == generation || self.older.iter().any(|older| older.generation == generation)
    }

    /// The present listing and those before it that are remembered, the newest first.
    pub fn generations(&self) -> impl Iterator<Item = &Arc<Listing>> {
        std::iter::once(&self.listing).chain(&self.older)
    }

    /// The listing a reader of this generation goes on in: its own while it is remembered, else the present one.
    pub fn generation(&self, generation: Option<u16>) -> &Arc<Listing> {
        self.older
            .iter()
            .find(|older| Some(older.generation) == generation)
            .unwrap_or(&self.listing)
    }
}

/// What is kept of a directory that was listed once, when its listing had to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residue {
    /// The directory's mtime as last told; it never goes back.
    pub changed: Timestamp,
    /// The first slot no reader has seen.
    pub next_slot: u64,
}

/// All listings held.
#[derive(Debug)]
pub struct MetadataStore {
    listings: RwLock<Cache<DirId, Arc<StoredListing>>>,
    /// About how many bytes they may take.
    most: u64,
    /// Of every directory ever listed: a few dozen bytes each.
    residues: Mutex<HashMap<DirId, Residue>>,
}

/// The most one listing may count for, as a share of the bound: one that counts for more than the whole would not be
/// kept at all, and every piece of such a directory would cost a listing.
const LARGEST_SHARE: u64 = 4;

/// A cache of listings that take at most about `bytes`.
fn cache(bytes: u64) -> Cache<DirId, Arc<StoredListing>> {
    let largest = usize::try_from(bytes / LARGEST_SHARE).unwrap_or(usize::MAX);
    let weigh = move |_: &DirId, stored: &Arc<StoredListing>| {
        // Generations share what stayed the same; taken for more than it is, a busy folder makes room sooner.
        let listings = stored.generations();
        let bytes: usize = listings.map(|listing| listing.memory() + LISTING_BYTES).sum();
        u32::try_from(bytes.min(largest)).unwrap_or(u32::MAX)
    };
    // Least recently used and not the default policy, which may refuse a newcomer: a listing that was just
    // proved must be there for the reader's next piece.
    Cache::builder()
        .max_capacity(bytes)
        .weigher(weigh)
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

impl MetadataStore {
    /// A store that holds at most about `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self {
            listings: RwLock::new(cache(bytes)),
            most: bytes,
            residues: Mutex::default(),
        }
    }

    /// The last proved listing of `dir`, however old.
    pub fn get(&self, dir: DirId) -> Option<Arc<StoredListing>> {
        self.listings.read().get(&dir)
    }

    /// All listings held.
    pub fn all(&self) -> Vec<(DirId, Arc<StoredListing>)> {
        let listings = self.listings.read();
        listings.iter().map(|(dir, stored)| (*dir, stored)).collect()
    }

    /// What is known of `dir` although its listing may have made room.
    pub fn residue(&self, dir: DirId) -> Option<Residue> {
        self.residues.lock().get(&dir).copied()
    }

    /// Notes what is known of directories that are not held.
    pub fn note_residues(&self, residues: &[(FolderId, Residue)]) {
        let mut known = self.residues.lock();
        for (folder, residue) in residues {
            known.entry(DirId::Folder(*folder)).or_insert(*residue);
        }
    }

    /// Replaces the listing of `dir`.
    pub fn put(&self, dir: DirId, stored: Arc<StoredListing>) {
        self.residues.lock().insert(dir, stored.listing.residue());
        self.listings.read().insert(dir, stored);
    }

    /// Lets the listing of `dir` make room.
    pub fn release(&self, dir: DirId) {
        self.listings.read().invalidate(&dir);
    }

    /// Gives back the memory of what was released.
    ///
    /// The cache drops it with its next writes only, and keeps a small place for each key it ever had until its table is
    /// made anew; after a walk over fifty thousand folders each of those holds a page. So the table is made anew.
    pub fn settle(&self) {
        let mut listings = self.listings.write();
        let anew = cache(self.most);
        for (dir, stored) in listings.iter() {
            anew.insert(*dir, stored);
        }
        *listings = anew;
    }

    /// Bytes and entries known, over all listings held.
    pub fn totals(&self) -> (u64, u64) {
        let listings = self.listings.read();
        listings.iter().fold((0, 0), |(bytes, entries), (_, stored)| {
            (
                bytes.saturating_add(stored.listing.bytes()),
                entries + stored.listing.rows().len() as u64,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::listing::Parts;
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Entry, Folder, FolderId, Guid};
    use crate::names::FileName;
    use crate::store::listing::Row;

    /// The folder of this number, with so many folders in it.
    fn stored(number: u32, rows: u32) -> (DirId, Arc<StoredListing>) {
        let id = |number: u32| FolderId(Guid::from_bytes(u128::from(number).to_be_bytes()));
        let row = |at: u32| Row {
            slot: u64::from(at) + 3,
            name: FileName::new(&format!("folder {at}")).unwrap(),
            entry: Arc::new(Entry::Folder(Folder {
                id: id(at),
                parent: None,
                name: format!("folder {at}"),
                description: String::new(),
                work_area: false,
                created: None,
                updated: None,
                etag: None,
            })),
            tag: None,
        };
        let listing = Listing::restore(Parts {
            generation: 0,
            changed: Timestamp::UNIX_EPOCH,
            rows: (0..rows).map(row).collect(),
            hidden: Vec::new(),
            next_slot: u64::from(rows) + 3,
        });
        let now = Clock::manual().now();
        let arrival = Arrival {
            fetched: now,
            fetched_at: Timestamp::UNIX_EPOCH,
            landed: now,
            proof: Proof::Paged,
            validator: None,
            commit: None,
        };
        let stored = StoredListing::succeed(None, Arc::new(listing), arrival);
        (DirId::Folder(id(number)), Arc::new(stored))
    }

    #[test]
    fn listings_take_what_they_may_and_a_huge_one_is_kept_all_the_same() {
        const BOUND: u64 = 1 << 20;
        let store = MetadataStore::new(BOUND);
        for number in 0..200 {
            let (dir, listing) = stored(number, 100);
            store.put(dir, listing);
        }
        store.listings.read().run_pending_tasks();
        let cache = store.listings.read().clone();
        let listings = cache.iter();
        let held: u64 = listings.map(|(_, held)| held.listing.memory() as u64).sum();
        assert!(held > BOUND / 2 && held < BOUND, "{held} bytes are held");
        let (dir, listing) = stored(1000, 10_000);
        assert!(listing.listing.memory() as u64 > BOUND);
        store.put(dir, listing);
        store.listings.read().run_pending_tasks();
        assert!(store.get(dir).is_some());
        store.release(dir);
        assert!(store.get(dir).is_none() && store.residue(dir).is_some());
    }
}
