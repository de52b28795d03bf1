//! The folder of a cache: where each file is, who may enter, and what is on its way.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::account::{Account, room_of, room_to_find};
use super::filler::Refusal;
use super::index::About;
use super::room::Room;
use crate::content::ContentKey;

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory holds copies of documents that pwfs can fetch again.\n\
    # Backups may skip it (https://bford.info/cachedir/).\n";

/// Where entries are. A format that earlier programs cannot read gets another name.
pub(super) const ENTRIES: &str = "content-v2";

/// Where entries of earlier formats are, which nobody reads any more.
pub(super) const FORMER: &[&str] = &["content-v1"];

/// Where files on their way are, and the locks of those who fill entries.
const TEMPORARY: &str = "tmp-v1";

/// How the names of files on their way end.
pub(super) const PART: &str = "part";

/// How often a name is tried anew where another process is faster.
const TRIES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    entries: PathBuf,
    temporary: PathBuf,
    next_temporary: AtomicU64,
}

impl Folder {
    /// The folder below `root`; nothing is made yet.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            entries: root.join(ENTRIES),
            temporary: root.join(TEMPORARY),
            next_temporary: AtomicU64::new(0),
        }
    }

    /// Makes what is missing of it. The error comes with the path it is about.
    pub(super) fn make(&self) -> Result<(), (PathBuf, io::Error)> {
        for path in [&self.entries, &self.temporary] {
            make_private(path).map_err(|error| (path.clone(), error))?;
        }
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists()
            && let Err(error) = fs::write(&tag, CACHEDIR_TAG)
        {
            tracing::debug!(%error, path = %tag.display(), "the cache could not be marked as one");
        }
        Ok(())
    }

    /// The directory of the cache.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where entries are.
    pub(super) fn entries(&self) -> &Path {
        &self.entries
    }

    /// Where files on their way are.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// True where there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        match fs::read_dir(&self.entries) {
            Ok(mut found) => found.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Bytes that this user may still write to its file system. Makes it again where somebody deleted it under us.
    pub(super) fn free(&self) -> io::Result<u64> {
        make_private(&self.temporary)?;
        let stat = rustix::fs::statvfs(&self.temporary)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes a file that is on its way. Blocks.
    ///
    /// Its room is not accounted for; see [`Temporary::account_for`].
    pub(super) fn create_temporary(&self) -> io::Result<Temporary> {
        // Another process that cleans up may have our new file between its creation and our lock on it.
        for _ in 0..TRIES {
            let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
            let path = self
                .temporary
                .join(format!("{}-{number}.{PART}", std::process::id()));
            let file = match private_file().create_new(true).open(&path) {
                Ok(file) => file,
                // Of another pid namespace, or of a dead process of our number: taken is taken.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            if file.try_lock().is_ok() && file.metadata()?.nlink() > 0 {
                return Ok(Temporary {
                    file: Arc::new(file),
                    path,
                    account: None,
                    is_kept: AtomicBool::new(false),
                });
            }
        }
        Err(io::Error::other("no free name for a temporary file"))
    }

    /// Makes this process, and in it this caller, the only one to change the files of an entry; `None` where another one is.
    pub(super) fn lock_for_change(&self, paths: &EntryPaths) -> io::Result<Option<FillLock>> {
        self.lock(&paths.name)
    }

    /// Makes this process the only one to do what `name` stands for; `None` where another one does.
    pub(super) fn lock(&self, name: &str) -> io::Result<Option<FillLock>> {
        make_private(&self.temporary)?;
        let path = self.temporary.join(format!("{name}.lock"));
        for _ in 0..TRIES {
            let file = private_file().create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            // Who held it before removed it just now.
            if leads_to(&path, &file) {
                return Ok(Some(FillLock { _file: file, path }));
            }
        }
        Ok(None)
    }

    /// Removes what dead processes were writing; returns the names. Looks at the small directory of temporary files only.
    pub(super) fn remove_leftovers(&self) -> Vec<String> {
        let mut removed = Vec::new();
        let Ok(found) = fs::read_dir(&self.temporary) else {
            return removed;
        };
        for path in found.flatten().map(|found| found.path()) {
            if path
                .extension()
                .is_none_or(|extension| extension != PART && extension != "lock")
            {
                continue;
            }
            // The lock of a living writer is what keeps its file; it ends with the process.
            let abandoned = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if !abandoned {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => removed.extend(path.file_name().map(|name| name.to_string_lossy().into_owned())),
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "a left-over file could not be removed");
                }
            }
        }
        removed
    }

    /// Removes the folders of earlier formats.
    pub(super) fn remove_former(&self) {
        for name in FORMER {
            let path = self.root.join(name);
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(%error, path = %path.display(), "a cache of an earlier version could not be removed");
            }
        }
    }

    /// Where the files of an entry are.
    pub(super) fn paths(&self, key: &ContentKey) -> EntryPaths {
        self.paths_of(&key.canonical())
    }

    /// Where the files of the entry of this canonical key are.
    pub(super) fn paths_of(&self, key: &str) -> EntryPaths {
        let hash = Sha256::digest(key.as_bytes());
        let name = hash
            .iter()
            .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        self.named(name)
    }

    /// Where the files of the entry of this name are: 64 hexadecimal digits.
    pub(super) fn named(&self, name: String) -> EntryPaths {
        EntryPaths::of(&self.entries, name)
    }
}

/// A file on its way into the cache; removed when dropped, unless it was renamed.
#[derive(Debug)]
pub(in crate::content) struct Temporary {
    /// Locked, which tells other processes that it is in use.
    pub(in crate::content) file: Arc<File>,
    pub(super) path: PathBuf,
    /// Where its bytes are accounted for.
    account: Option<(Arc<Room>, Account)>,
    /// True once it is an entry.
    is_kept: AtomicBool,
}

impl Temporary {
    /// Reserves what will be written to it before it is.
    pub(super) fn account_for(mut self, room: &Arc<Room>) -> Self {
        let about = About {
            name: self.name(),
            owner: None,
        };
        self.account = Some((room.clone(), Account::new(about, u64::MAX)));
        self
    }

    /// The name of its file.
    pub(super) fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// Writes all of `bytes` at `offset`, which is where the last ones ended. Blocks.
    ///
    /// # Errors
    /// `io::ErrorKind::QuotaExceeded` where there is no room and none can be made; that was said then.
    pub(in crate::content) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((room, account)) = &self.account {
            let taken = |bytes| room_of(bytes) + room_to_find(bytes);
            let more = taken(offset + bytes.len() as u64) - taken(offset);
            room.spend(account, more).map_err(|refusal| match refusal {
                Refusal::Disk(error) => error,
                Refusal::NoRoom | Refusal::Elsewhere(_) => io::ErrorKind::QuotaExceeded.into(),
            })?;
        }
        self.file.write_all_at(bytes, offset)
    }

    /// What it may take; `None` where nobody counts that.
    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref().map(|(_, account)| account)
    }

    /// It became an entry, which is accounted for by itself.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        // Not there where somebody deleted the cache.
        let _ = fs::remove_file(&self.path);
        if let Some((room, account)) = &self.account
            && account.state.lock().held > 0
        {
            room.gone(&account.about.name);
        }
    }
}

/// The right to change the files of an entry: to make, fill, evict or remove it. Ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct FillLock {
    _file: File,
    path: PathBuf,
}

impl Drop for FillLock {
    fn drop(&mut self) {
        // While it is still locked: whoever opened it before finds that the path leads elsewhere.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the files of an entry are.
#[derive(Debug, Clone)]
pub(super) struct EntryPaths {
    /// The hash of its key, in hexadecimal.
    pub(super) name: String,
    /// The directory of both files.
    pub(super) fan: PathBuf,
    /// The bytes.
    pub(super) data: PathBuf,
    /// What they must be.
    pub(super) map: PathBuf,
}

impl EntryPaths {
    fn of(entries: &Path, name: String) -> Self {
        let fan = entries.join(name.get(..2).unwrap_or_default());
        Self {
            data: fan.join(format!("{name}.data")),
            map: fan.join(format!("{name}.map")),
            fan,
            name,
        }
    }

    /// Removes both files; the map first: without it there is no entry.
    pub(super) fn remove(&self) -> io::Result<()> {
        for path in [&self.map, &self.data] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// True where `path` leads to the open `file`.
pub(super) fn leads_to(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(open)) => (there.dev(), there.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

/// A file for reading and writing that only its owner may open.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes a directory of ours, and its parents, that only its owner may enter.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
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
