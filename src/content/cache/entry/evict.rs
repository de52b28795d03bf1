//! Takes blocks of an entry away while it is open.

use std::fs::TryLockError;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::{BlockIndex, Entry, FillLock, Known, leads_to, read_map, room_of};
use crate::content::cache::map::Defect;

/// How long a map that is being written is waited for. Not longer: who begins to fill the entry, and holds the same lock,
/// may be the one that needs the room.
const MAP_WRITTEN: Duration = Duration::from_millis(50);

impl Entry {
    /// Takes `blocks` away and gives their room back; returns how many bytes that were. Blocks.
    ///
    /// `None` where another process, or an older reader of this one, has the file open as well, or fills it: nothing is
    /// taken away then. The entry may be dead after that, where another process took something away in the same moment.
    pub(in crate::content) fn evict(&self, blocks: &[BlockIndex]) -> Result<Option<u64>, Defect> {
        let Some(filling) = self.filling.try_lock_for(MAP_WRITTEN) else {
            return Ok(None);
        };
        let borrowed = match filling.lock {
            Some(_) => None,
            None => self.room.folder.lock_for_change(&self.paths)?,
        };
        let Some(lock) = filling.lock.as_ref().or(borrowed.as_ref()) else {
            return Ok(None);
        };
        let _writing = self.writing.write();
        if self.is_dead() {
            return Ok(None);
        }
        // So that all that is not in the map later was taken away by somebody else.
        self.save(lock)?;
        if !self.become_alone()? {
            return Ok(None);
        }
        let freed = self.evict_alone(blocks, lock);
        // Whoever else waits for it could not have got it: a shared lock is granted at once where an exclusive one is.
        let shared = self.data.try_lock_shared();
        if shared.is_err() {
            self.bury();
        }
        freed.map(Some)
    }

    /// Turns the shared lock into an exclusive one, if nobody else has one.
    ///
    /// flock(2) gives the one up before it asks for the other: in between another process may do the same. Readers wait
    /// meanwhile, and what was known is compared with the map after.
    fn become_alone(&self) -> Result<bool, Defect> {
        {
            let mut known = self.known.lock();
            known.unsettled = true;
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        let alone = match self.data.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => match self.data.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(error) => {
                    self.bury();
                    match error {
                        TryLockError::WouldBlock => Ok(false),
                        TryLockError::Error(error) => Err(error),
                    }
                }
            },
            Err(TryLockError::Error(error)) => {
                self.bury();
                Err(error)
            }
        };
        let settled = alone.map_err(Defect::from).and_then(|alone| {
            if !self.is_dead() {
                self.forget_what_others_took()?;
            }
            Ok(alone && !self.is_dead())
        });
        if settled.is_err() {
            self.bury();
        }
        self.known.lock().unsettled = false;
        settled
    }

    /// Believes the map and not what was known before; nothing counts as verified any more.
    fn forget_what_others_took(&self) -> Result<(), Defect> {
        if !leads_to(&self.paths.data, &self.data) {
            // Deleted, or lives on only because it is open: its blocks are nobody else's.
            return Ok(());
        }
        let Some((map, source)) = read_map(&self.paths, &self.key.canonical())? else {
            self.bury();
            return Ok(());
        };
        if map.total != self.total || map.etag != self.etag {
            self.bury();
            return Ok(());
        }
        let mut known = self.known.lock();
        let (uses, reads) = (std::mem::take(&mut known.uses), known.reads);
        *known = Known {
            unsettled: true,
            uses,
            reads,
            ..Known::new(map, Some(source))
        };
        Ok(())
    }

    fn evict_alone(&self, blocks: &[BlockIndex], lock: &FillLock) -> Result<u64, Defect> {
        if !leads_to(&self.paths.data, &self.data) {
            return Ok(0);
        }
        let mut taken = Vec::new();
        {
            let mut known = self.known.lock();
            for &block in blocks {
                let index = usize::try_from(block.0).map_err(io::Error::other)?;
                if block.0 == 0
                    && let Some(head) = known.head.take()
                {
                    taken.push(0..head.length.into());
                }
                if known.blocks.get_mut(index).and_then(Option::take).is_some() {
                    known.verified.remove(block);
                    known.count -= 1;
                    taken.push(block.bytes(self.total));
                }
            }
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        // The map first: one that tells of a hole as of a block would be a defect.
        self.save(lock)?;
        let mut freed = 0;
        let mut room = 0;
        let punched = taken.iter().try_for_each(|bytes: &Range<u64>| {
            let length = bytes.end - bytes.start;
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&self.data, how, bytes.start, length)?;
            freed += length;
            room += room_of(length);
            Ok::<_, io::Error>(())
        });
        self.room.freed(&self.account, room);
        punched?;
        Ok(freed)
    }
}
