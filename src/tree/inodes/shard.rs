//! One part of the inode table: rows side by side, and an index of four bytes a row.
//!
//! A million inodes are an everyday sight (one `find`), so a row holds what `getattr` needs and not a pointer more; a
//! part grows by an eighth and not to its double, and gives back its memory as it empties.

use hashbrown::HashTable;

use super::places::Place;
use super::{DirId, Directory, DocumentId, FolderId, Guid, Inode, InodeNo, Target, Version};
use crate::model::{ContentTag, Timestamp};

/// The fewest rows memory is asked for.
const LEAST: usize = 16;

/// An inode the kernel holds, and the count of its references.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) ino: InodeNo,
    guid: Guid,
    size: u64,
    /// A file's stamp, or its mtime where it has none; a directory's mtime until it is listed.
    time_seconds: i64,
    ctime_seconds: i64,
    time_nanoseconds: i32,
    ctime_nanoseconds: i32,
    revision: u32,
    /// The number of its place.
    pub(super) place: u32,
    /// References the kernel has: entries given less references forgotten. At its end it stays there, and the inode is
    /// held for ever: four thousand million lookups of one name are no reason to forget it too early.
    pub(super) lookups: u32,
    kind: Kind,
    has_size: bool,
    has_time: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Directory,
    File,
}

impl Held {
    /// The row of `inode`, which was reached at the place of this number.
    pub(super) fn new(inode: &Inode, place: u32, lookups: u32) -> Self {
        let (kind, guid, tag, time, ctime) = match inode.target {
            Target::Directory(directory, mtime) => {
                let guid = match directory.id {
                    DirId::Folder(FolderId(guid)) => guid,
                    // The root is never kept here.
                    DirId::Root => Guid::from_bytes([0; 16]),
                };
                (Kind::Directory, guid, None, mtime, None)
            }
            Target::File(version) => (
                Kind::File,
                version.id.0,
                Some(version.tag),
                Some(version.mtime),
                Some(version.ctime),
            ),
        };
        let has_time = tag.map_or(time, |tag| tag.stamp).is_some();
        let (time, ctime) = (time.unwrap_or_default(), ctime.unwrap_or_default());
        Self {
            ino: inode.ino,
            guid,
            size: tag.and_then(|tag| tag.size).unwrap_or_default(),
            time_seconds: time.as_second(),
            ctime_seconds: ctime.as_second(),
            time_nanoseconds: time.subsec_nanosecond(),
            ctime_nanoseconds: ctime.subsec_nanosecond(),
            revision: tag.map_or(0, |tag| tag.revision),
            place,
            lookups,
            kind,
            has_size: tag.is_some_and(|tag| tag.size.is_some()),
            has_time,
        }
    }

    /// The inode of this row; `place` is the one of its number.
    pub(super) fn inode(&self, place: Place) -> Inode {
        let time = timestamp(self.time_seconds, self.time_nanoseconds);
        let known = self.has_time.then_some(time);
        let target = match self.kind {
            Kind::Directory => {
                let directory = Directory {
                    mount: place.mount,
                    id: DirId::Folder(FolderId(self.guid)),
                };
                Target::Directory(directory, known)
            }
            Kind::File => Target::File(Version {
                id: DocumentId(self.guid),
                tag: ContentTag {
                    size: self.has_size.then_some(self.size),
                    stamp: known,
                    revision: self.revision,
                },
                mtime: time,
                ctime: timestamp(self.ctime_seconds, self.ctime_nanoseconds),
            }),
        };
        Inode {
            ino: self.ino,
            parent: place.parent,
            target,
        }
    }
}

/// The time of these parts, which were one before.
fn timestamp(seconds: i64, nanoseconds: i32) -> Timestamp {
    Timestamp::new(seconds, nanoseconds).unwrap_or_default()
}

/// One part of the table.
#[derive(Debug, Default)]
pub(super) struct Shard {
    rows: Vec<Held>,
    index: HashTable<u32>,
}

impl Shard {
    pub(super) fn get(&self, ino: InodeNo) -> Option<&Held> {
        let is_it = |&at: &u32| self.rows[at as usize].ino == ino;
        self.index
            .find(hash(ino), is_it)
            .map(|&at| &self.rows[at as usize])
    }

    pub(super) fn get_mut(&mut self, ino: InodeNo) -> Option<&mut Held> {
        let Self { rows, index } = self;
        let at = *index.find(hash(ino), |&at| rows[at as usize].ino == ino)?;
        Some(&mut rows[at as usize])
    }

    /// Adds a row of a number that has none.
    pub(super) fn insert(&mut self, held: Held) {
        let Self { rows, index } = self;
        if rows.len() == rows.capacity() {
            rows.reserve_exact(spare(rows.len()));
        }
        // The memory ends long before the numbers do.
        let at = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.push(held);
        index.insert_unique(hash(held.ino), at, |&at| hash(rows[at as usize].ino));
    }

    pub(super) fn remove(&mut self, ino: InodeNo) -> Option<Held> {
        let Self { rows, index } = self;
        let entry = index.find_entry(hash(ino), |&at| rows[at as usize].ino == ino);
        let (at, _) = entry.ok()?.remove();
        let held = rows.swap_remove(at as usize);
        // The last row took its place.
        if let Some(moved) = rows.get(at as usize) {
            let last = rows.len();
            if let Some(number) = index.find_mut(hash(moved.ino), |&number| number as usize == last) {
                *number = at;
            }
        }
        self.shrink();
        Some(held)
    }

    /// Gives memory back once half of it holds nothing.
    fn shrink(&mut self) {
        let Self { rows, index } = self;
        if rows.is_empty() {
            *self = Self::default();
        } else if rows.capacity() > LEAST && rows.len() <= rows.capacity() / 2 {
            rows.shrink_to(rows.len() + spare(rows.len()));
            index.shrink_to(rows.len(), |&at| hash(rows[at as usize].ino));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Held>() + self.index.allocation_size()
    }
}

/// How many rows more than there are memory is asked for.
fn spare(rows: usize) -> usize {
    (rows / 8).max(LEAST)
}

/// The number is a hash already, of 63 bits; the index looks at both ends of 64.
const fn hash(ino: InodeNo) -> u64 {
    ino.0 ^ (ino.0 << 1)
}
