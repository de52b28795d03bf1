//! Where a mount may go: what is at the directory now, what FUSE needs, and which mounts of ours there are.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::session::{self, SUBTYPE};

/// How long a living mount may take to say that it lives: it asks nobody for that.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Why nothing can be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    /// There is no such directory.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// It is something else.
    #[error("{0} is not a directory")]
    NotDirectory(PathBuf),
    /// It has entries that the mount would hide.
    #[error("{0} is not empty; what is in it would be hidden by the mount")]
    NotEmpty(PathBuf),
    /// A live mount of ours is there.
    #[error("ProjectWise is mounted at {0} already")]
    AlreadyMounted(PathBuf),
    /// Another file system is mounted there.
    #[error("{path} is the mount point of another file system ({kind})")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The type of what is mounted.
        kind: String,
    },
    /// The kernel has no FUSE.
    #[error("this system has no FUSE: /dev/fuse does not exist")]
    NoDevice,
    /// The device is there and closed to this user.
    #[error("/dev/fuse cannot be opened by this user (its mode is {mode:04o})")]
    DeviceClosed {
        /// Its permission bits.
        mode: u32,
    },
    /// An ordinary user cannot mount without the setuid helper.
    #[error("fusermount3 is not installed, and only root can mount without it")]
    NoHelper,
    /// Looking failed.
    #[error("cannot look at {path}: {source}")]
    Io {
        /// At what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A mounted file system, as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where.
    pub path: PathBuf,
    /// The type (`fuse.projectwise`, `ext4`).
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// Its device number (`major:minor`): no two mounts at a time share one.
    pub device: String,
}

impl Mounted {
    /// True for a mount of pwfs.
    pub fn is_ours(&self) -> bool {
        self.kind.strip_prefix("fuse.") == Some(SUBTYPE)
    }

    /// True if the process behind it is gone. Blocks for at most two seconds, where the process does not answer.
    pub fn is_dead(&self) -> bool {
        // Attributes, and even a listing, may still come from the kernel's cache; these numbers are always asked for.
        let (tell, told) = mpsc::channel();
        let path = self.path.clone();
        let asking = std::thread::Builder::new()
            .name("is-dead".to_owned())
            .spawn(move || {
                // Nobody listens any more if it took too long.
                let _ = tell.send(rustix::fs::statvfs(&path).err());
            });
        asking.is_ok() && told.recv_timeout(ANSWER_TIME) == Ok(Some(rustix::io::Errno::NOTCONN))
    }
}

/// Makes sure that `dir` can be mounted on, taking a dead mount of ours off it, and returns its absolute path.
pub fn prepare(dir: &Path) -> Result<PathBuf, MountpointError> {
    let path = absolute(dir)?;
    let io = |source| MountpointError::Io {
        path: path.clone(),
        source,
    };
    if let Some(mounted) = at(&path)? {
        if !mounted.is_ours() {
            return Err(MountpointError::Foreign {
                path,
                kind: mounted.kind,
            });
        }
        if !mounted.is_dead() {
            return Err(MountpointError::AlreadyMounted(path));
        }
        tracing::warn!(path = %path.display(), "taking off a mount whose process is gone");
        session::detach(&path).map_err(io)?;
    }
    let metadata = fs::metadata(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MountpointError::Missing(path.clone()),
        _ => io(error),
    })?;
    if !metadata.is_dir() {
        return Err(MountpointError::NotDirectory(path));
    }
    if fs::read_dir(&path).map_err(io)?.next().is_some() {
        return Err(MountpointError::NotEmpty(path));
    }
    Ok(path)
}

/// Checks what FUSE needs, so that a failure names what is missing.
pub fn check_fuse() -> Result<(), MountpointError> {
    let device = Path::new("/dev/fuse");
    let metadata = fs::metadata(device).map_err(|_| MountpointError::NoDevice)?;
    if fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .is_err()
    {
        return Err(MountpointError::DeviceClosed {
            mode: metadata.permissions().mode() & 0o7777,
        });
    }
    if !rustix::process::geteuid().is_root() && !has_helper() {
        return Err(MountpointError::NoHelper);
    }
    Ok(())
}

/// What is mounted at an absolute path.
pub fn at(path: &Path) -> Result<Option<Mounted>, MountpointError> {
    let io = |source| MountpointError::Io {
        path: path.to_owned(),
        source,
    };
    // The last one listed is the one on top.
    Ok(mounts()
        .map_err(io)?
        .into_iter()
        .rfind(|mounted| mounted.path == path))
}

/// All mounts of pwfs on this machine.
pub fn ours() -> io::Result<Vec<Mounted>> {
    Ok(mounts()?.into_iter().filter(Mounted::is_ours).collect())
}

/// Where the file system that shows FUSE connections is mounted.
pub(super) fn fusectl() -> Option<Vec<PathBuf>> {
    let found = mounts().ok()?.into_iter();
    Some(
        found
            .filter(|mounted| mounted.kind == "fusectl")
            .map(|mounted| mounted.path)
            .collect(),
    )
}

/// All mounts this process sees, in the order they were made.
fn mounts() -> io::Result<Vec<Mounted>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// Parses `mountinfo` (proc(5)): `id parent dev root MOUNTPOINT options… - TYPE SOURCE …`, with `\040` for a space.
fn parse(text: &[u8]) -> Vec<Mounted> {
    let lines = text.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ');
            let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
            let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.nth(1)?)));
            fields.find(|field| *field == b"-")?;
            let kind = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
            let source = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
            Some(Mounted {
                path,
                kind,
                source,
                device,
            })
        })
        .collect()
}

/// Undoes the kernel's `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\').then(|| tail.get(..3)).flatten();
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(value) => {
                plain.push(value);
                rest = &tail[3..];
            }
            None => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

/// The absolute path of a directory, links followed, without asking what is mounted on it: that may be dead, or hang.
pub fn absolute(dir: &Path) -> Result<PathBuf, MountpointError> {
    /// As many as the kernel follows in one path.
    const LINKS: usize = 40;
    let io = |source| MountpointError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut path = std::path::absolute(dir).map_err(io)?;
    for _ in 0..LINKS {
        // `a/b/` and `a/b/.` are `a/b`; what ends in `..` has no name to keep.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path.canonicalize().map_err(io);
        };
        let parent = parent.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MountpointError::Missing(path.clone()),
            _ => MountpointError::Io {
                path: path.clone(),
                source: error,
            },
        })?;
        path = parent.join(name);
        match fs::read_link(&path) {
            Ok(target) => path = parent.join(target),
            // Not a link, or not there, which is found out later.
            Err(_) => return Ok(path),
        }
    }
    Err(io(io::Error::other("too many links")))
}

/// Whether the setuid helper is where fuser looks for it.
fn has_helper() -> bool {
    ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join("fusermount3").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_its_escapes_and_optional_fields() {
        let text =
            b"36 35 98:0 / /mnt/a\\040b rw,noatime shared:1 master:2 - fuse.projectwise projectwise:h rw\n\
            37 35 98:0 / /mnt/c rw - ext4 /dev/sda rw\n";
        let mounts = parse(text);
        assert_eq!(mounts[0].path, Path::new("/mnt/a b"));
        assert!(mounts[0].is_ours());
        assert_eq!(mounts[0].source, "projectwise:h");
        assert_eq!(mounts[0].device, "98:0");
        assert_eq!(mounts[1].kind, "ext4");
        assert!(!mounts[1].is_ours());
    }

    #[test]
    fn a_directory_with_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(prepare(dir.path()).is_ok());
        fs::write(dir.path().join("kept"), "x").unwrap();
        assert!(matches!(prepare(dir.path()), Err(MountpointError::NotEmpty(_))));
    }

    #[test]
    fn a_mount_of_another_kind_is_refused() {
        assert!(matches!(
            prepare(Path::new("/proc")),
            Err(MountpointError::Foreign { .. })
        ));
    }

    #[test]
    fn a_link_leads_to_the_directory_itself() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        assert_eq!(absolute(&root.join("link/")).unwrap(), root.join("real"));
        std::os::unix::fs::symlink("circle", root.join("circle")).unwrap();
        assert!(matches!(
            absolute(&root.join("circle")),
            Err(MountpointError::Io { .. })
        ));
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("not-there");
        assert!(matches!(prepare(&missing), Err(MountpointError::Missing(path)) if path == missing));
    }
}
