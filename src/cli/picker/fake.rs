//! A small world for tests: a tree of folders, as a server and as answers to a model's wishes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::input::{Input, Key, Size};
use super::level::{Crumb, Listing};
use super::marks::Picked;
use super::model::{Answer, Ending, Event, Model, Wish};
use super::search::{Finding, Hit, Order, Reach};
use crate::model::{
    ByteRange, Datasource, DirId, Document, DocumentId, Entry, Folder, FolderId, Guid, ObjectId,
};
use crate::remote::{Capabilities, Content, Progress, Remote, RemoteError};

/// A server that holds the folders at these paths, and all above them.
///
/// A folder whose name ends with `!` denies access, one that ends with `?` does not answer, one that ends with `~` ends the
/// login.
#[derive(Default)]
pub(super) struct World {
    /// By path; a folder's id is its place in the order they were made in.
    folders: BTreeMap<String, u64>,
    /// How many listings run now, and how many ran at once at most.
    running: AtomicUsize,
    pub(super) most_running: AtomicUsize,
    pub(super) listed: AtomicUsize,
}

pub(super) fn id(number: u64) -> FolderId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    FolderId(Guid::from_bytes(bytes))
}

pub(super) fn folder(number: u64, name: &str) -> Folder {
    Folder {
        id: id(number),
        parent: None,
        name: name.to_owned(),
        description: String::new(),
        work_area: name.starts_with('P'),
        created: None,
        updated: None,
        etag: None,
    }
}

impl World {
    pub(super) fn new(paths: &[&str]) -> Self {
        let mut world = Self::default();
        for path in paths {
            for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
                let number = world.folders.len() as u64;
                world.folders.entry(path[..end].to_owned()).or_insert(number);
            }
        }
        world
    }

    pub(super) fn id(&self, path: &str) -> FolderId {
        id(self.folders[path])
    }

    /// The way to a folder.
    pub(super) fn way(&self, path: &str) -> Vec<Crumb> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.map(|end| Crumb {
            id: self.id(&path[..end]),
            name: path[..end].rsplit('/').next().unwrap().into(),
        })
        .collect()
    }

    fn path(&self, wanted: FolderId) -> &str {
        let found = self.folders.iter().find(|(_, number)| id(**number) == wanted);
        found.unwrap().0
    }

    fn children(&self, place: DirId) -> Result<Vec<Folder>, RemoteError> {
        let prefix = match place {
            DirId::Root => String::new(),
            DirId::Folder(id) => format!("{}/", self.path(id)),
        };
        let what = || prefix.clone();
        if prefix.ends_with("!/") {
            return Err(RemoteError::Denied {
                what: what(),
                detail: "NotEnoughRights: \u{1b}[31mno".into(),
            });
        } else if prefix.ends_with("?/") {
            return Err(RemoteError::TimedOut("no answer in 30 s".into()));
        } else if prefix.ends_with("~/") {
            return Err(RemoteError::LoginRequired(what().into()));
        }
        let child = |(path, number): (&String, &u64)| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/')).then(|| folder(*number, name))
        };
        Ok(self.folders.iter().filter_map(child).collect())
    }

    /// What a folder answers.
    pub(super) fn answer(&self, place: DirId) -> Event {
        let answer = match self.children(place) {
            Ok(folders) => Answer::Listed(Listing::new(folders, 2)),
            Err(RemoteError::Denied { detail, .. }) => Answer::Denied(detail.to_string()),
            Err(error) => Answer::Failed(error.to_string()),
        };
        Event::Answered(place, answer)
    }

    /// What a search finds, all at once.
    pub(super) fn found(&self, order: &Order) -> Event {
        let below = order
            .below
            .last()
            .map(|crumb| format!("{}/", self.path(crumb.id)));
        let below = below.unwrap_or_default();
        let hits = self
            .folders
            .keys()
            .filter(|path| path.starts_with(&below))
            .filter(|path| {
                let name = path.rsplit('/').next().unwrap_or_default();
                order.pattern.fits(&name.to_lowercase())
            })
            .map(|path| Hit { path: self.way(path) })
            .collect();
        let reach = Reach {
            looked: self.folders.len(),
            ..Reach::default()
        };
        Event::Found(
            order.number,
            Finding {
                hits,
                reach,
                last: true,
            },
        )
    }
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
        self.children(DirId::Root)
    }
    async fn list(&self, folder: FolderId, _: &Progress) -> Result<Vec<Entry>, RemoteError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        self.listed.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let folders = self.children(DirId::Folder(folder))?;
        Ok(folders.into_iter().map(Entry::Folder).collect())
    }
    async fn folder(&self, wanted: FolderId) -> Result<Folder, RemoteError> {
        let path = self.path(wanted);
        let (parent, name) = path
            .rsplit_once('/')
            .map_or((None, path), |(parent, name)| (Some(self.id(parent)), name));
        Ok(Folder {
            parent,
            ..folder(self.folders[path], name)
        })
    }
    async fn document(&self, _: DocumentId) -> Result<Document, RemoteError> {
        unimplemented!("a picker reads no documents")
    }
    async fn find(&self, _: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        unimplemented!("a picker asks for nothing by id")
    }
    async fn read(&self, _: DocumentId, _: ByteRange, _: Option<&str>) -> Result<Content, RemoteError> {
        unimplemented!("a picker reads no documents")
    }
}

/// A person in front of a picker whose server answers at once.
pub(super) struct Player {
    pub(super) world: World,
    pub(super) model: Model,
    /// What the model wished that a player does not do.
    pub(super) wishes: Vec<Wish>,
}

impl Player {
    pub(super) fn new(size: Size, paths: &[&str]) -> Self {
        Self::with(size, World::new(paths), Vec::new())
    }

    pub(super) fn with(size: Size, world: World, before: Vec<Picked>) -> Self {
        let mut player = Self {
            model: Model::new(world.name(), size, before),
            world,
            wishes: Vec::new(),
        };
        player.happen(Event::Opened(Ok(Vec::new())));
        player
    }

    /// Lets something happen, and whatever follows from it.
    pub(super) fn happen(&mut self, event: Event) {
        for wish in self.model.update(event) {
            match wish {
                Wish::List(place) => self.happen(self.world.answer(place)),
                Wish::Search(order) => self.happen(self.world.found(&order)),
                other => self.wishes.push(other),
            }
        }
    }

    /// Presses keys: characters, and `<Name>` for the others.
    pub(super) fn play(&mut self, script: &str) -> &mut Self {
        for key in keys(script) {
            self.happen(Event::Input(Input::Key(key)));
        }
        self
    }

    /// How the picker was asked to end.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self.wishes.last() {
            Some(Wish::Finish(ending)) => Some(*ending),
            _ => None,
        }
    }

    /// The marked folders as `path` or `path=alias`.
    pub(super) fn marked(&self) -> Vec<String> {
        let show = |picked: &Picked| {
            let alias = picked
                .alias
                .as_ref()
                .map_or(String::new(), |alias| format!("={alias}"));
            format!("{}{alias}", picked.path.join("/"))
        };
        self.model.marks.all().iter().map(show).collect()
    }

    pub(super) fn place(&self) -> String {
        let names: Vec<&str> = self.model.trail.iter().map(|crumb| &*crumb.name).collect();
        names.join("/")
    }
}

/// The keys of a script: characters, and `<Name>` for the others.
pub(super) fn keys(script: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let (name, behind) = match rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            Some((name, behind)) => (name, behind),
            None => ("", &rest[first.len_utf8()..]),
        };
        rest = behind;
        keys.push(match name {
            "" => Key::Char(first),
            "Enter" => Key::Enter,
            "Esc" => Key::Esc,
            "Back" => Key::Backspace,
            "Del" => Key::Delete,
            "Tab" => Key::Tab,
            "Up" => Key::Up,
            "Down" => Key::Down,
            "Left" => Key::Left,
            "Right" => Key::Right,
            "PgUp" => Key::PageUp,
            "PgDn" => Key::PageDown,
            "Home" => Key::Home,
            "End" => Key::End,
            control => Key::Ctrl(control.strip_prefix("C-").unwrap().chars().next().unwrap()),
        });
    }
    keys
}
