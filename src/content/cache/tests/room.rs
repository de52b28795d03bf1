//! The cap, and what makes room.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::super::index::Rank;
use super::*;

/// What all contents and files on their way take on the disk, in bytes.
pub(super) fn on_disk(dir: &Path) -> u64 {
    fn walk(dir: &Path, sum: &mut u64) {
        for found in fs::read_dir(dir).into_iter().flatten().flatten() {
            match found.metadata() {
                Ok(found_data) if found_data.is_dir() => walk(&found.path(), sum),
                // A map that is being replaced is there twice for a moment.
                Ok(found_data) if found_data.blocks() > 8 || !found.path().ends_with("part") => {
                    *sum += found_data.blocks() * 512;
                }
                _ => {}
            }
        }
    }
    let mut sum = 0;
    walk(&dir.join(folder::ENTRIES), &mut sum);
    sum
}

fn reserved(cache: &ContentCache) -> u64 {
    cache.room.index.totals().unwrap().bytes
}

const CAP: u64 = 6 << 20;

#[derive(Debug, Clone)]
enum Work {
    Put {
        document: u8,
        block: u64,
    },
    Read {
        document: u8,
        block: u64,
    },
    Commit {
        document: u8,
        length: usize,
    },
    /// All fillers of a cache end, or are killed.
    End {
        killed: bool,
    },
    Pin(u8),
}

fn any_work() -> impl Strategy<Value = Work> {
    prop_oneof![
        8 => (0_u8..5, 0_u64..4).prop_map(|(document, block)| Work::Put { document, block }),
        4 => (0_u8..5, 0_u64..4).prop_map(|(document, block)| Work::Read { document, block }),
        2 => (5_u8..8, 0..3 * BLOCK).prop_map(|(document, length)| Work::Commit { document, length }),
        1 => any::<bool>().prop_map(|killed| Work::End { killed }),
        1 => (0_u8..2).prop_map(Work::Pin),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever two processes on one folder do, and whichever of them is killed.
    #[test]
    fn the_cap_is_never_exceeded_and_what_is_read_is_right(
        works in prop::collection::vec((any::<bool>(), any_work()), 1..60),
    ) {
        let runtime = runtime();
        let dir = tempfile::tempdir().unwrap();
        let mut caches = [(); 2].map(|()| small(dir.path(), &runtime, CAP));
        let mut fillers: [std::collections::HashMap<u8, Arc<Filler>>; 2] = Default::default();
        let contents: Vec<Vec<u8>> = (0..5).map(|seed| content(seed, 3 * BLOCK + 77)).collect();
        for (second, work) in works {
            let at = usize::from(second);
            let cache = &caches[at];
            match work {
                Work::Put { document, block } => {
                    let whole = &contents[usize::from(document)];
                    let filler = match fillers[at].get(&document) {
                        Some(filler) => filler.clone(),
                        None => match cache.create(&key(document), whole.len() as u64, None) {
                            Ok(filler) => fillers[at].entry(document).or_insert(filler).clone(),
                            Err(Refusal::Elsewhere(_) | Refusal::NoRoom) => continue,
                            Err(error) => panic!("{error}"),
                        },
                    };
                    match filler.put(BlockIndex(block), block_of(whole, block)) {
                        Ok(()) => prop_assert!(filler.entry().missing(&BlockIndex(block).bytes(whole.len() as u64)).is_empty()),
                        Err(Refusal::NoRoom) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                Work::Read { document, block } => {
                    let whole = &contents[usize::from(document)];
                    if let Some(entry) = cache.entry(&key(document))
                        && let Some(read) = entry.read(&BlockIndex(block).bytes(whole.len() as u64)).unwrap()
                    {
                        prop_assert!(read == block_of(whole, block));
                    }
                }
                Work::Commit { document, length } => {
                    let bytes = content(u64::from(document), length);
                    let temporary = cache.create_temporary().unwrap();
                    if temporary.write(&bytes, 0).is_ok() {
                        let mut checksums = Checksums::default();
                        checksums.update(&bytes);
                        cache.commit(&key(document), &temporary, checksums, None).unwrap();
                        let entry = cache.entry(&key(document)).unwrap();
                        prop_assert!(entry.read(&(0..length as u64)).unwrap().is_none_or(|read| read == bytes));
                    }
                }
                Work::End { killed } => {
                    for filler in fillers[at].values().filter(|_| killed) {
                        filler.die();
                    }
                    fillers[at].clear();
                    if killed {
                        caches[at] = small(dir.path(), &runtime, CAP);
                    }
                }
                Work::Pin(document) => {
                    let care = care::CacheCare::new(dir.path(), CacheOptions::default());
                    care.pin(&[Pin { document: key(document).document.0, path: "a".to_owned(), since: jiff::Timestamp::now() }]).unwrap();
                }
            }
            // In this order: room is made beside this, first on the disk and then in the index.
            let reserved = reserved(&caches[at]);
            let disk = on_disk(dir.path());
            prop_assert!(reserved <= CAP, "{reserved} bytes are reserved");
            prop_assert!(disk <= reserved, "{disk} bytes are taken and {reserved} reserved");
        }
    }
}

#[test]
fn what_was_used_longest_ago_makes_room_and_what_is_pinned_or_hard_to_get_stays() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, CAP);
    let contents: Vec<Vec<u8>> = (0..12).map(|seed| content(seed, BLOCK)).collect();
    let care = care::CacheCare::new(dir.path(), CacheOptions::default());
    let pin = Pin {
        document: key(0).document.0,
        path: "Plans/a.pdf".to_owned(),
        since: jiff::Timestamp::now(),
    };
    assert_eq!(care.pin(&[pin]).unwrap(), 1);
    for (document, whole) in (0..).zip(&contents[..4]) {
        fill(&cache, document, whole).unwrap();
    }
    cache.keep_longer(&key(1));
    let whole = |document: u8| {
        cache
            .entry(&key(document))
            .and_then(|entry| entry.read(&(0..BLOCK_SIZE)).unwrap())
            .is_some()
    };
    // So that the order does not hang on one millisecond.
    let used: Vec<_> = (2_u8..4)
        .map(|document| (cache.room.folder.paths(&key(document)).name, u64::from(document)))
        .collect();
    cache.room.note_uses();
    for (name, _) in &used {
        cache.room.live.named(name).unwrap().touch(u64::MAX / 4);
    }
    for (document, whole) in (4..).zip(&contents[4..]) {
        fill(&cache, document, whole).unwrap();
    }
    assert!(whole(0), "what is pinned went");
    assert!(whole(1), "what cannot be fetched again went first");
    assert!(whole(2) && whole(3), "what was used went first");
    assert!(!whole(4), "nothing went");
    assert!(reserved(&cache) <= CAP);

    // Without anything else, that goes too; what is pinned does not.
    for (document, whole) in (4..).zip(&contents[4..]) {
        fill(&cache, document + 10, whole).unwrap();
        fill(&cache, document + 30, whole).unwrap();
    }
    assert!(whole(0));
    assert_eq!(care.unpin(&[key(0).document.0]).unwrap(), 1);
    assert_eq!(cache.room.index.pinned().unwrap(), (0, 0));
}

#[test]
fn where_nothing_may_go_nothing_is_taken_and_reading_goes_on() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, 3 << 20);
    let care = care::CacheCare::new(dir.path(), CacheOptions::default());
    for document in 0..2 {
        let pin = Pin {
            document: key(document).document.0,
            path: String::new(),
            since: jiff::Timestamp::now(),
        };
        care.pin(&[pin]).unwrap();
        fill(&cache, document, &content(u64::from(document), BLOCK)).unwrap();
    }
    let refused = fill(&cache, 2, &content(2, BLOCK));
    assert!(matches!(refused, Err(Refusal::NoRoom)), "{refused:?}");
    assert!(!cache.has_room(4 << 20));
    for document in 0..2 {
        let read = cache
            .entry(&key(document))
            .unwrap()
            .read(&(0..BLOCK_SIZE))
            .unwrap();
        assert_eq!(read.unwrap(), content(u64::from(document), BLOCK));
    }
}

#[test]
fn a_file_larger_than_the_cache_is_held_in_pieces() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, CAP);
    let whole = content(1, 10 * BLOCK);
    let filler = create(&cache, &key(1), &whole);
    for block in 0..10 {
        filler.put(BlockIndex(block), block_of(&whole, block)).unwrap();
        let read = filler
            .entry()
            .read(&BlockIndex(block).bytes(whole.len() as u64))
            .unwrap();
        assert!(read.unwrap() == block_of(&whole, block));
        assert!(on_disk(dir.path()) <= CAP);
    }
    let missing = filler.entry().missing(&(0..u64::MAX));
    assert_eq!(missing.first().map(|range| range.start), Some(0), "{missing:?}");
    assert_eq!(missing.len(), 1, "those used last are here: {missing:?}");
}

#[test]
fn a_new_version_of_what_is_pinned_is_pinned_and_the_old_one_let_go() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, CAP);
    fill(&cache, 1, &content(1, 10)).unwrap();
    let care = care::CacheCare::new(dir.path(), CacheOptions::default());
    let pin = Pin {
        document: key(1).document.0,
        path: String::new(),
        since: jiff::Timestamp::now(),
    };
    care.pin(&[pin]).unwrap();
    let name = |key: &ContentKey| cache.room.folder.paths(key).name;
    let index = &cache.room.index;
    assert!(index.is_of(Rank::Pinned, &name(&key(1))).unwrap());
    let mut next = key(1);
    next.tag.revision = 1;
    cache.create(&next, 10, None).unwrap();
    assert!(index.is_of(Rank::Pinned, &name(&next)).unwrap());
    assert!(index.is_of(Rank::Superseded, &name(&key(1))).unwrap());
}

#[test]
fn opening_a_cache_of_twenty_thousand_contents_touches_none() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, u64::MAX);
    // Whoever looked at one of these would find it damaged, and remove it.
    let names: Vec<String> = (0..20_000_u32).map(|number| format!("{number:064x}")).collect();
    let rows: Vec<_> = names
        .iter()
        .map(|name| {
            let about = index::About {
                name: name.clone(),
                owner: None,
            };
            (about, 4096, 1)
        })
        .collect();
    assert!(fill(&cache, 1, b"x").is_ok());
    cache.room.index.found(&rows).unwrap();
    for name in &names {
        let paths = cache.room.folder.named(name.clone());
        fs::create_dir_all(&paths.fan).unwrap();
        fs::write(&paths.map, "rubbish").unwrap();
    }
    drop(cache);
    let cache = small(dir.path(), &runtime, u64::MAX);
    assert_eq!(cache.entry(&key(1)).unwrap().total(), 1);
    fill(&cache, 2, b"y").unwrap();
    let left = count::files(&cache.room.folder, "map").count();
    assert_eq!(left, 20_002);
    assert!(reserved(&cache) > 20_000 * 4096);
}

#[test]
fn threads_that_fill_and_read_a_small_cache_get_right_bytes_and_keep_to_the_cap() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = small(dir.path(), &runtime, CAP);
    let contents: Vec<Vec<u8>> = (0..4).map(|seed| content(seed, 3 * BLOCK)).collect();
    let here = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|threads| {
        for seed in 0..3 {
            let (cache, contents, here) = (&cache, &contents, &here);
            threads.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..60 {
                    let document = random.u8(0..4);
                    let whole = &contents[usize::from(document)];
                    let filler = match cache.create(&key(document), whole.len() as u64, None) {
                        Ok(filler) => filler,
                        Err(Refusal::NoRoom | Refusal::Elsewhere(_)) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    let block = random.u64(0..3);
                    match filler.put(BlockIndex(block), block_of(whole, block)) {
                        Ok(()) | Err(Refusal::NoRoom) => {}
                        Err(error) => panic!("{error}"),
                    }
                    for block in 0..3 {
                        let range = BlockIndex(block).bytes(whole.len() as u64);
                        if let Some(read) = filler.entry().read(&range).unwrap() {
                            assert!(read == block_of(whole, block), "wrong bytes");
                            here.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(here.load(Ordering::Relaxed) > 0);
    let reserved = reserved(&cache);
    assert!(reserved <= CAP);
    assert!(on_disk(dir.path()) <= reserved);
}
