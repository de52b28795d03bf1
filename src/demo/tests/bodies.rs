//! Faults of what an answer says: bodies, ranges, pages, tags.

use std::io::Read as _;

use bytes::Bytes;
use serde_json::Value;

use crate::demo::{DemoOptions, Effect, Fault, RequestKind};
use crate::model::Guid;

use super::client::{Answer, Bench};

const LIST: &str = "/PW_WSG/Document?$orderby=Name&$top=5";

async fn demo() -> Bench {
    Bench::new(DemoOptions::default()).await
}

async fn listing(effect: Effect) -> Answer {
    let bench = demo().await;
    bench.server.inject(Fault::on(RequestKind::ListDocuments, effect));
    bench.get(LIST).await
}

/// A file of more than 10 kB and its true bytes.
fn large(bench: &Bench) -> (Guid, String, Bytes) {
    let world = bench.server.world();
    let documents = world.documents();
    let found = documents.iter().find(|d| d.readable && d.size > 10_000).unwrap();
    let path = format!("/PW_WSG/Document/{}/$file", found.guid);
    (found.guid, path, world.content(found.guid).unwrap())
}

async fn ranged(effect: Effect) -> (Answer, Bytes) {
    let bench = demo().await;
    let (_, path, truth) = large(&bench);
    bench.server.inject(Fault::on(RequestKind::File, effect));
    // Without a range nothing is wrong.
    assert!(bench.get(&path).await.body == truth);
    (bench.get_with(&path, &["Range: bytes=1000-1999"]).await, truth)
}

#[tokio::test]
async fn a_range_is_another_than_asked() {
    let (answer, truth) = ranged(Effect::WrongRange { shift: 7 }).await;
    assert_eq!(answer.status, 206);
    assert!(
        answer
            .header("content-range")
            .unwrap()
            .starts_with("bytes 1007-2006/")
    );
    assert!(answer.body == truth[1007..2007]);

    let (answer, truth) = ranged(Effect::ShiftedBytes { shift: -7 }).await;
    assert!(
        answer
            .header("content-range")
            .unwrap()
            .starts_with("bytes 1000-1999/")
    );
    assert!(answer.body == truth[993..1993]);

    let (answer, truth) = ranged(Effect::WrongContentRange { shift: 7 }).await;
    assert!(
        answer
            .header("content-range")
            .unwrap()
            .starts_with("bytes 1007-2006/")
    );
    assert!(answer.body == truth[1000..2000]);

    let (answer, truth) = ranged(Effect::NoContentRange).await;
    assert_eq!((answer.status, answer.header("content-range")), (206, None));
    assert!(answer.body == truth[1000..2000]);

    let (answer, truth) = ranged(Effect::IgnoredRange).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == truth);
}

#[tokio::test]
async fn a_body_is_gzipped_unasked_openly_and_in_secret() {
    for (effect, told) in [(Effect::Gzip, Some("gzip")), (Effect::SecretGzip, None)] {
        let bench = demo().await;
        let (_, path, truth) = large(&bench);
        bench.server.inject(Fault::on(RequestKind::File, effect));
        let answer = bench.get_with(&path, &["Accept-Encoding: identity"]).await;
        assert!(answer.complete());
        assert_eq!(answer.header("content-encoding"), told);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert!(plain == truth);
    }
}

#[tokio::test]
async fn a_length_lies_both_ways() {
    let bench = demo().await;
    let (_, path, truth) = large(&bench);
    for delta in [100_i64, -100] {
        let effect = Effect::LyingLength { delta };
        bench.server.inject(Fault::on(RequestKind::File, effect).times(1));
        let answer = bench.get(&path).await;
        let announced: i64 = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(announced - i64::try_from(truth.len()).unwrap(), delta);
        if delta < 0 {
            // All of it comes, whatever was announced.
            assert!(answer.body == truth);
        } else {
            // The end of the connection may overtake the last bytes.
            assert!(!answer.complete() && truth.starts_with(&answer.body));
        }
    }
}

#[tokio::test]
async fn json_is_null_empty_nested_huge_or_something_else() {
    let answer = listing(Effect::JsonNull).await;
    assert_eq!((answer.status, answer.json()), (200, Value::Null));
    let answer = listing(Effect::EmptyBody).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(answer.complete());
    let answer = listing(Effect::NestedJson { depth: 100_000 }).await;
    assert_eq!(
        String::from_utf8_lossy(&answer.body).matches('[').count(),
        100_000
    );
    let answer = listing(Effect::HugeJson { mib: 3 }).await;
    assert!(answer.complete() && answer.body.len() >= 3 << 20);
    assert!(answer.instances().len() > 1000);
    let answer = listing(Effect::WrongContentType { content_type: None }).await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.instances().len(), 5);
}

#[tokio::test]
async fn json_is_spoiled_in_its_text() {
    let truth = demo().await.get(LIST).await.json();
    let answer = listing(Effect::ByteOrderMark).await;
    assert!(answer.complete() && answer.body.starts_with(b"\xef\xbb\xbf{"));
    let answer = listing(Effect::InvalidUtf8).await;
    assert!(answer.complete() && std::str::from_utf8(&answer.body).is_err());
    let answer = listing(Effect::DuplicateKeys).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(text.matches("\"className\"").count(), 2 * 5);
    assert_ne!(answer.json(), truth);
    let answer = listing(Effect::WrongTypes).await;
    let row = &answer.instances()[0];
    assert_eq!(row["instanceId"][0], truth["instances"][0]["instanceId"]);
}

#[tokio::test]
async fn a_row_is_left_out_or_doubled() {
    let truth = demo().await.get(LIST).await.ids();
    let mut without = truth.clone();
    without.remove(2);
    assert_eq!(listing(Effect::RowLeftOut).await.ids(), without);
    let mut twice = truth.clone();
    twice.insert(2, truth[2].clone());
    assert_eq!(listing(Effect::RowDoubled).await.ids(), twice);
}

#[tokio::test]
async fn rows_shift_between_pages() {
    let bench = demo().await;
    let page = async |skip: u32| bench.get(&format!("{LIST}&$skip={skip}")).await.ids();
    let (first, second, third) = (page(0).await, page(5).await, page(10).await);
    let fault = |effect| Fault::on(RequestKind::ListDocuments, effect);
    bench.server.inject(fault(Effect::RowLost).times(1));
    // The first page is none between two.
    assert_eq!(page(0).await, first);
    assert_eq!(page(5).await, [&second[1..], &third[..1]].concat());
    bench.server.clear_faults();
    bench.server.inject(fault(Effect::RowTwice).times(1));
    assert_eq!(page(5).await, [&first[4..], &second[..4]].concat());
    assert_eq!(page(5).await, second);
}

/// The first two pages by token.
async fn pages(bench: &Bench) -> (Answer, Answer) {
    let first = bench.get_with(LIST, &["SkipToken: 0"]).await;
    let token = format!("SkipToken: {}", first.header("skiptoken").unwrap());
    let second = bench.get_with(LIST, &[&token]).await;
    (first, second)
}

#[tokio::test]
async fn tokens_repeat_expire_and_lose_rows() {
    let bench = demo().await;
    let (first, second) = pages(&bench).await;
    let fault = |effect| {
        bench
            .server
            .inject(Fault::on(RequestKind::ListDocuments, effect).times(1))
    };
    fault(Effect::RepeatedPage);
    let (one, two) = pages(&bench).await;
    assert_eq!((one.ids(), two.ids()), (first.ids(), second.ids()));
    assert_eq!(one.header("skiptoken"), two.header("skiptoken"));
    fault(Effect::ExpiredSkipToken);
    let (one, two) = pages(&bench).await;
    assert_eq!(one.ids(), first.ids());
    two.assert_error(400, "BadRequest");
    fault(Effect::RowLost);
    assert_eq!(pages(&bench).await.1.ids(), second.ids()[1..]);
    fault(Effect::RowTwice);
    let twice = [&first.ids()[4..], &second.ids()[..]].concat();
    assert_eq!(pages(&bench).await.1.ids(), twice);
}

#[tokio::test]
async fn an_answer_is_stale_or_falsely_unchanged() {
    let bench = demo().await;
    let (guid, _, _) = large(&bench);
    let path = format!("/PW_WSG/Document/{guid}");
    let before = bench.get(&path).await;
    let tag = format!("If-None-Match: {}", before.header("etag").unwrap());
    bench.server.world().rename_document(guid, "renamed.bin").unwrap();
    bench
        .server
        .inject(Fault::on(RequestKind::Object, Effect::FalseNotModified));
    assert_eq!(bench.get_with(&path, &[&tag]).await.status, 304);
    let after = bench.get(&path).await;
    assert_eq!(after.instances()[0]["properties"]["FileName"], "renamed.bin");
    bench.server.clear_faults();
    bench.server.world().rename_document(guid, "again.bin").unwrap();
    bench
        .server
        .inject(Fault::on(RequestKind::Object, Effect::StaleAnswer));
    for _ in 0..2 {
        assert_eq!(bench.get(&path).await.body, after.body);
    }
    bench.server.clear_faults();
    let now = bench.get(&path).await;
    assert_eq!(now.instances()[0]["properties"]["FileName"], "again.bin");
}

#[tokio::test]
async fn a_fault_may_be_about_one_account() {
    let bench = demo().await;
    let fault = Fault::on(RequestKind::User, Effect::EmptyList);
    bench
        .server
        .inject(fault.clone().by("site.inspector@example.com"));
    assert!(!bench.get("/PW_WSG/User").await.instances().is_empty());
    bench.server.inject(fault.by("Demo.Engineer@example.com"));
    assert!(bench.get("/PW_WSG/User").await.instances().is_empty());
}
