//! What this process knows of an entry.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::Weak;

use crate::content::cache::block_map::{BlockIndex, BlockMap};
use crate::content::cache::filler::Filler;
use crate::content::cache::folder::FillLock;
use crate::content::cache::map::{ContentMap, Head};

/// The right to fill an entry, and who has it in this process.
#[derive(Debug, Default)]
pub(in crate::content::cache) struct Filling {
    pub(in crate::content::cache) lock: Option<FillLock>,
    pub(in crate::content::cache) filler: Weak<Filler>,
}

/// What this process knows of the blocks.
#[derive(Debug)]
pub(super) struct Known {
    /// The CRC-32C of those that are here.
    pub(super) blocks: Vec<Option<u32>>,
    /// The first bytes, where block 0 is not here.
    pub(super) head: Option<Head>,
    /// Whether their checksum was right when this process wrote or first read them.
    pub(super) head_verified: bool,
    /// The number of the read that used each of them last.
    pub(super) uses: Vec<u64>,
    /// How many reads there were.
    pub(super) reads: u64,
    /// How many are here.
    pub(super) count: u64,
    /// Those whose checksum was right when this process wrote or first read them.
    pub(super) verified: BlockMap,
    /// The hash of the whole.
    pub(super) sha256: Option<[u8; 32]>,
    /// The map file this was read from, or written to.
    pub(super) source: Option<MapId>,
    /// True while it is being found out whether this process is alone, and others may punch.
    pub(super) unsettled: bool,
    /// The data file as it was when it was last known to be ours.
    pub(super) data: Option<DataId>,
}

/// Tells whether a data file was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DataId {
    written: (i64, i64),
    changed: (i64, i64),
    length: u64,
}

impl DataId {
    pub(super) fn of(found: &fs::Metadata) -> Self {
        Self {
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            length: found.len(),
        }
    }
}

/// Tells a map file from the one that replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapId {
    inode: u64,
    changed: (i64, i64),
}

impl MapId {
    pub(super) fn of(found: &fs::Metadata) -> Self {
        Self {
            inode: found.ino(),
            changed: (found.mtime(), found.mtime_nsec()),
        }
    }
}

impl Known {
    pub(super) fn new(map: ContentMap, source: Option<MapId>) -> Self {
        Self {
            count: map.blocks.iter().flatten().count() as u64,
            uses: vec![0; map.blocks.len()],
            reads: 0,
            head: map
                .head
                .filter(|_| map.blocks.first().is_some_and(Option::is_none)),
            head_verified: false,
            blocks: map.blocks,
            verified: BlockMap::default(),
            sha256: map.sha256,
            source,
            unsettled: false,
            data: None,
        }
    }

    /// Forgets which blocks were found right where the data file is not as it was; true if it did.
    pub(super) fn doubt(&mut self, data: DataId) -> bool {
        let before = self.data.replace(data);
        if before == Some(data) {
            return false;
        }
        self.verified = BlockMap::default();
        self.head_verified = false;
        true
    }

    pub(super) fn checksum(&self, block: BlockIndex) -> Option<u32> {
        let index = usize::try_from(block.0).ok()?;
        self.blocks.get(index).copied().flatten()
    }

    /// The head, where it holds all of `range`, and a block does not.
    pub(super) fn head_of(&self, range: &Range<u64>) -> Option<Head> {
        self.head.filter(|head| range.end <= u64::from(head.length))
    }

    pub(super) fn note_use(&mut self, block: BlockIndex) {
        if let Some(used) = usize::try_from(block.0)
            .ok()
            .and_then(|index| self.uses.get_mut(index))
        {
            *used = self.reads;
        }
    }
}
