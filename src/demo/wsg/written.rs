//! Instances as WSG writes them: properties, relationships, tags (fact sheet 1.6).

use std::fmt;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::demo::knobs::{BoolAs, FileSizeAs, RootParent, TimeFormat};
use crate::demo::reply::{Reply, quoted};
use crate::demo::world::TimeStyle;
use crate::model::{Guid, Timestamp};

use super::classes::{Kind, Property};
use super::matching::Bound;
use super::query::Selection;
use super::rows::{Row, Value};
use super::scene::Scene;

/// The envelope of every list and object.
pub(super) fn instances(
    scene: Scene<'_>,
    rows: &[Row<'_>],
    selection: &Selection,
    count: Option<usize>,
) -> Reply {
    let envelope = Envelope {
        instances: rows
            .iter()
            .map(|row| Instance {
                scene,
                row,
                selection,
            })
            .collect(),
        count,
    };
    let mut reply = Reply::empty(StatusCode::OK);
    // Every key is a text, so writing cannot fail.
    reply.body = serde_json::to_string(&envelope).unwrap_or_default().into();
    reply.with(CONTENT_TYPE, "application/json; charset=utf-8")
}

#[derive(Serialize)]
struct Envelope<'a> {
    instances: Vec<Instance<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

/// A text made while it is written.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Instance<'a> {
    scene: Scene<'a>,
    row: &'a Row<'a>,
    selection: &'a Selection,
}

impl Serialize for Instance<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (scene, row) = (self.scene, self.row);
        let class = row.class();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("instanceId", &row.id())?;
        map.serialize_entry("schemaName", class.schema())?;
        map.serialize_entry("className", class.name())?;
        map.serialize_entry("properties", &Properties(self))?;
        if !self.selection.related.is_empty() {
            map.serialize_entry("relationshipInstances", &Relationships(self))?;
        }
        map.serialize_entry("eTag", &tag_text(row.etag(), scene.minor))?;
        map.end()
    }
}

/// The properties of an instance.
struct Properties<'a>(&'a Instance<'a>);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Instance {
            scene,
            row,
            selection,
        } = *self.0;
        let mut map = serializer.serialize_map(None)?;
        if selection.all {
            for property in row.class().properties(scene.level()) {
                put(&mut map, scene, row, property)?;
            }
        } else {
            for property in &selection.own {
                put(&mut map, scene, row, property)?;
            }
        }
        if selection.path {
            map.serialize_entry("Path", &Path(&absolute_path(scene, row)))?;
        }
        map.end()
    }
}

/// `Path.AbsolutePath`, a struct of one member.
struct Path<'a>(&'a str);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("AbsolutePath", self.0)?;
        map.end()
    }
}

/// The names from the root down to the instance's own.
fn absolute_path(scene: Scene<'_>, row: &Row<'_>) -> String {
    let names = match row {
        Row::Folder(row) => scene.view.path_of(row.guid),
        Row::Document(row) => {
            let mut names = scene.view.path_of(row.folder);
            names.push(row.name.clone());
            names
        }
        Row::Attributes(_) | Row::WorkArea(_) | Row::Record(_) | Row::Node(_) => Vec::new(),
    };
    names.join("\\")
}

/// Writes a property, or leaves it out.
fn put<M: SerializeMap>(
    map: &mut M,
    scene: Scene<'_>,
    row: &Row<'_>,
    property: &Property,
) -> Result<(), M::Error> {
    let name = property.name;
    match row.value(scene, name) {
        Value::Null if name == "ParentGuid" => match scene.knobs.root_parent {
            RootParent::Absent => Ok(()),
            RootParent::Null => map.serialize_entry(name, &()),
            RootParent::Empty => map.serialize_entry(name, ""),
            RootParent::Zeros => map.serialize_entry(name, &Text(Guid::from_bytes([0; 16]))),
        },
        // A document without a file has no FileSize; a file name is null.
        Value::Null if ["FileSize", "ConnectedProjectGuid"].contains(&name) => Ok(()),
        // Absent and null mean the same (fact sheet 1.6); rows do one or the other.
        Value::Null if row.guid().as_bytes()[14].is_multiple_of(2) => Ok(()),
        Value::Null => map.serialize_entry(name, &()),
        Value::Text(text) => map.serialize_entry(name, &text),
        Value::Bool(truth) => match scene.knobs.bool_as {
            BoolAs::Bool => map.serialize_entry(name, &truth),
            BoolAs::Text => map.serialize_entry(name, if truth { "true" } else { "false" }),
            BoolAs::Capital => map.serialize_entry(name, if truth { "True" } else { "False" }),
            BoolAs::Number => map.serialize_entry(name, &u8::from(truth)),
        },
        Value::Number(number) if property.kind == Kind::Long && size_as_text(scene, row) => {
            map.serialize_entry(name, &Text(number))
        }
        Value::Number(number) => map.serialize_entry(name, &number),
        Value::Time(time) => {
            map.serialize_entry(name, &time_text(time, scene.knobs.time_format, row.time_style()))
        }
        Value::Id(guid) => map.serialize_entry(name, &Text(guid)),
    }
}

fn size_as_text(scene: Scene<'_>, row: &Row<'_>) -> bool {
    match scene.knobs.filesize_as {
        FileSizeAs::Number => false,
        FileSizeAs::Text => true,
        FileSizeAs::Mixed | FileSizeAs::Absent | FileSizeAs::AbsentForOne | FileSizeAs::Wrong => match row {
            Row::Document(row) => row.size_as_text,
            Row::Folder(_) | Row::Attributes(_) | Row::WorkArea(_) | Row::Record(_) | Row::Node(_) => false,
        },
    }
}

/// The relationships `$select` asks for.
struct Relationships<'a>(&'a Instance<'a>);

impl Serialize for Relationships<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Instance {
            scene,
            row,
            selection,
        } = *self.0;
        let mut list = serializer.serialize_seq(None)?;
        for (step, selection) in &selection.related {
            for there in scene.related(row, *step) {
                list.serialize_element(&Relationship {
                    step: *step,
                    tag: row.etag() ^ there.etag(),
                    related: Instance {
                        scene,
                        row: &there,
                        selection,
                    },
                })?;
            }
        }
        list.end()
    }
}

struct Relationship<'a> {
    step: Bound,
    tag: u64,
    related: Instance<'a>,
}

impl Serialize for Relationship<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("instanceId", "")?;
        map.serialize_entry("schemaName", self.step.relation.schema())?;
        map.serialize_entry("className", self.step.relation.name())?;
        map.serialize_entry("direction", self.step.way.word())?;
        // It may be null or empty (fact sheet 1.6); null is the more trying.
        map.serialize_entry("properties", &())?;
        map.serialize_entry("relatedInstance", &self.related)?;
        map.serialize_entry("eTag", &tag_text(self.tag, self.related.scene.minor))?;
        map.end()
    }
}

/// API 2.0 and 2.1 write instance eTags without quotes (fact sheet 1.6).
fn tag_text(tag: u64, minor: u32) -> String {
    if minor < 2 {
        format!("{tag:016x}")
    } else {
        quoted(tag)
    }
}

fn time_text(time: Timestamp, format: TimeFormat, style: TimeStyle) -> String {
    let bare = || time.to_string().trim_end_matches('Z').to_owned();
    match (format, style) {
        (TimeFormat::Mixed, TimeStyle::Zulu) | (TimeFormat::Zulu, _) => time.to_string(),
        (TimeFormat::Mixed, TimeStyle::Fraction) | (TimeFormat::Fraction, _) => format!("{time:.3}"),
        (TimeFormat::Mixed, TimeStyle::Bare) | (TimeFormat::Bare, _) => bare(),
        (TimeFormat::SevenDigits, _) => format!("{time:.7}"),
        (TimeFormat::Offset, _) => time.display_with_offset(jiff::tz::offset(2)).to_string(),
    }
}
