//! Thumbnailers and indexers on a real mount: they are given what is here, and have nothing fetched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pwfs::daemon::Reading;
use pwfs::demo::{Effect, Fault, RequestKind};
use pwfs::fs::activity::Activity;
use pwfs::fs::policy::CallerRules;

use super::{Mounted, Settings, blocking, fuse_is_here, mount, quiet, sh};
use crate::explain::{self, attribute};
use crate::harness::small;
use crate::program::{Stage, until};

const DENIED: &str = "Permission denied";

fn usual() -> Settings {
    Settings {
        reading: Reading {
            never_download: CallerRules::usual(),
            ..Reading::default()
        },
        ..Settings::default()
    }
}

/// `cat` under another name: the program behind a name is what it is called.
async fn called(dir: &Path, name: &str) -> PathBuf {
    let program = dir.join(name);
    quiet("cp \"$(command -v cat)\" \"$1\"", &[&program]).await;
    program
}

/// A script of this name, which reads its first argument by itself.
fn script(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, "#!/bin/sh\nIFS= read -r line < \"$1\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn activity(mountpoint: &Path) -> Activity {
    serde_json::from_str(&attribute(mountpoint, "user.projectwise.activity").unwrap()).unwrap()
}

fn asked(mounted: &Mounted) -> u64 {
    mounted.server.requests().of(RequestKind::File)
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnailers_and_indexers_read_what_is_here_and_have_nothing_fetched() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(usual()).await;
    let here = mounted.path("00 General/LEC-GEN-RPT-0002.pdf");
    let dir = mounted.outside("bin");
    fs::create_dir(&dir).unwrap();
    let programs = [
        called(&dir, "tumblerd").await,
        // Cut by the kernel to "totem-video-thu".
        called(&dir, "totem-video-thumbnailer").await,
        called(&dir, "tracker-extract-3").await,
        script(&dir, "updatedb"),
    ];
    let before = asked(&mounted);
    for program in &programs {
        let refused = sh("\"$1\" \"$2\" > /dev/null", &[program, &here]).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        // A shell says nothing of a read that fails; its `read` fails all the same.
        assert!(!refused.status.success(), "{}", program.display());
        assert!(said.contains(DENIED) || program.ends_with("updatedb"), "{said}");
    }
    assert_eq!(asked(&mounted), before, "nobody had anything fetched");
    // Their names are listed and looked at by them as ever.
    quiet("stat \"$1\" > /dev/null", &[&here]).await;

    // A person opens it, and then it is there for all of them.
    let seen = quiet("cat \"$1\" | md5sum", &[&here]).await;
    let again = quiet("\"$1\" \"$2\" | md5sum", &[&programs[0], &here]).await;
    assert_eq!(again, seen);
    assert_eq!(asked(&mounted), before + 1);
    let root = mounted.daemon.mountpoint().clone();
    let told = blocking(move || activity(&root)).await;
    let names: Vec<&str> = told.refused.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["totem-video-thu", "tracker-extract", "tumblerd", "updatedb"]
    );
    assert!(told.refused.values().all(|reads| *reads > 0), "{told:?}");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnailer_that_goes_through_a_folder_has_no_neighbours_fetched() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(usual()).await;
    let folder = mounted.path("00 General");
    let world = mounted.server.world();
    let general = world.folder_at(&[super::PROJECT, "00 General"]).unwrap();
    for number in 0..12 {
        world
            .add_document(general, &format!("zz-{number:02}.txt"), "text")
            .unwrap();
    }
    mounted.refresh(&folder).await;
    let thumbnailer = called(mounted.dir.path(), "tumblerd").await;
    // The first four are here.
    quiet(
        "for n in 3 2 1 0; do cat \"$1/zz-0$n.txt\" > /dev/null; done",
        &[&folder],
    )
    .await;
    let before = asked(&mounted);
    // Not from the kernel's pages.
    quiet(
        "for n in 0 1 2 3; do dd if=\"$2/zz-0$n.txt\" iflag=direct bs=4096 status=none | cat > /dev/null; done",
        &[&thumbnailer, &folder],
    )
    .await;
    let read = "for n in 0 1 2 3 4 5 6; do \"$1\" \"$2/zz-0$n.txt\" > /dev/null 2>&1; done; true";
    quiet(read, &[&thumbnailer, &folder]).await;
    let root = mounted.daemon.mountpoint().clone();
    let told = blocking(move || activity(&root)).await;
    assert_eq!(told.in_flight, 0);
    assert!(told.refused["tumblerd"] > 0);
    // What `dd` read in order may have had two more fetched; what the thumbnailer did had none.
    assert!(asked(&mounted) <= before + told.fetched_ahead, "{told:?}");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everything_is_to_be_read_no_program_is_refused() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let indexer = called(mounted.dir.path(), "recollindex").await;
    let document = mounted.path("00 General/LEC-GEN-RPT-0002.pdf");
    quiet("\"$1\" \"$2\" > /dev/null", &[&indexer, &document]).await;
    mounted.stop().await;
}

#[test]
fn the_status_of_a_mount_tells_what_is_read_refused_and_waited_for() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let folder = world.add_folder(None, "Shelf").unwrap();
    for name in ["read.txt", "refused.txt", "slow.txt"] {
        world.add_document(folder, name, name).unwrap();
    }
    let slow = world.document_at(&["Shelf", "slow.txt"]).unwrap();
    let indexer = stage.home.path().join("my-indexer");
    fs::copy("/bin/cat", &indexer).unwrap();
    let (running, dir) = explain::mount(
        &stage,
        &["--log-level", "info", "--never-download", "my-indexer,!tumblerd"],
    );
    let shelf = dir.join("Shelf");
    assert_eq!(fs::read(shelf.join("read.txt")).unwrap(), b"read.txt");
    let run = |name: &str| {
        let mut command = std::process::Command::new(&indexer);
        command.arg(shelf.join(name)).env("LC_ALL", "C").output().unwrap()
    };
    for _ in 0..2 {
        let refused = run("refused.txt");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(DENIED), "{said}");
    }
    assert!(run("read.txt").status.success(), "it is here");
    stage
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept).about(slow));
    let mut reader = std::process::Command::new("cat");
    let mut reader = reader.arg(shelf.join("slow.txt")).spawn().unwrap();
    let mut status = String::new();
    until("somebody waits", || {
        status = stage.run(&["status", "mnt"]).succeeds();
        status.contains("1 reads waiting")
    });
    assert!(status.contains(&format!("for slow.txt ({slow})")), "{status}");
    let line = status
        .lines()
        .find(|line| line.starts_with("  refused "))
        .unwrap();
    assert!(line.contains("my-indexer "), "{line}");
    assert!(
        status.lines().any(|line| line.starts_with("  reads ")),
        "{status}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&stage.run(&["status", "mnt", "--json"]).succeeds()).unwrap();
    let documents = &json["mounts"][0]["documents"];
    assert_eq!(documents["longest_wait"]["guid"], slow.to_string(), "{documents}");
    assert!(
        documents["refused"]["my-indexer"].as_u64() > Some(0),
        "{documents}"
    );
    reader.kill().unwrap();
    reader.wait().unwrap();
    stage.server.clear_faults();
    running.signal(rustix::process::Signal::TERM);
    let ended = running.finish();
    let said = ended.stderr.matches("never download").count();
    assert_eq!(said, 1, "once for a program: {}", ended.stderr);
}
