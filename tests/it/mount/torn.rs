//! One document, read in every way while it is replaced again and again: nobody ever sees a torn one.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pwfs::content::CacheOptions;
use pwfs::demo::{Effect, Fault, InPlace, RequestKind};
use pwfs::model::Guid;

use super::{PATIENCE, PROJECT, Settings, blocking, fuse_is_here, has_programs, mount};

/// How often it is replaced.
const VERSIONS: u32 = 100;

/// Words of eight bytes: more than a small document has, no whole number of pages, and all versions alike in length, so that
/// only their times tell.
const WORDS: u32 = 40_001;
const LENGTH: usize = WORDS as usize * 8;

/// A version whose every word names it, and its own place.
fn version(number: u32) -> Vec<u8> {
    (0..WORDS)
        .flat_map(|place| (u64::from(number) << 32 | u64::from(place)).to_le_bytes())
        .collect()
}

/// What all readers have seen.
#[derive(Default)]
struct Seen {
    /// The one version of each inode.
    versions: Mutex<HashMap<u64, u32>>,
    /// What git calls each version.
    hashes: Mutex<BTreeSet<String>>,
    /// Rounds that ended with bytes, and with an error.
    right: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

impl Seen {
    /// Looks at bytes that begin at `offset`, a whole number of words.
    fn look(&self, how: &str, ino: u64, offset: usize, bytes: &[u8]) {
        let mut versions = self.versions.lock().unwrap();
        for (at, word) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            let (number, place) = ((word >> 32) as u32, word & u64::from(u32::MAX));
            assert_eq!(
                place,
                (offset / 8 + at) as u64,
                "{how}: a word out of its place, in version {number}"
            );
            let first = *versions.entry(ino).or_insert(number);
            assert_eq!(
                number, first,
                "{how}: two versions in inode {ino}, the second at word {place}"
            );
        }
    }

    fn rounds(&self) -> u64 {
        self.right.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }

    /// Reads in one way until all versions were there.
    fn go_on(&self, how: &str, mut round: impl FnMut(&Self) -> io::Result<()>) {
        while !self.over.load(Ordering::Relaxed) {
            match round(self) {
                Ok(()) => self.right.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    let errno = error.raw_os_error();
                    assert!(
                        [Some(libc::ESTALE), Some(libc::EIO)].contains(&errno),
                        "{how}: {error}"
                    );
                    self.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    }
}

/// One way to read, once.
type Round = Box<dyn FnMut(&Seen) -> io::Result<()> + Send>;

/// All of it, from its beginning.
fn whole(path: &Path, flags: i32, piece: usize, seen: &Seen, how: &str) -> io::Result<()> {
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let ino = file.metadata()?.ino();
    let mut buffer = vec![0_u8; piece + 4096];
    // Aligned, as O_DIRECT may want it.
    let start = buffer.as_ptr().align_offset(4096);
    let buffer = &mut buffer[start..start + piece];
    let mut offset = 0;
    loop {
        let given = file.read_at(buffer, offset as u64)?;
        if given == 0 {
            assert_eq!(offset, LENGTH, "{how}: the end is the end");
            return Ok(());
        }
        assert_eq!(given % 8, 0, "{how}: half a word");
        seen.look(how, ino, offset, &buffer[..given]);
        offset += given;
    }
}

/// Here and there in one that is held open.
fn scattered(path: &Path, seen: &Seen) -> io::Result<()> {
    let file = File::open(path)?;
    let ino = file.metadata()?.ino();
    let mut piece = [0; 800];
    for step in 0..40_usize {
        let offset = step * 7919 % (WORDS as usize - 100) * 8;
        file.read_exact_at(&mut piece, offset as u64)?;
        seen.look("pread", ino, offset, &piece);
    }
    Ok(())
}

fn sent(path: &Path, into: &Path, seen: &Seen) -> io::Result<()> {
    let file = File::open(path)?;
    let ino = file.metadata()?.ino();
    let out = File::create(into)?;
    let mut offset = 0;
    while rustix::fs::sendfile(&out, &file, Some(&mut offset), 100_000)? > 0 {}
    assert_eq!(offset, LENGTH as u64, "sendfile: the end is the end");
    seen.look("sendfile", ino, 0, &fs::read(into)?);
    Ok(())
}

/// What git calls a file. It maps large ones into memory; a page that cannot be had kills it.
fn mapped(path: &Path, seen: &Seen) -> io::Result<()> {
    let output = git().arg("hash-object").arg("--no-filters").arg(path).output()?;
    if !output.status.success() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    let hash = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let is_one = seen.hashes.lock().unwrap().contains(&hash);
    assert!(is_one, "mapped: {hash} is no version's");
    Ok(())
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.stdin(Stdio::null()).env("LC_ALL", "C");
    git
}

fn hash(bytes: &[u8]) -> String {
    let mut git = git();
    let git = git.args(["hash-object", "--stdin"]).stdin(Stdio::piped());
    let mut running = git.stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = running.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_replaced_a_hundred_times_is_never_seen_torn() {
    if !fuse_is_here() || !has_programs(&["git"]) {
        return;
    }
    // Of three blocks: old versions make room while they are read and mapped.
    let cache = CacheOptions {
        max_bytes: 3 << 20,
        ..CacheOptions::default()
    };
    let mounted = mount(Settings {
        cache,
        ..Settings::default()
    })
    .await;
    let world = mounted.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    let document: Guid = world.add_document(general, "words.bin", version(0)).unwrap();
    let (folder, path) = (mounted.path("00 General"), mounted.path("00 General/words.bin"));
    let seen = Arc::new(Seen::default());
    seen.hashes.lock().unwrap().insert(hash(&version(0)));
    mounted.refresh(&folder).await;

    let at = |path: &PathBuf| path.clone();
    let (read, direct, sendfile, pread, map) = (at(&path), at(&path), at(&path), at(&path), at(&path));
    let copy = mounted.outside("sent");
    let ways: [(&str, Round); 5] = [
        (
            "read",
            Box::new(move |seen| whole(&read, 0, 65_536, seen, "read")),
        ),
        (
            "O_DIRECT",
            Box::new(move |seen| whole(&direct, libc::O_DIRECT, 65_536, seen, "O_DIRECT")),
        ),
        ("sendfile", Box::new(move |seen| sent(&sendfile, &copy, seen))),
        ("pread", Box::new(move |seen| scattered(&pread, seen))),
        ("mapped", Box::new(move |seen| mapped(&map, seen))),
    ];
    let readers: Vec<_> = ways
        .into_iter()
        .map(|(how, round)| {
            let seen = seen.clone();
            tokio::task::spawn_blocking(move || seen.go_on(how, round))
        })
        .collect();

    let server = &mounted.server;
    let about = |effect| Fault::on(RequestKind::File, effect).about(document);
    // By an assertion, which is told below.
    let one_ended = || readers.iter().any(tokio::task::JoinHandle::is_finished);
    let replacing = async {
        let mut held = None;
        for number in 1..=VERSIONS {
            if one_ended() {
                server.clear_faults();
                break;
            }
            let bytes = version(number);
            let new = bytes.clone();
            let called = blocking(move || hash(&new)).await;
            seen.hashes.lock().unwrap().insert(called);
            // Every fifth one breaks off on its way, and goes on only when the next is there.
            let breaks = number % 5 == 0 && number < VERSIONS;
            let asked = server.requests().of(RequestKind::File);
            let hold = breaks.then(|| {
                server.inject(about(Effect::Truncate { after: 100_000 }).times(1));
                server.inject(about(Effect::HangAfterAccept))
            });
            match number % 5 {
                0 => world.replace_in_place(document, bytes, InPlace::Listed).unwrap(),
                1 => world.replace_in_place(document, bytes, InPlace::SameTag).unwrap(),
                _ => {
                    world.new_version(document, bytes).unwrap();
                }
            }
            if let Some(hold) = held.take() {
                server.clear_fault(hold);
            }
            if number % 5 != 3 {
                mounted.refresh(&folder).await;
            }
            if breaks {
                while server.requests().of(RequestKind::File) < asked + 2 && !one_ended() {
                    tokio::task::yield_now().await;
                }
                held = hold;
                continue;
            }
            // Somebody reads each of them; who has failed has read, too.
            let rounds = seen.rounds();
            while seen.rounds() < rounds + 3 && !one_ended() {
                tokio::task::yield_now().await;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE * 4, replacing).await;
    seen.over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    in_time.unwrap();
    let (right, failed) = (
        seen.right.load(Ordering::Relaxed),
        seen.failed.load(Ordering::Relaxed),
    );
    let versions: BTreeSet<u32> = seen.versions.lock().unwrap().values().copied().collect();
    assert!(
        versions.len() > 10 && right > u64::from(VERSIONS),
        "{right} rounds, {failed} failed, versions {versions:?}"
    );
    // And in the end the name leads to the last one, which was listed as every fifth is.
    mounted.refresh(&folder).await;
    assert!(blocking(move || fs::read(path)).await.unwrap() == version(VERSIONS));
    mounted.stop().await;
}
