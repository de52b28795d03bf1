//! Where files are kept elsewhere: the redirect, the second origin, and access keys.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::demo::knobs::{Knobs, Redirect};
use crate::demo::{DemoOptions, Effect, ExpectedDocument, Fault, InPlace, RequestKind};
use crate::model::DocumentKind;

use super::client::{Answer, Bench, exchange};

const ALLOWED: &str = "Mas-Allow-Redirect: true";

async fn demo() -> Bench {
    let knobs = Knobs {
        redirect: Redirect::Blob,
        ..Knobs::default()
    };
    Bench::new(DemoOptions {
        knobs,
        ..DemoOptions::default()
    })
    .await
}

fn some_file(bench: &Bench) -> (ExpectedDocument, Bytes) {
    let world = bench.server.world();
    let documents = world.documents();
    let document = documents.into_iter().find(|d| d.readable && d.size > 10_000);
    let document = document.unwrap();
    let bytes = world.content(document.guid).unwrap();
    (document, bytes)
}

async fn file(bench: &Bench, document: &ExpectedDocument, headers: &[&str]) -> Answer {
    let tail = format!("/PW_WSG/Document/{}/$file", document.guid);
    bench.get_with(&tail, headers).await
}

/// The URL a download is sent to.
async fn signed(bench: &Bench, document: &ExpectedDocument) -> String {
    let answer = file(bench, document, &[ALLOWED]).await;
    assert_eq!(answer.status, 307, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("mas-file-access-url-type"), Some("AzureBlobSasUrl"));
    assert!(answer.body.is_empty());
    answer.header("location").unwrap().to_owned()
}

async fn fetch(method: &str, url: &str, headers: &[&str]) -> Option<Answer> {
    let parsed = url::Url::parse(url).unwrap();
    let origin = parsed.origin().ascii_serialization();
    let target = url.strip_prefix(&origin).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1");
    for header in headers {
        head.push_str("\r\n");
        head.push_str(header);
    }
    exchange(&origin, &head, "").await
}

async fn get(url: &str, headers: &[&str]) -> Answer {
    fetch("GET", url, headers).await.unwrap()
}

#[track_caller]
fn assert_azure_error(answer: &Answer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(&format!("<Error><Code>{code}</Code>")), "{text}");
    assert_eq!(answer.header("x-ms-error-code"), Some(code));
}

#[tokio::test]
async fn a_client_that_allows_it_is_sent_to_the_second_origin() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let url = signed(&bench, &document).await;
    assert!(url.starts_with(&format!("{}/", bench.server.blob_url())), "{url}");
    assert_ne!(bench.server.blob_url(), bench.server.base_url());
    for part in ["?sv=", "&se=", "&sig="] {
        assert!(url.contains(part), "{url}");
    }
    let answer = get(&url, &[]).await;
    assert_eq!((answer.status, answer.body == bytes), (200, true));
    assert!(answer.complete());
    for header in ["etag", "x-ms-request-id", "x-ms-version", "x-ms-blob-type"] {
        assert!(answer.header(header).is_some(), "{header}");
    }
    assert_eq!(answer.header("content-md5"), None);
    assert_eq!(bench.server.requests().of(RequestKind::Blob), 1);
    let log = bench.server.request_log();
    assert_eq!(log.last().unwrap().subject, Some(document.guid));
}

#[tokio::test]
async fn who_does_not_allow_it_is_sent_nowhere() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    for headers in [&[][..], &["Mas-Allow-Redirect: false"]] {
        let answer = file(&bench, &document, headers).await;
        assert_eq!((answer.status, answer.body == bytes), (200, true));
    }
    // Files may be elsewhere since 2.4 only.
    let url = bench.server.datasource_url().replace("v2.8", "v2.3");
    let url = format!("{url}/PW_WSG/Document/{}/$file", document.guid);
    let bearer = format!("Authorization: Bearer {}", bench.token);
    assert_eq!(get(&url, &[&bearer, ALLOWED]).await.status, 200);
    bench.server.turn(|knobs| knobs.redirect = Redirect::Never);
    assert_eq!(file(&bench, &document, &[ALLOWED]).await.status, 200);
}

#[tokio::test]
async fn what_is_unchanged_or_refused_or_has_no_file_is_not_redirected() {
    let bench = demo().await;
    let (document, _) = some_file(&bench);
    let whole = file(&bench, &document, &[]).await;
    let same = format!("If-None-Match: {}", whole.header("etag").unwrap());
    assert_eq!(file(&bench, &document, &[ALLOWED, &same]).await.status, 304);
    let documents = bench.server.world().documents();
    let refused = documents
        .iter()
        .find(|d| d.listed && !d.readable && d.file_name.is_some());
    let answer = file(&bench, refused.unwrap(), &[ALLOWED]).await;
    answer.assert_error(403, "NotEnoughRights");
    let empty = documents.iter().find(|d| d.kind == DocumentKind::Placeholder);
    let answer = file(&bench, empty.unwrap(), &[ALLOWED]).await;
    answer.assert_error(404, "FileNotFound");
}

#[tokio::test]
async fn ranges_and_conditions_hold_at_the_second_origin() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let url = signed(&bench, &document).await;
    let part = get(&url, &["Range: bytes=100-299"]).await;
    assert_eq!((part.status, part.body == bytes[100..300]), (206, true));
    let said = format!("bytes 100-299/{}", bytes.len());
    assert_eq!(part.header("content-range"), Some(said.as_str()));
    let tag = part.header("etag").unwrap();
    let condition = format!("If-Range: {tag}");
    let same = get(&url, &["Range: bytes=0-9", &condition]).await;
    assert_eq!((same.status, same.body == bytes[..10]), (206, true));
    let other = get(&url, &["Range: bytes=0-9", "If-Range: \"other\""]).await;
    assert_eq!((other.status, other.body == bytes), (200, true));
    assert_eq!(get(&url, &[&format!("If-None-Match: {tag}")]).await.status, 304);
    let beyond = get(&url, &[&format!("Range: bytes={}-", bytes.len())]).await;
    assert_azure_error(&beyond, 416, "InvalidRange");
    let head = fetch("HEAD", &url, &[]).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.header("content-length"),
        Some(bytes.len().to_string().as_str())
    );
    let put = fetch("PUT", &url, &[]).await.unwrap();
    assert_azure_error(&put, 405, "UnsupportedHttpVerb");
}

#[tokio::test]
async fn an_authorization_header_is_refused_and_counted() {
    let bench = demo().await;
    let (document, _) = some_file(&bench);
    let url = signed(&bench, &document).await;
    assert_eq!(bench.server.blob_authorization_seen(), 0);
    let bearer = format!("Authorization: Bearer {}", bench.token);
    assert_azure_error(&get(&url, &[&bearer]).await, 400, "InvalidAuthenticationInfo");
    assert_eq!(get(&url, &[]).await.status, 200);
    assert_eq!(bench.server.blob_authorization_seen(), 1);
}

#[tokio::test]
async fn a_url_is_good_for_its_lifetime_and_as_it_was_signed() {
    let bench = demo().await;
    bench
        .server
        .turn(|knobs| knobs.blob_lifetime = Duration::from_secs(600));
    let (document, _) = some_file(&bench);
    let url = signed(&bench, &document).await;
    let (bare, query) = url.split_once('?').unwrap();
    let forged = [
        url.replace("sig=", "sig=A"),
        url.replace("sp=r", "sp=rw"),
        format!("{bare}?{}", query.split('&').next().unwrap()),
        bare.to_owned(),
    ];
    for forged in forged {
        assert_azure_error(&get(&forged, &[]).await, 403, "AuthenticationFailed");
    }
    let unknown = format!("{}/pw-documents/nothing?{query}", bench.server.blob_url());
    assert_azure_error(&get(&unknown, &[]).await, 404, "BlobNotFound");
    bench.server.advance_clock(Duration::from_secs(590));
    assert_eq!(get(&url, &[]).await.status, 200);
    bench.server.advance_clock(Duration::from_secs(10));
    assert_azure_error(&get(&url, &[]).await, 403, "AuthenticationFailed");
}

#[tokio::test]
async fn a_url_gives_the_version_that_was_signed_until_the_document_is_deleted() {
    let bench = demo().await;
    let world = bench.server.world();
    let (document, bytes) = some_file(&bench);
    let url = signed(&bench, &document).await;
    let tag = get(&url, &[]).await.header("etag").unwrap().to_owned();
    world
        .replace_in_place(document.guid, vec![7; 20_000], InPlace::Listed)
        .unwrap();
    let pinned = get(&url, &[]).await;
    assert_eq!((pinned.status, pinned.body == bytes), (200, true));
    assert_eq!(pinned.header("etag"), Some(tag.as_str()));
    let later = signed(&bench, &document).await;
    assert_eq!(get(&later, &[]).await.body, vec![7; 20_000]);
    world.delete_document(document.guid).unwrap();
    assert_azure_error(&get(&url, &[]).await, 404, "BlobNotFound");
}

#[tokio::test]
async fn faults_of_the_second_origin_happen_there() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let url = signed(&bench, &document).await;
    let fault = Fault::error(RequestKind::Blob, "ServerBusy");
    let fault = bench.server.inject(fault.about(document.guid).times(1));
    assert_azure_error(&get(&url, &[]).await, 500, "ServerBusy");
    bench.server.clear_fault(fault);
    let cut = Fault::on(RequestKind::Blob, Effect::Truncate { after: 1000 });
    bench.server.inject(cut.times(1));
    let answer = get(&url, &[]).await;
    assert!(!answer.complete() && answer.body == bytes[..1000]);
    let longer = Fault::on(RequestKind::Blob, Effect::WrongLength { delta: 5 });
    bench.server.inject(longer.times(1));
    assert_eq!(get(&url, &[]).await.body.len(), bytes.len() + 5);
    assert_eq!(get(&url, &[]).await.body, bytes);
}

fn property<'a>(key: &'a Value, name: &str) -> &'a str {
    key["properties"][name].as_str().unwrap()
}

#[tokio::test]
async fn access_keys_name_urls_that_work() {
    let bench = demo().await;
    let (document, bytes) = some_file(&bench);
    let tail = format!("/PW_WSG/Document/{}/FileAccess.FileAccessKey", document.guid);
    let read = format!("{tail}?$filter=Permissions eq 'Read'");
    let keys = bench.get(&read).await.instances();
    let types: Vec<_> = keys.iter().map(|key| property(key, "Type")).collect();
    assert_eq!(types, ["AzureBlobSasUrl", "Default"]);
    for key in &keys {
        assert_eq!(key["className"], "FileAccessKey");
        assert_eq!(property(key, "Permissions"), "Read");
        assert_eq!(key["properties"]["RequiresConfirmation"], false);
        let base = url::Url::parse(&bench.server.base_url()).unwrap();
        let url = base.join(property(key, "Url")).unwrap();
        // Neither needs a login.
        let answer = get(url.as_str(), &[]).await;
        assert_eq!((answer.status, answer.body == bytes), (200, true), "{url}");
    }
    let single = format!("{read}&api.singleurlperinstance=true");
    assert_eq!(bench.get(&single).await.instances().len(), 1);
    let of_type = format!("{read} and Type eq 'Default'");
    assert_eq!(bench.get(&of_type).await.instances().len(), 1);
    let write = format!("{tail}?$filter=Permissions eq 'Write'");
    assert_eq!(bench.get(&write).await.instances().len(), 0);
    for (filter, status, id) in [
        ("Colour eq 'Read'", 404, "PropertyNotFound"),
        ("Permissions", 400, "BadRequest"),
    ] {
        let answer = bench.get(&format!("{tail}?$filter={filter}")).await;
        answer.assert_error(status, id);
    }
    bench.server.turn(|knobs| knobs.redirect = Redirect::Never);
    let keys = bench.get(&single).await.instances();
    assert_eq!(property(&keys[0], "Type"), "Default");
    assert!(bench.server.requests().of(RequestKind::FileAccess) > 5);
}

#[tokio::test]
async fn a_link_opens_one_document_until_it_expires() {
    let bench = demo().await;
    bench.server.turn(|knobs| {
        knobs.redirect = Redirect::Never;
        knobs.blob_lifetime = Duration::from_secs(600);
    });
    let (document, bytes) = some_file(&bench);
    let tail = format!("/PW_WSG/Document/{}/FileAccess.FileAccessKey", document.guid);
    let keys = bench.get(&tail).await.instances();
    let url = format!("{}{}", bench.server.base_url(), property(&keys[0], "Url"));
    let part = get(&url, &["Range: bytes=5-9"]).await;
    assert_eq!((part.status, part.body == bytes[5..10]), (206, true));
    let other = bench.server.world().documents();
    let other = other.iter().find(|d| d.readable && d.guid != document.guid);
    let other = url.replace(&document.guid.to_string(), &other.unwrap().guid.to_string());
    get(&other, &[]).await.assert_error(401, "LoginFailed");
    get(&format!("{url}x"), &[])
        .await
        .assert_error(401, "LoginFailed");
    // What the account may no longer have, its link does not give.
    let hidden = crate::demo::Access::SeeOnly;
    bench.server.world().set_access(document.guid, hidden).unwrap();
    get(&url, &[]).await.assert_error(403, "NotEnoughRights");
    let shown = crate::demo::Access::Full;
    bench.server.world().set_access(document.guid, shown).unwrap();
    assert_eq!(get(&url, &[]).await.status, 200);
    bench.server.advance_clock(Duration::from_secs(600));
    get(&url, &[]).await.assert_error(401, "LoginFailed");
}

#[tokio::test]
async fn documents_without_a_file_have_no_key() {
    let bench = demo().await;
    let documents = bench.server.world().documents();
    let empty = documents.iter().find(|d| d.kind == DocumentKind::Placeholder);
    let guid = empty.unwrap().guid;
    let tail = format!("/PW_WSG/Document/{guid}/FileAccess.FileAccessKey");
    bench.get(&tail).await.assert_error(404, "FileNotFound");
}
