//! Fault scripts: read with care, run by time and by count.

use std::time::Duration;

use crate::demo::{DemoOptions, RequestKind, Script};

use super::client::{Bench, exchange};

const NODES: &str = "/Navigation/NavNode";

#[tokio::test(start_paused = true)]
async fn steps_come_by_time_and_by_count() {
    let bench = Bench::new(DemoOptions::default()).await;
    let script = r#"{
        "knobs": { "page-size": 3, "ignore-case": true },
        "faults": [ { "on": "NavNode", "effect": { "kind": "status", "code": 500 } } ],
        "steps": [
            { "after": "30s", "clear": true, "knobs": { "page-size": "4" } },
            { "after_requests": 2, "world": [
                { "command": "add-folder", "name": "By script" },
                { "command": "rename", "path": "By script", "name": "Renamed" },
                { "command": "delete", "path": "No such thing" } ] }
        ] }"#;
    bench.server.run_script(Script::parse(script).unwrap());
    let world = bench.server.world();
    assert_eq!(bench.get(NODES).await.status, 500);
    assert_eq!(bench.get("/PW_WSG/Document").await.instances().len(), 3);
    assert!(bench.server.knobs().name_case);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(bench.get(NODES).await.status, 200);
    assert_eq!(world.folder_at(&["Renamed"]), None);
    assert_eq!(bench.get("/PW_WSG/Document").await.instances().len(), 4);
    // The step follows the second request in another task.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.folder_at(&["Renamed"]).is_some());
    let progress = exchange(&bench.server.base_url(), "GET /admin/script HTTP/1.1", "").await;
    let progress = progress.unwrap().json();
    assert_eq!(progress["done"], 2);
    assert_eq!(progress["running"], false);
    assert_eq!(
        progress["mistakes"][0],
        "step 2: nothing is at the path \"No such thing\""
    );
    assert_eq!(bench.server.requests().of(RequestKind::NavNode), 2);
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let wrong = |text: &str| Script::parse(text).unwrap_err().to_string();
    assert_eq!(
        wrong(r#"{"knobs": {"order": "up"}}"#),
        "the start, knobs: order takes stable|shuffled, not \"up\""
    );
    let twice = r#"{"steps": [{"after": "1s"}, {"after": "1s", "after_requests": 2}]}"#;
    assert_eq!(
        wrong(twice),
        "step 2: takes exactly one of \"after\" and \"after_requests\""
    );
    assert_eq!(
        wrong(r#"{"steps": [{"after": "soon"}]}"#),
        "step 1, after: takes a time as 150ms, 30s, 5m or 1h, not \"soon\""
    );
    let fault = r#"{"faults": [{"on": "Fils", "effect": {"kind": "hang"}}]}"#;
    assert_eq!(
        wrong(fault),
        "the start, fault 1: there is no request kind \"Fils\""
    );
    let order = r#"{"steps": [{"after": "1s", "world": {"command": "rename", "nome": "x"}}]}"#;
    assert_eq!(wrong(order), "step 1, world: rename does not take \"nome\"");
    assert!(wrong(r#"{"step": []}"#).contains("unknown field `step`"));
    assert!(wrong("{").starts_with("the script is not as expected: "));
}

#[tokio::test(start_paused = true)]
async fn a_script_in_place_of_another_ends_it() {
    let bench = Bench::new(DemoOptions::default()).await;
    let script = |size: u32| {
        let text = format!(r#"{{"steps": [{{"after": "10s", "knobs": {{"page-size": {size}}}}}]}}"#);
        Script::parse(&text).unwrap()
    };
    bench.server.run_script(script(5));
    bench.server.run_script(script(6));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(bench.server.knobs().page_size, 6);
}
