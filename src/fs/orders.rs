//! The documents of a listing in the orders programs read them in.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::neighbours::{Candidate, Order, Shelf};
use crate::model::{DocumentId, Entry, ObjectId};
use crate::store::listing::{Listing, Row};
use crate::tree::Tree;
use crate::tree::inodes::Directory;

/// Documents that are so many others apart are not near each other, for anybody who asks.
const FAR: usize = 64;

/// Listings of more rows are not sorted: that takes some milliseconds for each ten thousand.
const MOST_ROWS: usize = 50_000;

/// How many sorted listings are kept: as many as there are programs that read whole folders at once, in most cases.
const MOST_KEPT: usize = 8;

/// Listings that were sorted lately, which each document that is read asks for again.
#[derive(Default)]
pub(super) struct Orders(Mutex<Vec<Arc<Sorted>>>);

/// The orders of one listing, each made when it is first asked for.
struct Sorted {
    directory: Directory,
    /// Not kept in memory by us.
    listing: Weak<Listing>,
    by_name: OnceLock<Option<Sequence>>,
    by_inode: OnceLock<Option<Sequence>>,
}

/// The documents among the rows in some order.
struct Sequence {
    /// Indices of rows.
    rows: Vec<usize>,
    /// Where in `rows` each row is; nowhere for a folder.
    places: Vec<Option<usize>>,
}

impl Sequence {
    fn new<K: Ord>(listing: &Listing, key: impl Fn(&Row) -> K) -> Option<Self> {
        let all = listing.rows();
        if all.len() > MOST_ROWS {
            return None;
        }
        let documents = all.iter().enumerate().filter(|(_, row)| document(row).is_some());
        let mut keyed: Vec<(K, usize)> = documents.map(|(at, row)| (key(row), at)).collect();
        keyed.sort_unstable();
        let rows: Vec<usize> = keyed.into_iter().map(|(_, at)| at).collect();
        let mut places = vec![None; all.len()];
        for (place, at) in rows.iter().enumerate() {
            places[*at] = Some(place);
        }
        Some(Self { rows, places })
    }
}

/// A listing, and the orders of it.
pub(super) struct ListedShelf<'a> {
    tree: &'a Tree,
    listing: Arc<Listing>,
    sorted: Arc<Sorted>,
}

impl Orders {
    /// The documents of `directory`; `None` where no listing of it is held.
    ///
    /// Asking for the first of an order sorts it, which blocks for up to some ten milliseconds.
    pub(super) fn of<'a>(&self, tree: &'a Tree, directory: Directory) -> Option<ListedShelf<'a>> {
        let listing = tree.held(directory)?.listing.clone();
        let this = Arc::downgrade(&listing);
        let mut kept = self.0.lock();
        let known = kept
            .iter()
            .position(|sorted| sorted.directory == directory && sorted.listing.ptr_eq(&this));
        let sorted = match known {
            Some(at) => kept.remove(at),
            None => {
                kept.retain(|sorted| sorted.directory != directory);
                if kept.len() >= MOST_KEPT {
                    kept.remove(0);
                }
                Arc::new(Sorted {
                    directory,
                    listing: this,
                    by_name: OnceLock::new(),
                    by_inode: OnceLock::new(),
                })
            }
        };
        // The one used last is the last.
        kept.push(sorted.clone());
        drop(kept);
        Some(ListedShelf {
            tree,
            listing,
            sorted,
        })
    }
}

fn document(row: &Row) -> Option<DocumentId> {
    match &*row.entry {
        Entry::Document(document) => Some(document.id),
        Entry::Folder(_) => None,
    }
}

impl ListedShelf<'_> {
    fn row(&self, document: DocumentId) -> Option<&Row> {
        self.listing.find(ObjectId::Document(document))
    }

    fn sequence(&self, order: Order) -> Option<&Sequence> {
        let Sorted {
            directory,
            by_name,
            by_inode,
            ..
        } = &*self.sorted;
        match order {
            Order::Slot => None,
            Order::Name => by_name
                .get_or_init(|| Sequence::new(&self.listing, |row| row.name.clone()))
                .as_ref(),
            Order::Inode => by_inode
                .get_or_init(|| Sequence::new(&self.listing, |row| self.tree.resolve(*directory, row).ino))
                .as_ref(),
        }
    }

    /// Where a document is in a sequence of this listing.
    fn place(&self, sequence: &Sequence, document: DocumentId) -> Option<usize> {
        let slot = self.row(document)?.slot;
        let at = self.listing.rows().partition_point(|row| row.slot < slot);
        *sequence.places.get(at)?
    }

    fn candidate(&self, row: &Row) -> Option<Candidate> {
        Some(Candidate {
            document: document(row)?,
            // A length nobody knows yet is learnt by whoever looks at it.
            bytes: self.tree.tag(row)?.size.unwrap_or(0),
        })
    }
}

impl Shelf for ListedShelf<'_> {
    fn between(&self, order: Order, first: DocumentId, second: DocumentId) -> Option<usize> {
        if order == Order::Slot {
            let (first, second) = (self.row(first)?.slot, self.row(second)?.slot);
            let between = self.listing.rows_after(first).iter();
            let between = between
                .take_while(|row| row.slot < second)
                .filter(|row| document(row).is_some());
            return (first < second).then(|| between.take(FAR).count());
        }
        let sequence = self.sequence(order)?;
        let (first, second) = (self.place(sequence, first)?, self.place(sequence, second)?);
        second.checked_sub(first)?.checked_sub(1)
    }

    fn after(&self, order: Order, from: DocumentId, count: usize) -> Vec<Candidate> {
        if order == Order::Slot {
            let rows = self.row(from).map(|row| self.listing.rows_after(row.slot));
            let rows = rows.unwrap_or_default().iter();
            return rows.filter_map(|row| self.candidate(row)).take(count).collect();
        }
        let after = self.sequence(order).and_then(|sequence| {
            let place = self.place(sequence, from)?;
            sequence.rows.get(place + 1..)
        });
        let rows = after.unwrap_or_default().iter().take(count);
        rows.filter_map(|at| self.candidate(self.listing.rows().get(*at)?))
            .collect()
    }
}
