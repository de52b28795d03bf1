//! The names that ProjectWise itself has for the way to an object: those of links, from the root of the datasource.
//!
//! A mount shows other names where no file can have these, and may begin anywhere in the datasource. What no listing that
//! is kept tells is not known, and never guessed.

use std::collections::HashSet;

use crate::catalog::{Catalog, CatalogError, DirKey};
use crate::model::{Entry, Guid, ObjectId};

/// Folders are nested less deeply than this; a folder moved under its own child is nested without end.
const DEEPEST: usize = 128;

/// What names lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Led {
    /// These objects, folders first: names are not unique. None for no names at all.
    To(Vec<ObjectId>),
    /// A listing on the way, which was proved complete, has no such name.
    Absent {
        /// The name.
        name: String,
        /// The names before it, with slashes between; empty for the root.
        folder: String,
    },
    /// A folder on the way was never listed.
    NotListed {
        /// Its names, with slashes between; empty for the root.
        folder: String,
    },
}

/// The names from the root of the datasource to an object, its own last; `None` where the listings that are kept do not
/// lead up to that root. A document goes by the name of its file, where it has one.
pub fn names_of(catalog: &Catalog, object: Guid) -> Result<Option<Vec<String>>, CatalogError> {
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    let mut at = object;
    while names.len() < DEEPEST && seen.insert(at) {
        let sightings = catalog.find(at)?;
        let Some(first) = sightings.first() else {
            return Ok(None);
        };
        names.push(super::naming::raw(&first.entry).to_owned());
        if sightings.iter().any(|sighting| sighting.dir == DirKey::ROOTS) {
            names.reverse();
            return Ok(Some(names));
        }
        let listed_in = sightings.iter().find_map(|sighting| sighting.dir.as_folder());
        // What was chosen for a mount says itself where it is, if the server told.
        let told = || sightings.iter().find_map(|sighting| sighting.entry.parent());
        match listed_in.or_else(told) {
            Some(folder) => at = folder.0,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// What the names from the root of the datasource lead to, by the listings that are kept. A document may be named by its
/// own name, or by that of its file.
pub fn led_by(catalog: &Catalog, names: &[String]) -> Result<Led, CatalogError> {
    let mut dir = DirKey::ROOTS;
    for (at, name) in names.iter().enumerate() {
        let folder = || names[..at].join("/");
        let Some(saved) = catalog.load(dir)? else {
            return Ok(Led::NotListed { folder: folder() });
        };
        let is_last = at + 1 == names.len();
        let shown = saved.listing.rows().iter().map(|row| &row.entry);
        let mut found: Vec<&Entry> = shown
            .chain(saved.listing.hidden())
            .map(|entry| &**entry)
            .filter(|entry| is_called(entry, name, is_last))
            .collect();
        found.sort_by_key(|entry| matches!(entry, Entry::Document(_)));
        match found.first() {
            Some(_) if is_last => return Ok(Led::To(found.iter().map(|entry| entry.id()).collect())),
            Some(Entry::Folder(folder)) => dir = DirKey::folder(folder.id),
            Some(Entry::Document(_)) | None => {
                return Ok(Led::Absent {
                    name: name.clone(),
                    folder: folder(),
                });
            }
        }
    }
    Ok(Led::To(Vec::new()))
}

fn is_called(entry: &Entry, name: &str, is_last: bool) -> bool {
    match entry {
        Entry::Folder(folder) => folder.name == name,
        Entry::Document(document) => {
            is_last && (document.name == name || document.file_name.as_deref() == Some(name))
        }
    }
}
