//! A server of folders in simulated time, for the tests of what asks it by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::model::{
    ByteRange, Datasource, DirId, Document, DocumentId, DocumentKind, Entry, Folder, FolderId, Guid, ObjectId,
};
use crate::remote::{Capabilities, Content, Progress, Remote, RemoteError, Subtree, Urgency, UrgencyHandle};
use crate::tree::inodes::{Directory, MountEntry};
use crate::tree::{Tree, TreeConfig};

/// A request to list a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) folder: Option<FolderId>,
    /// When it was answered; a flight may have become more urgent meanwhile.
    pub(super) urgency: Urgency,
}

/// Waits for the turn of two requests: one for folders, and one for documents.
pub(super) type Budget =
    Arc<dyn Fn(UrgencyHandle) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

#[derive(Default)]
pub(super) struct Town {
    roots: Mutex<Vec<Folder>>,
    folders: Mutex<HashMap<FolderId, Vec<Entry>>>,
    /// What listing a folder fails with, in turn; then it works again.
    pub(super) failures: Mutex<HashMap<FolderId, Vec<RemoteError>>>,
    /// What everything fails with.
    pub(super) away: Mutex<Option<RemoteError>>,
    /// It says what is below a folder.
    pub(super) tells_below: AtomicBool,
    /// What it says then, where that is not what its listings say.
    pub(super) tells_instead: Mutex<Option<HashMap<FolderId, Vec<Entry>>>>,
    /// Questions for that.
    pub(super) asked_below: AtomicUsize,
    latency: Duration,
    budget: Option<Budget>,
    pub(super) asked: Mutex<Vec<Asked>>,
    under_way: AtomicUsize,
    /// The most listings that were ever under way at once.
    pub(super) at_once: AtomicUsize,
}

pub(super) fn id(number: u32) -> FolderId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    FolderId(Guid::from_bytes(bytes))
}

pub(super) fn directory(folder: FolderId) -> Directory {
    Directory {
        mount: MountEntry::WHOLE,
        id: DirId::Folder(folder),
    }
}

fn folder(number: u32, parent: Option<u32>) -> Folder {
    Folder {
        id: id(number),
        parent: parent.map(id),
        name: format!("f{number:05}"),
        description: String::new(),
        work_area: false,
        created: None,
        updated: None,
        etag: None,
    }
}

fn document(number: u32, within: u32) -> Entry {
    let mut bytes = [8; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..8].copy_from_slice(&within.to_be_bytes());
    Entry::Document(Document {
        id: DocumentId(Guid::from_bytes(bytes)),
        folder: Some(id(within)),
        name: format!("{number}"),
        file_name: Some(format!("{number}.pdf")),
        description: String::new(),
        version: String::new(),
        active: true,
        kind: DocumentKind::File,
        size: Some(1),
        file_updated: None,
        updated: None,
        created: None,
        state: None,
        mime_type: None,
        etag: None,
    })
}

impl Town {
    pub(super) fn new(latency: Duration, budget: Option<Budget>) -> Self {
        Self {
            latency,
            budget,
            ..Self::default()
        }
    }

    /// Adds a folder with one document in it.
    pub(super) fn add(&self, number: u32, parent: Option<u32>) {
        let new = folder(number, parent);
        match parent {
            None => self.roots.lock().push(new),
            Some(parent) => self
                .folders
                .lock()
                .entry(id(parent))
                .or_default()
                .push(Entry::Folder(new)),
        }
        self.folders
            .lock()
            .entry(id(number))
            .or_default()
            .push(document(0, number));
    }

    /// Takes everything out of a folder.
    pub(super) fn empty(&self, number: u32) {
        self.folders.lock().insert(id(number), Vec::new());
    }

    /// Gives the first entry of a folder, a document, another description.
    pub(super) fn rename(&self, number: u32) {
        let mut folders = self.folders.lock();
        if let Some(Entry::Document(document)) = folders.entry(id(number)).or_default().first_mut() {
            document.description = "another".to_owned();
        }
    }

    /// Adds a document to a folder.
    pub(super) fn change(&self, number: u32) {
        let mut folders = self.folders.lock();
        let entries = folders.entry(id(number)).or_default();
        let next = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entries.push(document(next, number));
    }

    /// `width` folders in each folder, `depth` levels of them; how many there are.
    pub(super) fn grow(&self, width: u32, depth: u32) -> u32 {
        let mut level: Vec<Option<u32>> = vec![None];
        let mut count = 0;
        for _ in 0..depth {
            let mut next = Vec::new();
            for parent in level {
                for _ in 0..width {
                    count += 1;
                    self.add(count, parent);
                    next.push(Some(count));
                }
            }
            level = next;
        }
        count
    }

    /// From now on it tells of what is below a folder as it is now.
    pub(super) fn freeze_what_is_below(&self) {
        *self.tells_instead.lock() = Some(self.folders.lock().clone());
    }

    pub(super) fn listings(&self) -> usize {
        self.asked.lock().len()
    }

    pub(super) fn listings_of(&self, number: u32) -> usize {
        let asked = self.asked.lock();
        asked
            .iter()
            .filter(|asked| asked.folder == Some(id(number)))
            .count()
    }

    /// Two requests.
    async fn turn(&self) -> UrgencyHandle {
        let urgency = UrgencyHandle::current();
        if let Some(budget) = &self.budget {
            budget(urgency.clone()).await;
        }
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.latency).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        urgency
    }

    /// Everything below a folder, and how many rows of it are folders.
    fn below(&self, top: FolderId) -> (Vec<Entry>, usize) {
        let instead = self.tells_instead.lock();
        let listed = self.folders.lock();
        let folders = instead.as_ref().unwrap_or(&listed);
        let (mut rows, mut queue) = (Vec::new(), vec![top]);
        while let Some(folder) = queue.pop() {
            let inside = folders.get(&folder).cloned().unwrap_or_default();
            queue.extend(inside.iter().filter_map(|row| match row {
                Entry::Folder(folder) => Some(folder.id),
                Entry::Document(_) => None,
            }));
            rows.extend(inside);
        }
        let count = rows.iter().filter(|row| matches!(row, Entry::Folder(_))).count();
        (rows, count)
    }

    async fn answer(&self, folder: Option<FolderId>) -> Result<(), RemoteError> {
        let urgency = self.turn().await;
        self.asked.lock().push(Asked {
            folder,
            urgency: urgency.get(),
        });
        if let Some(error) = &*self.away.lock() {
            return Err(error.clone());
        }
        let mut failures = self.failures.lock();
        match folder
            .and_then(|folder| failures.get_mut(&folder))
            .filter(|f| !f.is_empty())
        {
            Some(failures) => Err(failures.remove(0)),
            None => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl Remote for Town {
    fn name(&self) -> &'static str {
        "town"
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
        self.answer(None).await?;
        Ok(self.roots.lock().clone())
    }
    async fn list(&self, folder: FolderId, _progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
        self.answer(Some(folder)).await?;
        self.folders
            .lock()
            .get(&folder)
            .cloned()
            .ok_or_else(|| RemoteError::NotFound {
                what: folder.to_string(),
                detail: "".into(),
            })
    }
    async fn subtree(
        &self,
        folder: FolderId,
        children: &[ObjectId],
        most: usize,
        _progress: &Progress,
    ) -> Result<Subtree, RemoteError> {
        if !self.tells_below.load(Ordering::SeqCst) {
            return Ok(Subtree::NotSupported);
        }
        self.asked_below.fetch_add(1, Ordering::SeqCst);
        // As of the moment it was asked.
        let (rows, folders) = self.below(folder);
        // A request for each page of five hundred: the folders, twice, and the documents. No more than were wanted.
        let pages = |rows: usize| rows.div_ceil(500).max(1);
        let pages = 2 * pages(folders) + pages((rows.len() - folders).min(most));
        for _ in 0..pages.div_ceil(2) {
            self.turn().await;
            if let Some(error) = &*self.away.lock() {
                return Err(error.clone());
            }
        }
        let listed = rows
            .iter()
            .filter(|row| row.parent() == Some(folder))
            .map(Entry::id);
        let listed: HashSet<ObjectId> = listed.collect();
        Ok(if rows.len() > most {
            Subtree::TooLarge
        } else if listed != children.iter().copied().collect() {
            Subtree::Unsettled
        } else {
            Subtree::Rows(rows)
        })
    }
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        // Its number is all that is looked at.
        Ok(Folder {
            id: folder,
            ..self::folder(0, None)
        })
    }
    async fn document(&self, document: DocumentId) -> Result<Document, RemoteError> {
        Err(RemoteError::NotFound {
            what: document.to_string(),
            detail: "".into(),
        })
    }
    async fn find(&self, _ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        Ok(Vec::new())
    }
    async fn read(
        &self,
        _document: DocumentId,
        _range: ByteRange,
        _if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        Err(RemoteError::Unreachable("no route".into()))
    }
}

/// A town, a tree over it, and the time of both.
pub(super) struct Stage {
    pub(super) town: Arc<Town>,
    pub(super) tree: Tree,
    pub(super) clock: Clock,
}

impl Stage {
    /// Needs a paused clock; ages move with it.
    pub(super) fn new(town: Town, config: TreeConfig) -> Self {
        let town = Arc::new(town);
        let clock = Clock::manual();
        let tree = Tree::new(town.clone(), &Handle::current(), config, clock.clone());
        let ages = clock.clone();
        Handle::current().spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                ages.advance(last.elapsed());
                last = Instant::now();
            }
        });
        Self { town, tree, clock }
    }

    pub(super) fn age(&self, number: u32) -> Duration {
        let fetched = self.tree.fetched(DirId::Folder(id(number)));
        fetched.map_or(Duration::MAX, |fetched| self.clock.now().since(fetched))
    }

    /// Asks for a folder as a person does; how long that takes.
    pub(super) async fn visit(&self, number: u32) -> Duration {
        let before = Instant::now();
        let listed = self.tree.list(directory(id(number))).await.unwrap();
        assert!(!listed.stale);
        before.elapsed()
    }
}
