//! The demo datasource: folders, documents, their versions and rights, and every way they may change.
//!
//! [`World`] is both what the simulated server answers from and what a test compares with: it says what a truthful
//! client should see ([`World::documents`], [`World::folders`]) in its own types, never in wire shapes.

mod changes;
mod state;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::demo::files::Recipe;
use crate::demo::{DemoOptions, bridge};
use crate::model::{DocumentKind, Guid, Timestamp};

pub use self::changes::{InPlace, WorldError};
pub(super) use self::state::{
    Content, DocumentClass, DocumentRow, FolderRow, NewDocument, NewFolder, State, TimeStyle,
};

/// Bytes of made files kept in memory: a few of the largest, so that ranged reads of one file make it once.
const MADE_BYTES_KEPT: u64 = 48 << 20;

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

/// Which document keeps its GUID when a version is made (fact sheet 7.22: real servers may do either).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionGuids {
    /// The active document keeps its GUID; the superseded content gets a new one.
    Keep,
    /// The superseded document keeps its GUID; the active one gets a new one.
    New,
}

/// Whether listings state every document's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// All do.
    Listed,
    /// One document with a file (the upload log's neighbour `LEC-GEN-RPT-0002.pdf`) has no `FileSize`.
    AbsentForOne,
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
}

/// The demo datasource.
pub struct World {
    state: Mutex<State>,
    made: moka::sync::Cache<Recipe, Bytes>,
}

impl World {
    /// Builds the bridge project; the same options give the same world.
    pub(super) fn build(options: &DemoOptions) -> Arc<Self> {
        let mut state = State::new(options.seed, options.version_guids);
        bridge::build(&mut state, options);
        Arc::new(Self {
            state: Mutex::new(state),
            made: moka::sync::Cache::builder()
                .max_capacity(MADE_BYTES_KEPT)
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                .build(),
        })
    }

    /// Every document in every version, in order of creation.
    pub fn documents(&self) -> Vec<ExpectedDocument> {
        self.with(|state| {
            state
                .all_documents()
                .into_iter()
                .map(|row| expected_document(state, row))
                .collect()
        })
    }

    /// Every folder, in order of creation.
    pub fn folders(&self) -> Vec<ExpectedFolder> {
        self.with(|state| {
            state
                .all_folders()
                .into_iter()
                .map(|row| expected_folder(state, row))
                .collect()
        })
    }

    /// One document, by its GUID.
    pub fn document(&self, guid: Guid) -> Option<ExpectedDocument> {
        self.with(|state| state.document(guid).map(|row| expected_document(state, row)))
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
        self.bytes_of(&content)
    }

    /// The bytes a row's content stands for; making them may take tens of milliseconds.
    pub(super) fn bytes_of(&self, content: &Content) -> Option<Bytes> {
        match content {
            Content::Nothing => None,
            Content::Given(bytes) => Some(bytes.clone()),
            Content::Made(recipe) => Some(self.made.get_with(*recipe, || Bytes::from(recipe.make()))),
        }
    }

    /// Looks at the state under its lock; `look` must be short and must not call back.
    pub(super) fn with<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.lock())
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock())
    }
}

fn expected_folder(state: &State, row: &FolderRow) -> ExpectedFolder {
    ExpectedFolder {
        guid: row.guid,
        parent: row.parent,
        path: state.path_of(row.guid),
        listable: row.access == Access::Full,
        listed: row.access != Access::Hidden && row.parent.is_none_or(|parent| state.reachable(parent)),
        work_area: row.work_area,
    }
}

fn expected_document(state: &State, row: &DocumentRow) -> ExpectedDocument {
    ExpectedDocument {
        guid: row.guid,
        folder_guid: row.folder,
        path: state.path_of(row.folder),
        name: row.name.clone(),
        file_name: row.file_name.clone(),
        size: row.content.size(),
        listed_size: row.listed_size,
        version: row.version.clone(),
        active: row.active,
        readable: row.access == Access::Full && row.content != Content::Nothing && state.may_list(row.folder),
        listed: row.access != Access::Hidden && state.reachable(row.folder),
        kind: match row.class {
            DocumentClass::FlatSet | DocumentClass::LogicalSet => DocumentKind::Set,
            DocumentClass::Document if row.file_name.is_some() => DocumentKind::File,
            DocumentClass::Document => DocumentKind::Placeholder,
        },
        file_updated: row.file_updated,
    }
}
