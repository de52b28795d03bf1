//! `doctor`, by the program itself, in states that people meet.

mod access;
mod machine;
mod network;

use std::fs;

use pwfs::demo::{DemoOptions, RequestKind};
use pwfs::doctor::{Id, MOST_REQUESTS};
use serde_json::Value;

use crate::harness::small;
use crate::program::{Finished, Stage, visit};

/// What the doctor told.
struct Told {
    code: i32,
    report: Value,
    all: String,
}

impl Told {
    #[track_caller]
    fn of(finished: &Finished) -> Self {
        let all = finished.all();
        assert!(!all.contains("the time was up"), "{all}");
        Self {
            code: finished.code.unwrap(),
            report: serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("no report: {all}")),
            all,
        }
    }

    fn checks(&self) -> &Vec<Value> {
        self.report["checks"].as_array().unwrap()
    }

    #[track_caller]
    fn check(&self, id: &str) -> &Value {
        let found = self.checks().iter().find(|check| check["id"] == id);
        found.unwrap_or_else(|| panic!("{id} is not told: {}", self.all))
    }

    #[track_caller]
    fn outcome(&self, id: &str) -> &str {
        self.check(id)["outcome"].as_str().unwrap()
    }

    /// Those with this outcome. What other tests do to this machine meanwhile, whether it has FUSE, and how full its disk is
    /// are left out.
    fn with(&self, outcome: &str) -> Vec<&str> {
        let checks = self.checks().iter();
        checks
            .filter(|check| check["outcome"] == outcome)
            .map(|check| check["id"].as_str().unwrap())
            .filter(|id| !id.starts_with("fuse.") && !id.starts_with("mounts.") && *id != "cache.space")
            .collect()
    }

    /// This check, and no other one, failed; the program ended as its kind wants, and a step to mend it has these words.
    #[track_caller]
    fn fails(&self, id: &str, code: i32, words: &str) -> &Self {
        assert_eq!(self.with("fail"), [id], "{}", self.all);
        self.ends(id, code).mends(id, words)
    }

    /// The program ended with the status of `id`'s failure, which is the first.
    #[track_caller]
    fn ends(&self, id: &str, code: i32) -> &Self {
        assert_eq!(self.report["exit_code"], self.code, "{}", self.all);
        if self.report["first_failure"] == id {
            assert_eq!(self.code, code, "{}", self.all);
        } else {
            // Without FUSE every run on this machine begins with that failure.
            let first = self.report["first_failure"].as_str().unwrap();
            assert!(first.starts_with("fuse."), "{}", self.all);
        }
        self
    }

    /// Some step of the check's remedy has these words.
    #[track_caller]
    fn mends(&self, id: &str, words: &str) -> &Self {
        let steps = self.check(id)["remedy"].as_array().unwrap();
        let has = steps.iter().any(|step| step.as_str().unwrap().contains(words));
        assert!(has, "{words:?} is no remedy of {id}: {steps:#?}");
        self
    }

    #[track_caller]
    fn finds(&self, id: &str, words: &str) -> &Self {
        let finding = self.check(id)["finding"].as_str().unwrap();
        assert!(finding.contains(words), "{id}: {finding}");
        self
    }

    /// The check waits for the other one.
    #[track_caller]
    fn waits(&self, id: &str, other: &str) -> &Self {
        assert_eq!(self.outcome(id), "skipped", "{}", self.all);
        assert_eq!(self.check(id)["waits_for"], other, "{}", self.all);
        self
    }

    /// No check failed.
    #[track_caller]
    fn is_well(&self) -> &Self {
        assert_eq!(self.with("fail"), [""; 0], "{}", self.all);
        if self.report["first_failure"].is_null() {
            assert_eq!(
                (self.code, &self.report["exit_code"]),
                (0, &Value::from(0)),
                "{}",
                self.all
            );
        }
        self
    }
}

fn doctor(stage: &Stage, args: &[&str]) -> Told {
    let mut all = vec!["doctor", "--json"];
    all.extend(args);
    Told::of(&stage.run(&all))
}

/// Signs in as somebody else than the demo engineer, and has the profile name the datasource.
fn sign_in_as(stage: &Stage, email: &str, flags: &[&str]) {
    let mut args = stage.native_app();
    args.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let mut login = stage.start_login(&args);
    let mut page = login.sign_in_page();
    stage.register(&page);
    page.query_pairs_mut().append_pair("login_hint", email);
    visit(&page);
    login.finish().succeeds();
    add_to_profile(
        stage,
        &format!("datasource = {:?}\n", stage.server.datasource_url()),
    );
}

/// Signs the web app in with its secret.
fn sign_in_web(stage: &Stage) {
    let (_, secret) = stage.server.web_client();
    fs::write(stage.home.path().join("secret"), secret).unwrap();
    let mut args = stage.web_app();
    args.extend(["--client-secret-file".into(), "secret".into()]);
    stage.login(&args).succeeds();
    add_to_profile(
        stage,
        &format!("datasource = {:?}\n", stage.server.datasource_url()),
    );
}

/// Writes lines at the end of the configuration, which is the profile.
fn add_to_profile(stage: &Stage, lines: &str) {
    let path = stage.config_file();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}{lines}")).unwrap();
}

fn signed_in() -> Stage {
    Stage::signed_in(small())
}

#[test]
fn a_working_set_up_passes_with_few_requests_and_nothing_is_used_up() {
    let stage = signed_in();
    let login = fs::read(stage.login_file()).unwrap();
    stage.server.reset_counters();
    let told = doctor(&stage, &[]);
    told.is_well();
    let mut noted = told.with("warn");
    // The port of the login was free once, and may be anybody's now.
    noted.retain(|id| *id != "login.redirect");
    assert_eq!(noted, [""; 0], "{}", told.all);
    let asked = stage.server.requests();
    assert!(asked.total <= u64::from(MOST_REQUESTS), "{asked:?}");
    assert_eq!(
        told.report["requests"], asked.total,
        "what is told is what was sent: {asked:?}"
    );
    assert_eq!(asked.of(RequestKind::Mutation), 0);
    assert_eq!(asked.of(RequestKind::Token), 0, "nothing was due");
    assert_eq!(
        fs::read(stage.login_file()).unwrap(),
        login,
        "the login is as it was"
    );
    for secret in ["access_token", "refresh_token"] {
        assert!(!told.all.contains(&stage.stored(secret)), "{secret} was told");
    }
    told.finds("login.record", "demo.engineer@example.com")
        .finds("access.account", "user 1042")
        .finds("folders.chosen", "all root folders");
    assert_eq!(told.check("wsg.paging")["details"]["mode"], "skiptoken");
    assert_eq!(told.check("wsg.range")["details"]["range"], true);
}

#[test]
fn every_check_is_told_once_in_the_order_of_the_manual() {
    let stage = Stage::new();
    let told = doctor(&stage, &[]);
    let ids: Vec<_> = told
        .checks()
        .iter()
        .map(|check| check["id"].as_str().unwrap())
        .collect();
    let all: Vec<_> = Id::ALL.iter().map(|id| id.text()).collect();
    assert_eq!(ids, all);
    let summary = &told.report["summary"];
    let counted: u64 = ["pass", "warn", "fail", "skipped"]
        .iter()
        .map(|outcome| summary[outcome].as_u64().unwrap())
        .sum();
    assert_eq!(counted, ids.len() as u64);
    for check in told.checks() {
        let has_remedy = !check["remedy"].as_array().unwrap().is_empty();
        let outcome = check["outcome"].as_str().unwrap();
        assert!(
            has_remedy || outcome != "fail",
            "a failure says what mends it: {check}"
        );
    }
}

#[test]
fn the_manual_lists_every_check() {
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).unwrap();
    let listed: Vec<(&str, &str)> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| {
            let (id, rest) = row.split_once("` | ")?;
            Some((id, rest.split(" | ").next()?))
        })
        .filter(|(id, _)| id.contains('.'))
        .collect();
    let all: Vec<_> = Id::ALL.iter().map(|id| (id.text(), id.title())).collect();
    assert_eq!(listed, all, "docs/doctor.md and the code differ");
}

#[test]
fn people_read_one_line_a_check_and_what_mends_it_below() {
    let stage = signed_in();
    let said = stage.run(&["doctor", "--folder", "No Such Folder"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("  FAIL folders.chosen"))
        .unwrap();
    assert!(
        lines[at].contains("there is no folder \"No Such Folder\""),
        "{said:#?}"
    );
    assert!(
        lines[at + 1].starts_with("       → see what there is with `pwfs folders`"),
        "{said:#?}"
    );
    assert!(
        said.stdout
            .contains("\nAccess to the datasource\n  ok   access.gateway"),
        "{said:#?}"
    );
    assert!(lines.last().unwrap().starts_with("47 checks: "), "{said:#?}");
    assert!(said.stderr.contains("failed: "), "{said:#?}");
    assert_ne!(said.code, Some(0));
}

#[test]
fn what_the_server_can_do_is_told_as_it_was_seen() {
    use pwfs::demo::knobs::{Ranges, Redirect};
    let stage = signed_in();
    stage.server.turn(|knobs| {
        knobs.ranges = Ranges::Ignored;
        knobs.redirect = Redirect::Blob;
        knobs.compress = true;
        knobs.max_top = 7;
        knobs.skip_token = pwfs::demo::knobs::SkipTokenMode::Ignored;
    });
    let told = doctor(&stage, &["--folder", "Leven Estuary Crossing"]);
    told.is_well();
    assert_eq!(told.check("wsg.range")["details"]["range"], false);
    assert_eq!(told.outcome("wsg.range"), "warn");
    assert_eq!(told.check("wsg.redirect")["details"]["host"], "127.0.0.1");
    assert_eq!(told.check("wsg.compression")["details"]["gzip"], true);
    assert_eq!(told.check("wsg.paging")["details"]["mode"], "skip");

    let stage = Stage::signed_in(DemoOptions {
        knobs: pwfs::demo::knobs::Knobs {
            api: 3,
            properties: pwfs::demo::knobs::DocumentProperties::Few,
            ..Default::default()
        },
        ..small()
    });
    let told = doctor(&stage, &[]);
    told.is_well();
    told.finds("wsg.version", "spoken to by v2.3");
}
