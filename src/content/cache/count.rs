//! Makes a lost index anew from the files there are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::folder::{Folder, PART};
use super::index::{About, Index, Owner};
use super::map;
use crate::database::DatabaseError;

/// Files that are written to the index at once.
const BATCH: usize = 256;

/// The name of the lock of who counts.
const LOCK: &str = "count";

/// Counts all files; `None` where another process does, or there is nothing to be counted any more. Blocks, for as long
/// as the disk takes for a look at each file.
///
/// Bytes in all, after that.
pub(super) fn count(folder: &Folder, index: &Index) -> Result<Option<u64>, DatabaseError> {
    if index.totals()?.counted {
        return Ok(None);
    }
    let lock = folder.lock(LOCK).map_err(|source| DatabaseError::Io {
        doing: "counting what is cached".to_owned(),
        source,
    })?;
    if lock.is_none() || index.totals()?.counted {
        return Ok(None);
    }
    let mut batch = Vec::new();
    for data in files(folder, "data") {
        if let Ok(Some(found)) = look_at(&data) {
            batch.push(found);
        }
        if batch.len() >= BATCH {
            index.found(&batch)?;
            batch.clear();
        }
    }
    // What is on its way in other processes.
    for path in fs::read_dir(folder.temporary()).into_iter().flatten().flatten() {
        let is_data = path.path().extension().is_some_and(|found| found == PART);
        if is_data && let Ok(found) = path.metadata() {
            let name = path.file_name().to_string_lossy().into_owned();
            let about = About { name, owner: None };
            batch.push((about, found.blocks() * 512, used(&found)));
        }
    }
    index.found(&batch)?;
    index.all_counted()?;
    let totals = index.totals()?;
    tracing::info!(
        entries = totals.entries,
        bytes = totals.bytes,
        "the index of the cache was made anew"
    );
    Ok(Some(totals.bytes))
}

/// All files of entries with this extension.
pub(super) fn files(folder: &Folder, extension: &'static str) -> impl Iterator<Item = std::path::PathBuf> {
    let fans = fs::read_dir(folder.entries()).into_iter().flatten().flatten();
    fans.flat_map(|fan| fs::read_dir(fan.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .filter(move |path| path.extension().is_some_and(|found| found == extension))
}

/// What the index is to say of the entry of this data file; `None` where there is no map.
fn look_at(data: &Path) -> io::Result<Option<(About, u64, u64)>> {
    let map_path = data.with_extension("map");
    let map = match fs::metadata(&map_path) {
        Ok(map) => map,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = fs::metadata(data)?;
    let name = data.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let Some(name) = name else { return Ok(None) };
    let owner = owner_in(&map_path);
    let about = About { name, owner };
    let bytes = (found.blocks() + map.blocks()) * 512;
    Ok(Some((about, bytes, used(&map).max(used(&found)))))
}

/// Whose bytes a map tells of.
fn owner_in(map: &Path) -> Option<Owner> {
    let file = fs::File::open(map).ok()?;
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, map::HEAD), &mut head).ok()?;
    Owner::parse(map::key_in(&head)?)
}

/// When a file was last written, in milliseconds since 1970.
fn used(found: &fs::Metadata) -> u64 {
    let modified = found
        .modified()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    modified.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or_default())
}
