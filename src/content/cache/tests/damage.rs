//! What happens to files from outside: the right bytes, or none.

use super::*;

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

/// Reads what is there as a reader does, and drops what is bad; `None` where nothing is left.
fn read(cache: &ContentCache, document: u8, range: &std::ops::Range<u64>) -> Option<bytes::Bytes> {
    loop {
        let entry = cache.entry(&key(document))?;
        match entry.read(range) {
            Ok(read) => return read,
            Err(defect) => cache.discard(&key(document), &entry, &defect),
        }
    }
}

#[test]
fn damage_costs_the_bytes_that_are_damaged_and_never_gives_wrong_ones() {
    type Damage = fn(&ContentCache);
    let damages: &[(&str, Damage, bool)] = &[
        (
            "a flipped bit of a block",
            |cache| flip(&paths_of(cache, 1).data, BLOCK + 7),
            true,
        ),
        ("cut data", |cache| cut(&paths_of(cache, 1).data, 5), false),
        (
            "grown data",
            |cache| cut(&paths_of(cache, 1).data, 9 << 20),
            false,
        ),
        (
            "no data",
            |cache| fs::remove_file(&paths_of(cache, 1).data).unwrap(),
            false,
        ),
        (
            "a flipped bit of the map",
            |cache| flip(&paths_of(cache, 1).map, 50),
            false,
        ),
        ("a cut map", |cache| cut(&paths_of(cache, 1).map, 11), false),
        ("an empty map", |cache| cut(&paths_of(cache, 1).map, 0), false),
        (
            "no map",
            |cache| fs::remove_file(&paths_of(cache, 1).map).unwrap(),
            false,
        ),
        (
            "swapped data",
            |cache| fs::rename(&paths_of(cache, 2).data, &paths_of(cache, 1).data).unwrap(),
            false,
        ),
        (
            "a swapped entry",
            |cache| {
                fs::rename(&paths_of(cache, 2).data, &paths_of(cache, 1).data).unwrap();
                fs::rename(&paths_of(cache, 2).map, &paths_of(cache, 1).map).unwrap();
            },
            false,
        ),
        (
            "a damaged index",
            |cache| {
                let path = cache.room.folder.root().join(index::FILE);
                fs::write(path, [7; 9000]).unwrap();
            },
            true,
        ),
        (
            "no index",
            |cache| {
                for suffix in ["", "-wal", "-shm"] {
                    let _ =
                        fs::remove_file(cache.room.folder.root().join(format!("{}{suffix}", index::FILE)));
                }
            },
            true,
        ),
    ];
    for (name, damage, rest_stays) in damages {
        let runtime = runtime();
        let dir = tempfile::tempdir().unwrap();
        let contents = [1, 2].map(|seed| content(seed, 2 * BLOCK + 5));
        let cache = open(dir.path(), &runtime);
        fill(&cache, 1, &contents[0]).unwrap();
        fill(&cache, 2, &contents[1]).unwrap();
        drop(cache);
        let cache = open(dir.path(), &runtime);
        damage(&cache);
        let first = read(&cache, 1, &(0..10));
        assert!(
            first.as_ref().is_none_or(|first| first[..] == contents[0][..10]),
            "{name}"
        );
        assert_eq!(first.is_some(), *rest_stays, "{name}");
        let all = read(&cache, 1, &(0..contents[0].len() as u64));
        assert!(all.is_none_or(|all| all == contents[0]), "{name}");
        // It can be filled again, once a lost index is made anew, which may be under way beside this.
        let all = until(|| {
            cache.room.count();
            match fill(&cache, 1, &contents[0]) {
                Ok(()) | Err(Refusal::NoRoom) => {}
                Err(error) => panic!("{name}: {error}"),
            }
            read(&cache, 1, &(0..contents[0].len() as u64))
        });
        assert!(all == contents[0], "{name}");
    }
}

fn paths_of(cache: &ContentCache, document: u8) -> folder::EntryPaths {
    cache.room.folder.paths(&key(document))
}

#[test]
fn a_lost_index_is_made_anew_from_the_files_and_keeps_to_the_cap_meanwhile() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    for document in 1..4 {
        fill(&cache, document, &content(u64::from(document), BLOCK)).unwrap();
    }
    let care = care::CacheCare::new(dir.path(), CacheOptions::default());
    let pin = Pin {
        document: key(2).document.0,
        path: "kept".to_owned(),
        since: jiff::Timestamp::now(),
    };
    care.pin(std::slice::from_ref(&pin)).unwrap();
    let before = cache.room.index.totals().unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(dir.path().join(format!("{}{suffix}", index::FILE)));
    }
    assert!(!cache.room.index.totals().unwrap().counted);
    assert_eq!(cache.room.index.totals().unwrap().bytes, 0);
    let after = until(|| {
        cache.room.count();
        Some(cache.room.index.totals().unwrap()).filter(|totals| totals.counted)
    });
    assert_eq!(after.entries, before.entries);
    assert!(
        (3 << 20..=before.bytes).contains(&after.bytes),
        "{before:?} {after:?}"
    );
    assert_eq!(care.pins(), [pin]);
    let name = paths_of(&cache, 2).name;
    assert!(cache.room.index.is_of(index::Rank::Pinned, &name).unwrap());
}

#[test]
fn while_the_files_are_counted_nothing_is_written_and_all_is_read() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), &runtime);
    fill(&cache, 1, b"one").unwrap();
    // Somebody else counts, and takes its time.
    let counting = until(|| cache.room.folder.lock("count").unwrap());
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(dir.path().join(format!("{}{suffix}", index::FILE)));
    }
    assert!(matches!(fill(&cache, 2, b"two"), Err(Refusal::NoRoom)));
    assert_eq!(read(&cache, 1, &(0..3)).unwrap(), "one");
    drop(counting);
    until(|| {
        cache.room.count();
        fill(&cache, 2, b"two").ok()
    });
}

/// Tries until something comes of it: the thread of the cache looks after the same things beside this.
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let soon = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(came) = attempt() {
            return came;
        }
        assert!(std::time::Instant::now() < soon, "it never came about");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_killed_filler_saved_is_there_and_what_it_did_not_is_not() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let whole = content(1, 4 * BLOCK);
    let cache = open(dir.path(), &runtime);
    let filler = create(&cache, &key(1), &whole);
    filler.put(BlockIndex(2), block_of(&whole, 2)).unwrap();
    filler.save().unwrap();
    filler.put(BlockIndex(0), block_of(&whole, 0)).unwrap();
    filler.die();
    drop((filler, cache));
    let cache = open(dir.path(), &runtime);
    let entry = cache.entry(&key(1)).unwrap();
    assert_eq!(
        entry.missing(&(0..u64::MAX)),
        [0..2 * BLOCK_SIZE, 3 * BLOCK_SIZE..4 * BLOCK_SIZE]
    );
    assert_eq!(entry.read(&(0..10)).unwrap(), None);
    let range = 2 * BLOCK_SIZE + 5..2 * BLOCK_SIZE + 10;
    assert_eq!(
        entry.read(&range).unwrap().unwrap(),
        whole[2 * BLOCK + 5..2 * BLOCK + 10]
    );
    drop(entry);
    fill(&cache, 1, &whole).unwrap();
}

#[test]
fn a_full_disk_ends_the_caching_of_blocks_and_not_the_reading_of_them() {
    let disk = tempfile::tempdir().unwrap();
    let flags = rustix::mount::MountFlags::empty();
    if let Err(error) = rustix::mount::mount("pwfs-test", disk.path(), "tmpfs", flags, Some(c"size=4m")) {
        tracing::warn!(%error, "skipped: mounting a small disk needs privileges");
        return;
    }
    let runtime = runtime();
    let whole = content(1, 3 * BLOCK);
    let cache = open(disk.path(), &runtime);
    let filler = create(&cache, &key(1), &whole);
    let put = |block| filler.put(BlockIndex(block), block_of(&whole, block));
    put(0).unwrap();
    // Somebody else takes the rest of the disk: no room can be made for the next one.
    let rest = fs::File::create(disk.path().join("rest")).unwrap();
    let mut taken = 0;
    while std::os::unix::fs::FileExt::write_all_at(&rest, &[1; 4096], taken).is_ok() {
        taken += 4096;
    }
    let refused = put(1);
    assert!(
        matches!(refused, Err(Refusal::NoRoom | Refusal::Disk(_))),
        "{refused:?}"
    );
    let read = filler.entry().read(&(0..10)).unwrap();
    assert!(read.is_none_or(|read| read == whole[..10]));
    drop((filler, cache, rest));
    rustix::mount::unmount(disk.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
}

#[test]
fn a_folder_deleted_or_closed_under_a_filler_costs_nothing_but_what_is_kept() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let whole = content(1, 2 * BLOCK);
    let cache = open(dir.path(), &runtime);
    let filler = create(&cache, &key(1), &whole);
    filler.put(BlockIndex(0), block_of(&whole, 0)).unwrap();
    filler.save().unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    // What is open can be read, filled and saved; it ends when it is closed.
    filler.put(BlockIndex(1), block_of(&whole, 1)).unwrap();
    filler.finish(None).unwrap();
    assert!(filler.entry().read(&(0..2 * BLOCK_SIZE)).unwrap().unwrap() == whole);
    drop(filler);
    fill(&cache, 2, &whole).unwrap();
    assert!(cache.entry(&key(2)).unwrap().is_complete());
}
