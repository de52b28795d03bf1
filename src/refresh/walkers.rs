//! Walkers in simulated time: what is listed ahead of them, and of whom nothing is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::town::{Stage, Town, id};
use crate::model::{DirId, Entry};
use crate::tree::TreeConfig;
use crate::tree::inodes::{Directory, MountEntry};

const LATENCY: Duration = Duration::from_millis(50);

/// Reads one directory as `readdir` does; the folders in it.
async fn read(stage: &Stage, parent: DirId, dir: DirId) -> Vec<DirId> {
    let reading = stage.tree.reading(parent, dir);
    let directory = Directory {
        mount: MountEntry::WHOLE,
        id: dir,
    };
    let listed = stage.tree.list(directory).await.unwrap();
    drop(reading);
    let rows = listed.stored.listing.rows().iter();
    rows.filter_map(|row| match &*row.entry {
        Entry::Folder(folder) => Some(DirId::Folder(folder.id)),
        Entry::Document(_) => None,
    })
    .collect()
}

/// Walks everything, depth first or level by level, and rests in each directory; how many there are.
async fn walk(stage: &Stage, by_level: bool, rest: Duration) -> usize {
    let mut waiting = VecDeque::from([(DirId::Root, DirId::Root)]);
    let mut count = 0;
    loop {
        let next = if by_level {
            waiting.pop_front()
        } else {
            waiting.pop_back()
        };
        let Some((parent, dir)) = next else {
            return count;
        };
        count += 1;
        let folders = read(stage, parent, dir).await;
        let below = folders.into_iter().map(|folder| (dir, folder));
        if by_level {
            waiting.extend(below);
        } else {
            waiting.extend(below.rev());
        }
        tokio::time::sleep(rest).await;
    }
}

fn stage(width: u32, depth: u32) -> (Stage, usize) {
    let town = Town::new(LATENCY, None);
    let folders = town.grow(width, depth);
    let count = usize::try_from(folders).unwrap() + 1;
    (Stage::new(town, TreeConfig::default()), count)
}

#[tokio::test(start_paused = true)]
async fn a_walker_is_several_times_faster_than_one_listing_after_another_and_asks_nothing_twice() {
    for by_level in [false, true] {
        for (width, depth) in [(4, 3), (60, 1), (2, 5)] {
            let (stage, count) = stage(width, depth);
            let before = Instant::now();
            assert_eq!(walk(&stage, by_level, Duration::ZERO).await, count);
            let (took, alone) = (before.elapsed(), LATENCY * u32::try_from(count).unwrap());
            assert!(
                took * 3 < alone,
                "{took:?} of {alone:?}: {width} × {depth}, {by_level}"
            );
            assert_eq!(stage.town.listings(), count);
            assert!(stage.town.at_once.load(Ordering::SeqCst) <= 17);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_reads_what_it_finds_never_waits_for_the_next_folder() {
    let (stage, count) = stage(4, 3);
    let rest = Duration::from_secs(1);
    let before = Instant::now();
    walk(&stage, false, rest).await;
    let waited = before
        .elapsed()
        .saturating_sub(rest * u32::try_from(count).unwrap());
    // It is recognised where it reads neighbours one after the other, which takes it a while.
    assert!(waited * 2 < LATENCY * u32::try_from(count).unwrap(), "{waited:?}");
    assert_eq!(stage.town.listings(), count);
}

#[tokio::test(start_paused = true)]
async fn folders_that_are_really_empty_are_proved_so_together() {
    let (stage, _) = stage(40, 1);
    for number in 1..=40 {
        stage.town.empty(number);
    }
    let before = Instant::now();
    walk(&stage, false, Duration::ZERO).await;
    // One after the other would take two hundred seconds.
    assert!(
        before.elapsed() < Duration::from_secs(50),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_who_browses_has_nothing_listed_but_what_they_open() {
    let (stage, _) = stage(10, 3);
    let think = Duration::from_millis(900);
    let mut parent = DirId::Root;
    let mut here = DirId::Root;
    for opened in 1..=3 {
        let folders = read(&stage, parent, here).await;
        // A file manager looks at every entry of what it shows.
        for _ in &folders {
            read_name(&stage, here).await;
        }
        tokio::time::sleep(think).await;
        assert_eq!(stage.town.listings(), opened);
        (parent, here) = (here, folders[7]);
    }
    // Back, and into others, in no order.
    for number in [5, 2, 9] {
        read(&stage, DirId::Root, DirId::Folder(id(number))).await;
        tokio::time::sleep(think).await;
    }
    assert_eq!(stage.town.listings(), 6);
}

/// A lookup, or a `stat`, of something in a directory.
async fn read_name(stage: &Stage, dir: DirId) {
    let directory = Directory {
        mount: MountEntry::WHOLE,
        id: dir,
    };
    stage.tree.list(directory).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_has_listed_little_ahead() {
    let (stage, _) = stage(60, 2);
    let folders = read(&stage, DirId::Root, DirId::Root).await;
    for folder in &folders[..4] {
        read(&stage, DirId::Root, *folder).await;
    }
    let begun = stage.town.listings();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = stage.town.listings();
    assert!(after <= 5 + 32, "{after}");
    assert!(after - begun <= 16, "{begun}, then {after}");
}
