//! The JSON a gateway sends, and its conversion to the model.
//!
//! Facts: projectwise-api 1.4 and 1.6; section 7 lists what is not certain, so every property may be missing,
//! null, or of a neighbouring type. What can never be tolerated is an answer without its `instances`: it would
//! read as an empty folder.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::{
    Datasource, Document, DocumentId, DocumentKind, Entry, Folder, FolderId, Guid, Timestamp,
};

use super::address::tilde_decode;
use super::error::bounded;

/// The envelope of every answer.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<P> {
    pub(super) instances: Vec<Instance<P>>,
}

/// One object.
#[derive(Debug, Deserialize)]
pub(super) struct Instance<P> {
    #[serde(rename = "instanceId", default)]
    pub(super) id: Scalar,
    #[serde(rename = "className", default)]
    class: Scalar,
    #[serde(rename = "eTag", default)]
    etag: Scalar,
    #[serde(default = "none")]
    pub(super) properties: Option<P>,
}

fn none<P>() -> Option<P> {
    None
}

/// The properties of folders, documents and sets that the model has room for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectProperties {
    name: Scalar,
    label: Scalar,
    description: Scalar,
    parent_guid: Scalar,
    create_time: Scalar,
    update_time: Scalar,
    // Folders.
    is_rich_project: Scalar,
    // Documents.
    file_name: Scalar,
    version: Scalar,
    is_latest: Scalar,
    file_size: Scalar,
    file_update_time: Scalar,
    // Not confirmed as WSG names (projectwise-api 1.4); taken where they happen to exist, never asked for.
    state: Scalar,
    mime_type: Scalar,
}

/// A repository of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RepositoryProperties {
    #[serde(rename = "ECPluginID")]
    plugin: Scalar,
    #[serde(rename = "Location")]
    location: Scalar,
    #[serde(rename = "DisplayLabel")]
    label: Scalar,
    #[serde(rename = "Description")]
    description: Scalar,
}

/// A node of the navigation tree.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeProperties {
    #[serde(rename = "Key_ClassName")]
    class: Scalar,
    #[serde(rename = "Key_InstanceId")]
    instance: Scalar,
    #[serde(rename = "Label")]
    label: Scalar,
    #[serde(rename = "Description")]
    description: Scalar,
}

/// Nothing but the id is of interest.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NoProperties {}

/// What a query asked for: decides on rows that do not say what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Folders,
    Documents,
}

/// Why a row cannot be used. It fails the listing: leaving the row out would make it silently short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {class} named {name:?} has no usable id ({id:?})")]
pub(super) struct UnusableRow {
    class: &'static str,
    name: String,
    id: String,
}

/// Reads an answer; `Err` holds the reason in words without the body's content.
pub(super) fn parse<P: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Vec<Instance<P>>, String> {
    json::<Envelope<P>>(body).map(|envelope| envelope.instances)
}

/// Reads an answer of another shape; `Err` holds the reason in words without the body's content.
pub(super) fn json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    // Some gateways put a byte order mark before their JSON.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| format!("not the JSON of a gateway: {error}"))
}

impl Instance<ObjectProperties> {
    /// The folder or document in this row.
    ///
    /// `folder` is the one whose children were asked for: it stands in where the row does not name its parent.
    pub(super) fn into_entry(self, asked: Asked, folder: Option<FolderId>) -> Result<Entry, UnusableRow> {
        let properties = self.properties.unwrap_or_default();
        let class = self.class.text().unwrap_or_default();
        let shape = Shape::of(&class, asked);
        let name = properties
            .name
            .text()
            .or_else(|| properties.label.text())
            .unwrap_or_default();
        let id_text = self.id.text().unwrap_or_default();
        let Ok(guid) = id_text.parse::<Guid>() else {
            return Err(UnusableRow {
                class: shape.word(),
                name: bounded(&name),
                id: bounded(&id_text),
            });
        };
        let parent = properties.parent_guid.guid().map(FolderId).or(folder);
        let description = properties.description.text().unwrap_or_default();
        let updated = properties.update_time.time();
        let created = properties.create_time.time();
        let etag = self.etag.text();
        let kind = match shape {
            Shape::Folder => {
                return Ok(Entry::Folder(Folder {
                    id: FolderId(guid),
                    parent,
                    name,
                    description,
                    work_area: properties.is_rich_project.boolean().unwrap_or(false),
                    created,
                    updated,
                    etag,
                }));
            }
            Shape::Set => DocumentKind::Set,
            Shape::Document => DocumentKind::File,
        };
        // WSG's own queries tell documents without a file by `FileName ne 'null'` (projectwise-api 1.5).
        let file_name = properties
            .file_name
            .text()
            .filter(|name| !name.trim().is_empty() && name != "null");
        let (kind, file_name) = match (kind, file_name) {
            (DocumentKind::Set, _) => (DocumentKind::Set, None),
            (_, None) => (DocumentKind::Placeholder, None),
            (kind, file_name) => (kind, file_name),
        };
        Ok(Entry::Document(Document {
            id: DocumentId(guid),
            folder: parent,
            name,
            file_name,
            description,
            version: properties.version.text().unwrap_or_default(),
            // Absent, or a value nobody can read: never hide a document for that.
            active: properties.is_latest.boolean().unwrap_or(true),
            kind,
            size: properties.file_size.unsigned(),
            file_updated: properties.file_update_time.time(),
            updated,
            created,
            state: properties.state.text().filter(|state| !state.is_empty()),
            mime_type: properties.mime_type.text().filter(|kind| !kind.is_empty()),
            etag,
        }))
    }
}

/// The three things a row can be.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Folder,
    Document,
    Set,
}

impl Shape {
    fn of(class: &str, asked: Asked) -> Self {
        match class.to_ascii_lowercase().as_str() {
            "project" => Self::Folder,
            "document" => Self::Document,
            "logicalset" | "flatset" | "set" => Self::Set,
            // None, or one derived from the class asked for: `!poly` brings those, and a datasource may define any.
            _ => match asked {
                Asked::Folders => Self::Folder,
                Asked::Documents => Self::Document,
            },
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Document => "document",
            Self::Set => "set",
        }
    }
}

impl Instance<RepositoryProperties> {
    /// The datasource; `None` for a repository without an id, which nobody could ask for.
    pub(super) fn into_datasource(self) -> Option<Datasource> {
        let id = self.id.text().filter(|id| !id.is_empty())?;
        let properties = self.properties.unwrap_or_default();
        let (plugin, location) = id.split_once("--").unwrap_or(("", &id));
        let location = properties
            .location
            .text()
            .unwrap_or_else(|| tilde_decode(location));
        Some(Datasource {
            plugin: properties.plugin.text().unwrap_or_else(|| plugin.to_owned()),
            label: properties
                .label
                .text()
                .filter(|label| !label.is_empty())
                .unwrap_or_else(|| location.clone()),
            description: properties.description.text().unwrap_or_default(),
            location,
            id,
        })
    }
}

impl Instance<NodeProperties> {
    /// The folder a node stands for, as far as the node tells; `None` for nodes of other things.
    pub(super) fn into_folder(self) -> Result<Option<Folder>, UnusableRow> {
        let properties = self.properties.unwrap_or_default();
        // Nothing that can be told from an answer whose values cannot be read: it may be a folder.
        if self.id.text().is_none() && properties.class.text().is_none() {
            return Err(UnusableRow {
                class: "node of the navigation tree",
                name: bounded(&properties.label.text().unwrap_or_default()),
                id: String::new(),
            });
        }
        if !properties
            .class
            .text()
            .is_some_and(|class| class.eq_ignore_ascii_case("Project"))
        {
            return Ok(None);
        }
        let node_id = self.id.text().unwrap_or_default();
        let key = properties.instance.text().unwrap_or_default();
        let name = properties.label.text().unwrap_or_default();
        let Some(guid) = guid_in_key(&key).or_else(|| guid_in_key(&node_id)) else {
            return Err(UnusableRow {
                class: "root folder",
                name: bounded(&name),
                id: bounded(if key.is_empty() { &node_id } else { &key }),
            });
        };
        Ok(Some(Folder {
            id: FolderId(guid),
            parent: None,
            name,
            description: properties.description.text().unwrap_or_default(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        }))
    }
}

/// The GUID at the end of a node key: plain, or after `…-Project-` with each hyphen doubled.
fn guid_in_key(key: &str) -> Option<Guid> {
    /// Length of a GUID with its four hyphens.
    const HYPHENATED: usize = 36;
    if let Ok(guid) = key.parse() {
        return Some(guid);
    }
    let single = key.replace("--", "-");
    let start = single.len().checked_sub(HYPHENATED)?;
    single.get(start..)?.parse().ok()
}

/// A property's value, of whatever JSON type it came.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) enum Scalar {
    /// Missing, null, or an array or object where a plain value belongs.
    #[default]
    Absent,
    Text(String),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Boolean(bool),
}

impl Scalar {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text.clone()),
            Self::Unsigned(number) => Some(number.to_string()),
            Self::Signed(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Boolean(value) => Some(value.to_string()),
        }
    }

    fn unsigned(&self) -> Option<u64> {
        /// Beyond it a float no longer tells neighbouring integers apart.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            Self::Text(text) => {
                let text = text.trim();
                text.parse()
                    .ok()
                    .or_else(|| text.parse().ok().and_then(|float| Self::Float(float).unsigned()))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the guard leaves exact non-negative integers only"
            )]
            Self::Float(float) if (0.0..=EXACT).contains(float) && float.fract() == 0.0 => {
                Some(*float as u64)
            }
            Self::Absent | Self::Float(_) | Self::Boolean(_) => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Unsigned(number) => Some(*number != 0),
            Self::Signed(number) => Some(*number != 0),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Some(true),
                "false" | "0" | "no" => Some(false),
                _ => None,
            },
            Self::Absent | Self::Float(_) => None,
        }
    }

    /// A GUID; the all-zero one stands for "none".
    fn guid(&self) -> Option<Guid> {
        let guid: Guid = self.text()?.parse().ok()?;
        (guid.as_bytes() != &[0; 16]).then_some(guid)
    }

    fn time(&self) -> Option<Timestamp> {
        static COMPLAINED: AtomicBool = AtomicBool::new(false);
        let text = self.text()?;
        if text.trim().is_empty() {
            return None;
        }
        parse_time(&text).unwrap_or_else(|UnknownTime| {
            if !COMPLAINED.swap(true, Ordering::Relaxed) {
                tracing::warn!(text = %bounded(&text), "a time of the server cannot be read; it counts as unknown");
            }
            None
        })
    }
}

/// The text is in no known form.
#[derive(Debug, PartialEq, Eq)]
struct UnknownTime;

/// Reads `2025-03-04T10:11:12Z`, with an offset, any number of fraction digits, or no zone at all (UTC), and
/// .NET's `/Date(1741083072000)/`. .NET's "no value" (the year 1) is `None`.
fn parse_time(text: &str) -> Result<Option<Timestamp>, UnknownTime> {
    let text = text.trim();
    if let Some(milliseconds) = text
        .strip_prefix("/Date(")
        .and_then(|rest| rest.strip_suffix(")/"))
    {
        // An offset behind the number is for display only.
        let end = milliseconds
            .rfind(['+', '-'])
            .filter(|at| *at > 0)
            .unwrap_or(milliseconds.len());
        return milliseconds[..end]
            .parse()
            .ok()
            .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
            .map(Some)
            .ok_or(UnknownTime);
    }
    let text = trim_fraction(text);
    let time = text.parse::<Timestamp>().or_else(|_| {
        text.parse::<DateTime>()
            .and_then(|local| TimeZone::UTC.to_timestamp(local))
    });
    match time {
        Ok(time) if TimeZone::UTC.to_datetime(time).year() <= 1 => Ok(None),
        Ok(time) => Ok(Some(time)),
        Err(_) => Err(UnknownTime),
    }
}

/// `text` with at most the nine fraction digits a timestamp has room for.
fn trim_fraction(text: &str) -> String {
    const DIGITS: usize = 9;
    let Some(point) = text.find('.') else {
        return text.to_owned();
    };
    let (head, fraction) = text.split_at(point + 1);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    format!("{head}{}{}", &fraction[..digits.min(DIGITS)], &fraction[digits..])
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Boolean(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Unsigned(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Signed(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Scalar, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

#[cfg(test)]
mod tests;
