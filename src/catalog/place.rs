//! Where a catalog and its journal are, and whether they can be trusted to the file system there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{CatalogError, CatalogId, DirKey, Places};
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

/// Makes a directory of ours, and its parents, that only its owner may enter: it tells what documents there are.
pub(super) fn make_private(path: &Path) -> Result<(), CatalogError> {
    let failed = |source| CatalogError::Io {
        doing: format!("making the directory {}", path.display()),
        source,
    };
    let refused = |why: &str| failed(io::Error::new(io::ErrorKind::PermissionDenied, why));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let found = fs::metadata(path).map_err(failed)?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("the directory belongs to somebody else"));
    }
    let is_open = |found: &fs::Metadata| found.permissions().mode() & 0o077 != 0;
    if !is_open(&found) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    // Some file systems accept the change and know no modes.
    if is_open(&fs::metadata(path).map_err(failed)?) {
        return Err(refused("the directory cannot be closed to other users"));
    }
    Ok(())
}

/// File systems whose files another machine, or a process beside the kernel, may change: SQLite's locks and its shared
/// memory do not hold there. The numbers are those of statfs(2) and `linux/magic.h`, or of the file system's source
/// where it is not part of Linux.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0xbacb_acbc, "VMware shared folder"),
    (0x786f_4256, "VirtualBox shared folder"),
    (0x7c7c_6673, "Parallels shared folder"),
];

/// The name of a file system type that a database would be damaged on.
fn network_kind(kind: u32) -> Option<&'static str> {
    NETWORK
        .iter()
        .find(|(number, _)| *number == kind)
        .map(|(_, name)| *name)
}

/// Refuses a directory on a network file system.
pub(super) fn refuse_network(path: &Path) -> Result<(), CatalogError> {
    let stat = rustix::fs::statfs(path).map_err(|error| CatalogError::Io {
        doing: format!("looking at the file system of {}", path.display()),
        source: error.into(),
    })?;
    // 32 bits, sign-extended on some machines.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers have 32 bits"
    )]
    let kind = stat.f_type as u32;
    match network_kind(kind) {
        Some(name) => Err(CatalogError::Network {
            path: path.to_owned(),
            kind: name.to_owned(),
        }),
        None => Ok(()),
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

    #[test]
    fn a_network_file_system_is_known_by_its_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0x6573_5546), Some("FUSE"));
        // ext4 and tmpfs.
        assert_eq!(network_kind(0xef53), None);
        assert_eq!(network_kind(0x0102_1994), None);
    }
}
