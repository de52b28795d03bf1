//! The demo datasource: folders, documents, their versions and rights, and every way they may change.
//!
//! [`World`] is both what the simulated server answers from and what a test compares with: it says what a truthful
//! client should see ([`World::documents`], [`World::folders`]) in its own types, never in wire shapes.

mod changes;
mod state;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::demo::accounts::DEFAULT_EMAIL;
use crate::demo::files::Recipe;
use crate::demo::knobs::Panel;
use crate::demo::payload::Payload;
use crate::demo::{DemoOptions, bridge};
use crate::model::{DocumentKind, Guid, Timestamp};

pub use self::changes::{InPlace, WorldError};
pub(super) use self::state::{
    Content, DocumentClass, DocumentRow, FolderRow, NewDocument, NewFolder, State, TimeStyle,
};
pub(super) use self::view::View;

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
    revision: AtomicU64,
    knobs: Arc<Panel>,
    made: moka::sync::Cache<Recipe, Bytes>,
}

impl World {
    /// Builds the bridge project; the same options give the same world.
    pub(super) fn build(options: &DemoOptions, knobs: Arc<Panel>) -> Arc<Self> {
        let mut state = State::new(options.seed);
        bridge::build(&mut state, options);
        Arc::new(Self {
            state: Mutex::new(state),
            revision: AtomicU64::new(0),
            knobs,
            made: moka::sync::Cache::builder()
                .max_capacity(MADE_BYTES_KEPT)
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
                .build(),
        })
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
        self.view(account, |view| {
            view.all_documents()
                .map(|row| expected_document(view, &row))
                .collect()
        })
    }

    /// Every folder as this account should see it, in order of creation.
    pub fn folders_for(&self, account: &str) -> Vec<ExpectedFolder> {
        self.view(account, |view| {
            view.all_folders()
                .map(|row| expected_folder(view, &row))
                .collect()
        })
    }

    /// One document, by its GUID.
    pub fn document(&self, guid: Guid) -> Option<ExpectedDocument> {
        self.view(DEFAULT_EMAIL, |view| {
            view.document(guid).map(|row| expected_document(view, &row))
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
        look(&self.state.lock())
    }

    /// Looks at it as one account does; `look` must be short and must not call back.
    pub(super) fn view<R>(&self, account: &str, look: impl FnOnce(View<'_>) -> R) -> R {
        look(View::new(&self.state.lock(), account))
    }

    /// Another number after every change: what was found under one number is still so under the same.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        // Under the lock, so that whoever looks at the state knows which one it is.
        self.revision.fetch_add(1, Ordering::AcqRel);
        change(&mut state)
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

fn expected_document(view: View<'_>, row: &DocumentRow) -> ExpectedDocument {
    ExpectedDocument {
        guid: row.guid,
        folder_guid: row.folder,
        path: view.path_of(row.folder),
        name: row.name.clone(),
        file_name: row.file_name.clone(),
        size: row.content.size(),
        listed_size: row.listed_size,
        version: row.version.clone(),
        active: row.active,
        readable: row.access == Access::Full && row.content != Content::Nothing && view.may_list(row.folder),
        listed: row.access != Access::Hidden && view.reachable(row.folder),
        kind: match row.class {
            DocumentClass::FlatSet | DocumentClass::LogicalSet => DocumentKind::Set,
            DocumentClass::Document if row.file_name.is_some() => DocumentKind::File,
            DocumentClass::Document => DocumentKind::Placeholder,
        },
        file_updated: row.file_updated,
    }
}
