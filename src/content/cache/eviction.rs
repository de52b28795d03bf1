//! Makes room: what was used longest ago goes first.
//!
//! Whole contents that nobody has open go first; then blocks of those that are open in this process and in no other;
//! then the same of what the server may no longer give. What is pinned stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;

use super::index::{Rank, Victim};
use super::room::Room;
use crate::database::DatabaseError;

/// How many bytes are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) u64);

impl Wanted {
    /// Nothing would help.
    pub(super) const NOTHING: Self = Self(0);
}

/// Names that are read from the index at once.
const BATCH: u32 = 64;

/// How many contents that are in use are passed over in one go: other processes may keep 256 open each.
const PASSED_OVER: usize = 4096;

/// Why a content could not be removed.
pub(super) enum NotRemoved {
    Disk(io::Error),
    Index(DatabaseError),
}

impl From<io::Error> for NotRemoved {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<DatabaseError> for NotRemoved {
    fn from(error: DatabaseError) -> Self {
        Self::Index(error)
    }
}

/// Evicts until `wanted` is reached or nothing more may go; returns how many bytes went.
pub(super) fn evict(room: &Room, wanted: Wanted) -> Result<u64, DatabaseError> {
    let mut freed = 0;
    for rank in [Rank::Ordinary, Rank::Superseded] {
        freed += evict_whole(room, rank, wanted.0 - freed.min(wanted.0))?;
        if freed < wanted.0 {
            freed += evict_blocks(room, rank, wanted.0 - freed)?;
        }
        if freed >= wanted.0 {
            break;
        }
    }
    tracing::debug!(freed, wanted = wanted.0, "room was made in the cache");
    Ok(freed)
}

/// Removes contents that nobody has open.
fn evict_whole(room: &Room, rank: Rank, wanted: u64) -> Result<u64, DatabaseError> {
    let mut freed = 0;
    let mut last: Option<Victim> = None;
    let mut passed_over = 0;
    while freed < wanted && passed_over < PASSED_OVER {
        let victims = room.index.victims(rank, last.as_ref(), BATCH)?;
        let Some(end) = victims.last() else { break };
        for victim in &victims {
            if freed >= wanted {
                break;
            }
            match remove_unused(room, &victim.name) {
                Ok(true) => freed += victim.bytes,
                Ok(false) => passed_over += 1,
                Err(NotRemoved::Index(error)) => return Err(error),
                Err(NotRemoved::Disk(error)) => {
                    tracing::debug!(%error, name = victim.name, "a cached document could not be evicted");
                    passed_over += 1;
                }
            }
        }
        last = Some(end.clone());
    }
    Ok(freed)
}

/// Removes a content unless anybody has it open or is changing it, and forgets it.
pub(super) fn remove_unused(room: &Room, name: &str) -> Result<bool, NotRemoved> {
    if !room.live.close(name) {
        return Ok(false);
    }
    let paths = room.folder.named(name.to_owned());
    let Some(_lock) = room.folder.lock_for_change(&paths)? else {
        return Ok(false);
    };
    match open(&paths.data) {
        Ok(data) => match data.try_lock() {
            Ok(()) => {
                // Nobody opens it any more, until it is gone.
                paths.remove()?;
                room.index.remove([name])?;
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error.into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            paths.remove()?;
            room.index.remove([name])?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Some network file systems lock for writing only what is open for writing.
fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Takes blocks away from what is open in this process.
fn evict_blocks(room: &Room, rank: Rank, wanted: u64) -> Result<u64, DatabaseError> {
    let mut freed = 0;
    for entry in room.live.by_use() {
        if freed >= wanted {
            break;
        }
        if !room.index.is_of(rank, &entry.paths.name)? {
            continue;
        }
        match entry.evict(&entry.oldest(wanted - freed)) {
            Ok(Some(bytes)) => freed += bytes,
            Ok(None) => {}
            Err(defect) => {
                tracing::debug!(%defect, name = entry.paths.name, "blocks could not be evicted");
            }
        }
    }
    Ok(freed)
}
