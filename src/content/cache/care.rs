//! What people do with a cache: look at it, check it, tidy it up, empty it, and say what is to be kept.
//!
//! All of it works beside running mounts, which may read, fill and evict at the same time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::account::room_of;
use super::count;
use super::eviction::{self, Wanted};
use super::folder::{EntryPaths, FORMER, Folder, PART};
use super::index::{self};
use super::pins::{self, Pin};
use super::room::Room;
use super::{CacheOptions, upkeep};

use crate::database::DatabaseError;
use crate::model::Guid;

mod held;
mod verify;

pub use held::Held;
pub use verify::{Damaged, Verified};

/// A file without its other half is perhaps just being made, for so long.
const BEING_MADE: Duration = Duration::from_secs(60);

/// Names that are read from the index at once.
const BATCH: u32 = 512;

/// Why a cache cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum CareError {
    /// Its index.
    #[error("its index cannot be used: {0}")]
    Index(#[from] DatabaseError),
    /// Its files.
    #[error("{doing}: {source}")]
    Files {
        /// What was tried.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl From<eviction::NotRemoved> for CareError {
    fn from(error: eviction::NotRemoved) -> Self {
        match error {
            eviction::NotRemoved::Index(error) => Self::Index(error),
            eviction::NotRemoved::Disk(source) => files("removing a content", source),
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CacheInfo {
    /// The directory of the cache.
    pub location: PathBuf,
    /// Bytes on the disk that are taken or promised to downloads.
    pub bytes: u64,
    /// Contents, whole ones and parts.
    pub entries: u64,
    /// Contents that are never evicted.
    pub pinned_entries: u64,
    /// Their bytes on the disk.
    pub pinned_bytes: u64,
    /// Documents that are pinned, fetched or not.
    pub pins: u64,
    /// Bytes that all contents together may take.
    pub max_bytes: u64,
    /// Bytes that are left free on the file system.
    pub free_floor: u64,
    /// Bytes that are free there now.
    pub free: u64,
    /// True while a lost index is made anew: there is more than is told.
    pub counting: bool,
}

/// What was tidied up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Collected {
    /// Files of dead processes.
    pub leftovers: u64,
    /// Files without their other half.
    pub orphans: u64,
    /// What the index told of and was not there.
    pub forgotten: u64,
    /// Directories of earlier versions.
    pub former: u64,
    /// Bytes that were evicted to come down to the cap or up to the free space.
    pub evicted_bytes: u64,
    /// Bytes that are taken now.
    pub bytes: u64,
}

/// What was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Cleared {
    /// Contents that were removed.
    pub removed: u64,
    /// Contents that somebody has open.
    pub in_use: u64,
    /// Bytes that are taken now.
    pub bytes: u64,
}

/// The cache of one directory, looked after. Everything blocks.
pub struct CacheCare {
    room: Arc<Room>,
    options: CacheOptions,
}

impl CacheCare {
    /// The cache in `dir`; nothing is made there.
    pub fn new(dir: &Path, options: CacheOptions) -> Self {
        // What is to be done is done here, and not on a thread.
        let (tasks, _) = upkeep::tasks();
        let folder = Arc::new(Folder::new(dir));
        Self {
            room: Arc::new(Room::new(folder, options, tasks)),
            options,
        }
    }

    fn folder(&self) -> &Folder {
        &self.room.folder
    }

    /// False where there is no cache (yet): nothing is made by looking.
    fn exists(&self) -> bool {
        self.room.index.exists() || !self.folder().is_empty()
    }

    /// How much there is.
    pub fn info(&self) -> Result<CacheInfo, CareError> {
        let root = self.folder().root();
        let exists = self.exists();
        let (totals, pinned) = if exists {
            (self.room.index.totals()?, self.room.index.pinned()?)
        } else {
            Default::default()
        };
        Ok(CacheInfo {
            location: root.to_owned(),
            bytes: totals.bytes,
            entries: totals.entries,
            pinned_entries: pinned.0,
            pinned_bytes: pinned.1,
            pins: pins::read(root).len() as u64,
            max_bytes: self.options.max_bytes,
            free_floor: self.options.free_floor,
            free: free(root).map_err(|source| files("looking at the free space", source))?,
            counting: exists && !totals.counted,
        })
    }

    /// Removes what nobody needs, and evicts down to the cap and up to the free space that is to be left.
    pub fn gc(&self) -> Result<Collected, CareError> {
        let mut collected = Collected::default();
        let root = self.folder().root();
        for name in FORMER {
            collected.former += u64::from(root.join(name).exists());
        }
        self.folder().remove_former();
        if !self.exists() {
            collected.leftovers = self.folder().remove_leftovers().len() as u64;
            return Ok(collected);
        }
        let leftovers = self.folder().remove_leftovers();
        collected.leftovers = leftovers.len() as u64;
        self.room.index.remove(leftovers.iter().map(String::as_str))?;
        self.room.count();
        collected.orphans = self.remove_orphans();
        collected.forgotten = self.forget_what_is_gone()?;
        self.correct_sizes()?;
        let totals = self.room.index.totals()?;
        let free = free(root).map_err(|source| files("looking at the free space", source))?;
        let excess = totals.bytes.saturating_sub(self.options.max_bytes);
        let short = self.options.free_floor.saturating_sub(free);
        // Emptying the cache helps nobody where that is not enough.
        let short = if short > totals.bytes { 0 } else { short };
        collected.evicted_bytes = self.room.evict(Wanted(excess.max(short)));
        collected.bytes = self.room.index.totals()?.bytes;
        Ok(collected)
    }

    /// Removes all that nobody has open, pinned or not.
    pub fn clear(&self) -> Result<Cleared, CareError> {
        let mut cleared = Cleared::default();
        if !self.exists() {
            return Ok(cleared);
        }
        let leftovers = self.folder().remove_leftovers();
        self.room.index.remove(leftovers.iter().map(String::as_str))?;
        for data in count::files(self.folder(), "data") {
            let Some(paths) = self.paths_of(&data) else {
                continue;
            };
            if eviction::remove_unused(&self.room, &paths.name)? {
                cleared.removed += 1;
            } else {
                cleared.in_use += 1;
            }
        }
        self.remove_orphans();
        self.forget_what_is_gone()?;
        cleared.bytes = self.room.index.totals()?.bytes;
        Ok(cleared)
    }

    /// What is pinned.
    pub fn pins(&self) -> Vec<Pin> {
        pins::read(self.folder().root())
    }

    /// Pins documents, as they are named now; returns how many were not pinned before.
    ///
    /// What is here of them is not evicted any more, nor what will be fetched. Of a new version the old one is let go.
    pub fn pin(&self, wanted: &[Pin]) -> Result<u64, CareError> {
        let mut added = 0;
        self.change_pins(|pins| {
            for pin in wanted {
                match pins.iter_mut().find(|there| there.document == pin.document) {
                    Some(there) => there.path.clone_from(&pin.path),
                    None => {
                        pins.push(pin.clone());
                        added += 1;
                    }
                }
            }
        })?;
        Ok(added)
    }

    /// Ends the pins of documents; returns how many there were.
    pub fn unpin(&self, documents: &[Guid]) -> Result<u64, CareError> {
        let mut removed = 0;
        self.change_pins(|pins| {
            let before = pins.len();
            pins.retain(|pin| !documents.contains(&pin.document));
            removed = (before - pins.len()) as u64;
        })?;
        Ok(removed)
    }

    fn change_pins(&self, change: impl FnOnce(&mut Vec<Pin>)) -> Result<(), CareError> {
        self.folder()
            .make()
            .map_err(|(path, source)| files(&format!("making {}", path.display()), source))?;
        let pins = pins::change(self.folder().root(), change)
            .map_err(|source| files("writing what is pinned", source))?;
        Ok(self.room.index.set_pins(&pins)?)
    }

    /// Where an entry is, by one of its files; `None` for what is none of ours.
    fn paths_of(&self, file: &Path) -> Option<EntryPaths> {
        let name = file.file_stem()?.to_str()?;
        let is_ours = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let paths = is_ours.then(|| self.folder().named(name.to_owned()))?;
        (paths.data.parent() == file.parent()).then_some(paths)
    }

    fn remove_orphans(&self) -> u64 {
        let mut removed = 0;
        for (own, other) in [("data", "map"), ("map", "data")] {
            for file in count::files(self.folder(), own) {
                if file.with_extension(other).exists() || is_young(&file) {
                    continue;
                }
                let alone = own == "map" || File::open(&file).is_ok_and(|file| file.try_lock().is_ok());
                if alone && fs::remove_file(&file).is_ok() {
                    removed += 1;
                }
            }
        }
        removed
    }

    fn forget_what_is_gone(&self) -> Result<u64, CareError> {
        let mut forgotten = 0;
        let mut last = String::new();
        loop {
            let rows = self.room.index.names(&last, BATCH)?;
            let Some((name, _)) = rows.last() else {
                return Ok(forgotten);
            };
            last.clone_from(name);
            let now = index::now();
            let gone: Vec<&str> = rows
                .iter()
                .filter(|(name, used)| {
                    let is_on_its_way = Path::new(name).extension().is_some_and(|found| found == PART);
                    let file = if is_on_its_way {
                        self.folder().temporary().join(name)
                    } else {
                        self.folder().named(name.clone()).data
                    };
                    !file.exists() && Duration::from_millis(now.saturating_sub(*used)) > BEING_MADE
                })
                .map(|(name, _)| name.as_str())
                .collect();
            forgotten += gone.len() as u64;
            self.room.index.remove(gone)?;
        }
    }

    /// Gives back what was reserved by processes that were killed.
    fn correct_sizes(&self) -> Result<(), CareError> {
        for data in count::files(self.folder(), "data") {
            let Some(paths) = self.paths_of(&data) else {
                continue;
            };
            // Who fills it knows better.
            let Ok(Some(_lock)) = self.folder().lock_for_change(&paths) else {
                continue;
            };
            let Some(reserved) = self.room.index.reserved(&paths.name)? else {
                continue;
            };
            let taken = [&paths.data, &paths.map]
                .into_iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|found| room_of(std::os::unix::fs::MetadataExt::blocks(&found) * 512))
                .sum::<u64>();
            if taken < reserved {
                self.room.index.lower(&paths.name, reserved - taken)?;
            }
        }
        Ok(())
    }
}

fn files(doing: &str, source: io::Error) -> CareError {
    CareError::Files {
        doing: doing.to_owned(),
        source,
    }
}

/// The free space where `root` is or would be.
fn free(root: &Path) -> io::Result<u64> {
    let there = root
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(there)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn is_young(file: &Path) -> bool {
    let changed = fs::metadata(file).and_then(|found| found.modified());
    changed.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|age| age < BEING_MADE)
    })
}
