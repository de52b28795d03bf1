//! `datasources`, `folders` and `tree`, and how they fail.

use std::fs;

use pwfs::demo::knobs::{Knobs, SkipTokenMode};
use pwfs::demo::{DemoOptions, Effect, Fault, RequestKind};
use pwfs::model::{DocumentKind, Guid};
use serde_json::Value;

use crate::harness::small;
use crate::program::{Running, Stage, nowhere};

const PROJECT: &str = "Leven Estuary Crossing";

fn folder(stage: &Stage, path: &[&str]) -> Guid {
    let folders = stage.server.world().folders();
    folders.iter().find(|folder| folder.path == path).unwrap().guid
}

/// The documents that a truthful listing of everything has.
fn documents(stage: &Stage) -> usize {
    let documents = stage.server.world().documents();
    documents.iter().filter(|d| d.listed && d.active).count()
}

#[test]
fn the_datasources_of_the_server_are_listed_with_the_urls_that_commands_take() {
    let stage = Stage::signed_in(small());
    let url = stage.server.datasource_url();
    let hub = url.replace(
        &stage.server.repository_id(),
        "Bentley.IModelHub--demo-hub.example.com",
    );
    let text = stage.run(&["datasources"]).succeeds();
    assert_eq!(
        text,
        format!("Leven Estuary Demo  {url}\niModel Hub  {hub}  [not ProjectWise]\n")
    );
    let json: Value = serde_json::from_str(&stage.run(&["datasources", "--json"]).succeeds()).unwrap();
    assert_eq!(json[0]["url"], url);
    assert_eq!(json[0]["id"], stage.server.repository_id());
    assert_eq!(json[0]["location"], "pwfs-demo.invalid:leven-estuary");
    // The server's address is enough, by flag and by environment, and with one datasource it is for the rest.
    let server = stage.server.wsg_url();
    let text = stage.run(&["datasources", "--datasource", &server]).succeeds();
    let shown = text.lines().next().unwrap().rsplit(' ').next().unwrap();
    let roots = stage.run(&["folders"]).succeeds();
    assert_eq!(stage.run(&["folders", "--datasource", shown]).succeeds(), roots);
    let mut command = stage.command(&["folders"]);
    command.env("PWFS_DATASOURCE", &server);
    assert_eq!(Running::spawn(command).finish().succeeds(), roots);
}

#[test]
fn folders_are_listed_by_name_with_their_guids() {
    let stage = Stage::signed_in(small());
    let (own, standards, project) = (
        folder(&stage, &[".pw"]),
        folder(&stage, &["Company Standards"]),
        folder(&stage, &[PROJECT]),
    );
    assert_eq!(
        stage.run(&["folders"]).succeeds(),
        format!(".pw  {own}\nCompany Standards  {standards}\n{PROJECT}  {project}  [work area]\n")
    );
    let below = stage
        .run(&["folders", "Leven Estuary Crossing/05 Site Photos"])
        .succeeds();
    let names: Vec<&str> = below
        .lines()
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert_eq!(names, ["2026-02", "2026-03", "2026-04"]);
    let photos = folder(&stage, &[PROJECT, "05 Site Photos"]);
    assert_eq!(stage.run(&["folders", &photos.to_string()]).succeeds(), below);
    // A URL that leads to a folder, as people paste it, begins there.
    let deep = format!("{}/PW_WSG/Project/{photos}", stage.server.datasource_url());
    assert_eq!(stage.run(&["folders", "--datasource", &deep]).succeeds(), below);
    let tree = stage
        .run(&["tree", "--depth", "1", "--datasource", &deep])
        .succeeds();
    assert!(tree.starts_with("05 Site Photos\n├── 2026-02/\n"), "{tree}");

    let json: Value = serde_json::from_str(&stage.run(&["folders", "--json"]).succeeds()).unwrap();
    assert_eq!(json[2]["id"], project.to_string());
    assert_eq!(json[2]["work_area"], true);
}

#[test]
fn a_tree_has_every_folder_and_document_and_marks_what_is_denied() {
    let stage = Stage::signed_in(small());
    let text = stage.run(&["tree"]).succeeds();
    let world = stage.server.world();
    let folders = world.folders().iter().filter(|folder| folder.listed).count();
    let last = text.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "{folders} folders, {} documents, 1 without access",
            documents(&stage)
        )
    );
    assert!(
        text.contains("├── 09 Commercial in Confidence/  [no access]\n"),
        "{text}"
    );
    assert!(!text.contains("LEC-COM-BID-0001"), "{text}");
    assert!(text.contains("doc00001  [no file]\n"), "{text}");
    assert!(text.contains("Tender Issue Set  [set]\n"), "{text}");

    let text = stage.run(&["tree", "--depth", "1"]).succeeds();
    let (name, rest) = text.split_once('\n').unwrap();
    assert!(name.starts_with("pwfs-demo.invalid:leven-estuary"), "{name}");
    assert_eq!(
        rest,
        "├── .pw/\n├── Company Standards/\n└── Leven Estuary Crossing/\n\n3 folders, 0 documents\n"
    );

    for args in [["tree", "--format", "json"].as_slice(), &["tree", "--json"]] {
        let json: Value = serde_json::from_str(&stage.run(args).succeeds()).unwrap();
        assert_eq!(json["counts"]["documents"], documents(&stage));
        assert_eq!(json["counts"]["denied"], 1);
        assert_eq!(json["complete"], false, "one folder is denied");
        assert_eq!(json["tree"]["folders"][0]["name"], ".pw");
    }
    let standards: Value =
        serde_json::from_str(&stage.run(&["tree", "Company Standards", "--json"]).succeeds()).unwrap();
    assert_eq!(standards["complete"], true);
    let document = &standards["tree"]["folders"][0]["documents"][0];
    assert_eq!(document["file_name"], "STD-BLK-0001.dxf");
    assert_eq!(document["size"], 6000);
}

#[test]
fn both_ways_of_paging_show_the_same_tree() {
    let paged = |skip_token| {
        let stage = Stage::signed_in(DemoOptions {
            knobs: Knobs {
                page_size: 7,
                skip_token: if skip_token {
                    SkipTokenMode::OptIn
                } else {
                    SkipTokenMode::Ignored
                },
                ..Knobs::default()
            },
            ..small()
        });
        let text = stage.run(&["tree"]).succeeds();
        let (_, tree) = text.split_once('\n').unwrap();
        let pages = stage.server.request_log();
        let with_token = pages.iter().any(|request| request.skip_token.is_some());
        (tree.to_owned(), with_token, stage)
    };
    let (tokens, by_token, stage) = paged(true);
    let (skips, _, _) = paged(false);
    assert!(by_token, "the first way was gone");
    assert_eq!(tokens, skips);
    let files = stage.server.world().documents();
    for document in files
        .iter()
        .filter(|d| d.listed && d.active && d.kind == DocumentKind::File)
    {
        let name = document.file_name.as_ref().unwrap();
        assert!(tokens.contains(&pwfs::cli::output::escape(name)), "{name:?}");
    }
}

#[test]
fn a_page_that_fails_is_never_a_shorter_list() {
    let stage = Stage::signed_in(DemoOptions {
        knobs: Knobs {
            page_size: 10,
            ..Knobs::default()
        },
        ..small()
    });
    let path = [PROJECT, "10 Names From Migration"];
    let broken = folder(&stage, &path);
    for effect in [
        Effect::MalformedJson,
        Effect::LoopingSkipToken,
        Effect::Truncate { after: 100 },
    ] {
        let fault = Fault::on(RequestKind::ListDocuments, effect.clone());
        let id = stage.server.inject(fault.about(broken).after(1));
        let done = stage.run(&["tree"]);
        assert!(!matches!(done.code, Some(0 | 2) | None), "{effect:?}: {done:#?}");
        assert!(
            done.stderr
                .contains("Error: 1 of the folders could not be listed\n"),
            "{done:#?}"
        );
        assert!(
            done.stderr.contains(&format!("Cause: {}: ", path.join("/"))),
            "{done:#?}"
        );
        assert!(
            done.stdout
                .contains("10 Names From Migration/  [not listed: failed]\n"),
            "{done:#?}"
        );
        assert!(!done.stdout.contains("evil"), "{done:#?}");
        assert!(
            done.stdout.contains("LEC-COR-OUT"),
            "the rest is shown: {done:#?}"
        );
        let json = stage.run(&["tree", "--json"]);
        let tree: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(tree["complete"], false);
        assert_eq!(tree["counts"]["failed"], 1);
        let error: Value = serde_json::from_str(&json.stderr).unwrap();
        assert_eq!(error["error"]["exit_code"], json.code.unwrap());
        assert!(stage.server.clear_fault(id));
    }
    // A sign-in page instead of a list: whatever was found before is not shown as if it were the tree.
    let fault = Fault::on(RequestKind::ListDocuments, Effect::HtmlLogin);
    let id = stage.server.inject(fault.about(broken).after(1));
    let words = stage.run(&["tree"]).fails(77);
    assert!(
        words.contains("Hint: if the app is not whitelisted yet"),
        "{words}"
    );
    assert!(stage.server.clear_fault(id));

    let fault = Fault::on(RequestKind::ListProjects, Effect::MalformedJson);
    stage.server.inject(fault);
    let words = stage.run(&["folders", PROJECT]).fails(1);
    assert!(words.contains("Hint: "), "{words}");
}

#[test]
fn a_hostile_name_cannot_command_the_terminal() {
    let stage = Stage::signed_in(small());
    stage
        .server
        .world()
        .add_folder(None, "\u{1b}]0;owned\u{7}")
        .unwrap();
    let said = [
        stage.run(&["tree"]),
        stage.run(&["folders"]),
        stage.run(&["folders", "\u{1b}[2J"]),
        stage.run(&["folders", "Leven Estuary Crossing/10 Names From Migration"]),
    ];
    for done in &said {
        let harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!done.all().contains(harmful), "{:?}", done.all());
    }
    let tree = &said[0].stdout;
    for escaped in [
        "evil\\u{202e}txt.exe",
        "new\\u{a}line.txt",
        "\\u{1b}]0;owned\\u{7}/",
    ] {
        assert!(tree.contains(escaped), "{escaped} in {tree}");
    }
    // Programs get the names as they are.
    let json: Value = serde_json::from_str(&stage.run(&["folders", "--json"]).succeeds()).unwrap();
    assert_eq!(json[0]["name"], "\u{1b}]0;owned\u{7}");
}

#[test]
fn a_path_that_leads_nowhere_or_to_several_folders_is_explained() {
    let stage = Stage::signed_in(small());
    let words = stage
        .run(&["folders", "Leven Estuary Crossing/05 site photos"])
        .fails(1);
    assert!(
        words.contains("\"05 site photos\" in \"Leven Estuary Crossing\""),
        "{words}"
    );
    assert!(words.contains("Hint: names are matched exactly"), "{words}");

    let world = stage.server.world();
    let twins = [0, 1].map(|_| world.add_folder(None, "Twin").unwrap().to_string());
    let words = stage.run(&["tree", "Twin"]).fails(2);
    for twin in twins {
        assert!(words.contains(&twin), "{words}");
        stage.run(&["tree", &twin]).succeeds();
    }
}

#[test]
fn each_kind_of_failure_has_its_status_and_its_words() {
    let stage = Stage::new();
    let words = stage.run(&["tree"]).fails(78);
    assert!(words.contains("there is no profile \"default\""), "{words}");
    assert!(words.contains("Hint: run `pwfs setup`"), "{words}");

    stage.login(&stage.native_app()).succeeds();
    let words = stage.run(&["tree"]).fails(78);
    assert!(words.contains("names no datasource"), "{words}");
    for wrong in [
        "ftp://server/ws",
        "http://example.com/ws",
        "https://user:pass@example.com/ws",
        "https://",
    ] {
        let words = stage.run(&["tree", "--datasource", wrong]).fails(2);
        assert!(words.contains("Hint: a datasource URL looks like"), "{words}");
        assert!(!words.contains("pass@"), "{words}");
    }
    let down = format!("{}/ws", nowhere());
    let words = stage.run(&["tree", "--datasource", &down]).fails(69);
    assert!(words.contains("firewall"), "{words}");
    let words = stage.run(&["folders", "--profile", "other"]).fails(78);
    assert!(words.contains("there are: default"), "{words}");

    stage.server.revoke_all_tokens();
    let url = stage.server.datasource_url();
    let words = stage.run(&["tree", "--datasource", &url]).fails(77);
    assert!(words.contains("Hint: run `pwfs login`"), "{words}");
    stage.run(&["logout"]).succeeds();
    stage.run(&["tree", "--datasource", &url]).fails(77);

    stage
        .run(&["login", "--profile", "../x", "--client-id", "x"])
        .fails(2);
    let config = stage.config_file();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}datasource = [\n")).unwrap();
    let words = stage.run(&["tree"]).fails(78);
    let line = text.lines().count() + 1;
    assert!(
        words.contains(&format!("config.toml cannot be used: line {line}: ")),
        "{words}"
    );
    assert_eq!(words.lines().count(), 2, "one line and its hint: {words}");
    fs::write(&config, format!("{text}datasorce = \"x\"\n")).unwrap();
    let words = stage.run(&["tree"]).fails(78);
    assert!(words.contains("did you mean \"datasource\"?"), "{words}");
    assert!(
        words.contains(&format!("line {}", text.lines().count() + 1)),
        "{words}"
    );
}

#[test]
fn other_places_for_configuration_and_state_are_used() {
    let stage = Stage::new();
    let mut args = vec![
        "login".to_owned(),
        "--no-browser".into(),
        "--credentials".into(),
        "file".into(),
    ];
    args.extend(stage.native_app());
    args.extend(["--profile".into(), "work".into()]);
    let place = |name: &str| stage.home.path().join(name);
    let moved = |args: &[String]| {
        let mut command = stage.command(args);
        for name in ["CONFIG", "STATE", "CACHE"] {
            command.env(format!("PWFS_{name}_DIR"), place(name));
        }
        Running::spawn(command)
    };
    let mut login = moved(&args);
    let page = login.sign_in_page();
    stage.register(&page);
    crate::program::visit(&page);
    login.finish().succeeds();
    assert!(place("STATE/credentials/work.json").exists());
    assert!(place("CONFIG/config.toml").exists());
    assert!(!stage.config_file().exists());
    // The only profile is meant where none is named.
    moved(&["whoami".to_owned()]).finish().succeeds();

    fs::rename(place("CONFIG/config.toml"), place("mine.toml")).unwrap();
    moved(&["whoami".to_owned()]).finish().fails(77);
    let chosen = ["whoami", "--config", "mine.toml"].map(str::to_owned);
    moved(&chosen).finish().succeeds();
}

#[test]
fn who_stops_reading_ends_the_output_without_an_error() {
    let stage = Stage::signed_in(small());
    for args in [
        ["tree"].as_slice(),
        &["tree", "--json"],
        &["folders"],
        &["--help"],
    ] {
        let done = Running::spawn_unread(stage.command(args)).finish();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
