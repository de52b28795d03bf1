//! Readers of one content, what brings it, evictions and replacements beside each other, under many schedules.

use std::sync::{LazyLock, OnceLock};

use shuttle::future::{block_on, spawn, yield_now};

use super::*;
use crate::content::cache::tests::schedules::{at_rest, directory};
use crate::content::fetch::pool::Pool;
use crate::sync::checked::{self, Time, check};

const MIB: usize = 1 << 20;

/// Two blocks and a bit.
const LENGTH: usize = 2 * MIB + 77;

/// So much time passes beside readers, where any does: in all less than one waits. Who is not woken waits for ever.
const MOMENTS: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Made once: it takes longer than a schedule.
static VERSIONS: LazyLock<[Bytes; 2]> = LazyLock::new(|| [content(0, LENGTH), content(1 << 20, LENGTH)]);

struct Scene {
    /// Kept for as long as anybody reads.
    _dir: tempfile::TempDir,
    remote: Arc<FakeRemote>,
    reader: Reader,
    versions: [Bytes; 2],
    /// Which version the reads of each key got.
    seen: [OnceLock<usize>; 2],
}

impl Scene {
    fn new(length: usize, max_bytes: u64) -> Arc<Self> {
        let dir = directory();
        let versions = VERSIONS.each_ref().map(|version| version.slice(..length));
        let remote = FakeRemote::new(File {
            bytes: versions[0].clone(),
            etag: Some("\"one\""),
            announced: true,
            ranges: true,
            sloppy: false,
            whole: false,
        });
        let mut reader = Reader::new(Arc::new(at_rest(dir.path(), max_bytes)), remote.clone());
        // Not that of the process, which other tests use.
        Arc::get_mut(&mut reader.shared).unwrap().pool = Pool::of(16 << 20);
        Arc::new(Self {
            _dir: dir,
            remote,
            reader,
            versions,
            seen: Default::default(),
        })
    }

    /// Reads, and looks that the bytes are those of the version that this key always gave.
    async fn read(&self, revision: u32, offset: usize, len: usize) -> Result<(), ContentError> {
        let size = Some(self.versions[0].len() as u64);
        let request = ReadRequest {
            key: ContentKey {
                tag: ContentTag {
                    size,
                    ..key(revision).tag
                },
                ..key(revision)
            },
            size,
            ..request(offset, len)
        };
        let read = self.reader.read(request).await?;
        let end = (offset + len).min(self.versions[0].len());
        let version = self
            .versions
            .iter()
            .position(|version| read == version[offset..end])
            .unwrap_or_else(|| panic!("bytes of no version at {offset}"));
        let seen = *self.seen[revision as usize].get_or_init(|| version);
        assert_eq!(seen, version, "bytes of two versions in one inode, at {offset}");
        Ok(())
    }

    /// The file is replaced, without a trace in its listing.
    fn replace(&self) {
        self.remote.change(|file| {
            file.bytes = self.versions[1].clone();
            file.etag = Some("\"two\"");
        });
    }

    /// Waits until nothing is on its way, and looks that nothing is left of it.
    fn check_rest(&self) {
        let rests = || {
            let shared = &self.reader.shared;
            shared.table.lock().running.is_empty()
                && shared.counters.in_flight() == 0
                && shared.pool.held() == 0
                && shared.counters.waiting() == (0, None)
        };
        for _ in 0..20 {
            for _ in 0..500 {
                if rests() {
                    return self.reader.shared.cache.check_sums();
                }
                shuttle::thread::yield_now();
            }
            Time::pass(Duration::from_secs(1));
        }
        panic!("something never ends: {:?}", self.reader.stats());
    }
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs all of them. No time passes: who must be woken is woken by what comes.
fn run(tasks: Vec<Task>) {
    let tasks: Vec<_> = tasks.into_iter().map(spawn).collect();
    block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// The same, and lets some time pass beside them: whatever is given up after a while is.
fn run_while_time_passes(tasks: Vec<Task>) {
    let time = shuttle::thread::spawn(|| MOMENTS.into_iter().for_each(Time::pass));
    run(tasks);
    time.join().unwrap();
}

/// Reads of one small document, which is here, on its way or not yet asked for.
fn readers_of_a_small_document() {
    let scene = Scene::new(200_000, 1 << 30);
    let tasks = (0..3).map(|at| -> Task {
        let scene = scene.clone();
        Box::pin(async move { scene.read(0, at * 65_000, 70_000).await.unwrap() })
    });
    run(tasks.collect());
    scene.check_rest();
    assert_eq!(scene.remote.asked().len(), 1);
    assert_eq!(scene.reader.stats().bytes_fetched, 200_000);
}

/// Copies of one large document.
fn copies_of_a_large_document() {
    let scene = Scene::new(LENGTH, 1 << 30);
    let tasks = (0..3).map(|_| -> Task {
        let scene = scene.clone();
        Box::pin(async move {
            for offset in (0..LENGTH).step_by(MIB / 2) {
                scene.read(0, offset, MIB / 2).await.unwrap();
            }
        })
    });
    run(tasks.collect());
    scene.check_rest();
    let stats = scene.reader.stats();
    assert_eq!(stats.uncached, 0);
    assert!(stats.bytes_fetched <= LENGTH as u64, "{stats:?}");
}

/// Reads in no order beside evictions, in a cache that is too small for the document.
fn evictions_beside_readers() {
    let scene = Scene::new(LENGTH, 2 << 20);
    scene.remote.prove_ranges();
    let mut tasks: Vec<Task> = Vec::new();
    for offsets in [[0, MIB, 2 * MIB - 1000], [2 * MIB - 1000, 0, 0]] {
        let scene = scene.clone();
        tasks.push(Box::pin(async move {
            for offset in offsets {
                scene.read(0, offset, 100_000).await.unwrap();
            }
        }));
    }
    let evicting = scene.clone();
    tasks.push(Box::pin(async move {
        for _ in 0..2 {
            evicting.reader.shared.cache.make_room(1);
            checked::anybody().await;
        }
    }));
    run(tasks);
    scene.check_rest();
}

/// A file that is replaced while it is read, by reads that find that out and others that do not, beside an eviction.
fn a_replacement_beside_readers() {
    let scene = Scene::new(LENGTH, 5 << 20);
    scene.remote.prove_ranges();
    let mut tasks: Vec<Task> = Vec::new();
    for offsets in [[MIB + 1000, MIB], [0, MIB]] {
        let scene = scene.clone();
        tasks.push(Box::pin(async move {
            for offset in offsets {
                match scene.read(0, offset, 100_000).await {
                    Ok(()) => {}
                    // As a mount does it: its name leads to another inode from now on.
                    Err(ContentError::ReplacedInPlace { .. }) => {
                        scene.read(1, offset, 100_000).await.unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    let other = scene.clone();
    tasks.push(Box::pin(async move {
        checked::anybody().await;
        other.replace();
        other.reader.shared.cache.make_room(1);
    }));
    run_while_time_passes(tasks);
    scene.check_rest();
}

/// Two first answers, between which the file is replaced.
fn two_first_answers() {
    let scene = Scene::new(LENGTH, 1 << 30);
    scene.remote.prove_ranges();
    let mut tasks: Vec<Task> = Vec::new();
    for offset in [MIB + 1000, 0] {
        let scene = scene.clone();
        tasks.push(Box::pin(async move {
            match scene.read(0, offset, 1000).await {
                Ok(()) | Err(ContentError::ReplacedInPlace { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }));
    }
    let other = scene.clone();
    tasks.push(Box::pin(async move {
        while other.remote.asked().is_empty() {
            yield_now().await;
        }
        other.replace();
    }));
    run(tasks);
    scene.check_rest();
}

#[test]
fn two_first_answers_are_of_one_file_under_any_schedule() {
    check(5, 200, two_first_answers);
}

#[test]
fn readers_of_a_small_document_cost_one_request_and_all_are_served_under_any_schedule() {
    check(1, 600, readers_of_a_small_document);
}

#[test]
fn copies_of_a_large_document_fetch_each_byte_once_under_any_schedule() {
    check(2, 200, copies_of_a_large_document);
}

#[test]
fn evictions_beside_readers_cost_time_and_no_byte_under_any_schedule() {
    check(3, 200, evictions_beside_readers);
}

#[test]
fn an_inode_gives_bytes_of_one_version_under_any_schedule() {
    check(4, 200, a_replacement_beside_readers);
}

#[test]
#[ignore = "minutes: ten thousands of schedules that nobody has seen before"]
fn readers_are_served_under_many_more_schedules() {
    let each = Duration::from_secs(120);
    for test in [
        readers_of_a_small_document,
        copies_of_a_large_document,
        evictions_beside_readers,
        a_replacement_beside_readers,
    ] {
        checked::check_for(each, test);
    }
}
