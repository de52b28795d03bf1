//! What the kernel answers by itself, what it is told, and the system calls programs read with.

use pwfs::demo::DemoOptions;
use pwfs::demo::knobs::{FileSizeAs, Knobs};
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use pwfs::cli::demo::check;
use rustix::fs::{FallocateFlags, Mode, OFlags, RawDir, XattrFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::Signal;

use super::process::{Demo, mountinfo};
use super::{
    PATIENCE, PROJECT, Settings, blocking, fuse_is_here, has_programs, is_root, mount, quiet, small,
};

/// The demo's one large document: 8 MiB and a last block that is not full.
const LARGE: &str = "00 General/LEC-GEN-RPT-0001.pdf";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_once_is_answered_while_the_process_is_stopped() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path()).await;
    let design = demo.mountpoint.join(PROJECT).join("03 Design");
    // Opening, closing, listing, reading, and finding that a name is not there.
    let look = "find \"$1\" -printf '%s %T@ %p\\n' && find \"$1\" -type f -exec md5sum {} + && test ! -e \"$1/absent\"";
    let warm = quiet(look, &[&design]).await;
    // What the first look learnt, such as the length of a file, was told to the kernel behind it, which asks for that once more.
    assert_eq!(quiet(look, &[&design]).await, warm);
    // Nobody answers the kernel now, so whatever comes is its own.
    demo.signal(Signal::STOP);
    let again = quiet(look, &[&design]).await;
    demo.signal(Signal::CONT);
    assert!(warm.contains(".pdf"));
    assert_eq!(again, warm);
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_asked_once_for_what_is_looked_at_twice() {
    if !fuse_is_here() || !has_programs(&["getfattr"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let design = mounted.path("03 Design");
    let look = "ls -lR \"$1\"; find \"$1\" -type f -exec cat {} + ; getfattr -dR --absolute-names \"$1\"; cat \"$1/absent\" 2>&1 || true";
    let first = quiet(look, &[&design]).await;
    let asked = mounted.requests();
    assert_eq!(quiet(look, &[&design]).await, first);
    assert_eq!(mounted.requests(), asked);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mount_says_what_it_is_and_that_nothing_can_be_done_to_it() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let line = mountinfo(mounted.daemon.mountpoint()).unwrap();
    let (head, tail) = line.split_once(" - ").unwrap();
    let options: Vec<&str> = head.split(' ').nth(5).unwrap().split(',').collect();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.contains(&option), "{line}");
    }
    let mut tail = tail.split(' ');
    assert_eq!(tail.next(), Some("fuse.projectwise"), "{line}");
    assert!(tail.next().unwrap().starts_with("projectwise:"), "{line}");

    let stat = rustix::fs::statvfs(mounted.daemon.mountpoint()).unwrap();
    assert_eq!((stat.f_bfree, stat.f_bavail, stat.f_ffree), (0, 0, 0));
    assert!(stat.f_blocks > 0);
    assert_eq!(stat.f_namemax, 255);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_cannot_be_executed_though_its_bits_say_so() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings {
        file_mode: 0o555,
        ..Settings::default()
    })
    .await;
    let world = mounted.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    world
        .add_document(general, "run.sh", "#!/bin/sh\necho ran\n")
        .unwrap();
    let script = mounted.path("00 General/run.sh");
    assert_eq!(quiet("sh \"$1\"", &[&script]).await, "ran\n", "it can be read");
    let refused = blocking(move || Command::new(script).output()).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_reads_the_same_by_every_system_call() {
    if !fuse_is_here() || !has_programs(&["git"]) {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let document = world
        .document_at(&[PROJECT, "00 General", "LEC-GEN-RPT-0001.pdf"])
        .unwrap();
    let bytes = world.content(document).unwrap();
    let (large, truth) = (mounted.path(LARGE), mounted.outside("truth"));
    fs::write(&truth, &bytes).unwrap();

    // Here and there before anything else, so that the document is still on its way.
    let (path, expected) = (large.clone(), bytes.clone());
    blocking(move || {
        let file = File::open(path).unwrap();
        let last = expected.len() as u64 - 1;
        for (offset, length) in [
            (5_000_000, 100),
            (0, 1),
            (4095, 2),
            (last, 1),
            (8_000_000, 300_000),
            (1 << 20, 1 << 20),
        ] {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, offset).unwrap();
            let start = usize::try_from(offset).unwrap();
            assert_eq!(
                piece,
                expected[start..start + length],
                "{length} bytes at {offset}"
            );
        }
        let mut beyond = [0; 10];
        assert_eq!(
            file.read_at(&mut beyond, last).unwrap(),
            1,
            "the last byte and no more"
        );
        assert_eq!(
            file.read_at(&mut beyond, last + 1).unwrap(),
            0,
            "the end is the end"
        );
        assert_eq!(file.read_at(&mut beyond, 1 << 40).unwrap(), 0, "far beyond too");
    })
    .await;

    for reading in [
        "cat \"$1\"",
        "cat \"$1\" | cat",
        "dd if=\"$1\" bs=4096 iflag=direct status=none",
        "dd if=\"$1\" bs=1000003 status=none",
        "dd if=\"$1\" bs=3M iflag=direct status=none",
    ] {
        quiet(&format!("{reading} | cmp - \"$2\""), &[&large, &truth]).await;
    }
    for copying in [
        "cp",
        "cp --remove-destination --reflink=never --sparse=never",
        "install",
        "git hash-object --no-filters",
    ] {
        let script = if copying.starts_with("git") {
            format!("[ $({copying} \"$1\") = $({copying} \"$2\") ]")
        } else {
            format!("{copying} \"$1\" \"$2.copy\" && cmp \"$2\" \"$2.copy\"")
        };
        quiet(&script, &[&large, &truth]).await;
    }
    let copy = mounted.outside("copy");
    let copied = blocking(move || fs::copy(large, &copy).map(|_| fs::read(copy).unwrap()))
        .await
        .unwrap();
    assert_eq!(copied, bytes, "by copy_file_range or sendfile");
    mounted.stop().await;
}

/// All names of a directory, a few at a time; `between` is called with how many came so far.
fn read_in_pieces(directory: PathBuf, mut between: impl FnMut(usize)) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = rustix::fs::open(directory, flags, Mode::empty()).unwrap();
    // Room for one entry of the longest name, and no more than a dozen usual ones.
    let mut buffer = [MaybeUninit::<u8>::uninit(); 320];
    let mut pieces = RawDir::new(&directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = pieces.next() {
        names.push(entry.unwrap().file_name().to_str().unwrap().to_owned());
        between(names.len());
    }
    names.retain(|name| name != "." && name != "..");
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_read_in_tiny_pieces_holds_every_name_once() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    for folder in [
        "10 Names From Migration",
        "04 Correspondence/Incoming",
        "03 Design/Deck/Drawings",
    ] {
        let path = mounted.path(folder);
        // Neither the first reading, which fills the kernel's cache, nor the second, which comes from it.
        for reading in ["first", "second"] {
            let directory = path.clone();
            let mut names = blocking(move || read_in_pieces(directory, |_| {})).await;
            names.sort();
            let mut expected = blocking({
                let path = path.clone();
                move || {
                    fs::read_dir(path)
                        .unwrap()
                        .map(|e| e.unwrap().file_name().into_string().unwrap())
                        .collect::<Vec<_>>()
                }
            })
            .await;
            expected.sort();
            assert_eq!(names, expected, "{reading} reading of {folder}");
            let below: Vec<&str> = folder.split('/').collect();
            let documents = mounted
                .documents(&below)
                .iter()
                .filter(|d| d.path.len() == below.len() + 1)
                .count();
            assert!(documents > 0 && names.len() >= documents, "{folder}: {names:?}");
            names.dedup();
            assert_eq!(names.len(), expected.len(), "nothing twice in {folder}");
        }
    }
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_changes_while_it_is_read_shows_what_stayed_once() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let folder = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    for number in 0..300 {
        world
            .add_document(folder, &format!("many-{number:04}.txt"), "x")
            .unwrap();
    }
    let path = mounted.path("00 General");
    let (halfway, reached) = std::sync::mpsc::channel();
    let (go_on, changed) = std::sync::mpsc::channel();
    let reader = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            read_in_pieces(path, |count| {
                if count == 100 {
                    halfway.send(()).unwrap();
                    changed.recv().unwrap();
                }
            })
        }
    });
    blocking(move || reached.recv().unwrap()).await;
    for number in (0..300).step_by(3) {
        let gone = world
            .document_at(&[PROJECT, "00 General", &format!("many-{number:04}.txt")])
            .unwrap();
        world.delete_document(gone).unwrap();
        world
            .add_document(folder, &format!("new-{number:04}.txt"), "y")
            .unwrap();
    }
    mounted.refresh(&path).await;
    go_on.send(()).unwrap();
    let names = reader.await.unwrap();
    for number in (0..300).filter(|number| number % 3 != 0) {
        let name = format!("many-{number:04}.txt");
        assert_eq!(names.iter().filter(|seen| **seen == name).count(), 1, "{name}");
    }
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "nothing is seen twice");
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_remount_for_writing_every_change_is_still_refused() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let root = mounted.daemon.mountpoint().clone();
    let document = mounted.documents(&["03 Design"]).swap_remove(0);
    let (file, folder) = (mounted.path_of(&document), mounted.path("03 Design"));
    let truth = mounted.server.world().content(document.guid).unwrap();
    quiet("cat \"$1\" > /dev/null; ls \"$2\" > /dev/null", &[&file, &folder]).await;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if let Err(error) = rustix::mount::mount_remount(&root, flags, "") {
        eprintln!("skipped: the kernel refuses to remount: {error}");
        return;
    }
    assert!(mountinfo(&root).unwrap().contains(" rw,"));

    let before = mounted.requests();
    let outcomes = blocking({
        let file = file.clone();
        move || {
            let mut outcomes = check::mutations(&root, &folder, &file);
            // The kernel opens without asking, so these get as far as the first change.
            for call in ["open(O_WRONLY)", "open(O_RDWR)", "open(O_APPEND)"] {
                let outcome = outcomes.iter_mut().find(|(name, _)| *name == call).unwrap();
                assert_eq!(outcome.1, Ok(()), "{call}");
            }
            outcomes
                .retain(|(call, _)| !matches!(*call, "open(O_WRONLY)" | "open(O_RDWR)" | "open(O_APPEND)"));
            // Not a change either: the kernel says that such files do not exist here.
            let unnamed = outcomes
                .iter()
                .position(|(name, _)| *name == "open(O_TMPFILE)")
                .unwrap();
            assert_eq!(outcomes.swap_remove(unnamed).1, Err(Errno::OPNOTSUPP));

            let open = rustix::fs::open(&file, OFlags::RDWR, Mode::empty()).unwrap();
            outcomes.extend([
                ("write", rustix::io::write(&open, b"x").map(drop)),
                ("pwrite", rustix::io::pwrite(&open, b"x", 10).map(drop)),
                ("ftruncate", rustix::fs::ftruncate(&open, 0)),
                (
                    "fallocate",
                    rustix::fs::fallocate(&open, FallocateFlags::empty(), 0, 1 << 20),
                ),
                ("fchmod", rustix::fs::fchmod(&open, Mode::RWXU)),
                (
                    "fsetxattr",
                    rustix::fs::fsetxattr(&open, "user.x", b"x", XattrFlags::empty()),
                ),
            ]);
            outcomes
        }
    })
    .await;
    for (call, outcome) in outcomes {
        assert_eq!(outcome, Err(Errno::ROFS), "{call}");
    }
    assert_eq!(mounted.requests(), before, "refusing costs no request");
    assert_eq!(blocking(move || fs::read(file).unwrap()).await, truth);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_the_kernel_took_is_counted_and_given_back() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    // One document without a length is given to the kernel by each listing, and measured by each look.
    let options = DemoOptions {
        knobs: Knobs {
            filesize_as: FileSizeAs::AbsentForOne,
            ..Knobs::default()
        },
        ..small()
    };
    let mounted = mount(Settings {
        options,
        ..Settings::default()
    })
    .await;
    let folder = mounted.path("00 General");
    quiet(
        "find \"$1\" -ls > /dev/null; ls -l \"$1\" > /dev/null; cat \"$1\"/*.pdf > /dev/null",
        &[&folder],
    )
    .await;
    let tree = mounted.daemon.filesystem().tree().clone();
    assert!(!tree.inodes().is_empty());
    let forgotten = async {
        while !tree.inodes().is_empty() {
            blocking(|| std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap()).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, forgotten).await;
    assert!(
        in_time.is_ok(),
        "{} inodes are held for nothing",
        tree.inodes().len()
    );
    assert_eq!(tree.inodes().overdrawn(), 0, "given back and never counted");
    quiet("cat \"$1\"/*.pdf > /dev/null", &[&folder]).await;
    mounted.stop().await;
}
