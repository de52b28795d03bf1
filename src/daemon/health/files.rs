//! Says when one of a few files becomes another one, whatever happens to it and to the directories above it.
//!
//! Watching a file is simple until you consider that:
//! 1. it, or its directory, may not be there yet, or be deleted and made again;
//! 2. a careful writer never writes to it, but renames another one over it;
//! 3. it may be a link, which leads elsewhere from one moment to the next (as mounted secrets of Kubernetes do).
//!
//! So the files themselves are not watched at all. Watched are all directories that lead to them, each for the one name in it
//! that matters; after every event the directories are found anew, and the files compared with what they were. Nothing is
//! missed in between, since the comparison comes after the watches. A file that was written counts as changed without one:
//! its new times may equal the old ones, where the clock of the file system is coarse.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_io::Async;
use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::daemon::blocking;

/// What makes the way to a file another one.
const ON_THE_WAY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    // One directory may lead to several files, as their own directory and as one above.
    .union(WatchFlags::MASK_ADD);

/// What makes the file another one: also being written in place, and being opened to its reader (`chmod`).
const AT_THE_END: WatchFlags = ON_THE_WAY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB);

/// As many links as the kernel follows in one path.
const LINKS: usize = 40;

/// Room for a few dozen events of the longest names; what does not fit waits in the kernel.
const EVENTS: usize = 16 * 1024;

/// Watches some files.
pub(super) struct FileWatch {
    /// Not tokio's `AsyncFd`, which takes only the unsafe promise of its caller.
    inotify: Async<OwnedFd>,
    /// Locked by the one thread that looks.
    files: Arc<Mutex<Files>>,
    /// The names that matter in each watched directory.
    names: HashMap<i32, HashSet<OsString>>,
}

/// The files, and what they were when last seen; before the first look, nothing.
struct Files {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

/// What events tell, from nothing to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    /// Nothing that matters.
    None,
    /// Something is different on the way to the files, or about them.
    Way,
    /// One of the files was written.
    Written,
}

/// Equal for as long as a file is the same one and unchanged.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileWatch {
    /// Makes ready to watch `paths`.
    pub(super) fn new(paths: Vec<PathBuf>) -> io::Result<Self> {
        let paths = paths
            .into_iter()
            .map(std::path::absolute)
            .collect::<io::Result<Vec<_>>>()?;
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            inotify: Async::new(inotify)?,
            files: Arc::new(Mutex::new(Files {
                paths,
                seen: Vec::new(),
            })),
            names: HashMap::new(),
        })
    }

    /// Waits until one of the files is another one than when last told; the first time it has them told at once.
    ///
    /// May tell of one change twice.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        // What was told already left events behind.
        let mut news = self.drain()?;
        loop {
            if self.look().await? || news == News::Written {
                return Ok(());
            }
            news = News::None;
            while news == News::None {
                self.inotify.readable().await?;
                news = self.drain()?;
            }
        }
    }

    /// Finds the directories anew, and says whether a file has changed.
    async fn look(&mut self) -> io::Result<bool> {
        let (inotify, files) = (self.inotify.get_ref().try_clone()?, Arc::clone(&self.files));
        // Local files most often, but a home directory may be far away.
        let (names, changed) = blocking(move || {
            let mut files = files.lock();
            let names = files.watch(&inotify);
            (names, files.compare())
        })
        .await;
        let names = names?;
        for gone in self.names.keys().filter(|watch| !names.contains_key(watch)) {
            // The kernel has ended the watch by itself where the directory is gone.
            let _ = inotify::remove_watch(self.inotify.get_ref(), *gone);
        }
        self.names = names;
        Ok(changed)
    }

    /// Takes the events there are, and sums them up.
    fn drain(&self) -> io::Result<News> {
        let mut news = News::None;
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => news = news.max(self.news(&event)),
                Err(Errno::AGAIN) => return Ok(news),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn news(&self, event: &inotify::Event<'_>) -> News {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return News::Written;
        }
        let Some(names) = self.names.get(&event.wd()) else {
            return News::None;
        };
        match event.file_name() {
            Some(name) if !names.contains(OsStr::from_bytes(name.to_bytes())) => News::None,
            Some(_) if event.events().contains(ReadFlags::CLOSE_WRITE) => News::Written,
            // Without a name it is the directory itself: deleted, moved, unmounted.
            Some(_) | None => News::Way,
        }
    }
}

impl Files {
    /// Watches every directory on the way to the files, for the names in them that lead there.
    ///
    /// One that cannot be watched (not there yet, not readable) is left out: one above it tells when it comes. The kernel's
    /// limits are an error.
    fn watch(&self, inotify: &OwnedFd) -> io::Result<HashMap<i32, HashSet<OsString>>> {
        let mut names: HashMap<i32, HashSet<OsString>> = HashMap::new();
        for path in &self.paths {
            for hop in hops(path) {
                let mut mask = AT_THE_END;
                for place in hop.ancestors() {
                    let (Some(dir), Some(name)) = (place.parent(), place.file_name()) else {
                        continue;
                    };
                    match inotify::add_watch(inotify, dir, mask) {
                        Ok(watch) => {
                            names.entry(watch).or_default().insert(name.to_owned());
                        }
                        Err(error @ (Errno::NOSPC | Errno::NOMEM)) => return Err(error.into()),
                        Err(_) => {}
                    }
                    mask = ON_THE_WAY;
                }
            }
        }
        Ok(names)
    }

    fn compare(&mut self) -> bool {
        let now: Vec<_> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

/// The path, and where it leads from link to link.
fn hops(path: &Path) -> Vec<PathBuf> {
    let mut hops = vec![path.to_owned()];
    let mut path = path.to_owned();
    while hops.len() <= LINKS
        && let Ok(target) = fs::read_link(&path)
        && let Some(dir) = path.parent()
    {
        path = dir.join(target);
        hops.push(path.clone());
    }
    hops
}

impl Stamp {
    /// `None` for a file that is not there, or cannot be seen.
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            inode: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
