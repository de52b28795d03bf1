//! Crawls in simulated time.

use std::sync::atomic::Ordering;

use super::*;
use crate::refresh::town::{Stage, Town, id};
use crate::remote::RemoteError;
use crate::tree::TreeConfig;

fn stage(width: u32, depth: u32) -> (Stage, u64) {
    let town = Town::new(Duration::from_millis(50), None);
    let count = town.grow(width, depth);
    (Stage::new(town, TreeConfig::default()), u64::from(count))
}

fn root() -> [Top; 1] {
    [Top {
        dir: DirId::Root,
        name: String::new(),
    }]
}

async fn run(stage: &Stage) -> CrawlReport {
    let (tell, told) = watch::channel(CrawlProgress::default());
    let report = crawl(&stage.tree, &root(), Age::OfAnswers, 8, &tell).await;
    assert_eq!(*told.borrow(), report.progress);
    report
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_once_and_in_parallel() {
    let (stage, folders) = stage(5, 3);
    let before = Instant::now();
    let report = run(&stage).await;
    assert!(report.is_complete());
    let progress = report.progress;
    assert_eq!((progress.known, progress.done), (folders + 1, folders + 1));
    assert_eq!((progress.documents, progress.skipped), (folders, 0));
    assert_eq!(stage.town.listings() as u64, folders + 1);
    assert_eq!(stage.town.at_once.load(Ordering::SeqCst), 8);
    let one_by_one = Duration::from_millis(50) * u32::try_from(folders).unwrap();
    assert!(before.elapsed() < one_by_one / 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_young_is_not_asked_for_again_and_what_is_old_is() {
    let (stage, folders) = stage(3, 2);
    run(&stage).await;
    let report = run(&stage).await;
    assert_eq!(
        (report.progress.skipped, report.progress.listings),
        (folders + 1, 0)
    );
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(run(&stage).await.progress.listings, folders + 1);
}

#[tokio::test(start_paused = true)]
async fn a_crawl_that_is_cut_off_leaves_what_it_did() {
    let (stage, folders) = stage(4, 3);
    let (tell, _) = watch::channel(CrawlProgress::default());
    let cut = tokio::time::timeout(
        Duration::from_millis(220),
        crawl(&stage.tree, &root(), Age::OfAnswers, 8, &tell),
    )
    .await;
    assert!(cut.is_err());
    // What was under way lands by itself.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let done = stage.town.listings() as u64;
    assert!(done > 5 && done < folders);
    let report = run(&stage).await;
    assert!(report.is_complete());
    assert_eq!(report.progress.skipped, done);
    assert_eq!(stage.town.listings() as u64, folders + 1);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_fails_for_a_moment_is_tried_again_and_one_that_fails_for_good_is_named() {
    let (stage, folders) = stage(3, 2);
    let broken = || RemoteError::Protocol("half a page".into());
    let denied = RemoteError::Denied {
        what: "folder".to_owned(),
        detail: "".into(),
    };
    {
        let mut failures = stage.town.failures.lock();
        failures.insert(id(1), vec![broken(), broken()]);
        failures.insert(id(2), vec![denied]);
        failures.insert(id(4), vec![broken(); 3]);
    }
    let report = run(&stage).await;
    let mut failed: Vec<(&str, bool)> = report
        .failures
        .iter()
        .map(|failure| {
            let refused = matches!(failure.error, TreeError::Remote(RemoteError::Denied { .. }));
            (&*failure.path, refused)
        })
        .collect();
    failed.sort_unstable();
    assert_eq!(failed, [("f00001/f00004", false), ("f00002", true)]);
    assert_eq!(report.progress.failed, 2);
    // Three are below the one that may not be seen.
    assert_eq!(report.progress.done, folders + 1 - 2 - 3);
    assert_eq!(stage.town.listings_of(2), 1, "a refusal is not tried again");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_and_costs_few_requests() {
    let (stage, folders) = stage(5, 3);
    let (tell, told) = watch::channel(CrawlProgress::default());
    let (town, tops) = (stage.town.clone(), root());
    let outage = async {
        tokio::time::sleep(Duration::from_millis(320)).await;
        *town.away.lock() = Some(RemoteError::Unreachable("no route".into()));
        let before = town.listings();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(told.borrow().waiting);
        *town.away.lock() = None;
        town.listings() - before
    };
    let (report, storm) = tokio::join!(crawl(&stage.tree, &tops, Age::OfAnswers, 8, &tell), outage);
    assert!(report.is_complete(), "{:?}", report.failures);
    assert_eq!(report.progress.done, folders + 1);
    assert!(storm <= 8 + 10, "{storm}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_end_ends_the_crawl_and_everything_left_is_a_failure() {
    let (stage, _) = stage(5, 3);
    let (tell, _) = watch::channel(CrawlProgress::default());
    let (town, tops) = (stage.town.clone(), root());
    let outage = async {
        tokio::time::sleep(Duration::from_millis(320)).await;
        *town.away.lock() = Some(RemoteError::Unreachable("no route".into()));
    };
    let (report, ()) = tokio::join!(crawl(&stage.tree, &tops, Age::OfAnswers, 8, &tell), outage);
    let progress = report.progress;
    assert!(!report.is_complete());
    assert_eq!(progress.done + progress.failed, progress.known);
}

#[tokio::test(start_paused = true)]
async fn a_lost_login_ends_the_crawl_at_once() {
    let (stage, _) = stage(5, 3);
    let lost = RemoteError::LoginRequired("over".into());
    stage.town.failures.lock().insert(id(3), vec![lost; 10]);
    let before = Instant::now();
    let report = run(&stage).await;
    assert!(!report.is_complete() && before.elapsed() < Duration::from_secs(5));
    assert_eq!(
        report.progress.done + report.progress.failed,
        report.progress.known
    );
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_left_meanwhile_is_no_failure_and_one_that_is_hidden_is() {
    let (stage, _) = stage(3, 2);
    let hidden = RemoteError::NotFound {
        what: "folder".to_owned(),
        detail: "".into(),
    };
    stage.town.failures.lock().insert(id(5), vec![hidden; 10]);
    let report = run(&stage).await;
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].path, "f00001/f00005");
}
