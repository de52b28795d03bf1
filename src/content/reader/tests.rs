//! The reader against a remote that fails on request, on a real disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::content::CacheOptions;
use crate::content::fake::{Asked, FakeRemote, Fault, Served as File};
use crate::model::{ContentTag, DocumentId, Guid};
use crate::remote::RemoteError;

mod parts;
mod schedules;

const SIZE: usize = 3_000_000;

/// A cache, a reader and a server.
struct Bench {
    dir: tempfile::TempDir,
    remote: Arc<FakeRemote>,
    reader: Reader,
}

fn content(seed: u32, length: usize) -> Bytes {
    (0..u32::try_from(length).unwrap())
        .map(|at| (at ^ seed).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect::<Vec<u8>>()
        .into()
}

impl Bench {
    fn new() -> Self {
        Self::over(
            tempfile::tempdir().unwrap(),
            CacheOptions {
                free_floor: 0,
                ..CacheOptions::default()
            },
        )
    }

    fn over(dir: tempfile::TempDir, options: CacheOptions) -> Self {
        let remote = FakeRemote::new(File {
            bytes: content(0, SIZE),
            etag: Some("\"one\""),
            announced: true,
            ranges: true,
            sloppy: false,
            whole: false,
        });
        let cache = ContentCache::open(dir.path(), Handle::current(), options).unwrap();
        let reader = Reader::new(Arc::new(cache), remote.clone());
        Self { dir, remote, reader }
    }

    /// The same directory and server, as the next process sees them.
    fn restart(self) -> Self {
        let Self { dir, remote, reader } = self;
        drop(reader);
        let options = CacheOptions {
            free_floor: 0,
            ..CacheOptions::default()
        };
        let cache = ContentCache::open(dir.path(), Handle::current(), options).unwrap();
        let reader = Reader::new(Arc::new(cache), remote.clone());
        Self { dir, remote, reader }
    }

    async fn whole(&self) -> Result<Bytes, ContentError> {
        self.reader.read(request(0, SIZE)).await
    }

    fn requests(&self) -> usize {
        self.remote.asked().len()
    }

    fn running(&self, key: &ContentKey) -> Option<Running> {
        self.reader.shared.table.lock().running(key)
    }

    /// Waits for the download of `key` to end, without reading.
    async fn ended(&self, key: &ContentKey) {
        while let Some(running) = self.running(key) {
            match running {
                Running::Download(download) => {
                    let mut state = download.subscribe();
                    state.wait_for(|state| state.outcome.is_some()).await.unwrap();
                }
                Running::Transfer(transfer) => transfer.over().await,
            }
        }
    }

    /// Waits until nothing is on its way any more, and looks that nothing is left of it.
    async fn check_at_rest(&self) {
        let temporary = || files(&self.dir.path().join("tmp-v1"));
        let rests = || {
            let stats = self.reader.stats();
            let gauges = (stats.in_flight, stats.waiting, stats.buffered);
            gauges == (0, 0, 0) && stats.longest.is_none() && temporary().is_empty()
        };
        let soon = std::time::Instant::now() + Duration::from_secs(20);
        while !rests() {
            let (stats, left) = (self.reader.stats(), temporary());
            assert!(std::time::Instant::now() < soon, "{stats:?} {left:?}");
            // A stream that nobody follows is left after a while: where the clock is paused this lets it go on.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn file(&self, extension: &str) -> PathBuf {
        let found: Vec<PathBuf> = files(&self.dir.path().join("content-v2"))
            .into_iter()
            .flat_map(|fan| files(&fan))
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).map_or(Vec::new(), |found| {
        found.map(|found| found.unwrap().path()).collect()
    })
}

fn key(revision: u32) -> ContentKey {
    ContentKey {
        server: "fake".into(),
        account: "me".into(),
        document: DocumentId(Guid::from_bytes([7; 16])),
        tag: ContentTag {
            size: Some(SIZE as u64),
            stamp: None,
            revision,
        },
    }
}

fn request(offset: usize, len: usize) -> ReadRequest {
    ReadRequest {
        key: key(0),
        size: Some(SIZE as u64),
        offset: offset as u64,
        len: u32::try_from(len).unwrap(),
        fetch: FetchPolicy::Allow,
    }
}

fn gate() -> (watch::Sender<bool>, watch::Receiver<bool>) {
    watch::channel(false)
}

fn lost() -> RemoteError {
    RemoteError::Unreachable("no route".into())
}

#[track_caller]
fn check_length_differs(read: Result<Bytes, ContentError>, expected: u64) {
    match read {
        Err(ContentError::LengthDiffers {
            listed, delivered, ..
        }) => {
            assert_eq!((listed, delivered), (SIZE as u64, expected));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_replaced(read: &Result<Bytes, ContentError>) {
    assert!(
        matches!(read, Err(ContentError::ReplacedInPlace { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn sixty_four_readers_share_one_download() {
    let bench = Bench::new();
    let reads = (0..64).map(|n| bench.reader.read(request(n * 40_000, 131_072)));
    for (n, read) in join_all(reads).await.into_iter().enumerate() {
        let end = (n * 40_000 + 131_072).min(SIZE);
        assert_eq!(read.unwrap(), content(0, SIZE)[n * 40_000..end], "{n}");
    }
    bench.ended(&key(0)).await;
    assert_eq!(bench.requests(), 1);
    assert_eq!(bench.reader.stats().downloads, 1);
    assert_eq!(bench.reader.stats().bytes_fetched, SIZE as u64);
    bench.check_at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_what_is_fetched_of_each_content_too() {
    let bench = Bench::new();
    let expected = content(0, SIZE);
    // Some come while it arrives, some while it becomes an entry, some after.
    for round in 0..8 {
        let reads = (0..64).map(|n| {
            let reader = bench.reader.clone();
            let asked = ReadRequest {
                key: key(round * 4 + n % 4),
                ..request(n as usize * 45_000, 131_072)
            };
            Handle::current().spawn(async move { (asked.offset, reader.read(asked).await) })
        });
        for read in join_all(reads).await {
            let (offset, read) = read.unwrap();
            let start = usize::try_from(offset).unwrap();
            assert_eq!(read.unwrap(), expected[start..SIZE.min(start + 131_072)]);
        }
    }
    for revision in 0..32 {
        bench.ended(&key(revision)).await;
    }
    // Each of three blocks by itself, or with others.
    assert!((32..=96).contains(&bench.requests()), "{}", bench.requests());
    assert!(bench.reader.stats().bytes_fetched <= 2 * 32 * SIZE as u64);
    bench.check_at_rest().await;
}

#[tokio::test]
async fn what_is_cached_is_served_on_the_first_poll_and_ends_at_the_end_of_the_file() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    let tail = bench.reader.read_now(&request(SIZE - 10, 4096)).unwrap().unwrap();
    assert_eq!(tail, content(0, SIZE)[SIZE - 10..]);
    let past = bench.reader.read_now(&request(SIZE, 4096)).unwrap().unwrap();
    assert!(past.is_empty());
    assert_eq!(bench.reader.stats().hits, 1);
}

#[tokio::test]
async fn readers_at_the_front_are_served_while_the_download_stalls() {
    let bench = Bench::new();
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1_000_000, gate)]);
    let front = bench.reader.read(request(900_000, 100_000)).await.unwrap();
    assert_eq!(front, content(0, SIZE)[900_000..1_000_000]);
    assert!(bench.reader.read_now(&request(1_000_000, 1)).is_none());
    assert_eq!(bench.reader.stats().in_flight, 1);
    open.send_replace(true);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 1);
}

#[tokio::test]
async fn a_dropped_reader_leaves_its_download_running() {
    let bench = Bench::new();
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1000, gate)]);
    {
        let mut read = Box::pin(bench.whole());
        let started = std::future::poll_fn(|context| std::task::Poll::Ready(read.as_mut().poll(context)));
        assert!(started.await.is_pending());
    }
    open.send_replace(true);
    bench.ended(&key(0)).await;
    assert_eq!(
        bench.reader.read_now(&request(0, SIZE)).unwrap().unwrap(),
        content(0, SIZE)
    );
    assert_eq!(bench.requests(), 1);
    bench.check_at_rest().await;
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_stood() {
    let bench = Bench::new();
    bench.remote.fail([Fault::BreakAfter(1_234_567)]);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    let resumed = Asked {
        start: 1_234_567,
        end: None,
        if_range: Some("\"one\"".into()),
    };
    assert_eq!(bench.remote.asked()[1..], [resumed]);
    assert_eq!(bench.reader.stats().bytes_fetched, SIZE as u64);
}

#[tokio::test]
async fn a_clean_end_before_the_announced_length_is_a_break() {
    let bench = Bench::new();
    bench.remote.fail([Fault::EndAfter(1_000_000)]);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 2);
}

#[tokio::test]
async fn without_ranges_or_tags_a_broken_stream_starts_again_and_is_compared() {
    for (ranges, etag, announced) in [
        (false, Some("\"one\""), true),
        (true, None, true),
        (true, Some("W/\"one\""), true),
        (false, None, false),
    ] {
        let bench = Bench::new();
        bench.remote.change(|file| {
            file.ranges = ranges;
            file.etag = etag;
            file.announced = announced;
        });
        bench.remote.fail([Fault::BreakAfter(1_234_567)]);
        assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
        bench.ended(&key(0)).await;
        assert_eq!(bench.remote.asked()[1].start, 0);
        assert_eq!(bench.requests(), 2);
        assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    }
}

#[tokio::test]
async fn a_file_replaced_during_a_break_is_never_mixed() {
    for (ranges, old, new) in [
        (true, Some("\"one\""), Some("\"two\"")),
        (false, Some("\"one\""), Some("\"two\"")),
        // Nothing but the bytes gives it away.
        (false, None, None),
    ] {
        let bench = Bench::new();
        bench.remote.change(|file| {
            file.ranges = ranges;
            file.etag = old;
        });
        let (open, gate) = gate();
        bench.remote.fail([Fault::BreakAtGate(1_234_567, gate)]);
        bench.reader.read(request(0, 1000)).await.unwrap();
        bench.remote.change(|file| {
            file.bytes = content(99, SIZE);
            file.etag = new;
        });
        open.send_replace(true);
        check_replaced(&bench.whole().await);
        bench.check_at_rest().await;
        let raised = ReadRequest {
            key: key(1),
            ..request(0, SIZE)
        };
        assert_eq!(bench.reader.read(raised).await.unwrap(), content(99, SIZE));
    }
}

#[tokio::test]
async fn a_server_that_ignores_if_range_mixes_nothing() {
    // The new file differs only after the break, so that comparing beginnings tells nothing.
    let mut longer_edit = content(0, SIZE).to_vec();
    longer_edit[2_000_000..].fill(1);
    for (sloppy, ranges) in [(true, true), (false, true), (false, false)] {
        for new in [Some("\"two\""), None] {
            let bench = Bench::new();
            bench.remote.change(|file| {
                file.sloppy = sloppy;
                file.ranges = ranges;
            });
            let (open, gate) = gate();
            bench.remote.fail([Fault::BreakAtGate(1_234_567, gate)]);
            bench.reader.read(request(0, 1000)).await.unwrap();
            let bytes = Bytes::from(longer_edit.clone());
            bench.remote.change(|file| {
                file.bytes = bytes.clone();
                file.etag = new;
            });
            open.send_replace(true);
            let read = bench.whole().await;
            if new.is_some() {
                check_replaced(&read);
            } else {
                // Without a tag it is one file all the same: the last answer was of the whole.
                assert_eq!(read.unwrap(), bytes);
                assert!(!sloppy || bench.remote.asked()[2].start == 0);
            }
        }
    }
}

#[tokio::test]
async fn a_second_break_at_the_same_place_is_an_error() {
    let bench = Bench::new();
    bench
        .remote
        .fail([Fault::BreakAfter(1000), Fault::BreakAfter(1000)]);
    let read = bench.whole().await;
    assert!(
        matches!(read, Err(ContentError::Remote(RemoteError::Unreachable(_)))),
        "{read:?}"
    );
    bench.check_at_rest().await;
}

#[tokio::test]
async fn an_announced_length_that_differs_stops_every_byte_and_is_adopted_by_the_corrected_key() {
    let bench = Bench::new();
    bench.remote.change(|file| file.bytes = content(5, 2_000_000));
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1_000_000, gate)]);
    check_length_differs(bench.reader.read(request(0, 10)).await, 2_000_000);
    assert!(bench.reader.adopt(&key(0), &key(1)));
    open.send_replace(true);
    let corrected = ReadRequest {
        key: key(1),
        size: Some(2_000_000),
        ..request(0, SIZE)
    };
    assert_eq!(
        bench.reader.read(corrected.clone()).await.unwrap(),
        content(5, 2_000_000)
    );
    check_length_differs(bench.whole().await, 2_000_000);
    bench.ended(&key(1)).await;
    assert_eq!(bench.requests(), 1);
    bench.check_at_rest().await;

    let bench = bench.restart();
    assert_eq!(bench.reader.read(corrected).await.unwrap(), content(5, 2_000_000));
    assert_eq!(bench.requests(), 1);
}

#[tokio::test]
async fn a_length_that_differs_only_at_the_end_is_adopted_too() {
    let bench = Bench::new();
    bench.remote.change(|file| {
        file.bytes = content(5, 2_000_000);
        file.announced = false;
        file.ranges = false;
    });
    check_length_differs(bench.reader.read(request(SIZE - 10, 10)).await, 2_000_000);
    // Complete, unserved, and waiting for its name.
    check_length_differs(bench.reader.read(request(0, 10)).await, 2_000_000);
    assert!(bench.reader.adopt(&key(0), &key(1)));
    let corrected = ReadRequest {
        key: key(1),
        size: Some(2_000_000),
        ..request(0, SIZE)
    };
    assert_eq!(
        bench.reader.read(corrected.clone()).await.unwrap(),
        content(5, 2_000_000)
    );
    bench.ended(&key(1)).await;
    assert_eq!(bench.requests(), 1);
    bench.check_at_rest().await;
    let bench = bench.restart();
    assert_eq!(bench.reader.read(corrected).await.unwrap(), content(5, 2_000_000));
    assert_eq!(bench.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_of_unexpected_length_that_nobody_wants_goes_away() {
    let bench = Bench::new();
    bench.remote.change(|file| file.bytes = content(5, 2_000_000));
    check_length_differs(bench.whole().await, 2_000_000);
    bench.ended(&key(0)).await;
    bench.check_at_rest().await;
    assert!(!bench.reader.adopt(&key(0), &key(1)));
    assert_eq!(files(&bench.dir.path().join("content-v2")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn bytes_of_the_right_length_are_nobody_else_s() {
    let bench = Bench::new();
    let (_open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1000, gate)]);
    bench.reader.read(request(0, 10)).await.unwrap();
    assert!(!bench.reader.adopt(&key(0), &key(1)));
}

#[tokio::test]
async fn no_account_reads_what_another_one_fetched() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    let theirs = ContentKey {
        account: "somebody else".into(),
        ..key(0)
    };
    let asked = ReadRequest {
        key: theirs,
        fetch: FetchPolicy::CacheOnly,
        ..request(0, 10)
    };
    let refused = bench.reader.read(asked.clone()).await;
    assert!(matches!(refused, Err(ContentError::NotCached)));
    let allowed = ReadRequest {
        fetch: FetchPolicy::Allow,
        ..asked
    };
    bench.reader.read(allowed).await.unwrap();
    assert_eq!(bench.reader.stats().downloads, 2);
}

#[tokio::test]
async fn another_tag_under_the_same_key_is_a_replaced_file() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    let bench = bench.restart();
    bench.remote.change(|file| {
        file.bytes = content(99, SIZE);
        file.etag = Some("\"two\"");
    });
    // The damage is found while reading; the map still tells which file it was.
    let data = bench.file("data");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[1_500_000] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    assert_eq!(
        bench.reader.read(request(0, 10)).await.unwrap(),
        content(0, SIZE)[..10]
    );
    check_replaced(&bench.whole().await);
    // The raised revision is another content.
    let raised = ReadRequest {
        key: key(1),
        ..request(0, SIZE)
    };
    assert_eq!(bench.reader.read(raised).await.unwrap(), content(99, SIZE));
}

#[tokio::test]
async fn a_damaged_entry_is_fetched_again_and_right() {
    type Damage = fn(&Bench);
    fn flip(path: &Path, at: usize) {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(path, bytes).unwrap();
    }
    fn cut(path: &Path, length: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length).unwrap();
    }
    let damages: [(&str, Damage); 7] = [
        ("flipped data", |bench| flip(&bench.file("data"), 2_999_999)),
        ("cut data", |bench| cut(&bench.file("data"), 1_000_000)),
        ("grown data", |bench| cut(&bench.file("data"), 4_000_000)),
        ("flipped map", |bench| flip(&bench.file("map"), 30)),
        ("cut map", |bench| cut(&bench.file("map"), 20)),
        ("empty map", |bench| cut(&bench.file("map"), 0)),
        ("no data", |bench| {
            std::fs::remove_file(bench.file("data")).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let bench = Bench::new();
        bench.whole().await.unwrap();
        bench.ended(&key(0)).await;
        let bench = bench.restart();
        damage(&bench);
        assert_eq!(bench.whole().await.unwrap(), content(0, SIZE), "{name}");
        bench.ended(&key(0)).await;
        assert_eq!(bench.requests(), 2, "{name}");
        assert_eq!(bench.whole().await.unwrap(), content(0, SIZE), "{name}");
        assert_eq!(bench.requests(), 2, "{name}");
        bench.check_at_rest().await;
    }
}

#[tokio::test]
async fn an_entry_under_the_name_of_another_is_not_believed() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    let (data, map) = (bench.file("data"), bench.file("map"));
    let copies = bench.dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    std::fs::rename(&data, copies.join("data")).unwrap();
    std::fs::rename(&map, copies.join("map")).unwrap();

    bench.remote.change(|file| {
        file.bytes = content(99, SIZE);
        file.etag = Some("\"two\"");
    });
    let other = ReadRequest {
        key: key(1),
        ..request(0, SIZE)
    };
    bench.reader.read(other.clone()).await.unwrap();
    bench.ended(&key(1)).await;
    std::fs::rename(copies.join("data"), bench.file("data")).unwrap();
    std::fs::rename(copies.join("map"), bench.file("map")).unwrap();
    let bench = bench.restart();
    assert_eq!(bench.reader.read(other).await.unwrap(), content(99, SIZE));
    assert_eq!(bench.requests(), 3);
}

#[tokio::test]
async fn the_cache_survives_a_restart_without_a_request() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    let bench = bench.restart();
    let only_cached = ReadRequest {
        fetch: FetchPolicy::CacheOnly,
        ..request(0, SIZE)
    };
    assert_eq!(bench.reader.read(only_cached).await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 1);
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!(mode(&bench.file("data")), 0o600);
    assert_eq!(mode(bench.file("map").parent().unwrap()), 0o700);
    assert!(bench.dir.path().join("CACHEDIR.TAG").is_file());
}

#[tokio::test]
async fn empty_files_are_kept_like_any_other() {
    let bench = Bench::new();
    bench.remote.change(|file| file.bytes = Bytes::new());
    assert_eq!(bench.reader.measure(&key(0)).await.unwrap(), 0);
    let unknown = ReadRequest {
        size: None,
        ..request(0, 100)
    };
    assert_eq!(bench.reader.read(unknown.clone()).await.unwrap(), Bytes::new());
    bench.ended(&key(0)).await;
    let bench = bench.restart();
    let before = bench.requests();
    assert_eq!(bench.reader.read(unknown).await.unwrap(), Bytes::new());
    assert_eq!(bench.requests(), before);
}

#[tokio::test]
async fn whoever_may_not_fetch_joins_what_is_on_its_way() {
    let bench = Bench::new();
    let only_cached = ReadRequest {
        fetch: FetchPolicy::CacheOnly,
        ..request(0, SIZE)
    };
    let read = bench.reader.read(only_cached.clone()).await;
    assert!(matches!(read, Err(ContentError::NotCached)), "{read:?}");
    assert_eq!(bench.requests(), 0);
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1000, gate)]);
    let mut allowed = Box::pin(bench.whole());
    assert!((&mut allowed).now_or_never().is_none());
    open.send_replace(true);
    assert_eq!(bench.reader.read(only_cached).await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_answers_its_repeats_for_two_seconds() {
    let bench = Bench::new();
    bench.remote.fail([Fault::Refuse(lost())]);
    for _ in 0..4 {
        let read = bench.whole().await;
        assert!(matches!(read, Err(ContentError::Remote(_))), "{read:?}");
    }
    assert_eq!(bench.requests(), 1);
    tokio::time::advance(Duration::from_millis(2001)).await;
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_read_ends_after_ten_seconds_and_the_next_one_joins_the_fetch() {
    let bench = Bench::new();
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(1_000_000, gate)]);
    bench.reader.read(request(0, 1_000_000)).await.unwrap();

    let started = Instant::now();
    let read = bench.whole().await;
    assert!(matches!(read, Err(ContentError::TimedOut)), "{read:?}");
    assert!(
        (10..11).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    // The kernel's repeats are not waited for again, and what is here is still served.
    let started = Instant::now();
    assert!(bench.whole().await.is_err());
    assert_eq!(bench.reader.read(request(0, 10)).await.unwrap().len(), 10);
    assert_eq!(started.elapsed(), Duration::ZERO);

    open.send_replace(true);
    bench.ended(&key(0)).await;
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_ten_minutes_while_bytes_arrive() {
    let bench = Bench::new();
    // 60 pieces in 540 s.
    bench.remote.fail([Fault::Trickle(Duration::from_secs(9))]);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));

    let bench = Bench::new();
    bench.remote.change(|file| {
        file.bytes = content(0, 2 * SIZE);
        file.ranges = false;
    });
    bench.remote.fail([Fault::Trickle(Duration::from_secs(9))]);
    let long = ReadRequest {
        size: Some(2 * SIZE as u64),
        ..request(2 * SIZE - 10, 10)
    };
    let started = Instant::now();
    let read = bench.reader.read(long.clone()).await;
    assert!(matches!(read, Err(ContentError::TimedOut)), "{read:?}");
    assert_eq!(started.elapsed().as_secs(), 600);
    bench.ended(&key(0)).await;
    assert_eq!(bench.reader.read(long).await.unwrap().len(), 10);
    assert_eq!(bench.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_for_good_does_not_hold_its_download_for_ever() {
    let bench = Bench::new();
    let (_open, gate) = gate();
    bench
        .remote
        .fail([Fault::StallAfter(1000, gate.clone()), Fault::StallAfter(0, gate)]);
    bench.reader.read(request(0, 10)).await.unwrap();
    let started = Instant::now();
    bench.ended(&key(0)).await;
    assert_eq!(started.elapsed().as_secs(), 120);
    bench.check_at_rest().await;
}

#[tokio::test]
async fn a_length_is_learnt_from_one_byte_or_else_from_the_download() {
    let bench = Bench::new();
    assert_eq!(bench.reader.measure(&key(0)).await.unwrap(), SIZE as u64);
    let probe = Asked {
        start: 0,
        end: Some(1),
        if_range: None,
    };
    assert_eq!(bench.remote.asked(), [probe]);

    let bench = Bench::new();
    bench.remote.change(|file| {
        file.ranges = false;
        file.announced = false;
    });
    let key_0 = key(0);
    let lengths = join_all((0..8).map(|_| bench.reader.measure(&key_0))).await;
    assert!(
        lengths
            .iter()
            .all(|length| *length.as_ref().unwrap() == SIZE as u64)
    );
    assert_eq!(bench.requests(), 2);
    bench.ended(&key(0)).await;
    assert_eq!(bench.reader.measure(&key(0)).await.unwrap(), SIZE as u64);
    assert_eq!(bench.requests(), 2);
    bench.check_at_rest().await;
}

/// Puts a file where the directory of temporary files was: nothing can be written, as root neither.
fn break_disk(bench: &Bench) {
    let temporary = bench.dir.path().join("tmp-v1");
    std::fs::remove_dir(&temporary).unwrap();
    std::fs::write(&temporary, "in the way").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broken_disk_costs_a_request_per_read_and_nothing_else() {
    for ranges in [true, false] {
        let bench = Bench::new();
        bench.remote.change(|file| file.ranges = ranges);
        break_disk(&bench);
        for (offset, len) in [(0, 10), (1_234_567, 131_072), (SIZE - 5, 4096)] {
            let read = bench.reader.read(request(offset, len)).await.unwrap();
            assert_eq!(read, content(0, SIZE)[offset..SIZE.min(offset + len)]);
        }
        assert_eq!(bench.requests(), 3);
        assert_eq!(bench.remote.asked()[1].end, Some(1_234_567 + 131_072));
        assert_eq!(bench.reader.stats().uncached, 3);

        bench.remote.change(|file| {
            file.bytes = content(99, SIZE);
            file.etag = Some("\"two\"");
        });
        check_replaced(&bench.reader.read(request(500, 10)).await);

        // The disk is looked at again after a while.
        std::fs::remove_file(bench.dir.path().join("tmp-v1")).unwrap();
        tokio::time::advance(Duration::from_secs(31)).await;
        let raised = ReadRequest {
            key: key(1),
            ..request(0, SIZE)
        };
        assert_eq!(bench.reader.read(raised).await.unwrap(), content(99, SIZE));
        bench.ended(&key(1)).await;
        assert_eq!(bench.reader.stats().downloads, 1);
    }
}

#[tokio::test]
async fn past_the_cache_a_wrong_length_is_still_an_error() {
    for announced in [true, false] {
        let bench = Bench::new();
        bench.remote.change(|file| {
            file.bytes = content(0, 2_000_000);
            file.ranges = false;
            file.announced = announced;
        });
        break_disk(&bench);
        check_length_differs(bench.reader.read(request(SIZE - 10, 10)).await, 2_000_000);
    }
}

#[tokio::test]
async fn the_free_space_floor_is_looked_at_before_a_write() {
    let floor = CacheOptions {
        free_floor: u64::MAX,
        ..CacheOptions::default()
    };
    let bench = Bench::over(tempfile::tempdir().unwrap(), floor);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.reader.stats().downloads, 0);
    assert_eq!(bench.reader.stats().uncached, 1);
    assert_eq!(files(&bench.dir.path().join("content-v2")), Vec::<PathBuf>::new());
}

/// A file system of one MiB, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> rustix::io::Result<Self> {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("pwfs-test", dir.path(), "tmpfs", flags, Some(c"size=1m"))?;
        Ok(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle_ends_the_caching_and_not_the_reading() {
    let disk = match SmallDisk::new() {
        Ok(disk) => disk,
        Err(error) => {
            tracing::warn!(%error, "skipped: mounting a small disk needs privileges");
            return;
        }
    };
    let dir = tempfile::tempdir_in(disk.0.path()).unwrap();
    let bench = Bench::over(
        dir,
        CacheOptions {
            free_floor: 0,
            ..CacheOptions::default()
        },
    );
    // Neither the listing nor the server tells the length beforehand.
    bench.remote.change(|file| file.announced = false);
    let unknown = ReadRequest {
        size: None,
        ..request(2_000_000, 1000)
    };
    let read = bench.reader.read(unknown).await.unwrap();
    assert_eq!(read, content(0, SIZE)[2_000_000..2_001_000]);
    assert_eq!(bench.reader.stats().downloads, 1);
    assert_eq!(bench.whole().await.unwrap(), content(0, SIZE));
    assert_eq!(bench.reader.stats().downloads, 1);
    bench.check_at_rest().await;
}

#[tokio::test]
async fn a_cache_deleted_while_it_is_used_is_made_again() {
    let bench = Bench::new();
    bench.whole().await.unwrap();
    bench.ended(&key(0)).await;
    for path in ["content-v2", "tmp-v1"] {
        std::fs::remove_dir_all(bench.dir.path().join(path)).unwrap();
    }
    let other = ReadRequest {
        key: key(1),
        ..request(0, SIZE)
    };
    bench.reader.read(other).await.unwrap();
    bench.ended(&key(1)).await;
    assert!(bench.file("map").is_file());
}

#[tokio::test]
async fn only_the_temporary_files_of_dead_processes_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().join("tmp-v1");
    std::fs::create_dir(&temporary).unwrap();
    for name in ["1-7.part", "1-8.part", "someone-else's.txt"] {
        std::fs::write(temporary.join(name), "x").unwrap();
    }
    let living = std::fs::File::open(temporary.join("1-8.part")).unwrap();
    living.lock().unwrap();
    ContentCache::open(dir.path(), Handle::current(), CacheOptions::default()).unwrap();
    let mut left = files(&temporary);
    left.sort();
    assert_eq!(
        left,
        [temporary.join("1-8.part"), temporary.join("someone-else's.txt")]
    );
}

#[test]
fn a_stopped_runtime_answers_its_waiters_and_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (open, gate) = gate();
    let (bench, transfer) = runtime.block_on(async {
        let bench = Bench::new();
        bench.remote.fail([Fault::StallAfter(1000, gate)]);
        bench.reader.read(request(0, 10)).await.unwrap();
        let Some(Running::Transfer(transfer)) = bench.running(&key(0)) else {
            panic!("a file of this size comes in parts");
        };
        (bench, transfer)
    });
    drop(runtime);
    drop(open);
    assert!(transfer.over().now_or_never().is_some());
    let read = async_io::block_on(bench.whole());
    assert!(matches!(read, Err(ContentError::Stopped)), "{read:?}");
    async_io::block_on(bench.check_at_rest());

    // Whoever still asks gets an error, not a hang.
    let later = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    later.block_on(async {
        let other = ReadRequest {
            key: key(1),
            ..request(0, 10)
        };
        let read = bench.reader.read(other).await;
        assert!(matches!(read, Err(ContentError::Stopped)), "{read:?}");
        let length = bench.reader.measure(&key(2)).await;
        assert!(matches!(length, Err(ContentError::Stopped)), "{length:?}");
    });
}
