//! A server that takes requests and never answers: whoever needs it waits a bounded time, nobody else waits at all.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pwfs::demo::{DemoOptions, Effect, Fault, RequestKind};
use rustix::process::Pid;

use super::process::blocking_with_end;
use super::{Mounted, PATIENCE, Settings, blocking, fuse_is_here, mount, quiet};
use crate::harness::small;

const READERS: usize = 64;

/// A mount with one document read before, and 64 processes that wait for others which do not come.
async fn stalled() -> (Mounted, Vec<Child>) {
    let options = DemoOptions {
        documents: 200,
        ..small()
    };
    let mounted = mount(Settings {
        options,
        ..Settings::default()
    })
    .await;
    let root = mounted.daemon.mountpoint().clone();
    // Names are known before the stall; contents are not, but for one document.
    quiet("find \"$1\" > /dev/null 2>&1 || true", &[&root]).await;
    quiet(
        "cat \"$1\" > /dev/null",
        &[&mounted.path("00 General/LEC-GEN-RPT-0002.pdf")],
    )
    .await;
    mounted
        .server
        .inject(Fault::on(RequestKind::File, Effect::HangAfterAccept));
    let arrived = mounted.server.requests().of(RequestKind::File);
    let documents = mounted.documents(&["04 Correspondence"]);
    let mut readers = Vec::new();
    for document in documents
        .iter()
        .filter(|document| document.size > 0)
        .take(READERS)
    {
        let mut reader = Command::new("cat");
        reader
            .arg(mounted.path_of(document))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        readers.push(blocking(move || reader.env("LC_ALL", "C").spawn().unwrap()).await);
    }
    assert_eq!(readers.len(), READERS);
    let some = mounted.server.wait_for(RequestKind::File, arrived + 8);
    tokio::time::timeout(PATIENCE, some).await.unwrap();
    (mounted, readers)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_stalled_readers_hold_up_nobody_else_and_end_by_themselves() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, mut readers) = stalled().await;
    let begin = Instant::now();
    let root = mounted.daemon.mountpoint().clone();
    quiet(
        "cat \"$1\" > /dev/null",
        &[&mounted.path("00 General/LEC-GEN-RPT-0002.pdf")],
    )
    .await;
    quiet(
        "ls -l \"$1\" > /dev/null; df \"$1\" > /dev/null; stat \"$1\" > /dev/null",
        &[&root],
    )
    .await;
    quiet("find \"$1\" -ls > /dev/null", &[&mounted.path("03 Design")]).await;
    // A folder that must be asked for.
    mounted.refresh(&mounted.path("03 Design/Deck")).await;
    let took = begin.elapsed();
    let waiting = readers
        .iter_mut()
        .map(|reader| reader.try_wait().unwrap())
        .filter(Option::is_none)
        .count();
    assert_eq!(
        waiting, READERS,
        "all of this was answered while every reader waited"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");

    for reader in readers {
        let pid = Pid::from_child(&reader);
        let output = blocking_with_end(pid, move || reader.wait_with_output().unwrap()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            said.contains("Connection timed out") || said.contains("Input/output error"),
            "{said}"
        );
    }
    // Ten seconds without progress, whatever the kernel repeats.
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");

    // And it heals by itself.
    mounted.server.clear_faults();
    let document = mounted
        .documents(&["04 Correspondence"])
        .into_iter()
        .find(|document| document.size > 0)
        .unwrap();
    let truth = mounted.server.world().content(document.guid).unwrap();
    let path = mounted.path_of(&document);
    let healed = blocking(move || {
        let begin = Instant::now();
        loop {
            match fs::read(&path) {
                Ok(bytes) => return bytes,
                // A failure is remembered for two seconds.
                Err(error) => assert!(begin.elapsed() < Duration::from_secs(15), "{error}"),
            }
        }
    });
    assert_eq!(healed.await, truth);
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_readers_can_be_killed_and_do_not_hold_up_the_end() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, readers) = stalled().await;
    let begin = Instant::now();
    for mut reader in readers {
        reader.kill().unwrap();
        let pid = Pid::from_child(&reader);
        blocking_with_end(pid, move || reader.wait().unwrap()).await;
    }
    let took = begin.elapsed();
    assert!(
        took < Duration::from_secs(5),
        "no reader hangs in the kernel: {took:?}"
    );
    let begin = Instant::now();
    mounted.stop().await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
