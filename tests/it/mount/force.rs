//! Breaking a mount off: whoever hangs on it is free, and the directory too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::mount::MountFlags;

use super::process::mountinfo;
use super::{ForcedUnmount, fuse_is_here, is_root};
use crate::harness::small;
use crate::program::{Running, Stage, mode, until};

const DRAWING: &str = "Company Standards/CAD Blocks/STD-BLK-0001.dxf";

/// A mount whose one reader waits for a server that is silent.
fn stuck(stage: &Stage) -> (Running, PathBuf, Child) {
    let at = stage.home.path().join("mnt");
    if !at.exists() {
        stage.other_program("mkdir", &["mnt"]).status().unwrap();
    }
    let mut running = stage.start(&["mount", "mnt"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    let arrived = stage.server.requests().of(RequestKind::File);
    let silent = Fault::on(RequestKind::File, Effect::HangAfterAccept);
    stage.server.inject(silent);
    let mut cat = stage.other_program("cat", &[at.join(DRAWING).to_str().unwrap()]);
    let reader = cat.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("a reader waits", || {
        stage.server.requests().of(RequestKind::File) > arrived
    });
    (running, at, reader)
}

/// What everyone gets when the mount is broken off.
fn broken_off(stage: &Stage, running: Running, at: &Path, mut reader: Child) {
    let begin = Instant::now();
    let said = stage.run(&["unmount", "--force", "mnt"]).succeeds();
    assert_eq!(
        said,
        format!("{} is unmounted\n", at.canonicalize().unwrap().display())
    );
    assert_eq!(mountinfo(at), None);
    until("the reader is free", || reader.try_wait().unwrap().is_some());
    assert!(!reader.wait().unwrap().success());
    running.finish().succeeds();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(fs::read_dir(at).unwrap().count(), 0);
    stage.server.clear_faults();
}

/// Mounts fusectl, where systems have it mounted anyway.
fn fusectl(stage: &Stage) -> ForcedUnmount {
    let place = stage.home.path().join("fusectl");
    fs::create_dir(&place).unwrap();
    rustix::mount::mount("fusectl", &place, "fusectl", MountFlags::empty(), None).unwrap();
    ForcedUnmount(place)
}

#[test]
fn a_mount_that_hangs_is_broken_off_by_force() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::signed_in(small());
    // As the kernel's own means allow, and through fusectl.
    let (running, at, reader) = stuck(&stage);
    broken_off(&stage, running, &at, reader);
    let _fusectl = fusectl(&stage);
    let (running, at, reader) = stuck(&stage);
    broken_off(&stage, running, &at, reader);
}

#[test]
fn an_ordinary_user_breaks_off_a_mount_of_their_own() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    if mode(Path::new("/dev/fuse")) & 0o006 != 0o006 {
        eprintln!("skipped: /dev/fuse is closed to ordinary users");
        return;
    }
    let stage = Stage::of_nobody();
    stage.sign_in();
    let _fusectl = fusectl(&stage);
    let (running, at, reader) = stuck(&stage);
    broken_off(&stage, running, &at, reader);
}

#[test]
fn what_was_broken_off_by_hand_leaves_no_dead_mount() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::signed_in(small());
    let fusectl = fusectl(&stage);
    let (running, at, mut reader) = stuck(&stage);
    let line = mountinfo(&at).unwrap();
    let minor = line.split(' ').nth(2).unwrap().split_once(':').unwrap().1;
    fs::write(fusectl.0.join(minor).join("abort"), "1").unwrap();
    until("the reader is free", || reader.try_wait().unwrap().is_some());
    running.finish();
    assert_eq!(mountinfo(&at), None);
}

#[test]
fn a_process_asked_to_end_frees_whoever_waits_for_an_answer() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let stage = Stage::signed_in(small());
    let _fusectl = fusectl(&stage);
    let (running, at, mut reader) = stuck(&stage);
    let begin = Instant::now();
    running.signal(rustix::process::Signal::TERM);
    until("the reader is free", || reader.try_wait().unwrap().is_some());
    let said = running.finish();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(mountinfo(&at), None);
}

#[test]
fn a_mount_in_use_is_taken_off_lazily_at_once() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let at = stage.home.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let _forced = ForcedUnmount(at.clone());
    let mut running = stage.start(&["mount", "mnt"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    let user = fs::File::open(at.join(DRAWING)).unwrap();
    stage.run(&["unmount", "--lazy", "mnt"]).succeeds();
    assert_eq!(mountinfo(&at), None);
    // Who has a file open reads on; the process ends with the last of them.
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&user, &mut byte, 0).unwrap();
    drop(user);
    running.finish().succeeds();
}
