//! One [`Ledger`] for all processes of a user: a small locked file in the runtime directory.
//!
//! Every use of it is a lock that is not waited for, and a read and a write of one page that is in memory: half a dozen
//! system calls, measured at about 10 µs together. Therefore it is done where it is needed, without a thread of its own; a
//! directory on a network's file system, where that would not hold, is not used. Where there is no file, each process counts
//! for itself, and says so once.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::ledger::{Ledger, VERSION};

/// One page: it is written at once or not at all.
const PAGE: usize = 4096;
/// Others hold the lock for microseconds; one that was stopped in them is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// When to look again for a file that could not be used.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Begins the name of every such file.
pub(super) const PREFIX: &str = "pace-";

/// File systems of a network or of another program (statfs(2)): NFS, SMB, CIFS, 9P, Ceph, Lustre, AFS, FUSE.
const SLOW: [u64; 9] = [
    0x6969,
    0xFF53_4D42,
    0xFE53_4D42,
    0x517B,
    0x0102_1997,
    0x00C3_6400,
    0x0BD0_0BD0,
    0x6B41_4653,
    0x6573_5546,
];

/// It is said once in the life of the program, whatever server it is about.
static TOLD: AtomicBool = AtomicBool::new(false);

/// The lock is held by another process; it will be free within microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// Where a ledger is kept.
#[derive(Debug)]
pub(super) struct Shared {
    path: Option<PathBuf>,
    file: Option<File>,
    /// What is known without the file, and is right where there is none.
    own: Ledger,
    busy_since: Option<Instant>,
    /// The file could not be used; nobody looks for it until then.
    given_up_until: Option<Instant>,
}

impl Shared {
    /// The ledger of a server, in `dir`, or of this process alone.
    pub(super) fn new(dir: Option<&Path>, server: &str, boot: &str, now: u64) -> Self {
        Self {
            path: dir.map(|dir| dir.join(file_name(server))),
            file: None,
            own: Ledger::new(server, boot, now),
            busy_since: None,
            given_up_until: None,
        }
    }

    /// Looks at the ledger and changes it, alone. Waits for nobody.
    pub(super) fn with<T>(&mut self, now: u64, change: impl FnOnce(&mut Ledger) -> T) -> Result<T, Busy> {
        if self.path.is_none() {
            return Ok(change(&mut self.own));
        }
        if let Some(until) = self.given_up_until {
            if Instant::now() < until {
                return Ok(change(&mut self.own));
            }
            self.given_up_until = None;
        }
        match self.locked() {
            Ok(true) => {}
            Ok(false) => {
                let since = *self.busy_since.get_or_insert_with(Instant::now);
                if since.elapsed() < PATIENCE {
                    return Err(Busy);
                }
                self.give_up(&"another process keeps it locked");
                return Ok(change(&mut self.own));
            }
            Err(error) => {
                self.give_up(&error);
                return Ok(change(&mut self.own));
            }
        }
        self.busy_since = None;
        let outcome = self.read(now);
        let (answer, written) = match outcome {
            Ok(mut ledger) => {
                let answer = change(&mut ledger);
                let written = self.write(&ledger);
                self.own = ledger;
                (answer, written)
            }
            Err(error) => (change(&mut self.own), Err(error)),
        };
        if let Some(file) = &self.file {
            // Closing it unlocks it, too.
            let _ = flock(file, FlockOperation::Unlock);
        }
        if let Err(error) = written {
            self.give_up(&error);
        }
        Ok(answer)
    }

    /// Opens and locks the file; false where another process has it.
    fn locked(&mut self) -> io::Result<bool> {
        let path = self.path.as_deref().unwrap_or_else(|| Path::new(""));
        // The second try is for a file that was deleted, or put in another's place, before the lock was had.
        for _ in 0..2 {
            let file = match self.file.take() {
                Some(file) => file,
                None => open(path)?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                    self.file = Some(file);
                    return Ok(false);
                }
                Err(errno) => return Err(errno.into()),
            }
            if file.metadata()?.nlink() > 0 {
                self.file = Some(file);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the file says; where it is new or of an earlier run of the machine, a new ledger.
    fn read(&self, now: u64) -> io::Result<Ledger> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let new = || Ledger::new(&self.own.server, &self.own.boot, now);
        let text = contents(file)?;
        if text.is_empty() {
            return Ok(new());
        }
        match parse(&text) {
            Ok(ledger) if ledger.boot == self.own.boot => Ok(ledger),
            Ok(_) => Ok(new()),
            Err(Unreadable::Foreign) => Err(io::Error::other("another version of pwfs writes it")),
            Err(Unreadable::Damaged) => {
                tell(&"it was damaged, and begins anew with no request to spare");
                Ok(new().emptied())
            }
        }
    }

    fn write(&self, ledger: &Ledger) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut text = serde_json::to_vec(ledger)?;
        if text.len() > PAGE {
            return Err(io::Error::other("it would be longer than a page"));
        }
        // Over whatever stood there.
        text.resize(PAGE, b' ');
        file.write_all_at(&text, 0)
    }

    fn give_up(&mut self, why: &dyn std::fmt::Display) {
        tell(why);
        self.file = None;
        self.busy_since = None;
        self.given_up_until = Some(Instant::now() + LOOK_AGAIN);
    }
}

fn tell(why: &dyn std::fmt::Display) {
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "requests cannot be counted together with those of other pwfs processes: {why}; each counts for itself"
        );
    }
}

/// The file of a server: nothing of its name can be anything else than a name.
fn file_name(server: &str) -> String {
    let mut name = PREFIX.to_owned();
    for byte in &Sha256::digest(server)[..12] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let kind = rustix::fs::statfs(dir)?.f_type;
        if u64::try_from(kind).is_ok_and(|kind| SLOW.contains(&kind)) {
            return Err(io::Error::other(format!(
                "{} is on a file system of a network",
                dir.display()
            )));
        }
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is no file", path.display())));
    }
    Ok(file)
}

fn contents(file: &File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; PAGE];
    let mut had = 0;
    while had < text.len() {
        match file.read_at(&mut text[had..], had as u64) {
            Ok(0) => break,
            Ok(more) => had += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(had);
    Ok(text)
}

enum Unreadable {
    /// Of a later version.
    Foreign,
    Damaged,
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

fn parse(text: &[u8]) -> Result<Ledger, Unreadable> {
    let Version { version } = serde_json::from_slice(text).map_err(|_| Unreadable::Damaged)?;
    if version != VERSION {
        return Err(Unreadable::Foreign);
    }
    serde_json::from_slice(text)
        .ok()
        .filter(Ledger::is_sound)
        .ok_or(Unreadable::Damaged)
}

/// All ledgers in `dir` that can be read, of this run of the machine.
pub(super) fn all(dir: &Path, boot: &str) -> Vec<Ledger> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut ledgers: Vec<Ledger> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .filter_map(|entry| {
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(flags.bits().cast_signed())
                .open(entry.path())
                .ok()?;
            // Without the lock, which a stopped process may hold. What is read while it is written is read again.
            (0..3).find_map(|_| parse(&contents(&file).ok()?).ok())
        })
        .filter(|ledger| ledger.boot == boot)
        .collect();
    ledgers.sort_by(|first, second| first.server.cmp(&second.server));
    ledgers
}

#[cfg(test)]
mod tests;
