//! The rows of the demo datasource: what a folder and a document are here.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::demo::files::{Recipe, media_type};
use crate::demo::oracle::Origin;
use crate::demo::seed::digest;
use crate::model::{DocumentKind, Guid, Timestamp};

use super::Access;

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
    /// What an oracle file of a document holds; `edition` counts the contents it has had.
    pub(in crate::demo) fn oracle(document: Guid, edition: u32, size: u64) -> Self {
        Self::Oracle {
            origin: origin(document, edition),
            size,
        }
    }

    /// Whose the bytes say they are; `None` for those that do not say.
    pub(in crate::demo) fn origin(&self) -> Option<Origin> {
        match self {
            Self::Nothing | Self::Made(_) | Self::Given(_) => None,
            Self::Oracle { origin, .. } => Some(*origin),
        }
    }

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

/// The mark on the bytes of a document's edition.
fn origin(document: Guid, edition: u32) -> Origin {
    let [a, b, c, ..] = *document.as_bytes();
    Origin {
        document: [a, b, c],
        version: edition.to_le_bytes()[0],
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

/// Where a document stands in its workflow (the default of a design office; 0 would mean no workflow).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkflowState {
    /// Being worked on.
    Wip,
    /// Shared within the project.
    Shared,
    /// Issued.
    Published,
    /// Done with.
    Archived,
}

impl WorkflowState {
    /// Every state, in the order of the workflow.
    pub const ALL: [Self; 4] = [Self::Wip, Self::Shared, Self::Published, Self::Archived];

    /// Its number in the datasource.
    pub const fn id(self) -> u32 {
        match self {
            Self::Wip => 11,
            Self::Shared => 12,
            Self::Published => 13,
            Self::Archived => 14,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wip => "Work in Progress",
            Self::Shared => "Shared",
            Self::Published => "Published",
            Self::Archived => "Archived",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum DocumentClass {
    Document,
    FlatSet,
    LogicalSet,
}

impl TimeStyle {
    /// The style of the row whose GUID ends in this byte.
    pub(super) fn of(quirk: u8) -> Self {
        match quirk % 5 {
            0 => Self::Bare,
            1 | 2 => Self::Fraction,
            _ => Self::Zulu,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What everybody may do with it who has no right of his own: change it by [`super::State::set_access`] only.
    pub(in crate::demo) access: Access,
    /// Order of creation among the rows that are stored.
    pub(super) serial: u64,
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

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Counts replacements that kept the time stamp, so that the file's tag moves all the same.
    pub(super) replaced: u32,
    /// Shared by all versions of one document: the GUID its first version had.
    pub(in crate::demo) original: Guid,
    /// Versions made before this one.
    pub(in crate::demo) sequence: u32,
    /// Contents the document had before this one: versions, and files replaced in place.
    pub(super) edition: u32,
    pub(in crate::demo) state: WorkflowState,
    /// Somebody works on it; the file is served as it was checked in last.
    pub(super) checked_out: bool,
    /// Attributes of the environment that were set on this document, over those all documents have.
    pub(super) set_attributes: Option<Box<Attributes>>,
    /// Order of creation among the rows that are stored.
    pub(super) serial: u64,
}

/// Attributes by name; few documents have any of their own, so rows hold them at a distance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attributes(pub(super) BTreeMap<String, String>);

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
        bytes.extend_from_slice(&self.state.id().to_le_bytes());
        bytes.push(u8::from(self.checked_out));
        digest(&bytes)
    }

    /// What a file system would call it.
    pub(in crate::demo) fn kind(&self) -> DocumentKind {
        match self.class {
            DocumentClass::FlatSet | DocumentClass::LogicalSet => DocumentKind::Set,
            DocumentClass::Document if self.has_file() => DocumentKind::File,
            DocumentClass::Document => DocumentKind::Placeholder,
        }
    }

    /// True where there are bytes to download. An empty file name alone stands for no file.
    pub(in crate::demo) fn has_file(&self) -> bool {
        self.file_name.is_some() && self.content != Content::Nothing
    }

    /// The native item type (fact sheet 1.4): normal 10, history 11, set 12, abstract 15.
    pub(in crate::demo) fn item_type(&self) -> u32 {
        match self.kind() {
            DocumentKind::Set => 12,
            DocumentKind::Placeholder => 15,
            DocumentKind::File if !self.active => 11,
            DocumentKind::File => 10,
        }
    }

    /// The MIME type of the file by its name's extension; `None` without a file.
    pub(in crate::demo) fn mime_type(&self) -> Option<&'static str> {
        self.file_name.as_deref().map(media_type)
    }

    pub(in crate::demo) fn checked_out(&self) -> bool {
        self.checked_out
    }

    /// The value an attribute of the environment was set to, if it was.
    pub(in crate::demo) fn set_attribute(&self, name: &str) -> Option<&str> {
        self.set_attributes.as_deref()?.0.get(name).map(String::as_str)
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
