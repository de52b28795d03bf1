//! Finds out, right after mounting, whether the kernel keeps and drops what it is told to.
//!
//! The mount relies on two things that no flag of the kernel states: that a remembered absence ends when the name is
//! announced, and that a remembered listing ends when its directory is. Where either were not so, a name could stay
//! missing, or a listing old, for as long as the kernel likes. So both are tried on names that nobody else knows,
//! answered by the adaptor alone, never listed, and gone when the test ends. What the kernel cannot be trusted with it
//! is not given: see [`KernelCaching`].

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fuser::{FileAttr, INodeNo, Notifier};

use super::reply::file_attr;
use crate::fs::{Attr, Kind};
use crate::model::Timestamp;
use crate::tree::inodes::{InodeNo, ROOT};

/// How long the kernel may keep what the test shows; far longer than the test takes.
pub(super) const TTL: Duration = Duration::from_hours(1);

/// How long the test may take. It is a dozen system calls that wait for nobody but the session threads; the rest is for
/// machines that have a lot else to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Inodes of the test. Those of the tree have 63 bits.
const PROBE: u64 = 1 << 63;
const FILE: INodeNo = INodeNo(PROBE | 1);
const DIRECTORY: INodeNo = INodeNo(PROBE | 2);
const CHILD: INodeNo = INodeNo(PROBE | 3);

/// The names in the test's directory, before and after its change.
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// What the kernel is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelCaching {
    /// It may remember that a name is absent. Else every look for such a name comes here, where it costs no request
    /// of a server while the listing is fresh.
    pub absences: bool,
    /// It may keep listings, and open directories by itself. Else each opening and reading of a directory comes here.
    pub directories: bool,
}

impl KernelCaching {
    /// All of it: every kernel tried so far.
    pub const FULL: Self = Self {
        absences: true,
        directories: true,
    };

    /// None of it.
    pub const NONE: Self = Self {
        absences: false,
        directories: false,
    };

    const ABSENCES: u8 = 1;
    const DIRECTORIES: u8 = 2;

    const fn bits(self) -> u8 {
        (if self.absences { Self::ABSENCES } else { 0 })
            | (if self.directories { Self::DIRECTORIES } else { 0 })
    }

    const fn of_bits(bits: u8) -> Self {
        Self {
            absences: bits & Self::ABSENCES != 0,
            directories: bits & Self::DIRECTORIES != 0,
        }
    }
}

/// What the adaptor answers about a name of the test.
pub(super) enum Shown {
    Entry(FileAttr, Duration),
    Absent(Duration),
}

/// True for an inode of the test.
pub(super) const fn is_probe(ino: INodeNo) -> bool {
    ino.0 & PROBE != 0
}

/// What the test shows, and what came of it. Until that is known, the kernel is trusted with nothing.
pub(crate) struct Probe {
    caching: AtomicU8,
    /// The kernel cannot keep listings, whatever the test says.
    no_directories: AtomicBool,
    running: AtomicBool,
    changed: AtomicBool,
    file: OsString,
    directory: OsString,
    /// How often the kernel asked for the name, and for the listing.
    asked: AtomicU32,
    read: AtomicU32,
}

impl Probe {
    /// A test that has not begun.
    pub(super) fn new() -> Self {
        let random = uuid::Uuid::from_u64_pair(fastrand::u64(..), fastrand::u64(..)).simple();
        Self {
            caching: AtomicU8::new(KernelCaching::NONE.bits()),
            no_directories: AtomicBool::new(false),
            running: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            file: format!(".pw-selftest-{random}").into(),
            directory: format!(".pw-selftest-{random}-d").into(),
            asked: AtomicU32::new(0),
            read: AtomicU32::new(0),
        }
    }

    /// What the kernel is trusted with at present.
    pub(super) fn caching(&self) -> KernelCaching {
        KernelCaching::of_bits(self.caching.load(Ordering::Relaxed))
    }

    /// Says that this kernel cannot be told once to open directories by itself.
    pub(super) fn forbid_directories(&self) {
        self.no_directories.store(true, Ordering::Relaxed);
    }

    /// Trusts the kernel with as much from now on.
    pub(super) fn decide(&self, caching: KernelCaching) -> KernelCaching {
        let decided = KernelCaching {
            directories: caching.directories && !self.no_directories.load(Ordering::Relaxed),
            ..caching
        };
        self.caching.store(decided.bits(), Ordering::Relaxed);
        decided
    }

    /// The answer about a name of the test; `None` for every other name.
    pub(super) fn lookup(&self, parent: INodeNo, name: &OsStr) -> Option<Shown> {
        if !self.running.load(Ordering::Acquire) {
            return None;
        }
        if parent.0 == ROOT.0 && name == self.file {
            self.asked.fetch_add(1, Ordering::Relaxed);
            return Some(if self.changed.load(Ordering::Acquire) {
                Shown::Entry(attr(FILE), TTL)
            } else {
                Shown::Absent(TTL)
            });
        }
        if parent.0 == ROOT.0 && name == self.directory {
            return Some(Shown::Entry(attr(DIRECTORY), TTL));
        }
        // Nobody looks into the test's directory by name.
        is_probe(parent).then_some(Shown::Absent(Duration::ZERO))
    }

    /// The attributes of an inode of the test.
    #[expect(
        clippy::unused_self,
        reason = "they are answered like everything else of the test"
    )]
    pub(super) fn getattr(&self, ino: INodeNo) -> Option<(FileAttr, Duration)> {
        is_probe(ino).then(|| (attr(ino), TTL))
    }

    /// The test's directory from `offset` on: what to go on from after each entry, its name, its attributes.
    pub(super) fn entries(&self, offset: u64) -> impl Iterator<Item = (u64, &'static str, FileAttr)> + use<> {
        if offset == 0 {
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        let child = if self.changed.load(Ordering::Acquire) {
            AFTER
        } else {
            BEFORE
        };
        let entries = [(".", DIRECTORY), ("..", DIRECTORY), (child, CHILD)];
        (1..)
            .zip(entries)
            .filter(move |(cookie, _)| *cookie > offset)
            .map(|(cookie, (name, ino))| (cookie, name, attr(ino)))
    }
}

/// Attributes that let everyone look and that never move: only the notification must make the kernel ask again.
fn attr(ino: INodeNo) -> FileAttr {
    let (kind, mode) = if ino == DIRECTORY {
        (Kind::Directory, 0o555)
    } else {
        (Kind::File, 0o444)
    };
    file_attr(&Attr {
        ino: InodeNo(ino.0),
        kind,
        size: 0,
        blocks: 0,
        mtime: Timestamp::UNIX_EPOCH,
        ctime: Timestamp::UNIX_EPOCH,
        mode,
        nlink: 1,
        uid: 0,
        gid: 0,
    })
}

/// What a kernel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// As it should.
    Sound,
    /// It kept what it was told to drop.
    Unsound,
}

/// Who tells the kernel: its own channel, or, in a test, nobody.
trait Teller: Send + 'static {
    fn name(&self, name: &OsStr) -> io::Result<()>;
    fn listing(&self) -> io::Result<()>;
}

impl Teller for Notifier {
    fn name(&self, name: &OsStr) -> io::Result<()> {
        self.inval_entry(INodeNo(ROOT.0), name)
    }

    fn listing(&self) -> io::Result<()> {
        self.inval_inode(DIRECTORY, 0, 0)
    }
}

/// Tries the kernel on a mount that answers, and has `probe` trust it accordingly. Takes a millisecond, and
/// [`PATIENCE`] at most: system calls that hang are left to themselves.
pub(super) fn run(probe: &Arc<Probe>, notifier: &Notifier, mountpoint: &Path) -> KernelCaching {
    try_kernel(probe, notifier.clone(), mountpoint, PATIENCE)
}

fn try_kernel(
    probe: &Arc<Probe>,
    teller: impl Teller,
    mountpoint: &Path,
    patience: Duration,
) -> KernelCaching {
    let (tell, told) = mpsc::channel();
    let trial = Trial {
        probe: probe.clone(),
        teller,
        mountpoint: mountpoint.to_owned(),
    };
    probe.running.store(true, Ordering::Release);
    let started = std::thread::Builder::new()
        .name("selftest".to_owned())
        .spawn(move || {
            let outcome = (trial.absences(), trial.directories());
            // Nobody listens any more if it took too long.
            let _ = tell.send(outcome);
        });
    let outcome = started
        .map_err(|_| ())
        .and_then(|_| told.recv_timeout(patience).map_err(|_| ()));
    probe.running.store(false, Ordering::Release);
    let Ok((absences, directories)) = outcome else {
        tracing::warn!(
            "the kernel's caches could not be tried in time; it is trusted with no absences and no listings"
        );
        return probe.decide(KernelCaching::NONE);
    };
    let decided = probe.decide(KernelCaching {
        absences: trusted("a remembered absence", &absences),
        directories: trusted("a remembered listing", &directories),
    });
    tracing::debug!(
        ?decided,
        asked = probe.asked.load(Ordering::Relaxed),
        read = probe.read.load(Ordering::Relaxed),
        "tried the kernel's caches"
    );
    decided
}

/// What follows from an outcome, said once where it costs something.
fn trusted(what: &str, outcome: &io::Result<Outcome>) -> bool {
    match outcome {
        Ok(Outcome::Sound) => true,
        Ok(Outcome::Unsound) => {
            tracing::warn!(
                "this kernel does not drop {what} when it is told to; it is given none, which makes the mount slower"
            );
            false
        }
        // Whoever mounts may be kept out by the permissions chosen for the mount, which tells nothing of the kernel.
        Err(error) => {
            tracing::debug!(%error, "whether this kernel drops {what} could not be tried");
            true
        }
    }
}

struct Trial<T> {
    probe: Arc<Probe>,
    teller: T,
    mountpoint: PathBuf,
}

impl<T: Teller> Trial<T> {
    /// A name is absent, twice; it appears and is announced; it must be there.
    fn absences(&self) -> io::Result<Outcome> {
        let path = self.mountpoint.join(&self.probe.file);
        for _ in 0..2 {
            if is_there(&path)? {
                return Err(io::Error::other("a name of the test is taken"));
            }
        }
        self.probe.changed.store(true, Ordering::Release);
        let told = self.teller.name(&self.probe.file);
        let there = is_there(&path);
        // For the next one, and so that nothing of the test stays with the kernel.
        self.probe.changed.store(false, Ordering::Release);
        let dropped = self.teller.name(&self.probe.file);
        told.and(dropped)?;
        Ok(if there? { Outcome::Sound } else { Outcome::Unsound })
    }

    /// A directory is read, twice; it changes and is announced; the change must be seen.
    fn directories(&self) -> io::Result<Outcome> {
        let path = self.mountpoint.join(&self.probe.directory);
        for _ in 0..2 {
            if names(&path)? != BTreeSet::from([BEFORE.into()]) {
                return Err(io::Error::other("the test's directory is not what was shown"));
            }
        }
        self.probe.changed.store(true, Ordering::Release);
        let told = self.teller.listing();
        let seen = names(&path);
        let dropped = self.teller.name(&self.probe.directory);
        told.and(dropped)?;
        Ok(if seen? == BTreeSet::from([AFTER.into()]) {
            Outcome::Sound
        } else {
            Outcome::Unsound
        })
    }
}

fn is_there(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn names(directory: &Path) -> io::Result<BTreeSet<OsString>> {
    std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name()))
        .collect()
}

#[cfg(test)]
mod tests;
