//! Changes on the server, as whoever works in the mount sees them.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use pwfs::demo::DemoOptions;
use pwfs::demo::knobs::{Knobs, VersionGuids};
use pwfs::tree::TreeConfig;
use rustix::process::Pid;

use super::process::blocking_with_end;
use super::{Mounted, PATIENCE, PROJECT, Settings, blocking, fuse_is_here, mount, quiet};
use crate::harness::small;

/// A shell that works inside a directory and answers one command at a time.
pub(super) struct Inhabitant {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Inhabitant {
    pub(super) fn of(directory: &Path) -> Self {
        let mut child = Command::new("sh")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (say, hear) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            say,
            hear: BufReader::new(hear),
        }
    }

    /// Runs a command in the shell; returns the first line it wrote.
    pub(super) async fn ask(self, command: &str) -> (Self, String) {
        let (mut shell, command) = (self, command.to_owned());
        let pid = Pid::from_child(&shell.child);
        blocking_with_end(pid, move || {
            writeln!(shell.say, "{{ {command}; }} || echo failed").unwrap();
            let mut line = String::new();
            shell.hear.read_line(&mut line).unwrap();
            (shell, line.trim_end().to_owned())
        })
        .await
    }

    /// Sends it home.
    pub(super) async fn leave(self) {
        let Self { mut child, say, hear } = self;
        drop((say, hear));
        blocking_with_end(Pid::from_child(&child), move || child.wait().unwrap()).await;
    }
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    blocking(move || fs::read(path)).await
}

pub(super) async fn ino(path: &Path) -> io::Result<u64> {
    let path = path.to_owned();
    blocking(move || fs::metadata(path).map(|metadata| metadata.ino())).await
}

pub(super) async fn is_absent(path: &Path) -> bool {
    matches!(ino(path).await, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

async fn held_open(version_guids: VersionGuids) {
    if !fuse_is_here() {
        return;
    }
    let options = DemoOptions {
        knobs: Knobs {
            version_guids,
            ..Knobs::default()
        },
        ..small()
    };
    let mounted = mount(Settings {
        options,
        ..Settings::default()
    })
    .await;
    let world = mounted.server.world();
    let name = "LEC-GEN-RPT-0001.pdf";
    let guid = world.document_at(&[PROJECT, "00 General", name]).unwrap();
    let old = world.content(guid).unwrap();
    let (folder, path) = (
        mounted.path("00 General"),
        mounted.path(&format!("00 General/{name}")),
    );
    let mut file = blocking({
        let path = path.clone();
        move || {
            let mut file = File::open(path).unwrap();
            let mut first = [0; 4096];
            file.read_exact(&mut first).unwrap();
            (file, first)
        }
    })
    .await;
    assert_eq!(file.1, old[..4096]);
    // As long as before, so that a length alone could not tell them apart.
    let new = vec![b'n'; old.len()];
    world.new_version(guid, new.clone()).unwrap();
    mounted.refresh(&folder).await;

    assert!(
        read(&path).await.unwrap() == new,
        "the name leads to the new version"
    );
    let (seen, outcome) = blocking(move || {
        let mut seen = file.1.to_vec();
        let outcome = file.0.read_to_end(&mut seen);
        (seen, outcome)
    })
    .await;
    match outcome {
        Ok(_) => assert!(seen == old, "the old version to its end"),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle, "{error}");
            assert!(
                seen[..] == old[..seen.len()],
                "nothing but old bytes before the refusal"
            );
        }
    }
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_held_open_shows_one_version_and_its_name_the_next() {
    held_open(VersionGuids::Keep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_held_open_shows_one_version_where_the_next_has_a_new_guid() {
    held_open(VersionGuids::New).await;
}

/// A mount, a folder of it, and a document added there, read, and found by its name.
async fn with_note() -> (Mounted, PathBuf, pwfs::model::Guid) {
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let deck = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    let folder = mounted.path("03 Design/Deck/Drawings");
    quiet("ls \"$1\" && test ! -e \"$1/note.txt\"", &[&folder]).await;
    let note = world.add_document(deck, "note.txt", "a note\n").unwrap();
    mounted.refresh(&folder).await;
    assert_eq!(
        read(&folder.join("note.txt")).await.unwrap(),
        b"a note\n",
        "absent before, here now"
    );
    let names = quiet("ls \"$1\"", &[&folder]).await;
    assert!(names.lines().any(|name| name == "note.txt"), "{names}");
    (mounted, folder, note)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_document_keeps_its_inode_and_leaves_its_old_name() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, folder, note) = with_note().await;
    let before = ino(&folder.join("note.txt")).await.unwrap();
    mounted
        .server
        .world()
        .rename_document(note, "renamed.txt")
        .unwrap();
    mounted.refresh(&folder).await;
    assert!(is_absent(&folder.join("note.txt")).await);
    assert_eq!(ino(&folder.join("renamed.txt")).await.unwrap(), before);
    assert_eq!(read(&folder.join("renamed.txt")).await.unwrap(), b"a note\n");
    let names = quiet("ls \"$1\"", &[&folder]).await;
    assert!(
        !names.contains("note.txt") && names.contains("renamed.txt"),
        "{names}"
    );
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_document_is_gone_and_can_be_read_by_whoever_has_it_open() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, folder, note) = with_note().await;
    let path = folder.join("note.txt");
    let mut open = blocking(move || File::open(path).unwrap()).await;
    mounted.server.world().delete_document(note).unwrap();
    mounted.refresh(&folder).await;
    assert!(is_absent(&folder.join("note.txt")).await);
    assert!(!quiet("ls \"$1\"", &[&folder]).await.contains("note.txt"));
    let seen = blocking(move || {
        let mut seen = Vec::new();
        open.read_to_end(&mut seen).map(|_| seen)
    });
    assert_eq!(seen.await.unwrap(), b"a note\n");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_moved_to_another_folder_is_there_and_not_here() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, folder, note) = with_note().await;
    let world = mounted.server.world();
    let other = mounted.path("03 Design/Deck/Models");
    quiet("ls \"$1\" && test ! -e \"$1/note.txt\"", &[&other]).await;
    world
        .move_document(
            note,
            world
                .folder_at(&[PROJECT, "03 Design", "Deck", "Models"])
                .unwrap(),
        )
        .unwrap();
    mounted.refresh(&folder).await;
    mounted.refresh(&other).await;
    assert!(is_absent(&folder.join("note.txt")).await);
    assert_eq!(read(&other.join("note.txt")).await.unwrap(), b"a note\n");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_stays_where_it_is_when_something_beside_it_changes() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let (deck, drawings) = (
        mounted.path("03 Design/Deck"),
        mounted.path("03 Design/Deck/Drawings"),
    );
    let shell = blocking({
        let drawings = drawings.clone();
        move || Inhabitant::of(&drawings)
    })
    .await;
    let (shell, first) = shell.ask("ls | head -1").await;
    assert!(first.ends_with(".pdf") || first.ends_with(".dxf"), "{first}");
    // A sibling folder and a document appear, a sibling is renamed, another goes.
    let parent = world.folder_at(&[PROJECT, "03 Design", "Deck"]).unwrap();
    world.add_folder(Some(parent), "Lighting").unwrap();
    world.add_document(parent, "beside.txt", "x").unwrap();
    let models = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Models"])
        .unwrap();
    world.rename_folder(models, "Models (old)").unwrap();
    mounted.refresh(&deck).await;
    let (shell, at) = shell.ask("/bin/pwd").await;
    assert_eq!(Path::new(&at), drawings);
    let (shell, again) = shell.ask("ls | head -1").await;
    assert_eq!(again, first);
    let (shell, up) = shell.ask("ls .. | tr '\\n' ' '; echo").await;
    assert_eq!(
        up.trim_end(),
        "Calculations Drawings Lighting Models (old) beside.txt"
    );
    shell.leave().await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_was_moved_takes_its_inode_and_contents_along() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let (from, to) = (mounted.path("03 Design/Deck"), mounted.path("03 Design/Piers"));
    let old = from.join("Drawings");
    let before = ino(&old).await.unwrap();
    let listed = quiet("ls \"$1\" \"$2\" > /dev/null; ls \"$3\"", &[&from, &to, &old]).await;
    let shell = blocking({
        let old = old.clone();
        move || Inhabitant::of(&old)
    })
    .await;

    let moved = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    // The other folder has one of this name already.
    world.rename_folder(moved, "Deck Drawings").unwrap();
    world
        .move_folder(moved, world.folder_at(&[PROJECT, "03 Design", "Piers"]))
        .unwrap();
    mounted.refresh(&from).await;
    mounted.refresh(&to).await;
    assert!(is_absent(&old).await);
    let new = to.join("Deck Drawings");
    assert_eq!(ino(&new).await.unwrap(), before);
    assert_eq!(quiet("ls \"$1\"", &[&new]).await, listed);
    // Whoever was inside can go on working there, and finds out where that is now.
    let first = listed.lines().next().unwrap();
    let (shell, seen) = shell.ask(&format!("test -s '{first}' && echo here")).await;
    assert_eq!(seen, "here");
    let (shell, at) = shell.ask("/bin/pwd").await;
    assert_eq!(Path::new(&at), new);
    shell.leave().await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_only_the_kernel_holds_is_dropped_when_it_gets_too_old() {
    if !fuse_is_here() {
        return;
    }
    let tree = TreeConfig {
        metadata_ttl: Some(Duration::from_secs(1)),
        ..TreeConfig::default()
    };
    let mounted = mount(Settings {
        tree,
        ..Settings::default()
    })
    .await;
    let folder = mounted.path("03 Design/Deck/Drawings");
    quiet("ls \"$1\" && test ! -e \"$1/note.txt\"", &[&folder]).await;
    let world = mounted.server.world();
    let deck = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    world.add_document(deck, "note.txt", "a note\n").unwrap();
    // Nobody refreshes anything: only its age makes the kernel ask again.
    let took = blocking(move || {
        let begin = Instant::now();
        while !fs::read_dir(&folder)
            .unwrap()
            .any(|entry| entry.unwrap().file_name() == "note.txt")
        {
            assert!(begin.elapsed() < PATIENCE, "the kernel keeps the old listing");
        }
        begin.elapsed()
    })
    .await;
    // One second of age and a moment to notice; five times as much on a busy machine.
    assert!(took < Duration::from_secs(6), "{took:?}");
    mounted.stop().await;
}
