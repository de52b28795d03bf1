//! How long things take, and how much room: to be looked at, not judged.
#![expect(clippy::print_stderr, reason = "numbers are for a person")]

use std::time::Instant;

use super::*;

fn many(count: u32, salt: u32) -> Vec<Entry> {
    (0..count)
        .map(|number| {
            let mut bytes = [0; 16];
            // As random as real GUIDs: neighbours are far apart.
            let spread = u64::from(number ^ salt.rotate_left(16)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            bytes[..8].copy_from_slice(&spread.to_be_bytes());
            bytes[8..12].copy_from_slice(&salt.to_be_bytes());
            bytes[12..].copy_from_slice(&number.to_be_bytes());
            let name = format!("A-{number:06} general arrangement.dgn");
            Entry::Document(Document {
                id: DocumentId(Guid::from_bytes(bytes)),
                description: "General arrangement, level 3".into(),
                version: "C".into(),
                size: Some(1_000_000 + u64::from(number)),
                file_updated: Some(stamp(u64::from(number)).wall),
                updated: Some(stamp(u64::from(number)).wall),
                created: Some(stamp(u64::from(number)).wall),
                state: Some("Shared".into()),
                mime_type: Some("image/vnd.dgn".into()),
                etag: Some(format!("\"{number:032x}\"")),
                ..file(0, &name)
            })
        })
        .collect()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = work();
    eprintln!("{what:<50} {:>12.3?}", begun.elapsed());
    value
}

#[test]
#[ignore = "prints numbers"]
fn one_listing() {
    for count in [20, 1000, 100_000] {
        let mut bench = Bench::new();
        let entries = many(count, 0);
        let built = timed(&format!("{count}: building"), || listing(entries.clone(), None));
        let replace = |bench: &mut Bench, listing: &Arc<Listing>, known| {
            let fetched = Fetched {
                dir: dir(1),
                fetched: bench.now(),
                proof: Proof::Compared,
                validator: None,
                departed: &[],
                first: false,
            };
            match bench
                .catalog
                .replace(&fetched, known, &mut |_| listing.clone())
                .unwrap()
            {
                Replaced::Kept { commit, .. } => commit,
                Replaced::Superseded(_) => panic!("kept"),
            }
        };
        let commit = timed(&format!("{count}: writing"), || replace(&mut bench, &built, None));
        timed(&format!("{count}: loading"), || {
            bench.catalog.load(dir(1)).unwrap().unwrap()
        });
        let commit = timed(&format!("{count}: refresh, nothing new"), || {
            replace(&mut bench, &built, Some(commit))
        });
        let now = bench.now();
        timed(&format!("{count}: noted as unchanged"), || {
            bench.catalog.unchanged(dir(1), commit, now).unwrap()
        });
        let mut entries = entries;
        entries.swap_remove(3);
        let built = listing(entries, Some(&built));
        timed(&format!("{count}: refresh, one left"), || {
            replace(&mut bench, &built, Some(commit))
        });
    }
}

#[test]
#[ignore = "prints numbers, and takes minutes and 1 GB"]
fn a_million_documents() {
    let mut bench = Bench::new();
    let number = |n: u32| {
        let mut bytes = [0xee; 16];
        let spread = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes[..8].copy_from_slice(&spread.to_be_bytes());
        bytes[8..12].copy_from_slice(&n.to_be_bytes());
        FolderId(Guid::from_bytes(bytes))
    };
    let folders: u32 = std::env::var_os("PWFS_TEST_FOLDERS")
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(50_000);
    timed("writing all", || {
        for n in 0..folders {
            let mut entries = many(20, n);
            // A tree of ten at each level.
            entries.extend(
                (1..=10)
                    .map(|child| n * 10 + child)
                    .filter(|&child| child < folders)
                    .map(|child| {
                        Entry::Folder(Folder {
                            id: number(child),
                            ..folder(0, &format!("Folder {child}"))
                        })
                    }),
            );
            bench.list(DirKey::folder(number(n)), entries, &[]);
        }
    });
    timed("opening", || bench.reopen());
    timed("loading one", || {
        bench.catalog.load(DirKey::folder(number(777))).unwrap().unwrap()
    });
    timed("the oldest 100", || bench.catalog.oldest(100).unwrap());
    timed("finding one", || bench.catalog.find(number(4711).0).unwrap());
    assert_eq!(
        timed("all below", || bench.catalog.below(number(0)).unwrap()).len(),
        folders as usize
    );
    let head = bench.catalog.journal().head().unwrap();
    timed("1000 events", || {
        bench
            .catalog
            .journal()
            .since(
                Cursor {
                    sequence: head.sequence / 2,
                    ..head
                },
                1000,
            )
            .unwrap()
    });
    eprintln!("totals {:?}", bench.catalog.totals());
    let files = Files::of(&places(bench.dir.path()), &account());
    for path in [&files.catalog, &files.journal] {
        eprintln!(
            "{:?} {} MB",
            path.file_name().unwrap(),
            std::fs::metadata(path).unwrap().len() / 1_000_000
        );
    }
    timed("pruning", || {
        bench.catalog.journal().prune(stamp(10_000_000).wall).unwrap()
    });
}
