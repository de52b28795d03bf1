//! A complete entry of the cache, open for reading.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::block_map::{BlockMap, blocks_of};
use super::map::{ContentMap, Defect};

/// An open data file and what it must be.
pub(super) struct Entry {
    data: File,
    map: ContentMap,
    /// The blocks whose checksum was right when this process first read them.
    verified: Mutex<BlockMap>,
    /// Set by the first reader that finds a defect, who alone deletes the files.
    dead: AtomicBool,
}

impl Entry {
    /// Takes an open data file, whose length is looked at.
    pub(super) fn new(data: File, map: ContentMap) -> Result<Self, Defect> {
        let found = data.metadata()?.len();
        if found != map.total {
            return Err(Defect::Length {
                found,
                expected: map.total,
            });
        }
        Ok(Self {
            data,
            map,
            verified: Mutex::default(),
            dead: AtomicBool::new(false),
        })
    }

    /// What the data are.
    pub(super) const fn map(&self) -> &ContentMap {
        &self.map
    }

    /// Marks the entry as bad; true for the first to do so.
    pub(super) fn bury(&self) -> bool {
        !self.dead.swap(true, Ordering::AcqRel)
    }

    /// The bytes of `range`, which lies within the file.
    ///
    /// Blocks that are met for the first time are read whole and checked; everything else is one `pread`.
    pub(super) fn read(&self, range: &Range<u64>) -> Result<Bytes, Defect> {
        for block in blocks_of(range) {
            if self.verified.lock().contains(block) {
                continue;
            }
            let bytes = read_exact(&self.data, &block.bytes(self.map.total))?;
            let expected = usize::try_from(block.0)
                .ok()
                .and_then(|index| self.map.checksums.get(index));
            if expected != Some(&crc32c::crc32c(&bytes)) {
                return Err(Defect::BlockChecksum(block.0));
            }
            self.verified.lock().insert(block);
        }
        Ok(read_exact(&self.data, range)?)
    }
}

/// The bytes of `range`, all of them.
pub(super) fn read_exact(file: &File, range: &Range<u64>) -> std::io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}
