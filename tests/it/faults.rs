//! What goes wrong on the way: the errno a caller sees, what stands in, what it costs, and that it heals by itself.
//!
//! A failure is never ENOENT, never an empty or short listing, never a short read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pwfs::catalog::journal::{Change, Cursor, Since};
use pwfs::cli::demo::visitor::sign_in_to_demo;
use pwfs::demo::knobs::{FileSizeAs, Knobs, Ranges, SkipTokenMode};
use pwfs::demo::{Access, DemoOptions, Effect, Fault, RequestKind};
use pwfs::fs::error::FsError;
use pwfs::fs::{Attr, Lookup};
use pwfs::http::HttpClient;
use pwfs::model::{DirId, FolderId, Guid};
use pwfs::remote::{RemoteError, Urgency};
use pwfs::store::listing::DirCookie;
use pwfs::tree::inodes::{Directory, MountEntry, ROOT};
use pwfs::tree::{OnOutage, TreeConfig, TreeError};
use tokio::runtime::Handle;

use crate::harness::{Bench, bytes_of, doc_name, small, until};

/// Documents in the folder that suffers.
const DOCUMENTS: usize = 6;

/// Longer than any failure or refusal is remembered.
const FORGOTTEN: Duration = Duration::from_secs(400);

fn status(code: u16) -> Effect {
    Effect::Status {
        code,
        error_id: None,
        retry_after: None,
    }
}

fn refusal(code: u16, error_id: &str) -> Effect {
    Effect::Status {
        code,
        error_id: Some(error_id.to_owned()),
        retry_after: None,
    }
}

fn throttled(seconds: u64) -> Effect {
    Effect::Status {
        code: 429,
        error_id: None,
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

/// What a fault that stays must look like.
#[derive(Clone, Copy)]
struct Expected {
    errno: i32,
    /// Whether the last proved listing may stand in.
    outage: bool,
    /// Requests of the kind that suffers, for any number of calls in a moment.
    requests: u64,
    /// Token refreshes.
    tokens: u64,
}

/// The server cannot be asked.
const fn away(errno: i32, requests: u64) -> Expected {
    Expected {
        errno,
        outage: true,
        requests,
        tokens: 0,
    }
}

/// Another token is tried, once.
const fn login(errno: i32) -> Expected {
    Expected {
        errno,
        outage: true,
        requests: 2,
        tokens: 1,
    }
}

/// The server says no.
const fn denied(requests: u64, tokens: u64) -> Expected {
    Expected {
        errno: libc::EACCES,
        outage: false,
        requests,
        tokens,
    }
}

/// A folder that will suffer, known by its parent's listing and not listed itself.
struct Scene {
    bench: Bench,
    folder: Attr,
    guid: Guid,
    documents: Vec<Guid>,
}

impl Scene {
    async fn new(on_outage: OnOutage) -> Self {
        let config = TreeConfig {
            on_outage,
            ..TreeConfig::default()
        };
        // Every answer has a body to be spoilt; `proof.rs` has the answers without.
        let knobs = Knobs {
            no_304: true,
            ..Knobs::default()
        };
        let bench = Bench::with(DemoOptions { knobs, ..small() }, config).await;
        let (folder, guid, documents) = bench.stock("Scene", DOCUMENTS).await;
        bench.server.reset_counters();
        Self {
            bench,
            folder,
            guid,
            documents,
        }
    }

    fn suffer(&self, kind: RequestKind, effect: Effect) {
        self.bench.server.inject(Fault::on(kind, effect).about(self.guid));
    }

    fn suffer_reading(&self, effect: Effect) {
        self.bench
            .server
            .inject(Fault::on(RequestKind::File, effect).about(self.documents[0]));
    }

    /// Whatever went wrong is over, and long ago.
    async fn heal(&self) {
        self.bench.server.clear_faults();
        self.bench.pass(FORGOTTEN).await;
        self.bench.server.reset_counters();
    }

    /// Waits for the work that callers left behind.
    async fn recover(&self) {
        let soon = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.list().await {
            assert!(Instant::now() < soon, "it never recovered: {error}");
            tokio::task::yield_now().await;
        }
    }

    async fn list(&self) -> Result<BTreeMap<String, Attr>, FsError> {
        self.bench.list(self.folder.ino).await
    }

    async fn lookup(&self, name: &str) -> Result<Lookup, FsError> {
        self.bench.fs.lookup(self.folder.ino, name.as_ref()).await
    }

    /// The folder shows exactly what the world has.
    async fn assert_whole(&self) -> BTreeMap<String, Attr> {
        let listed = self.list().await.unwrap();
        let shown: Vec<Guid> = listed.values().map(|attr| self.bench.guid(attr)).collect();
        let world = self.bench.world();
        let mut there: Vec<Guid> = world
            .documents()
            .into_iter()
            .filter(|document| document.folder_guid == self.guid && document.active)
            .map(|document| document.guid)
            .collect();
        there.sort_by_key(|guid| shown.iter().position(|other| other == guid));
        assert_eq!(shown, there);
        assert!(!listed.is_empty());
        listed
    }

    /// Every way to look into the folder fails alike: listing it, a name in it, and a name that is not.
    async fn assert_fails(&self, errno: i32) {
        for _ in 0..3 {
            assert_errno(self.list().await, errno);
            assert_errno(self.lookup(&doc_name(0)).await, errno);
            assert_errno(self.lookup("never-there.txt").await, errno);
        }
    }

    async fn first_document(&self) -> Attr {
        self.list().await.unwrap()[&doc_name(0)]
    }

    async fn assert_reads(&self, attr: &Attr) {
        let bytes = self.bench.read(attr).await.unwrap();
        assert_eq!(bytes.len() as u64, attr.size);
        assert_eq!(bytes, self.bench.world().content(self.bench.guid(attr)).unwrap());
    }
}

#[track_caller]
fn assert_errno<T: std::fmt::Debug>(result: Result<T, FsError>, errno: i32) {
    match result {
        Err(error) => assert_eq!(error.errno(), errno, "{error}"),
        Ok(answer) => panic!("answered {answer:?} and not errno {errno}"),
    }
}

/// A fault of the document listing that stays until it is cleared.
async fn check_listing(effect: Effect, expected: Expected) {
    for on_outage in [OnOutage::Stale, OnOutage::Fail] {
        let scene = Scene::new(on_outage).await;
        let asked = || scene.bench.asked(RequestKind::ListDocuments);

        // Before it was ever listed nothing can stand in.
        scene.suffer(RequestKind::ListDocuments, effect.clone());
        scene.assert_fails(expected.errno).await;
        assert_eq!(asked(), expected.requests, "requests of a first listing");
        assert_eq!(scene.bench.asked(RequestKind::Token), expected.tokens);
        scene.heal().await;
        scene.assert_whole().await;

        scene.bench.expire();
        scene.suffer(RequestKind::ListDocuments, effect.clone());
        if expected.outage && on_outage == OnOutage::Stale {
            for _ in 0..20 {
                scene.assert_whole().await;
                assert!(
                    matches!(scene.lookup(&doc_name(1)).await, Ok(Lookup::Found(_, ttl))
                    if ttl <= Duration::from_secs(1))
                );
            }
        } else {
            scene.assert_fails(expected.errno).await;
        }
        assert!(
            asked() <= 1 + expected.requests,
            "{} requests of a refresh",
            asked()
        );
        assert!(scene.bench.asked(RequestKind::Token) <= expected.tokens);

        // The same file system serves the world again, and what changed meanwhile.
        scene
            .bench
            .world()
            .add_document(scene.guid, "new.txt", "new")
            .unwrap();
        scene.heal().await;
        assert!(scene.assert_whole().await.contains_key("new.txt"));
    }
}

/// A fault of one file that stays until it is cleared.
async fn check_reading(effect: Effect, expected: Expected) {
    let scene = Scene::new(OnOutage::Stale).await;
    let attr = scene.first_document().await;
    scene.bench.server.reset_counters();
    scene.suffer_reading(effect);
    for _ in 0..10 {
        assert_errno(scene.bench.read(&attr).await, expected.errno);
        assert_errno(scene.bench.fs.read(attr.ino, 4990, 4096).await, expected.errno);
    }
    assert_eq!(
        scene.bench.asked(RequestKind::File),
        expected.requests,
        "requests of a read"
    );
    assert_eq!(scene.bench.asked(RequestKind::Token), expected.tokens);
    // It is still there, and as long as ever.
    assert_eq!(scene.first_document().await, attr);
    assert_eq!(
        scene
            .bench
            .xattr(attr.ino, "user.projectwise.readable")
            .as_deref(),
        Some(if expected.outage { "1" } else { "0" })
    );
    scene.heal().await;
    scene.assert_reads(&attr).await;
}

/// A fault that happens `times` times, whose only trace is the number of requests.
async fn check_passing(effect: Effect, times: u32, tokens: u64) {
    let scene = Scene::new(OnOutage::Fail).await;
    let fault = Fault::on(RequestKind::ListDocuments, effect.clone()).about(scene.guid);
    scene.bench.server.inject(fault.times(times));
    let listed = scene.assert_whole().await;
    assert_eq!(
        scene.bench.asked(RequestKind::ListDocuments),
        u64::from(times) + 1
    );
    assert_eq!(scene.bench.asked(RequestKind::Token), tokens);

    scene.heal().await;
    let attr = listed[&doc_name(0)];
    let fault = Fault::on(RequestKind::File, effect).about(scene.documents[0]);
    scene.bench.server.inject(fault.times(times));
    scene.assert_reads(&attr).await;
    assert_eq!(scene.bench.asked(RequestKind::File), u64::from(times) + 1);
    assert_eq!(scene.bench.asked(RequestKind::Token), tokens);
}

#[tokio::test]
async fn a_token_refused_once_costs_one_refresh_and_one_repeat() {
    check_passing(refusal(401, "LoginFailed"), 1, 1).await;
    check_passing(status(401), 1, 1).await;
}

#[tokio::test]
async fn a_login_page_met_once_costs_one_refresh_and_one_repeat() {
    check_passing(Effect::HtmlLogin, 1, 1).await;
    check_passing(Effect::RedirectToLogin, 1, 1).await;
}

#[tokio::test]
async fn a_datasource_lost_once_costs_one_refresh_and_one_repeat() {
    check_passing(refusal(404, "DatasourceNotFound"), 1, 1).await;
}

#[tokio::test]
async fn a_burst_of_server_errors_is_bridged_by_repeats() {
    check_passing(status(500), 2, 0).await;
    check_passing(status(503), 3, 0).await;
}

#[tokio::test]
async fn dropped_and_truncated_answers_are_asked_for_again() {
    check_passing(Effect::DropConnection, 2, 0).await;
    check_passing(Effect::Truncate { after: 100 }, 1, 0).await;
}

#[tokio::test]
async fn tokens_refused_for_ever_are_a_lost_login_and_no_storm() {
    check_listing(refusal(401, "LoginFailed"), login(libc::EKEYEXPIRED)).await;
    check_reading(refusal(401, "LoginFailed"), login(libc::EKEYEXPIRED)).await;
}

#[tokio::test]
async fn a_bare_401_for_ever_is_a_lost_login() {
    check_listing(status(401), login(libc::EKEYEXPIRED)).await;
    check_reading(status(401), login(libc::EKEYEXPIRED)).await;
}

#[tokio::test]
async fn a_login_page_with_200_is_a_lost_login_and_never_a_listing_or_a_file() {
    check_listing(Effect::HtmlLogin, login(libc::EKEYEXPIRED)).await;
    check_reading(Effect::HtmlLogin, login(libc::EKEYEXPIRED)).await;
}

#[tokio::test]
async fn a_redirect_to_a_login_page_is_a_lost_login() {
    check_listing(Effect::RedirectToLogin, login(libc::EKEYEXPIRED)).await;
    check_reading(Effect::RedirectToLogin, login(libc::EKEYEXPIRED)).await;
}

#[tokio::test]
async fn a_datasource_lost_for_ever_is_a_failing_server() {
    check_listing(refusal(404, "DatasourceNotFound"), login(libc::EIO)).await;
    check_reading(refusal(404, "DatasourceNotFound"), login(libc::EIO)).await;
}

#[tokio::test]
async fn a_refused_folder_or_document_answers_eacces_and_is_remembered() {
    check_listing(refusal(403, "NotEnoughRights"), denied(2, 1)).await;
    check_reading(refusal(403, "NotEnoughRights"), denied(2, 1)).await;
    check_listing(status(403), denied(2, 1)).await;
    check_reading(status(403), denied(2, 1)).await;
}

#[tokio::test]
async fn what_is_listed_and_not_found_answers_eacces() {
    check_listing(refusal(404, "InstanceNotFound"), denied(1, 0)).await;
    check_reading(refusal(404, "InstanceNotFound"), denied(1, 0)).await;
    check_reading(refusal(404, "FileNotFound"), denied(1, 0)).await;
}

#[tokio::test]
async fn a_bare_404_proves_nothing() {
    check_listing(status(404), away(libc::EIO, 1)).await;
    check_reading(status(404), away(libc::EIO, 1)).await;
}

#[tokio::test]
async fn a_long_retry_after_is_not_waited_for_and_not_ignored() {
    check_listing(throttled(60), away(libc::ETIMEDOUT, 1)).await;
    check_reading(throttled(60), away(libc::ETIMEDOUT, 1)).await;
}

#[tokio::test]
async fn throttling_without_end_is_a_timeout() {
    check_listing(status(429), away(libc::ETIMEDOUT, 4)).await;
    check_reading(status(429), away(libc::ETIMEDOUT, 4)).await;
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let scene = Scene::new(OnOutage::Fail).await;
    let fault = Fault::on(RequestKind::ListDocuments, throttled(1)).about(scene.guid);
    scene.bench.server.inject(fault.times(1));
    let begun = Instant::now();
    scene.assert_whole().await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(scene.bench.asked(RequestKind::ListDocuments), 2);
}

#[tokio::test]
async fn server_errors_without_end_are_eio_after_four_tries() {
    check_listing(status(500), away(libc::EIO, 4)).await;
    check_reading(status(500), away(libc::EIO, 4)).await;
    check_listing(status(503), away(libc::EIO, 4)).await;
}

#[tokio::test]
async fn a_gateway_that_times_out_is_a_timeout() {
    check_listing(status(504), away(libc::ETIMEDOUT, 4)).await;
    check_reading(status(504), away(libc::ETIMEDOUT, 4)).await;
}

#[tokio::test]
async fn dropped_connections_without_end_are_an_unreachable_host() {
    check_listing(Effect::DropConnection, away(libc::EHOSTUNREACH, 4)).await;
    check_reading(Effect::DropConnection, away(libc::EHOSTUNREACH, 4)).await;
}

#[tokio::test]
async fn truncated_answers_without_end_are_an_unreachable_host() {
    check_listing(Effect::Truncate { after: 100 }, away(libc::EHOSTUNREACH, 4)).await;
    // A download that makes no headway is resumed once.
    check_reading(Effect::Truncate { after: 100 }, away(libc::EHOSTUNREACH, 2)).await;
}

#[tokio::test]
async fn malformed_json_is_eio() {
    check_listing(Effect::MalformedJson, away(libc::EIO, 1)).await;
}

#[tokio::test]
async fn a_skip_token_that_leads_in_a_circle_is_eio() {
    check_listing(Effect::LoopingSkipToken, away(libc::EIO, 2)).await;
}

#[tokio::test]
async fn an_empty_answer_is_not_believed_when_the_second_one_differs() {
    let scene = Scene::new(OnOutage::Fail).await;
    let fault = Fault::on(RequestKind::ListDocuments, Effect::EmptyList).about(scene.guid);
    scene.bench.server.inject(fault.times(1));
    scene.assert_whole().await;
}

#[tokio::test]
async fn an_empty_answer_never_empties_a_folder_that_had_documents() {
    for (on_outage, everything) in [
        (OnOutage::Stale, false),
        (OnOutage::Fail, false),
        (OnOutage::Stale, true),
        (OnOutage::Fail, true),
    ] {
        let scene = Scene::new(on_outage).await;
        scene.assert_whole().await;
        scene.bench.expire();
        if everything {
            scene.bench.server.inject(Fault::everywhere(Effect::EmptyList));
        } else {
            scene.suffer(RequestKind::ListDocuments, Effect::EmptyList);
        }
        match on_outage {
            OnOutage::Stale => {
                scene.assert_whole().await;
            }
            OnOutage::Fail => scene.assert_fails(libc::EIO).await,
        }
        scene.heal().await;
        scene.assert_whole().await;
    }
}

#[tokio::test]
async fn one_document_left_out_of_a_listing_is_noticed() {
    let scene = Scene::new(OnOutage::Fail).await;
    scene.assert_whole().await;
    // The subfolder's listing is true and the documents' is empty: neither alone looks like an empty folder.
    scene.bench.world().add_folder(Some(scene.guid), "Below").unwrap();
    scene.bench.expire();
    scene.suffer(RequestKind::ListDocuments, Effect::EmptyList);
    scene.assert_fails(libc::EIO).await;
}

/// Silence after the request was taken.
async fn check_silent_listing(on_outage: OnOutage) {
    let scene = Scene::new(on_outage).await;
    let bench = &scene.bench;
    let silence = || {
        bench
            .server
            .inject(Fault::everywhere(Effect::HangAfterAccept).about(scene.guid))
    };
    let both_asked = || async {
        bench.server.wait_for(RequestKind::ListDocuments, 1).await;
        bench.server.wait_for(RequestKind::ListProjects, 1).await;
    };
    silence();
    let (first, ()) = tokio::join!(scene.list(), async {
        both_asked().await;
        bench.pass(Duration::from_millis(10_001)).await;
    });
    assert_errno(first, libc::ETIMEDOUT);
    // The caller has left, the work has not: the next one joins it.
    bench.server.clear_faults();
    scene.assert_whole().await;
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
    assert_eq!(bench.asked(RequestKind::ListProjects), 1);

    bench.expire();
    bench.server.reset_counters();
    silence();
    let (refresh, ()) = tokio::join!(scene.list(), async {
        both_asked().await;
        bench.pass(Duration::from_millis(10_001)).await;
    });
    match on_outage {
        OnOutage::Stale => assert_eq!(refresh.unwrap().len(), DOCUMENTS),
        OnOutage::Fail => assert_errno(refresh, libc::ETIMEDOUT),
    }
    // Who comes later does not wait another ten seconds for the same silence.
    let begun = Instant::now();
    match on_outage {
        OnOutage::Stale => {
            scene.assert_whole().await;
        }
        OnOutage::Fail => scene.assert_fails(libc::ETIMEDOUT).await,
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
    scene.heal().await;
    scene.recover().await;
    scene.assert_whole().await;
}

#[tokio::test]
async fn a_silent_server_is_bridged_with_the_last_proved_listing() {
    check_silent_listing(OnOutage::Stale).await;
}

#[tokio::test]
async fn a_silent_server_is_a_timeout_where_outages_shall_fail() {
    check_silent_listing(OnOutage::Fail).await;
}

/// A read that hangs after `arriving` bytes of the body for as long as a caller waits.
async fn check_silent_read(effect: Effect, arriving: u64) {
    let scene = Scene::new(OnOutage::Stale).await;
    let bench = &scene.bench;
    let attr = scene.first_document().await;
    scene.suffer_reading(effect);
    let (read, ()) = tokio::join!(bench.read(&attr), async {
        bench.server.wait_for(RequestKind::File, 1).await;
        until(|| bench.fs.reader().stats().bytes_fetched == arriving).await;
        bench.pass(Duration::from_millis(10_001)).await;
    });
    assert_errno(read, libc::ETIMEDOUT);
    // The kernel repeats a failed read; the repeats are answered at once.
    let begun = Instant::now();
    for _ in 0..3 {
        assert_errno(bench.fs.read(attr.ino, 4990, 4096).await, libc::ETIMEDOUT);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    bench.server.clear_faults();
    bench.pass(Duration::from_secs(3)).await;
    scene.assert_reads(&attr).await;
    assert_eq!(bench.asked(RequestKind::File), 1, "the download went on");
}

#[tokio::test]
async fn a_read_of_a_silent_server_times_out_and_its_download_goes_on() {
    check_silent_read(Effect::HangAfterAccept, 0).await;
}

#[tokio::test]
async fn a_body_that_stalls_times_out_and_is_never_short() {
    check_silent_read(Effect::StallBody { after: 1000 }, 1000).await;
}

#[tokio::test]
async fn what_arrived_before_a_stall_is_served_meanwhile() {
    let scene = Scene::new(OnOutage::Stale).await;
    let attr = scene.first_document().await;
    scene.suffer_reading(Effect::StallBody { after: 1000 });
    let head = scene.bench.fs.read(attr.ino, 0, 900).await.unwrap();
    assert_eq!(head, bytes_of(0, 0)[..900]);
    scene.bench.server.clear_faults();
    scene.assert_reads(&attr).await;
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke_or_begins_again() {
    for ranges in [true, false] {
        let options = DemoOptions {
            knobs: Knobs {
                ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, _, documents) = bench.stock("Scene", 1).await;
        let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
        bench.server.reset_counters();
        let fault = Fault::on(RequestKind::File, Effect::Truncate { after: 2000 }).about(documents[0]);
        bench.server.inject(fault.times(1));
        assert_eq!(bench.read(&attr).await.unwrap(), bytes_of(0, 0));
        assert_eq!(bench.asked(RequestKind::File), 2);
    }
}

#[tokio::test]
async fn an_account_locked_by_bad_logins_is_never_asked_for_again() {
    let scene = Scene::new(OnOutage::Fail).await;
    let attr = scene.first_document().await;
    scene.assert_reads(&attr).await;
    scene.bench.expire();
    let fault = Fault::on(
        RequestKind::ListDocuments,
        refusal(401, "TooManyBadLoginAttempts"),
    )
    .about(scene.guid);
    scene.bench.server.inject(fault.times(1));
    assert_errno(scene.list().await, libc::EKEYEXPIRED);
    assert_eq!(scene.bench.asked(RequestKind::Token), 0);

    scene.heal().await;
    for _ in 0..50 {
        assert_errno(scene.list().await, libc::EKEYEXPIRED);
        assert_errno(scene.lookup("never-there.txt").await, libc::EKEYEXPIRED);
        assert_errno(scene.bench.lookup(ROOT, "Scene").await, libc::EKEYEXPIRED);
        scene.bench.pass(FORGOTTEN).await;
    }
    // What is here is still read.
    scene.assert_reads(&attr).await;
    assert_eq!(scene.bench.server.requests().total, 0);
}

#[tokio::test]
async fn fifty_calls_of_a_lost_login_are_no_storm() {
    let scene = Scene::new(OnOutage::Fail).await;
    let listed = scene.assert_whole().await;
    scene.bench.expire();
    scene.bench.server.reset_counters();
    scene.bench.server.revoke_all_tokens();
    let looks = join_all((0..50).map(|_| scene.lookup("doc-03.txt"))).await;
    for look in looks {
        assert_errno(look, libc::EKEYEXPIRED);
    }
    for attr in listed.values() {
        assert_errno(scene.bench.read(attr).await, libc::EKEYEXPIRED);
    }
    let requests = scene.bench.server.requests();
    assert_eq!(requests.of(RequestKind::Token), 1);
    assert!(requests.total <= 8, "{requests:?}");

    // A login heals the mount as it stands.
    let http = HttpClient::new().unwrap();
    sign_in_to_demo(
        &scene.bench.server,
        &http,
        scene.bench.dir.path(),
        &Handle::current(),
    )
    .await
    .unwrap();
    scene.bench.pass(Duration::from_secs(10)).await;
    for attr in scene.assert_whole().await.values() {
        scene.assert_reads(attr).await;
    }
}

#[tokio::test]
async fn an_identity_provider_that_is_away_is_not_a_lost_login() {
    for effect in [status(500), Effect::DropConnection, Effect::HtmlLogin] {
        let scene = Scene::new(OnOutage::Fail).await;
        scene.assert_whole().await;
        scene.bench.expire();
        scene.bench.server.expire_access_tokens();
        scene
            .bench
            .server
            .inject(Fault::on(RequestKind::Token, effect.clone()));
        for _ in 0..20 {
            let error = scene.list().await.unwrap_err();
            assert!(
                [libc::EHOSTUNREACH, libc::EIO, libc::ETIMEDOUT].contains(&error.errno()),
                "{effect:?}: {error}"
            );
        }
        assert!(scene.bench.asked(RequestKind::Token) <= 4);
        scene.heal().await;
        scene.assert_whole().await;
    }
}

#[tokio::test]
async fn a_refused_folder_is_asked_again_after_permission_ttl() {
    let bench = Bench::new().await;
    let (folder, guid, _) = bench.stock("Scene", 3).await;
    bench.world().revoke(guid).unwrap();
    assert_errno(bench.list(folder.ino).await, libc::EACCES);
    bench.server.reset_counters();
    for _ in 0..20 {
        assert_errno(bench.list(folder.ino).await, libc::EACCES);
        assert_errno(bench.lookup(folder.ino, "doc-00.txt").await, libc::EACCES);
        assert_errno(bench.lookup(folder.ino, "never-there.txt").await, libc::EACCES);
    }
    assert_eq!(bench.server.requests().total, 0);
    let reason = bench.xattr(folder.ino, "user.projectwise.denied_reason").unwrap();
    assert!(reason.contains("NotEnoughRights"), "{reason}");

    bench.world().grant(guid).unwrap();
    assert_errno(bench.list(folder.ino).await, libc::EACCES);
    bench.clock.advance(TreeConfig::default().permission_ttl);
    assert_eq!(bench.list(folder.ino).await.unwrap().len(), 3);
    assert_eq!(
        bench.xattr(folder.ino, "user.projectwise.readable").as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_refused_document_is_asked_again_after_permission_ttl() {
    let bench = Bench::new().await;
    let (folder, _, documents) = bench.stock("Scene", 3).await;
    let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
    bench.world().revoke(documents[0]).unwrap();
    assert_errno(bench.read(&attr).await, libc::EACCES);
    bench.server.reset_counters();
    bench.world().grant(documents[0]).unwrap();
    for _ in 0..20 {
        assert_errno(bench.read(&attr).await, libc::EACCES);
    }
    assert_eq!(bench.server.requests().total, 0);
    bench.pass(FORGOTTEN).await;
    assert_eq!(bench.read(&attr).await.unwrap(), bytes_of(0, 0));
}

#[tokio::test]
async fn a_refused_document_is_told_in_the_journal_and_so_is_its_end() {
    let mut bench = Bench::new().await;
    let (folder, _, documents) = bench.stock("Scene", 3).await;
    bench.list(folder.ino).await.unwrap();
    let rights = |bench: &Bench| {
        let journal = bench.fs.tree().catalog().unwrap().journal();
        let start = Cursor {
            sequence: 0,
            ..journal.head().unwrap()
        };
        let Since::Events(events) = journal.since(start, 10_000).unwrap() else {
            panic!("nothing was pruned");
        };
        let told = events.into_iter().filter_map(|event| match event.change {
            Change::Rights { readable } => Some((event.id.guid(), readable)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    for (round, document) in documents.iter().enumerate() {
        bench.world().revoke(*document).unwrap();
        let attr = bench.list(folder.ino).await.unwrap()[&doc_name(round)];
        for _ in 0..2 {
            assert_errno(bench.read(&attr).await, libc::EACCES);
        }
        assert_eq!(rights(&bench)[2 * round..], [(*document, false)]);
        bench.world().grant(*document).unwrap();
        if round == 0 {
            bench.pass(FORGOTTEN).await;
        } else {
            // What was refused is known to the next run, too.
            bench.remount().await;
        }
        let folder = bench.find(&["Scene"]).await.unwrap();
        let attr = bench.list(folder.ino).await.unwrap()[&doc_name(round)];
        for _ in 0..2 {
            assert_eq!(bench.read(&attr).await.unwrap(), bytes_of(round, 0));
        }
        assert_eq!(rights(&bench)[2 * round + 1..], [(*document, true)]);
    }
}

/// A folder with a document whose length is not listed, and its path.
async fn unmeasured() -> (Bench, Attr, [&'static str; 3]) {
    let options = DemoOptions {
        knobs: Knobs {
            filesize_as: FileSizeAs::AbsentForOne,
            ..Knobs::default()
        },
        ..small()
    };
    let bench = Bench::with(options, TreeConfig::default()).await;
    let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-RPT-0002.pdf"];
    let folder = bench.find(&path[..2]).await.unwrap();
    bench.list(folder.ino).await.unwrap();
    bench.server.reset_counters();
    (bench, folder, path)
}

#[tokio::test]
async fn a_refused_document_of_unknown_length_is_listed_and_never_an_empty_file() {
    let (bench, folder, path) = unmeasured().await;
    let document = bench.world().document_at(&path).unwrap();
    bench.world().revoke(document).unwrap();
    for _ in 0..20 {
        assert!(bench.list(folder.ino).await.unwrap().contains_key(path[2]));
        assert_errno(bench.lookup(folder.ino, path[2]).await, libc::EACCES);
    }
    assert_eq!(
        bench.asked(RequestKind::File),
        2,
        "with the old token and with a new one"
    );
    bench.world().grant(document).unwrap();
    bench.pass(FORGOTTEN).await;
    assert_eq!(
        bench.lookup(folder.ino, path[2]).await.unwrap().unwrap().size,
        310_000
    );
}

#[tokio::test]
async fn a_deleted_document_of_unknown_length_is_gone_and_not_refused() {
    let (bench, folder, path) = unmeasured().await;
    let document = bench.world().document_at(&path).unwrap();
    bench.world().delete_document(document).unwrap();
    // The kernel looks a stale name up once more.
    assert_errno(bench.lookup(folder.ino, path[2]).await, libc::ESTALE);
    assert!(bench.lookup(folder.ino, path[2]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_document_of_unknown_length_that_is_listed_and_not_found_answers_eacces() {
    let (bench, folder, path) = unmeasured().await;
    bench
        .server
        .inject(Fault::on(RequestKind::File, refusal(404, "InstanceNotFound")));
    for _ in 0..20 {
        assert_errno(bench.lookup(folder.ino, path[2]).await, libc::EACCES);
    }
    assert_eq!(bench.asked(RequestKind::File), 1);
    assert_eq!(
        bench.asked(RequestKind::ListDocuments),
        1,
        "it was asked once whether it is listed"
    );
}

#[tokio::test]
async fn what_was_deleted_is_asked_about_once_and_not_with_every_call() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Scene", 3).await;
    let attr = bench.list_twice(folder.ino).await[&doc_name(0)];
    bench.world().delete_document(documents[0]).unwrap();
    bench.server.reset_counters();
    for _ in 0..20 {
        assert_errno(bench.read(&attr).await, libc::ESTALE);
    }
    assert_eq!(bench.asked(RequestKind::File), 1);
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);

    bench.expire();
    bench.list(ROOT).await.unwrap();
    bench.world().delete_folder(guid).unwrap();
    bench.server.reset_counters();
    for _ in 0..20 {
        assert_errno(bench.list(folder.ino).await, libc::ESTALE);
        assert_errno(bench.lookup(folder.ino, "doc-01.txt").await, libc::ESTALE);
    }
    assert_eq!(
        bench.asked(RequestKind::NavNode),
        2,
        "one listing of the roots, and its end"
    );
    // Among them one for what became of it: deleted, or hidden.
    assert_eq!(bench.asked(RequestKind::Object), 2);
    let total = bench.server.requests().total;
    assert!(total <= 9, "{:?}", bench.server.requests());
}

#[tokio::test]
async fn what_is_listed_and_not_found_is_asked_about_once_and_not_with_every_call() {
    let scene = Scene::new(OnOutage::Stale).await;
    let attr = scene.first_document().await;
    scene.bench.server.reset_counters();
    scene.suffer_reading(refusal(404, "FileNotFound"));
    for _ in 0..20 {
        assert_errno(scene.bench.read(&attr).await, libc::EACCES);
    }
    assert_eq!(scene.bench.asked(RequestKind::File), 1);
    assert_eq!(scene.bench.asked(RequestKind::ListDocuments), 1);
}

#[tokio::test]
async fn the_root_fails_like_any_folder_and_is_never_empty() {
    for (effect, errno) in [
        (status(500), libc::EIO),
        (refusal(401, "LoginFailed"), libc::EKEYEXPIRED),
        (throttled(60), libc::ETIMEDOUT),
        (Effect::MalformedJson, libc::EIO),
        (Effect::HtmlLogin, libc::EKEYEXPIRED),
        (Effect::DropConnection, libc::EHOSTUNREACH),
    ] {
        let bench = Bench::new().await;
        bench
            .server
            .inject(Fault::on(RequestKind::NavNode, effect.clone()));
        for _ in 0..5 {
            assert_errno(bench.list(ROOT).await, errno);
            assert_errno(bench.lookup(ROOT, "Leven Estuary Crossing").await, errno);
            assert_errno(bench.lookup(ROOT, "never-there").await, errno);
        }
        bench.server.clear_faults();
        bench.pass(FORGOTTEN).await;
        let roots = bench.list(ROOT).await.unwrap();
        assert!(roots.contains_key("Leven Estuary Crossing"));

        bench.expire();
        bench.server.inject(Fault::on(RequestKind::NavNode, effect));
        assert_eq!(bench.list(ROOT).await.unwrap(), roots);
    }
}

#[tokio::test]
async fn a_departure_that_cannot_be_asked_about_is_no_departure() {
    for on_outage in [OnOutage::Stale, OnOutage::Fail] {
        let scene = Scene::new(on_outage).await;
        let before = scene.assert_whole().await;
        scene.bench.world().delete_document(scene.documents[2]).unwrap();
        scene.bench.expire();
        scene
            .bench
            .server
            .inject(Fault::status(RequestKind::FindIds, 500));
        match on_outage {
            OnOutage::Stale => assert_eq!(scene.list().await.unwrap(), before),
            OnOutage::Fail => scene.assert_fails(libc::EIO).await,
        }
        scene.heal().await;
        assert_eq!(scene.assert_whole().await.len(), DOCUMENTS - 1);
    }
}

#[tokio::test]
async fn a_token_that_ends_between_two_pages_costs_one_refresh() {
    for skip_token in [true, false] {
        let options = DemoOptions {
            knobs: Knobs {
                skip_token: if skip_token {
                    SkipTokenMode::OptIn
                } else {
                    SkipTokenMode::Ignored
                },
                page_size: 5,
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, guid, _) = bench.stock("Paged", 23).await;
        bench.server.reset_counters();
        let fault = Fault::on(RequestKind::ListDocuments, refusal(401, "LoginFailed"));
        bench.server.inject(fault.about(guid).after(2).times(1));
        assert_eq!(bench.list(folder.ino).await.unwrap().len(), 23);
        assert_eq!(bench.asked(RequestKind::Token), 1);
    }
}

#[tokio::test]
async fn a_page_that_fails_in_the_middle_never_leaves_a_short_listing() {
    for skip_token in [true, false] {
        let options = DemoOptions {
            knobs: Knobs {
                skip_token: if skip_token {
                    SkipTokenMode::OptIn
                } else {
                    SkipTokenMode::Ignored
                },
                page_size: 5,
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, guid, _) = bench.stock("Paged", 23).await;
        for effect in [
            status(500),
            status(404),
            Effect::MalformedJson,
            Effect::DropConnection,
        ] {
            let fault = Fault::on(RequestKind::ListDocuments, effect).about(guid).after(2);
            bench.server.inject(fault);
            assert!(bench.list(folder.ino).await.is_err());
            assert!(bench.lookup(folder.ino, "doc-22.txt").await.is_err());
            bench.server.clear_faults();
            bench.pass(FORGOTTEN).await;
        }
        // An empty page in the middle is no end where more is known to come.
        let fault = Fault::on(RequestKind::ListDocuments, Effect::EmptyList)
            .about(guid)
            .after(2);
        bench.server.inject(fault.times(1));
        match bench.list(folder.ino).await {
            Ok(listed) => assert_eq!(listed.len(), 23, "SkipToken {skip_token}"),
            Err(error) => assert_eq!(error.errno(), libc::EIO, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_folder_that_shrinks_by_half_is_asked_twice_and_believed() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Scene", 44).await;
    bench.list_twice(folder.ino).await;
    for document in &documents[..30] {
        bench.world().delete_document(*document).unwrap();
    }
    bench.expire();
    bench.server.reset_counters();
    assert_eq!(bench.list(folder.ino).await.unwrap().len(), 14);
    assert_eq!(bench.asked(RequestKind::ListDocuments), 2);
    assert_eq!(
        bench.asked(RequestKind::Object),
        1 + 30,
        "the folder, and each that left"
    );

    // An answer without most of it, once, changes nothing.
    bench.expire();
    let fault = Fault::on(RequestKind::ListDocuments, Effect::EmptyList).about(guid);
    bench.server.inject(fault.times(1));
    assert_eq!(bench.list(folder.ino).await.unwrap().len(), 14);
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_unreachable_host() {
    let bench = Bench::new().await;
    let (folder, _, _) = bench.stock("Scene", 3).await;
    let (known, _, _) = bench.stock("Known", 3).await;
    let listed = bench.list(known.ino).await.unwrap();
    let attr = listed[&doc_name(0)];
    let Bench {
        server,
        fs,
        clock,
        dir,
        ..
    } = bench;
    server.stop().await;
    for _ in 0..3 {
        let error = fs.lookup(folder.ino, doc_name(0).as_ref()).await.unwrap_err();
        assert_eq!(error.errno(), libc::EHOSTUNREACH, "{error}");
        let error = fs.read(attr.ino, 0, 4096).await.unwrap_err();
        assert_eq!(error.errno(), libc::EHOSTUNREACH, "{error}");
    }
    clock.advance(Duration::from_secs(3600));
    let held = fs.lookup(known.ino, doc_name(0).as_ref()).await;
    assert!(matches!(held, Ok(Lookup::Found(found, _)) if found == attr));
    drop(dir);
}

#[tokio::test]
async fn a_silent_identity_provider_is_a_timeout_and_one_question() {
    let scene = Scene::new(OnOutage::Fail).await;
    let bench = &scene.bench;
    scene.assert_whole().await;
    bench.expire();
    bench.server.expire_access_tokens();
    bench.server.reset_counters();
    bench
        .server
        .inject(Fault::on(RequestKind::Token, Effect::HangAfterAccept));
    let (listed, ()) = tokio::join!(join_all((0..20).map(|_| scene.list())), async {
        bench.server.wait_for(RequestKind::Token, 1).await;
        bench.pass(Duration::from_millis(10_001)).await;
    });
    for listed in listed {
        assert_errno(listed, libc::ETIMEDOUT);
    }
    assert_eq!(bench.asked(RequestKind::Token), 1);
    bench.server.clear_faults();
    scene.recover().await;
    scene.assert_whole().await;
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nothing_with_it() {
    let scene = Scene::new(OnOutage::Fail).await;
    let bench = &scene.bench;
    let attr = scene.first_document().await;
    let hold = |kind, subject| {
        bench
            .server
            .inject(Fault::on(kind, Effect::HangAfterAccept).about(subject))
    };
    bench.server.reset_counters();
    let held = [
        hold(RequestKind::ListDocuments, scene.guid),
        hold(RequestKind::File, scene.documents[0]),
    ];
    tokio::select! {
        _ = bench.read(&attr) => panic!("the server is silent"),
        () = bench.server.wait_for(RequestKind::File, 1) => {}
    }
    bench.expire();
    tokio::select! {
        _ = scene.list() => panic!("the server is silent"),
        () = bench.server.wait_for(RequestKind::ListDocuments, 1) => {}
    }
    for fault in held {
        bench.server.clear_fault(fault);
    }
    scene.assert_whole().await;
    scene.assert_reads(&attr).await;
    assert_eq!(bench.asked(RequestKind::ListDocuments), 1);
    assert_eq!(bench.asked(RequestKind::File), 1);
}

#[tokio::test]
async fn a_deleted_folder_or_document_answers_estale_and_its_name_is_gone() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Scene", 3).await;
    let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
    bench.world().delete_document(documents[0]).unwrap();
    assert_errno(bench.read(&attr).await, libc::ESTALE);
    assert!(bench.lookup(folder.ino, "doc-00.txt").await.unwrap().is_none());
    assert!(bench.lookup(folder.ino, "doc-01.txt").await.unwrap().is_some());

    bench.expire();
    bench.world().delete_folder(guid).unwrap();
    assert_errno(bench.list(folder.ino).await, libc::ESTALE);
    assert_errno(bench.lookup(folder.ino, "doc-01.txt").await, libc::ESTALE);
    assert!(
        bench
            .find(&["Scene"])
            .await
            .is_err_and(|error| matches!(error, FsError::Absent))
    );
}

#[tokio::test]
async fn a_hidden_folder_or_document_answers_eacces_and_never_enoent_while_it_is_listed() {
    let bench = Bench::new().await;
    let (folder, guid, documents) = bench.stock("Scene", 3).await;
    let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
    bench.world().set_access(documents[0], Access::Hidden).unwrap();
    assert_errno(bench.read(&attr).await, libc::EACCES);
    bench.world().set_access(guid, Access::Hidden).unwrap();
    bench.clock.advance(Duration::from_secs(301));
    assert_errno(bench.list(folder.ino).await, libc::EACCES);
}

#[tokio::test]
async fn a_folder_that_was_moved_to_where_it_is_refused_and_back_is_asked_for_at_once() {
    let bench = Bench::new().await;
    let world = bench.world();
    let root = world.add_folder(None, "Top").unwrap();
    let moved = world.add_folder(Some(root), "Moved").unwrap();
    let inner = world.add_folder(Some(moved), "Inner").unwrap();
    for folder in [root, moved, inner] {
        world.add_document(folder, "a.txt", "a").unwrap();
    }
    let closed = world.add_folder(None, "Closed").unwrap();
    world.set_access(closed, Access::Hidden).unwrap();
    bench.expire();
    let attr = bench.find(&["Top", "Moved", "Inner"]).await.unwrap();
    assert_eq!(bench.list(attr.ino).await.unwrap().len(), 1);
    let tree = bench.fs.tree();
    let top = Directory {
        mount: MountEntry::WHOLE,
        id: DirId::Folder(FolderId(root)),
    };
    // The clock moves by next to nothing: what is remembered stays so.
    let look = |guid| {
        bench.clock.advance(Duration::from_millis(1));
        tree.freshen(DirId::Folder(FolderId(guid)), Duration::ZERO, Urgency::Background)
    };
    world.move_folder(moved, Some(closed)).unwrap();
    tree.relist(top).await.unwrap();
    for folder in [moved, inner, moved] {
        let refused = look(folder).await.err().unwrap();
        assert!(
            matches!(refused, TreeError::Remote(RemoteError::Denied { .. })),
            "{refused}"
        );
    }
    world.move_folder(moved, Some(root)).unwrap();
    tree.relist(top).await.unwrap();
    look(moved).await.unwrap();
    look(inner).await.unwrap();
    let attr = bench.find(&["Top", "Moved", "Inner"]).await.unwrap();
    assert_eq!(bench.list(attr.ino).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_length_makes_a_new_inode_of_the_true_length_for_one_download() {
    for (ranges, delta) in [(true, 700), (true, -700), (false, 700), (false, -700)] {
        let options = DemoOptions {
            knobs: Knobs {
                ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, _, documents) = bench.stock("Scene", 3).await;
        let old = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
        bench.server.reset_counters();
        let fault = Fault::on(RequestKind::File, Effect::WrongLength { delta }).about(documents[0]);
        bench.server.inject(fault);
        assert_errno(bench.read(&old).await, libc::ESTALE);

        let new = bench.lookup(folder.ino, &doc_name(0)).await.unwrap().unwrap();
        assert_ne!(new.ino, old.ino);
        assert_eq!(new.size.cast_signed() - old.size.cast_signed(), delta);
        assert_eq!(bench.list(folder.ino).await.unwrap()[&doc_name(0)], new);
        let mut expected = bytes_of(0, 0);
        expected.resize(usize::try_from(new.size).unwrap(), b'+');
        assert_eq!(bench.read(&new).await.unwrap(), expected);
        assert_errno(bench.read(&old).await, libc::ESTALE);
        assert_eq!(bench.asked(RequestKind::File), 1, "ranges {ranges}, {delta}");

        // The correction outlives a refresh that repeats the wrong length.
        bench.expire();
        assert_eq!(bench.list(folder.ino).await.unwrap()[&doc_name(0)], new);
        assert_eq!(bench.read(&new).await.unwrap(), expected);
        assert_eq!(bench.asked(RequestKind::File), 1);
    }
}

#[tokio::test]
async fn a_tag_that_changes_with_every_answer_never_mixes_two_downloads() {
    for ranges in [true, false] {
        let options = DemoOptions {
            knobs: Knobs {
                ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let (folder, _, documents) = bench.stock("Scene", 3).await;
        let attr = bench.list(folder.ino).await.unwrap()[&doc_name(0)];
        bench
            .server
            .inject(Fault::on(RequestKind::File, Effect::ChangedEtag).about(documents[0]));
        // Whole in one go it is the file.
        assert_eq!(bench.read(&attr).await.unwrap(), bytes_of(0, 0));

        // In two goes nothing says that both are of one file.
        let other = bench.list(folder.ino).await.unwrap()[&doc_name(1)];
        let file = |effect| Fault::on(RequestKind::File, effect).about(documents[1]);
        bench
            .server
            .inject(file(Effect::Truncate { after: 2000 }).times(1));
        bench.server.inject(file(Effect::ChangedEtag));
        assert_errno(bench.read(&other).await, libc::ESTALE);
        // Once it keeps its tag the name leads to bytes again.
        bench.server.clear_faults();
        let again = bench.lookup(folder.ino, &doc_name(1)).await.unwrap().unwrap();
        assert_ne!(again.ino, other.ino);
        assert_eq!(bench.read(&again).await.unwrap(), bytes_of(1, 0));
    }
}

#[tokio::test]
async fn a_document_without_a_listed_length_is_learnt_by_its_lookup() {
    for ranges in [true, false] {
        let options = DemoOptions {
            knobs: Knobs {
                filesize_as: FileSizeAs::AbsentForOne,
                ranges: if ranges { Ranges::Served } else { Ranges::Ignored },
                ..Knobs::default()
            },
            ..small()
        };
        let bench = Bench::with(options, TreeConfig::default()).await;
        let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-RPT-0002.pdf"];
        let guid = bench.world().document_at(&path).unwrap();
        let truth = bench.world().content(guid).unwrap();
        let folder = bench.find(&path[..2]).await.unwrap();
        bench.server.reset_counters();

        let mut bare = Vec::new();
        bench
            .fs
            .readdirplus(folder.ino, DirCookie::from_offset(0), &mut |entry| {
                if entry.ttl.is_none() {
                    bare.push(entry.name.to_owned());
                }
                false
            })
            .await
            .unwrap();
        assert_eq!(
            bare,
            [".", "..", "LEC-GEN-LOG-0000.txt", path[2]],
            "its name only, so that it is looked up; and so for one that is said to be empty"
        );
        assert_eq!(bench.asked(RequestKind::File), 0);

        let attr = bench.lookup(folder.ino, path[2]).await.unwrap().unwrap();
        assert_eq!(attr.size, truth.len() as u64);
        assert_eq!(bench.asked(RequestKind::File), 1);
        assert_eq!(bench.read(&attr).await.unwrap(), truth);
        // One byte with Range, else the download itself; never the whole twice.
        let log = bench.server.request_log();
        let ranges_asked: Vec<_> = log
            .iter()
            .filter(|request| request.kind == RequestKind::File)
            .map(|request| request.range.as_deref())
            .collect();
        assert_eq!(ranges_asked.first(), Some(&Some("bytes=0-0")));
        assert!(ranges_asked.len() <= 2, "{ranges_asked:?}");

        // Known now: neither a lookup nor a refresh asks again, and the listing has it.
        bench.server.reset_counters();
        bench.expire();
        let again = bench.lookup(folder.ino, path[2]).await.unwrap().unwrap();
        assert_eq!(again, attr);
        assert_eq!(bench.list(folder.ino).await.unwrap()[path[2]], attr);
        assert_eq!(bench.asked(RequestKind::File), 0);
    }
}

#[tokio::test]
async fn a_length_that_cannot_be_learnt_is_an_error_and_not_zero() {
    let bench = Bench::with(
        DemoOptions {
            knobs: Knobs {
                filesize_as: FileSizeAs::AbsentForOne,
                ..Knobs::default()
            },
            ..small()
        },
        TreeConfig::default(),
    )
    .await;
    let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-RPT-0002.pdf"];
    let folder = bench.find(&path[..2]).await.unwrap();
    let fault = bench.server.inject(Fault::status(RequestKind::File, 500));
    assert_errno(bench.lookup(folder.ino, path[2]).await, libc::EIO);
    bench.server.clear_fault(fault);
    bench.pass(Duration::from_secs(3)).await;
    let attr = bench.lookup(folder.ino, path[2]).await.unwrap().unwrap();
    assert_eq!(attr.size, 310_000);
}

#[tokio::test]
async fn what_is_cached_is_read_through_every_outage() {
    let scene = Scene::new(OnOutage::Stale).await;
    let attr = scene.first_document().await;
    scene.assert_reads(&attr).await;
    for effect in [
        status(401),
        status(403),
        status(500),
        refusal(404, "InstanceNotFound"),
        Effect::DropConnection,
        Effect::HangAfterAccept,
        Effect::WrongLength { delta: 5 },
        Effect::ChangedEtag,
    ] {
        scene.bench.server.inject(Fault::on(RequestKind::File, effect));
        scene.bench.pass(FORGOTTEN).await;
        scene.assert_reads(&attr).await;
        scene.bench.server.clear_faults();
    }
    assert_eq!(scene.bench.asked(RequestKind::File), 1);
}
