//! The refresher in simulated time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::town::{Stage, Town, id};
use super::*;
use crate::remote::RemoteError;
use crate::tree::TreeConfig;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn begin(stage: &Stage) -> (Refresher, watch::Sender<bool>) {
    let (lead, leads) = watch::channel(true);
    (
        Refresher::begin(&stage.tree, MINUTE, leads, &Handle::current()),
        lead,
    )
}

async fn town_of(count: u32) -> Stage {
    let town = Town::new(Duration::from_millis(50), None);
    for number in 1..=count {
        town.add(number, None);
    }
    let stage = Stage::new(town, TreeConfig::default());
    for number in 1..=count {
        stage.visit(number).await;
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn whoever_uses_a_folder_never_waits_for_it_again_and_sees_changes_within_the_interval() {
    let stage = town_of(3).await;
    let (_refresher, _lead) = begin(&stage);
    for round in 0..40 {
        tokio::time::sleep(MINUTE / 4).await;
        if round == 20 {
            stage.town.change(1);
        }
        for number in 1..=3 {
            assert_eq!(stage.visit(number).await, Duration::ZERO, "round {round}");
            assert!(stage.age(number) <= MINUTE + Duration::from_secs(2));
        }
        if round == 25 {
            let listed = stage.tree.held(super::town::directory(id(1))).unwrap();
            assert_eq!(listed.listing.len(), 2, "the change was seen");
        }
    }
    let asked = stage.town.asked.lock().clone();
    assert!(
        asked[3..]
            .iter()
            .all(|asked| asked.urgency == Urgency::Background)
    );
    assert!((27..=50).contains(&asked.len()), "{}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_any_more_is_looked_at_ever_more_seldom() {
    let stage = town_of(1).await;
    let (_refresher, _lead) = begin(&stage);
    tokio::time::sleep(5 * MINUTE).await;
    let in_use = stage.town.listings();
    tokio::time::sleep(60 * MINUTE).await;
    let after = stage.town.listings() - in_use;
    assert!(in_use >= 4, "{in_use}");
    assert!(after <= 6, "{after}");
    assert_eq!(stage.town.listings_of(1), stage.town.listings());
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_keeps_changing_is_looked_at_often() {
    let stage = town_of(1).await;
    let (_refresher, _lead) = begin(&stage);
    let mut before = 0;
    for round in 0..30 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        stage.town.change(1);
        stage.visit(1).await;
        if round == 23 {
            before = stage.town.listings();
        }
    }
    assert!(stage.town.listings() - before >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_left_alone_and_asked_at_once_when_the_network_comes_back() {
    let stage = town_of(40).await;
    let (_refresher, _lead) = begin(&stage);
    *stage.town.away.lock() = Some(RemoteError::Unreachable("no route".into()));
    let before = stage.town.listings();
    tokio::time::sleep(30 * MINUTE).await;
    let storm = stage.town.listings() - before;
    assert!((5..=20).contains(&storm), "{storm}");

    for number in 1..=40 {
        stage
            .tree
            .usage()
            .note(DirId::Folder(id(number)), stage.clock.now());
    }
    *stage.town.away.lock() = None;
    stage.tree.forget_failures();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for number in 1..=40 {
        assert!(stage.age(number) < Duration::from_secs(5), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_login_is_no_storm_and_the_answer_to_a_person_ends_the_pause() {
    let stage = town_of(20).await;
    *stage.town.away.lock() = Some(RemoteError::LoginRequired("over".into()));
    let (_refresher, _lead) = begin(&stage);
    tokio::time::sleep(4 * MINUTE).await;
    let storm = stage.town.listings() - 20;
    assert!((AT_ONCE..=AT_ONCE + 7).contains(&storm), "{storm}");

    *stage.town.away.lock() = None;
    // Somebody asks for a folder that was never listed.
    stage.town.add(21, None);
    stage.visit(21).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(stage.town.listings() >= 20 + storm + 1 + 20, "all were due");
}

#[tokio::test(start_paused = true)]
async fn folders_that_are_refused_or_broken_spare_the_others_nothing() {
    let stage = town_of(3).await;
    let denied = RemoteError::Denied {
        what: "folder".to_owned(),
        detail: "".into(),
    };
    let broken = RemoteError::Protocol("half a page".into());
    stage.town.failures.lock().insert(id(1), vec![denied; 1000]);
    stage.town.failures.lock().insert(id(2), vec![broken; 1000]);
    let (_refresher, _lead) = begin(&stage);
    for _ in 0..20 {
        tokio::time::sleep(MINUTE / 2).await;
        for number in 1..=3 {
            stage
                .tree
                .usage()
                .note(DirId::Folder(id(number)), stage.clock.now());
        }
        assert!(stage.age(3) <= MINUTE + Duration::from_secs(2));
    }
    assert!(stage.town.listings_of(1) <= 4, "{}", stage.town.listings_of(1));
    assert!(stage.town.listings_of(2) <= 7, "{}", stage.town.listings_of(2));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_asks_for_nothing_and_a_refresher_ends_with_its_mount() {
    let stage = town_of(3).await;
    let (refresher, lead) = begin(&stage);
    lead.send_replace(false);
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(stage.town.listings(), 3);
    lead.send_replace(true);
    tokio::time::sleep(MINUTE).await;
    let while_it_led = stage.town.listings();
    assert!(while_it_led >= 6);
    drop(refresher);
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(stage.town.listings(), while_it_led);
}

#[tokio::test(start_paused = true)]
async fn answers_of_any_age_are_not_refreshed() {
    let town = Town::new(Duration::ZERO, None);
    town.add(1, None);
    let config = TreeConfig {
        metadata_ttl: None,
        ..TreeConfig::default()
    };
    let stage = Stage::new(town, config);
    stage.visit(1).await;
    let (_refresher, _lead) = begin(&stage);
    tokio::time::sleep(4 * MINUTE).await;
    assert_eq!(stage.town.listings(), 1);
}

/// A minute of `--pace gentle` is so many requests, and a folder's listing takes two: its folders and its documents.
const GENTLE: f64 = 100.0;
const REQUESTS: f64 = 2.0;

/// A budget as `http::pace` keeps it: what nobody waits for leaves most of the bucket, and takes half of the rate.
#[derive(Debug)]
struct Bucket {
    at: Instant,
    tokens: f64,
    share: f64,
    taken: [f64; 2],
}

impl Bucket {
    const BURST: f64 = GENTLE / 3.0;

    fn take(&mut self, interactive: bool) -> bool {
        let minutes = self.at.elapsed().as_secs_f64() / 60.0;
        self.at = Instant::now();
        self.tokens = (self.tokens + minutes * GENTLE).min(Self::BURST);
        self.share = (self.share + minutes * GENTLE / 2.0).min(Self::BURST / 2.0);
        let enough = if interactive {
            self.tokens >= REQUESTS
        } else {
            self.tokens - REQUESTS >= 0.6 * Self::BURST && self.share >= REQUESTS
        };
        if enough {
            self.tokens -= REQUESTS;
            if !interactive {
                self.share -= REQUESTS;
            }
            self.taken[usize::from(interactive)] += REQUESTS;
        }
        enough
    }
}

/// A town at a gentle pace, and its budget, which is for nothing until it is begun.
fn gentle_town() -> (Town, Arc<Mutex<Option<Bucket>>>) {
    let bucket: Arc<Mutex<Option<Bucket>>> = Arc::default();
    let budget: super::town::Budget = {
        let bucket = bucket.clone();
        Arc::new(move |urgency| {
            let bucket = bucket.clone();
            Box::pin(async move {
                let may_go = || match &mut *bucket.lock() {
                    Some(bucket) => bucket.take(urgency.get() == Urgency::Interactive),
                    None => true,
                };
                while !may_go() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
    };
    (Town::new(Duration::from_millis(200), Some(budget)), bucket)
}

/// Ten minutes in which each of the folders `1..=used` is used every 150 s or more often, and now and then somebody looks
/// at one that nobody has asked for. Nothing that is used is ever older than five minutes, nobody waits, and the background
/// takes half of the budget at most: so many requests.
async fn use_for_ten_minutes(stage: &Stage, bucket: &Mutex<Option<Bucket>>, used: u32) -> f64 {
    // What is in use was listed before, over its time.
    for number in 1..=used {
        stage.visit(number).await;
        tokio::time::sleep(Duration::from_secs(120) / used).await;
    }
    *bucket.lock() = Some(Bucket {
        at: Instant::now(),
        tokens: Bucket::BURST,
        share: 0.0,
        taken: [0.0; 2],
    });
    let (_refresher, _lead) = begin(stage);
    let mut longest = Duration::ZERO;
    for second in 0..600_u32 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for number in [2 * second, 2 * second + 1] {
            stage.visit(number % used + 1).await;
        }
        if second % 20 == 0 {
            longest = longest.max(stage.visit(10_000 + second / 20).await);
        }
        for number in 1..=used {
            let age = stage.age(number);
            assert!(age <= 5 * MINUTE, "{number} is {age:?} old after {second} s");
        }
    }
    assert!(longest <= Duration::from_secs(2), "{longest:?}");
    let [background, interactive] = bucket.lock().as_ref().unwrap().taken;
    assert!(
        background <= GENTLE / 2.0 * 10.0 + Bucket::BURST / 2.0,
        "{background}"
    );
    assert!(
        interactive <= 30.0 * REQUESTS,
        "nobody had to list what is in use: {interactive}"
    );
    background
}

#[tokio::test(start_paused = true)]
async fn at_a_gentle_pace_what_is_used_stays_fresh_by_half_of_the_budget_and_nobody_waits_for_it() {
    let (town, bucket) = gentle_town();
    town.tells_below.store(true, Ordering::SeqCst);
    town.add(1, None);
    for number in 2..=300 {
        // Some deeper than others, with twenty documents each: six thousand in all.
        town.add(number, Some(if number <= 20 { 1 } else { number % 19 + 2 }));
        (1..20).for_each(|_| town.change(number));
    }
    (0..30).for_each(|number| town.add(10_000 + number, None));
    let stage = Stage::new(town, TreeConfig::default());
    let background = use_for_ten_minutes(&stage, &bucket, 300).await;
    // One by one they would take two requests each every three and a half minutes, 1700 in all.
    assert!(background <= 450.0, "{background}");
}

#[tokio::test(start_paused = true)]
async fn at_a_gentle_pace_a_server_that_does_not_tell_what_is_below_has_a_hundred_folders_kept_fresh() {
    let (town, bucket) = gentle_town();
    town.add(1, None);
    (2..=300).for_each(|number| town.add(number, Some(1)));
    (0..30).for_each(|number| town.add(10_000 + number, None));
    let stage = Stage::new(town, TreeConfig::default());
    use_for_ten_minutes(&stage, &bucket, 100).await;
    assert_eq!(stage.town.asked_below.load(Ordering::SeqCst), 0);
}
