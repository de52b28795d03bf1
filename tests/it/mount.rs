//! Real mounts: what programs see through the kernel.
//!
//! Most mounts are made in this process, so that a test holds the server, the daemon and the world at once. What is
//! about the process itself (signals, death, another user) runs the real binary, as [`process::Demo`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pwfs::cli::demo::check;
use pwfs::content::CacheOptions;
use pwfs::daemon::{Daemon, DaemonError, MountPlan, Reading, Storage};
use pwfs::demo::knobs::{Knobs, Ranges, SkipTokenMode, VersionGuids};
use pwfs::demo::{DemoOptions, DemoServer, ExpectedDocument};
use pwfs::fs::Appearance;
use pwfs::fuse::mountpoint;
use pwfs::fuse::selftest::KernelCaching;
use pwfs::fuse::session::{Access, Unmounted};
use pwfs::model::DocumentKind;
use pwfs::remote::Remote;
use pwfs::tree::TreeConfig;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::harness::{connect, small};

mod cachedir;
mod caching;
mod callers;
mod changes;
mod desktop;
mod force;
mod invalidation;
mod kernel;
mod lifecycle;
mod login;
mod mapped;
mod panics;
mod process;
mod programs;
mod reading;
mod silent;
mod sizes;
mod stalls;
mod torn;

/// The project's folder at the root.
const PROJECT: &str = "Leven Estuary Crossing";

/// Longest time for anything a test waits for; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo server and a mount of it. Unmounted by force when a test ends early.
struct Mounted {
    server: DemoServer,
    daemon: Daemon,
    _forced: ForcedUnmount,
    dir: TempDir,
}

impl Mounted {
    /// A path below the project.
    fn path(&self, below: &str) -> PathBuf {
        self.daemon.mountpoint().join(PROJECT).join(below)
    }

    /// A path outside of the mount.
    fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn requests(&self) -> u64 {
        self.server.requests().total
    }

    /// Has a folder listed anew, and waits until the kernel was told what changed.
    async fn refresh(&self, folder: &Path) {
        check::see_changes(&self.daemon, folder).await.unwrap();
    }

    /// The path of a document in the mount, where its folders and itself go by their plain names.
    fn path_of(&self, document: &ExpectedDocument) -> PathBuf {
        let mut path = self.daemon.mountpoint().clone();
        path.extend(&document.path);
        path.join(document.file_name.as_deref().unwrap())
    }

    /// Every readable document with a file below these folders of the project.
    fn documents(&self, below: &[&str]) -> Vec<ExpectedDocument> {
        let mut documents = self.server.world().documents();
        documents.retain(|document| {
            document.active
                && document.listed
                && document.readable
                && document.kind == DocumentKind::File
                && document.path.first().is_some_and(|root| root == PROJECT)
                && document.path.len() > below.len()
                && document.path[1..]
                    .iter()
                    .zip(below)
                    .all(|(name, wanted)| name == wanted)
        });
        documents
    }

    /// Unmounts, and expects that nobody used the mount.
    async fn stop(self) {
        assert_eq!(self.daemon.stop().await.unwrap(), Unmounted::Cleanly);
    }
}

/// Takes a mount away whatever it is doing, so that a failed test leaves neither a mount nor a hanging process.
struct ForcedUnmount(PathBuf);

impl Drop for ForcedUnmount {
    fn drop(&mut self) {
        // Mostly there is nothing left to unmount.
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::FORCE | UnmountFlags::DETACH);
    }
}

/// How a test's mount differs from a plain one.
struct Settings {
    options: DemoOptions,
    tree: TreeConfig,
    file_mode: u16,
    caching: Option<KernelCaching>,
    reading: Reading,
    cache: CacheOptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: small(),
            tree: TreeConfig::default(),
            file_mode: 0o444,
            caching: None,
            reading: Reading::default(),
            cache: CacheOptions::default(),
        }
    }
}

/// Says why a test does nothing where FUSE cannot be used, unless REQUIRE_FUSE asks for a failure.
pub fn fuse_is_here() -> bool {
    match mountpoint::check_fuse() {
        Ok(()) => true,
        Err(error) => skipped(&error.to_string()),
    }
}

/// Says that a test of programs does nothing without one of them.
pub fn has_programs(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |program: &str| std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    match programs.iter().find(|program| !is_here(program)) {
        None => true,
        Some(missing) => skipped(&format!("{missing} is not installed")),
    }
}

/// Says that a test only root can do does nothing.
fn is_root() -> bool {
    rustix::process::geteuid().is_root() || skipped("only root can do this")
}

/// Prints the reason, and is false.
fn skipped(reason: &str) -> bool {
    assert!(std::env::var_os("REQUIRE_FUSE").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

async fn mount(settings: Settings) -> Mounted {
    let server = DemoServer::start(settings.options.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    mount_of(server, dir, settings).await
}

/// A mount of this server, with `dir` for everything.
async fn mount_of(server: DemoServer, dir: TempDir, settings: Settings) -> Mounted {
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let forced = ForcedUnmount(mountpoint.clone());
    let daemon = start(&server, dir.path(), &mountpoint, &settings).await.unwrap();
    Mounted {
        server,
        daemon,
        _forced: forced,
        dir,
    }
}

async fn start(
    server: &DemoServer,
    dir: &Path,
    mountpoint: &Path,
    settings: &Settings,
) -> Result<Daemon, DaemonError> {
    let plan = plan(connect(server, dir).await, dir, mountpoint, settings);
    Daemon::start(plan, &Handle::current()).await
}

/// A mount of `remote` for a test.
fn plan(remote: Arc<dyn Remote>, dir: &Path, mountpoint: &Path, settings: &Settings) -> MountPlan {
    MountPlan {
        mountpoint: mountpoint.to_owned(),
        remote,
        tree: TreeConfig {
            confirm_after: Duration::from_millis(1),
            ..settings.tree.clone()
        },
        appearance: Appearance {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            file_mode: settings.file_mode,
            dir_mode: 0o555,
            location: "demo:ds".to_owned(),
        },
        storage: Storage {
            cache_dir: dir.join("cache"),
            state_dir: dir.join("state"),
            issuer: "demo".to_owned(),
            cache: settings.cache,
        },
        access: Access::Owner,
        refresh_interval: Duration::from_secs(60),
        caching: settings.caching,
        reading: settings.reading.clone(),
        login: None,
        account: None,
        outstanding: None,
        takes_signals: || {},
    }
}

/// Runs what touches the mount away from the threads that answer it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A shell script over `$1`, `$2`, …; killed after a minute.
fn shell(script: &str, arguments: &[&Path]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "60", "sh", "-c", script, "sh"])
        .args(arguments);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

async fn sh(script: &str, arguments: &[&Path]) -> Output {
    let mut command = shell(script, arguments);
    blocking(move || command.output().unwrap()).await
}

/// Runs a script that must succeed and say nothing on stderr; returns what it wrote.
async fn quiet(script: &str, arguments: &[&Path]) -> String {
    let output = sh(script, arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{script}: {}: {said}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn check_tour(options: DemoOptions) {
    check_tour_of(Settings {
        options,
        ..Settings::default()
    })
    .await;
}

async fn check_tour_of(settings: Settings) {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(settings).await;
    let findings = check::tour(&mounted.server, &mounted.daemon).await.unwrap();
    assert!(
        findings.passed(),
        "{}\n{}",
        findings.line(),
        findings.mismatches.join("\n")
    );
    let mountpoint = mounted.daemon.mountpoint().clone();
    assert_eq!(mounted.daemon.stop().await.unwrap(), Unmounted::Cleanly);
    assert_eq!(
        fs::read_dir(mountpoint).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_finds_nothing_wrong() {
    check_tour(small()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_finds_nothing_wrong_when_versions_get_new_guids() {
    check_tour(DemoOptions {
        knobs: Knobs {
            version_guids: VersionGuids::New,
            ranges: Ranges::Ignored,
            skip_token: SkipTokenMode::Ignored,
            ..Knobs::default()
        },
        ..small()
    })
    .await;
}
