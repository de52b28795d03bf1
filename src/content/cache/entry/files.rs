//! The two files of an entry, as they are opened, and what they take.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::MapId;
use crate::content::ContentKey;
use crate::content::cache::account::{Account, room_of, room_to_find};
use crate::content::cache::folder::EntryPaths;
use crate::content::cache::index::About;
use crate::content::cache::map::{self, ContentMap, Defect, MAX_MAP_BYTES};

/// What an entry of this length may take on the disk.
pub(in crate::content::cache) fn account_of(
    key: &ContentKey,
    paths: &EntryPaths,
    total: u64,
    etag: Option<&Arc<str>>,
) -> Account {
    let about = About {
        name: paths.name.clone(),
        owner: Some(key.into()),
    };
    Account::new(about, room_of(total) + room_beside(key, total, etag))
}

/// What such an entry takes on the disk beside its blocks.
pub(in crate::content::cache) fn room_beside(key: &ContentKey, total: u64, etag: Option<&Arc<str>>) -> u64 {
    let map = map::length(&key.canonical(), total, etag.map(|etag| &**etag));
    room_of(map) + room_to_find(total)
}

/// Opens a data file; for reading only where the disk allows no more.
pub(super) fn open_data(paths: &EntryPaths) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&paths.data)
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => File::open(&paths.data),
            _ => Err(error),
        });
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn read_map(paths: &EntryPaths, key: &str) -> Result<Option<(ContentMap, MapId)>, Defect> {
    let Some((bytes, source)) = read_identified(&paths.map)? else {
        return Ok(None);
    };
    Ok(Some((ContentMap::decode(&bytes, key)?, source)))
}

/// The bytes of a map file; `None` where there is none.
pub(in crate::content::cache) fn read_map_file(path: &Path) -> Result<Option<Vec<u8>>, Defect> {
    Ok(read_identified(path)?.map(|(bytes, _)| bytes))
}

fn read_identified(path: &Path) -> Result<Option<(Vec<u8>, MapId)>, Defect> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = file.metadata()?;
    if found.len() > MAX_MAP_BYTES {
        return Err(Defect::Shape);
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_MAP_BYTES), &mut bytes)?;
    Ok(Some((bytes, MapId::of(&found))))
}
