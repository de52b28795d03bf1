//! Real mounts: what programs see through the kernel.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use pwfs::cli::demo::check;
use pwfs::daemon::{Daemon, MountPlan};
use pwfs::demo::{DemoOptions, DemoServer, VersionGuids};
use pwfs::fs::Appearance;
use pwfs::fuse::mountpoint;
use pwfs::fuse::session::Access;
use pwfs::tree::TreeConfig;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::harness::{connect, small};

/// A demo server and a mount of it.
struct Mounted {
    server: DemoServer,
    daemon: Daemon,
    _dir: TempDir,
}

/// Says why a test did nothing where FUSE cannot be used, unless REQUIRE_FUSE asks for a failure.
fn fuse_is_here() -> bool {
    match mountpoint::check_fuse() {
        Ok(()) => true,
        Err(error) if std::env::var_os("REQUIRE_FUSE").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

async fn mount(options: DemoOptions) -> Mounted {
    let server = DemoServer::start(options).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let daemon = start(&server, dir.path(), &mountpoint).await.unwrap();
    Mounted {
        server,
        daemon,
        _dir: dir,
    }
}

async fn start(
    server: &DemoServer,
    dir: &Path,
    mountpoint: &Path,
) -> Result<Daemon, pwfs::daemon::DaemonError> {
    let plan = MountPlan {
        mountpoint: mountpoint.to_owned(),
        remote: connect(server, dir).await,
        tree: TreeConfig {
            confirm_after: std::time::Duration::from_millis(1),
            ..TreeConfig::default()
        },
        appearance: Appearance {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            file_mode: 0o444,
            dir_mode: 0o555,
            location: "demo:ds".to_owned(),
        },
        cache_dir: dir.join("cache"),
        access: Access::Owner,
    };
    Daemon::start(plan, &Handle::current()).await
}

/// Runs what touches the mount away from the threads that answer it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn check_tour(options: DemoOptions) {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(options).await;
    let findings = check::tour(&mounted.server, &mounted.daemon).await.unwrap();
    assert!(
        findings.passed(),
        "{}\n{}",
        findings.line(),
        findings.mismatches.join("\n")
    );
    let mountpoint = mounted.daemon.mountpoint().clone();
    mounted.daemon.stop().await.unwrap();
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
        version_guids: VersionGuids::New,
        ranges: false,
        skip_token: false,
        ..small()
    })
    .await;
}
