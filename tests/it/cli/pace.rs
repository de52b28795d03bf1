//! `--pace`, and what `status` shows of it.

use std::time::Duration;

use pwfs::demo::{Effect, Fault, RequestKind};
use serde_json::{Value, json};

use crate::harness::small;
use crate::program::Stage;

fn servers(stage: &Stage) -> Value {
    let told: Value = serde_json::from_str(&stage.run(&["status", "--json"]).stdout).unwrap();
    told["servers"].clone()
}

/// Requests the gateway has seen; signing in is none of them.
fn asked(stage: &Stage) -> u64 {
    let counters = stage.server.requests();
    let gateway = counters.by_kind().filter(|(kind, _)| {
        !matches!(
            kind,
            RequestKind::Discovery
                | RequestKind::Authorize
                | RequestKind::Token
                | RequestKind::UserInfo
                | RequestKind::Introspection
        )
    });
    gateway.map(|(_, count)| count).sum()
}

#[test]
fn commands_share_a_pace_and_what_the_server_asks_for() {
    let stage = Stage::signed_in(small());
    // This machine's own server has no pace of itself.
    stage.run(&["folders"]).succeeds();
    assert_eq!(servers(&stage), json!([]));

    stage.server.reset_counters();
    stage.run(&["folders", "--pace", "gentle"]).succeeds();
    let first = asked(&stage);
    stage.run(&["--pace", "normal", "folders"]).succeeds();
    assert!(first > 0 && asked(&stage) > first);
    let server = &servers(&stage)[0];
    // The strictest holds, and both are counted.
    assert_eq!(server["per_minute"], 100, "{server}");
    assert_eq!(
        server["used_in_last_minute"]["interactive"],
        asked(&stage),
        "{server}"
    );
    assert_eq!(server["processes"].as_array().unwrap().len(), 2, "{server}");
    // Its verdict is about mounts, of which other tests have some.
    let text = stage.run(&["status"]).stdout;
    assert!(
        text.contains("\n  pace     at most 100 requests a minute, "),
        "{text}"
    );

    // One command is told to wait a minute; the next sends nothing, and says why.
    let throttled = Effect::Status {
        code: 429,
        error_id: None,
        retry_after: Some(Duration::from_secs(60)),
    };
    stage
        .server
        .inject(Fault::on(RequestKind::ListProjects, throttled));
    stage.run(&["folders", "--pace", "fast"]).fails(75);
    stage.server.clear_faults();
    stage.server.reset_counters();
    let said = stage.run(&["folders", "--pace", "fast"]).fails(75);
    assert!(said.contains("it asked for fewer requests"), "{said}");
    assert_eq!(asked(&stage), 0);
    let server = &servers(&stage)[0];
    assert!(server["held_for"].as_u64().unwrap() > 0, "{server}");
    assert!(server["learned_per_minute"].as_u64().unwrap() < 100, "{server}");

    let said = stage.run(&["folders", "--pace", "slow"]).fails(2);
    assert!(said.contains("gentle, normal, fast"), "{said}");
}
