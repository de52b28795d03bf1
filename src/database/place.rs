//! Whether a directory may be trusted with a database.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::DatabaseError;

/// Makes a directory of ours, and its parents, that only its owner may enter: it tells what documents there are.
pub(crate) fn make_private(path: &Path) -> Result<(), DatabaseError> {
    let failed = |source| DatabaseError::Io {
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
pub(crate) fn refuse_network(path: &Path) -> Result<(), DatabaseError> {
    let stat = rustix::fs::statfs(path).map_err(|error| DatabaseError::Io {
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
        Some(name) => Err(DatabaseError::Network {
            path: path.to_owned(),
            kind: name.to_owned(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_known_by_its_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0x6573_5546), Some("FUSE"));
        // ext4 and tmpfs.
        assert_eq!(network_kind(0xef53), None);
        assert_eq!(network_kind(0x0102_1994), None);
    }
}
