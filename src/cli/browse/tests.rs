use std::collections::HashMap;
use std::io::Write;

use parking_lot::Mutex;

use super::*;
use crate::model::{ByteRange, Datasource, DocumentId, Guid, ObjectId};
use crate::remote::{Capabilities, Content, RemoteError};

/// A server in memory; whatever a folder's listing is not known for fails as it is told to.
#[derive(Default)]
struct World {
    roots: Vec<Folder>,
    listings: HashMap<FolderId, Result<Vec<Entry>, RemoteError>>,
    running: Mutex<(usize, usize)>,
}

fn id(number: u8) -> Guid {
    Guid::from_bytes([number; 16])
}

fn folder(number: u8, name: &str) -> Folder {
    Folder {
        id: FolderId(id(number)),
        parent: None,
        name: name.to_owned(),
        description: String::new(),
        work_area: number == 1,
        created: None,
        updated: Some("2025-03-04T10:11:12Z".parse().unwrap()),
        etag: None,
    }
}

fn document(number: u8, name: &str, kind: DocumentKind) -> Entry {
    Entry::Document(Document {
        id: DocumentId(id(number)),
        folder: None,
        name: name.to_owned(),
        file_name: (kind == DocumentKind::File).then(|| name.to_owned()),
        description: String::new(),
        version: "B".to_owned(),
        active: true,
        kind,
        size: Some(7),
        file_updated: None,
        updated: None,
        created: None,
        state: None,
        mime_type: None,
        etag: None,
    })
}

#[async_trait::async_trait]
impl Remote for World {
    fn name(&self) -> &'static str {
        "ds at server"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn account(&self) -> Result<String, RemoteError> {
        Ok("me".to_owned())
    }
    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError> {
        Ok(Vec::new())
    }
    async fn roots(&self, _: &Progress) -> Result<Vec<Folder>, RemoteError> {
        Ok(self.roots.clone())
    }
    async fn list(&self, folder: FolderId, _: &Progress) -> Result<Vec<Entry>, RemoteError> {
        {
            let mut running = self.running.lock();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::task::yield_now().await;
        self.running.lock().0 -= 1;
        self.listings
            .get(&folder)
            .cloned()
            .unwrap_or_else(|| Ok(Vec::new()))
    }
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        let all = self.roots.iter().cloned().map(Entry::Folder);
        all.chain(self.listings.values().flatten().flatten().cloned())
            .find_map(|entry| match entry {
                Entry::Folder(found) if found.id == folder => Some(found),
                Entry::Folder(_) | Entry::Document(_) => None,
            })
            .ok_or_else(|| RemoteError::NotFound {
                what: "folder".into(),
                detail: "404".into(),
            })
    }
    async fn document(&self, _: DocumentId) -> Result<Document, RemoteError> {
        Err(RemoteError::Server("not asked for here".into()))
    }
    async fn find(&self, _: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        Ok(Vec::new())
    }
    async fn read(&self, _: DocumentId, _: ByteRange, _: Option<&str>) -> Result<Content, RemoteError> {
        Err(RemoteError::Server("not asked for here".into()))
    }
}

fn world() -> World {
    let mut world = World {
        roots: vec![folder(2, "Plans"), folder(1, "Design"), folder(3, "Se\u{1b}cret")],
        ..World::default()
    };
    world.listings.insert(
        FolderId(id(1)),
        Ok(vec![
            document(20, "b.dgn", DocumentKind::File),
            Entry::Folder(folder(4, "Sub/Folder")),
            document(21, "a", DocumentKind::Placeholder),
            document(22, "c", DocumentKind::Set),
        ]),
    );
    world.listings.insert(
        FolderId(id(4)),
        Ok(vec![document(23, "deep.pdf", DocumentKind::File)]),
    );
    world.listings.insert(
        FolderId(id(3)),
        Err(RemoteError::Denied {
            what: "folder".into(),
            detail: "status 403".into(),
        }),
    );
    world
}

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

fn arguments(path: Option<&str>, depth: Option<usize>) -> TreeArgs {
    TreeArgs {
        path: path.map(str::to_owned),
        depth: depth.and_then(NonZeroUsize::new),
        format: TreeFormat::Text,
        source: SourceArgs { datasource: None },
    }
}

async fn show(
    world: World,
    path: Option<&str>,
    depth: Option<usize>,
    format: Format,
) -> (String, Option<CliError>) {
    let remote: Arc<dyn Remote> = Arc::new(world);
    let screen = Screen::default();
    let printer = Printer::to(format, Box::new(screen.clone()), Box::new(std::io::sink()));
    let error = tree(&remote, &arguments(path, depth), &printer).await.err();
    (screen.text(), error)
}

#[tokio::test]
async fn a_tree_is_drawn_with_marks_and_counts_and_safe_names() {
    let (text, error) = show(world(), None, None, Format::Text).await;
    assert_eq!(error, None, "a denied folder is no failure");
    insta::assert_snapshot!(text, @r"
    ds at server
    ├── Design/
    │   ├── Sub/Folder/
    │   │   └── deep.pdf
    │   ├── a  [no file]
    │   ├── b.dgn
    │   └── c  [set]
    ├── Plans/
    └── Se\u{1b}cret/  [no access]

    4 folders, 4 documents, 1 without access
    ");
}

#[tokio::test]
async fn depth_ends_the_walk_and_asks_for_nothing_deeper() {
    let (text, _) = show(world(), None, Some(1), Format::Text).await;
    insta::assert_snapshot!(text, @r"
    ds at server
    ├── Design/
    ├── Plans/
    └── Se\u{1b}cret/

    3 folders, 0 documents
    ");
}

#[tokio::test]
async fn a_folder_that_failed_fails_the_command_by_name_after_the_rest_was_shown() {
    let mut broken = world();
    broken
        .listings
        .insert(FolderId(id(4)), Err(RemoteError::TimedOut("30 s".into())));
    let (text, error) = show(broken, None, None, Format::Text).await;
    assert!(
        text.contains("Sub/Folder/  [not listed: failed]") && text.contains("b.dgn"),
        "{text}"
    );
    let error = error.unwrap();
    assert_eq!(error.exit_code(), 75);
    assert!(
        error
            .to_text()
            .contains("Design/Sub/Folder: the server did not answer in time"),
        "{}",
        error.to_text()
    );
}

#[tokio::test]
async fn the_end_of_the_login_ends_the_walk() {
    let mut broken = world();
    broken
        .listings
        .insert(FolderId(id(2)), Err(RemoteError::LoginRequired("over".into())));
    let (text, error) = show(broken, None, None, Format::Text).await;
    assert_eq!((text.as_str(), error.unwrap().exit_code()), ("", 77));
}

#[tokio::test]
async fn json_is_complete_and_says_whether_the_tree_is() {
    let (text, _) = show(world(), None, None, Format::Json).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json["counts"],
        json!({ "folders": 4, "documents": 4, "denied": 1, "failed": 0 })
    );
    assert_eq!(json["complete"], false);
    let design = &json["tree"]["folders"][0];
    assert_eq!(
        (&design["name"], &design["id"]),
        (&json!("Design"), &json!(id(1).to_string()))
    );
    assert_eq!(design["work_area"], true);
    assert_eq!(design["updated"], "2025-03-04T10:11:12Z");
    let deep = &design["folders"][0]["documents"][0];
    assert_eq!(
        (&deep["file_name"], &deep["size"], &deep["version"]),
        (&json!("deep.pdf"), &json!(7), &json!("B"))
    );
    let secret = &json["tree"]["folders"][2];
    assert_eq!(
        (&secret["listed"], &secret["problem"]["kind"]),
        (&json!(false), &json!("no-access"))
    );
    assert_eq!(secret["documents"], Value::Null, "not listed is not empty");
    let (text, _) = show(world(), Some("Design"), None, Format::Json).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["complete"], true);
}

#[tokio::test]
async fn a_path_matches_raw_names_also_with_slashes_or_a_guid() {
    for path in [
        "Design/Sub/Folder",
        "/Design/Sub/Folder/",
        &id(4).to_string(),
        &format!("{{{}}}", id(4)),
    ] {
        let (text, error) = show(world(), Some(path), None, Format::Text).await;
        assert!(
            error.is_none() && text.starts_with("Sub/Folder\n└── deep.pdf"),
            "{path}: {text}"
        );
    }
    for path in ["design", "Design/Nothing", "Desig", "Design/Sub"] {
        let (_, error) = show(world(), Some(path), None, Format::Text).await;
        assert!(error.unwrap().to_text().contains("there is no folder"), "{path}");
    }
    let mut twice = world();
    twice.roots.push(folder(9, "Design"));
    let (_, error) = show(twice, Some("Design"), None, Format::Text).await;
    let text = error.unwrap().to_text();
    assert!(
        text.contains("several folders fit") && text.contains(&id(9).to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn folders_are_listed_eight_at_a_time_and_never_in_circles() {
    let mut wide = World {
        roots: (100..140)
            .map(|number| folder(number, &format!("f{number}")))
            .collect(),
        ..World::default()
    };
    wide.listings
        .insert(FolderId(id(100)), Ok(vec![Entry::Folder(folder(100, "itself"))]));
    let wide = Arc::new(wide);
    let remote: Arc<dyn Remote> = wide.clone();
    let walk = walk::walk(&remote, None, usize::MAX, |_, _| {}).await.unwrap();
    assert_eq!(walk.counts().folders, 41);
    assert_eq!(wide.running.lock().1, 8);
}

#[tokio::test]
async fn folders_of_a_folder_are_listed_with_their_ids() {
    let remote: Arc<dyn Remote> = Arc::new(world());
    let screen = Screen::default();
    let printer = Printer::to(Format::Text, Box::new(screen.clone()), Box::new(std::io::sink()));
    let args = FoldersArgs {
        path: None,
        source: SourceArgs { datasource: None },
    };
    folders(&remote, &args, &printer).await.unwrap();
    let text = screen.text();
    assert!(
        text.starts_with(&format!("Design  {}  [work area]\nPlans", id(1))),
        "{text}"
    );
}
