//! From mounting to unmounting, by whatever end.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use pwfs::daemon::DaemonError;
use pwfs::fuse::mountpoint::{self, MountpointError};
use pwfs::fuse::session::Unmounted;
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal};

use super::process::{Demo, blocking_with_end, mountinfo, pwfs};
use super::{
    ForcedUnmount, PATIENCE, Settings, blocking, fuse_is_here, has_programs, is_root, mount, quiet, shell,
    skipped, start,
};

async fn ends_cleanly_on(signal: Signal) {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    let mountpoint = demo.mountpoint.clone();
    assert!(mountinfo(&mountpoint).is_some());
    demo.signal(signal);
    let (status, said, complaints) = demo.wait().await;
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert!(said.contains("Unmounted"), "{said}");
    assert_eq!(complaints, "");
    assert_eq!(mountinfo(&mountpoint), None);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_unmounts_and_ends_with_success() {
    ends_cleanly_on(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_unmounts_and_ends_with_success() {
    ends_cleanly_on(Signal::INT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unmounting_from_outside_ends_the_process_with_success() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    let mut unmount = pwfs(dir.path());
    unmount.arg("unmount").arg(&demo.mountpoint);
    let unmounted = blocking(move || unmount.output().unwrap()).await;
    assert!(
        unmounted.status.success(),
        "{}",
        String::from_utf8_lossy(&unmounted.stderr)
    );
    let (status, _, complaints) = demo.wait().await;
    assert_eq!((status.code(), complaints.as_str()), (Some(0), ""));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_leaves_is_healed_by_the_next_mount() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let killed = Demo::start(dir.path()).await;
    let mountpoint = killed.mountpoint.clone();
    killed.signal(Signal::KILL);
    // Held until the end: dropping it would tidy up.
    let mut mounts = pwfs(dir.path());
    mounts.arg("mounts");
    let path = mountpoint.clone();
    let looked = blocking(move || {
        // The one question the kernel never answers by itself.
        while rustix::fs::statvfs(&path).is_ok() {
            std::thread::yield_now();
        }
        (
            rustix::fs::statvfs(&path).err().unwrap(),
            mounts.output().unwrap(),
        )
    });
    let (error, mounts) = tokio::time::timeout(PATIENCE, looked).await.unwrap();
    assert_eq!(error, rustix::io::Errno::NOTCONN);
    let listed = String::from_utf8_lossy(&mounts.stdout).into_owned();
    let line = listed
        .lines()
        .find(|line| line.starts_with(mountpoint.to_str().unwrap()));
    assert!(
        line.is_some_and(|line| line.contains("its process is gone")),
        "{listed}"
    );

    let next = Demo::start(dir.path()).await;
    quiet("ls -lR \"$1/Company Standards\" > /dev/null", &[&mountpoint]).await;
    next.signal(Signal::TERM);
    assert_eq!(next.wait().await.0.code(), Some(0));
    assert_eq!(
        mountinfo(&mountpoint),
        None,
        "no layer of the dead mount is left below"
    );
    drop(killed);
}

/// What mounting at `dir` is refused with.
async fn refusal(at: &Path, beside: &Path, server: &pwfs::demo::DemoServer) -> MountpointError {
    match start(server, beside, at, &Settings::default()).await {
        Err(DaemonError::Mountpoint(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("mounted over something"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_mounted_once_and_never_over_something() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let at = mounted.daemon.mountpoint().clone();
    let beside = mounted.outside("second");
    fs::create_dir(&beside).unwrap();
    let twice = refusal(&at, &beside, &mounted.server).await;
    assert!(matches!(twice, MountpointError::AlreadyMounted(path) if path == at));

    let full = mounted.outside("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("precious.txt"), "x").unwrap();
    let refused = refusal(&full, &beside, &mounted.server).await;
    assert!(matches!(refused, MountpointError::NotEmpty(path) if path == full));
    assert_eq!(fs::read(full.join("precious.txt")).unwrap(), b"x");

    let inside = at.join("Company Standards");
    let refused = refusal(&inside, &beside, &mounted.server).await;
    assert!(matches!(refused, MountpointError::NotEmpty(_)), "{refused}");
    assert!(
        mountpoint::ours().unwrap().iter().any(|mount| mount.path == at),
        "the first one is untouched"
    );
    quiet("ls \"$1\"", &[&at]).await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_system_is_never_mounted_over() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let (foreign, beside) = (mounted.outside("foreign"), mounted.outside("second"));
    fs::create_dir(&foreign).unwrap();
    fs::create_dir(&beside).unwrap();
    let tidy = ForcedUnmount(foreign.clone());
    rustix::mount::mount("tmpfs", &foreign, "tmpfs", MountFlags::empty(), None).unwrap();
    let refused = refusal(&foreign, &beside, &mounted.server).await;
    assert!(matches!(refused, MountpointError::Foreign { kind, .. } if kind == "tmpfs"));
    drop(tidy);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_use_is_unmounted_lazily_and_its_place_is_free_at_once() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let at = mounted.daemon.mountpoint().clone();
    let mut command = shell("cd \"$1\" && echo inside && read line; ls", &[&at]);
    let mut user = blocking(move || {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    })
    .await;
    let mut hear = io::BufReader::new(user.stdout.take().unwrap());
    blocking(move || io::BufRead::read_line(&mut hear, &mut String::new()).unwrap()).await;

    assert_eq!(mounted.daemon.stop().await.unwrap(), Unmounted::Lazily);
    assert_eq!(mountinfo(&at), None);
    let again = start(&mounted.server, mounted.dir.path(), &at, &Settings::default())
        .await
        .unwrap();
    quiet("ls \"$1\"", &[&at]).await;
    assert_eq!(again.stop().await.unwrap(), Unmounted::Cleanly);
    // Who stayed inside is not stuck.
    let pid = Pid::from_child(&user);
    drop(user.stdin.take());
    blocking_with_end(pid, move || user.wait().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_asked_to_end_says_that_its_mount_was_in_use() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    let at = demo.mountpoint.clone();
    let held = blocking(move || fs::File::open(at).unwrap()).await;
    demo.signal(Signal::TERM);
    let (status, _, complaints) = demo.wait().await;
    assert_eq!(status.code(), Some(0), "{complaints}");
    assert!(complaints.contains("still in use"), "{complaints}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_mounts_through_the_setuid_helper() {
    if !fuse_is_here() || !is_root() || !has_programs(&["runuser", "fusermount3"]) {
        return;
    }
    let mode = fs::metadata("/dev/fuse").unwrap().permissions().mode();
    if mode & 0o006 != 0o006 && !skipped("/dev/fuse is closed to ordinary users") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    // Where the build lies, nobody may be let in.
    let binary = dir.path().join("pwfs");
    fs::copy(env!("CARGO_BIN_EXE_pwfs"), &binary).unwrap();
    let at = home.join("mnt");
    let tidy = ForcedUnmount(at.clone());
    let script = "chown nobody \"$1\" && cd \"$1\" && \
        exec runuser -u nobody -- env HOME=\"$1\" TMPDIR=\"$1\" \"$2\" demo --check --documents 120 \"$1/mnt\"";
    let said = quiet(script, &[&home, &binary]).await;
    assert!(said.contains("mismatches=0"), "{said}");
    assert_eq!(mountinfo(&at), None);
    drop(tidy);

    // A mount of their own shows its kind, and they can unmount it themselves.
    let script =
        "cd \"$1\" && exec setsid runuser -u nobody -- env HOME=\"$1\" TMPDIR=\"$1\" \"$2\" demo \"$1/mnt\"";
    let mut command = shell(script, &[&home, &binary]);
    let mut demo = blocking(move || command.stdout(Stdio::piped()).spawn().unwrap()).await;
    let _tidy = ForcedUnmount(at.clone());
    let mut hear = io::BufReader::new(demo.stdout.take().unwrap());
    let (hear, mounted) = blocking(move || {
        let mut line = String::new();
        while !line.starts_with("Press Ctrl-C") && io::BufRead::read_line(&mut hear, &mut line).unwrap() > 0 {
            if !line.starts_with("Press Ctrl-C") {
                line.clear();
            }
        }
        (hear, !line.is_empty())
    })
    .await;
    assert!(mounted, "the demo did not mount");
    let line = mountinfo(&at).unwrap();
    assert!(line.contains(" - fuse.projectwise projectwise:"), "{line}");
    let script = "cd / && exec runuser -u nobody -- env HOME=\"$1\" \"$2\" unmount \"$1/mnt\"";
    quiet(script, &[&home, &binary]).await;
    assert_eq!(mountinfo(&at), None);
    let pid = Pid::from_child(&demo);
    let status = blocking_with_end(pid, move || demo.wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
    drop(hear);
}
