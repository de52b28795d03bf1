//! Rows that no server should send, and tags that lie.

use super::*;

/// A folder whose two queries answer these rows, with this `ETag` where one is given.
fn folder(
    folders: Vec<String>,
    documents: impl Fn(usize) -> Vec<String>,
    etag: Option<&'static str>,
) -> impl Fn(&Seen) -> String {
    let asked = AtomicUsize::new(0);
    move |seen: &Seen| {
        let rows = if seen.target.starts_with("PW_WSG/Project?") {
            folders.clone()
        } else {
            documents(asked.fetch_add(1, Ordering::SeqCst))
        };
        let body = format!(r#"{{"instances":[{}]}}"#, rows.join(","));
        let tag = etag.map(|tag| format!("ETag: {tag}\r\n")).unwrap_or_default();
        reply(
            "200 OK",
            &format!("Content-Type: application/json\r\n{tag}"),
            &body,
        )
    }
}

fn folder_row(id: &str, name: &str) -> String {
    format!(
        r#"{{"instanceId":"{id}","className":"Project","properties":{{"Name":"{name}","ParentGuid":"{FOLDER}"}}}}"#
    )
}

async fn list(bench: &Bench) -> Result<Vec<Entry>, RemoteError> {
    bench
        .remote(WsgOptions {
            page_mode: PageMode::SkipToken,
            ..WsgOptions::default()
        })
        .list(folder_id(), &Progress::new())
        .await
}

#[tokio::test]
async fn a_folder_that_lists_itself_is_not_in_itself() {
    let rows = vec![folder_row(FOLDER, "Me"), folder_row(SUBFOLDER, "Below")];
    let bench = Bench::start(folder(rows, |_| vec![document_row(1, "")], None)).await;
    let entries = list(&bench).await.unwrap();
    let ids: Vec<ObjectId> = entries.iter().map(Entry::id).collect();
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&ObjectId::Folder(folder_id())));
}

#[tokio::test]
async fn an_old_version_with_the_same_guid_does_not_take_the_place_of_the_active_one() {
    let (active, old) = (
        document_row(1, r#","IsLatest":true,"Version":"B""#),
        document_row(1, r#","IsLatest":false,"Version":"A""#),
    );
    for rows in [[active.clone(), old.clone()], [old, active.clone()]] {
        let sent = rows.to_vec();
        let bench = Bench::start(folder(Vec::new(), move |_| sent.clone(), None)).await;
        let entries = list(&bench).await.unwrap();
        let [Entry::Document(only)] = &entries[..] else {
            panic!("{entries:?}")
        };
        assert_eq!(only.version, "B");
    }
}

#[tokio::test]
async fn a_row_that_comes_twice_is_one_entry() {
    let rows = [
        document_row(1, r#","Description":"old""#),
        document_row(2, ""),
        document_row(1, r#","Description":"new""#),
    ];
    let bench = Bench::start(folder(Vec::new(), move |_| rows.to_vec(), None)).await;
    let entries = list(&bench).await.unwrap();
    assert_eq!(entries.len(), 2);
    let Entry::Document(first) = &entries[0] else {
        panic!("{entries:?}")
    };
    assert_eq!(first.description, "new");
}

#[tokio::test]
async fn a_row_whose_id_cannot_be_read_fails_every_list_it_is_in() {
    let row = r#"{"instanceId":["x"],"className":["y"],"properties":{"Key_ClassName":["Project"]}}"#;
    let bench = Bench::start(move |_: &Seen| instances(&[row.to_owned()])).await;
    let remote = bench.remote(WsgOptions::default());
    let protocol = |failed: Option<RemoteError>, what: &str| {
        assert!(
            matches!(failed, Some(RemoteError::Protocol(_))),
            "{what}: {failed:?}"
        );
    };
    protocol(remote.roots(&Progress::new()).await.err(), "roots");
    protocol(remote.datasources().await.err(), "datasources");
    protocol(list(&bench).await.err(), "children");
    let ids = [ObjectId::Document(document_id())];
    protocol(remote.find(&ids).await.err(), "by id");
    let children = [ObjectId::Folder(folder_id())];
    let subtree = remote
        .subtree(folder_id(), &children, 100, &Progress::new())
        .await;
    assert!(
        matches!(subtree, Ok(crate::remote::Subtree::NotSupported)),
        "{subtree:?}"
    );
}

#[tokio::test]
async fn other_rows_under_the_same_tag_end_the_trust_in_tags() {
    let documents = |asked: usize| (0..=asked).map(|number| document_row(number, "")).collect();
    let bench = Bench::start(folder(Vec::new(), documents, Some("\"same\""))).await;
    let remote = bench.remote(WsgOptions {
        page_mode: PageMode::SkipToken,
        ..WsgOptions::default()
    });
    let mut seen = None;
    for (round, has_tag) in [(1, true), (2, false), (3, false)] {
        let answer = remote
            .list_if_changed(folder_id(), seen.as_ref(), &Progress::new())
            .await
            .unwrap();
        let crate::remote::Answer::Rows { entries, validator } = answer else {
            panic!("rows were sent")
        };
        assert_eq!(entries.len(), round);
        assert_eq!(validator.is_some(), has_tag, "round {round}");
        seen = seen.or(validator);
    }
    let conditions = bench
        .seen
        .lock()
        .iter()
        .filter(|seen| seen.header("if-none-match").is_some())
        .count();
    assert_eq!(conditions, 0, "no tag came twice with its rows");
}

#[tokio::test]
async fn a_304_nobody_asked_for_is_a_failure() {
    let bench = Bench::start(|_: &Seen| reply("304 Not Modified", "", "")).await;
    let failed = list(&bench).await.unwrap_err();
    assert!(matches!(failed, RemoteError::Protocol(_)), "{failed}");
}
