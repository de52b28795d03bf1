//! A document that never comes: two hundred reads of it hold up nobody else, and each of them can be killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::process::Pid;

use super::process::blocking_with_end;
use super::{PATIENCE, PROJECT, Settings, blocking, fuse_is_here, mount, quiet};

const READERS: u64 = 200;

/// Bytes between two reads: each is a READ of its own, however far the kernel reads ahead.
const APART: u64 = 256 << 10;

/// Reads one page at `at`.
fn reader(document: &Path, at: u64) -> Child {
    let mut command = Command::new("dd");
    command
        .arg(format!("if={}", document.display()))
        .args(["bs=4096", "count=1", "status=none"])
        .arg(format!("skip={}", at / 4096))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The state of a process as one letter; `None` once it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reads_of_a_silent_document_hold_up_nobody_and_each_can_be_killed() {
    if !fuse_is_here() {
        return;
    }
    let mounted = mount(Settings::default()).await;
    let world = mounted.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    let silent = world
        .add_document_sized(general, "silent.bin", READERS * APART)
        .unwrap();
    let folder = mounted.path("00 General");
    quiet("ls -l \"$1\" > /dev/null", &[&folder]).await;
    let cached = mounted.path("00 General/LEC-GEN-RPT-0002.pdf");
    let seen = quiet("md5sum < \"$1\"", &[&cached]).await;
    mounted
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept).about(silent));
    let document = folder.join("silent.bin");
    let mut readers: Vec<Child> = {
        let document = document.clone();
        blocking(move || {
            (0..READERS)
                .map(|number| reader(&document, number * APART))
                .collect()
        })
        .await
    };
    // All of them have come as far as us.
    let fs = mounted.daemon.filesystem().clone();
    let all_wait = async {
        while fs.activity().await.waiting < READERS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_wait).await.unwrap();
    assert_eq!(
        fs.activity().await.longest_wait.unwrap().name,
        "silent.bin",
        "and it is known for what"
    );

    // Elsewhere: names, attributes, what is cached (past the kernel's pages, and read ahead by it), and what must be fetched.
    quiet(
        "ls -l \"$1\" > /dev/null; df \"$1\" > /dev/null; find \"$1/../03 Design\" -ls > /dev/null",
        &[&folder],
    )
    .await;
    let direct = "dd if=\"$1\" iflag=direct bs=64K status=none | md5sum";
    assert_eq!(quiet(direct, &[&cached]).await, seen);
    let drop_pages = "dd if=\"$1\" iflag=nocache count=0 status=none; md5sum < \"$1\"";
    assert_eq!(quiet(drop_pages, &[&cached]).await, seen);
    let other = &mounted.documents(&["03 Design"])[0];
    let bytes = world.content(other.guid).unwrap();
    let path = mounted.path_of(other);
    assert_eq!(blocking(move || fs::read(path).unwrap()).await, bytes);
    let waiting = fs.activity().await.waiting;
    assert!(waiting >= READERS, "all of them wait still: {waiting}");

    for mut reader in readers.drain(..) {
        let pid = Pid::from_child(&reader);
        reader.kill().unwrap();
        blocking_with_end(pid, move || reader.wait().unwrap()).await;
        assert_ne!(state(pid.as_raw_nonzero().get().cast_unsigned()), Some('D'));
    }
    mounted.server.clear_faults();
    mounted.stop().await;
}
