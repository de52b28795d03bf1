//! The cache on disk: layout, look-up, atomic entry, removal, room.
//!
//! The cache may lose anything at any time. A defect is a logged miss; a disk that fails makes readers do without
//! it. Nothing here waits for the network, and nothing walks the cache.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::entry::Entry;
use super::integrity::Checksums;
use super::map::{ContentMap, Defect, MAX_MAP_BYTES};
use super::{ContentError, ContentKey};

/// Entries kept open, so that a warm read is one `pread`; far below the usual limit of 1024 descriptors.
const OPEN_ENTRIES: u64 = 256;

/// File tags remembered of documents whose entry may be gone; about 10 MiB at most.
const REMEMBERED_ETAGS: u64 = 65_536;

/// How long the disk is left alone after it failed.
///
/// Each try costs a download that is thrown away; a person who makes room sees the cache work again soon.
const DISK_REST: Duration = Duration::from_secs(30);

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory holds copies of documents that pwfs can fetch again.\n\
    # Backups may skip it (https://bford.info/cachedir/).\n";

/// What a cache may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes that are left free on the file system of the cache: nothing is cached that would need them.
    pub free_floor: u64,
}

impl Default for CacheOptions {
    /// Leaves 1 GiB: a full home directory hurts more than a slow read.
    fn default() -> Self {
        Self { free_floor: 1 << 30 }
    }
}

/// The content cache of one cache directory, which several processes may share.
pub struct ContentCache {
    entries: PathBuf,
    temporary: PathBuf,
    handle: Handle,
    options: CacheOptions,
    open: moka::sync::Cache<ContentKey, Arc<Entry>>,
    etags: moka::sync::Cache<ContentKey, Arc<str>>,
    next_temporary: AtomicU64,
    /// Until when the disk is left alone.
    resting: Mutex<Option<Instant>>,
    warned: AtomicBool,
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
        let cache = Self {
            entries: dir.join("content-v1"),
            temporary: dir.join("tmp-v1"),
            handle,
            options,
            open: moka::sync::Cache::new(OPEN_ENTRIES),
            etags: moka::sync::Cache::new(REMEMBERED_ETAGS),
            next_temporary: AtomicU64::new(0),
            resting: Mutex::new(None),
            warned: AtomicBool::new(false),
        };
        for path in [&cache.entries, &cache.temporary] {
            make_private(path).map_err(|source| ContentError::Cache {
                doing: format!("making the directory {}", path.display()).into(),
                source: Arc::new(source),
            })?;
        }
        let tag = dir.join("CACHEDIR.TAG");
        if !tag.exists()
            && let Err(error) = fs::write(&tag, CACHEDIR_TAG)
        {
            tracing::debug!(%error, path = %tag.display(), "the cache could not be marked as one");
        }
        cache.remove_leftovers();
        Ok(cache)
    }

    /// The runtime that downloads belong to.
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The entry of `key`, if a complete one is open.
    pub(super) fn opened(&self, key: &ContentKey) -> Option<Arc<Entry>> {
        self.open.get(key)
    }

    /// The entry of `key`, if there is a complete one.
    ///
    /// Two small reads where it was not open yet.
    pub(super) fn look_up(&self, key: &ContentKey) -> Option<Arc<Entry>> {
        if let Some(entry) = self.open.get(key) {
            return Some(entry);
        }
        let paths = EntryPaths::of(&self.entries, key);
        match open_entry(&paths, key) {
            Ok(Some(entry)) => Some(self.remember(key, entry)),
            Ok(None) => None,
            Err(defect) if defect.is_shortage() => {
                tracing::warn!(%key, %defect, "a cached document cannot be opened now");
                None
            }
            Err(defect) => {
                self.delete(key, &defect);
                None
            }
        }
    }

    /// Drops an entry that turned out to be bad; the next reader fetches it again.
    pub(super) fn discard(&self, key: &ContentKey, entry: &Entry, defect: &Defect) {
        if entry.bury() {
            self.open.invalidate(key);
            self.delete(key, defect);
        }
    }

    fn delete(&self, key: &ContentKey, defect: &Defect) {
        tracing::warn!(%key, %defect, "a cached document is damaged and will be fetched again");
        let paths = EntryPaths::of(&self.entries, key);
        // The map first: without it there is no entry.
        for path in [&paths.map, &paths.data] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(%error, path = %path.display(), "a damaged cache file could not be removed");
            }
        }
    }

    fn remember(&self, key: &ContentKey, entry: Entry) -> Arc<Entry> {
        if let Some(etag) = &entry.map().etag {
            self.remember_etag(key, etag);
        }
        let entry = Arc::new(entry);
        self.open.insert(key.clone(), entry.clone());
        entry
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
        if self.resting.lock().is_some_and(|until| Instant::now() < until) {
            return false;
        }
        // Made again where somebody deleted the cache under us.
        let free = match make_private(&self.temporary)
            .and_then(|()| rustix::fs::statvfs(&self.temporary).map_err(io::Error::from))
        {
            Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
            Err(error) => {
                self.disk_failed(&error);
                return false;
            }
        };
        let room = free.saturating_sub(self.options.free_floor) >= bytes;
        if !room {
            self.warn_once(&format!(
                "{free} bytes are free and {} are to be left so",
                self.options.free_floor
            ));
        }
        room
    }

    /// Leaves the disk alone for a while, and says so once.
    pub(super) fn disk_failed(&self, error: &io::Error) {
        *self.resting.lock() = Some(Instant::now() + DISK_REST);
        self.warn_once(&error.to_string());
    }

    fn warn_once(&self, why: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, path = %self.entries.display(), "documents are read without the cache");
        }
    }

    /// Makes the file a download writes to. Blocks.
    pub(super) fn create_temporary(&self) -> io::Result<Temporary> {
        // Another process that cleans up may have our new file between its creation and our lock on it.
        for _ in 0..16 {
            let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
            let path = self
                .temporary
                .join(format!("{}-{number}.part", std::process::id()));
            let file = match private_file().read(true).open(&path) {
                Ok(file) => file,
                // Of another pid namespace, or of a dead process of our number: taken is taken.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            if file.try_lock().is_ok() && file.metadata()?.nlink() > 0 {
                return Ok(Temporary {
                    file: Arc::new(file),
                    path,
                });
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
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
            checksums: checksums.finish(),
        };
        let data = temporary.file.try_clone()?;
        match self.publish(key, temporary, &map) {
            Ok(()) => self.warned.store(false, Ordering::Relaxed),
            Err(error) => self.disk_failed(&error),
        }
        self.remember(key, Entry::new(data, map)?);
        Ok(())
    }

    fn publish(&self, key: &ContentKey, temporary: &Temporary, map: &ContentMap) -> io::Result<()> {
        let paths = EntryPaths::of(&self.entries, key);
        make_private(&paths.fan)?;
        let map_file = self.create_temporary()?;
        io::Write::write_all(&mut &*map_file.file, &map.encode(&key.canonical()))?;
        // No fsync: after a power failure the checksums tell, and the document is fetched again.
        fs::rename(&temporary.path, &paths.data)?;
        fs::rename(&map_file.path, &paths.map)
    }

    /// Removes what dead processes were writing. Looks at the small directory of temporary files only.
    fn remove_leftovers(&self) {
        let Ok(found) = fs::read_dir(&self.temporary) else {
            return;
        };
        for path in found.flatten().map(|found| found.path()) {
            if path.extension().is_none_or(|extension| extension != "part") {
                continue;
            }
            // The lock of a living writer is what keeps its file; it ends with the process.
            let abandoned = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if abandoned && let Err(error) = fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "a left-over file could not be removed");
            }
        }
    }
}

/// A file on its way into the cache; removed when dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Locked, which tells other processes that it is in use.
    pub(super) file: Arc<File>,
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Not there when it became an entry: then there is nothing to do.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the files of an entry are.
struct EntryPaths {
    fan: PathBuf,
    data: PathBuf,
    map: PathBuf,
}

impl EntryPaths {
    fn of(entries: &Path, key: &ContentKey) -> Self {
        let hash = Sha256::digest(key.canonical().as_bytes());
        let name = hash
            .iter()
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        let fan = entries.join(&name[..2]);
        Self {
            data: fan.join(format!("{name}.data")),
            map: fan.join(format!("{name}.map")),
            fan,
        }
    }
}

fn open_entry(paths: &EntryPaths, key: &ContentKey) -> Result<Option<Entry>, Defect> {
    let map = match File::open(&paths.map) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if map.metadata()?.len() > MAX_MAP_BYTES {
        return Err(Defect::Shape);
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(map, MAX_MAP_BYTES), &mut bytes)?;
    let map = ContentMap::decode(&bytes, &key.canonical())?;
    Entry::new(File::open(&paths.data)?, map).map(Some)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

/// Makes a directory of ours, and its parents, that only its owner may enter.
fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::metadata(path)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory belongs to somebody else",
        ));
    }
    let is_open = |found: &fs::Metadata| found.permissions().mode() & 0o077 != 0;
    if !is_open(&found) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    // Some file systems accept the change and know no modes.
    if is_open(&fs::metadata(path)?) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory cannot be closed to other users",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_refused_and_an_open_one_closed() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("a/b");
        fs::create_dir_all(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        make_private(&open).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o700);
        // The system's own directory: not ours, or, for root, given away first.
        let theirs = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&open, Some(65534), None).unwrap();
            open
        } else {
            PathBuf::from("/proc")
        };
        let error = make_private(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
