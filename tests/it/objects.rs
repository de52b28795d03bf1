//! `link`, `open` and `info`: from a path to ProjectWise and back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pwfs::demo::{Fault, RequestKind};
use pwfs::model::{DocumentId, Guid};
use pwfs::remote::{Attributes, Remote as _, RemoteError};
use serde_json::Value;

use crate::explain::{attribute, mount};
use crate::harness::{Bench, connect, small};
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage};

/// A mount of everything, with a folder in which some was listed.
struct Desk {
    stage: Stage,
    _running: Running,
    dir: PathBuf,
    folder: Guid,
    document: Guid,
}

const TOP: &str = "Plans & more";
const DOCUMENT: &str = "A 1.txt";

impl Desk {
    fn new() -> Self {
        let stage = Stage::signed_in(small());
        let world = stage.server.world();
        let top = world.add_folder(None, TOP).unwrap();
        let folder = world.add_folder(Some(top), "03 Design").unwrap();
        let document = world.add_document(folder, DOCUMENT, "twelve bytes").unwrap();
        world.add_placeholder(folder, "Idea").unwrap();
        let (running, dir) = mount(&stage, &["--metadata-ttl", "1h"]);
        assert_eq!(fs::read_dir(dir.join(TOP).join("03 Design")).unwrap().count(), 1);
        Self {
            stage,
            _running: running,
            dir,
            folder,
            document,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(TOP).join("03 Design").join(DOCUMENT)
    }

    fn json(&self, args: &[&str]) -> Value {
        let told = self.stage.run(&[args, &["--format", "json"]].concat());
        serde_json::from_str(&told.succeeds()).unwrap()
    }

    /// In this mount: others of the same simulated world may be there, of tests that run at the same time.
    fn opened(&self, url: &str) -> String {
        let told = self.stage.run(&["open", url, "--mount", "mnt"]).succeeds();
        told.trim_end_matches('\n').to_owned()
    }

    fn not_opened(&self, url: &str, mount: &str) -> Value {
        let told = self.stage.run(&["--json", "open", url, "--mount", mount]);
        serde_json::from_str(&told.fails(1)).unwrap()
    }

    /// `server:datasource`, as links name it.
    fn location(&self) -> String {
        let url = attribute(&self.path(), "user.projectwise.url").unwrap();
        let rest = url.strip_prefix("pw://").unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn links_lead_from_a_path_and_back_to_it_without_a_request() {
    if !fuse_is_here() {
        return;
    }
    let desk = Desk::new();
    let path = text(&desk.path());
    let folder = text(desk.path().parent().unwrap());
    let location = desk.location();
    desk.stage.server.reset_counters();

    let told = desk.json(&["link", &path]);
    assert_eq!(told["kind"], "document", "{told}");
    assert_eq!(told["guid"], desk.document.to_string());
    let links = told["links"].as_array().unwrap();
    assert_eq!(links.len(), 2, "{told}");
    assert_eq!(links[0]["form"], "guid");
    assert_eq!(
        links[0]["url"],
        attribute(&desk.path(), "user.projectwise.url").unwrap()
    );
    assert_eq!(links[1]["form"], "names");
    let by_names = format!("pw://{location}/Documents/Plans%20%26%20more/03%20Design/A%201.txt");
    assert_eq!(links[1]["url"], by_names);
    let lines = desk.stage.run(&["link", &path]).succeeds();
    assert_eq!(
        lines,
        format!(
            "by GUID   {}\nby names  {by_names}\n",
            links[0]["url"].as_str().unwrap()
        )
    );
    let told = desk.json(&["link", &folder]);
    assert_eq!(
        told["links"][0]["url"],
        format!("pw://{location}/Documents/P{{{}}}/", desk.folder)
    );
    assert_eq!(
        desk.json(&["link", "mnt"])["links"][0]["url"],
        format!("pw://{location}/Documents/")
    );

    let base = desk.stage.server.datasource_url();
    for (url, expected) in [
        (links[0]["url"].as_str().unwrap().to_owned(), &path),
        (by_names.clone(), &path),
        (
            format!(r"pw:\\{location}\Documents\{TOP}\03 Design\{DOCUMENT}"),
            &path,
        ),
        (format!("{base}/PW_WSG/Document/{}/$file", desk.document), &path),
        (format!("{base}/PW_WSG/Project/{}", desk.folder), &folder),
        (
            format!("pw://{location}/Documents/P{{{}}}/", desk.folder),
            &folder,
        ),
        (format!("pw://{location}/"), &text(&desk.dir)),
        (location.to_uppercase(), &text(&desk.dir)),
    ] {
        assert_eq!(desk.opened(&url), *expected, "{url}");
    }
    let told = desk.json(&["open", &by_names, "--mount", "mnt"]);
    assert_eq!(told["path"], path);
    assert_eq!(told["kind"], "document");
    assert_eq!(told["guid"], desk.document.to_string());
    assert_eq!(told["also"], Value::Array(Vec::new()));
    assert_eq!(desk.stage.server.requests().total, 0);
}

#[test]
fn what_is_not_known_is_never_called_absent_and_what_is_gone_is_told_as_gone() {
    if !fuse_is_here() {
        return;
    }
    let desk = Desk::new();
    let world = desk.stage.server.world();
    let location = desk.location();
    let by_guid = |guid: Guid| format!("pw://{location}/Documents/D{{{guid}}}");
    let by_names = |names: &str| format!("pw://{location}/Documents/{names}");
    let unseen = world.add_folder(Some(desk.folder), "Unseen").unwrap();
    let unlisted = world.add_document(unseen, "b.txt", "b").unwrap();
    let gone = world.add_document(desk.folder, "gone.txt", "x").unwrap();
    let idea = world.document_at(&[TOP, "03 Design", "Idea"]);
    let fresh = || {
        let path = format!("mnt/{TOP}");
        desk.stage
            .run(&["sync-point", &path, "--max-age", "0s"])
            .succeeds();
    };
    let code = |url: &str| desk.not_opened(url, "mnt")["error"]["code"].clone();
    assert_eq!(code(&by_guid(unlisted)), "object.not-listed");
    assert_eq!(code(&by_guid(Guid::from_bytes([7; 16]))), "object.not-listed");
    let names = by_names("Leven%20Estuary%20Crossing/03%20Design/x.dgn");
    assert_eq!(code(&names), "object.not-listed");
    let names = by_names("Plans%20%26%20more/03%20Design/a%201.txt");
    assert_eq!(code(&names), "object.absent");
    fresh();
    assert!(
        desk.opened(&by_guid(unlisted))
            .ends_with("/03 Design/Unseen/b.txt")
    );
    assert!(desk.opened(&by_guid(gone)).ends_with("/gone.txt"));
    world.delete_document(gone).unwrap();
    world.rename_document(desk.document, "B 2.txt").unwrap();
    fresh();
    assert_eq!(code(&by_guid(gone)), "object.gone");
    assert!(
        desk.opened(&by_guid(desk.document))
            .ends_with("/03 Design/B 2.txt")
    );
    if let Some(idea) = idea {
        assert_eq!(code(&by_guid(idea)), "object.hidden");
    }
    assert_eq!(
        code(&by_names("Plans%20%26%20more/03%20Design/Idea")),
        "object.hidden"
    );
    assert_eq!(
        code(&format!("pw://{location}x/Documents/D{{{unlisted}}}")),
        "link.other-datasource"
    );

    // Another mount, of the same account's catalog, shows another folder.
    fs::create_dir(desk.stage.home.path().join("other")).unwrap();
    let mut other = desk
        .stage
        .start(&["mount", "--folder", "Company Standards", "other"]);
    other.wait_for_line(|line| line.contains("is mounted at"));
    let told = desk.not_opened(&by_guid(unlisted), "other");
    assert_eq!(told["error"]["code"], "object.outside", "{told}");
    assert_eq!(
        desk.stage
            .run(&["--json", "link", "other"])
            .fails(2)
            .matches("chosen folders")
            .count(),
        1
    );
    // The names above what was chosen are known from the other mount.
    let told = desk.json(&["link", "other/Company Standards"]);
    assert_eq!(told["links"][1]["url"], by_names("Company%20Standards"), "{told}");

    for (args, exit, code) in [
        (["--json", "open", "ftp://x/y"], 2, "address.invalid"),
        (["--json", "link", "nowhere"], 1, "mount.none"),
        (["--json", "link", "mnt/Nothing"], 1, "object.absent"),
        (
            ["--json", "link", "mnt/Leven Estuary Crossing/x"],
            1,
            "object.not-listed",
        ),
        (["--json", "info", "mnt/Nothing"], 1, "object.absent"),
        (["--json", "info", "nowhere"], 1, "mount.none"),
    ] {
        let words = desk.stage.run(&args).fails(exit);
        assert!(
            words.contains(&format!("\"code\":\"{code}\"")),
            "{args:?}: {words}"
        );
    }
}

#[test]
fn the_desktop_gets_the_path_itself_and_no_shell_reads_it() {
    if !fuse_is_here() {
        return;
    }
    let desk = Desk::new();
    let home = desk.stage.home.path();
    let world = desk.stage.server.world();
    let name = "-x $(touch made) `touch made`; \"q\" 'q'.txt";
    let document = world.add_document(desk.folder, name, "x").unwrap();
    let path = format!("mnt/{TOP}");
    desk.stage
        .run(&["sync-point", &path, "--max-age", "0s"])
        .succeeds();
    let programs = home.join("programs");
    fs::create_dir(&programs).unwrap();
    let opener = programs.join("xdg-open");
    let seen = home.join("seen");
    // Written whole before it is there to be found.
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n%s' \"$#\" \"$1\" > '{0}.new' && /bin/mv '{0}.new' '{0}'\n",
        seen.display()
    );
    fs::write(&opener, script).unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("pw://{}/Documents/D{{{document}}}", desk.location());
    let args = ["open", "--launch", "--mount", "mnt", &url];
    let run = |programs: &Path| {
        let mut command = desk.stage.command(&args);
        command.env("PATH", programs);
        Running::spawn(command).finish()
    };
    let told = run(&programs).succeeds();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !seen.exists() {
        assert!(Instant::now() < deadline, "nothing was opened");
        std::thread::sleep(Duration::from_millis(10));
    }
    let opened = fs::read_to_string(&seen).unwrap();
    let (count, opened) = opened.split_once('\n').unwrap();
    assert_eq!(count, "1");
    assert_eq!(format!("{opened}\n"), told);
    assert_eq!(opened, text(&desk.path().with_file_name(name)));
    assert!(!home.join("made").exists());

    let finished = run(&home.join("no-programs"));
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert_eq!(finished.stdout, told);
    assert!(
        finished.stderr.contains("xdg-open cannot be started"),
        "{finished:#?}"
    );
}

#[test]
fn everything_that_is_known_is_shown_with_the_attributes_of_the_environment() {
    if !fuse_is_here() {
        return;
    }
    let desk = Desk::new();
    let world = desk.stage.server.world();
    let path = text(&desk.path());
    world
        .set_attribute(desk.document, "DISCIPLINE", "Rail\u{1b}[31m")
        .unwrap();

    let offline = desk.json(&["info", &path, "--offline"]);
    assert_eq!(offline["environment"]["status"], "not-asked", "{offline}");
    assert_eq!(offline["held"], Value::Null, "{offline}");
    assert_eq!(fs::read_to_string(desk.path()).unwrap(), "twelve bytes");
    let told = desk.json(&["info", &path]);
    assert_eq!(told["kind"], "document");
    assert_eq!(told["path"], path);
    assert_eq!(told["told"]["size"], 12);
    assert_eq!(told["told"]["attributes"]["guid"], desk.document.to_string());
    assert_eq!(told["entry"]["file_name"], DOCUMENT);
    assert_eq!(told["folder"]["guid"], desk.folder.to_string());
    assert!(told["folder"]["listing"]["age"].is_u64(), "{told}");
    assert_eq!(told["links"].as_array().unwrap().len(), 2);
    assert_eq!(told["pinned"], false);
    let environment = &told["environment"];
    assert_eq!(environment["status"], "told", "{told}");
    let attributes = environment["sheets"][0]["attributes"].as_array().unwrap();
    let value = |name: &str| {
        let found = attributes.iter().find(|value| value["name"] == name);
        found.map(|value| value["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(value("DISCIPLINE").as_deref(), Some("Rail\u{1b}[31m"));
    assert!(value("DOC-STATUS").is_some(), "{environment}");

    let lines = desk.stage.run(&["info", &path]).succeeds();
    for wanted in [
        "Document\n",
        "\nWhere\n",
        &format!("  {path}\n"),
        "\nTimes\n  file replaced ",
        "12 bytes\n",
        "\nRights\n  readable  yes",
        "\nLinks\n  by GUID   pw://",
        "  of its folder  fetched ",
        "\nAttributes (",
        "\n  DISCIPLINE: Rail\\u{1b}[31m\n",
        "\n  DOC-STATUS: ",
    ] {
        assert!(lines.contains(wanted), "{wanted:?} is missing in\n{lines}");
    }

    let folder = desk.json(&["info", &text(desk.path().parent().unwrap())]);
    assert_eq!(folder["kind"], "folder");
    assert_eq!(folder["environment"]["status"], "not-asked");
    assert_eq!(folder["listing"]["listing"]["shown"], 1);
    assert_eq!(folder["listing"]["listing"]["hidden"], 1);
    assert_eq!(desk.json(&["info", "mnt"])["kind"], "top");
    let top = desk.stage.run(&["info", "mnt"]).succeeds();
    assert!(
        top.starts_with("Top of the mount\n  shows  the whole datasource\n"),
        "{top}"
    );

    // A server that knows no such question has no attributes, and that is no failure.
    let object = |id: &str| Fault::error(RequestKind::Object, id);
    desk.stage.server.inject(object("LinkTypeNotFound"));
    let told = desk.json(&["info", &path]);
    assert_eq!(told["environment"]["status"], "not-supported", "{told}");
    desk.stage.server.clear_faults();
    // One that refuses is one, after everything else was shown.
    desk.stage.server.inject(object("NotEnoughRights"));
    let finished = desk.stage.run(&["info", &path]);
    assert_eq!(finished.code, Some(77), "{finished:#?}");
    assert!(finished.stdout.starts_with("Document\n"), "{finished:#?}");
    assert!(finished.stderr.contains("--offline"), "{finished:#?}");
    desk.stage.server.reset_counters();
    desk.stage.run(&["info", &path, "--offline"]).succeeds();
    assert_eq!(desk.stage.server.requests().total, 0);
}

#[tokio::test]
async fn attributes_are_asked_for_with_one_question_and_a_server_without_them_is_tolerated() {
    let bench = Bench::new().await;
    let (_, _, documents) = bench.stock("Attributes", 2).await;
    let state = tempfile::tempdir().unwrap();
    let remote = connect(&bench.server, state.path()).await;
    let document = DocumentId(documents[0]);
    bench.world().set_attribute(documents[0], "SCALE", "").unwrap();
    bench
        .world()
        .set_attribute(documents[0], "DISCIPLINE", "Rail")
        .unwrap();
    bench.server.reset_counters();
    let Attributes::Sheets(sheets) = remote.attributes(document).await.unwrap() else {
        panic!("the demo tells attributes");
    };
    assert_eq!(bench.server.requests().total, 1);
    assert_eq!(sheets.len(), 1);
    assert!(
        ["Drawings", "Records"].contains(&&*sheets[0].environment),
        "{sheets:?}"
    );
    let names: Vec<&str> = sheets[0]
        .attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    assert_eq!(
        names[..2],
        ["DISCIPLINE", "DOC-STATUS"],
        "in the order of the server"
    );
    assert_eq!(sheets[0].attributes[0].value, "Rail");

    for id in [
        "SchemaNotFound",
        "ClassNotFound",
        "PropertyNotFound",
        "LinkTypeNotFound",
        "NotSupported",
    ] {
        bench.server.inject(Fault::error(RequestKind::Object, id));
        let told = remote.attributes(document).await.unwrap();
        assert_eq!(told, Attributes::NotSupported, "{id}");
        bench.server.clear_faults();
    }
    bench.server.inject(Fault::status(RequestKind::Object, 400));
    assert_eq!(
        remote.attributes(document).await.unwrap(),
        Attributes::NotSupported
    );
    bench.server.clear_faults();
    // A bare 404 tells nothing of what the server knows.
    bench.server.inject(Fault::status(RequestKind::Object, 404));
    assert!(remote.attributes(document).await.is_err());
    bench.server.clear_faults();
    bench
        .server
        .inject(Fault::error(RequestKind::Object, "NotEnoughRights"));
    let refused = remote.attributes(document).await.unwrap_err();
    assert!(matches!(refused, RemoteError::Denied { .. }), "{refused}");
    bench.server.clear_faults();
    let unknown = remote
        .attributes(DocumentId(Guid::from_bytes([9; 16])))
        .await
        .unwrap_err();
    assert!(matches!(unknown, RemoteError::NotFound { .. }), "{unknown}");
}
