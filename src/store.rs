//! Metadata by folder: the listings that were proved, with their age and the generations before.
//!
//! Held in memory and bounded by bytes; one folder's listing is the unit, dropped whole and never entry by entry. What
//! must outlive it, so that the kernel and slow readers are not led astray, is its [`Residue`].

use std::collections::HashMap;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::model::{DirId, Timestamp};

pub mod listing;

use listing::Listing;

/// How many generations before the present one a slow reader may still be reading.
const OLDER_GENERATIONS: usize = 3;

/// What a row costs in memory, about: the row, its entry with five short texts, and two index slots.
const ROW_BYTES: usize = 900;

/// The last proved listing of a directory.
#[derive(Debug, Clone)]
pub struct StoredListing {
    /// The listing.
    pub listing: Arc<Listing>,
    /// When the server was asked for it.
    pub fetched: Moment,
    /// The same by the wall clock, to show.
    pub fetched_at: Timestamp,
    /// When the answer was complete: a slow listing is older than that.
    pub landed: Moment,
    older: Vec<Arc<Listing>>,
}

impl StoredListing {
    /// Puts `listing` in the place of `previous`, which stays readable for those who began with it.
    pub fn succeed(
        previous: Option<&Self>,
        listing: Listing,
        fetched: Moment,
        fetched_at: Timestamp,
        landed: Moment,
    ) -> Self {
        let older = match previous {
            None => Vec::new(),
            Some(previous) if previous.listing.generation == listing.generation => previous.older.clone(),
            Some(previous) => {
                let mut older = vec![previous.listing.clone()];
                older.extend(previous.older.iter().take(OLDER_GENERATIONS - 1).cloned());
                older
            }
        };
        Self {
            listing: Arc::new(listing),
            fetched,
            fetched_at,
            landed,
            older,
        }
    }

    /// True if a reader may still be reading this generation.
    pub fn remembers(&self, generation: u16) -> bool {
        self.listing.generation == generation || self.older.iter().any(|older| older.generation == generation)
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
    listings: Cache<DirId, Arc<StoredListing>>,
    /// Of every directory ever listed: a few dozen bytes each.
    residues: Mutex<HashMap<DirId, Residue>>,
}

/// The most one listing may count for, as a share of the bound: one that counts for more than the whole would not be
/// kept at all, and every piece of such a directory would cost a listing.
const LARGEST_SHARE: u64 = 4;

impl MetadataStore {
    /// A store that holds at most about `bytes`.
    pub fn new(bytes: u64) -> Self {
        let largest = usize::try_from(bytes / LARGEST_SHARE).unwrap_or(usize::MAX);
        let weigh = move |_: &DirId, stored: &Arc<StoredListing>| {
            let rows: usize = stored.older.iter().map(|l| l.len()).sum::<usize>() + stored.listing.len();
            u32::try_from(((rows + 1) * ROW_BYTES).min(largest)).unwrap_or(u32::MAX)
        };
        // Least recently used and not the default policy, which may refuse a newcomer: a listing that was just
        // proved must be there for the reader's next piece.
        let policy = EvictionPolicy::lru();
        let listings = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigh)
            .eviction_policy(policy)
            .build();
        Self {
            listings,
            residues: Mutex::default(),
        }
    }

    /// The last proved listing of `dir`, however old.
    pub fn get(&self, dir: DirId) -> Option<Arc<StoredListing>> {
        self.listings.get(&dir)
    }

    /// What is known of `dir` although its listing may have made room.
    pub fn residue(&self, dir: DirId) -> Option<Residue> {
        self.residues.lock().get(&dir).copied()
    }

    /// Replaces the listing of `dir`.
    pub fn put(&self, dir: DirId, stored: Arc<StoredListing>) {
        self.residues.lock().insert(dir, stored.listing.residue());
        self.listings.insert(dir, stored);
    }

    /// Bytes and entries known, over all listings held.
    pub fn totals(&self) -> (u64, u64) {
        self.listings
            .iter()
            .fold((0, 0), |(bytes, entries), (_, stored)| {
                (
                    bytes.saturating_add(stored.listing.bytes()),
                    entries + stored.listing.rows().len() as u64,
                )
            })
    }
}
