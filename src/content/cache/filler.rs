//! Fills an entry, block by block and in any order. One process at a time does that to one entry.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::account::room_of;
use super::block_map::BlockIndex;
use super::entry::Entry;
use super::folder::FillLock;
use super::map::Defect;
use super::room::Room;

/// Why a block, or an entry, is not taken.
#[derive(Debug, thiserror::Error)]
pub(in crate::content) enum Refusal {
    /// There is no room for it, and none can be made: read past the cache. It was said.
    #[error("there is no room in the cache")]
    NoRoom,
    /// Another process fills this entry, or is taking something away from it. What it has written can be read.
    #[error("another process fills this entry")]
    Elsewhere(Option<Arc<Entry>>),
    /// The disk does not take it, and is left alone for a while. It was said.
    #[error("the disk fails: {0}")]
    Disk(#[from] io::Error),
}

/// The right to fill an entry, for as long as it lives. Shared by all who fill that entry in this process.
#[derive(Debug)]
pub(in crate::content) struct Filler {
    entry: Arc<Entry>,
    room: Arc<Room>,
    /// Blocks that the map on disk does not tell of.
    unsaved: AtomicU64,
}

impl Filler {
    /// The one who fills `entry` in this process, made where there is none; `None` where another process does.
    ///
    /// Knows all that was put there before, by whichever process.
    /// Reserves what the entry takes already.
    /// `lock` is the right to change it, where the caller has it already.
    pub(super) fn of(
        entry: &Arc<Entry>,
        room: &Arc<Room>,
        lock: Option<FillLock>,
    ) -> Result<Option<Arc<Self>>, NotFilling> {
        let mut filling = entry.filling.lock();
        if let Some(filler) = filling.filler.upgrade() {
            return Ok(Some(filler));
        }
        if filling.lock.is_none() {
            filling.lock = match lock {
                Some(lock) => Some(lock),
                None => room.folder.lock_for_change(&entry.paths).map_err(Defect::from)?,
            };
        }
        if filling.lock.is_none() {
            return Ok(None);
        }
        if let Err(error) = Self::begin(entry, room) {
            entry.account.forget();
            filling.lock = None;
            return Err(error);
        }
        let filler = Arc::new(Self {
            entry: entry.clone(),
            room: room.clone(),
            unsaved: AtomicU64::new(0),
        });
        filling.filler = Arc::downgrade(&filler);
        entry.is_filled_here.store(true, Ordering::Release);
        Ok(Some(filler))
    }

    fn begin(entry: &Entry, room: &Room) -> Result<(), NotFilling> {
        if entry.is_dead() || !entry.is_in_place() {
            // Another one took its place before the lock was ours.
            return Err(Refusal::Elsewhere(None).into());
        }
        entry.take_over()?;
        let taken = entry.taken().map_err(Defect::from)?;
        // What is held is known of an entry just made, under the lock that we have; of any other it is asked for anew, since
        // others may have filled it, or taken blocks away.
        entry.account.state.lock().spent = taken;
        room.spend(&entry.account, 0)?;
        Ok(())
    }

    /// What it fills.
    pub(in crate::content) const fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// How many blocks a process that ends now would leave behind unused.
    pub(in crate::content) fn unsaved(&self) -> u64 {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// Writes a block, which can be read at once, and by other processes after the next [`Filler::save`]. Blocks.
    ///
    /// `bytes` are all those of the block ([`BlockIndex::bytes`]). What is here already is not written again.
    ///
    /// # Errors
    /// [`Refusal::NoRoom`] or [`Refusal::Disk`]; the entry stays as it was. A wrong number of bytes is
    /// `io::ErrorKind::InvalidInput`, and no fault of the disk.
    pub(in crate::content) fn put(&self, block: BlockIndex, bytes: &[u8]) -> Result<(), Refusal> {
        let own = block.bytes(self.entry.total());
        if own.is_empty() || own.end - own.start != bytes.len() as u64 {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        if self.entry.is_dead() {
            return Err(Refusal::Elsewhere(None));
        }
        if self.entry.has(block) {
            return Ok(());
        }
        let checksum = crc32c::crc32c(bytes);
        let taken = room_of(bytes.len() as u64);
        // Before the lock: making room may need to take blocks of this very entry away.
        self.room.spend(&self.entry.account, taken)?;
        let _writing = self.entry.writing.read();
        if let Err(error) = std::os::unix::fs::FileExt::write_all_at(&self.entry.data, bytes, own.start) {
            // Not refunded: some of it may have been written.
            self.room.disk_failed(&error);
            return Err(error.into());
        }
        if !self.entry.arrived(block, checksum) {
            self.entry.account.refund(taken);
        }
        self.unsaved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the first bytes of block 0, for as long as that is not here: so that who looks at it again costs nothing.
    /// Fewer than are here are nothing new. Blocks.
    ///
    /// # Errors
    /// As [`Filler::put`]; as many as the block has, or more, are none.
    pub(in crate::content) fn put_head(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let first = BlockIndex(0);
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        if u64::from(length) >= first.bytes(self.entry.total()).end {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        if self.entry.is_dead() {
            return Err(Refusal::Elsewhere(None));
        }
        if self.entry.has(first) || self.entry.head_length() >= length.into() {
            return Ok(());
        }
        // Counted once more when the block comes: never too little is, and who fills the entry next counts anew.
        self.room.spend(&self.entry.account, room_of(length.into()))?;
        let _writing = self.entry.writing.read();
        if self.entry.has(first) {
            return Ok(());
        }
        std::os::unix::fs::FileExt::write_all_at(&self.entry.data, bytes, 0)
            .inspect_err(|error| self.room.disk_failed(error))?;
        self.entry.head_arrived(length, crc32c::crc32c(bytes));
        self.unsaved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the map, so that what was put outlives this process. Blocks.
    ///
    /// Worth its while once a second or every sixteen blocks, and at the end.
    pub(in crate::content) fn save(&self) -> Result<(), Refusal> {
        let unsaved = self.unsaved.swap(0, Ordering::Relaxed);
        let filling = self.entry.filling.lock();
        // Ours from `of` on, until we are dropped.
        let Some(lock) = &filling.lock else { return Ok(()) };
        self.entry.save(lock).map_err(|error| {
            self.unsaved.fetch_add(unsaved, Ordering::Relaxed);
            self.room.disk_failed(&error);
            Refusal::Disk(error)
        })
    }

    /// Saves the entry, with the SHA-256 of the whole where it is known and all blocks are here. Blocks.
    pub(in crate::content) fn finish(&self, sha256: Option<[u8; 32]>) -> Result<(), Refusal> {
        if let Some(sha256) = sha256
            && self.entry.is_complete()
        {
            self.entry.set_sha256(sha256);
        }
        self.save()?;
        self.room.works();
        Ok(())
    }
}

/// Why an entry cannot be filled, although no other process does.
pub(super) enum NotFilling {
    Defect(Defect),
    Refused(Refusal),
}

impl From<Defect> for NotFilling {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

impl From<Refusal> for NotFilling {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(test)]
impl Filler {
    /// As if the process were killed: what was not saved is lost.
    pub(super) fn die(&self) {
        self.unsaved.store(0, Ordering::Relaxed);
    }
}

impl Drop for Filler {
    /// Saves what was not yet saved.
    fn drop(&mut self) {
        if self.unsaved() > 0 && !self.entry.is_dead() {
            // It was said, and costs no more than fetching these blocks again.
            let _ = self.save();
        }
        let mut filling = self.entry.filling.lock();
        // Else another one has taken over, with the lock.
        if filling.filler.strong_count() == 0 {
            // What became of a dead one is accounted for by who made it so.
            if !self.entry.is_dead() {
                self.room.settle(&self.entry.account);
            }
            self.entry.account.forget();
            self.entry.is_filled_here.store(false, Ordering::Release);
            filling.lock = None;
        }
    }
}
