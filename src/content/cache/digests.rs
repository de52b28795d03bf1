//! The SHA-256 of cached contents, where one was computed: for lists of many documents, few of which are cached.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::folder::Folder;
use super::map::ContentMap;
use crate::content::canonical;
use crate::model::{DocumentId, Guid};

/// The first digits of an entry's name: enough to tell a million of them apart, and a fifth of the room.
type Digits = u128;

fn digits(name: &str) -> Option<Digits> {
    Digits::from_str_radix(name.get(..32)?, 16).ok()
}

/// See the module.
pub struct Digests {
    folder: Folder,
    server: String,
    account: String,
    /// Of the entries there are: nothing is opened for the others.
    entries: HashSet<Digits>,
}

impl Digests {
    /// Of what `account` has in the cache in `dir` of `server`. Blocks for as long as the directory takes to read.
    pub fn in_cache(dir: &Path, server: &str, account: &str) -> Self {
        let folder = Folder::new(dir);
        // What cannot be read has no digests.
        let parts = fs::read_dir(folder.entries()).into_iter().flatten().flatten();
        let files = parts
            .filter_map(|part| fs::read_dir(part.path()).ok())
            .flatten()
            .flatten();
        let entries = files.filter_map(|file| {
            let name = file.file_name();
            digits(name.to_str()?.strip_suffix(".map")?)
        });
        Self {
            entries: entries.collect(),
            folder,
            server: server.to_owned(),
            account: account.to_owned(),
        }
    }

    /// The checksum of a document's content, by its tag in words.
    pub fn of(&self, document: Guid, tag: &str) -> Option<[u8; 32]> {
        if self.entries.is_empty() {
            return None;
        }
        let key = canonical(&self.server, &self.account, DocumentId(document), &tag);
        let paths = self.folder.paths_of(&key);
        let known = digits(&paths.name).is_some_and(|digits| self.entries.contains(&digits));
        if !known {
            return None;
        }
        let bytes = fs::read(&paths.map).ok()?;
        ContentMap::decode(&bytes, &key).ok()?.sha256
    }
}
