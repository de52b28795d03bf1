//! How a datasource is named and found: every form of link, and the work areas of iTwins.

use std::fs;
use std::time::Duration;

use pwfs::demo::knobs::{Knobs, WorkAreas};
use pwfs::demo::{DemoOptions, RequestKind};
use pwfs::model::DocumentKind;
use serde_json::Value;

use crate::harness::small;
use crate::program::{Finished, Stage, until};

const PROJECT: &str = "Leven Estuary Crossing";
/// `server:datasource` of the simulator.
const LOCATION: &str = "pwfs-demo.invalid:leven-estuary";

fn turned(change: impl FnOnce(&mut Knobs)) -> DemoOptions {
    let mut options = small();
    change(&mut options.knobs);
    options
}

/// Signed in, and without a datasource.
fn without_datasource(options: DemoOptions) -> Stage {
    let stage = Stage::with(options);
    stage.login(&stage.native_app()).succeeds();
    stage
}

fn json(done: Finished) -> Value {
    serde_json::from_str(&done.succeeds()).unwrap()
}

#[test]
fn every_form_of_link_leads_to_the_same_folder() {
    let stage = Stage::signed_in(small());
    let world = stage.server.world();
    let path = [PROJECT, "03 Design", "Deck", "Drawings"];
    let folder = world.folder_at(&path).unwrap();
    let documents = world.documents();
    let document = documents
        .iter()
        .find(|d| d.path == path && d.active && d.listed && d.kind == DocumentKind::File)
        .unwrap();
    let file = document.file_name.as_ref().unwrap();
    let url = stage.server.datasource_url();
    let spaced = path.join("/");
    let escaped = spaced.replace(' ', "%20");
    let truth = stage.run(&["tree", &folder.to_string()]).succeeds();
    assert!(truth.starts_with("Drawings\n"), "{truth}");
    for link in [
        format!("{url}/PW_WSG/Project/{folder}"),
        format!("{url}/PW_WSG/Document/{}/$file", document.guid),
        format!(
            "<{}/pw_wsg/project/%7B{folder}%7D?x=1>",
            url.replace("~3A", "%3A")
        ),
        format!("pw://{LOCATION}/Documents/P{{{folder}}}/"),
        format!("pw://{}/documents/p%7B{folder}%7D", LOCATION.to_uppercase()),
        format!("pw://{LOCATION}/Documents/D{{{}}}", document.guid),
        format!("pw://{LOCATION}/Documents/{escaped}/"),
        format!("pw://{LOCATION}/Documents/{spaced}"),
        format!("pw://{LOCATION}/Documents/{}", escaped.replace('%', "%25")),
        format!("pw://{LOCATION}/Documents/{escaped}/{file}"),
        format!(r"pw:\\{LOCATION}\Documents\{}\", path.join(r"\")),
        format!(r#""pw:\\{LOCATION}\Documents\{}\{file}""#, path.join(r"\")),
        format!("{LOCATION}/Documents/{spaced}"),
    ] {
        assert_eq!(
            stage.run(&["tree", "--datasource", &link]).succeeds(),
            truth,
            "{link}"
        );
    }
    // Links without a place are the whole datasource; the profile may hold one as well.
    let roots = stage.run(&["folders"]).succeeds();
    for link in [
        format!("pw://{LOCATION}"),
        LOCATION.to_owned(),
        stage.server.repository_id(),
        stage.server.base_url(),
    ] {
        assert_eq!(
            stage.run(&["folders", "--datasource", &link]).succeeds(),
            roots,
            "{link}"
        );
    }
    let config = fs::read_to_string(stage.config_file()).unwrap();
    let deep = format!("{url}/PW_WSG/Document/{}", document.guid);
    fs::write(stage.config_file(), config.replace(&url, &deep)).unwrap();
    assert_eq!(stage.run(&["tree"]).succeeds(), truth);
}

#[test]
fn a_link_that_leads_nowhere_says_where_it_ends() {
    let stage = Stage::signed_in(small());
    let tree = |link: &str| stage.run(&["tree", "--datasource", link]);
    let words = tree(&format!("pw://{LOCATION}/Documents/{PROJECT}/03%20Desing/x.pdf")).fails(1);
    assert!(words.contains("there is no folder \"03 Desing\""), "{words}");
    assert!(words.contains("`pwfs folders`"), "{words}");
    let words = tree(&format!("pw://{LOCATION}/Documents/{PROJECT}/no.pdf")).fails(1);
    assert!(words.contains("there is no folder \"no.pdf\""), "{words}");
    let missing = "00000000-0000-4000-8000-00000000dead";
    let words = tree(&format!("pw://{LOCATION}/Documents/D{{{missing}}}")).fails(1);
    assert!(words.contains(missing), "{words}");
    let words = tree(&format!("pw://{LOCATION}/Saved Searches/x")).fails(2);
    assert!(words.contains("below Documents"), "{words}");
    let words = tree("pw://me:s3cret@host:ds/Documents").fails(2);
    assert!(
        words.contains("user name or password") && !words.contains("s3cret"),
        "{words}"
    );

    // The server of the profile has datasources of this ProjectWise server, and not that one.
    let words = tree("pw://pwfs-demo.invalid:leven-eastuary").fails(1);
    assert!(
        words.contains("has no datasource \"pwfs-demo.invalid:leven-eastuary\""),
        "{words}"
    );
    // The address of the profile has a version, and so has the choice.
    let choice = format!("Hint: {} (Leven Estuary Demo)", stage.server.datasource_url());
    assert!(words.contains(&choice), "{words}");
    let url = stage.server.datasource_url();
    let words = tree(&url.replace("leven-estuary", "leven-eastuary")).fails(1);
    assert!(
        words.contains("has no datasource \"pwfs-demo.invalid:leven-eastuary\""),
        "{words}"
    );
    assert!(words.contains(&choice), "{words}");
    // Whether this server takes another spelling of an id or not, it leads to the same folders.
    let odd = url
        .replace("Bentley.PW--pwfs-demo", "bentley.pw--PWFS-demo")
        .replace("~3A", "~3a");
    let roots = stage.run(&["folders"]).succeeds();
    assert_eq!(stage.run(&["folders", "--datasource", &odd]).succeeds(), roots);

    let world = stage.server.world();
    let twins = [0, 1].map(|_| world.add_folder(None, "Twin").unwrap().to_string());
    let words = tree(&format!("pw://{LOCATION}/Documents/Twin/")).fails(2);
    assert!(twins.iter().all(|twin| words.contains(twin)), "{words}");
}

#[test]
fn a_server_of_which_nothing_is_known_is_looked_for_where_its_gateway_usually_is() {
    let stage = without_datasource(small());
    // Nothing of that name is there; but it was looked for, and what was looked for is said.
    let words = stage
        .run(&["tree", "--datasource", "pw://pwfs-demo.invalid:x"])
        .fails(69);
    assert!(
        words.contains("Error: no gateway of the ProjectWise server pwfs-demo.invalid answers at https://pwfs-demo.invalid/ws"),
        "{words}"
    );
    let listed = stage
        .run(&["datasources", "--datasource", &stage.server.base_url()])
        .succeeds();
    assert!(
        listed.contains(&format!("{}/Repositories/", stage.server.wsg_url())),
        "{listed}"
    );
}

#[test]
fn where_no_datasource_is_named_the_way_to_find_one_is() {
    let stage = without_datasource(small());
    for args in [["tree"].as_slice(), &["folders"], &["mount", "."]] {
        let words = stage.run(args).fails(78);
        assert!(words.contains("names no datasource"), "{words}");
        assert!(words.contains("Hint: `pwfs datasources`"), "{words}");
    }
}

#[test]
fn the_work_areas_of_itwins_are_listed_with_the_urls_that_commands_take() {
    let stage = without_datasource(small());
    let text = stage.run(&["datasources"]).succeeds();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("ITWIN ") && lines[0].ends_with(" URL"),
        "{text}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("https://northbank-pw-ws.invalid/ws/")),
        "{text}"
    );
    let primary = lines
        .iter()
        .find(|line| line.ends_with("[primary]") && line.contains(PROJECT))
        .unwrap();
    let url = primary.split_whitespace().rev().nth(1).unwrap();
    let tree = stage
        .run(&["tree", "--depth", "1", "--datasource", url])
        .succeeds();
    assert!(tree.starts_with(PROJECT), "{tree}");

    let rows = json(stage.run(&["datasources", "--json"]));
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), lines.len() - 1);
    let row = rows.iter().find(|row| row["url"] == url).unwrap();
    assert_eq!(row["itwin"]["name"], PROJECT);
    assert_eq!(row["primary"], true);
    assert_eq!(row["itwin"]["id"].as_str().unwrap().len(), 36);
    for field in ["id", "name", "work_area", "type"] {
        assert!(
            row[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field} in {row}"
        );
    }

    // Fewer are asked where somebody says what they look for.
    stage.server.reset_counters();
    let found = json(stage.run(&["datasources", "--json", "--search", "leven estuary crossing 07"]));
    assert!(!found.as_array().unwrap().is_empty() && found.as_array().unwrap().len() < rows.len());
    let asked = stage.server.requests().of(RequestKind::WorkAreas);
    assert!((1..10).contains(&asked), "{asked}");
    let none = stage.run(&["datasources", "--search", "no such thing"]);
    assert!(none.stderr.contains("no iTwin has this"), "{none:?}");
    assert_eq!(none.succeeds(), "");
}

#[test]
fn a_known_server_is_listed_and_the_itwins_only_where_asked_for() {
    let stage = Stage::signed_in(small());
    let of_server = stage.run(&["datasources", "--search", "ESTUARY"]).succeeds();
    assert_eq!(
        of_server,
        format!("Leven Estuary Demo  {}\n", stage.server.datasource_url())
    );
    let none = stage.run(&["datasources", "--search", "nothing of this name"]);
    assert!(
        none.stderr.contains("none of the server's datasources"),
        "{none:?}"
    );
    assert_eq!(none.succeeds(), "");
    let of_itwins = stage
        .run(&["datasources", "--itwins", "--search", PROJECT])
        .succeeds();
    assert!(
        of_itwins.contains(&format!("{}/PW_WSG/Project/", stage.server.datasource_url())),
        "{of_itwins}"
    );
}

#[test]
fn every_envelope_of_connections_shows_the_same() {
    let stage = without_datasource(turned(|knobs| knobs.work_area_page = 1));
    let list = || stage.run(&["datasources", "--search", PROJECT]).succeeds();
    let truth = list();
    assert!(truth.lines().count() > 2, "{truth}");
    for envelope in [WorkAreas::Value, WorkAreas::Connections] {
        stage.server.turn(|knobs| knobs.work_areas = envelope);
        assert_eq!(list(), truth);
    }
    stage.server.turn(|knobs| {
        knobs.work_areas = WorkAreas::Items;
        knobs.work_area_page = 50;
    });
    assert_eq!(list(), truth);
}

/// Turns knobs.
type Turn = fn(&mut Knobs);

#[test]
fn a_refusal_of_work_areas_says_why_and_what_to_do() {
    let stage = without_datasource(turned(|knobs| knobs.work_areas = WorkAreas::Refused));
    let words = stage.run(&["datasources"]).fails(77);
    for word in [
        "refuses the work areas",
        "InsufficientPermissions",
        "itwin-platform",
        "ask the ProjectWise administrator",
    ] {
        assert!(words.contains(word), "{word}: {words}");
    }
    // That it is the app is clear after a few; with thousands of iTwins the rest would take long.
    let asked = stage.server.requests().of(RequestKind::WorkAreas);
    assert!(asked < 20, "{asked}");
    let error: Value = serde_json::from_str(&stage.run(&["datasources", "--json"]).fails(77)).unwrap();
    assert_eq!(error["error"]["kind"], "login");

    let turns: [(Turn, i32, &str); 4] = [
        (
            |knobs| knobs.platform_unknown_client = true,
            77,
            "does not know the app",
        ),
        (
            |knobs| knobs.audience = "somebody-else".to_owned(),
            77,
            "not meant for the iTwin Platform",
        ),
        (
            |knobs| knobs.platform_scope = "itwin-platform".to_owned(),
            77,
            "refuses the list of your iTwins",
        ),
        (|knobs| knobs.platform_rate = 1, 75, "limits the request rate"),
    ];
    for (turn, code, wanted) in turns {
        stage.server.turn(|knobs| {
            *knobs = Knobs::default();
            turn(knobs);
        });
        // Tokens say what the provider knew when it gave them.
        stage.server.expire_access_tokens();
        let done = stage.run(&["datasources", "--search", PROJECT]);
        assert_eq!(done.code, Some(code), "{done:#?}");
        assert!(done.stderr.contains(wanted), "{done:#?}");
        assert!(done.stderr.contains("Hint: "), "{done:#?}");
        stage.server.advance_clock(Duration::from_secs(120));
    }
    stage.server.revoke_all_tokens();
    let words = stage.run(&["datasources"]).fails(77);
    assert!(words.contains("Hint: run `pwfs login`"), "{words}");
}

#[test]
fn an_identity_provider_without_a_known_platform_is_said_to_have_none() {
    let stage = without_datasource(small());
    let config = fs::read_to_string(stage.config_file()).unwrap();
    let config = config.replace(&stage.server.issuer(), "https://login.example.com");
    fs::write(stage.config_file(), config).unwrap();
    let words = stage.run(&["datasources"]).fails(78);
    assert!(words.contains("no iTwin Platform is known"), "{words}");
    assert!(words.contains("ask the ProjectWise administrator"), "{words}");
}

#[test]
fn a_mount_begins_where_the_link_leads() {
    let stage = Stage::signed_in(small());
    fs::create_dir(stage.home.path().join("mnt")).unwrap();
    let link = format!(r"pw:\\{LOCATION}\Documents\Company Standards\CAD Blocks\STD-BLK-0001.dxf");
    let mut running = stage.start(&["mount", &link, "mnt"]);
    running.wait_for_line(|line| line.contains("is mounted at"));
    let below = stage.home.path().join("mnt/CAD Blocks/STD-BLK-0001.dxf");
    until("the file is there", || below.exists());
    stage.run(&["unmount", "mnt"]).succeeds();
    running.finish().succeeds();
    let words = stage
        .run(&["mount", &link, "mnt", "--folder", "Company Standards"])
        .fails(2);
    assert!(words.contains("leads to a folder"), "{words}");
}
