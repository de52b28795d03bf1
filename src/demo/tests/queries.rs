//! Filters, selections, single objects, and what is counted.

use std::collections::HashSet;

use crate::demo::knobs::{Knobs, VersionGuids};
use crate::demo::{Access, DemoOptions, RequestKind};
use crate::model::DocumentKind;

use super::client::{Bench, exchange};
use super::listing::{INCOMING, demo, folder, in_folder};

#[tokio::test]
async fn documents_are_found_by_ids() {
    let bench = demo().await;
    let documents = bench.server.world().documents();
    let (a, b) = (documents[3].guid, documents[200].guid);
    let tail =
        format!("/PW_WSG/Document!poly?$filter=$id in ['{a}','{b}','00000000-0000-4000-8000-000000000000']");
    assert_eq!(bench.get(&tail).await.ids(), [a.to_string(), b.to_string()]);
    assert_eq!(bench.server.requests().of(RequestKind::FindIds), 1);
    bench.server.world().set_access(a, Access::Hidden).unwrap();
    assert_eq!(bench.get(&tail).await.ids(), [b.to_string()]);
    bench
        .get(&format!("/PW_WSG/Document/{a}"))
        .await
        .assert_error(403, "NotEnoughRights");
}

#[tokio::test]
async fn filters_select_what_they_say() {
    let bench = demo().await;
    let world = bench.server.world();
    let guid = folder(&bench, &["Leven Estuary Crossing", "00 General"]);
    let mut all: Vec<_> = world.documents();
    all.retain(|document| document.folder_guid == guid);
    let count = async |filter: &str| {
        bench
            .get(&format!("{} and {filter}", in_folder(guid)))
            .await
            .ids()
            .len()
    };
    assert_eq!(count("FileName ne 'null'").await, 3);
    assert_eq!(count("FileName eq 'null'").await, all.len() - 3);
    assert_eq!(count("Name eq 'Tender Drawing Set'").await, 1);
    assert_eq!(count("Name like 'Drawing'").await, 1);
    assert_eq!(count("Name like 'Design%Report'").await, 1);
    assert_eq!(count("FileSize gt 300000").await, 2);
    assert_eq!(count("(FileSize le 0 or FileSize ge 8000000)").await, 2);
    assert_eq!(count("FileUpdateTime lt 2000-01-01T00:00:00Z").await, 0);
    assert_eq!(count("UpdateTime ge 2000-01-01T00:00:00Z").await, all.len());
    assert_eq!(count("endswith(FileName,'.pdf')").await, 2);
    assert_eq!(count("IsLatest eq false").await, 0);
    assert_eq!(count("Name in ['Upload Log','doc00001']").await, 2);
    world.rename_document(all[0].guid, "O'Brien's + 50%.pdf").unwrap();
    assert_eq!(count("Name eq 'O''Brien''s %2B 50%25.pdf'").await, 1);
    let plain = in_folder(guid).replace("!poly", "");
    assert_eq!(bench.get(&plain).await.ids().len(), all.len() - 2);
    let by_guid = format!("/PW_WSG/Document!poly?$filter=ParentGuid eq '{guid}'");
    assert_eq!(bench.get(&by_guid).await.ids().len(), all.len());
    bench
        .get(&format!("{} and Colour eq 'red'", in_folder(guid)))
        .await
        .assert_error(404, "PropertyNotFound");
    bench
        .get("/PW_WSG/Document?$select=MimeType")
        .await
        .assert_error(404, "PropertyNotFound");
    bench
        .get("/PW_WSG/Document?$filter=Name eq")
        .await
        .assert_error(400, "BadRequest");
    bench
        .get("/PW_WSG/NoSuchClass")
        .await
        .assert_error(404, "ClassNotFound");
    bench
        .get("/NoSuchSchema/Thing")
        .await
        .assert_error(404, "SchemaNotFound");
}

#[tokio::test]
async fn a_query_may_be_posted() {
    let bench = demo().await;
    let guid = folder(&bench, &INCOMING);
    let base = bench.server.base_url();
    let url = bench.server.datasource_url();
    let head = format!(
        "POST {}/PW_WSG/Document!poly/$query HTTP/1.1\r\nAuthorization: Bearer {}",
        url.strip_prefix(&base).unwrap(),
        bench.token
    );
    let body = format!("$top=5&$filter=DocumentParent-forward-Project.$id+eq+'{guid}'");
    let answer = exchange(&base, &head, &body).await.unwrap();
    assert_eq!(answer.ids().len(), 5);
    let counters = bench.server.requests();
    assert_eq!(
        (
            counters.of(RequestKind::ListDocuments),
            counters.mutation_attempts
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn select_order_and_related_parents_are_honoured() {
    let bench = demo().await;
    let guid = folder(&bench, &INCOMING);
    let tail = in_folder(guid).replace("$select=*", "$select=FileName,FileSize");
    let rows = bench
        .get(&format!("{tail}&$orderby=FileSize desc,FileName"))
        .await
        .instances();
    let sizes: Vec<u64> = rows
        .iter()
        .map(|row| {
            let size = &row["properties"]["FileSize"];
            size.as_u64()
                .unwrap_or_else(|| size.as_str().unwrap().parse().unwrap())
        })
        .collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!(rows[0]["properties"].as_object().unwrap().len(), 2);
    assert!(rows[0]["relationshipInstances"].is_null());
    let tail = tail.replace("$select=", "$select=DocumentParent-forward-Project.*,");
    let rows = bench.get(&tail).await.instances();
    let related = &rows[0]["relationshipInstances"][0]["relatedInstance"];
    assert_eq!(related["instanceId"], guid.to_string());
}

#[tokio::test]
async fn a_subtree_is_asked_for_in_both_spellings() {
    let bench = demo().await;
    let guid = folder(&bench, &["Leven Estuary Crossing", "05 Site Photos"]);
    let expected: HashSet<String> = bench
        .server
        .world()
        .documents()
        .iter()
        .filter(|document| document.path.get(1).is_some_and(|name| name == "05 Site Photos"))
        .map(|document| document.guid.to_string())
        .collect();
    for spelling in [
        format!("api.ancestor=Project-{guid}"),
        format!("API.ancestor=PW_WSG.Project={guid}"),
    ] {
        let rows = bench
            .get(&format!("/PW_WSG/Document!poly?{spelling}"))
            .await
            .ids();
        assert_eq!(rows.into_iter().collect::<HashSet<_>>(), expected);
    }
}

#[tokio::test]
async fn one_object_is_a_list_of_one() {
    let bench = demo().await;
    let guid = folder(&bench, &INCOMING);
    let rows = bench.get(&format!("/PW_WSG/Project/{guid}")).await.instances();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["properties"]["Name"], "Incoming");
    let root = folder(&bench, &INCOMING[..1]);
    let rows = bench.get(&format!("/PW_WSG/Project/{root}")).await.instances();
    assert!(rows[0]["properties"].get("ParentGuid").is_none());
    assert_eq!(rows[0]["properties"]["IsRichProject"], true);
    let nobody = "/PW_WSG/Document/00000000-0000-4000-8000-000000000000";
    bench.get(nobody).await.assert_error(404, "InstanceNotFound");
    let user = bench
        .get("/PW_WSG/User?$filter=IsCurrent eq true")
        .await
        .instances();
    assert_eq!(user[0]["properties"]["IsCurrent"], true);
}

#[tokio::test]
async fn a_set_lists_its_members() {
    let bench = demo().await;
    let documents = bench.server.world().documents();
    let set = documents
        .iter()
        .find(|document| document.kind == DocumentKind::Set)
        .unwrap();
    let members = bench
        .get(&format!("/PW_WSG/FlatSet/{}/Document!poly", set.guid))
        .await;
    assert_eq!(members.ids().len(), 2);
}

#[tokio::test]
async fn anything_but_reading_is_refused_and_counted() {
    let bench = demo().await;
    let guid = bench.server.world().documents()[0].guid;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let tail = format!("/PW_WSG/Document/{guid}");
        let answer = bench.ask(method, &tail, &[]).await.unwrap();
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(bench.server.requests().mutation_attempts, 4);
    let head = bench.ask("HEAD", "/Navigation/NavNode", &[]).await.unwrap();
    assert_eq!((head.status, bench.server.requests().mutation_attempts), (405, 4));
}

#[tokio::test]
async fn requests_are_counted_logged_and_awaited() {
    let bench = Bench::new(DemoOptions {
        knobs: Knobs {
            version_guids: VersionGuids::New,
            ..Knobs::default()
        },
        ..DemoOptions::default()
    })
    .await;
    bench.server.reset_counters();
    let guid = folder(&bench, &INCOMING);
    let tail = format!("{}&$top=10&$skip=20", in_folder(guid));
    let asked = async {
        bench.get(&tail).await;
        bench.get(&tail).await;
    };
    tokio::join!(asked, bench.server.wait_for(RequestKind::ListDocuments, 2));
    let log = bench.server.request_log();
    assert_eq!(log.len(), 2);
    assert_eq!(
        (log[0].subject, log[0].skip, log[0].top),
        (Some(guid), Some(20), Some(10))
    );
    assert_eq!(bench.server.requests().total, 2);
}
