//! Where a catalog and its journal are.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{CatalogId, DirKey, Places};
use crate::model::{FolderId, Guid};

/// Tells programs that copy files away that this is a cache (<https://bford.info/cachedir/>).
const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory holds what servers told of their folders; pwfs can ask them again.\n\
    # Backups may skip it (https://bford.info/cachedir/).\n";

/// What the key of a choice of folders begins with, and the GUID of no folder does: no kind of GUID in use begins with
/// 48 ones.
const CHOICE: [u8; 6] = [0xff; 6];

impl CatalogId {
    /// The name of its files: 32 hexadecimal digits that tell nothing.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix("pwfs catalog of");
        for part in [&self.issuer, &self.account, &self.datasource] {
            // With its length, so that no two triples read the same.
            hash.update(format!("\n{}:{part}", part.len()));
        }
        Guid::from_bytes(leading(&hash.finalize())).hex_prefix(32)
    }
}

impl DirKey {
    /// The datasource's root folders.
    pub const ROOTS: Self = Self([0; 16]);

    /// A folder.
    pub const fn folder(folder: FolderId) -> Self {
        Self(*folder.0.as_bytes())
    }

    /// The root of a mount that shows these folders by these names.
    ///
    /// It begins with twelve `f`, by which [`DirKey::is_choice`] knows it.
    pub fn chosen(folders: &[(FolderId, &str)]) -> Self {
        let mut hash = Sha256::new_with_prefix("pwfs choice of");
        for (folder, name) in folders {
            hash.update(folder.0.as_bytes());
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name.as_bytes());
        }
        let mut key = leading(&hash.finalize());
        key[..CHOICE.len()].copy_from_slice(&CHOICE);
        Self(key)
    }

    /// The key of these bytes, as [`DirKey::as_bytes`] gave them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The folder it is, unless it is a root. (A choice of folders hashes to a GUID that no folder has.)
    pub const fn guid(&self) -> Guid {
        Guid::from_bytes(self.0)
    }

    /// True for the root of a mount with chosen folders. That something is listed there is what a person chose, and
    /// the journal does not tell it.
    pub fn is_choice(&self) -> bool {
        self.0.starts_with(&CHOICE)
    }

    /// The folder it is; `None` for a root.
    pub fn as_folder(&self) -> Option<FolderId> {
        (*self != Self::ROOTS && !self.is_choice()).then(|| FolderId(self.guid()))
    }
}

fn leading(hash: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes
}

/// The directory of all catalogs below a cache directory, each in a directory of its own name.
pub(super) const CATALOGS: &str = "catalog-v1";

/// The directory of all journals below a state directory.
pub(super) const JOURNALS: &str = "journal-v1";

/// The file of a catalog in its directory.
pub(super) fn catalog_in(dir: &Path) -> PathBuf {
    dir.join("catalog.sqlite")
}

/// The file of the journal of this name, below a state directory.
pub(super) fn journal_of(state: &Path, name: &str) -> PathBuf {
    state.join(JOURNALS).join(format!("{name}.sqlite"))
}

/// The files of one catalog.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// The directory of the catalog.
    pub(super) dir: PathBuf,
    /// The catalog's database.
    pub(super) catalog: PathBuf,
    /// The journal's database.
    pub(super) journal: PathBuf,
}

impl Files {
    pub(super) fn of(places: &Places, id: &CatalogId) -> Self {
        let digest = id.digest();
        let dir = places.cache.join(CATALOGS).join(&digest);
        Self {
            catalog: catalog_in(&dir),
            journal: journal_of(&places.state, &digest),
            dir,
        }
    }

    /// Marks the directory of all catalogs as a cache; nothing depends on it.
    pub(super) fn mark_as_cache(&self) {
        let Some(all) = self.dir.parent() else { return };
        let tag = all.join("CACHEDIR.TAG");
        if !tag.exists()
            && let Err(error) = fs::write(&tag, CACHEDIR_TAG)
        {
            tracing::debug!(%error, path = %tag.display(), "the catalog could not be marked as a cache");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(issuer: &str, account: &str) -> CatalogId {
        CatalogId {
            issuer: issuer.into(),
            account: account.into(),
            datasource: "host:ds".into(),
        }
    }

    #[test]
    fn no_two_accounts_share_a_catalog() {
        assert_eq!(id("i", "a").digest(), id("i", "a").digest());
        assert_eq!(id("i", "a").digest().len(), 32);
        assert_ne!(id("i", "a").digest(), id("i", "b").digest());
        assert_ne!(id("i", "\n1:a").digest(), id("i\n1:", "a").digest());
    }

    #[test]
    fn a_choice_of_folders_is_no_folder_and_follows_names_and_order() {
        let [a, b] = [1, 2].map(|n| FolderId(Guid::from_bytes([n; 16])));
        let choice = DirKey::chosen(&[(a, "x"), (b, "y")]);
        assert!(choice.is_choice());
        assert_eq!(choice.as_folder(), None);
        assert_eq!(choice, DirKey::chosen(&[(a, "x"), (b, "y")]));
        assert_ne!(choice, DirKey::chosen(&[(a, "x"), (b, "z")]));
        assert_ne!(choice, DirKey::chosen(&[(b, "y"), (a, "x")]));
        assert_eq!(DirKey::folder(a).as_folder(), Some(a));
        assert_eq!(DirKey::ROOTS.as_folder(), None);
        assert!(!DirKey::ROOTS.is_choice());
    }
}
