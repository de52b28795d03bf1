//! The tree against a server that plays every trick, in simulated time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::inodes::MountEntry;
use super::*;
use crate::model::{ByteRange, Datasource, DocumentKind};
use crate::remote::{Capabilities, Content};

/// A server with one folder, scripted.
#[derive(Default)]
struct Scripted {
    /// What `list` answers, in turn; the last one for ever.
    lists: Mutex<Vec<Result<Vec<Entry>, RemoteError>>>,
    /// What `find` knows.
    known: Mutex<Vec<Entry>>,
    listed: AtomicUsize,
    found: AtomicUsize,
    looked_at: AtomicUsize,
    /// Where set, `list` waits for it.
    gate: Mutex<Option<Arc<Notify>>>,
}

const FOLDER: FolderId = FolderId(Guid::from_bytes([9; 16]));
const DIRECTORY: Directory = Directory {
    mount: MountEntry::WHOLE,
    id: DirId::Folder(FOLDER),
};

fn document(number: u8, size: u64) -> Entry {
    Entry::Document(Document {
        id: DocumentId(Guid::from_bytes([number; 16])),
        folder: Some(FOLDER),
        name: format!("{number}"),
        file_name: Some(format!("{number}.pdf")),
        description: String::new(),
        version: String::new(),
        active: true,
        kind: DocumentKind::File,
        size: Some(size),
        file_updated: None,
        updated: None,
        created: None,
        state: None,
        mime_type: None,
        etag: None,
    })
}

fn moved(number: u8) -> Entry {
    match document(number, 1) {
        Entry::Document(document) => Entry::Document(Document {
            folder: Some(FolderId(Guid::from_bytes([8; 16]))),
            ..document
        }),
        folder @ Entry::Folder(_) => folder,
    }
}

fn outage() -> RemoteError {
    RemoteError::Unreachable("refused".into())
}

#[async_trait::async_trait]
impl Remote for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
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
    async fn roots(&self, _progress: &Progress) -> Result<Vec<Folder>, RemoteError> {
        Ok(Vec::new())
    }
    async fn list(&self, _folder: FolderId, _progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let mut lists = self.lists.lock();
        if lists.len() > 1 {
            lists.remove(0)
        } else {
            lists[0].clone()
        }
    }
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        self.looked_at.fetch_add(1, Ordering::SeqCst);
        Ok(Folder {
            id: folder,
            parent: None,
            name: "folder".to_owned(),
            description: String::new(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        })
    }
    async fn document(&self, document: DocumentId) -> Result<Document, RemoteError> {
        Err(RemoteError::NotFound {
            what: document.to_string(),
            detail: "".into(),
        })
    }
    async fn find(&self, ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        self.found.fetch_add(1, Ordering::SeqCst);
        Ok(self
            .known
            .lock()
            .iter()
            .filter(|entry| ids.contains(&entry.id()))
            .cloned()
            .collect())
    }
    async fn read(
        &self,
        _document: DocumentId,
        _range: ByteRange,
        _if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        Err(outage())
    }
}

struct Stage {
    server: Arc<Scripted>,
    tree: Tree,
    clock: Clock,
}

impl Stage {
    fn new(lists: Vec<Result<Vec<Entry>, RemoteError>>, config: TreeConfig) -> Self {
        let server = Arc::new(Scripted {
            lists: Mutex::new(lists),
            ..Scripted::default()
        });
        let clock = Clock::manual();
        let tree = Tree::new(server.clone(), &Handle::current(), config, clock.clone());
        Self { server, tree, clock }
    }

    async fn names(&self) -> Result<Vec<String>, TreeError> {
        let listed = self.tree.list(DIRECTORY).await?;
        Ok(listed
            .stored
            .listing
            .rows()
            .iter()
            .map(|row| row.name.to_string())
            .collect())
    }

    fn lists(&self) -> usize {
        self.server.listed.load(Ordering::SeqCst)
    }

    /// Lets the listing held grow too old.
    fn expire(&self) {
        self.clock.advance(Duration::from_mins(6));
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_kept_for_its_time_and_no_longer() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    stage.names().await.unwrap();
    stage.clock.advance(Duration::from_secs(299));
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    assert_eq!((stage.lists(), listed.ttl), (1, Duration::from_secs(1)));
    stage.clock.advance(Duration::from_secs(1));
    stage.names().await.unwrap();
    assert_eq!(stage.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_flight_answers_all_who_wait() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    let answers = futures_util::future::join_all((0..50).map(|_| stage.names())).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == ["1.pdf"]));
    assert_eq!(stage.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_believed_only_when_given_twice() {
    let emptied = vec![Ok(vec![document(1, 1)]), Ok(vec![]), Ok(vec![document(1, 1)])];
    let stage = Stage::new(emptied, TreeConfig::default());
    stage.names().await.unwrap();
    stage.expire();
    let before = Instant::now();
    assert_eq!(
        stage.names().await.unwrap(),
        ["1.pdf"],
        "the empty answer was a hiccup"
    );
    assert!(before.elapsed() >= Duration::from_secs(5));
    assert!(
        stage.server.looked_at.load(Ordering::SeqCst) >= 1,
        "the folder itself was asked"
    );
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_really_is_empty_is_shown_so() {
    let stage = Stage::new(vec![Ok(vec![])], TreeConfig::default());
    assert!(stage.names().await.unwrap().is_empty());
    assert_eq!(stage.lists(), 2);
    stage.expire();
    assert!(stage.names().await.unwrap().is_empty());
    assert_eq!(stage.lists(), 3, "it takes nothing from anyone to stay empty");
}

#[tokio::test(start_paused = true)]
async fn a_decimated_listing_is_asked_twice() {
    let all: Vec<_> = (1..=50).map(|number| document(number, 1)).collect();
    let stage = Stage::new(
        vec![Ok(all.clone()), Ok(all[..10].to_vec()), Ok(all)],
        TreeConfig::default(),
    );
    assert_eq!(stage.names().await.unwrap().len(), 50);
    stage.expire();
    assert_eq!(stage.names().await.unwrap().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_still_there_makes_the_listing_short() {
    let short = vec![Ok(vec![document(1, 1), document(2, 1)]), Ok(vec![document(1, 1)])];
    let stage = Stage::new(
        short,
        TreeConfig {
            on_outage: OnOutage::Fail,
            ..TreeConfig::default()
        },
    );
    stage.names().await.unwrap();
    *stage.server.known.lock() = vec![document(2, 1)];
    stage.expire();
    assert!(matches!(stage.names().await, Err(TreeError::Unproved(_))));
    assert_eq!(stage.lists(), 4, "asked three times before giving up");
}

#[tokio::test(start_paused = true)]
async fn what_moved_or_is_not_answered_has_left() {
    let lists = vec![
        Ok(vec![document(1, 1), document(2, 1), document(3, 1)]),
        Ok(vec![document(1, 1)]),
    ];
    let stage = Stage::new(lists, TreeConfig::default());
    stage.names().await.unwrap();
    *stage.server.known.lock() = vec![moved(2)];
    stage.expire();
    assert_eq!(stage.names().await.unwrap(), ["1.pdf"]);
    assert_eq!(stage.server.found.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_version_has_left_although_it_is_in_the_folder() {
    let stage = Stage::new(
        vec![Ok(vec![document(1, 1)]), Ok(vec![document(2, 2)])],
        TreeConfig::default(),
    );
    stage.names().await.unwrap();
    let Entry::Document(old) = document(1, 1) else {
        unreachable!("a document")
    };
    *stage.server.known.lock() = vec![Entry::Document(Document { active: false, ..old })];
    stage.expire();
    assert_eq!(stage.names().await.unwrap(), ["2.pdf"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_bridged_and_marked() {
    let stage = Stage::new(
        vec![Ok(vec![document(1, 1)]), Err(outage())],
        TreeConfig::default(),
    );
    stage.names().await.unwrap();
    stage.expire();
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    assert!(listed.stale && listed.ttl == Duration::from_secs(1));
    stage.clock.advance(Duration::from_hours(7 * 24));
    assert!(
        matches!(
            stage.names().await,
            Err(TreeError::Remote(RemoteError::Unreachable(_)))
        ),
        "too old"
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_an_error_where_that_is_wanted() {
    let config = TreeConfig {
        on_outage: OnOutage::Fail,
        ..TreeConfig::default()
    };
    let stage = Stage::new(vec![Ok(vec![document(1, 1)]), Err(outage())], config);
    stage.names().await.unwrap();
    stage.expire();
    assert!(matches!(
        stage.names().await,
        Err(TreeError::Remote(RemoteError::Unreachable(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_outage_and_is_remembered() {
    let refusal = RemoteError::Denied {
        what: "folder".to_owned(),
        detail: "NotEnoughRights".into(),
    };
    let stage = Stage::new(
        vec![Ok(vec![document(1, 1)]), Err(refusal)],
        TreeConfig::default(),
    );
    stage.names().await.unwrap();
    stage.expire();
    for _ in 0..10 {
        assert!(matches!(
            stage.names().await,
            Err(TreeError::Remote(RemoteError::Denied { .. }))
        ));
    }
    assert_eq!(stage.lists(), 2);
    stage.clock.advance(Duration::from_mins(5));
    let _ = stage.names().await;
    assert_eq!(stage.lists(), 3, "and forgotten in time");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_the_deadline_and_the_work_goes_on() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    let gate = Arc::new(Notify::new());
    *stage.server.gate.lock() = Some(gate.clone());
    let before = Instant::now();
    assert!(matches!(stage.names().await, Err(TreeError::TimedOut)));
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    gate.notify_one();
    assert_eq!(
        stage.names().await.unwrap(),
        ["1.pdf"],
        "the next call joined the same flight"
    );
    assert_eq!(stage.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_answers_the_next_callers_for_a_moment() {
    let stage = Stage::new(vec![Err(outage())], TreeConfig::default());
    for _ in 0..100 {
        assert!(stage.names().await.is_err());
    }
    assert_eq!(stage.lists(), 1);
    stage.clock.advance(Duration::from_secs(2));
    assert!(stage.names().await.is_err());
    assert_eq!(stage.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_to_the_kernel_by_name() {
    let lists = vec![
        Ok(vec![document(1, 1), document(2, 1)]),
        Ok(vec![document(1, 7), document(2, 1)]),
    ];
    let stage = Stage::new(lists, TreeConfig::default());
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    let inode = stage.tree.directory_inode(DIRECTORY);
    stage.tree.inodes().remember(&inode);
    let old = stage
        .tree
        .resolve(DIRECTORY, listed.stored.listing.get("1.pdf").unwrap());
    stage.expire();
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    let new = stage
        .tree
        .resolve(DIRECTORY, listed.stored.listing.get("1.pdf").unwrap());
    assert_ne!(old.ino, new.ino, "a new content is a new inode");
    assert_eq!(stage.tree.is_current(&old), Some(false));
    let (ino, drops) = stage.tree.invalidations().take().unwrap();
    assert_eq!(ino, inode.ino);
    assert!(drops.listing);
    assert_eq!(
        drops
            .names
            .iter()
            .map(crate::names::FileName::as_str)
            .collect::<Vec<_>>(),
        ["1.pdf"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_kernels_copy_of_a_listing_lapses() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    let inode = stage.tree.directory_inode(DIRECTORY);
    stage.tree.inodes().remember(&inode);
    stage.tree.note_given(inode.ino, DIRECTORY, &listed);
    assert!(
        stage.tree.invalidations().settle(Duration::ZERO),
        "nothing to tell yet"
    );
    stage.expire();
    // The watch looks every five seconds at the latest; time is simulated.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (ino, drops) = stage.tree.invalidations().take().unwrap();
    assert!(ino == inode.ino && drops.listing && drops.names.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_panics_is_an_error_and_the_next_one_is_asked_anew() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    let good = std::mem::take(&mut *stage.server.lists.lock());
    assert!(stage.names().await.is_err(), "an empty script panics");
    *stage.server.lists.lock() = good;
    assert_eq!(stage.names().await.unwrap(), ["1.pdf"]);
}

#[tokio::test(start_paused = true)]
async fn a_length_that_was_learnt_changes_nothing_else() {
    let Entry::Document(known) = document(1, 7) else {
        unreachable!("a document")
    };
    let unknown = Document { size: None, ..known };
    let stage = Stage::new(
        vec![Ok(vec![Entry::Document(unknown.clone())])],
        TreeConfig::default(),
    );
    let before = stage.tree.list(DIRECTORY).await.unwrap().stored.listing.clone();
    stage
        .tree
        .learn(
            &unknown,
            ContentTag {
                size: Some(7),
                ..unknown.content_tag(0)
            },
        )
        .await;
    assert_eq!(
        stage.tree.tag(before.get("1.pdf").unwrap()).unwrap().size,
        Some(7)
    );
    stage.expire();
    let after = stage.tree.list(DIRECTORY).await.unwrap().stored.listing.clone();
    assert_eq!(after.get("1.pdf").unwrap().size(), Some(7), "and is kept");
    assert_eq!(
        (after.generation, after.changed),
        (before.generation, before.changed)
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_download_told_leads_the_name_to_a_new_inode() {
    let stage = Stage::new(vec![Ok(vec![document(1, 1)])], TreeConfig::default());
    let listed = stage.tree.list(DIRECTORY).await.unwrap();
    let row = listed.stored.listing.get("1.pdf").unwrap();
    let old = stage.tree.resolve(DIRECTORY, row);
    let (Entry::Document(document), Some(tag)) = (&*row.entry, row.tag) else {
        unreachable!("a document")
    };
    stage
        .tree
        .amend(
            DIRECTORY,
            document,
            ContentTag {
                size: Some(5),
                revision: 1,
                ..tag
            },
        )
        .await;
    let row = stage
        .tree
        .held(DIRECTORY)
        .unwrap()
        .listing
        .get("1.pdf")
        .unwrap()
        .clone();
    assert_eq!(row.size(), Some(5));
    assert_ne!(stage.tree.resolve(DIRECTORY, &row).ino, old.ino);
    stage.expire();
    let again = stage.tree.list(DIRECTORY).await.unwrap();
    assert_eq!(
        again.stored.listing.get("1.pdf").unwrap().size(),
        Some(5),
        "kept while the listing says the same"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_forgets_makes_room_only_where_it_is_kept_elsewhere() {
    for release_forgotten in [false, true] {
        let config = TreeConfig {
            release_forgotten,
            ..TreeConfig::default()
        };
        let stage = Stage::new(vec![Ok(vec![document(1, 1)])], config);
        let listed = stage.tree.list(DIRECTORY).await.unwrap();
        let row = listed.stored.listing.get("1.pdf").unwrap();
        let (inode, file) = (
            stage.tree.directory_inode(DIRECTORY),
            stage.tree.resolve(DIRECTORY, row),
        );
        for inode in [&inode, &inode, &file] {
            stage.tree.inodes().remember(inode);
        }
        stage.tree.forget(inode.ino, 1);
        assert!(stage.tree.held(DIRECTORY).is_some(), "the kernel holds it");
        assert!(stage.tree.entry(&file).await.is_some());
        stage.tree.forget(inode.ino, 1);
        assert_eq!(stage.tree.held(DIRECTORY).is_none(), release_forgotten);
        assert_eq!(
            stage.tree.inodes().get(file.ino),
            Some(file),
            "the file needs no listing"
        );
        assert_eq!(stage.tree.entry(&file).await.is_none(), release_forgotten);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_of_the_version_its_inode_stands_for() {
    let versions = (1..=6).map(|size| Ok(vec![document(1, size)])).collect();
    let stage = Stage::new(versions, TreeConfig::default());
    let mut inodes = Vec::new();
    for _ in 1..=6 {
        let listed = stage.tree.list(DIRECTORY).await.unwrap();
        let row = listed.stored.listing.get("1.pdf").unwrap();
        inodes.push(stage.tree.resolve(DIRECTORY, row));
        stage.expire();
    }
    let mut sizes = Vec::new();
    for inode in &inodes {
        let entry = stage.tree.entry(inode).await;
        sizes.push(entry.and_then(|entry| match &*entry {
            Entry::Document(document) => document.size,
            Entry::Folder(_) => None,
        }));
    }
    let remembered = [None, None, Some(3), Some(4), Some(5), Some(6)];
    assert_eq!(sizes, remembered, "never another version's");
}
