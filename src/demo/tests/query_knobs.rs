//! Every knob of the query side does what its help line says.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::demo::knobs::{
    Ancestor, BoolAs, Count, DocumentProperties, FileSizeAs, FolderTags, Knobs, NavNode, Order, OrderBy,
    RevokedFolder, RootParent, RootPredicate, SkipTokenMode, TimeFormat, VersionHeader,
};
use crate::demo::{Access, DemoOptions, ExpectedDocument};
use crate::model::Guid;

use super::client::{Answer, Bench, exchange};
use super::listing::{INCOMING, demo, folder, in_folder};

const EVERYTHING: &str = "/PW_WSG/Document!poly?$top=1000";

async fn bench(turn: impl FnOnce(&mut Knobs)) -> Bench {
    let mut options = DemoOptions::default();
    turn(&mut options.knobs);
    Bench::new(options).await
}

/// The values of a property over rows, null where it is absent.
fn values(rows: &[Value], property: &str) -> Vec<Value> {
    rows.iter()
        .map(|row| row["properties"][property].clone())
        .collect()
}

/// Asks for something under another version, with the bench's token.
async fn at_version(bench: &Bench, version: &str, tail: &str) -> Answer {
    let id = bench.server.repository_id();
    let head = format!(
        "GET /ws/{version}/Repositories/{id}{tail} HTTP/1.1\r\nAuthorization: Bearer {}",
        bench.token
    );
    exchange(&bench.server.base_url(), &head, "").await.unwrap()
}

#[tokio::test]
async fn an_older_server_does_not_have_newer_versions() {
    let bench = bench(|knobs| knobs.api = 4).await;
    let roots = "/Navigation/NavNode";
    let answer = at_version(&bench, "v2.4", roots).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("Mas-Server")
            .unwrap()
            .contains("Bentley-WebAPI/2.4,")
    );
    at_version(&bench, "v2.5", roots)
        .await
        .assert_error(404, "NotFound");
    at_version(&bench, "v1.3", roots)
        .await
        .assert_error(404, "NotFound");
    at_version(&bench, "sv1.1", roots)
        .await
        .assert_error(404, "NotFound");
}

#[tokio::test]
async fn a_service_version_stands_in_the_place_of_the_web_version() {
    let bench = bench(|knobs| knobs.service_version = true).await;
    let roots = "/Navigation/NavNode";
    let answer = at_version(&bench, "sV1.1", roots).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("Mas-Server")
            .unwrap()
            .contains("Bentley-WebAPI/2.8")
    );
    at_version(&bench, "v2.8", roots)
        .await
        .assert_error(404, "NotFound");
    let head = "GET /ws/sv1.1/Plugins HTTP/1.1";
    let plugins = exchange(&bench.server.base_url(), head, "").await.unwrap();
    assert_eq!(plugins.status, 200);
}

#[tokio::test]
async fn the_version_is_told_by_the_header_chosen() {
    for (name, header) in [
        ("WsgServer", VersionHeader::WsgServer),
        ("Server", VersionHeader::Server),
    ] {
        let bench = bench(|knobs| knobs.version_header = header).await;
        let answer = bench.get("/Navigation/NavNode").await;
        assert!(
            answer.header(name).unwrap().contains("Bentley-WebAPI/2.8"),
            "{name}"
        );
        assert_eq!(answer.header("Mas-Server"), None);
    }
}

#[tokio::test]
async fn file_sizes_are_written_as_chosen() {
    let sizes = async |style: FileSizeAs| {
        let bench = bench(|knobs| knobs.max_top = 1000).await;
        // Turned while it runs: what the world knows stays true.
        bench.server.turn(|knobs| knobs.filesize_as = style);
        let rows = bench.get(EVERYTHING).await.instances();
        let world = bench.server.world();
        let wrong = rows.iter().filter(|row| {
            let guid: Guid = row["instanceId"].as_str().unwrap().parse().unwrap();
            let size = &row["properties"]["FileSize"];
            let stated = size.as_u64().or_else(|| size.as_str()?.parse().ok());
            stated != world.document(guid).unwrap().listed_size
        });
        let wrong: Vec<_> = wrong.map(|row| row["properties"]["FileName"].clone()).collect();
        (values(&rows, "FileSize"), wrong)
    };
    let (mixed, wrong) = sizes(FileSizeAs::Mixed).await;
    assert!(mixed.iter().any(Value::is_string) && mixed.iter().any(Value::is_number));
    assert!(wrong.is_empty());
    let (numbers, wrong) = sizes(FileSizeAs::Number).await;
    assert!(numbers.iter().all(|size| size.is_number() || size.is_null()) && wrong.is_empty());
    let (texts, wrong) = sizes(FileSizeAs::Text).await;
    assert!(texts.iter().all(|size| size.is_string() || size.is_null()) && wrong.is_empty());
    let (absent, _) = sizes(FileSizeAs::Absent).await;
    assert!(absent.iter().all(Value::is_null));
    let (_, wrong) = sizes(FileSizeAs::AbsentForOne).await;
    assert_eq!(wrong, ["LEC-GEN-RPT-0002.pdf"]);
    let (stated, wrong) = sizes(FileSizeAs::Wrong).await;
    assert!(wrong.len() > stated.len() / 20 && wrong.len() < stated.len() / 3);
}

#[tokio::test]
async fn times_are_written_as_chosen() {
    let shape = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect()
    };
    for (format, wanted) in [
        (TimeFormat::Fraction, "0000-00-00T00:00:00.000Z"),
        (TimeFormat::SevenDigits, "0000-00-00T00:00:00.0000000Z"),
    ] {
        let bench = bench(|knobs| knobs.time_format = format).await;
        let rows = bench.get(EVERYTHING).await.instances();
        for time in values(&rows, "UpdateTime") {
            assert_eq!(shape(time.as_str().unwrap()), wanted);
        }
    }
    let ends = |text: &str| match text.rsplit_once(':') {
        _ if text.ends_with('Z') => "zulu",
        _ if text.ends_with("+02:00") => "offset",
        _ => "bare",
    };
    for (format, wanted) in [
        (TimeFormat::Zulu, vec!["zulu"]),
        (TimeFormat::Offset, vec!["offset"]),
        (TimeFormat::Bare, vec!["bare"]),
        (TimeFormat::Mixed, vec!["bare", "zulu"]),
    ] {
        let bench = bench(|knobs| knobs.time_format = format).await;
        let rows = bench.get(EVERYTHING).await.instances();
        let times = values(&rows, "UpdateTime");
        let found: BTreeSet<_> = times.iter().map(|time| ends(time.as_str().unwrap())).collect();
        assert_eq!(found, wanted.into_iter().collect(), "{format:?}");
        // Whatever it looks like, it is the moment the world knows.
        for row in &rows {
            let guid: Guid = row["instanceId"].as_str().unwrap().parse().unwrap();
            let Some(text) = row["properties"]["FileUpdateTime"].as_str() else {
                continue;
            };
            let zoned = if ends(text) == "bare" {
                format!("{text}Z")
            } else {
                text.to_owned()
            };
            let moment: crate::model::Timestamp = zoned.parse().unwrap();
            let expected = bench.server.world().document(guid).unwrap().file_updated.unwrap();
            assert_eq!(moment.as_millisecond(), expected.as_millisecond());
        }
    }
}

#[tokio::test]
async fn truths_are_written_as_chosen() {
    for (style, truth) in [
        (BoolAs::Bool, Value::Bool(true)),
        (BoolAs::Text, "true".into()),
        (BoolAs::Capital, "True".into()),
        (BoolAs::Number, 1.into()),
    ] {
        let bench = bench(|knobs| knobs.bool_as = style).await;
        let rows = bench
            .get("/PW_WSG/Document?$filter=IsLatest eq true")
            .await
            .instances();
        assert!(!rows.is_empty());
        assert!(values(&rows, "IsLatest").iter().all(|value| *value == truth));
        let nodes = bench.get("/Navigation/NavNode").await.instances();
        assert_eq!(values(&nodes, "Selectable")[0], truth);
    }
}

#[tokio::test]
async fn documents_have_the_properties_chosen() {
    let names = async |level: DocumentProperties| {
        let bench = bench(|knobs| knobs.properties = level).await;
        let rows = bench.get(EVERYTHING).await.instances();
        let all = rows
            .iter()
            .flat_map(|row| row["properties"].as_object().unwrap().keys());
        let all: BTreeSet<String> = all.cloned().collect();
        let label = bench.get("/PW_WSG/Document?$filter=Version eq 'A'").await.status;
        let mime = bench.get("/PW_WSG/Document?$select=MimeType").await.status;
        let told =
            "/MetaSchema/ECPropertyDef?$filter=ClassHasProperty-backward-ECClassDef.Name eq 'Document'";
        let told = values(&bench.get(told).await.instances(), "Name");
        let told: BTreeSet<String> = told
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, all, "the schema should tell what there is");
        (all, label, mime)
    };
    let (few, label, mime) = names(DocumentProperties::Few).await;
    let expected = [
        "FileName",
        "FileSize",
        "FileUpdateTime",
        "IsLatest",
        "Name",
        "ParentGuid",
        "UpdateTime",
    ];
    assert!(few.iter().eq(expected));
    assert_eq!((label, mime), (404, 404));
    let (seen, label, mime) = names(DocumentProperties::Seen).await;
    assert!(few.is_subset(&seen) && seen.contains("Version"));
    assert_eq!((label, mime), (200, 404));
    let (many, label, mime) = names(DocumentProperties::Many).await;
    assert!(seen.is_subset(&many) && many.contains("IsCheckedOut"));
    assert_eq!((label, mime), (200, 200));
}

#[tokio::test]
async fn versions_share_their_original_and_count_up() {
    let bench = bench(|knobs| knobs.properties = DocumentProperties::Many).await;
    let world = bench.server.world();
    let document = world.documents()[0].guid;
    let now = world.new_version(document, "second").unwrap();
    let rows = bench
        .get(&format!(
            "/PW_WSG/Document?$filter=OriginalGuid eq '{document}'&$orderby=VersionSequence"
        ))
        .await
        .instances();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["instanceId"], now.to_string());
    assert_eq!(rows[1]["properties"]["ItemType"], 10);
    assert_eq!(rows[0]["properties"]["ItemType"], 11);
}

#[tokio::test]
async fn case_matters_in_filters_unless_it_is_ignored() {
    let tail = "/PW_WSG/Project?$filter=Name eq 'incoming'";
    let strict = demo().await;
    assert!(strict.get(tail).await.ids().is_empty());
    let asked = format!("{tail}&api.filtersettings=CaseInsensitive");
    assert_eq!(strict.get(&asked).await.ids().len(), 1);
    let lax = bench(|knobs| knobs.name_case = true).await;
    assert_eq!(lax.get(tail).await.ids().len(), 1);
    let like = "/PW_WSG/Project?$filter=contains(Name,'INCOM')";
    assert_eq!(lax.get(like).await.ids().len(), 1);
    assert!(strict.get(like).await.ids().is_empty());
}

#[tokio::test]
async fn a_folders_row_tells_of_its_children_where_chosen() {
    let row = async |bench: &Bench, guid: Guid| {
        let row = bench
            .get(&format!("/PW_WSG/Project/{guid}"))
            .await
            .instances()
            .remove(0);
        (row["eTag"].clone(), row["properties"]["UpdateTime"].clone())
    };
    for (tags, moves) in [(FolderTags::Own, false), (FolderTags::Children, true)] {
        let bench = bench(|knobs| knobs.folder_tags = tags).await;
        let world = bench.server.world();
        let guid = folder(&bench, &INCOMING);
        let elsewhere = folder(&bench, &INCOMING[..1]);
        let mut last = row(&bench, guid).await;
        let mut document = None;
        for step in 0..4 {
            match (step, document) {
                (0, _) => document = Some(world.add_document(guid, "new.txt", "x").unwrap()),
                (1, Some(document)) => world.rename_document(document, "old.txt").unwrap(),
                (2, Some(document)) => world.edit_description(document, "edited").unwrap(),
                (_, Some(document)) => world.move_document(document, elsewhere).unwrap(),
                (_, None) => unreachable!("the first step adds it"),
            }
            let now = row(&bench, guid).await;
            assert_eq!(
                (now.0 != last.0, now.1 != last.1),
                (moves, moves),
                "{tags:?}, step {step}"
            );
            last = now;
        }
    }
}

#[tokio::test]
async fn roots_are_found_by_their_missing_parent_where_chosen() {
    let tails = [
        "/PW_WSG/Project?$filter=ParentGuid eq null",
        "/PW_WSG/Project!poly?$filter=ProjectParent-forward-Project.$id eq null",
    ];
    for tail in tails {
        let roots = demo().await.get(tail).await.ids();
        assert_eq!(roots.len(), 3, "{tail}");
        let bench_nothing = bench(|knobs| knobs.root_predicate = RootPredicate::Nothing).await;
        assert!(bench_nothing.get(tail).await.ids().is_empty());
        let bench_refused = bench(|knobs| knobs.root_predicate = RootPredicate::Refused).await;
        bench_refused.get(tail).await.assert_error(400, "BadRequest");
    }
}

#[tokio::test]
async fn a_server_without_nodes_has_no_such_schema() {
    let bench = bench(|knobs| knobs.nav_node = NavNode::Missing).await;
    bench
        .get("/Navigation/NavNode")
        .await
        .assert_error(404, "SchemaNotFound");
    bench
        .get("/Navigation/NavNode/x/NavNode")
        .await
        .assert_error(404, "SchemaNotFound");
}

#[tokio::test]
async fn the_parent_of_a_root_is_written_as_chosen() {
    let zeros = "00000000-0000-0000-0000-000000000000";
    for (style, wanted) in [
        (RootParent::Absent, None),
        (RootParent::Null, Some(Value::Null)),
        (RootParent::Empty, Some("".into())),
        (RootParent::Zeros, Some(zeros.into())),
    ] {
        let bench = bench(|knobs| knobs.root_parent = style).await;
        let rows = bench
            .get("/PW_WSG/Project?$filter=ParentGuid eq null")
            .await
            .instances();
        assert_eq!(rows.len(), 3);
        for row in rows {
            let parent = row["properties"].as_object().unwrap().get("ParentGuid");
            assert_eq!(parent, wanted.as_ref());
        }
        let found = async |text: &str| {
            let tail = format!("/PW_WSG/Project?$filter=ParentGuid eq '{text}'");
            bench.get(&tail).await.ids().len()
        };
        assert_eq!(found(zeros).await, if style == RootParent::Zeros { 3 } else { 0 });
        assert_eq!(found("").await, if style == RootParent::Empty { 3 } else { 0 });
        let within = async |texts: &str| {
            let tail = format!("/PW_WSG/Project?$filter=ParentGuid in [{texts}]");
            bench.get(&tail).await.ids().len()
        };
        assert_eq!(within("''").await, found("").await);
        let folder = bench
            .get("/PW_WSG/Project?$filter=ParentGuid eq null")
            .await
            .ids()[0]
            .clone();
        let children = found(&folder).await;
        assert!(children > 0);
        assert_eq!(
            within(&format!("'','{folder}'")).await,
            children + found("").await
        );
    }
}

#[tokio::test]
async fn pages_are_as_long_as_chosen_and_top_is_cut() {
    let bench = bench(|knobs| {
        knobs.page_size = 5;
        knobs.max_top = 20;
    })
    .await;
    let rows = async |top: &str| bench.get(&format!("/PW_WSG/Document{top}")).await.ids().len();
    assert_eq!(rows("").await, 5);
    assert_eq!(rows("?$top=12").await, 12);
    assert_eq!(rows("?$top=21").await, 20);
    assert_eq!(rows("?$top=0").await, 0);
    bench.server.turn(|knobs| knobs.max_top = 0);
    assert_eq!(rows("?$top=12").await, 5);
    bench
        .get("/PW_WSG/Document?$top=-1")
        .await
        .assert_error(400, "BadRequest");
}

#[tokio::test]
async fn tokens_come_unasked_where_chosen_and_only_since_2_5() {
    let bench = bench(|knobs| knobs.skip_token = SkipTokenMode::Always).await;
    let tail = format!(
        "{}&$top=7",
        in_folder(folder(&bench, &INCOMING)).replace(' ', "+")
    );
    let first = bench.get(&tail).await;
    let token = format!("SkipToken: {}", first.header("SkipToken").unwrap());
    let second = bench.get_with(&tail, &[&token]).await;
    assert_eq!(second.ids().len(), 7);
    assert_ne!(second.ids(), first.ids());
    assert_eq!(at_version(&bench, "v2.4", &tail).await.header("SkipToken"), None);
}

#[tokio::test]
async fn a_token_is_good_for_its_time_its_listing_and_its_account() {
    let bench = demo().await;
    let tail = format!("{}&$top=7", in_folder(folder(&bench, &INCOMING)));
    let first = bench.get_with(&tail, &["SkipToken: 0"]).await;
    let token = format!("SkipToken: {}", first.header("SkipToken").unwrap());
    assert_eq!(bench.get_with(&tail, &[&token]).await.status, 200);
    let other = "/PW_WSG/Document?$top=7";
    bench
        .get_with(other, &[&token])
        .await
        .assert_error(400, "BadRequest");
    bench
        .server
        .turn(|knobs| knobs.skip_token_lifetime = Duration::ZERO);
    bench
        .get_with(&tail, &[&token])
        .await
        .assert_error(400, "BadRequest");
}

#[tokio::test]
async fn rows_are_counted_where_chosen() {
    let tail = "/PW_WSG/Document!poly?$count=true&$top=3&$filter=IsLatest eq true";
    let plain = demo().await.get(tail).await;
    assert!(plain.json().get("count").is_none());
    let bench_count = bench(|knobs| knobs.count = Count::Property).await;
    // One folder cannot be listed, and what is in it is not counted.
    let listed = |document: &ExpectedDocument| document.active && document.listed;
    let documents = bench_count.server.world().documents();
    let expected = documents.iter().filter(|document| listed(document)).count();
    assert!(expected < 400);
    assert_eq!(bench_count.get(tail).await.json()["count"], expected);
    assert!(
        bench_count
            .get("/PW_WSG/Document")
            .await
            .json()
            .get("count")
            .is_none()
    );
    // What is hidden is not counted either.
    let world = bench_count.server.world();
    let active = world.documents().into_iter().find(listed).unwrap();
    world.set_access(active.guid, Access::Hidden).unwrap();
    assert_eq!(bench_count.get(tail).await.json()["count"], expected - 1);
    let bench_refused = bench(|knobs| knobs.count = Count::Refused).await;
    bench_refused.get(tail).await.assert_error(400, "BadRequest");
}

#[tokio::test]
async fn rows_come_in_another_order_every_time_where_chosen() {
    let bench = bench(|knobs| {
        knobs.order = Order::Shuffled;
        knobs.page_size = 500;
    })
    .await;
    let tail = in_folder(folder(&bench, &INCOMING));
    let (one, two) = (bench.get(&tail).await.ids(), bench.get(&tail).await.ids());
    assert_ne!(one, two);
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&one), set(&two));
    let ordered = format!("{tail}&$orderby=$id");
    assert_eq!(bench.get(&ordered).await.ids(), bench.get(&ordered).await.ids());
    // The pages of one token are one listing.
    let (mut rows, mut token) = (Vec::new(), "0".to_owned());
    loop {
        let page = bench
            .get_with(&format!("{tail}&$top=9"), &[&format!("SkipToken: {token}")])
            .await;
        rows.extend(page.ids());
        match page.header("SkipToken") {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!((rows.len(), set(&rows)), (one.len(), set(&one)));
}

#[tokio::test]
async fn rows_are_sorted_by_what_is_allowed() {
    for (order_by, allowed) in [
        (OrderBy::Any, [200, 200, 200]),
        (OrderBy::Properties, [400, 200, 200]),
        (OrderBy::Name, [400, 400, 200]),
        (OrderBy::Refused, [400, 400, 400]),
    ] {
        let bench = bench(|knobs| knobs.order_by = order_by).await;
        for (column, status) in ["$id", "FileSize desc", "Name"].into_iter().zip(allowed) {
            let answer = bench.get(&format!("/PW_WSG/Document?$orderby={column}")).await;
            assert_eq!(answer.status, status, "{order_by:?} {column}");
        }
    }
}

#[tokio::test]
async fn ancestors_are_named_as_chosen() {
    for (ancestor, dash, equals) in [
        (Ancestor::Both, Some(true), Some(true)),
        (Ancestor::Dash, Some(true), Some(false)),
        (Ancestor::Equals, Some(false), Some(true)),
        (Ancestor::Ignored, Some(false), Some(false)),
        (Ancestor::Refused, None, None),
    ] {
        let bench = bench(|knobs| {
            knobs.ancestor = ancestor;
            knobs.max_top = 2000;
        })
        .await;
        let guid = folder(&bench, &["Leven Estuary Crossing", "05 Site Photos"]);
        let all = bench.get("/PW_WSG/Document!poly?$top=2000").await.ids().len();
        for (spelling, narrows) in [
            (format!("api.ancestor=Project-{guid}"), dash),
            (format!("API.ancestor=PW_WSG.Project={guid}"), equals),
        ] {
            let answer = bench
                .get(&format!("/PW_WSG/Document!poly?$top=2000&{spelling}"))
                .await;
            match narrows {
                Some(narrows) => assert_eq!(answer.ids().len() < all, narrows, "{ancestor:?} {spelling}"),
                None => answer.assert_error(400, "BadRequest"),
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_304_has_no_tags_on_lists() {
    let bench = bench(|knobs| knobs.no_304 = true).await;
    let answer = bench.get_with("/Navigation/NavNode", &["If-None-Match: *"]).await;
    assert_eq!((answer.status, answer.header("etag")), (200, None));
}

#[tokio::test]
async fn a_folder_without_rights_answers_as_chosen() {
    for (revoked, status) in [
        (RevokedFolder::Forbidden, 403),
        (RevokedFolder::NotFound, 404),
        (RevokedFolder::Empty, 200),
    ] {
        let bench = bench(|knobs| knobs.revoked_folder = revoked).await;
        let guid = folder(&bench, &INCOMING);
        bench.server.world().revoke(guid).unwrap();
        for tail in [
            in_folder(guid),
            format!("/PW_WSG/Project/{guid}/Document"),
            format!("/PW_WSG/Project/{guid}/Project"),
            format!("/PW_WSG/Document?$filter=ParentGuid eq '{guid}'"),
        ] {
            let answer = bench.get(&tail).await;
            assert_eq!(answer.status, status, "{tail}");
            if status == 200 {
                assert!(answer.ids().is_empty());
            }
        }
    }
}
