//! Files that come in parts: what is asked of the server for what is read.

use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::content::cache::{BLOCK_SIZE, BlockIndex};
use crate::remote::{Urgency, with_urgency};

const MIB: usize = 1 << 20;
const PROBE: usize = 256 << 10;

/// A server with one file of this length, which serves ranges or does not.
fn bench(length: usize, ranges: bool) -> Bench {
    let bench = Bench::new();
    bench.remote.change(|file| {
        file.bytes = content(0, length);
        file.ranges = ranges;
    });
    bench
}

fn part(length: usize, offset: usize, len: usize) -> ReadRequest {
    let size = Some(length as u64);
    ReadRequest {
        key: ContentKey {
            tag: ContentTag { size, ..key(0).tag },
            ..key(0)
        },
        size,
        ..request(offset, len)
    }
}

impl Bench {
    /// Reads and compares.
    async fn check(&self, whole: &Bytes, offset: usize, len: usize) {
        let read = self.reader.read(part(whole.len(), offset, len)).await.unwrap();
        let end = (offset + len).min(whole.len());
        assert!(
            read == whole[offset..end],
            "{len} bytes at {offset} of {}",
            whole.len()
        );
    }

    /// Reads all of it as the kernel does.
    async fn copy(&self, whole: &Bytes) {
        for offset in (0..whole.len()).step_by(131_072) {
            self.check(whole, offset, 131_072).await;
        }
    }

    /// Waits until no stream is left, complete or not.
    async fn settled(&self) {
        self.check_at_rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_file_fetches_256_kib_once_also_after_a_restart() {
    for ranges in [true, false] {
        let length = 5 * MIB;
        let whole = content(0, length);
        let bench = bench(length, ranges);
        bench.check(&whole, 0, 512).await;
        bench.check(&whole, 65_536, 131_072).await;
        bench.check(&whole, PROBE - 10, 10).await;
        bench.settled().await;
        let stats = bench.reader.stats();
        assert_eq!((stats.requests, stats.bytes_fetched), (1, PROBE as u64));
        bench.check(&whole, 0, 512).await;
        let bench = bench.restart();
        bench.check(&whole, 1000, 100_000).await;
        assert_eq!(bench.reader.stats().requests, 0);
        assert_eq!(bench.requests(), 1);
        bench.settled().await;
    }
}

#[tokio::test]
async fn a_copy_costs_one_request() {
    for (length, ranges) in [
        (PROBE, true),
        (PROBE + 1, true),
        (9 * MIB + 5, true),
        (9 * MIB + 5, false),
    ] {
        let whole = content(0, length);
        let bench = bench(length, ranges);
        bench.copy(&whole).await;
        bench.settled().await;
        let stats = bench.reader.stats();
        assert_eq!(
            (stats.requests, stats.bytes_fetched),
            (1, length as u64),
            "{length} {ranges}"
        );
        let bench = bench.restart();
        bench.copy(&whole).await;
        assert_eq!(bench.requests(), 1);
    }
}

#[tokio::test]
async fn a_copy_of_a_large_file_is_one_request_and_parts_where_ranges_are_proved() {
    let length = 40 * MIB + 12_345;
    let whole = content(0, length);
    let bench = bench(length, true);
    // The tail, which proves ranges.
    bench.check(&whole, length - 22, 22).await;
    bench.copy(&whole).await;
    bench.settled().await;
    let asked = bench.remote.asked();
    // The tail, the start, and parts of four MiB.
    assert!((5..=2 + 11).contains(&asked.len()), "{asked:?}");
    let again: u64 = bench.reader.stats().bytes_fetched - length as u64;
    assert!(again <= MIB as u64, "{again} bytes came twice");
    assert_eq!(bench.reader.stats().uncached, 0);
    let bench = bench.restart();
    bench.copy(&whole).await;
    assert_eq!(bench.reader.stats().requests, 0);
}

#[tokio::test]
async fn head_tail_and_index_of_a_large_file_fetch_their_blocks() {
    let length = 64 * MIB + 777;
    let whole = content(0, length);
    let bench = bench(length, true);
    for (offset, len) in [
        (0, 4096),
        (length - 22, 22),
        (length - 65_557, 65_557),
        (40 * MIB, 100_000),
    ] {
        bench.check(&whole, offset, len).await;
    }
    bench.settled().await;
    let stats = bench.reader.stats();
    assert!(stats.bytes_fetched * 20 < length as u64, "{stats:?}");
    assert_eq!(stats.requests, 4);
}

#[tokio::test]
async fn random_reads_fetch_little_more_than_the_blocks_they_touch() {
    let length = 128 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    let mut touched = std::collections::BTreeSet::new();
    let mut place: usize = 12_345;
    for _ in 0..60 {
        place = place
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let offset = (place >> 20) % (length - 65_536);
        touched.extend(offset / MIB..=(offset + 65_535) / MIB);
        bench.check(&whole, offset, 65_536).await;
    }
    bench.settled().await;
    let fetched = bench.reader.stats().bytes_fetched;
    assert!(
        fetched * 2 <= 3 * (touched.len() * MIB) as u64,
        "{fetched} for {} blocks",
        touched.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_follows_is_left_and_what_came_of_it_is_kept() {
    let length = 64 * MIB;
    let whole = content(0, length);
    let bench = bench(length, false);
    for offset in (0..3 * MIB).step_by(131_072) {
        bench.check(&whole, offset, 131_072).await;
    }
    bench.settled().await;
    let fetched = bench.reader.stats().bytes_fetched;
    assert!(fetched < 64 * MIB as u64 || fetched == length as u64);
    let before = bench.requests();
    bench.check(&whole, 0, 3 * MIB).await;
    assert_eq!(bench.requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_stops_its_stream_and_goes_on_by_another() {
    let length = 64 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    for offset in (0..3 * MIB).step_by(131_072) {
        bench.check(&whole, offset, 131_072).await;
    }
    bench.settled().await;
    let fetched = bench.reader.stats().bytes_fetched;
    assert!(
        fetched >= 4 * MIB as u64 && fetched <= 8 * MIB as u64,
        "a window ahead: {fetched}"
    );
    let bench = bench.restart();
    bench.check(&whole, 0, 3 * MIB).await;
    assert_eq!(bench.requests(), 1);
    for offset in (3 * MIB..length).step_by(131_072) {
        bench.check(&whole, offset, 131_072).await;
    }
    bench.settled().await;
    assert!(bench.requests() <= 2 + 16, "{:?}", bench.remote.asked());
}

#[tokio::test]
async fn a_range_that_is_answered_with_the_whole_becomes_a_download_of_the_whole() {
    for tagged in [true, false] {
        let length = 6 * MIB;
        let whole = content(0, length);
        let bench = bench(length, true);
        bench.remote.change(|file| {
            file.whole = true;
            file.etag = tagged.then_some("\"one\"");
        });
        bench.check(&whole, 4 * MIB, 1000).await;
        bench.check(&whole, 0, length).await;
        bench.settled().await;
        assert!(bench.requests() <= 2, "{:?}", bench.remote.asked());
        let bench = bench.restart();
        bench.check(&whole, 0, length).await;
        assert!(bench.requests() <= 2);
    }
}

#[tokio::test]
async fn a_gateway_that_refuses_ranges_is_asked_for_the_whole_and_for_no_range_again() {
    let length = 6 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    bench
        .remote
        .fail([Fault::Refuse(RemoteError::Protocol("no ranges".into()))]);
    bench.check(&whole, 4 * MIB, 1000).await;
    bench.ended(&part(length, 0, 1).key).await;
    assert_eq!(bench.requests(), 2);
    let other = ReadRequest {
        key: ContentKey {
            account: "another".into(),
            ..part(length, 0, 1).key
        },
        ..part(length, 5 * MIB, 10)
    };
    assert_eq!(
        bench.reader.read(other.clone()).await.unwrap(),
        whole[5 * MIB..5 * MIB + 10]
    );
    bench.ended(&other.key).await;
    assert_eq!(bench.requests(), 3);
    assert_eq!(bench.remote.asked()[2].start, 0);
}

#[tokio::test]
async fn one_bad_place_fails_no_read_elsewhere() {
    let length = 40 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    bench.check(&whole, 0, 1000).await;
    bench.remote.fail([Fault::Refuse(lost())]);
    let bad = part(length, 20 * MIB, 4096);
    for _ in 0..4 {
        let read = bench.reader.read(bad.clone()).await;
        assert!(matches!(read, Err(ContentError::Remote(_))), "{read:?}");
    }
    assert_eq!(bench.requests(), 2, "repeats are answered at once");
    bench.check(&whole, 30 * MIB, 4096).await;
    bench.check(&whole, 0, 1000).await;
    bench.reader.forget_failures();
    bench.check(&whole, 20 * MIB, 4096).await;
}

#[tokio::test]
async fn a_part_of_another_file_ends_all_of_it_and_mixes_nothing() {
    let length = 40 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    bench.check(&whole, 0, 1000).await;
    bench.remote.change(|file| {
        file.bytes = content(99, length);
        file.etag = Some("\"two\"");
    });
    check_replaced(&bench.reader.read(part(length, 20 * MIB, 10)).await);
    check_replaced(&bench.reader.read(part(length, 30 * MIB, 10)).await);
    bench.settled().await;
    // What is here is what this key stands for.
    bench.check(&whole, 0, 1000).await;
    let bench = bench.restart();
    bench.check(&whole, 0, 1000).await;
    check_replaced(&bench.reader.read(part(length, 20 * MIB, 10)).await);
}

#[tokio::test]
async fn a_part_of_a_file_of_another_length_is_an_error_before_its_first_byte() {
    let length = 40 * MIB;
    let bench = bench(length - 5, true);
    let read = bench.reader.read(part(length, 20 * MIB, 10)).await;
    let differs = |read: &Result<Bytes, ContentError>| matches!(read, Err(ContentError::LengthDiffers { delivered, .. }) if *delivered == length as u64 - 5);
    assert!(differs(&read), "{read:?}");
    let read = bench.reader.read(part(length, 0, 10)).await;
    assert!(differs(&read), "{read:?}");
    bench.settled().await;
}

#[tokio::test]
async fn who_may_not_fetch_gets_what_is_here_and_what_comes_and_starts_nothing() {
    let length = 40 * MIB;
    let whole = content(0, length);
    let bench = bench(length, true);
    bench.check(&whole, 0, 1000).await;
    let only_cached = |offset| ReadRequest {
        fetch: FetchPolicy::CacheOnly,
        ..part(length, offset, 1000)
    };
    let before = bench.requests();
    assert_eq!(
        bench.reader.read(only_cached(PROBE - 1000)).await.unwrap(),
        whole[PROBE - 1000..PROBE]
    );
    let read = bench.reader.read(only_cached(PROBE)).await;
    assert!(matches!(read, Err(ContentError::NotCached)), "{read:?}");
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(10, gate)]);
    let mut allowed = Box::pin(bench.reader.read(part(length, 20 * MIB, 1000)));
    assert!((&mut allowed).now_or_never().is_none());
    let mut joins = Box::pin(bench.reader.read(only_cached(20 * MIB + 5000)));
    assert!((&mut joins).now_or_never().is_none());
    open.send_replace(true);
    assert_eq!(joins.await.unwrap(), whole[20 * MIB + 5000..20 * MIB + 6000]);
    assert_eq!(bench.requests(), before + 1);
}

#[tokio::test]
async fn the_hash_of_the_whole_is_known_once_all_is_here_however_it_came() {
    use sha2::{Digest, Sha256};
    for (length, parts) in [(1000, false), (5 * MIB + 3, false), (5 * MIB + 3, true)] {
        let whole = content(0, length);
        let mut bench = bench(length, true);
        bench.reader = Reader::with_options(
            bench.reader.shared.cache.clone(),
            bench.remote.clone(),
            ReaderOptions { sha256: true },
        );
        if parts {
            bench.check(&whole, 3 * MIB, 1000).await;
        }
        let key = part(length, 0, 1).key;
        assert_eq!(bench.reader.sha256(&key), None);
        bench.copy(&whole).await;
        bench.settled().await;
        let expected: [u8; 32] = Sha256::digest(&whole).into();
        // It is written down a moment after the bytes are.
        let soon = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            bench = bench.restart();
            match bench.reader.sha256(&key) {
                Some(hash) => break assert_eq!(hash, expected, "{length} {parts}"),
                None => assert!(std::time::Instant::now() < soon, "{length} {parts}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_is_fetched_ahead_becomes_as_urgent_as_who_waits_for_it() {
    let length = 40 * MIB;
    let bench = bench(length, true);
    let (open, gate) = gate();
    bench.remote.fail([Fault::StallAfter(10, gate)]);
    let ahead = UrgencyHandle::new(Urgency::Prefetch);
    let mut first = Box::pin(with_urgency(ahead, bench.reader.read(part(length, 0, 1000))));
    let polled = std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context)));
    assert!(polled.await.is_pending());
    tokio::task::yield_now().await;
    assert_eq!(bench.remote.urgencies()[0].get(), Urgency::Prefetch);
    let mut second = Box::pin(bench.reader.read(part(length, 0, 1000)));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(bench.remote.urgencies()[0].get(), Urgency::Interactive);
    open.send_replace(true);
    second.await.unwrap();
}

/// What a test does next.
#[derive(Debug, Clone)]
enum Act {
    Read(usize, usize),
    GoOn(usize),
    /// Several at once.
    Together(Vec<(usize, usize)>),
    Evict(usize),
    Fault(usize, usize),
    Restart,
    Settle,
    Forget,
}

fn any_act(length: usize) -> impl Strategy<Value = Act> {
    let place = move || (0..length, 1_usize..300_000);
    prop_oneof![
        4 => place().prop_map(|(at, len)| Act::Read(at, len)),
        6 => (1_usize..200_000).prop_map(Act::GoOn),
        2 => prop::collection::vec(place(), 1..8).prop_map(Act::Together),
        2 => (0..length / MIB + 1).prop_map(Act::Evict),
        2 => (0_usize..4, 0_usize..200_000).prop_map(|(kind, after)| Act::Fault(kind, after)),
        1 => Just(Act::Restart),
        1 => Just(Act::Settle),
        1 => Just(Act::Forget),
    ]
}

async fn do_all(length: usize, ranges: bool, tagged: bool, acts: Vec<Act>) {
    let whole = content(0, length);
    let mut bench = bench(length, ranges);
    bench
        .remote
        .change(|file| file.etag = tagged.then_some("\"one\""));
    let mut last = 0;
    for act in acts {
        match act {
            Act::Read(at, len) => {
                last = at + len;
                read_or_fail(&bench, &whole, at, len).await;
            }
            Act::GoOn(len) => {
                let at = last % length;
                last = at + len;
                read_or_fail(&bench, &whole, at, len).await;
            }
            Act::Together(reads) => {
                join_all(
                    reads
                        .iter()
                        .map(|&(at, len)| read_or_fail(&bench, &whole, at, len)),
                )
                .await;
            }
            Act::Evict(block) => {
                let cache = &bench.reader.shared.cache;
                if let Some(entry) = cache.opened(&part(length, 0, 1).key)
                    && block < length.div_ceil(MIB)
                {
                    let _ = entry.evict(&[BlockIndex(block as u64)]);
                }
            }
            Act::Fault(kind, after) => bench.remote.fail([match kind {
                0 => Fault::BreakAfter(after),
                1 => Fault::EndAfter(after),
                2 => Fault::Refuse(lost()),
                _ => Fault::None,
            }]),
            Act::Restart => bench = bench.restart(),
            Act::Settle => bench.settled().await,
            Act::Forget => bench.reader.forget_failures(),
        }
    }
    bench.remote.heal();
    // What was begun before that may still fail, and whoever joined it with it.
    bench.settled().await;
    bench.reader.forget_failures();
    bench.check(&whole, 0, length).await;
    bench.settled().await;
}

/// The right bytes, or a failure of the line; never anything else.
async fn read_or_fail(bench: &Bench, whole: &Bytes, at: usize, len: usize) {
    match bench.reader.read(part(whole.len(), at, len)).await {
        Ok(read) => {
            let end = (at + len).min(whole.len());
            assert!(read == whole[at.min(end)..end], "{len} bytes at {at}");
        }
        Err(ContentError::Remote(RemoteError::Unreachable(_) | RemoteError::Protocol(_))) => {}
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_reader_over_evictions_faults_and_restarts_is_a_vec(
        (length, acts) in (1_usize..6 * MIB).prop_flat_map(|length| {
            (Just(length), prop::collection::vec(any_act(length), 1..25))
        }),
        ranges in any::<bool>(), tagged in prop::bool::weighted(0.8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(do_all(length, ranges, tagged, acts));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_version_is_read_whatever_is_evicted_and_replaced_beside_it() {
    let length = 6 * MIB;
    let bench = Arc::new(bench(length, true));
    let versions: Arc<Vec<Bytes>> = Arc::new((0..4).map(|seed| content(seed * 77, length)).collect());
    let tags = ["\"0\"", "\"1\"", "\"2\"", "\"3\""];
    bench.remote.change(|file| file.etag = Some(tags[0]));
    let key_of = move |version: u32| ContentKey {
        tag: ContentTag {
            revision: version,
            ..part(length, 0, 1).key.tag
        },
        ..key(0)
    };
    for version in 0..4_u32 {
        let before = bench.reader.stats().bytes_fetched;
        let readers = (0..16_usize).map(|number| {
            let (bench, versions) = (bench.clone(), versions.clone());
            Handle::current().spawn(async move {
                for round in 0..12_usize {
                    let offset = (number * 977_777 + round * 1_313_131) % length;
                    let asked = ReadRequest {
                        key: key_of(version),
                        ..part(length, offset, 131_072)
                    };
                    match bench.reader.read(asked).await {
                        Ok(read) => {
                            let end = (offset + 131_072).min(length);
                            assert!(read == versions[version as usize][offset..end]);
                        }
                        // Only while it is replaced.
                        Err(ContentError::ReplacedInPlace { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if (number + round).is_multiple_of(5)
                        && let Some(entry) = bench.reader.shared.cache.opened(&key_of(version))
                    {
                        let block = BlockIndex((round % 6) as u64);
                        let evicted = tokio::task::spawn_blocking(move || entry.evict(&[block]));
                        evicted.await.unwrap().unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            })
        });
        let readers = join_all(readers);
        if version < 3 {
            let replaced = async {
                // In the middle of it.
                while bench.reader.stats().bytes_fetched < before + 4 * BLOCK_SIZE {
                    tokio::task::yield_now().await;
                }
                let next = version as usize + 1;
                bench.remote.change(|file| {
                    file.bytes = versions[next].clone();
                    file.etag = Some(tags[next]);
                });
            };
            let (read, ()) = tokio::join!(readers, replaced);
            for read in read {
                read.unwrap();
            }
        } else {
            for read in readers.await {
                read.unwrap();
            }
        }
    }
    bench.settled().await;
}

#[tokio::test]
async fn nothing_where_there_is_to_be_something_is_a_failing_server_and_no_empty_file() {
    for length in [1000, 5 * MIB] {
        let bench = bench(0, true);
        for offset in [0, length - 10] {
            let read = bench.reader.read(part(length, offset, 10)).await;
            assert!(
                matches!(read, Err(ContentError::Remote(RemoteError::Protocol(_)))),
                "{read:?}"
            );
        }
    }
}
