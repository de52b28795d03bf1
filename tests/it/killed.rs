//! Readers of a mount that is killed at any moment: what is on disk after that is right, or it is not there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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
    let mut mount = stage.start(&["mount", "--max-cache-size", CAP, "m"]);
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
        let report: Value =
            serde_json::from_str(&stage.run(&["cache", "verify", "--json"]).succeeds()).unwrap();
        assert_eq!(report["damaged"], Value::Array(Vec::new()), "{report}");
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
