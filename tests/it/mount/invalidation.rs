//! What the kernel is told of a change, rule by rule, and what it is not told while that would hang.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pwfs::daemon::choose::{FolderChoice, choose};
use pwfs::demo::knobs::{FileSizeAs, Knobs};
use pwfs::demo::{DemoOptions, DemoServer, Effect, Fault, RequestKind};
use pwfs::fuse::session::Unmounted;
use pwfs::names::FileName;
use pwfs::tree::TreeConfig;
use pwfs::tree::inodes::{Directory, InodeNo, Target};
use rustix::process::{Pid, Signal};

use super::changes::{Inhabitant, ino, is_absent};
use super::process::blocking_with_end;
use super::{
    ForcedUnmount, Mounted, PATIENCE, PROJECT, Settings, blocking, fuse_is_here, mount, mount_of, quiet,
};
use crate::harness::{connect, small};
use crate::program::{Stage, until};

const DRAWINGS: &str = "03 Design/Deck/Drawings";

/// A shell inside `directory`, which the test owns.
async fn inhabitant(directory: &Path) -> Inhabitant {
    let directory = directory.to_owned();
    blocking(move || Inhabitant::of(&directory)).await
}

async fn stat(path: &Path) -> fs::Metadata {
    let path = path.to_owned();
    blocking(move || fs::metadata(path).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_stays_inside_a_folder_that_changes_itself_and_every_folder_above_it() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let drawings = mounted.path(DRAWINGS);
    let root = mounted.daemon.mountpoint().clone();
    let above = [
        (root.clone(), None),
        (root.join(PROJECT), world.folder_at(&[PROJECT])),
        (
            mounted.path("03 Design"),
            world.folder_at(&[PROJECT, "03 Design"]),
        ),
        (
            mounted.path("03 Design/Deck"),
            world.folder_at(&[PROJECT, "03 Design", "Deck"]),
        ),
        (
            drawings.clone(),
            world.folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"]),
        ),
    ];
    let mut shell = inhabitant(&drawings).await;
    for (number, (path, guid)) in above.iter().enumerate() {
        quiet("ls -l \"$1\" > /dev/null; test ! -e \"$1/beside-0\"", &[path]).await;
        world.add_folder(*guid, &format!("beside-{number}")).unwrap();
        if let Some(guid) = guid {
            world.add_document(*guid, "beside.txt", "x").unwrap();
        }
        mounted.refresh(path).await;
        let at;
        (shell, at) = shell.ask("/bin/pwd").await;
        assert_eq!(Path::new(&at), drawings, "after a change of {}", path.display());
        let seen;
        (shell, seen) = shell
            .ask(&format!("ls -d '{}/beside-{number}'", path.display()))
            .await;
        assert!(seen.ends_with(&format!("beside-{number}")), "{seen}");
    }
    let (shell, seen) = shell.ask("ls -d beside.txt beside-4 | tr '\\n' ' '; echo").await;
    assert_eq!(seen.trim_end(), "beside-4 beside.txt");
    shell.leave().await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_folder_is_gone_by_its_old_name_and_there_by_its_new_one_at_once() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let deck = mounted.path("03 Design/Deck");
    let (old, new) = (deck.join("Drawings"), deck.join("Sheets"));
    let before = ino(&old).await.unwrap();
    let inside = quiet(
        "ls \"$2\" > /dev/null; test ! -e \"$3\"; ls \"$1\"",
        &[&old, &deck, &new],
    )
    .await;
    let shell = inhabitant(&old).await;
    let folder = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    world.rename_folder(folder, "Sheets").unwrap();
    mounted.refresh(&deck).await;
    assert!(is_absent(&old).await);
    assert_eq!(ino(&new).await.unwrap(), before);
    let names = quiet("ls \"$1\"", &[&deck]).await;
    assert!(!names.contains("Drawings") && names.contains("Sheets"), "{names}");
    assert_eq!(quiet("ls \"$1\"", &[&new]).await, inside);
    let (shell, at) = shell.ask("/bin/pwd").await;
    assert_eq!(Path::new(&at), new, "whoever was inside still is");

    // Another folder may take the old name; nobody is led into the wrong one.
    let parent = world.folder_at(&[PROJECT, "03 Design", "Deck"]).unwrap();
    world.add_folder(Some(parent), "Drawings").unwrap();
    mounted.refresh(&deck).await;
    assert_ne!(ino(&old).await.unwrap(), before);
    let (shell, at) = shell.ask("/bin/pwd").await;
    assert_eq!(Path::new(&at), new);
    shell.leave().await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_folders_that_swap_names_are_each_found_by_the_other_one() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let deck = mounted.path("03 Design/Deck");
    let (one, other) = (deck.join("Drawings"), deck.join("Models"));
    let before = (ino(&one).await.unwrap(), ino(&other).await.unwrap());
    quiet("ls \"$1\" \"$1\"/*/ > /dev/null", &[&deck]).await;
    let guid = |name| world.folder_at(&[PROJECT, "03 Design", "Deck", name]).unwrap();
    world.swap_names(guid("Drawings"), guid("Models")).unwrap();
    mounted.refresh(&deck).await;
    assert_eq!((ino(&other).await.unwrap(), ino(&one).await.unwrap()), before);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_attributes_are_seen_at_once_and_cost_no_byte_of_the_document() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let folder = mounted.path(DRAWINGS);
    let document = mounted
        .documents(&["03 Design", "Deck", "Drawings"])
        .into_iter()
        .find(|document| document.size > 0)
        .unwrap();
    let path = mounted.path_of(&document);
    let text = quiet("md5sum < \"$1\"", &[&path]).await;
    let before = stat(&path).await;
    world.edit_description(document.guid, "looked at again").unwrap();
    let fetched = mounted.server.requests().of(RequestKind::File);
    mounted.refresh(&folder).await;
    let after = stat(&path).await;
    assert_eq!(
        (after.ino(), after.mtime(), after.size()),
        (before.ino(), before.mtime(), before.size())
    );
    assert!(
        (after.ctime(), after.ctime_nsec()) > (before.ctime(), before.ctime_nsec()),
        "{after:?}"
    );
    assert_eq!(quiet("md5sum < \"$1\"", &[&path]).await, text);
    assert_eq!(mounted.server.requests().of(RequestKind::File), fetched);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_reached_by_two_chosen_ones_changes_for_whoever_is_inside_by_either_path() {
    if !fuse_is_here() {
        return;
    }
    let server = DemoServer::start(small()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let choices = [
        format!("{PROJECT}/03 Design"),
        format!("{PROJECT}/03 Design/Deck"),
    ]
    .map(|path| FolderChoice::parse(&path).unwrap());
    let chosen = choose(&*connect(&server, dir.path()).await, &choices)
        .await
        .unwrap();
    let tree = TreeConfig {
        chosen,
        ..TreeConfig::default()
    };
    let mounted = mount_of(
        server,
        dir,
        Settings {
            tree,
            ..Settings::default()
        },
    )
    .await;
    let root = mounted.daemon.mountpoint().clone();
    let (long, short) = (root.join("03 Design/Deck"), root.join("Deck"));
    assert_ne!(ino(&long).await.unwrap(), ino(&short).await.unwrap());
    let (one, other) = (inhabitant(&long).await, inhabitant(&short).await);
    let look = "ls > /dev/null; test -e new.txt && echo new || echo none";
    let (one, _) = one.ask(look).await;
    let (other, _) = other.ask(look).await;
    quiet("ls \"$1\" \"$2\" > /dev/null", &[&long, &short]).await;

    let world = mounted.server.world();
    let deck = world.folder_at(&[PROJECT, "03 Design", "Deck"]).unwrap();
    world.add_document(deck, "new.txt", "new\n").unwrap();
    // It is one listing: asked for by one path, told to both.
    mounted.refresh(&short).await;
    let requests = mounted.requests();
    for (shell, at) in [(one, &long), (other, &short)] {
        let (shell, seen) = shell.ask("ls | grep -c '^new.txt$'").await;
        assert_eq!(seen, "1", "{}", at.display());
        let (shell, told) = shell.ask("test -e new.txt && /bin/pwd").await;
        assert_eq!(Path::new(&told), *at);
        shell.leave().await;
    }
    assert_eq!(mounted.requests(), requests);
    mounted.stop().await;
}

/// How many look something up at once.
const LOOKERS: usize = 64;

/// A document that was looked at before the server fell silent.
const KNOWN: &str = "known.txt";

/// Documents whose length only the server knows, and which the server does not tell.
fn without_lengths() -> DemoOptions {
    DemoOptions {
        knobs: Knobs {
            filesize_as: FileSizeAs::Absent,
            ..Knobs::default()
        },
        ..small()
    }
}

fn add_lookers(server: &DemoServer) {
    let world = server.world();
    let folder = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    for number in 0..LOOKERS {
        world
            .add_document(folder, &format!("looked-at-{number:02}.txt"), "x")
            .unwrap();
    }
    world.add_document(folder, KNOWN, "known\n").unwrap();
}

/// Processes that look up documents of the folder, each of which hangs in the kernel.
fn lookers(folder: &Path) -> Vec<Child> {
    let looker = |number| {
        Command::new("stat")
            .arg(folder.join(format!("looked-at-{number:02}.txt")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    (0..LOOKERS).map(looker).collect()
}

/// A mount with 64 processes that hang looking something up in one folder, and that folder.
async fn crowd() -> (Mounted, PathBuf, Directory, InodeNo, Vec<Child>) {
    let mounted = mount(Settings {
        options: without_lengths(),
        ..Settings::default()
    })
    .await;
    add_lookers(&mounted.server);
    let folder = mounted.path(DRAWINGS);
    // Not listed: of a name it has seen, the kernel asks again without holding the directory.
    quiet(
        "stat \"$1/known.txt\" > /dev/null; test ! -e \"$1/new.txt\"",
        &[&folder],
    )
    .await;
    mounted
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept));
    let arrived = mounted.server.requests().of(RequestKind::File);
    let path = folder.clone();
    let lookers = blocking(move || lookers(&path)).await;
    let some = mounted.server.wait_for(RequestKind::File, arrived + 8);
    tokio::time::timeout(PATIENCE, some).await.unwrap();
    let ino = InodeNo(ino(&folder).await.unwrap());
    let tree = mounted.daemon.filesystem().tree();
    let Target::Directory(directory, _) = tree.inodes().get(ino).unwrap().target else {
        panic!("a folder is a directory");
    };
    (mounted, folder, directory, ino, lookers)
}

async fn reap(lookers: Vec<Child>) {
    for mut looker in lookers {
        let pid = Pid::from_child(&looker);
        blocking_with_end(pid, move || looker.wait().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_changes_where_sixty_four_lookups_hang_hold_up_nobody_and_are_told_in_the_end() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, folder, directory, ino, lookers) = crowd().await;
    let world = mounted.server.world();
    let tree = mounted.daemon.filesystem().tree().clone();
    let guid = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    world.add_document(guid, "new.txt", "new\n").unwrap();
    world.add_folder(Some(guid), "added").unwrap();
    tree.relist(directory).await.unwrap();
    let names: Vec<FileName> = (0..10_000)
        .map(|number| FileName::new(&format!("changed-{number}")).unwrap())
        .collect();
    let begin = Instant::now();
    for _ in 0..2 {
        tree.invalidations().add(ino, |drops| {
            drops.listing = true;
            drops.names.extend(names.iter().cloned());
        });
    }
    let took = begin.elapsed();
    // The lookups wait for ten.
    assert!(
        took < Duration::from_secs(5),
        "whoever adds never waits: {took:?}"
    );

    // Nobody else waits, in the same folder either, for what is at hand: also not for what the kernel asks only now.
    let begin = Instant::now();
    let look = "cd \"$1\" && stat known.txt . > /dev/null && test ! -e never-asked-for && test -d added";
    let here: &[&Path] = &[&folder];
    tokio::time::timeout(PATIENCE, quiet(look, here)).await.unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let invalidations = tree.invalidations().clone();
    assert!(
        !invalidations.settle(Duration::ZERO),
        "the names wait for the lookups"
    );

    mounted.server.clear_faults();
    let begin = Instant::now();
    let told = blocking(move || invalidations.settle(PATIENCE)).await;
    assert!(told, "and are told as soon as these have their answers");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    reap(lookers).await;
    // Not before: as far as the kernel knew until now, it was absent.
    quiet("test -e \"$1/new.txt\"", &[&folder]).await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_ends_in_time_while_lookups_hang_and_names_are_still_to_be_told() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, _, _, ino, lookers) = crowd().await;
    let tree = mounted.daemon.filesystem().tree().clone();
    tree.invalidations().add(ino, |drops| {
        drops
            .names
            .extend((0..1000).map(|number| FileName::new(&format!("changed-{number}")).unwrap()));
    });
    let begin = Instant::now();
    let Mounted { daemon, server, .. } = mounted;
    assert_eq!(daemon.stop().await.unwrap(), Unmounted::Lazily);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    server.clear_faults();
    reap(lookers).await;
}

#[test]
fn nobody_hangs_when_lookers_and_daemon_are_killed_while_a_folder_changes() {
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(without_lengths());
    add_lookers(&stage.server);
    let at = stage.home.path().join("mnt");
    fs::create_dir(&at).unwrap();
    let _forced = ForcedUnmount(at.clone());
    let mut running = stage.start(&["mount", "mnt", "--metadata-ttl", "1s"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    let folder = at.join(PROJECT).join(DRAWINGS);
    assert_eq!(fs::metadata(folder.join(KNOWN)).unwrap().len(), 6);
    stage
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept));
    let arrived = stage.server.requests().of(RequestKind::File);
    let mut lookers = lookers(&folder);
    until("lookups hang", || {
        stage.server.requests().of(RequestKind::File) >= arrived + 8
    });
    // The folder changes, is listed anew, and the kernel is to be told.
    let world = stage.server.world();
    let guid = world
        .folder_at(&[PROJECT, "03 Design", "Deck", "Drawings"])
        .unwrap();
    for number in 0..300 {
        world
            .add_document(guid, &format!("more-{number:03}.txt"), "x")
            .unwrap();
    }
    world.add_folder(Some(guid), "added").unwrap();
    until("the change is seen", || {
        fs::metadata(folder.join("added")).is_ok()
    });
    for looker in &mut lookers {
        assert_eq!(looker.try_wait().unwrap(), None, "all of them still wait");
        looker.kill().unwrap();
    }
    running.signal(Signal::KILL);
    let begin = Instant::now();
    for mut looker in lookers {
        until("a looker is gone", || looker.try_wait().unwrap().is_some());
    }
    // A process is reaped when the last of its threads has ended, and none does that hangs in the kernel.
    assert_eq!(running.finish().code, None);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
