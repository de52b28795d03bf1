//! Instances of every class: their identity and the values of their properties, for filters, sorting and JSON.

use std::borrow::Cow;

use crate::demo::knobs::FileSizeAs;
use crate::demo::seed::{digest, mix};
use crate::demo::world::{DocumentClass, DocumentRow, FolderRow, TimeStyle};
use crate::model::{Guid, Timestamp};

use super::attributes;
use super::classes::Class;
use super::navigation;
use super::scene::Scene;

/// The document that has no `FileSize` under `absent-for-one`.
const WITHOUT_SIZE: &str = "LEC-GEN-RPT-0002.pdf";
/// Under `wrong`, one document of so many states a length that is not its own.
const WRONG_OF: u8 = 7;

/// A property's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Bool(bool),
    Number(i64),
    Time(Timestamp),
    Id(Guid),
}

/// An instance that is neither folder nor document: a user, a saved search, a class of the schema.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) class: Class,
    pub(super) id: String,
    /// The folder or record it belongs to.
    pub(super) owner: Option<Guid>,
    pub(super) properties: Vec<(&'static str, Value<'static>)>,
}

impl Record {
    /// Its identity among all rows, made of its class and id.
    pub(super) fn guid(&self) -> Guid {
        guid_of(self.class, &self.id)
    }
}

/// The identity of a record.
pub(super) fn guid_of(class: Class, id: &str) -> Guid {
    let one = digest(format!("{}/{id}", class.name()).as_bytes());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&one.to_be_bytes());
    bytes[8..].copy_from_slice(&mix(one).to_be_bytes());
    Guid::from_bytes(bytes)
}

/// One instance.
#[derive(Clone)]
pub(super) enum Row<'a> {
    Folder(Cow<'a, FolderRow>),
    Document(Cow<'a, DocumentRow>),
    /// The attributes of a document.
    Attributes(Cow<'a, DocumentRow>),
    /// What a folder is as a work area.
    WorkArea(Cow<'a, FolderRow>),
    Record(Record),
    /// A folder, document or saved search as a node of the tree.
    Node(Box<Row<'a>>),
}

impl Row<'_> {
    /// Its identity; an instance made of a folder or document has that one's.
    pub(super) fn guid(&self) -> Guid {
        match self {
            Self::Folder(row) | Self::WorkArea(row) => row.guid,
            Self::Document(row) | Self::Attributes(row) => row.guid,
            Self::Record(record) => record.guid(),
            Self::Node(inner) => inner.guid(),
        }
    }

    /// The folder it is in.
    pub(super) fn parent(&self) -> Option<Guid> {
        match self {
            Self::Folder(row) => row.parent,
            Self::Document(row) => Some(row.folder),
            Self::Attributes(_) | Self::WorkArea(_) | Self::Record(_) | Self::Node(_) => None,
        }
    }

    /// Its class, never an abstract one.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Folder(_) => Class::Project,
            Self::Document(row) => match row.class {
                DocumentClass::Document => Class::Document,
                DocumentClass::FlatSet => Class::FlatSet,
                DocumentClass::LogicalSet => Class::LogicalSet,
            },
            Self::Attributes(row) => Class::Env(attributes::of_folder(row.folder)),
            Self::WorkArea(_) => Class::PrType,
            Self::Record(record) => record.class,
            Self::Node(_) => Class::NavNode,
        }
    }

    /// `instanceId`.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Folder(_) | Self::Document(_) => self.guid().to_string(),
            // Rows of the native tables behind them have numbers.
            Self::Attributes(_) | Self::WorkArea(_) => {
                (digest(self.guid().as_bytes()) % 10_000_000).to_string()
            }
            Self::Record(record) => record.id.clone(),
            Self::Node(inner) => navigation::key(inner),
        }
    }

    /// The tag of the instance.
    pub(super) fn etag(&self) -> u64 {
        match self {
            Self::Folder(row) => row.etag(),
            Self::Document(row) => row.etag(),
            Self::Attributes(row) => mix(row.etag()),
            Self::WorkArea(row) => mix(row.etag()),
            Self::Record(record) => digest(format!("{}|{:?}", record.id, record.properties).as_bytes()),
            Self::Node(inner) => mix(inner.etag()),
        }
    }

    /// How its times are written where the server mixes them.
    pub(super) fn time_style(&self) -> TimeStyle {
        match self {
            Self::Document(row) | Self::Attributes(row) => row.time_style,
            Self::Folder(_) | Self::WorkArea(_) | Self::Record(_) | Self::Node(_) => TimeStyle::Zulu,
        }
    }

    /// The value of one of the class's properties, or of `$id`.
    pub(super) fn value(&self, scene: Scene<'_>, property: &str) -> Value<'_> {
        if property == "$id" {
            return match self {
                Self::Folder(_) | Self::Document(_) => Value::Id(self.guid()),
                Self::Attributes(_) | Self::WorkArea(_) | Self::Record(_) | Self::Node(_) => {
                    Value::Text(self.id().into())
                }
            };
        }
        match self {
            Self::Folder(row) => folder_value(row, property),
            Self::Document(row) => document_value(scene, row, property),
            Self::Attributes(row) => attributes::value(row, property),
            Self::WorkArea(row) => work_area_value(row, property),
            Self::Record(record) => {
                let mut all = record.properties.iter();
                let found = all.find(|(name, _)| *name == property);
                found.map_or(Value::Null, |(_, value)| value.clone())
            }
            Self::Node(inner) => navigation::value(scene, inner, property),
        }
    }
}

fn folder_value<'a>(row: &'a FolderRow, property: &str) -> Value<'a> {
    let environment = &attributes::ENVIRONMENTS[attributes::of_folder(row.guid)];
    match property {
        "Name" => Value::Text((&row.name).into()),
        "Description" => Value::Text((&row.description).into()),
        "Label" => {
            let label = if row.description.is_empty() {
                &row.name
            } else {
                &row.description
            };
            Value::Text(label.into())
        }
        "ParentGuid" => row.parent.map_or(Value::Null, Value::Id),
        "IsRichProject" => Value::Bool(row.work_area),
        "IsConnectedProject" => Value::Bool(row.connected.is_some()),
        "ConnectedProjectGuid" => row.connected.map_or(Value::Null, Value::Id),
        "TypeString" => Value::Text(if row.work_area { "Bridge" } else { "" }.into()),
        "Environment" => Value::Text(environment.name.into()),
        "EnvironmentId" => Value::Number(environment.id),
        "WorkflowId" | "CreatedById" | "UpdatedById" | "OwnerId" => Value::Number(1),
        "ComponentClassId" if row.work_area => Value::Number(3),
        "StateId" | "ComponentClassId" | "ComponentInstanceId" => Value::Number(0),
        "CreatedBy" | "UpdatedBy" | "Owner" => Value::Text("pwadmin".into()),
        "OwnerType" => Value::Text("User".into()),
        "Storage" => Value::Text("Main Storage".into()),
        "CreateTime" => Value::Time(row.created),
        "UpdateTime" => Value::Time(row.updated),
        _ => Value::Null,
    }
}

fn work_area_value(row: &FolderRow, property: &str) -> Value<'static> {
    match property {
        "PROJECT__x005f__Number" => Value::Text(format!("LEC-{}", row.guid.hex_prefix(4)).into()),
        "PROJECT__x005f__Client" => Value::Text("Leven Estuary Authority".into()),
        _ => Value::Null,
    }
}

fn document_value<'a>(scene: Scene<'_>, row: &'a DocumentRow, property: &str) -> Value<'a> {
    match property {
        "Name" => Value::Text((&row.name).into()),
        "FileName" => row
            .file_name
            .as_deref()
            .map_or(Value::Null, |name| Value::Text(name.into())),
        "Description" => Value::Text((&row.description).into()),
        "Version" => Value::Text((&row.version).into()),
        "IsLatest" => Value::Bool(row.active),
        "FileSize" => listed_size(row, scene.knobs.filesize_as).map_or(Value::Null, |size| {
            Value::Number(i64::try_from(size).unwrap_or(i64::MAX))
        }),
        "FileUpdateTime" => row.file_updated.map_or(Value::Null, Value::Time),
        "FileUpdatedBy" => Value::Text(row.author.into()),
        "UpdateTime" => Value::Time(row.updated),
        "CreateTime" => Value::Time(row.created),
        "ParentGuid" => Value::Id(row.folder),
        "MimeType" => row
            .mime_type()
            .map_or(Value::Null, |mime| Value::Text(mime.into())),
        "StateId" => Value::Number(row.state.id().into()),
        "State" => Value::Text(row.state.name().into()),
        "WorkflowId" => Value::Number(1),
        "OriginalGuid" => Value::Id(row.original),
        "VersionSequence" => Value::Number(row.sequence.into()),
        "ItemType" => Value::Number(row.item_type().into()),
        "IsCheckedOut" => Value::Bool(row.checked_out()),
        _ => Value::Null,
    }
}

/// `FileSize` as the server states it.
fn listed_size(row: &DocumentRow, style: FileSizeAs) -> Option<u64> {
    let bytes = row.guid.as_bytes();
    match style {
        FileSizeAs::Mixed | FileSizeAs::Number | FileSizeAs::Text => row.listed_size,
        FileSizeAs::Absent => None,
        FileSizeAs::AbsentForOne if row.file_name.as_deref() == Some(WITHOUT_SIZE) => None,
        FileSizeAs::AbsentForOne => row.listed_size,
        FileSizeAs::Wrong if bytes[13].is_multiple_of(WRONG_OF) => {
            row.listed_size.map(|size| size + 1 + u64::from(bytes[12]))
        }
        FileSizeAs::Wrong => row.listed_size,
    }
}
