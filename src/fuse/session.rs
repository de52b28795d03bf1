//! The mount itself: options, the session, unmounting.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fuser::{Config, MountOption, Session, SessionACL};
use rustix::mount::UnmountFlags;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Adaptor;
use super::connection::Connection;
use super::kernel;
use super::mountpoint::{self, Mounted};
use super::notify::KernelNotifier;
use super::selftest::{self, KernelCaching, Probe};
use crate::fs::Filesystem;
use crate::tree::invalidation::Invalidations;

/// The file system type as `mount` and `findmnt` show it, after `fuse.`.
pub const SUBTYPE: &str = "projectwise";

/// Session threads: a `pread` of cached bytes holds one, so there are as many as reads that may hit the disk at once.
const THREADS: usize = 8;

/// How long fusermount3 may take: it makes one system call.
const HELPER_PATIENCE: Duration = Duration::from_secs(10);

/// How long unmounting may hang before the connection is broken off: longer than a mount in use is waited for.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Who may use the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// The user who mounts.
    #[default]
    Owner,
    /// Everyone, by the permission bits.
    Everyone,
}

/// How to mount.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Where.
    pub mountpoint: PathBuf,
    /// What `mount` shows as the source; see [`source_name`].
    pub source: String,
    /// Who may use it.
    pub access: Access,
    /// What the kernel is trusted with; `None` tries that out.
    pub caching: Option<KernelCaching>,
    /// How far the kernel reads ahead, in bytes; `None` leaves that to it.
    pub read_ahead: Option<u64>,
    /// Documents can be run as programs. Neither devices nor other users' rights ever come from a mount.
    pub exec: bool,
}

/// A mount that answers.
pub struct FuseSession {
    mountpoint: PathBuf,
    /// The device number the kernel gave the mount; tells it from a later one at the same place.
    device: Option<String>,
    connection: Option<Connection>,
    caching: KernelCaching,
    /// Taken when the mount is ended in order.
    session: Option<JoinHandle<()>>,
    ended: watch::Receiver<bool>,
    notifier: Option<KernelNotifier>,
    invalidations: Arc<Invalidations>,
}

/// How an unmount went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmounted {
    /// Nobody used it.
    Cleanly,
    /// Someone still had it open: it is gone from the tree, and served until they close it or the process ends.
    Lazily,
}

impl FuseSession {
    /// Mounts `fs`.
    pub fn mount(fs: Filesystem, options: &SessionOptions, runtime: Handle) -> io::Result<Self> {
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(source_name(&options.source)),
            // Said so that a mount by root carries it too: fuser's own option for it reaches only the setuid helper.
            MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
            MountOption::RO,
            MountOption::NoSuid,
            MountOption::NoDev,
            if options.exec {
                MountOption::Exec
            } else {
                MountOption::NoExec
            },
            // Without it, everyone who may enter the mount could read every file whatever its bits say.
            MountOption::DefaultPermissions,
        ];
        config.acl = match options.access {
            Access::Owner => SessionACL::Owner,
            Access::Everyone => SessionACL::All,
        };
        config.n_threads = Some(THREADS);
        let invalidations = fs.tree().invalidations().clone();
        let probe = Arc::new(Probe::new());
        let adaptor = Adaptor::new(fs, runtime, probe.clone());
        let session = Session::new(adaptor, &options.mountpoint, &config)?;
        let notifier = session.notifier();
        // From here on an error drops what was made, which unmounts.
        let background = session.spawn()?;
        let (end, ended) = watch::channel(false);
        let session = std::thread::Builder::new()
            .name("fuse-session".to_owned())
            .spawn(move || {
                if let Err(error) = background.join() {
                    tracing::error!(%error, "the FUSE session broke off");
                }
                end.send_replace(true);
            })?;
        let mut mounted = Self {
            mountpoint: options.mountpoint.clone(),
            device: None,
            connection: None,
            caching: KernelCaching::NONE,
            session: Some(session),
            ended,
            notifier: None,
            invalidations,
        };
        let on_top = mounted.on_top();
        mounted.connection = on_top.as_ref().map(Connection::of);
        mounted.device = on_top.map(|on_top| on_top.device);
        if let (Some(bytes), Some(device)) = (options.read_ahead, &mounted.device) {
            kernel::set_read_ahead(device, bytes);
        }
        mounted.caching = match options.caching {
            Some(caching) => probe.decide(caching),
            None => selftest::run(&probe, &notifier, &mounted.mountpoint),
        };
        mounted.notifier = Some(KernelNotifier::start(&notifier, &mounted.invalidations)?);
        Ok(mounted)
    }

    /// What the kernel is trusted with.
    pub const fn caching(&self) -> KernelCaching {
        self.caching
    }

    /// The kernel's side of the mount.
    pub const fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// What is mounted at the place of this mount now.
    fn on_top(&self) -> Option<Mounted> {
        mountpoint::at(&self.mountpoint).ok().flatten()
    }

    /// True if this very mount is still there, and not another one that took its place meanwhile.
    fn is_there(&self) -> bool {
        let Some(on_top) = self
            .on_top()
            .filter(|on_top| Some(&on_top.device) == self.device.as_ref())
        else {
            return false;
        };
        // Numbers are given again. One that has ended is still there if it was broken off, and then it is dead.
        !*self.ended.borrow() || (on_top.is_ours() && on_top.is_dead())
    }

    /// Turns true when the mount is gone, whoever unmounted it.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Unmounts and waits for the session's end. Blocks for at most about ten seconds, and for three unless the
    /// kernel's side of the mount hangs: then the connection is broken off.
    pub fn unmount(mut self) -> io::Result<Unmounted> {
        // First of all: a notification in flight must not hold the last lookups.
        self.invalidations.close();
        let outcome = if self.is_there() {
            let _watchdog = self.connection.clone().and_then(Watchdog::start);
            unmount(&self.mountpoint)
        } else {
            Ok(Unmounted::Cleanly)
        };
        let (session, notifier) = (self.session.take(), self.notifier.take());
        let Some(session) = session else {
            return outcome;
        };
        // After a lazy unmount the session lives until the last file is closed; nobody must wait for that.
        wait_until(Duration::from_millis(500), || session.is_finished());
        if !session.is_finished() {
            // Who waits for an answer is told now that none will come. Who only has a file open is left alone.
            let waited_for = self
                .connection
                .as_ref()
                .filter(|connection| connection.waiting().is_some_and(|waiting| waiting > 0));
            if let Some(connection) = waited_for {
                break_off(connection);
                wait_until(Duration::from_millis(500), || session.is_finished());
            }
        }
        if !session.is_finished() {
            return outcome;
        }
        if session.join().is_err() {
            tracing::error!("the session thread panicked");
        }
        if let Some(notifier) = notifier {
            notifier.join();
        }
        outcome
    }
}

/// Breaks a connection off if it is not dropped in time.
struct Watchdog {
    /// Ends the wait by being dropped.
    _call_off: mpsc::Sender<()>,
}

impl Watchdog {
    fn start(connection: Connection) -> Option<Self> {
        let (call_off, called_off) = mpsc::channel::<()>();
        let watching = std::thread::Builder::new()
            .name("unmount-watchdog".to_owned())
            .spawn(move || {
                if called_off.recv_timeout(UNMOUNT_PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    break_off(&connection);
                }
            });
        watching.is_ok().then_some(Self { _call_off: call_off })
    }
}

fn break_off(connection: &Connection) {
    match connection.abort() {
        Ok(()) => {
            tracing::warn!("unmounting did not end by itself; whoever waited for an answer gets an error");
        }
        Err(error) => {
            tracing::warn!(%error, "unmounting does not end, and the mount cannot be broken off");
        }
    }
}

/// Waits for something nobody announces, at most `limit`.
fn wait_until(limit: Duration, so: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !so() && Instant::now() < end {
        pause(Duration::from_millis(10));
    }
}

impl Drop for FuseSession {
    /// Whatever way it is left, no dead mount stays behind.
    fn drop(&mut self) {
        self.invalidations.close();
        if self.session.is_some()
            && self.is_there()
            && let Err(error) = detach(&self.mountpoint)
        {
            tracing::warn!(%error, "the mount stays behind");
        }
    }
}

/// Unmounts a directory of ours; lazily if it stays in use for two seconds.
pub fn unmount(mountpoint: &Path) -> io::Result<Unmounted> {
    const TRIES: u32 = 10;
    for attempt in 0..TRIES {
        match unmount_once(mountpoint, UnmountFlags::empty()) {
            Ok(()) => return Ok(Unmounted::Cleanly),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && attempt + 1 < TRIES => {
                pause(Duration::from_millis(200));
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(error),
        }
    }
    unmount_once(mountpoint, UnmountFlags::DETACH).map(|()| Unmounted::Lazily)
}

/// Breaks the connection of a mount off and takes it off its directory: whoever waits for it gets an error at once.
pub fn force(mounted: &Mounted) -> io::Result<()> {
    Connection::of(mounted).abort()?;
    // Its process, or the kernel, may have taken it off already, or be about to.
    let is_there = || {
        let on_top = mountpoint::at(&mounted.path).ok().flatten();
        on_top.is_some_and(|on_top| on_top.device == mounted.device)
    };
    if !is_there() {
        return Ok(());
    }
    match detach(&mounted.path) {
        Err(_) if !is_there() => Ok(()),
        outcome => outcome,
    }
}

/// Takes a dead mount (its process is gone) off its directory.
pub fn detach(mountpoint: &Path) -> io::Result<()> {
    unmount_once(mountpoint, UnmountFlags::DETACH)
}

/// Unmounts directly where that is allowed, else through the setuid helper.
fn unmount_once(mountpoint: &Path, flags: UnmountFlags) -> io::Result<()> {
    match rustix::mount::unmount(mountpoint, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM) => {
            let mut helper = Command::new("fusermount3");
            helper.arg(if flags.contains(UnmountFlags::DETACH) {
                "-uz"
            } else {
                "-u"
            });
            let done = bounded(helper.arg("--").arg(mountpoint))?;
            if done.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            let kind = if said.contains("busy") {
                io::ErrorKind::ResourceBusy
            } else {
                io::ErrorKind::Other
            };
            Err(io::Error::new(kind, said))
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs the helper, and gives it up after [`HELPER_PATIENCE`]: it may be made to wait by the very mount it removes.
fn bounded(helper: &mut Command) -> io::Result<Output> {
    let mut child = helper
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let deadline = Instant::now() + HELPER_PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "fusermount3 did not end"));
        }
        pause(Duration::from_millis(10));
    }
    child.wait_with_output()
}

/// The source as `mount` shows it: fuser joins options unescaped, so whatever could be taken for another option
/// becomes `_`, and no more stays than fits a line.
pub fn source_name(text: &str) -> String {
    const LONGEST: usize = 100;
    let shown = |c: char| {
        if c.is_ascii_alphanumeric() || "._:~-/".contains(c) {
            c
        } else {
            '_'
        }
    };
    text.chars().map(shown).take(LONGEST).collect()
}

/// Waits without an event: the kernel tells nobody when the last user of a mount has left.
fn pause(time: Duration) {
    let (_hold, never) = mpsc::channel::<()>();
    // Times out, since nothing is ever sent.
    let _ = never.recv_timeout(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_name_cannot_smuggle_an_option() {
        assert_eq!(
            source_name("projectwise:host/ds,allow_other\\,suid"),
            "projectwise:host/ds_allow_other__suid"
        );
        assert_eq!(source_name(&"x".repeat(300)).len(), 100);
    }
}
