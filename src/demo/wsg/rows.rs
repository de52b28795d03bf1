//! Folders and documents as WSG instances: their properties, for filters, sorting and JSON alike.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};

use crate::demo::reply::quoted;
use crate::demo::world::{DocumentClass, DocumentRow, FolderRow, TimeStyle, View};
use crate::model::{Guid, Timestamp};

use super::query::{Query, Select};

/// Properties of `PW_WSG.Project` that the demo has (fact sheet 1.4), in the order they are written.
pub(super) const PROJECT_PROPERTIES: &[&str] = &[
    "Name",
    "Description",
    "Label",
    "ParentGuid",
    "IsRichProject",
    "IsConnectedProject",
    "ConnectedProjectGuid",
    "TypeString",
    "EnvironmentId",
    "WorkflowId",
    "StateId",
    "ComponentClassId",
    "ComponentInstanceId",
    "CreatedBy",
    "UpdatedBy",
    "Owner",
    "OwnerType",
    "Storage",
    "CreateTime",
    "UpdateTime",
];

/// Properties of `PW_WSG.Document` that were seen in working code (fact sheet 1.4), and no other.
pub(super) const DOCUMENT_PROPERTIES: &[&str] = &[
    "Name",
    "FileName",
    "Description",
    "Version",
    "IsLatest",
    "FileSize",
    "FileUpdateTime",
    "FileUpdatedBy",
    "UpdateTime",
    "CreateTime",
    "ParentGuid",
];

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

/// A class of `PW_WSG` that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Project,
    Document,
    FlatSet,
    LogicalSet,
}

impl Class {
    /// The class of this name, without any `!poly`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "Project" => Some(Self::Project),
            "Document" => Some(Self::Document),
            "FlatSet" => Some(Self::FlatSet),
            "LogicalSet" => Some(Self::LogicalSet),
            _ => None,
        }
    }

    /// The property of this name as our own constant.
    pub(super) fn property(self, name: &str) -> Option<&'static str> {
        let known = match self {
            Self::Project => PROJECT_PROPERTIES,
            Self::Document | Self::FlatSet | Self::LogicalSet => DOCUMENT_PROPERTIES,
        };
        known.iter().copied().find(|known| *known == name)
    }

    /// The relationship that leads to the parent folder.
    pub(super) const fn parent_relationship(self) -> &'static str {
        match self {
            Self::Project => "ProjectParent",
            Self::Document | Self::FlatSet | Self::LogicalSet => "DocumentParent",
        }
    }

    /// True where a listing of this class, with or without `!poly`, holds this document.
    pub(super) fn holds(self, class: DocumentClass, poly: bool) -> bool {
        match (self, class) {
            (Self::Document, DocumentClass::Document)
            | (Self::FlatSet, DocumentClass::FlatSet)
            | (Self::LogicalSet, DocumentClass::LogicalSet) => true,
            (Self::Document, DocumentClass::FlatSet | DocumentClass::LogicalSet) => poly,
            (Self::Project | Self::FlatSet | Self::LogicalSet, _) => false,
        }
    }
}

/// One instance.
#[derive(Clone)]
pub(super) enum Row<'a> {
    Folder(Cow<'a, FolderRow>),
    Document(Cow<'a, DocumentRow>),
}

impl Row<'_> {
    pub(super) fn guid(&self) -> Guid {
        match self {
            Self::Folder(row) => row.guid,
            Self::Document(row) => row.guid,
        }
    }

    pub(super) fn parent(&self) -> Option<Guid> {
        match self {
            Self::Folder(row) => row.parent,
            Self::Document(row) => Some(row.folder),
        }
    }

    pub(super) fn class_name(&self) -> &'static str {
        match self {
            Self::Folder(_) => "Project",
            Self::Document(row) => match row.class {
                DocumentClass::Document => "Document",
                DocumentClass::FlatSet => "FlatSet",
                DocumentClass::LogicalSet => "LogicalSet",
            },
        }
    }

    fn etag(&self) -> u64 {
        match self {
            Self::Folder(row) => row.etag(),
            Self::Document(row) => row.etag(),
        }
    }

    /// The value of one of the class's properties.
    pub(super) fn value(&self, property: &str) -> Value<'_> {
        if property == "$id" {
            return Value::Id(self.guid());
        }
        match self {
            Self::Folder(row) => folder_value(row, property),
            Self::Document(row) => document_value(row, property),
        }
    }

    /// The instance as WSG writes it.
    pub(super) fn instance(&self, view: View<'_>, query: &Query, api_minor: u32) -> Json {
        let mut properties = Map::new();
        let names = match (&query.select, self) {
            (Select::These(names), _) => names.as_slice(),
            (Select::All, Self::Folder(_)) => PROJECT_PROPERTIES,
            (Select::All, Self::Document(_)) => DOCUMENT_PROPERTIES,
        };
        for name in names {
            if let Some(json) = self.written(name) {
                properties.insert((*name).to_owned(), json);
            }
        }
        // Moved, not interpolated: `json!` would copy every property of every row.
        let mut instance = Map::new();
        let mut put = |key: &str, value: Json| instance.insert(key.to_owned(), value);
        put("instanceId", self.guid().to_string().into());
        put("schemaName", "PW_WSG".into());
        put("className", self.class_name().into());
        put("properties", Json::Object(properties));
        put("eTag", tag_text(self.etag(), api_minor).into());
        let related = self.parent().and_then(|guid| view.folder(guid));
        if query.with_parent
            && let Some(parent) = related
        {
            let etag = parent.etag();
            let there = Row::Folder(parent).instance(view, &Query::default(), api_minor);
            let name = match self {
                Self::Folder(_) => Class::Project.parent_relationship(),
                Self::Document(_) => Class::Document.parent_relationship(),
            };
            let relationship = json!([{
                "instanceId": "",
                "schemaName": "PW_WSG",
                "className": name,
                "direction": "forward",
                "properties": null,
                "relatedInstance": there,
                "eTag": tag_text(self.etag() ^ etag, api_minor),
            }]);
            instance.insert("relationshipInstances".to_owned(), relationship);
        }
        Json::Object(instance)
    }

    /// The property as JSON; `None` where the server leaves it out.
    fn written(&self, property: &str) -> Option<Json> {
        let value = self.value(property);
        Some(match (value, self) {
            // Roots have no ParentGuid at all, and a document without a size no FileSize; a file name is null.
            (Value::Null, _) if ["ParentGuid", "FileSize", "ConnectedProjectGuid"].contains(&property) => {
                return None;
            }
            // Absent and null mean the same (fact sheet 1.6); rows do one or the other.
            (Value::Null, Self::Document(row)) if row.guid.as_bytes()[14].is_multiple_of(2) => {
                return None;
            }
            (Value::Null, _) => Json::Null,
            (Value::Text(text), _) => Json::String(text.into_owned()),
            (Value::Bool(truth), _) => Json::Bool(truth),
            (Value::Number(number), Self::Document(row)) if row.size_as_text => {
                Json::String(number.to_string())
            }
            (Value::Number(number), _) => json!(number),
            (Value::Time(time), Self::Document(row)) => time_text(time, row.time_style).into(),
            (Value::Time(time), Self::Folder(_)) => time_text(time, TimeStyle::Zulu).into(),
            (Value::Id(guid), _) => Json::String(guid.to_string()),
        })
    }
}

/// API 2.0 and 2.1 write instance eTags without quotes (fact sheet 1.6).
fn tag_text(tag: u64, api_minor: u32) -> String {
    if api_minor < 2 {
        format!("{tag:016x}")
    } else {
        quoted(tag)
    }
}

fn time_text(time: Timestamp, style: TimeStyle) -> String {
    match style {
        TimeStyle::Zulu => time.to_string(),
        TimeStyle::Fraction => format!("{time:.3}"),
        TimeStyle::Bare => time.to_string().trim_end_matches('Z').to_owned(),
    }
}

fn folder_value<'a>(row: &'a FolderRow, property: &str) -> Value<'a> {
    match property {
        "Name" => Value::Text((&row.name).into()),
        "Description" => Value::Text((&row.description).into()),
        "Label" => Value::Text(
            if row.description.is_empty() {
                &row.name
            } else {
                &row.description
            }
            .into(),
        ),
        "ParentGuid" => row.parent.map_or(Value::Null, Value::Id),
        "IsRichProject" => Value::Bool(row.work_area),
        "IsConnectedProject" => Value::Bool(row.connected.is_some()),
        "ConnectedProjectGuid" => row.connected.map_or(Value::Null, Value::Id),
        "TypeString" => Value::Text(if row.work_area { "Bridge" } else { "" }.into()),
        "EnvironmentId" | "WorkflowId" => Value::Number(1),
        "StateId" | "ComponentClassId" | "ComponentInstanceId" => Value::Number(0),
        "CreatedBy" | "UpdatedBy" | "Owner" => Value::Text("pwadmin".into()),
        "OwnerType" => Value::Text("User".into()),
        "Storage" => Value::Text("Main Storage".into()),
        "CreateTime" => Value::Time(row.created),
        "UpdateTime" => Value::Time(row.updated),
        _ => Value::Null,
    }
}

fn document_value<'a>(row: &'a DocumentRow, property: &str) -> Value<'a> {
    match property {
        "Name" => Value::Text((&row.name).into()),
        "FileName" => row
            .file_name
            .as_deref()
            .map_or(Value::Null, |name| Value::Text(name.into())),
        "Description" => Value::Text((&row.description).into()),
        "Version" => Value::Text((&row.version).into()),
        "IsLatest" => Value::Bool(row.active),
        "FileSize" => row.listed_size.map_or(Value::Null, |size| {
            Value::Number(i64::try_from(size).unwrap_or(i64::MAX))
        }),
        "FileUpdateTime" => row.file_updated.map_or(Value::Null, Value::Time),
        "FileUpdatedBy" => Value::Text(row.author.into()),
        "UpdateTime" => Value::Time(row.updated),
        "CreateTime" => Value::Time(row.created),
        "ParentGuid" => Value::Id(row.folder),
        _ => Value::Null,
    }
}
