//! One proved listing of a directory: immutable, with names, slots and a generation; swapped whole.
//!
//! Reading a directory is simple until you consider that:
//! 1. the kernel reads it in pieces, with any time between two of them, and without an open call that could pin a
//!    snapshot (opendir is answered once and for all);
//! 2. meanwhile entries come and go, and a name may lead to another document;
//! 3. names must be legal, unique and the same every time, whatever the server's names are.
//!
//! The answer to 1 and 2 is the [`DirCookie`]: every entry has a slot it keeps for as long as it is there, listings
//! are read in slot order, and the cookie names generation and slot. A piece is cut from the generation the reader
//! began with while that is remembered, and goes on by slot in the present one after. [`crate::names`] answers 3.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;

use super::Residue;
use crate::model::{ContentTag, Document, DocumentKind, Entry, ObjectId, Timestamp};
use crate::names::{self, Candidate, FileName, Place};

/// Where a reader of a directory stands: after the entry of this slot, in this generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirCookie {
    /// Which snapshot the reader began with; `None` before its first piece.
    pub generation: Option<u16>,
    /// The last slot it has seen.
    pub slot: u64,
}

/// The slot of `.`; never an entry's.
pub const DOT_SLOT: u64 = 1;
/// The slot of `..`; never an entry's.
pub const DOT_DOT_SLOT: u64 = 2;
const FIRST_SLOT: u64 = 3;

/// 63 bits: the kernel takes an offset with the top bit set for an error.
const SLOT_BITS: u32 = 47;

impl DirCookie {
    /// The cookie of an offset the kernel gives back.
    pub const fn from_offset(offset: u64) -> Self {
        if offset == 0 {
            return Self {
                generation: None,
                slot: 0,
            };
        }
        Self {
            generation: Some(((offset >> SLOT_BITS) & 0xffff) as u16),
            slot: offset & ((1 << SLOT_BITS) - 1),
        }
    }

    /// The offset to give the kernel.
    pub fn offset(self) -> u64 {
        (u64::from(self.generation.unwrap_or(0)) << SLOT_BITS) | self.slot
    }
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place in reading order, kept while the entry is there.
    pub slot: u64,
    /// The name it is shown by.
    pub name: FileName,
    /// The folder or document.
    pub entry: Arc<Entry>,
    /// Which content; `None` for folders.
    pub tag: Option<ContentTag>,
}

impl Row {
    /// Whether the kernel calls this "the same": a new version is not.
    fn is_same(&self, earlier: &Self) -> bool {
        self.entry.id() == earlier.entry.id() && (self.tag == earlier.tag || self.has_learnt(earlier))
    }

    /// True if only the length was not known before: nobody was shown the file without one.
    fn has_learnt(&self, earlier: &Self) -> bool {
        match (earlier.tag, self.tag) {
            (Some(before), Some(now)) => before.size.is_none() && before == ContentTag { size: None, ..now },
            (None, _) | (_, None) => false,
        }
    }

    /// The file's length; `None` where it must be learnt first.
    pub fn size(&self) -> Option<u64> {
        self.tag.and_then(|tag| tag.size)
    }
}

/// A directory's children, all of them.
#[derive(Debug)]
pub struct Listing {
    /// Tells this membership from the ones before and after it.
    pub generation: u16,
    /// When the membership last changed: the directory's mtime.
    pub changed: Timestamp,
    /// Ascending by slot.
    rows: Vec<Row>,
    by_name: Index,
    by_id: Index,
    /// Part of the listing, and shown nowhere in the tree: documents without a file.
    hidden: Vec<Arc<Entry>>,
    next_slot: u64,
    bytes: u64,
    memory: usize,
}

/// Where the row of a name or an id is, without a copy of either.
type Index = HashTable<u32>;

/// Keyed anew in each process: names and ids are chosen by a server.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn hash(key: impl Hash) -> u64 {
    HASHER.hash_one(key)
}

/// An index of `rows`; of two with one key the later is found.
fn index<K: Hash + PartialEq>(rows: &[Row], key: impl Fn(&Row) -> K) -> Index {
    let mut index = Index::with_capacity(rows.len());
    let hash_at = |at: u32| hash(key(&rows[at as usize]));
    // Four thousand million rows are more than any memory holds.
    for (at, row) in (0..u32::MAX).zip(rows) {
        let key_of = key(row);
        let same = |&other: &u32| key(&rows[other as usize]) == key_of;
        match index.find_mut(hash(&key_of), same) {
            Some(earlier) => *earlier = at,
            None => {
                index.insert_unique(hash(&key_of), at, |&at| hash_at(at));
            }
        }
    }
    index
}

/// What a listing is made of, where it was kept.
#[derive(Debug)]
pub struct Parts {
    /// See [`Listing::generation`].
    pub generation: u16,
    /// See [`Listing::changed`].
    pub changed: Timestamp,
    /// In any order; slots and names all differ.
    pub rows: Vec<Row>,
    /// See [`Listing::hidden`].
    pub hidden: Vec<Arc<Entry>>,
    /// See [`Listing::next_slot`].
    pub next_slot: u64,
}

/// How to show what has no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placeholders {
    /// Not at all; the manifest has them.
    #[default]
    Hide,
    /// As files of no bytes.
    Empty,
}

/// What a listing is built from.
pub struct Draft<'a> {
    /// Whether these are the mount's own root entries, where `.pw` is taken.
    pub place: Place,
    /// Everything the server listed.
    pub entries: Vec<Arc<Entry>>,
    /// The listing before, if one is held: slots and the generation follow from it.
    pub previous: Option<&'a Listing>,
    /// What is left of a listing before that is held no more.
    pub residue: Option<Residue>,
    /// The content tag of a document, with what only downloads could tell.
    pub tag: &'a dyn Fn(&Document) -> ContentTag,
    /// How to show what has no file.
    pub placeholders: Placeholders,
    /// The present time.
    pub now: Timestamp,
    /// What the directory's mtime was said to be before it was ever listed.
    pub unlisted_mtime: Timestamp,
    /// The generation to take if the membership is new.
    pub generation: u16,
}

impl Listing {
    /// Builds the listing: names, slots, generation and mtime.
    pub fn build(draft: Draft<'_>) -> Self {
        let (shown, hidden): (Vec<_>, Vec<_>) = draft
            .entries
            .into_iter()
            .partition(|entry| is_shown(entry, draft.placeholders));
        let names = names::assign_names(
            draft.place,
            &shown.iter().map(|e| candidate(e)).collect::<Vec<_>>(),
        );
        let mut rows: Vec<Row> = shown
            .into_iter()
            .zip(names)
            .map(|(entry, name)| {
                let (entry, name) = shared(draft.previous, entry, name);
                let tag = match &*entry {
                    Entry::Folder(_) => None,
                    Entry::Document(document) => Some(shown_tag(document, draft.tag)),
                };
                Row {
                    slot: 0,
                    name,
                    entry,
                    tag,
                }
            })
            .collect();
        let first_slot = draft.residue.map_or(FIRST_SLOT, |residue| residue.next_slot);
        let next_slot = assign_slots(&mut rows, draft.previous, first_slot);
        rows.sort_unstable_by_key(|row| row.slot);
        let (generation, changed) = match draft.previous {
            Some(previous) if same_membership(&previous.rows, &rows) => {
                (previous.generation, previous.changed)
            }
            // Strictly increasing: the kernel drops its cached listing only when the mtime moves.
            Some(previous) => (draft.generation, draft.now.max(just_after(previous.changed))),
            None => match draft.residue {
                // Nobody knows whether it changed, so it did: the kernel may hold the one before.
                Some(residue) => (draft.generation, draft.now.max(just_after(residue.changed))),
                // Not "now": having been looked at is no change, and `tar` would call it one.
                None => (draft.generation, draft.unlisted_mtime),
            },
        };
        Self::restore(Parts {
            generation,
            changed,
            rows,
            hidden,
            next_slot,
        })
    }

    /// Puts a listing together again from what was kept of it.
    pub fn restore(parts: Parts) -> Self {
        let Parts {
            generation,
            changed,
            mut rows,
            hidden,
            next_slot,
        } = parts;
        rows.sort_unstable_by_key(|row| row.slot);
        rows.shrink_to_fit();
        let by_name = index(&rows, |row| row.name.clone());
        let by_id = index(&rows, |row| row.entry.id());
        let bytes = rows.iter().filter_map(Row::size).fold(0, u64::saturating_add);
        let memory = weight::of_rows(&rows)
            + hidden.iter().map(|entry| weight::of_entry(entry)).sum::<usize>()
            + by_name.allocation_size()
            + by_id.allocation_size();
        Self {
            generation,
            changed,
            rows,
            by_name,
            by_id,
            hidden,
            next_slot,
            bytes,
            memory,
        }
    }

    /// The entry shown by `name`.
    pub fn get(&self, name: &str) -> Option<&Row> {
        let is_it = |&at: &u32| self.rows[at as usize].name.as_str() == name;
        self.by_name
            .find(hash(name), is_it)
            .map(|&at| &self.rows[at as usize])
    }

    /// The row of this folder or document, whatever its version.
    pub fn find(&self, id: ObjectId) -> Option<&Row> {
        let is_it = |&at: &u32| self.rows[at as usize].entry.id() == id;
        self.by_id
            .find(hash(id), is_it)
            .map(|&at| &self.rows[at as usize])
    }

    /// What is to be kept of it when it must make room.
    pub const fn residue(&self) -> Residue {
        Residue {
            changed: self.changed,
            next_slot: self.next_slot,
        }
    }

    /// All rows, ascending by slot.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows after `slot`.
    pub fn rows_after(&self, slot: u64) -> &[Row] {
        let start = self.rows.partition_point(|row| row.slot <= slot);
        &self.rows[start..]
    }

    /// Everything the server listed, shown or not.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.rows.iter().map(|row| &row.entry).chain(&self.hidden)
    }

    /// Whether it shows what is without a file as `placeholders` has it; a mount that does otherwise may have kept it.
    pub fn shows(&self, placeholders: Placeholders) -> bool {
        self.rows.iter().all(|row| is_shown(&row.entry, placeholders))
            && !self.hidden.iter().any(|entry| is_shown(entry, placeholders))
    }

    /// What the server listed and the tree shows nowhere.
    pub fn hidden(&self) -> &[Arc<Entry>] {
        &self.hidden
    }

    /// The first slot no reader has seen.
    pub const fn next_slot(&self) -> u64 {
        self.next_slot
    }

    /// How many entries the server listed.
    pub fn len(&self) -> usize {
        self.rows.len() + self.hidden.len()
    }

    /// True if the server listed nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how much memory it takes, in bytes.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// The sum of all known lengths, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What the kernel must hear of when `old` gives way to `new`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Names that are gone, lead elsewhere, or are new.
    pub names: Vec<FileName>,
    /// Entries that are the same and whose attributes changed.
    pub attributes: Vec<ObjectId>,
}

impl Difference {
    /// Compares two listings of one directory.
    ///
    /// The name of a folder that stays is never among them: dropping it would cost every process inside its
    /// working directory.
    pub fn between(old: &Listing, new: &Listing) -> Self {
        let mut difference = Self::default();
        for row in &old.rows {
            if new.get(row.name.as_str()).is_none() {
                difference.names.push(row.name.clone());
            }
        }
        for row in &new.rows {
            match old.get(row.name.as_str()) {
                Some(before) if row.is_same(before) => {
                    if before.entry != row.entry {
                        difference.attributes.push(row.entry.id());
                    }
                }
                Some(_) | None => difference.names.push(row.name.clone()),
            }
        }
        difference
    }
}

/// The entry and its name as the listing before has them, where they are equal: most of a folder stays as it is, and the
/// generations that slow readers are in cost little more than one.
fn shared(previous: Option<&Listing>, entry: Arc<Entry>, name: FileName) -> (Arc<Entry>, FileName) {
    let Some(before) = previous.and_then(|previous| previous.find(entry.id())) else {
        return (entry, name);
    };
    let entry = if before.entry == entry {
        before.entry.clone()
    } else {
        entry
    };
    let name = if before.name == name {
        before.name.clone()
    } else {
        name
    };
    (entry, name)
}

fn is_shown(entry: &Entry, placeholders: Placeholders) -> bool {
    match entry {
        Entry::Folder(_) => true,
        Entry::Document(document) => match document.kind {
            DocumentKind::File => true,
            DocumentKind::Placeholder | DocumentKind::Set => placeholders == Placeholders::Empty,
        },
    }
}

fn candidate(entry: &Entry) -> Candidate<'_> {
    match entry {
        Entry::Folder(folder) => Candidate {
            id: ObjectId::Folder(folder.id),
            raw: &folder.name,
            created: folder.created,
        },
        Entry::Document(document) => Candidate {
            id: ObjectId::Document(document.id),
            raw: document.file_name.as_deref().unwrap_or(&document.name),
            created: document.created,
        },
    }
}

fn shown_tag(document: &Document, tag: &dyn Fn(&Document) -> ContentTag) -> ContentTag {
    let tag = tag(document);
    match document.kind {
        DocumentKind::File => tag,
        // There is no file to ask for its length.
        DocumentKind::Placeholder | DocumentKind::Set => ContentTag { size: Some(0), ..tag },
    }
}

/// Gives every row its slot and returns the next free one.
///
/// What was there keeps its slot. What takes over the name of something gone takes over its slot too, so that a new
/// version under a new GUID is never read a second time by someone who has passed it. The rest follows in name order.
fn assign_slots(rows: &mut [Row], previous: Option<&Listing>, first: u64) -> u64 {
    let mut next = previous.map_or(first, |previous| previous.next_slot);
    let present: HashSet<ObjectId> = rows.iter().map(|row| row.entry.id()).collect();
    let mut fresh: Vec<&mut Row> = Vec::new();
    for row in rows {
        let inherited = previous.and_then(|previous| {
            let kept = previous.find(row.entry.id());
            kept.or_else(|| {
                previous
                    .get(row.name.as_str())
                    .filter(|gone| !present.contains(&gone.entry.id()))
            })
        });
        match inherited {
            Some(inherited) => row.slot = inherited.slot,
            None => fresh.push(row),
        }
    }
    fresh.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for row in fresh {
        row.slot = next;
        next += 1;
    }
    next
}

fn same_membership(old: &[Row], new: &[Row]) -> bool {
    old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .all(|(a, b)| a.slot == b.slot && a.name == b.name && b.is_same(a))
}

fn just_after(time: Timestamp) -> Timestamp {
    time.checked_add(jiff::SignedDuration::from_nanos(1))
        .unwrap_or(time)
}

mod weight;

#[cfg(test)]
mod tests;
