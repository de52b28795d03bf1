//! Attributes of environments: asked for many together, kept, and shown to who reads the mount or a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pwfs::demo::{Access, Effect, Fault, LoggedRequest, RequestKind};
use pwfs::model::{AttributeSheet, DocumentId, Guid};
use pwfs::remote::{AttributesOfMany, Remote as _};
use serde_json::Value;

use crate::explain::{attribute, mount};
use crate::harness::{Bench, connect, small};
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, visit};

/// What is seen of one attribute in each way.
const DISCIPLINE: &str = "user.projectwise.attr.DISCIPLINE";

fn sheets(told: AttributesOfMany) -> BTreeMap<DocumentId, Vec<AttributeSheet>> {
    match told {
        AttributesOfMany::Sheets(sheets) => sheets.into_iter().collect(),
        AttributesOfMany::NotSupported => panic!("the demo tells attributes"),
    }
}

#[tokio::test]
async fn attributes_of_many_documents_take_few_questions_and_nobody_gets_anothers() {
    let bench = Bench::new().await;
    let (_, _, documents) = bench.stock("Attributes", 120).await;
    for (number, document) in documents.iter().enumerate() {
        let value = format!("number {number}");
        bench
            .world()
            .set_attribute(*document, "DISCIPLINE", &value)
            .unwrap();
    }
    let state = tempfile::tempdir().unwrap();
    let remote = connect(&bench.server, state.path()).await;
    let mut wanted: Vec<DocumentId> = documents.iter().copied().map(DocumentId).collect();
    bench.server.reset_counters();
    let told = sheets(remote.attributes_of(&wanted).await.unwrap());
    assert_eq!(bench.server.requests().total, 3);
    assert_eq!(told.len(), documents.len());
    for (number, document) in documents.iter().enumerate() {
        let attributes = &told[&DocumentId(*document)][0].attributes;
        let told = attributes.iter().find(|attribute| attribute.name == "DISCIPLINE");
        assert_eq!(told.unwrap().value, format!("number {number}"));
    }

    // What is not there, or may not be seen, is not answered; nothing else is missing for that.
    wanted.push(DocumentId(Guid::from_bytes([0x77; 16])));
    bench.world().delete_document(documents[3]).unwrap();
    let told = sheets(remote.attributes_of(&wanted).await.unwrap());
    assert_eq!(told.len(), documents.len() - 1);
    assert!(!told.contains_key(&DocumentId(documents[3])));

    // Many that are not answered cost a question more for each fifty, not one each.
    for document in &documents[10..50] {
        bench.world().set_access(*document, Access::Hidden).unwrap();
    }
    bench.server.reset_counters();
    let told = sheets(remote.attributes_of(&wanted).await.unwrap());
    assert_eq!(told.len(), documents.len() - 41);
    assert!(
        bench.server.requests().total <= 6,
        "{}",
        bench.server.requests().total
    );

    assert_eq!(sheets(remote.attributes_of(&[]).await.unwrap()).len(), 0);
    bench
        .server
        .inject(Fault::error(RequestKind::FindIds, "PropertyNotFound"));
    let told = remote.attributes_of(&wanted).await.unwrap();
    assert_eq!(told, AttributesOfMany::NotSupported);
    bench.server.clear_faults();
    bench.server.inject(Fault::status(RequestKind::FindIds, 503));
    assert!(remote.attributes_of(&wanted).await.is_err());
}

/// A mount with two shelves of documents.
struct Shelves {
    stage: Stage,
    dir: PathBuf,
    documents: Vec<Guid>,
    _running: Running,
}

impl Shelves {
    fn new() -> Self {
        let stage = Stage::signed_in(small());
        let world = stage.server.world();
        let top = world.add_folder(None, "Library").unwrap();
        let mut documents = Vec::new();
        for shelf in 0..2 {
            let folder = world.add_folder(Some(top), &format!("shelf {shelf}")).unwrap();
            for number in 0..40 {
                let name = format!("{shelf}-{number:02}.txt");
                let document = world.add_document(folder, &name, name.clone()).unwrap();
                world.set_attribute(document, "DISCIPLINE", &name).unwrap();
                documents.push(document);
            }
        }
        let (running, dir) = mount(&stage, &["--metadata-ttl", "1h"]);
        Self {
            stage,
            dir,
            documents,
            _running: running,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        let shelf = name.split('-').next().unwrap();
        self.dir.join(format!("Library/shelf {shelf}/{name}"))
    }

    /// How many questions for attributes there were since the counters began anew.
    fn questions(&self) -> usize {
        let log = self.stage.server.request_log();
        let is_one = |request: &&LoggedRequest| request.target.contains("DocumentEnvironment");
        log.iter().filter(is_one).count()
    }

    /// What the command tells, and how many questions for attributes it asked.
    fn warm(&self) -> (Value, usize) {
        self.stage.server.reset_counters();
        let told = self
            .stage
            .run(&["--json", "warm", "--attributes", "mnt/Library"])
            .succeeds();
        let asked = self.questions();
        (serde_json::from_str(&told).unwrap(), asked)
    }

    fn rows(&self, args: &[&str]) -> Vec<Value> {
        let told = self
            .stage
            .run(&[&["manifest", "mnt/Library", "--attributes"], args].concat())
            .succeeds();
        told.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn names(path: &Path) -> BTreeSet<String> {
    let mut buffer = vec![0; 64 << 10];
    let length = rustix::fs::listxattr(path, &mut buffer).unwrap();
    let names = String::from_utf8(buffer[..length].to_vec()).unwrap();
    names.split_terminator('\0').map(str::to_owned).collect()
}

fn discipline(row: &Value) -> Option<&str> {
    let attributes = row["attributes"][0]["attributes"].as_array()?;
    let found = attributes.iter().find(|value| value["name"] == "DISCIPLINE")?;
    found["value"].as_str()
}

#[test]
fn attributes_are_asked_for_once_and_then_read_from_the_mount_and_in_a_manifest() {
    if !fuse_is_here() {
        return;
    }
    let shelves = Shelves::new();
    let world = shelves.stage.server.world();
    let plan = shelves.file("0-07.txt");
    assert!(plan.exists());
    // Nobody asked for them: they are not known, and asking for the value asks no server.
    assert_eq!(attribute(&plan, DISCIPLINE), None);
    let (told, asked) = shelves.warm();
    assert_eq!(told["attributes"]["asked"], 80, "{told}");
    assert_eq!(told["attributes"]["unanswered"], 0, "{told}");
    assert_eq!(asked, 2, "fifty documents at a time");
    assert_eq!(attribute(&plan, DISCIPLINE).as_deref(), Some("0-07.txt"));
    assert!(names(&plan).contains(DISCIPLINE));
    assert!(attribute(&plan, "user.projectwise.attributes_fetched_at").is_some());
    assert!(
        !names(plan.parent().unwrap()).contains(DISCIPLINE),
        "folders have none"
    );

    // Known is known: a second time, and for a manifest, nothing is asked.
    let (told, asked) = shelves.warm();
    assert_eq!((&told["attributes"]["asked"], asked), (&0.into(), 0), "{told}");
    assert_eq!(told["attributes"]["known"], 80, "{told}");
    shelves.stage.server.reset_counters();
    let rows = shelves.rows(&[]);
    assert_eq!(shelves.questions(), 0);
    assert_eq!(rows[0]["with_attributes"], true);
    assert_eq!(rows.last().unwrap()["without_attributes"], 0);
    let documents: Vec<&Value> = rows.iter().filter(|row| row["row"] == "document").collect();
    assert_eq!(documents.len(), 80);
    for row in &documents {
        assert_eq!(discipline(row), row["file_name"].as_str(), "{row}");
    }
    let table = shelves
        .stage
        .run(&["manifest", "mnt/Library", "--attributes", "--format", "csv"])
        .succeeds();
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .contains(",sha256,attributes,work_area")
    );
    assert!(table.contains("0-07.txt\"\"}"), "{table}");
    let plain = shelves
        .stage
        .run(&["manifest", "mnt/Library", "--format", "csv"])
        .succeeds();
    assert!(!plain.lines().next().unwrap().contains("attributes"));

    // An edit: the listing tells that the document is another one, and only that one is asked for.
    world
        .set_attribute(shelves.documents[7], "DISCIPLINE", "Rail")
        .unwrap();
    shelves
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    assert_eq!(attribute(&plan, DISCIPLINE), None, "an old value is none");
    shelves.stage.server.reset_counters();
    let rows = shelves.rows(&[]);
    assert_eq!(shelves.questions(), 1);
    let row = rows.iter().find(|row| row["file_name"] == "0-07.txt").unwrap();
    assert_eq!(discipline(row), Some("Rail"));
    assert_eq!(attribute(&plan, DISCIPLINE).as_deref(), Some("Rail"));

    // Who asks for one document keeps the answer, too: the mount tells it, and so does the command without its server.
    world
        .set_attribute(shelves.documents[7], "DISCIPLINE", "Road")
        .unwrap();
    shelves
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    let info = |offline: &[&str]| -> Value {
        let args = [&["--json", "info", "mnt/Library/shelf 0/0-07.txt"], offline].concat();
        serde_json::from_str(&shelves.stage.run(&args).succeeds()).unwrap()
    };
    assert_eq!(info(&["--offline"])["environment"]["status"], "not-asked");
    let told = info(&[]);
    assert_eq!(attribute(&plan, DISCIPLINE).as_deref(), Some("Road"));
    assert_eq!(info(&["--offline"])["environment"], told["environment"]);
}

#[test]
fn what_is_known_needs_no_server_and_what_is_too_old_does() {
    if !fuse_is_here() {
        return;
    }
    let shelves = Shelves::new();
    let server = &shelves.stage.server;
    shelves.warm();
    let hold = server.inject(Fault::everywhere(Effect::DropConnection));
    let rows = shelves.rows(&[]);
    assert_eq!(rows.last().unwrap()["without_attributes"], 0);
    let half = shelves.rows(&["--shard", "1/2"]).len() + shelves.rows(&["--shard", "2/2"]).len();
    assert_eq!(half, rows.len() + 2, "each part has a first and a last row");
    server.clear_fault(hold);
    let hold = server.inject(Fault::status(RequestKind::FindIds, 503));
    let old = ["manifest", "mnt/Library", "--attributes", "--max-age", "0s"];
    shelves.stage.run(&old).fails(75);
    assert!(server.clear_fault(hold));

    // Hidden since: what was known of it counts no more, for whoever wants to know how it is now.
    let world = server.world();
    world.set_access(shelves.documents[5], Access::Hidden).unwrap();
    let rows = shelves.rows(&["--max-age", "0s"]);
    assert_eq!(rows.last().unwrap()["documents"], 79);
    assert_eq!(rows.last().unwrap()["without_attributes"], 0);

    // Gone on with, the parts before are counted, too.
    world.set_access(shelves.documents[5], Access::Full).unwrap();
    shelves
        .stage
        .run(&["sync-point", "mnt/Library", "--max-age", "0s"])
        .succeeds();
    let whole = [
        "manifest",
        "mnt/Library",
        "--attributes",
        "-o",
        "rows",
        "--resume",
    ];
    shelves.stage.run(&whole).succeeds();
    let home = shelves.stage.home.path();
    let text = fs::read_to_string(home.join("rows")).unwrap();
    let cut: String = text.split_inclusive('\n').take(30).collect();
    fs::write(home.join("rows.part"), cut).unwrap();
    shelves.stage.run(&whole).succeeds();
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(
        sorted(&fs::read_to_string(home.join("rows")).unwrap()),
        sorted(&text)
    );
}

#[test]
fn nobody_is_told_what_another_account_sees() {
    if !fuse_is_here() {
        return;
    }
    let shelves = Shelves::new();
    // The profile is somebody else's now; the mount goes on as who it was.
    let mut login = shelves.stage.start_login::<&str>(&[]);
    let mut page = login.sign_in_page();
    shelves.stage.register(&page);
    let email = "site.inspector@example.com";
    page.query_pairs_mut().append_pair("login_hint", email);
    visit(&page);
    assert!(login.finish().succeeds().contains(email));
    let finished = shelves.stage.run(&["warm", "--attributes", "mnt/Library"]);
    assert_eq!(finished.code, Some(77), "{finished:#?}");
    assert!(finished.stderr.contains("another account"), "{finished:#?}");
    assert_eq!(shelves.questions(), 0);
}

#[test]
fn a_manifest_with_attributes_fails_where_the_server_cannot_be_asked_and_says_what_it_refuses() {
    if !fuse_is_here() {
        return;
    }
    let shelves = Shelves::new();
    let server = &shelves.stage.server;
    shelves.stage.run(&["warm", "mnt/Library"]).succeeds();
    // Listings are there, and stay: only the attributes are asked for.
    server.inject(Fault::status(RequestKind::FindIds, 503));
    let args = ["--json", "manifest", "mnt/Library", "--attributes", "-o", "rows"];
    shelves.stage.run(&args).fails(75);
    assert!(!shelves.stage.home.path().join("rows").exists());
    server.clear_faults();
    server.inject(Fault::error(RequestKind::FindIds, "PropertyNotFound"));
    let told = shelves.stage.run(&args).fails(1);
    assert!(told.contains("attributes.not-told"), "{told}");
    server.clear_faults();

    // One that the server refuses by now has its row, and no attributes.
    let world = server.world();
    world.set_access(shelves.documents[5], Access::Hidden).unwrap();
    shelves.stage.run(&args).succeeds();
    let text = fs::read_to_string(shelves.stage.home.path().join("rows")).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let end = rows.last().unwrap();
    assert_eq!(
        (&end["complete"], &end["without_attributes"]),
        (&true.into(), &1.into())
    );
    let row = rows.iter().find(|row| row["file_name"] == "0-05.txt").unwrap();
    assert!(row.get("attributes").is_none(), "{row}");
}
