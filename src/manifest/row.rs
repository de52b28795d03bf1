//! The rows of a manifest, as docs/pipelines.md has them.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize, Serializer};

use crate::model::{Attribute, AttributeSheet, Document, DocumentKind, Guid, Timestamp};

/// The number of the format: another one where a member's meaning changes.
pub const FORMAT: u32 = 1;

/// The row before all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRow {
    /// `manifest`.
    pub row: String,
    /// [`FORMAT`].
    pub format: u32,
    /// Where the journal goes on.
    pub cursor: String,
    /// Server and datasource.
    pub datasource: String,
    /// The account the server sees.
    pub account: String,
    /// The directory that it is of, from the top of the mount.
    pub path: String,
    /// The topmost directories.
    pub scope: Vec<String>,
    /// Whether folders have rows, too.
    pub with_folders: bool,
    /// Which part it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Whether documents have the attributes of their environments.
    #[serde(default)]
    pub with_attributes: bool,
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRow {
    /// Its identity.
    pub guid: Guid,
    /// The folder it is in; `None` for a top.
    pub folder_guid: Option<Guid>,
    /// From the top of the mount; `None` for what is shown nowhere.
    pub path: Option<String>,
    /// The raw name.
    pub name: String,
    /// Free text; `None` where its listing is not kept.
    pub description: Option<String>,
    /// True for a work area.
    pub work_area: bool,
    /// When its own properties last changed.
    pub updated: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When the server was asked for what is in it.
    pub fetched_at: Option<Timestamp>,
    /// False while the server refuses it.
    pub readable: bool,
    /// In which words.
    pub denied: Option<String>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its identity.
    pub guid: Guid,
    /// The folder it is in.
    pub folder_guid: Guid,
    /// From the top of the mount; `None` for what is shown nowhere.
    pub path: Option<String>,
    /// The content tag, of one with a file.
    pub tag: Option<String>,
    /// Its properties, where they are known.
    pub document: Option<Document>,
    /// Of the content, where it is known.
    pub sha256: Option<[u8; 32]>,
    /// Of its environment, where they were wanted and are known.
    pub attributes: Option<Vec<SheetRow>>,
    /// False while the server refuses it.
    pub readable: bool,
    /// In which words.
    pub denied: Option<String>,
}

/// A sheet of attributes, as people and programs are told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SheetRow {
    /// The name of the environment.
    environment: String,
    /// In the order of the server.
    attributes: Vec<AttributeRow>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AttributeRow {
    name: String,
    value: String,
}

impl From<AttributeSheet> for SheetRow {
    fn from(sheet: AttributeSheet) -> Self {
        let row = |Attribute { name, value }| AttributeRow { name, value };
        Self {
            environment: sheet.environment,
            attributes: sheet.attributes.into_iter().map(row).collect(),
        }
    }
}

impl SheetRow {
    /// The name of the environment; empty where it is not known.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Names and values of what has one.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        let told = self.attributes.iter().filter(|row| !row.value.is_empty());
        told.map(|row| (row.name.as_str(), row.value.as_str()))
    }
}

/// A folder that failed.
#[derive(Debug, Clone, Serialize)]
pub struct FailedRow {
    /// From the top of the mount.
    pub path: String,
    /// Which.
    pub guid: String,
    /// Why.
    pub error: String,
}

/// The row after all others.
#[derive(Debug, Clone, Serialize)]
pub struct EndRow {
    /// `end`.
    pub row: &'static str,
    /// True if nothing failed.
    pub complete: bool,
    /// In all parts.
    pub folders: u64,
    /// In all parts.
    pub documents: u64,
    /// Written, this one and the first not counted.
    pub rows: u64,
    /// Of folders and documents: refused by the server.
    pub unreadable: u64,
    /// Where attributes were wanted: documents written without, because the server refused or no longer had them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_attributes: Option<u64>,
    /// When the folder was asked for that was asked longest ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Where the journal goes on.
    pub cursor: String,
    /// What keeps it from being complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRow>,
}

/// What is written as it is displayed.
#[derive(Clone, Copy)]
struct Words<T>(T);

impl<T: fmt::Display> Serialize for Words<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A folder or document, as it is written.
#[derive(Serialize)]
struct Line<'a> {
    row: &'static str,
    guid: Words<Guid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder_guid: Option<Words<Guid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_updated: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a [SheetRow]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work_area: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_at: Option<Timestamp>,
    readable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<&'a str>,
}

/// The column that is there only where it was asked for.
pub const ATTRIBUTES: &str = "attributes";

/// The columns of a table of rows: the members of a row, in their order.
pub const COLUMNS: [&str; 23] = [
    "row",
    "guid",
    "folder_guid",
    "path",
    "kind",
    "name",
    "file_name",
    "description",
    "version",
    "active",
    "state",
    "mime_type",
    "size",
    "file_updated",
    "updated",
    "created",
    "tag",
    "sha256",
    ATTRIBUTES,
    "work_area",
    "fetched_at",
    "readable",
    "denied",
];

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The text, if there is any: what a server leaves empty says nothing.
fn present(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl FolderRow {
    fn line(&self) -> Line<'_> {
        Line {
            row: "folder",
            guid: Words(self.guid),
            folder_guid: self.folder_guid.map(Words),
            path: self.path.as_deref(),
            kind: None,
            name: Some(&self.name),
            file_name: None,
            description: self.description.as_deref().and_then(present),
            version: None,
            active: None,
            state: None,
            mime_type: None,
            size: None,
            file_updated: None,
            updated: self.updated,
            created: self.created,
            tag: None,
            sha256: None,
            attributes: None,
            work_area: Some(self.work_area),
            fetched_at: self.fetched_at,
            readable: self.readable,
            denied: self.denied.as_deref(),
        }
    }
}

impl DocumentRow {
    fn line(&self) -> Line<'_> {
        let document = self.document.as_ref();
        Line {
            row: "document",
            guid: Words(self.guid),
            folder_guid: Some(Words(self.folder_guid)),
            path: self.path.as_deref(),
            kind: document.map(|document| match document.kind {
                DocumentKind::File => "file",
                DocumentKind::Placeholder => "placeholder",
                DocumentKind::Set => "set",
            }),
            name: document.map(|document| &*document.name),
            file_name: document.and_then(|document| document.file_name.as_deref()),
            description: document.and_then(|document| present(&document.description)),
            version: document.and_then(|document| present(&document.version)),
            active: document.map(|document| document.active),
            state: document.and_then(|document| document.state.as_deref()),
            mime_type: document.and_then(|document| document.mime_type.as_deref()),
            size: document.and_then(|document| document.size),
            file_updated: document.and_then(|document| document.file_updated),
            updated: document.and_then(|document| document.updated),
            created: document.and_then(|document| document.created),
            tag: self.tag.as_deref(),
            sha256: self.sha256.as_ref().map(hex),
            attributes: self.attributes.as_deref(),
            work_area: None,
            fetched_at: None,
            readable: self.readable,
            denied: self.denied.as_deref(),
        }
    }
}

impl Serialize for FolderRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.line().serialize(serializer)
    }
}

impl Serialize for DocumentRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.line().serialize(serializer)
    }
}

/// A row of a manifest.
pub enum Row<'a> {
    /// A folder.
    Folder(&'a FolderRow),
    /// A document.
    Document(&'a DocumentRow),
}

impl Row<'_> {
    /// What it says in each of [`COLUMNS`]; nothing where it has nothing to say.
    pub fn cells(&self) -> [Cow<'_, str>; COLUMNS.len()] {
        let line = match self {
            Self::Folder(folder) => folder.line(),
            Self::Document(document) => document.line(),
        };
        [
            Cow::Borrowed(line.row),
            said(Some(line.guid.0)),
            said(line.folder_guid.map(|guid| guid.0)),
            text(line.path),
            text(line.kind),
            text(line.name),
            text(line.file_name),
            text(line.description),
            text(line.version),
            said(line.active),
            text(line.state),
            text(line.mime_type),
            said(line.size),
            said(line.file_updated),
            said(line.updated),
            said(line.created),
            text(line.tag),
            said(line.sha256),
            // Plain data: it can be written.
            said(
                line.attributes
                    .map(|sheets| serde_json::to_string(sheets).unwrap_or_default()),
            ),
            said(line.work_area),
            said(line.fetched_at),
            said(Some(line.readable)),
            text(line.denied),
        ]
    }
}

fn text(text: Option<&str>) -> Cow<'_, str> {
    Cow::Borrowed(text.unwrap_or_default())
}

fn said<'a>(value: Option<impl ToString>) -> Cow<'a, str> {
    value.map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn guid(number: u8) -> Guid {
        Guid::from_bytes([number; 16])
    }

    fn moment(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Both have everything there is to say.
    fn rows() -> (FolderRow, DocumentRow) {
        let folder = FolderRow {
            guid: guid(1),
            folder_guid: Some(guid(2)),
            path: Some("A/B".to_owned()),
            name: "B".to_owned(),
            description: Some("a, \"b\"\nc".to_owned()),
            work_area: true,
            updated: Some(moment(1)),
            created: Some(moment(2)),
            fetched_at: Some(moment(3)),
            readable: false,
            denied: Some("403".to_owned()),
        };
        let document = DocumentRow {
            guid: guid(3),
            folder_guid: guid(1),
            path: Some("A/B/plan.dgn".to_owned()),
            tag: Some("7@1#0".to_owned()),
            document: Some(Document {
                id: crate::model::DocumentId(guid(3)),
                folder: None,
                name: "plan".to_owned(),
                file_name: Some("plan.dgn".to_owned()),
                description: "of it".to_owned(),
                version: "B".to_owned(),
                active: true,
                kind: DocumentKind::File,
                size: Some(7),
                file_updated: Some(moment(4)),
                updated: Some(moment(5)),
                created: Some(moment(6)),
                state: Some("shared".to_owned()),
                mime_type: Some("image/vnd.dgn".to_owned()),
                etag: None,
            }),
            sha256: Some([0xab; 32]),
            attributes: Some(vec![SheetRow {
                environment: "Drawings".to_owned(),
                attributes: vec![AttributeRow {
                    name: "SCALE".to_owned(),
                    value: "1:50".to_owned(),
                }],
            }]),
            readable: true,
            denied: None,
        };
        (folder, document)
    }

    #[test]
    fn a_table_says_what_the_lines_say() {
        let (folder, document) = rows();
        for (json, cells) in [
            (
                serde_json::to_value(&folder).unwrap(),
                Row::Folder(&folder).cells(),
            ),
            (
                serde_json::to_value(&document).unwrap(),
                Row::Document(&document).cells(),
            ),
        ] {
            let mut members = json.as_object().unwrap().clone();
            for (column, cell) in COLUMNS.iter().zip(&cells) {
                if *column == ATTRIBUTES && !cell.is_empty() {
                    let told: Value = serde_json::from_str(cell).unwrap();
                    assert_eq!(members.remove(*column), Some(told));
                    continue;
                }
                let said = match members.remove(*column) {
                    None => String::new(),
                    Some(Value::String(text)) => text,
                    Some(other) => other.to_string(),
                };
                assert_eq!(said, **cell, "{column}");
            }
            assert!(members.is_empty(), "{members:?} has no column");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let (_, document) = rows();
        let bare = DocumentRow {
            path: None,
            document: None,
            sha256: None,
            attributes: None,
            ..document
        };
        let json = serde_json::to_string(&bare).unwrap();
        let expected = format!(
            r#"{{"row":"document","guid":"{}","folder_guid":"{}","tag":"7@1#0","readable":true}}"#,
            guid(3),
            guid(1)
        );
        assert_eq!(json, expected);
    }
}
