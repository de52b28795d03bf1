//! One entry of the cache, open for reading: all of a content, or some blocks of it.
//!
//! Simple until you consider that:
//! 1. a block may be evicted while it is read, and what is read of a hole are zeros;
//! 2. it may be fetched again while it is evicted;
//! 3. other processes have the entry open as well, and know only what its map said when they looked;
//! 4. anybody may write to the file of a block that was found right.
//!
//! A reader notes the epoch together with what is here, and believes what it read only if the epoch is still the same;
//! who takes blocks away raises it first (1). Writing a block and punching a hole exclude each other (2). Who has an
//! entry open holds a shared lock on its data file, and only who is alone may punch; a process that misses something
//! looks whether there is a newer map (3). Each read looks whether the file was written to since, other than by whoever fills
//! it here, and then checks again (4). Whatever changes a file of an entry holds the lock for that
//! (`Folder::lock_for_change`), so that data and map are always of one another. How blocks are taken away is in
//! `entry/evict.rs`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::account::{Account, room_of};
use super::block_map::{BLOCK_SIZE, BlockIndex, blocks_of};
use super::folder::{EntryPaths, FillLock, leads_to};
use super::map::{ContentMap, Defect, Head};
use super::room::Room;
use crate::content::ContentKey;
use crate::sync::{self, AtomicBool, Mutex, RwLock};

mod evict;
mod files;
mod known;

pub(super) use files::{account_of, read_map_file, room_beside};
use files::{open_data, read_map};
use known::{DataId, Filling, Known, MapId};

/// See the module.
#[derive(Debug)]
pub(in crate::content) struct Entry {
    room: Arc<Room>,
    pub(super) key: ContentKey,
    pub(super) paths: EntryPaths,
    /// What it may take on the disk; used by who fills it.
    pub(super) account: Account,
    pub(super) data: File,
    total: u64,
    etag: Option<Arc<str>>,
    known: Mutex<Known>,
    /// How often blocks were taken away.
    epoch: sync::AtomicU64,
    /// Held shared by who writes blocks, alone by who punches holes. Readers do not ask for it.
    pub(super) writing: RwLock<()>,
    /// Held by who writes the map.
    saving: Mutex<()>,
    /// Who fills it in this process.
    pub(super) filling: Mutex<Filling>,
    /// True while somebody in this process fills it: then no newer map is looked for.
    pub(super) is_filled_here: AtomicBool,
    /// Set by the first reader that finds a defect, who alone deletes the files.
    dead: AtomicBool,
    /// How often a block was found to be bad.
    defects: AtomicU64,
    /// When it was last used, in milliseconds since 1970.
    used: AtomicU64,
    /// The use the index knows of.
    noted: AtomicU64,
}

/// A block, or the head (`None`), that is to be checked.
#[derive(Debug)]
struct Unverified {
    block: Option<BlockIndex>,
    bytes: Range<u64>,
    checksum: u32,
}

/// What there is of an entry on disk.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// An entry.
    Entry(Box<Entry>),
    /// Another process is taking something away from it right now.
    Busy,
}

impl Entry {
    /// Opens the entry of `paths`. Blocks, for a few small reads.
    pub(super) fn open(room: &Arc<Room>, key: &ContentKey) -> Result<Found, Defect> {
        let paths = room.folder.paths(key);
        let Some(data) = open_data(&paths)? else {
            return Ok(Found::Nothing);
        };
        match data.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Found::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Who evicted it holds its lock to the end, and so did not after this.
        if !leads_to(&paths.data, &data) {
            return Ok(Found::Nothing);
        }
        let Some((map, source)) = read_map(&paths, &key.canonical())? else {
            return Ok(Found::Nothing);
        };
        let account = account_of(key, &paths, map.total, map.etag.as_ref());
        Self::new(room, key, account, data, map, Some(source)).map(|entry| Found::Entry(Box::new(entry)))
    }

    /// Takes an open data file, whose length is looked at.
    pub(super) fn of_open(
        room: &Arc<Room>,
        key: &ContentKey,
        account: Account,
        data: File,
        map: ContentMap,
    ) -> Result<Self, Defect> {
        Self::new(room, key, account, data, map, None)
    }

    fn new(
        room: &Arc<Room>,
        key: &ContentKey,
        account: Account,
        data: File,
        map: ContentMap,
        source: Option<MapId>,
    ) -> Result<Self, Defect> {
        let found = data.metadata()?.len();
        if found != map.total {
            return Err(Defect::Length {
                found,
                expected: map.total,
            });
        }
        Ok(Self {
            room: room.clone(),
            paths: room.folder.paths(key),
            key: key.clone(),
            account,
            data,
            total: map.total,
            etag: map.etag.clone(),
            known: Mutex::new(Known::new(map, source)),
            epoch: sync::AtomicU64::new(0),
            writing: RwLock::default(),
            saving: Mutex::default(),
            filling: Mutex::default(),
            is_filled_here: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            defects: AtomicU64::new(0),
            used: AtomicU64::new(0),
            noted: AtomicU64::new(0),
        })
    }

    /// The length of the whole content, in bytes.
    pub(in crate::content) const fn total(&self) -> u64 {
        self.total
    }

    /// The server's tag of the file it is made of.
    pub(in crate::content) const fn etag(&self) -> Option<&Arc<str>> {
        self.etag.as_ref()
    }

    /// SHA-256 of the whole, where it was computed when the last block came.
    pub(in crate::content) fn sha256(&self) -> Option<[u8; 32]> {
        self.known.lock().sha256
    }

    /// True where all of it is here. What another process fetched since this one last missed something counts too.
    pub(in crate::content) fn is_complete(&self) -> bool {
        let complete = |known: &Known| known.count == known.blocks.len() as u64;
        complete(&self.known.lock()) || (self.look_again() && complete(&self.known.lock()))
    }

    /// What is not here of `range`: whole blocks, neighbours joined, ascending, cut off at the end of the file.
    pub(in crate::content) fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let range = range.start.min(self.total)..range.end.min(self.total);
        let missing = self.missing_as_known(&range);
        if missing.is_empty() || !self.look_again() {
            return missing;
        }
        self.missing_as_known(&range)
    }

    fn missing_as_known(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let known = self.known.lock();
        let mut missing: Vec<Range<u64>> = Vec::new();
        if known.head_of(range).is_some() {
            return missing;
        }
        for block in blocks_of(range).filter(|&block| known.checksum(block).is_none()) {
            let bytes = block.bytes(self.total);
            match missing.last_mut() {
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                Some(_) | None => missing.push(bytes),
            }
        }
        missing
    }

    /// The bytes of `range`, which lies within the file; `None` where one of its blocks is not here (any more).
    ///
    /// Blocks that this process meets for the first time are read whole and checked; everything else is one `pread`.
    /// Blocks its thread for as long as the disk takes.
    pub(in crate::content) fn read(&self, range: &Range<u64>) -> Result<Option<Bytes>, Defect> {
        if let Some(bytes) = self.read_known(range)? {
            return Ok(Some(bytes));
        }
        if self.look_again() {
            return self.read_known(range);
        }
        Ok(None)
    }

    fn read_known(&self, range: &Range<u64>) -> Result<Option<Bytes>, Defect> {
        self.room.live.used(self);
        if range.start > range.end || range.end > self.total {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        loop {
            self.look_for_strangers()?;
            let Some((epoch, unverified)) = self.plan(range) else {
                return Ok(None);
            };
            let read = self.read_checked(range, &unverified);
            // Who saw the zeros of a hole sees the epoch that was raised before it was punched.
            if self.epoch.load(Ordering::SeqCst) == epoch {
                return read.map(Some);
            }
        }
    }

    /// Has all blocks checked again where the data file was written to since the last read.
    fn look_for_strangers(&self) -> Result<(), Defect> {
        if self.is_filled_here.load(Ordering::Acquire) {
            return Ok(());
        }
        let data = DataId::of(&self.data.metadata()?);
        if self.known.lock().doubt(data) {
            // Who is checking a block right now read it before.
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The epoch, and the blocks of `range` that are to be checked, with what their checksum must be. `None` where one
    /// is not here.
    fn plan(&self, range: &Range<u64>) -> Option<(u64, Vec<Unverified>)> {
        let mut known = self.known.lock();
        while known.unsettled {
            drop(known);
            // Ends when whoever tries to be alone knows.
            drop(self.writing.read());
            known = self.known.lock();
        }
        if self.is_dead() {
            return None;
        }
        let mut unverified = Vec::new();
        known.reads += 1;
        for block in blocks_of(range) {
            match (known.checksum(block), known.head_of(range)) {
                (Some(_), _) if known.verified.contains(block) => {}
                (Some(checksum), _) => unverified.push(Unverified {
                    block: Some(block),
                    bytes: block.bytes(self.total),
                    checksum,
                }),
                (None, Some(_)) if known.head_verified => {}
                (None, Some(head)) => unverified.push(Unverified {
                    block: None,
                    bytes: 0..head.length.into(),
                    checksum: head.checksum,
                }),
                (None, None) => return None,
            }
            known.note_use(block);
        }
        Some((self.epoch.load(Ordering::SeqCst), unverified))
    }

    fn read_checked(&self, range: &Range<u64>, unverified: &[Unverified]) -> Result<Bytes, Defect> {
        for part in unverified {
            let epoch = self.epoch.load(Ordering::SeqCst);
            let own = &part.bytes;
            let bytes = read_exact(&self.data, own)?;
            if crc32c::crc32c(&bytes) != part.checksum {
                return Err(Defect::BlockChecksum(part.block.map_or(0, |block| block.0)));
            }
            let mut known = self.known.lock();
            if self.epoch.load(Ordering::SeqCst) == epoch {
                match part.block {
                    Some(block) => known.verified.insert(block),
                    None => !std::mem::replace(&mut known.head_verified, true),
                };
            }
            drop(known);
            if own.start <= range.start && range.end <= own.end {
                let at = |position: u64| usize::try_from(position - own.start).map_err(io::Error::other);
                return Ok(bytes.slice(at(range.start)?..at(range.end)?));
            }
        }
        Ok(read_exact(&self.data, range)?)
    }

    /// Takes over what another process that fills this entry has written since; true where that may be news.
    fn look_again(&self) -> bool {
        // Who fills it here knows best.
        if self.is_filled_here.load(Ordering::Acquire) {
            return false;
        }
        self.take_over().unwrap_or_else(|defect| {
            tracing::debug!(%defect, name = self.paths.name, "a newer map cannot be used");
            false
        })
    }

    /// Reads the map anew where it changed. No block goes by that: who has an entry open is not robbed.
    pub(super) fn take_over(&self) -> Result<bool, Defect> {
        let there = match fs::metadata(&self.paths.map) {
            Ok(found) => MapId::of(&found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.known.lock().source == Some(there) || !leads_to(&self.paths.data, &self.data) {
            return Ok(false);
        }
        let Some((map, source)) = read_map(&self.paths, &self.key.canonical())? else {
            return Ok(false);
        };
        // Still of our file: then the map is as well, or its checksums will tell.
        if map.total != self.total || map.etag != self.etag || !leads_to(&self.paths.data, &self.data) {
            return Ok(false);
        }
        let mut known = self.known.lock();
        for (own, new) in known.blocks.iter_mut().zip(map.blocks) {
            *own = own.or(new);
        }
        known.count = known.blocks.iter().flatten().count() as u64;
        if known.checksum(BlockIndex(0)).is_some() {
            known.head = None;
        } else if known.head.is_none() {
            (known.head, known.head_verified) = (map.head, false);
        }
        known.sha256 = known.sha256.or(map.sha256);
        known.source = Some(source);
        Ok(true)
    }

    /// Notes that a block was written, with this checksum; false where it was here already.
    pub(super) fn arrived(&self, block: BlockIndex, checksum: u32) -> bool {
        let mut known = self.known.lock();
        known.reads += 1;
        known.note_use(block);
        let Some(place) = usize::try_from(block.0)
            .ok()
            .and_then(|index| known.blocks.get_mut(index))
        else {
            return false;
        };
        let is_new = place.replace(checksum).is_none();
        known.count += u64::from(is_new);
        known.verified.insert(block);
        if block.0 == 0 {
            known.head = None;
        }
        is_new
    }

    /// Notes that the first bytes of block 0 were written, with this checksum.
    pub(super) fn head_arrived(&self, length: u32, checksum: u32) {
        let mut known = self.known.lock();
        if known.checksum(BlockIndex(0)).is_none() {
            known.head = Some(Head { length, checksum });
            known.head_verified = true;
        }
    }

    /// How many of the first bytes are here, as far as block 0 is not.
    pub(super) fn head_length(&self) -> u64 {
        self.known.lock().head.map_or(0, |head| head.length.into())
    }

    /// What it takes on the disk at most: blocks that no map tells of, because a process was killed, included.
    pub(super) fn taken(&self) -> io::Result<u64> {
        // st_blocks counts pieces of 512 bytes on every file system.
        let allocated = self.data.metadata()?.blocks().saturating_mul(512);
        let known = self.known.lock();
        let here = known.count.saturating_mul(BLOCK_SIZE).min(room_of(self.total));
        Ok(
            (allocated.max(here) + room_beside(&self.key, self.total, self.etag.as_ref()))
                .min(self.account.most),
        )
    }

    /// The blocks that were used longest ago, `bytes` of them or all.
    pub(super) fn oldest(&self, bytes: u64) -> Vec<BlockIndex> {
        let known = self.known.lock();
        let mut here: Vec<(u64, BlockIndex)> = (0..)
            .map(BlockIndex)
            .zip(&known.blocks)
            .zip(&known.uses)
            .filter(|((block, checksum), _)| checksum.is_some() || block.0 == 0 && known.head.is_some())
            .map(|((block, _), &used)| (used, block))
            .collect();
        drop(known);
        here.sort_unstable();
        let enough = usize::try_from(bytes.div_ceil(BLOCK_SIZE)).unwrap_or(usize::MAX);
        here.into_iter().take(enough).map(|(_, block)| block).collect()
    }

    /// Notes when it is used.
    pub(super) fn touch(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// When it was last used, in milliseconds since 1970.
    pub(super) fn last_used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// When it was last used, if nobody asked since.
    pub(super) fn take_use(&self) -> Option<u64> {
        let used = self.last_used();
        (self.noted.swap(used, Ordering::Relaxed) != used).then_some(used)
    }

    /// True where `block` is here.
    pub(in crate::content) fn has(&self, block: BlockIndex) -> bool {
        self.known.lock().checksum(block).is_some()
    }

    /// Keeps the hash of the whole.
    pub(super) fn set_sha256(&self, sha256: [u8; 32]) {
        self.known.lock().sha256 = Some(sha256);
    }

    /// Writes the map as it is now, by whoever may change the entry. Blocks.
    ///
    /// Not where another data file took the place of this one: then the entry lives as long as it is open.
    pub(super) fn save(&self, _: &FillLock) -> io::Result<()> {
        let _saving = self.saving.lock();
        if !leads_to(&self.paths.data, &self.data) {
            return Ok(());
        }
        let map = {
            let known = self.known.lock();
            ContentMap {
                total: self.total,
                etag: self.etag.clone(),
                sha256: known.sha256,
                head: known.head,
                blocks: known.blocks.clone(),
            }
        };
        let file = self.room.folder.create_temporary()?;
        file.write(&map.encode(&self.key.canonical()), 0)?;
        let source = MapId::of(&file.file.metadata()?);
        // No fsync: after a power failure the checksums tell, and the blocks are fetched again.
        fs::rename(&file.path, &self.paths.map)?;
        self.known.lock().source = Some(source);
        Ok(())
    }

    /// True where its data file is the one of that name.
    pub(super) fn is_in_place(&self) -> bool {
        leads_to(&self.paths.data, &self.data)
    }

    /// True where both have the same data file open.
    pub(super) fn is_of_same_file(&self, other: &Self) -> bool {
        match (self.data.metadata(), other.data.metadata()) {
            (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
            _ => false,
        }
    }

    /// Notes that a block was found to be bad; true the first time.
    pub(super) fn is_first_defect(&self) -> bool {
        self.defects.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Marks the entry as bad; true for the first to do so.
    pub(super) fn bury(&self) -> bool {
        !self.dead.swap(true, Ordering::AcqRel)
    }

    /// True once it was found to be bad.
    pub(in crate::content) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

/// The bytes of `range`, all of them.
pub(in crate::content) fn read_exact(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}
