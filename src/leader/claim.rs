//! Who leads: a lock that the kernel takes back from the dead, and the socket of whoever holds it.
//!
//! Both are files beside the catalog. The lock file stays for ever; whoever holds the lock owns the socket's name, and
//! replaces one that a dead leader left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

const LOCK: &str = "leader.lock";
const SOCKET: &str = "leader.sock";
/// The socket before it may be connected to.
const FRESH_SOCKET: &str = "leader.sock.new";

/// The longest path of a socket, with its end: 108 bytes (unix(7), `sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

/// The catalog is led by this process, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    dir: PathBuf,
    /// Closed last: nobody else may have the socket's name before it is given up.
    lock: File,
}

impl Claim {
    /// Claims the catalog in `dir`; `None` where somebody else leads. Blocks, though never for long.
    pub(super) fn attempt(dir: &Path) -> io::Result<Option<(Self, UnixListener)>> {
        let path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let claim = Self {
            dir: dir.to_owned(),
            lock,
        };
        if !claim.stands()? {
            return Ok(None);
        }
        let listener = claim.listen()?;
        Ok(Some((claim, listener)))
    }

    fn stands(&self) -> io::Result<bool> {
        self.ground()?.stands()
    }

    /// What it stands on, to be looked at from elsewhere.
    pub(super) fn ground(&self) -> io::Result<Ground> {
        let held = self.lock.metadata()?;
        Ok(Ground {
            path: self.dir.join(LOCK),
            held: (held.dev(), held.ino()),
        })
    }

    /// Listens at a new socket, which takes the place of an older one when it is ready.
    fn listen(&self) -> io::Result<UnixListener> {
        let fresh = self.dir.join(FRESH_SOCKET);
        remove(&fresh)?;
        let listener = UnixListener::bind(&SocketPath::of(&self.dir, FRESH_SOCKET)?.path)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        std::fs::rename(&fresh, self.dir.join(SOCKET))?;
        Ok(listener)
    }
}

/// The lock file of a [`Claim`].
#[derive(Debug, Clone)]
pub(super) struct Ground {
    path: PathBuf,
    /// Device and inode of the one that is held.
    held: (u64, u64),
}

impl Ground {
    /// False once the cache was deleted, or made anew with another lock: the claim then excludes nobody, and nobody finds its
    /// socket. Blocks for a moment.
    pub(super) fn stands(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok(self.held == (named.dev(), named.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let removed = self.stands().and_then(|stands| {
            if stands {
                remove(&self.dir.join(SOCKET))
            } else {
                // Another leader's is there.
                Ok(())
            }
        });
        if let Err(error) = removed {
            tracing::debug!(%error, "the leader's socket stays behind; the next one replaces it");
        }
    }
}

/// Connects to whoever leads the catalog in `dir`.
pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let socket = SocketPath::of(dir, SOCKET)?;
    // Made or refused at once: a full queue refuses too, for the socket does not block (unix(7), EAGAIN).
    let stream = UnixStream::connect(&socket.path).await?;
    if !may_lead(stream.peer_cred()?.uid()) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the leader's socket is another user's",
        ));
    }
    Ok(stream)
}

/// True for a process that may ask us: of the same user, or root's.
pub(super) fn may_ask(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

/// True for a process that we may ask. Root may ask a user's, whose cache it was led to.
fn may_lead(uid: u32) -> bool {
    may_ask(uid) || rustix::process::geteuid().is_root()
}

/// A path of a socket that is short enough, however long its directory's is.
struct SocketPath {
    path: PathBuf,
    /// What the path leads through.
    _dir: Option<File>,
}

impl SocketPath {
    fn of(dir: &Path, name: &str) -> io::Result<Self> {
        let direct = dir.join(name);
        if direct.as_os_str().len() <= LONGEST_SOCKET_PATH {
            return Ok(Self {
                path: direct,
                _dir: None,
            });
        }
        let dir = File::open(dir)?;
        Ok(Self {
            path: PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())),
            _dir: Some(dir),
        })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_claims_and_the_next_one_after_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(connect(dir.path()).await.is_err(), "nobody leads");
        let (claim, listener) = Claim::attempt(dir.path()).unwrap().unwrap();
        assert!(Claim::attempt(dir.path()).unwrap().is_none());
        let mode = std::fs::metadata(dir.path().join(SOCKET))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        connect(dir.path()).await.unwrap();
        drop((listener, claim));
        assert!(!dir.path().join(SOCKET).exists());
        assert!(Claim::attempt(dir.path()).unwrap().is_some());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_leader_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
        std::fs::write(dir.path().join(FRESH_SOCKET), "").unwrap();
        assert!(connect(dir.path()).await.is_err());
        let _claimed = Claim::attempt(dir.path()).unwrap().unwrap();
        connect(dir.path()).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_of_any_length_has_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let _claimed = Claim::attempt(&deep).unwrap().unwrap();
        connect(&deep).await.unwrap();
    }

    #[test]
    fn a_lock_that_was_deleted_with_the_cache_excludes_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let _old = Claim::attempt(dir.path()).unwrap().unwrap();
        std::fs::remove_file(dir.path().join(LOCK)).unwrap();
        assert!(Claim::attempt(dir.path()).unwrap().is_some());
    }
}
