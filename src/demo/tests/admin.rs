//! The admin API: all of it by name, and only for this machine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::demo::knobs::Knobs;
use crate::demo::{ACCOUNTS, DemoOptions, DemoServer};

use super::client::{Answer, Bench, exchange};

async fn ask(server: &DemoServer, head: &str, body: Value) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    exchange(&server.base_url(), &format!("{head} HTTP/1.1"), &body)
        .await
        .unwrap()
}

#[tokio::test]
async fn it_lists_its_commands_and_knows_every_one() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let text = String::from_utf8(ask(&server, "GET /admin", Value::Null).await.body).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let Some((head, _)) = line.split_once("  ").filter(|_| line.contains(" /admin")) else {
            continue;
        };
        count += 1;
        let answer = ask(&server, head.trim(), json!({})).await;
        assert_ne!(answer.status, 404, "{head}");
    }
    assert!(count >= 28, "{text}");
    let answer = ask(&server, "GET /admin/nothing", Value::Null).await;
    assert_eq!(answer.status, 404);
    let answer = ask(&server, "GET /administrator", Value::Null).await;
    assert_eq!((answer.status, answer.body.len()), (404, 0));
}

#[tokio::test]
async fn it_answers_this_machine_only() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let base = server.base_url();
    let status = async |headers: &str| {
        let head = format!("GET /admin/knobs HTTP/1.0\r\n{headers}");
        // The client adds a host of its own, so this one asks by itself.
        raw(&base, &head).await
    };
    let port = base.rsplit(':').next().unwrap();
    assert_eq!(status(&format!("Host: 127.0.0.1:{port}")).await, 200);
    assert_eq!(status("Host: localhost").await, 200);
    assert_eq!(status("Host: [::1]:80").await, 200);
    assert_eq!(status("Host: evil.example").await, 403);
    assert_eq!(status("Host: 127.0.0.1.evil.example").await, 403);
    assert_eq!(status("Accept: */*").await, 403);
    let from = |origin: &str| format!("Host: 127.0.0.1:{port}\r\nOrigin: {origin}");
    assert_eq!(status(&from(&base)).await, 200);
    assert_eq!(status(&from("http://evil.example")).await, 403);
    assert_eq!(status(&from("null")).await, 403);
}

async fn raw(base: &str, head: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{head}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    super::client::parse(&bytes).unwrap().status
}

#[tokio::test]
async fn knobs_are_shown_turned_and_put_back() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let value = async |name: &str| {
        let table = ask(&server, "GET /admin/knobs", Value::Null).await.json();
        let rows = table.as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        row["value"].as_str().unwrap().to_owned()
    };
    let turn = json!({"page-size": 7, "chunked": true, "order": "shuffled"});
    assert_eq!(ask(&server, "POST /admin/knobs", turn).await.status, 200);
    assert_eq!(value("page-size").await, "7");
    assert_eq!(server.knobs().page_size, 7);
    let wrong = json!({"page-size": 8, "order": "upwards"});
    let answer = ask(&server, "POST /admin/knobs", wrong).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"],
        "order takes stable|shuffled, not \"upwards\""
    );
    assert_eq!(value("page-size").await, "7");
    let hang = json!({"on": "File", "effect": {"kind": "hang"}});
    ask(&server, "POST /admin/faults", hang).await;
    assert_eq!(ask(&server, "POST /admin/reset", Value::Null).await.status, 200);
    assert_eq!(value("order").await, "stable");
    let faults = ask(&server, "GET /admin/faults", Value::Null).await.json();
    assert_eq!(faults, json!([]));
}

#[tokio::test]
async fn a_reset_opens_locked_accounts_and_fills_the_rates() {
    let knobs = Knobs {
        bad_logins: 1,
        platform_rate: 1,
        ..Knobs::default()
    };
    let options = DemoOptions {
        knobs,
        ..DemoOptions::default()
    };
    let bench = Bench::new(options).await;
    let account = ACCOUNTS[0];
    let status = async |method: &str, path: &str, login: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nAuthorization: {login}");
        let answer = exchange(&bench.server.base_url(), &head, "").await.unwrap();
        answer.status
    };
    let url = bench.server.datasource_url();
    let user = format!(
        "{}/PW_WSG/User",
        url.strip_prefix(&bench.server.base_url()).unwrap()
    );
    let basic = |password: &str| {
        let name = account.user.unwrap();
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    };
    let bearer = format!("Bearer {}", bench.token);
    assert_eq!(status("GET", &user, &basic("wrong")).await, 401);
    assert_ne!(status("GET", &user, &basic(account.password)).await, 200);
    assert_eq!(status("GET", "/itwins", &bearer).await, 200);
    assert_eq!(status("GET", "/itwins", &bearer).await, 429);
    assert_eq!(
        ask(&bench.server, "POST /admin/reset", Value::Null).await.status,
        200
    );
    assert_eq!(status("GET", &user, &basic(account.password)).await, 200);
    assert_eq!(status("GET", "/itwins", &bearer).await, 200);
}

#[tokio::test]
async fn only_an_admin_request_may_be_long() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let body = "x".repeat((1 << 20) + 1);
    let post = async |path: &str| {
        let head = format!("POST {path} HTTP/1.1");
        exchange(&server.base_url(), &head, &body).await.unwrap().status
    };
    assert_eq!(post("/connect/token").await, 413);
    // Read, and then found to be no JSON.
    assert_eq!(post("/admin/knobs").await, 400);
}

#[tokio::test]
async fn faults_tell_how_often_they_struck() {
    let bench = Bench::new(DemoOptions::default()).await;
    let fault = json!({
        "on": ["NavNode", "User"], "skip": 1, "times": 1, "effect": {"kind": "status", "code": 500},
    });
    let id = ask(&bench.server, "POST /admin/faults", fault).await.json()["id"].clone();
    for expected in [200, 500, 200] {
        assert_eq!(bench.get("/Navigation/NavNode").await.status, expected);
    }
    let row = ask(&bench.server, "GET /admin/faults", Value::Null).await.json()[0].clone();
    assert_eq!(
        (&row["id"], &row["struck"], &row["matched"], &row["in_force"]),
        (&id, &json!(1), &json!(2), &json!(false))
    );
    assert_eq!(row["on"], json!(["NavNode", "User"]));
    let wrong = json!({"effect": {"kind": "hang"}, "time": 3});
    let answer = ask(&bench.server, "POST /admin/faults", wrong).await;
    assert_eq!(answer.json()["error"], "faults does not take \"time\"");
}

#[tokio::test]
async fn the_tree_is_told_by_account_and_by_line() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let world = server.world();
    let tree = ask(&server, "GET /admin/tree", Value::Null).await.json();
    assert_eq!(
        tree["documents"].as_array().unwrap().len(),
        world.documents().len()
    );
    assert_eq!(tree["folders"].as_array().unwrap().len(), world.folders().len());
    let listed_guids = |rows: &Value, key: &str| -> Vec<Value> {
        let rows = rows[key].as_array().unwrap();
        rows.iter().map(|row| row["guid"].clone()).collect()
    };
    let guids: Vec<Value> = world
        .documents()
        .iter()
        .map(|row| json!(row.guid.to_string()))
        .collect();
    assert_eq!(listed_guids(&tree, "documents"), guids);
    let guest = "guest.reviewer@example.com";
    let head = format!("GET /admin/tree?account={guest}&format=ndjson");
    let lines = String::from_utf8(ask(&server, &head, Value::Null).await.body).unwrap();
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let folders = rows.iter().filter(|row| row["type"] == "folder").count();
    assert_eq!(folders, world.folders_for(guest).len());
    let listed = |rows: &[Value]| rows.iter().filter(|row| row["listed"] == true).count();
    let expected = world.documents_for(guest).iter().filter(|row| row.listed).count()
        + world.folders_for(guest).iter().filter(|row| row.listed).count();
    assert_eq!(listed(&rows), expected);
    let answer = ask(&server, "GET /admin/tree?account=nobody", Value::Null).await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (400, Some("nobody has the account \"nobody\""))
    );
}

#[tokio::test]
async fn content_is_the_truth_whatever_goes_wrong() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let fault = json!({"effect": {"kind": "drop_connection"}});
    ask(&server, "POST /admin/faults", fault).await;
    let world = server.world();
    let path = ["Leven Estuary Crossing", "00 General", "LEC-GEN-RPT-0002.pdf"];
    let guid = world.document_at(&path).unwrap();
    let truth = world.content(guid).unwrap();
    let by_guid = ask(&server, &format!("GET /admin/content?guid={guid}"), Value::Null).await;
    assert!(by_guid.body == truth);
    let path = path.join("/").replace(' ', "+");
    let by_path = ask(&server, &format!("GET /admin/content?path={path}"), Value::Null).await;
    assert!(by_path.body == truth);
}

#[tokio::test]
async fn content_too_large_for_memory_is_refused_unless_an_oracle_makes_it() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let folder = "Leven Estuary Crossing/00 General";
    for size in [(64_u64 << 20) + 1, u64::MAX] {
        let add = json!({"folder": folder, "name": "large.txt", "size": size});
        let answer = ask(&server, "POST /admin/add-document", add).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.json()["error"],
            format!("size takes at most 67108864 bytes (oracle takes more), not \"{size}\"")
        );
    }
    assert_eq!(
        server
            .world()
            .document_at(&["Leven Estuary Crossing", "00 General", "large.txt"]),
        None
    );
    let add = json!({"folder": folder, "name": "large.txt", "oracle": 5_u64 << 30});
    let answer = ask(&server, "POST /admin/add-document", add).await.json();
    let guid = answer["guid"].as_str().unwrap().parse().unwrap();
    assert_eq!(server.world().document(guid).unwrap().size, 5 << 30);
    // What a file has is bounded, not what the listing says of it.
    let told = json!({"guid": answer["guid"], "size": 6_u64 << 30});
    assert_eq!(ask(&server, "POST /admin/list-size", told).await.status, 200);
}

#[tokio::test]
async fn a_script_is_run_over_http() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let script = json!({"knobs": {"page-size": 9}, "steps": [{"after": "1h", "clear": true}]});
    let answer = ask(&server, "POST /admin/script", script).await;
    assert_eq!(answer.json()["steps"], 1);
    assert_eq!(server.knobs().page_size, 9);
    let stopped = ask(&server, "POST /admin/script/stop", Value::Null).await.json();
    assert_eq!(
        (&stopped["running"], &stopped["done"]),
        (&json!(false), &json!(0))
    );
    let wrong = json!({"steps": [{"clear": true}]});
    let answer = ask(&server, "POST /admin/script", wrong).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn rights_are_taken_from_one_account_and_files_replaced_unseen() {
    let server = DemoServer::start(DemoOptions::default()).await.unwrap();
    let world = server.world();
    let path = "Leven Estuary Crossing/00 General/LEC-GEN-RPT-0002.pdf";
    let guid = world.document_at(&path.split('/').collect::<Vec<_>>()).unwrap();
    let inspector = "site.inspector@example.com";
    let revoke = json!({"path": path, "account": inspector});
    assert_eq!(ask(&server, "POST /admin/hide", revoke).await.status, 200);
    let listed = |account| world.document_for(account, guid).is_some_and(|row| row.listed);
    assert!(!listed(inspector));
    assert!(world.document(guid).unwrap().listed);

    let before = world.document(guid).unwrap();
    let replace = json!({"guid": guid.to_string(), "oracle": before.size, "told": "same_second"});
    let answer = ask(&server, "POST /admin/replace", replace).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    let after = world.document(guid).unwrap();
    assert_eq!(after.listed_size, before.listed_size);
    assert_eq!(
        after.file_updated.map(crate::model::Timestamp::as_second),
        before.file_updated.map(crate::model::Timestamp::as_second)
    );
    let wrong = json!({"guid": guid.to_string(), "text": "x", "told": "maybe"});
    let answer = ask(&server, "POST /admin/replace", wrong).await;
    assert_eq!(
        answer.json()["error"],
        "told takes listed, same_tag, same_second or unseen, not \"maybe\""
    );
}
