//! The refresher where a server tells what is below a folder, in simulated time.

use std::sync::atomic::Ordering;

use super::tests::{MINUTE, begin};
use super::town::{Stage, Town, directory, id};
use super::*;
use crate::model::Entry;
use crate::remote::RemoteError;
use crate::tree::TreeConfig;

/// A street of `count` houses, all of them listed and in use.
async fn street_of(count: u32, tells_below: bool) -> Stage {
    let town = Town::new(Duration::from_millis(50), None);
    town.tells_below.store(tells_below, Ordering::SeqCst);
    town.add(1, None);
    (2..=count).for_each(|number| town.add(number, Some(1)));
    let stage = Stage::new(town, TreeConfig::default());
    for number in 1..=count {
        stage.visit(number).await;
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn what_is_due_together_is_found_unchanged_by_one_question_and_what_changed_is_listed() {
    let stage = street_of(40, true).await;
    let (_refresher, _lead) = begin(&stage);
    // One gets a document, another one other properties, and of a third nothing is told any more.
    stage.town.change(37);
    stage.town.rename(38);
    stage.town.empty(39);
    tokio::time::sleep(MINUTE + Duration::from_secs(20)).await;
    for number in 1..=40 {
        assert!(stage.age(number) < Duration::from_secs(25), "{number}");
    }
    let again: Vec<u32> = (1..=40)
        .filter(|&number| stage.town.listings_of(number) > 1)
        .collect();
    assert!(again.ends_with(&[37, 38, 39]), "{again:?}");
    // The first few go as they come, and what is asked below is listed itself.
    assert!(again.len() <= 3 + 1 + 10, "{again:?}");
    assert!(stage.town.asked_below.load(Ordering::SeqCst) <= 2);
    let held = |number| stage.tree.held(directory(id(number))).unwrap();
    assert_eq!(held(37).listing.entries().count(), 2);
    assert_eq!(held(39).listing.entries().count(), 0);
    let entry = held(38).listing.entries().next().unwrap().clone();
    assert!(matches!(&*entry, Entry::Document(document) if document.description == "another"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_tell_what_is_below_is_asked_as_ever() {
    let stage = street_of(40, false).await;
    let (_refresher, _lead) = begin(&stage);
    for _ in 0..20 {
        tokio::time::sleep(MINUTE / 4).await;
        for number in 1..=40 {
            stage.visit(number).await;
            assert!(stage.age(number) <= MINUTE + Duration::from_secs(5), "{number}");
        }
    }
    let looks = stage.town.listings();
    assert!((40 * 5..=40 * 7).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_question_is_one_of_the_server_and_everything_is_fresh_after_it() {
    let stage = street_of(40, true).await;
    let (_refresher, _lead) = begin(&stage);
    *stage.town.away.lock() = Some(RemoteError::Unreachable("no route".into()));
    let before = stage.town.listings();
    tokio::time::sleep(10 * MINUTE).await;
    let storm = stage.town.listings() - before;
    assert!(storm <= 14, "{storm}");
    *stage.town.away.lock() = None;
    for number in 1..=40 {
        let now = stage.clock.now();
        stage.tree.usage().note(DirId::Folder(id(number)), now);
    }
    stage.tree.forget_failures();
    tokio::time::sleep(Duration::from_secs(5)).await;
    for number in 1..=40 {
        assert!(stage.age(number) < Duration::from_secs(10), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_old_news_of_what_is_below_is_believed_for_an_hour() {
    let stage = street_of(40, true).await;
    let (_refresher, _lead) = begin(&stage);
    stage.town.freeze_what_is_below();
    (2..=40).for_each(|number| stage.town.change(number));
    let mut asked = 0;
    for quarter in 0..6 * 60 {
        tokio::time::sleep(MINUTE / 4).await;
        for number in 1..=40 {
            let now = stage.clock.now();
            stage.tree.usage().note(DirId::Folder(id(number)), now);
        }
        if quarter == 30 {
            asked = stage.town.asked_below.load(Ordering::SeqCst);
        }
    }
    assert!(asked > 0, "it was believed");
    for number in 2..=40 {
        let held = stage.tree.held(directory(id(number))).unwrap();
        assert_eq!(held.listing.entries().count(), 2, "{number}");
    }
}
