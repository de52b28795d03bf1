//! `kill -9` at any moment leaves whole listings and a journal that can be read on.

use std::io::BufRead;
use std::process::{Command, Stdio};

use super::replay::Reader;
use super::*;

const DIR: &str = "PWFS_TEST_KILLED_DIR";
const ROUND: &str = "PWFS_TEST_KILLED_ROUND";
const FOLDERS: [u8; 3] = [1, 2, 3];

/// Which folder document `number` is in, in a round; in none every fifth time.
fn place(number: u8, round: u64) -> Option<u8> {
    let mixed = (u64::from(number) * 2_654_435_761 + round * 40_503) >> 3;
    (mixed % 5 != 4).then(|| FOLDERS[usize::try_from(mixed % 3).unwrap()])
}

fn world(folder: u8, round: u64) -> Vec<Entry> {
    (10..22)
        .filter(|&number| place(number, round) == Some(folder))
        .map(|number| {
            Entry::Document(Document {
                size: Some(round),
                ..file(number, &format!("{number}"))
            })
        })
        .collect()
}

fn list(catalog: &Catalog, folder: u8, round: u64) {
    let dir = dir(folder);
    let mut before = catalog.told_in(dir).unwrap();
    before.extend(catalog.expected(folder_id(folder)).unwrap());
    let entries = world(folder, round);
    before.retain(|id| entries.iter().all(|entry| entry.id() != *id));
    let became = |id: &ObjectId| match place(id.guid().as_bytes()[0], round) {
        Some(other) => Departure::Moved(Some(folder_id(other))),
        None => Departure::Deleted,
    };
    let departed: Vec<_> = before.iter().map(|id| (*id, became(id))).collect();
    let fetched = Fetched {
        dir,
        fetched: stamp(round * 4 + u64::from(folder)),
        proof: Proof::Compared,
        validator: None,
        departed: &departed,
        first: false,
    };
    catalog
        .replace(&fetched, None, &mut |previous| {
            listing(entries.clone(), previous.map(|saved| &*saved.listing))
        })
        .unwrap();
}

/// Writes until it is killed.
#[test]
#[ignore = "it is what a_killed_process_leaves_whole_listings kills"]
fn writes_until_killed() {
    let (Some(dir), Some(round)) = (std::env::var_os(DIR), std::env::var_os(ROUND)) else {
        return;
    };
    let catalog = open(Path::new(&dir)).catalog;
    let first: u64 = round.to_str().unwrap().parse().unwrap();
    // An end, should nobody kill it.
    for round in first..first + 2000 {
        for folder in FOLDERS {
            list(&catalog, folder, round);
        }
        // Not through the test harness, which would keep it.
        rustix::io::write(rustix::stdio::stdout(), b"round\n").unwrap();
    }
}

fn kill(times: u64) {
    let bench = Bench::new();
    let mut reader = Reader::default();
    let mut round = 1;
    for _ in 0..times {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
            .arg(
                concat!(module_path!(), "::writes_until_killed")
                    .split_once("::")
                    .unwrap()
                    .1,
            )
            .env(DIR, bench.dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let rounds = fastrand::usize(1..6);
        let seen = output
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.ends_with("round"))
            .take(rounds);
        assert_eq!(seen.count(), rounds, "the child writes");
        // Anywhere in the rounds that follow.
        for _ in 0..fastrand::u32(0..20_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        round += 2000;

        let opened = open(bench.dir.path());
        assert!(opened.set_aside.is_empty(), "nothing is damaged");
        for folder in FOLDERS {
            let saved = opened.catalog.load(dir(folder)).unwrap().unwrap();
            let kept: Vec<Entry> = saved.listing.entries().map(|entry| (**entry).clone()).collect();
            let at = saved.fetched.moment.as_secs() / 4;
            assert_eq!(kept.len(), world(folder, at).len());
            assert!(
                world(folder, at).iter().all(|entry| kept.contains(entry)),
                "one whole answer"
            );
        }
        reader.read(&opened.catalog);
    }
    for _ in 0..2 {
        for folder in FOLDERS {
            list(&bench.catalog, folder, round);
        }
        round += 1;
    }
    for folder in FOLDERS {
        list(&bench.catalog, folder, round);
    }
    for folder in FOLDERS {
        list(&bench.catalog, folder, round);
    }
    reader.read(&bench.catalog);
    for folder in FOLDERS {
        let told: Vec<_> = reader.contents(dir(folder)).into_keys().collect();
        let there: Vec<_> = world(folder, round).iter().map(Entry::id).collect();
        assert_eq!(told, there);
    }
}

#[test]
fn a_killed_process_leaves_whole_listings() {
    kill(8);
}

#[test]
#[ignore = "a minute"]
fn a_process_killed_a_hundred_times_leaves_whole_listings() {
    kill(100);
}
