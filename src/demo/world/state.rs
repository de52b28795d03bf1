//! The rows of the demo datasource and their indexes.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use crate::demo::files::Recipe;
use crate::demo::oracle::Origin;
use crate::demo::seed::{Dice, digest};
use crate::model::{Guid, Timestamp};

use super::Access;

/// The moment the demo world stands at before anything changes; every made date lies before it.
const PRESENT: &str = "2026-06-01T06:00:00Z";
/// How far a change moves the world's clock, so that no two changes share a time stamp.
const TICK_SECONDS: i64 = 61;

/// Where a document's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::demo) enum Content {
    Nothing,
    Made(Recipe),
    Given(Bytes),
    /// Made while it is sent, however long it is.
    Oracle {
        origin: Origin,
        size: u64,
    },
}

impl Content {
    /// The length in bytes.
    pub(in crate::demo) fn size(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Made(recipe) => recipe.size(),
            Self::Given(bytes) => u64::try_from(bytes.len()).expect("a length fits 64 bits"),
            Self::Oracle { size, .. } => *size,
        }
    }
}

/// How a row's times are written: servers differ (fact sheet 7.8), so rows do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum TimeStyle {
    /// `2025-03-04T10:11:12Z`.
    Zulu,
    /// `2025-03-04T10:11:12.345Z`.
    Fraction,
    /// `2025-03-04T10:11:12`, meaning UTC.
    Bare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum DocumentClass {
    Document,
    FlatSet,
    LogicalSet,
}

#[derive(Debug, Clone)]
pub(in crate::demo) struct FolderRow {
    pub(in crate::demo) guid: Guid,
    pub(in crate::demo) parent: Option<Guid>,
    pub(in crate::demo) name: String,
    pub(in crate::demo) description: String,
    pub(in crate::demo) work_area: bool,
    /// The iTwin this folder is connected to (fact sheet 2.3).
    pub(in crate::demo) connected: Option<Guid>,
    pub(in crate::demo) created: Timestamp,
    pub(in crate::demo) updated: Timestamp,
    pub(in crate::demo) access: Access,
    serial: u64,
}

impl FolderRow {
    pub(in crate::demo) fn etag(&self) -> u64 {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(self.guid.as_bytes());
        bytes.extend(self.parent.iter().flat_map(Guid::as_bytes));
        add_text(&mut bytes, &self.name);
        add_text(&mut bytes, &self.description);
        add_time(&mut bytes, Some(self.updated));
        digest(&bytes)
    }
}

/// Adds a text and its length, so that two texts never run together.
fn add_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&text.len().to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn add_time(bytes: &mut Vec<u8>, time: Option<Timestamp>) {
    let nanoseconds = time.map_or(i128::MIN, Timestamp::as_nanosecond);
    bytes.extend_from_slice(&nanoseconds.to_le_bytes());
}

#[derive(Debug, Clone)]
pub(in crate::demo) struct DocumentRow {
    pub(in crate::demo) guid: Guid,
    pub(in crate::demo) folder: Guid,
    pub(in crate::demo) class: DocumentClass,
    pub(in crate::demo) name: String,
    pub(in crate::demo) file_name: Option<String>,
    pub(in crate::demo) description: String,
    pub(in crate::demo) version: String,
    pub(in crate::demo) active: bool,
    pub(in crate::demo) content: Content,
    /// `FileSize`; `None` writes none.
    pub(in crate::demo) listed_size: Option<u64>,
    pub(in crate::demo) size_as_text: bool,
    pub(in crate::demo) time_style: TimeStyle,
    pub(in crate::demo) created: Timestamp,
    pub(in crate::demo) updated: Timestamp,
    pub(in crate::demo) file_updated: Option<Timestamp>,
    pub(in crate::demo) author: &'static str,
    pub(in crate::demo) access: Access,
    /// Members of a set.
    pub(in crate::demo) members: Vec<Guid>,
    /// The first version of this document; all its versions share it.
    pub(in crate::demo) original: Guid,
    /// Counts replacements that kept the time stamp, so that the file's tag moves all the same.
    pub(super) replaced: u32,
    serial: u64,
}

impl DocumentRow {
    pub(in crate::demo) fn etag(&self) -> u64 {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(self.guid.as_bytes());
        bytes.extend_from_slice(self.folder.as_bytes());
        add_text(&mut bytes, &self.name);
        add_text(&mut bytes, self.file_name.as_deref().unwrap_or_default());
        add_text(&mut bytes, &self.description);
        add_text(&mut bytes, &self.version);
        bytes.push(u8::from(self.active));
        bytes.extend_from_slice(&self.listed_size.unwrap_or(u64::MAX).to_le_bytes());
        add_time(&mut bytes, self.file_updated);
        add_time(&mut bytes, Some(self.updated));
        digest(&bytes)
    }

    /// The tag of the bytes: their length and file time, as DOC-25 derives it.
    pub(in crate::demo) fn file_etag(&self) -> u64 {
        let text = format!(
            "{}|{:?}|{}",
            self.content.size(),
            self.file_updated,
            self.replaced
        );
        digest(text.as_bytes())
    }
}

/// A folder to be added.
#[derive(Debug, Clone)]
pub(in crate::demo) struct NewFolder<'a> {
    pub(in crate::demo) parent: Option<Guid>,
    pub(in crate::demo) name: &'a str,
    pub(in crate::demo) description: &'a str,
    pub(in crate::demo) work_area: bool,
}

/// A document to be added.
#[derive(Debug, Clone)]
pub(in crate::demo) struct NewDocument {
    pub(in crate::demo) guid: Guid,
    pub(in crate::demo) folder: Guid,
    pub(in crate::demo) class: DocumentClass,
    pub(in crate::demo) name: String,
    pub(in crate::demo) file_name: Option<String>,
    pub(in crate::demo) version: String,
    pub(in crate::demo) active: bool,
    pub(in crate::demo) content: Content,
    pub(in crate::demo) author: &'static str,
    pub(in crate::demo) changed: Timestamp,
}

/// All rows, with the indexes that keep a listing's cost that of its folder.
pub(in crate::demo) struct State {
    folders: HashMap<Guid, FolderRow>,
    documents: HashMap<Guid, DocumentRow>,
    /// Child folders by parent (`None`: the roots), in the server's own order.
    child_folders: HashMap<Option<Guid>, Vec<Guid>>,
    /// Documents by folder, in the server's own order.
    child_documents: HashMap<Guid, Vec<Guid>>,
    serial: u64,
    clock: Timestamp,
    pub(in crate::demo) dice: Dice,
    /// When a child was last put into a folder or taken out of it.
    touched: HashMap<Guid, Timestamp>,
    /// What single accounts may do, where that differs from what the row says.
    rights: HashMap<Box<str>, HashMap<Guid, Access>>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            folders: HashMap::new(),
            documents: HashMap::new(),
            child_folders: HashMap::new(),
            child_documents: HashMap::new(),
            serial: 0,
            clock: PRESENT.parse().expect("a literal time stamp"),
            dice: Dice::new(seed),
            touched: HashMap::new(),
            rights: HashMap::new(),
        }
    }

    pub(in crate::demo) fn now(&self) -> Timestamp {
        self.clock
    }

    /// Moves the clock on and tells the time.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.clock += jiff::SignedDuration::from_secs(TICK_SECONDS);
        self.clock
    }

    pub(in crate::demo) fn add_folder(&mut self, new: &NewFolder<'_>, at: Timestamp) -> Guid {
        let guid = self.dice.guid();
        let serial = self.next_serial();
        self.put_folder(FolderRow {
            guid,
            parent: new.parent,
            name: new.name.to_owned(),
            description: new.description.to_owned(),
            work_area: new.work_area,
            connected: None,
            created: at,
            updated: at,
            access: Access::Full,
            serial,
        });
        guid
    }

    pub(in crate::demo) fn add_document(&mut self, new: NewDocument) -> Guid {
        let guid = new.guid;
        let quirk = guid.as_bytes()[15];
        let has_file = new.file_name.is_some();
        let serial = self.next_serial();
        self.put_document(DocumentRow {
            guid,
            folder: new.folder,
            class: new.class,
            name: new.name,
            file_name: new.file_name,
            description: String::new(),
            version: new.version,
            active: new.active,
            listed_size: has_file.then(|| new.content.size()),
            content: new.content,
            size_as_text: quirk.is_multiple_of(3),
            time_style: match quirk % 5 {
                0 => TimeStyle::Bare,
                1 | 2 => TimeStyle::Fraction,
                _ => TimeStyle::Zulu,
            },
            created: new.changed,
            updated: new.changed,
            file_updated: has_file.then_some(new.changed),
            author: new.author,
            access: Access::Full,
            members: Vec::new(),
            original: guid,
            replaced: 0,
            serial,
        });
        guid
    }

    /// A copy of a row as a document of its own, still to be stored.
    pub(super) fn twin(&mut self, row: &DocumentRow) -> DocumentRow {
        DocumentRow {
            guid: self.dice.guid(),
            serial: self.next_serial(),
            ..row.clone()
        }
    }

    /// Stores a row as the last of its folder.
    pub(super) fn put_document(&mut self, row: DocumentRow) {
        self.touched.insert(row.folder, self.clock);
        self.child_documents.entry(row.folder).or_default().push(row.guid);
        self.documents.insert(row.guid, row);
    }

    pub(super) fn take_document(&mut self, guid: Guid) -> Option<DocumentRow> {
        let row = self.documents.remove(&guid)?;
        self.touched.insert(row.folder, self.clock);
        let siblings = self.child_documents.entry(row.folder).or_default();
        siblings.retain(|other| *other != guid);
        Some(row)
    }

    /// Stores a row as the last of its parent.
    pub(super) fn put_folder(&mut self, row: FolderRow) {
        self.touched.extend(row.parent.map(|parent| (parent, self.clock)));
        self.child_folders.entry(row.parent).or_default().push(row.guid);
        self.folders.insert(row.guid, row);
    }

    pub(super) fn take_folder(&mut self, guid: Guid) -> Option<FolderRow> {
        let row = self.folders.remove(&guid)?;
        self.touched.extend(row.parent.map(|parent| (parent, self.clock)));
        let siblings = self.child_folders.entry(row.parent).or_default();
        siblings.retain(|other| *other != guid);
        Some(row)
    }

    pub(in crate::demo) fn folder(&self, guid: Guid) -> Option<Cow<'_, FolderRow>> {
        self.folders.get(&guid).map(Cow::Borrowed)
    }

    pub(in crate::demo) fn folder_mut(&mut self, guid: Guid) -> Option<&mut FolderRow> {
        self.folders.get_mut(&guid)
    }

    pub(in crate::demo) fn document(&self, guid: Guid) -> Option<Cow<'_, DocumentRow>> {
        self.documents.get(&guid).map(Cow::Borrowed)
    }

    pub(in crate::demo) fn document_mut(&mut self, guid: Guid) -> Option<&mut DocumentRow> {
        self.documents.get_mut(&guid)
    }

    pub(in crate::demo) fn folders_in(
        &self,
        parent: Option<Guid>,
    ) -> impl Iterator<Item = Cow<'_, FolderRow>> {
        let guids = self.child_folders.get(&parent).into_iter().flatten();
        guids.filter_map(|guid| self.folder(*guid))
    }

    pub(in crate::demo) fn documents_in(&self, folder: Guid) -> impl Iterator<Item = Cow<'_, DocumentRow>> {
        let guids = self.child_documents.get(&folder).into_iter().flatten();
        guids.filter_map(|guid| self.document(*guid))
    }

    /// Every folder, in order of creation.
    pub(in crate::demo) fn all_folders(&self) -> Vec<Cow<'_, FolderRow>> {
        let mut rows: Vec<_> = self.folders.values().map(Cow::Borrowed).collect();
        rows.sort_unstable_by_key(|row| row.serial);
        rows
    }

    /// Every document, in order of creation.
    pub(in crate::demo) fn all_documents(&self) -> Vec<Cow<'_, DocumentRow>> {
        let mut rows: Vec<_> = self.documents.values().map(Cow::Borrowed).collect();
        rows.sort_unstable_by_key(|row| row.serial);
        rows
    }

    pub(in crate::demo) fn folder_count(&self) -> usize {
        self.folders.len()
    }

    pub(in crate::demo) fn document_count(&self) -> usize {
        self.documents.len()
    }

    pub(super) fn folder_at(&self, path: &[&str]) -> Option<Guid> {
        let mut here = None;
        for name in path {
            here = Some(self.folders_in(here).find(|row| row.name == *name)?.guid);
        }
        here
    }

    /// Raw names from the root down to and including this folder.
    pub(in crate::demo) fn path_of(&self, folder: Guid) -> Vec<String> {
        let mut names: Vec<_> = self.lineage(folder).map(|row| row.name.clone()).collect();
        names.reverse();
        names
    }

    /// The folder, its parent, and so on up to the root.
    pub(in crate::demo) fn lineage(&self, folder: Guid) -> impl Iterator<Item = Cow<'_, FolderRow>> {
        std::iter::successors(self.folder(folder), |row| {
            row.parent.and_then(|parent| self.folder(parent))
        })
    }

    /// When a child was last put into this folder or taken out of it.
    pub(in crate::demo) fn touched(&self, folder: Guid) -> Option<Timestamp> {
        self.touched.get(&folder).copied()
    }

    /// What an account may do with a folder or document, where that differs from what its row says.
    pub(in crate::demo) fn right(&self, account: &str, guid: Guid) -> Option<Access> {
        self.rights.get(account)?.get(&guid).copied()
    }

    /// Sets what one account may do with a folder or document; `None` leaves it to the row again.
    pub(in crate::demo) fn set_right(&mut self, account: &str, guid: Guid, access: Option<Access>) {
        let rights = self.rights.entry(account.into()).or_default();
        match access {
            Some(access) => rights.insert(guid, access),
            None => rights.remove(&guid),
        };
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
