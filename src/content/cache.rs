//! The cache on disk: look-up, filling, atomic entry, removal, room.
//!
//! The cache may lose anything at any time. A defect is a logged miss; a disk that fails makes readers do without
//! it. Nothing here waits for the network, and nothing walks the cache.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use tokio::runtime::Handle;

use super::{ContentError, ContentKey, same_etag};

mod account;
mod block_map;
pub mod care;
mod count;
mod digests;
mod entry;
mod eviction;
mod filler;
mod folder;
mod index;
mod integrity;
mod live;
mod map;
mod pins;
mod room;
mod upkeep;

use account::Account;
pub(super) use block_map::{BLOCK_SIZE, BlockIndex, block_count, blocks_of};
pub use digests::Digests;
pub(super) use entry::{Entry, read_exact};
use entry::{Found, account_of, room_beside};
use filler::NotFilling;
pub(super) use filler::{Filler, Refusal};
pub(super) use folder::Temporary;
use folder::{FillLock, Folder, make_private};
pub(super) use integrity::Checksums;
pub(super) use map::Defect;
use map::{ContentMap, MAX_TOTAL};
pub use pins::Pin;
use room::Room;
use upkeep::Task;

/// File tags remembered of documents whose entry may be gone; about 10 MiB at most.
const REMEMBERED_ETAGS: u64 = 65_536;

/// What a cache may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes that all contents together may take on the disk. What is pinned counts, too.
    pub max_bytes: u64,
    /// Bytes that are left free on the file system of the cache: nothing is cached that would need them.
    pub free_floor: u64,
}

impl Default for CacheOptions {
    /// Takes 10 GiB and leaves 1 GiB: a full home directory hurts more than a slow read.
    fn default() -> Self {
        Self {
            max_bytes: 10 << 30,
            free_floor: 1 << 30,
        }
    }
}

/// The content cache of one cache directory, which several processes may share.
pub struct ContentCache {
    room: Arc<Room>,
    handle: Handle,
    tasks: Sender<Task>,
    etags: moka::sync::Cache<ContentKey, Arc<str>>,
}

impl ContentCache {
    /// Opens the cache in `dir`, which is made where it is missing.
    ///
    /// Costs the same however much is cached. Downloads and slow disk work run on `handle`.
    ///
    /// # Errors
    /// [`ContentError::Cache`] where a directory can neither be found nor made, is somebody else's, or is open to
    /// others and stays so: who can write there could put words into anybody's documents.
    pub fn open(dir: &Path, handle: Handle, options: CacheOptions) -> Result<Self, ContentError> {
        let folder = Arc::new(Folder::new(dir));
        folder.make().map_err(|(path, source)| ContentError::Cache {
            doing: format!("making the directory {}", path.display()).into(),
            source: Arc::new(source),
        })?;
        let removed = folder.remove_leftovers();
        let (tasks, receiver) = upkeep::tasks();
        let room = Arc::new(Room::new(folder, options, tasks.clone()));
        upkeep::run(room.clone(), receiver, removed).map_err(|source| ContentError::Cache {
            doing: "starting its thread".into(),
            source: Arc::new(source),
        })?;
        Ok(Self {
            room,
            handle,
            tasks,
            etags: moka::sync::Cache::new(REMEMBERED_ETAGS),
        })
    }

    /// The runtime that downloads belong to.
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The entry of `key`, if it is open: all of the content or some of it. No disk is asked.
    pub(super) fn opened(&self, key: &ContentKey) -> Option<Arc<Entry>> {
        let live = &self.room.live;
        live.kept(key)
            .or_else(|| live.named(&self.room.folder.paths(key).name))
            .filter(|entry| !entry.is_dead())
    }

    /// The entry of `key`, if there is one: all of the content or some of it.
    ///
    /// A few small reads where it was not open yet.
    pub(super) fn entry(&self, key: &ContentKey) -> Option<Arc<Entry>> {
        self.find(key).ok().flatten()
    }

    /// As [`ContentCache::entry`]; the error is of an entry that another process holds alone for a moment.
    fn find(&self, key: &ContentKey) -> Result<Option<Arc<Entry>>, Busy> {
        if let Some(entry) = self.opened(key) {
            return Ok(Some(entry));
        }
        match Entry::open(&self.room, key) {
            Ok(Found::Entry(entry)) => Ok(Some(self.remember(key, *entry))),
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Busy) => Err(Busy),
            Err(defect) if defect.is_shortage() => {
                tracing::warn!(%key, %defect, "a cached document cannot be opened now");
                Ok(None)
            }
            Err(defect) => {
                self.delete(key, &defect);
                Ok(None)
            }
        }
    }

    /// The entry of `key`, to be filled with the blocks of a file of `total` bytes and this tag. Blocks.
    ///
    /// What is there of the same file is kept; an entry made of another file is thrown away.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(super) fn create(
        &self,
        key: &ContentKey,
        total: u64,
        etag: Option<&Arc<str>>,
    ) -> Result<Arc<Filler>, Refusal> {
        if total > MAX_TOTAL || !self.has_room(0) {
            return Err(Refusal::NoRoom);
        }
        let same = |entry: &Arc<Entry>| {
            entry.total() == total
                && match (entry.etag(), etag) {
                    (Some(old), Some(new)) => same_etag(old, new),
                    (None, None) => true,
                    _ => false,
                }
        };
        let found = self.find(key).map_err(|Busy| Refusal::Elsewhere(None))?;
        let (entry, lock) = match found.filter(same) {
            Some(entry) => (entry, None),
            None => {
                let paths = self.room.folder.paths(key);
                let lock = self.room.folder.lock_for_change(&paths);
                let lock = lock.inspect_err(|error| self.disk_failed(error))?;
                let Some(lock) = lock else {
                    return Err(Refusal::Elsewhere(None));
                };
                // Another thread or process may have been faster.
                match self.find(key).map_err(|Busy| Refusal::Elsewhere(None))? {
                    Some(entry) if same(&entry) => (entry, Some(lock)),
                    other => {
                        if let Some(other) = other {
                            other.bury();
                            self.room.live.drop_bad(&other);
                        }
                        (self.found(key, total, etag.cloned(), &lock)?, Some(lock))
                    }
                }
            }
        };
        match Filler::of(&entry, &self.room, lock) {
            Ok(Some(filler)) => Ok(filler),
            Ok(None) => Err(Refusal::Elsewhere(Some(entry))),
            Err(NotFilling::Refused(refusal)) => Err(refusal),
            Err(NotFilling::Defect(Defect::Unreadable(error))) => {
                self.disk_failed(&error);
                Err(error.into())
            }
            Err(NotFilling::Defect(defect)) => {
                self.discard(key, &entry, &defect);
                Err(Refusal::Elsewhere(None))
            }
        }
    }

    /// Makes an entry without any block.
    fn found(
        &self,
        key: &ContentKey,
        total: u64,
        etag: Option<Arc<str>>,
        lock: &FillLock,
    ) -> Result<Arc<Entry>, Refusal> {
        let account = account_of(key, &self.room.folder.paths(key), total, etag.as_ref());
        self.room
            .spend(&account, room_beside(key, total, etag.as_ref()))?;
        let map = ContentMap::empty(total, etag);
        let made = (|| {
            let data = self.room.folder.create_temporary()?;
            data.file.set_len(total)?;
            self.publish(key, &data, &map, lock)?;
            self.reopen(key, &data, map, account)
        })();
        let entry = made.inspect_err(|error| {
            self.disk_failed(error);
            self.room.gone(&self.room.folder.paths(key).name);
        })?;
        Ok(self.remember(key, entry))
    }

    /// Drops what turned out to be bad, one block or all of the entry; the next reader fetches it again.
    pub(super) fn discard(&self, key: &ContentKey, entry: &Arc<Entry>, defect: &Defect) {
        // One bad block is a flipped bit; where there are more, the rest is not worth a line in the log for each.
        if let Defect::BlockChecksum(block) = defect
            && entry.is_first_defect()
            && let Ok(Some(_)) = entry.evict(&[BlockIndex(*block)])
        {
            tracing::warn!(%key, %defect, "a cached document is damaged, and a part of it will be fetched again");
            return;
        }
        if entry.bury() {
            self.room.live.drop_bad(entry);
            self.delete(key, defect);
        }
    }

    fn delete(&self, key: &ContentKey, defect: &Defect) {
        tracing::warn!(%key, %defect, "a cached document is damaged and will be fetched again");
        let paths = self.room.folder.paths(key);
        let removed = match self.room.folder.lock_for_change(&paths) {
            Ok(Some(_lock)) => paths.remove().map(|()| self.room.gone(&paths.name)),
            // Who fills it goes on with the file it has open, and what is held for that is told to be so.
            Ok(None) => paths.remove(),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::debug!(%error, %key, "a damaged entry could not be removed");
        }
    }

    /// Keeps an entry open; returns the one that is open already where another thread was faster.
    fn remember(&self, key: &ContentKey, entry: Entry) -> Arc<Entry> {
        if let Some(etag) = entry.etag() {
            self.remember_etag(key, etag);
        }
        self.room.live.keep(entry)
    }

    /// The tag the file of `key` had when it was last seen by this process.
    pub(super) fn etag(&self, key: &ContentKey) -> Option<Arc<str>> {
        self.etags.get(key)
    }

    /// Keeps the tag of the file of `key`.
    pub(super) fn remember_etag(&self, key: &ContentKey, etag: &Arc<str>) {
        self.etags.insert(key.clone(), etag.clone());
    }

    /// True where `bytes` more may be written. False while the disk is left alone after it failed.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.room.has(bytes)
    }

    /// Leaves the disk alone for a while, and says so once.
    pub(super) fn disk_failed(&self, error: &io::Error) {
        self.room.disk_failed(error);
    }

    /// Makes the file a download of unknown length writes to. Blocks.
    pub(super) fn create_temporary(&self) -> io::Result<Temporary> {
        Ok(self.room.folder.create_temporary()?.account_for(&self.room))
    }

    /// Makes the bytes of `temporary` the entry of `key`. Blocks.
    ///
    /// Where the disk does not let it, the entry lives as long as it is open: its bytes are there.
    pub(super) fn commit(
        &self,
        key: &ContentKey,
        temporary: &Temporary,
        checksums: Checksums,
        etag: Option<Arc<str>>,
    ) -> Result<(), Defect> {
        let map = ContentMap {
            total: checksums.position(),
            etag,
            sha256: None,
            head: None,
            blocks: checksums.finish().into_iter().map(Some).collect(),
        };
        let paths = self.room.folder.paths(key);
        let account = account_of(key, &paths, map.total, map.etag.as_ref());
        let entry = match self.enter(key, temporary, &map, &account) {
            Ok(()) => {
                self.room.works();
                self.reopen(key, temporary, map, account)?
            }
            Err(error) => {
                self.disk_failed(&error);
                self.keep_open(key, temporary, map, account)?
            }
        };
        self.remember(key, entry);
        Ok(())
    }

    /// Lets what is in `data` take the room of an entry, and become one.
    fn enter(
        &self,
        key: &ContentKey,
        data: &Temporary,
        map: &ContentMap,
        account: &Account,
    ) -> io::Result<()> {
        let paths = self.room.folder.paths(key);
        let Some(lock) = self.room.folder.lock_for_change(&paths)? else {
            // Who fills it block by block does not wait for us, and keeps the same bytes.
            return Err(io::ErrorKind::QuotaExceeded.into());
        };
        self.room.transfer(data, account)?;
        self.publish(key, data, map, &lock)
            .inspect_err(|_| self.room.gone(&account.about.name))
    }

    fn publish(&self, key: &ContentKey, data: &Temporary, map: &ContentMap, _: &FillLock) -> io::Result<()> {
        let paths = self.room.folder.paths(key);
        make_private(&paths.fan)?;
        let map_file = self.room.folder.create_temporary()?;
        map_file.write(&map.encode(&key.canonical()), 0)?;
        // Others may open it as soon as it has its name.
        data.file.try_lock_shared()?;
        // No fsync: after a power failure the checksums tell, and the document is fetched again.
        fs::rename(&data.path, &paths.data)?;
        data.keep();
        fs::rename(&map_file.path, &paths.map)?;
        map_file.keep();
        Ok(())
    }

    /// Opens what was just published, by itself: who still reads `data` keeps its blocks from being taken away.
    fn reopen(
        &self,
        key: &ContentKey,
        data: &Temporary,
        map: ContentMap,
        account: Account,
    ) -> io::Result<Entry> {
        match Entry::open(&self.room, key) {
            Ok(Found::Entry(mut entry)) => {
                entry.account = account;
                Ok(*entry)
            }
            // Somebody deletes the cache under us.
            Ok(Found::Nothing | Found::Busy) | Err(_) => self.keep_open(key, data, map, account),
        }
    }

    fn keep_open(
        &self,
        key: &ContentKey,
        data: &Temporary,
        map: ContentMap,
        account: Account,
    ) -> io::Result<Entry> {
        Entry::of_open(&self.room, key, account, data.file.try_clone()?, map).map_err(io::Error::other)
    }

    /// Evicts this content after all that can be fetched again: the server may no longer give it. Blocks.
    pub(super) fn keep_longer(&self, key: &ContentKey) {
        self.room.keep_longer(key);
    }
}

impl Drop for ContentCache {
    /// Ends its thread, once that has noted what was used. Who still reads an entry may go on.
    fn drop(&mut self) {
        self.room.live.close_all();
        let _ = self.tasks.send(Task::End);
    }
}

/// Another process holds an entry alone for a moment.
struct Busy;

#[cfg(test)]
mod tests;
