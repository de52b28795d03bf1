//! Readers of a mount that is killed at any moment: what is on disk after that is right, or it is not there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use pwfs::demo::oracle::Origin;
use pwfs::demo::{Fault, RequestKind};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::small;
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, until};

/// From one byte to many blocks, and of no round length.
const SIZES: [u64; 7] = [
    1,
    4096,
    200_000,
    300 << 10,
    (1 << 20) + 1,
    5 << 20,
    (17 << 20) + 12_345,
];

/// A cap that holds some of it, so that much is put out while it is read.
const CAP: &str = "12M";

/// As much is asked for at once as the kernel does.
const PIECE: usize = 128 << 10;

struct Document {
    path: PathBuf,
    size: u64,
    origin: Origin,
}

impl Document {
    /// Reads a piece and compares every byte; false where not all of it can be had.
    fn check(&self, offset: u64) -> bool {
        let Ok(file) = File::open(&self.path) else {
            return false;
        };
        let (mut piece, end) = (vec![0; PIECE], self.size.min(offset + PIECE as u64));
        let mut at = offset;
        while at < end {
            // The kernel gives what it has before what it cannot have: a short read ends in an error, never in an end.
            match file.read_at(&mut piece, at) {
                Ok(0) => panic!("{} ends at {at} of {}", self.path.display(), self.size),
                Ok(length) => {
                    self.origin.check(&piece[..length], at).unwrap();
                    at += length as u64;
                }
                Err(_) => return false,
            }
        }
        true
    }
}

fn documents(stage: &Stage) -> Vec<Document> {
    let world = stage.server.world();
    let folder = world.add_folder(None, "Killed").unwrap();
    let document = |(number, &size): (usize, &u64)| {
        let name = format!("{number}.bin");
        let guid = world.add_document_sized(folder, &name, size).unwrap();
        let [a, b, c, ..] = *guid.as_bytes();
        Document {
            path: stage.home.path().join("m/Killed").join(name),
            size,
            origin: Origin {
                document: [a, b, c],
                version: 0,
            },
        }
    };
    SIZES.iter().enumerate().map(document).collect()
}

fn mount(stage: &Stage) -> Running {
    mount_at(stage, "m", CAP)
}

fn mount_at(stage: &Stage, place: &str, cap: &str) -> Running {
    let mut mount = stage.start(&["mount", "--max-cache-size", cap, place]);
    mount.wait_for_line(|line| line.starts_with("Press Ctrl-C"));
    mount
}

/// A repeatable chance (xorshift64*).
fn below(state: &mut u64, bound: u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % bound
}

fn kill_readers(times: u64) {
    let stage = Stage::signed_in(small());
    let documents = documents(&stage);
    std::fs::create_dir(stage.home.path().join("m")).unwrap();
    let mut kept = 0;
    for time in 0..times {
        let running = mount(&stage);
        stage.server.reset_counters();
        let killed = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..4 {
                let (documents, killed) = (&documents, &killed);
                let mut chance = (time * 4 + reader + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                scope.spawn(move || {
                    while !killed.load(Ordering::Relaxed) {
                        let document = &documents[usize::try_from(below(&mut chance, 7)).unwrap()];
                        let mut offset = below(&mut chance, document.size);
                        // Some look at a piece, some read on.
                        for _ in 0..=below(&mut chance, 40) {
                            if offset >= document.size || !document.check(offset) {
                                break;
                            }
                            offset += PIECE as u64;
                        }
                    }
                });
            }
            let enough = 1 + (time * 5) % 23;
            until("it fetches", || {
                thread::yield_now();
                stage.server.requests().of(RequestKind::File) >= enough
            });
            running.signal(Signal::KILL);
            killed.store(true, Ordering::Relaxed);
            running.finish();
        });
        // What is on disk, and nothing else.
        stage.server.inject(Fault::status(RequestKind::File, 403));
        let running = mount(&stage);
        for document in &documents {
            for offset in (0..document.size).step_by(PIECE) {
                kept += u64::from(document.check(offset));
            }
        }
        running.signal(Signal::TERM);
        running.finish();
        stage.server.clear_faults();
        verify(&stage);
        assert!(
            bytes_below(&stage.home.path().join(".cache/pwfs")) <= 20 << 20,
            "the cap holds"
        );
    }
    assert!(kept > 0, "something was kept");
}

/// What is on disk below a directory, as far as it takes room.
fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() {
            bytes_below(&entry.path())
        } else {
            metadata.blocks() * 512
        };
    }
    sum
}

/// One document, as two mounts show it.
fn shared_document(stage: &Stage, size: u64) -> [Document; 2] {
    let world = stage.server.world();
    let folder = world.add_folder(None, "Shared").unwrap();
    let guid = world.add_document_sized(folder, "large.bin", size).unwrap();
    let [a, b, c, ..] = *guid.as_bytes();
    ["one", "other"].map(|place| {
        std::fs::create_dir(stage.home.path().join(place)).unwrap();
        Document {
            path: stage.home.path().join(place).join("Shared/large.bin"),
            size,
            origin: Origin {
                document: [a, b, c],
                version: 0,
            },
        }
    })
}

fn verify(stage: &Stage) {
    let report: Value = serde_json::from_str(&stage.run(&["cache", "verify", "--json"]).succeeds()).unwrap();
    assert_eq!(report["damaged"], Value::Array(Vec::new()), "{report}");
}

#[test]
fn two_mounts_of_one_cache_read_one_document_at_once_and_one_is_killed() {
    const MIB: u64 = 1 << 20;
    if !fuse_is_here() {
        return;
    }
    let stage = Stage::signed_in(small());
    let [one, other] = &shared_document(&stage, 96 * MIB + 4321);
    let pieces = |bytes: std::ops::Range<u64>| bytes.step_by(PIECE);
    let (first, second) = (mount_at(&stage, "one", "1G"), mount_at(&stage, "other", "1G"));

    // At most sixteen blocks of what the first has put are not told yet. The second finds all others, while the first goes on.
    assert!(pieces(0..40 * MIB).all(|offset| one.check(offset)));
    stage.server.reset_counters();
    assert!(pieces(0..16 * MIB).all(|offset| other.check(offset)));
    assert_eq!(stage.server.requests().of(RequestKind::File), 0);

    // Both read on at once; the first is killed in the middle of that.
    let read = AtomicU64::new(0);
    let reading = &read;
    thread::scope(|scope| {
        scope.spawn(|| assert!(pieces(16 * MIB..other.size).all(|offset| other.check(offset))));
        scope.spawn(move || {
            for offset in pieces(40 * MIB..one.size) {
                reading.store(offset, Ordering::Relaxed);
                if !one.check(offset) {
                    break;
                }
            }
        });
        until("it is in the middle", || read.load(Ordering::Relaxed) > 56 * MIB);
        first.signal(Signal::KILL);
        first.finish();
    });
    second.signal(Signal::TERM);
    second.finish();
    verify(&stage);

    // With a cap that holds a part of it, and again one that is killed. What two have open nobody takes away: from nothing on.
    stage.run(&["cache", "clear", "--yes"]).succeeds();
    let (first, second) = (mount_at(&stage, "one", CAP), mount_at(&stage, "other", CAP));
    let killed = AtomicBool::new(false);
    let killing = &killed;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut chance = 0x9e37_79b9_7f4a_7c15;
            while one.check(below(&mut chance, one.size)) {}
            assert!(killing.load(Ordering::Relaxed), "it reads until it is killed");
        });
        let mut chance = 0x7f4a_7c15_9e37_79b9;
        for round in 0..120 {
            if round == 40 {
                killed.store(true, Ordering::Relaxed);
                first.signal(Signal::KILL);
            }
            assert!(other.check(below(&mut chance, other.size)), "round {round}");
        }
    });
    first.finish();
    second.signal(Signal::TERM);
    second.finish();
    verify(&stage);
    assert!(
        bytes_below(&stage.home.path().join(".cache/pwfs")) <= 20 << 20,
        "the cap holds"
    );
    // Nobody's process is behind it any more.
    stage.run(&["unmount", "one"]).succeeds();
}

#[test]
fn a_mount_killed_while_it_is_read_leaves_the_right_bytes_or_none() {
    if fuse_is_here() {
        kill_readers(6);
    }
}

#[test]
#[ignore = "the same a hundred times; takes longer"]
fn a_mount_killed_a_hundred_times_while_it_is_read_leaves_the_right_bytes_or_none() {
    if fuse_is_here() {
        kill_readers(100);
    }
}
