//! The demo datasource: folders, documents, their versions and rights, and every way they may change.
//!
//! [`World`] is both what the simulated server answers from and what a test compares with: it says what a truthful
//! client should see ([`World::documents`], [`World::folders`]) in its own types, never in wire shapes.

mod changes;
mod edits;
mod ground;
mod rights;
mod rows;
mod state;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::demo::accounts::DEFAULT_EMAIL;
use crate::demo::files::Recipe;
use crate::demo::knobs::Panel;
use crate::demo::oracle::Origin;
use crate::demo::payload::Payload;
use crate::demo::{DemoOptions, awkward, bridge, people, scale};
use crate::model::{DocumentKind, Guid, Timestamp};

pub use self::changes::{InPlace, WorldError};
pub(super) use self::ground::Ground;
pub use self::rows::WorkflowState;
pub(super) use self::rows::{Content, DocumentClass, DocumentRow, FolderRow, TimeStyle};
pub(super) use self::state::{NewDocument, NewFolder, State};
pub(super) use self::view::View;

/// Bytes of made files kept in memory: all of the default project, so that reading it again costs no making.
const MADE_BYTES_KEPT: u64 = 128 << 20;

/// What the demo account may do with a folder or document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// See it, but not download the document or list the folder: that answers 403 `NotEnoughRights`.
    SeeOnly,
    /// Nothing: it is absent from listings and answers 403 when asked for by id.
    Hidden,
}

impl Access {
    /// What is allowed by both.
    fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Hidden, _) | (_, Self::Hidden) => Self::Hidden,
            (Self::SeeOnly, _) | (_, Self::SeeOnly) => Self::SeeOnly,
            (Self::Full, Self::Full) => Self::Full,
        }
    }
}

/// Which datasource it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorldKind {
    /// The bridge project: a few hundred believable documents, real files, one of each thing that matters.
    #[default]
    Bridge,
    /// As many documents as are asked for, made when they are looked at.
    Scale,
    /// One of each thing that is legal and awkward, each in its own numbered folder.
    Awkward,
}

impl WorldKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Scale, Self::Awkward];

    /// How the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Scale => "scale",
            Self::Awkward => "awkward",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A folder as the account should see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedFolder {
    /// Its identity.
    pub guid: Guid,
    /// The folder it is in; `None` for a root.
    pub parent: Option<Guid>,
    /// Raw names from the root down to and including this folder.
    pub path: Vec<String>,
    /// False where listing it answers 403.
    pub listable: bool,
    /// True where it appears in the listing of its parent (and all its ancestors can be listed).
    pub listed: bool,
    /// True for a work area.
    pub work_area: bool,
}

/// A document (one version of it) as the account should see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedDocument {
    /// Its identity.
    pub guid: Guid,
    /// The folder it is in.
    pub folder_guid: Guid,
    /// Raw names of the folders from the root down.
    pub path: Vec<String>,
    /// The document name.
    pub name: String,
    /// The raw file name; `None` where there is no file.
    pub file_name: Option<String>,
    /// The length `$file` delivers, in bytes; 0 without a file.
    pub size: u64,
    /// `FileSize` as listed; differs from `size` after [`InPlace::SameTag`].
    pub listed_size: Option<u64>,
    /// The version label, maybe empty.
    pub version: String,
    /// False for a superseded version.
    pub active: bool,
    /// True where `$file` answers the bytes.
    pub readable: bool,
    /// True where it appears in its folder's listing (and all its ancestors can be listed).
    pub listed: bool,
    /// What it is.
    pub kind: DocumentKind,
    /// `FileUpdateTime`.
    pub file_updated: Option<Timestamp>,
    /// What its bytes say of themselves, where they do: [`Origin::check`] needs no copy of them then.
    pub origin: Option<Origin>,
    /// Shared by all versions of one document.
    pub original: Guid,
    /// Versions made before this one.
    pub sequence: u32,
}

/// The demo datasource.
pub struct World {
    state: RwLock<State>,
    knobs: Arc<Panel>,
    made: moka::sync::Cache<Recipe, Bytes>,
}

impl World {
    /// Builds the world asked for; the same options give the same world.
    pub(super) fn build(options: &DemoOptions, knobs: Arc<Panel>) -> Arc<Self> {
        let mut state = State::new(options.seed);
        match options.world {
            WorldKind::Bridge => bridge::build(&mut state, options),
            WorldKind::Scale => scale::build(&mut state, options),
            WorldKind::Awkward => awkward::build_world(&mut state, options.seed, awkward::CROWD),
        }
        people::give_rights(&mut state, options.world);
        Arc::new(Self::new(state, knobs))
    }

    pub(super) fn new(state: State, knobs: Arc<Panel>) -> Self {
        Self {
            state: RwLock::new(state),
            knobs,
            made: moka::sync::Cache::builder()
                .max_capacity(MADE_BYTES_KEPT)
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                .build(),
        }
    }

    /// How many changes there were since the start: the same number means the same state.
    pub fn revision(&self) -> u64 {
        self.with(State::revision)
    }

    /// How many documents there are, every version and whatever is hidden included.
    pub fn document_count(&self) -> usize {
        self.with(State::document_count)
    }

    /// How many folders there are, hidden ones included.
    pub fn folder_count(&self) -> usize {
        self.with(State::folder_count)
    }

    /// Every document in every version, in order of creation.
    pub fn documents(&self) -> Vec<ExpectedDocument> {
        self.documents_for(DEFAULT_EMAIL)
    }

    /// Every folder, in order of creation.
    pub fn folders(&self) -> Vec<ExpectedFolder> {
        self.folders_for(DEFAULT_EMAIL)
    }

    /// Every document in every version as this account should see it, in order of creation.
    pub fn documents_for(&self, account: &str) -> Vec<ExpectedDocument> {
        let mut documents = Vec::new();
        self.each_document(account, |document| documents.push(document));
        documents
    }

    /// Every folder as this account should see it, in order of creation.
    pub fn folders_for(&self, account: &str) -> Vec<ExpectedFolder> {
        let mut folders = Vec::new();
        self.each_folder(account, |folder| folders.push(folder));
        folders
    }

    /// Tells of every document in every version, one at a time, in order of creation.
    ///
    /// All of one moment: nothing is answered or changed meanwhile, a second or two for a million. `tell` must not
    /// call back.
    pub fn each_document(&self, account: &str, tell: impl FnMut(ExpectedDocument)) {
        self.view(account, |view| tell_documents(view, tell));
    }

    /// Tells of every folder, one at a time, in order of creation; as [`World::each_document`] does.
    pub fn each_folder(&self, account: &str, tell: impl FnMut(ExpectedFolder)) {
        self.view(account, |view| tell_folders(view, tell));
    }

    /// Tells of every folder and then of every document, all of one moment; else as [`World::each_document`] does.
    pub(super) fn each(
        &self,
        account: &str,
        folder: impl FnMut(ExpectedFolder),
        document: impl FnMut(ExpectedDocument),
    ) {
        self.view(account, |view| {
            tell_folders(view, folder);
            tell_documents(view, document);
        });
    }

    /// How many documents and folders the default account sees: active documents, with or without a file.
    pub fn shown(&self) -> (usize, usize) {
        self.view(DEFAULT_EMAIL, |view| {
            let listed = |folder| view.reachable(folder);
            let documents = view
                .all_documents()
                .filter(|row| row.active && row.access != Access::Hidden && listed(row.folder))
                .count();
            let folders = view
                .all_folders()
                .filter(|row| row.access != Access::Hidden && row.parent.is_none_or(listed))
                .count();
            (documents, folders)
        })
    }

    /// One document, by its GUID.
    pub fn document(&self, guid: Guid) -> Option<ExpectedDocument> {
        self.document_for(DEFAULT_EMAIL, guid)
    }

    /// One document as this account should see it, by its GUID.
    pub fn document_for(&self, account: &str, guid: Guid) -> Option<ExpectedDocument> {
        self.view(account, |view| {
            let row = view.document(guid)?;
            Some(expected_document(&Shelf::new(view, row.folder), &row))
        })
    }

    /// One folder, by its GUID.
    pub fn folder(&self, guid: Guid) -> Option<ExpectedFolder> {
        self.folder_for(DEFAULT_EMAIL, guid)
    }

    /// One folder as this account should see it, by its GUID.
    pub fn folder_for(&self, account: &str, guid: Guid) -> Option<ExpectedFolder> {
        self.view(account, |view| {
            view.folder(guid).map(|row| expected_folder(view, &row))
        })
    }

    /// The folder at these raw names from the root down.
    pub fn folder_at(&self, path: &[&str]) -> Option<Guid> {
        self.with(|state| state.folder_at(path))
    }

    /// The active document of this file name (the first of several) in the folder at the names before it.
    pub fn document_at(&self, path: &[&str]) -> Option<Guid> {
        let (file_name, folders) = path.split_last()?;
        self.with(|state| {
            let folder = state.folder_at(folders)?;
            state
                .documents_in(folder)
                .find(|row| row.active && row.file_name.as_deref() == Some(*file_name))
                .map(|row| row.guid)
        })
    }

    /// The bytes `$file` delivers, whatever the account's rights; `None` without a document or file.
    pub fn content(&self, guid: Guid) -> Option<Bytes> {
        let content = self.with(|state| state.document(guid).map(|row| row.content.clone()))?;
        self.payload_of(&content).map(|payload| payload.whole())
    }

    /// What a row's content stands for; making it may take tens of milliseconds.
    pub(super) fn payload_of(&self, content: &Content) -> Option<Payload> {
        match content {
            Content::Nothing => None,
            Content::Given(bytes) => Some(bytes.clone().into()),
            Content::Made(recipe) => Some(self.made.get_with(*recipe, || Bytes::from(recipe.make())).into()),
            Content::Oracle { origin, size } => Some(Payload::Made {
                origin: *origin,
                start: 0,
                end: *size,
            }),
        }
    }

    /// Looks at the state under its lock; `look` must be short and must not call back.
    pub(super) fn with<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.read())
    }

    /// Looks at it as one account does; `look` must be short and must not call back.
    pub(super) fn view<R>(&self, account: &str, look: impl FnOnce(View<'_>) -> R) -> R {
        let tags = self.knobs.now().folder_tags;
        look(View::new(&self.state.read(), account, tags))
    }

    /// Changes it, and counts that if it could be done.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> Result<R, WorldError>) -> Result<R, WorldError> {
        let mut state = self.state.write();
        let done = change(&mut state)?;
        state.count_change();
        Ok(done)
    }
}

fn tell_folders(view: View<'_>, mut tell: impl FnMut(ExpectedFolder)) {
    for row in view.all_folders() {
        tell(expected_folder(view, &row));
    }
}

fn tell_documents(view: View<'_>, mut tell: impl FnMut(ExpectedDocument)) {
    let mut last: Option<Shelf> = None;
    for row in view.all_documents() {
        let known = last.take().filter(|shelf| shelf.folder == row.folder);
        let place = known.unwrap_or_else(|| Shelf::new(view, row.folder));
        tell(expected_document(&place, &row));
        last = Some(place);
    }
}

fn expected_folder(view: View<'_>, row: &FolderRow) -> ExpectedFolder {
    ExpectedFolder {
        guid: row.guid,
        parent: row.parent,
        path: view.path_of(row.guid),
        listable: row.access == Access::Full,
        listed: row.access != Access::Hidden && row.parent.is_none_or(|parent| view.reachable(parent)),
        work_area: row.work_area,
    }
}

/// What all documents of a folder have in common.
struct Shelf {
    folder: Guid,
    path: Vec<String>,
    listable: bool,
    reachable: bool,
}

impl Shelf {
    fn new(view: View<'_>, folder: Guid) -> Self {
        Self {
            folder,
            path: view.path_of(folder),
            listable: view.may_list(folder),
            reachable: view.reachable(folder),
        }
    }
}

fn expected_document(shelf: &Shelf, row: &DocumentRow) -> ExpectedDocument {
    ExpectedDocument {
        guid: row.guid,
        folder_guid: row.folder,
        path: shelf.path.clone(),
        name: row.name.clone(),
        file_name: row.file_name.clone(),
        size: row.content.size(),
        listed_size: row.listed_size,
        version: row.version.clone(),
        active: row.active,
        readable: row.access == Access::Full && row.content != Content::Nothing && shelf.listable,
        listed: row.access != Access::Hidden && shelf.reachable,
        kind: row.kind(),
        file_updated: row.file_updated,
        origin: row.content.origin(),
        original: row.original,
        sequence: row.sequence,
    }
}
