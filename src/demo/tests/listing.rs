//! Repositories, folders, documents, filters, paging.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::demo::knobs::{Knobs, SkipTokenMode};
use crate::demo::{DemoOptions, ExpectedDocument};
use crate::model::{DocumentKind, Guid};

use super::client::{Answer, Bench, exchange};

pub(super) const INCOMING: [&str; 3] = ["Leven Estuary Crossing", "04 Correspondence", "Incoming"];

pub(super) async fn demo() -> Bench {
    Bench::new(DemoOptions::default()).await
}

pub(super) fn in_folder(folder: Guid) -> String {
    format!("/PW_WSG/Document!poly?$select=*&$filter=DocumentParent-forward-Project.$id eq '{folder}'")
}

pub(super) fn folder(bench: &Bench, path: &[&str]) -> Guid {
    bench.server.world().folder_at(path).unwrap()
}

#[tokio::test]
async fn the_version_and_the_datasources_are_told_without_a_login() {
    let bench = demo().await;
    for path in ["/ws/v2.0/Plugins", "/WS/V2.8/plugins"] {
        let answer = exchange(&bench.server.base_url(), &format!("GET {path} HTTP/1.1"), "").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("Mas-Server")
                .unwrap()
                .contains("Bentley-WebAPI/2.8")
        );
    }
    let head = "GET /ws/v2.8/repositories/ HTTP/1.1";
    let answer = exchange(&bench.server.base_url(), head, "").await.unwrap();
    let plugins: Vec<_> = answer
        .instances()
        .iter()
        .map(|row| row["properties"]["ECPluginID"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(plugins, ["Bentley.PW", "Bentley.IModelHub"]);
    assert_eq!(answer.ids()[0], bench.server.repository_id());
    assert!(answer.ids()[0].starts_with("Bentley.PW--pwfs-demo.invalid~3A"));
}

#[tokio::test]
async fn the_roots_are_projects_beside_a_node_that_is_not() {
    let bench = demo().await;
    let nodes = bench.get("/Navigation/NavNode").await.instances();
    let labels = |class: &str| -> BTreeSet<String> {
        let nodes = nodes.iter().map(|node| &node["properties"]);
        let nodes = nodes.filter(|node| node["Key_ClassName"] == class);
        nodes
            .map(|node| node["Label"].as_str().unwrap().to_owned())
            .collect()
    };
    let roots = [".pw", "Company Standards", "Leven Estuary Crossing"];
    assert_eq!(labels("Project"), roots.map(str::to_owned).into());
    assert_eq!(labels("SavedSearchDefinition").len(), 1);
}

/// Walks down from the roots with `$skip` pages and returns the rows of all listings, and the refused folders.
async fn walk(bench: &Bench) -> (Vec<Value>, Vec<Value>, Vec<String>) {
    let nodes = bench.get("/Navigation/NavNode").await.instances();
    let mut todo: Vec<String> = nodes
        .iter()
        .filter(|node| node["properties"]["Key_ClassName"] == "Project")
        .map(|node| node["properties"]["Key_InstanceId"].as_str().unwrap().to_owned())
        .collect();
    let (mut folders, mut documents, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(guid) = todo.pop() {
        let below = bench.get(&format!("/PW_WSG/Project/{guid}/Project")).await;
        if below.status == 403 {
            below.assert_error(403, "NotEnoughRights");
            refused.push(guid);
            continue;
        }
        todo.extend(below.ids());
        folders.extend(below.instances());
        let mut rows = Vec::new();
        loop {
            let count = rows.len();
            let tail = format!("/PW_WSG/Project/{guid}/Document!poly?$top=100&$skip={count}");
            let page = bench.get(&tail).await.instances();
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        documents.extend(rows);
    }
    (folders, documents, refused)
}

#[tokio::test]
async fn walking_finds_exactly_what_the_world_says_is_listed() {
    let bench = demo().await;
    let (folders, documents, refused) = walk(&bench).await;
    let world = bench.server.world();
    let ids = |rows: &[Value]| -> BTreeSet<String> {
        rows.iter()
            .map(|row| row["instanceId"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = world.folders();
    let listed = listed
        .iter()
        .filter(|folder| folder.listed && folder.parent.is_some());
    assert_eq!(
        ids(&folders),
        listed.map(|folder| folder.guid.to_string()).collect()
    );
    let expected: Vec<ExpectedDocument> = world.documents();
    let listed: Vec<_> = expected.iter().filter(|document| document.listed).collect();
    assert_eq!(documents.len(), listed.len());
    let listed_ids = listed.iter().map(|document| document.guid.to_string());
    assert_eq!(ids(&documents), listed_ids.collect());
    let unlistable = world.folders().into_iter().filter(|folder| !folder.listable);
    assert_eq!(
        refused,
        unlistable
            .map(|folder| folder.guid.to_string())
            .collect::<Vec<_>>()
    );
    for row in &documents {
        let guid: Guid = row["instanceId"].as_str().unwrap().parse().unwrap();
        let document = world.document(guid).unwrap();
        let properties = &row["properties"];
        assert_eq!(properties["FileName"].as_str(), document.file_name.as_deref());
        assert_eq!(properties["IsLatest"], document.active);
        assert_eq!(properties["ParentGuid"], document.folder_guid.to_string());
        let size = match &properties["FileSize"] {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        assert_eq!(size, document.listed_size);
        let set = row["className"] != "Document";
        assert_eq!(set, document.kind == DocumentKind::Set);
    }
}

#[tokio::test]
async fn the_world_has_what_tests_look_for() {
    let bench = demo().await;
    let world = bench.server.world();
    let (folders, documents) = (world.folders(), world.documents());
    assert_eq!(folders.len(), 60);
    assert_eq!(documents.iter().filter(|document| document.active).count(), 400);
    let superseded = documents.iter().filter(|document| !document.active).count();
    assert!(superseded > 20, "{superseded}");
    let empty = folders.iter().filter(|folder| {
        documents
            .iter()
            .all(|document| document.folder_guid != folder.guid)
            && folders.iter().all(|child| child.parent != Some(folder.guid))
    });
    assert_eq!(empty.count(), 1);
    assert_eq!(folders.iter().filter(|folder| !folder.listable).count(), 1);
    let kind = |kind| documents.iter().filter(|document| document.kind == kind).count();
    assert_eq!((kind(DocumentKind::Placeholder), kind(DocumentKind::Set)), (4, 2));
    let refused = documents
        .iter()
        .filter(|document| document.listed && !document.readable && document.kind == DocumentKind::File);
    assert_eq!(refused.count(), 1);
    assert!(documents.iter().any(|document| document.size > 8 << 20));
    assert!(
        documents
            .iter()
            .any(|d| d.size == 0 && d.kind == DocumentKind::File)
    );
    let busiest = folders.iter().map(|folder| {
        documents
            .iter()
            .filter(|document| document.folder_guid == folder.guid)
            .count()
    });
    assert!(
        busiest.max().unwrap() > 100,
        "one folder should have a second page"
    );
    let rows = bench.get("/PW_WSG/Document?$top=100").await.instances();
    let times: Vec<_> = rows
        .iter()
        .filter_map(|row| row["properties"]["FileUpdateTime"].as_str())
        .collect();
    assert!(times.iter().any(|time| time.contains('.') && time.ends_with('Z')));
    assert!(times.iter().any(|time| !time.ends_with('Z')));
    assert!(rows.iter().any(|row| row["properties"]["FileSize"].is_string()));
    assert!(rows.iter().any(|row| row["properties"]["FileSize"].is_number()));
}

#[tokio::test]
async fn one_seed_makes_one_world() {
    let (one, two) = (demo().await, demo().await);
    assert_eq!(one.server.world().documents(), two.server.world().documents());
    let other = Bench::new(DemoOptions {
        seed: 2,
        ..DemoOptions::default()
    })
    .await;
    assert_ne!(one.server.world().documents(), other.server.world().documents());
}

#[tokio::test]
async fn a_large_world_has_the_numbers_asked_for() {
    let options = DemoOptions {
        documents: 20_000,
        folders: 500,
        ..DemoOptions::default()
    };
    let bench = Bench::new(options).await;
    let documents = bench.server.world().documents();
    assert_eq!(
        documents.iter().filter(|document| document.active).count(),
        20_000
    );
    assert_eq!(bench.server.world().folders().len(), 500);
}

/// All pages of a listing by `SkipToken`.
async fn token_pages(bench: &Bench, tail: &str) -> Vec<Answer> {
    let mut pages = Vec::new();
    let mut token = "0".to_owned();
    loop {
        let page = bench.get_with(tail, &[&format!("SkipToken: {token}")]).await;
        let next = page.header("SkipToken").map(str::to_owned);
        pages.push(page);
        match next {
            Some(next) => token = next,
            None => return pages,
        }
    }
}

#[tokio::test]
async fn both_ways_of_paging_give_every_row_once() {
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            page_size: 7,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let guid = folder(&bench, &INCOMING);
    let tail = in_folder(guid);
    let expected: Vec<String> = bench
        .server
        .world()
        .documents()
        .iter()
        .filter(|document| document.folder_guid == guid)
        .map(|document| document.guid.to_string())
        .collect();
    assert!(expected.len() > 21);

    let pages = token_pages(&bench, &tail).await;
    let rows: Vec<_> = pages.iter().flat_map(Answer::ids).collect();
    assert_eq!(rows, expected);
    assert!(pages.iter().all(|page| page.ids().len() <= 7));

    let mut rows = Vec::new();
    loop {
        // More than a page can hold: the server cuts it to its own size.
        let page = bench.get(&format!("{tail}&$top=500&$skip={}", rows.len())).await;
        assert_eq!(page.header("SkipToken"), None);
        if page.ids().is_empty() {
            break;
        }
        rows.extend(page.ids());
    }
    assert_eq!(rows, expected);
    assert_eq!(bench.get(&tail).await.ids(), expected[..7]);
}

#[tokio::test]
async fn a_token_page_can_be_asked_for_again_and_a_foreign_token_is_refused() {
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            page_size: 7,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let tail = in_folder(folder(&bench, &INCOMING));
    let first = bench.get_with(&tail, &["SkipToken: 0"]).await;
    let token = format!("SkipToken: {}", first.header("SkipToken").unwrap());
    let once = bench.get_with(&tail, &[&token]).await;
    let again = bench.get_with(&tail, &[&token]).await;
    assert_eq!(once.ids(), again.ids());
    assert_ne!(once.ids(), first.ids());
    bench.server.advance_clock(Duration::from_secs(9 * 60));
    assert_eq!(bench.get_with(&tail, &[&token]).await.ids(), once.ids());
    bench.server.advance_clock(Duration::from_secs(2 * 60));
    let late = bench.get_with(&tail, &[&token]).await;
    late.assert_error(400, "BadRequest");
    bench
        .get_with(&tail, &["SkipToken: nonsense"])
        .await
        .assert_error(400, "BadRequest");
    let log = bench.server.request_log();
    assert_eq!(log.last().unwrap().skip_token.as_deref(), Some("nonsense"));
}

#[tokio::test]
async fn a_server_without_skip_tokens_ignores_them() {
    let options = DemoOptions {
        knobs: Knobs {
            page_size: 7,
            skip_token: SkipTokenMode::Ignored,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    };
    let bench = Bench::new(options).await;
    let tail = in_folder(folder(&bench, &INCOMING));
    let page = bench.get_with(&tail, &["SkipToken: 0"]).await;
    assert_eq!((page.ids().len(), page.header("SkipToken")), (7, None));
}

#[tokio::test]
async fn unchanged_lists_and_objects_answer_304() {
    let bench = demo().await;
    let guid = folder(&bench, &["Leven Estuary Crossing", "00 General"]);
    let document = bench.server.world().documents()[0].clone();
    let object = format!("/PW_WSG/Document/{}", document.guid);
    for tail in [in_folder(guid), object] {
        let first = bench.get(&tail).await;
        let condition = format!("If-None-Match: {}", first.header("etag").unwrap());
        let second = bench.get_with(&tail, &[&condition]).await;
        assert_eq!((second.status, second.body.len()), (304, 0));
        bench
            .server
            .world()
            .edit_description(document.guid, &tail)
            .unwrap();
        let listed_here = document.folder_guid == guid || tail.contains("/Document/");
        let third = bench.get_with(&tail, &[&condition]).await.status;
        assert_eq!(third, if listed_here { 200 } else { 304 });
    }
}

#[tokio::test]
async fn awkward_names_arrive_as_they_are() {
    let bench = demo().await;
    let guid = folder(&bench, &[INCOMING[0], "10 Names From Migration"]);
    let rows = bench.get(&in_folder(guid)).await.instances();
    let texts = |property: &str| -> Vec<String> {
        let texts = rows
            .iter()
            .map(|row| row["properties"][property].as_str().unwrap());
        texts.map(str::to_owned).collect()
    };
    let names = texts("FileName");
    for name in [
        ".",
        "..",
        "plan/section.txt",
        "new\nline.txt",
        "control\u{1}character.txt",
    ] {
        assert!(names.iter().any(|other| other == name), "{name:?}");
    }
    assert_eq!(names.iter().filter(|name| *name == "Duplicate.pdf").count(), 2);
    assert!(names.iter().any(|name| name.len() == 300));
    assert!(
        names
            .iter()
            .any(|name| name.chars().count() == 127 && name.len() > 255)
    );
    assert!(texts("Name").iter().all(|name| name.chars().count() <= 127));
    let below = bench
        .get(&format!("/PW_WSG/Project/{guid}/Project"))
        .await
        .instances();
    let twin = |rows: &[Value], property: &str| {
        rows.iter()
            .filter(|row| row["properties"][property] == "Twin")
            .count()
    };
    assert_eq!((twin(&rows, "FileName"), twin(&below, "Name")), (1, 1));
}

#[tokio::test]
async fn the_project_is_connected_to_an_itwin() {
    let bench = demo().await;
    let tail = "/PW_WSG/Project?$filter=IsConnectedProject eq true";
    let rows = bench.get(tail).await.instances();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["properties"]["Name"], INCOMING[0]);
    let twin = rows[0]["properties"]["ConnectedProjectGuid"].as_str().unwrap();
    assert!(twin.parse::<Guid>().is_ok());
}

#[tokio::test]
async fn every_answer_waits_as_long_as_asked() {
    let latency = std::time::Duration::from_millis(20);
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            latency,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    let start = std::time::Instant::now();
    assert_eq!(bench.get("/Navigation/NavNode").await.status, 200);
    assert!(start.elapsed() >= latency);
}
