//! Changing the datasource, for the admin API and for scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::demo::files::{FileFormat, Recipe};
use crate::demo::world::{Access, InPlace, World, WorldError};
use crate::model::Guid;

use super::{AdminError, account, check, made};

/// The largest file made by `size`, in bytes (64 MiB): unlike one by `oracle`, it is kept in memory.
const LARGEST: u64 = 64 << 20;

/// What can be done to the datasource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    AddFolder,
    AddDocument,
    AddPlaceholder,
    Rename,
    Move,
    Delete,
    NewVersion,
    Replace,
    Describe,
    Attribute,
    ListSize,
    CheckOut,
    CheckIn,
    Undelete,
    LoseFile,
    Access(Access),
}

/// One change: its name, what it takes, what it does.
pub(super) struct Row {
    pub(super) name: &'static str,
    change: Change,
    pub(super) takes: &'static [&'static str],
    pub(super) does: &'static str,
}

const OBJECT: &[&str] = &["guid", "path"];
/// Rights of one account, or of everybody for whom nothing else is set.
const RIGHT: &[&str] = &["guid", "path", "account"];

/// Every change.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row { name: "add-folder", change: Change::AddFolder, takes: &["parent", "name"], does: "adds a folder, a root without parent; answers its guid" },
    Row { name: "add-document", change: Change::AddDocument, takes: &["folder", "name", "text", "base64", "size", "oracle"], does: "adds a document with content; answers its guid" },
    Row { name: "add-placeholder", change: Change::AddPlaceholder, takes: &["folder", "name"], does: "adds a document without a file; answers its guid" },
    Row { name: "rename", change: Change::Rename, takes: &["guid", "path", "name"], does: "renames a document's file or a folder" },
    Row { name: "move", change: Change::Move, takes: &["guid", "path", "folder"], does: "moves it; a folder without folder becomes a root" },
    Row { name: "delete", change: Change::Delete, takes: OBJECT, does: "deletes a document, or a folder with all below" },
    Row { name: "new-version", change: Change::NewVersion, takes: &["guid", "path", "text", "base64", "size", "oracle"], does: "makes a version; answers the guid of the now active document" },
    Row { name: "replace", change: Change::Replace, takes: &["guid", "path", "text", "base64", "size", "oracle", "told", "same_tag"], does: "replaces the file in place; told: listed, same_tag (or same_tag true), same_second, unseen" },
    Row { name: "describe", change: Change::Describe, takes: &["guid", "path", "text"], does: "edits the description only" },
    Row { name: "attribute", change: Change::Attribute, takes: &["guid", "path", "name", "value"], does: "sets an attribute of a document's environment" },
    Row { name: "list-size", change: Change::ListSize, takes: &["guid", "path", "size"], does: "lists another FileSize than the file has; none without size" },
    Row { name: "check-out", change: Change::CheckOut, takes: OBJECT, does: "checks a document out to somebody" },
    Row { name: "check-in", change: Change::CheckIn, takes: OBJECT, does: "ends a check-out without a new file" },
    Row { name: "undelete", change: Change::Undelete, takes: &["guid"], does: "brings back what was deleted" },
    Row { name: "lose-file", change: Change::LoseFile, takes: OBJECT, does: "takes a document's file away" },
    Row { name: "revoke", change: Change::Access(Access::SeeOnly), takes: RIGHT, does: "takes the right to download or list away" },
    Row { name: "hide", change: Change::Access(Access::Hidden), takes: RIGHT, does: "takes every right away" },
    Row { name: "grant", change: Change::Access(Access::Full), takes: RIGHT, does: "gives all rights back" },
];

/// The change of this name.
pub(super) fn named(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// Every field any change takes. Content is one of `text`, `base64`, `size` (so many
/// bytes, made from the name's extension) and `oracle`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Fields {
    guid: Option<String>,
    path: Option<String>,
    folder: Option<String>,
    parent: Option<String>,
    name: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    size: Option<u64>,
    /// So many bytes that say where they are from, never in memory.
    oracle: Option<u64>,
    same_tag: bool,
    told: Option<String>,
    value: Option<String>,
    account: Option<String>,
}

/// A change with its fields, ready to be carried out.
#[derive(Debug, Clone)]
pub(in crate::demo) struct Order {
    change: Change,
    fields: Fields,
}

impl Order {
    /// Reads `{"command": "rename", …}`.
    pub(in crate::demo) fn read(mut order: Map<String, Json>) -> Result<Self, AdminError> {
        let command = order.remove("command").ok_or(AdminError::Lacks("command"))?;
        let row = command
            .as_str()
            .and_then(named)
            .ok_or(AdminError::UnknownCommand)?;
        Self::new(row, order)
    }

    /// Takes the fields of a command.
    pub(super) fn new(row: &Row, fields: Map<String, Json>) -> Result<Self, AdminError> {
        check(row.name, row.takes, &fields)?;
        Ok(Self {
            change: row.change,
            fields: serde_json::from_value(Json::Object(fields))?,
        })
    }

    /// Changes the world.
    pub(in crate::demo) fn carry_out(&self, world: &World) -> Result<Json, AdminError> {
        let fields = &self.fields;
        let done = json!({});
        match self.change {
            Change::AddFolder => {
                let parent = fields
                    .parent
                    .as_deref()
                    .map(|text| folder(world, text))
                    .transpose()?;
                Ok(made(world.add_folder(parent, fields.name()?)?))
            }
            Change::AddDocument => {
                let (folder, name) = (fields.folder(world)?, fields.name()?);
                Ok(made(match fields.oracle {
                    Some(size) => world.add_document_sized(folder, name, size)?,
                    None => world.add_document(folder, name, fields.content(name)?)?,
                }))
            }
            Change::AddPlaceholder => Ok(made(
                world.add_placeholder(fields.folder(world)?, fields.name()?)?,
            )),
            Change::NewVersion => {
                let (guid, name) = fields.file(world)?;
                Ok(made(match fields.oracle {
                    Some(size) => world.new_version_sized(guid, size)?,
                    None => world.new_version(guid, fields.content(&name)?)?,
                }))
            }
            Change::Replace => {
                let (guid, name) = fields.file(world)?;
                let told = fields.told()?;
                match fields.oracle {
                    Some(size) => world.replace_sized(guid, size, told)?,
                    None => world.replace_in_place(guid, fields.content(&name)?, told)?,
                }
                Ok(done)
            }
            Change::Rename => {
                let guid = fields.object(world)?;
                if world.document(guid).is_some() {
                    world.rename_document(guid, fields.name()?)?;
                } else {
                    world.rename_folder(guid, fields.name()?)?;
                }
                Ok(done)
            }
            Change::Move => {
                let guid = fields.object(world)?;
                if world.document(guid).is_some() {
                    world.move_document(guid, fields.folder(world)?)?;
                } else {
                    let parent = fields
                        .folder
                        .as_deref()
                        .map(|text| folder(world, text))
                        .transpose()?;
                    world.move_folder(guid, parent)?;
                }
                Ok(done)
            }
            Change::Delete => {
                let guid = fields.object(world)?;
                if world.document(guid).is_some() {
                    world.delete_document(guid)?;
                } else {
                    world.delete_folder(guid)?;
                }
                Ok(done)
            }
            Change::Describe => {
                let text = fields.text.as_deref().ok_or(AdminError::Lacks("text"))?;
                world.edit_description(fields.object(world)?, text)?;
                Ok(done)
            }
            Change::Attribute => {
                let value = fields.value.as_deref().ok_or(AdminError::Lacks("value"))?;
                world.set_attribute(fields.object(world)?, fields.name()?, value)?;
                Ok(done)
            }
            Change::ListSize => {
                world.list_size(fields.object(world)?, fields.size)?;
                Ok(done)
            }
            Change::CheckOut => {
                world.check_out(fields.object(world)?)?;
                Ok(done)
            }
            Change::CheckIn => {
                world.check_in(fields.object(world)?)?;
                Ok(done)
            }
            Change::Undelete => {
                world.undelete(fields.object(world)?)?;
                Ok(done)
            }
            Change::LoseFile => {
                world.lose_file(fields.object(world)?)?;
                Ok(done)
            }
            Change::Access(access) => {
                let guid = fields.object(world)?;
                match &fields.account {
                    Some(email) => world.set_access_for(account(Some(email))?, guid, Some(access))?,
                    None => world.set_access(guid, access)?,
                }
                Ok(done)
            }
        }
    }
}

/// A folder or document by its names: `A/B/c.pdf`.
pub(super) fn at_path(world: &World, path: &str) -> Result<Guid, AdminError> {
    let names: Vec<&str> = path.trim_matches('/').split('/').collect();
    let found = world.document_at(&names).or_else(|| world.folder_at(&names));
    found.ok_or_else(|| AdminError::Path(path.to_owned()))
}

/// A folder by its GUID or its names.
fn folder(world: &World, text: &str) -> Result<Guid, AdminError> {
    match text.parse() {
        Ok(guid) => Ok(guid),
        Err(error) => {
            let names: Vec<&str> = text.trim_matches('/').split('/').collect();
            world.folder_at(&names).ok_or(AdminError::Guid(error))
        }
    }
}

impl Fields {
    fn object(&self, world: &World) -> Result<Guid, AdminError> {
        match (&self.guid, &self.path) {
            (Some(guid), _) => Ok(guid.parse()?),
            (None, Some(path)) => at_path(world, path),
            (None, None) => Err(AdminError::Lacks("guid")),
        }
    }

    fn folder(&self, world: &World) -> Result<Guid, AdminError> {
        folder(world, self.folder.as_deref().ok_or(AdminError::Lacks("folder"))?)
    }

    fn told(&self) -> Result<InPlace, AdminError> {
        match (self.told.as_deref(), self.same_tag) {
            (Some("listed"), _) | (None, false) => Ok(InPlace::Listed),
            (Some("same_tag"), _) | (None, true) => Ok(InPlace::SameTag),
            (Some("same_second"), _) => Ok(InPlace::SameSecond),
            (Some("unseen"), _) => Ok(InPlace::Unseen),
            (Some(other), _) => Err(AdminError::Value {
                field: "told",
                values: "listed, same_tag, same_second or unseen",
                text: other.to_owned(),
            }),
        }
    }

    fn name(&self) -> Result<&str, AdminError> {
        self.name.as_deref().ok_or(AdminError::Lacks("name"))
    }

    /// The document named and its file name, from which made content takes its format.
    fn file(&self, world: &World) -> Result<(Guid, String), AdminError> {
        let guid = self.object(world)?;
        let document = world.document(guid).ok_or(WorldError::UnknownDocument(guid))?;
        Ok((guid, document.file_name.unwrap_or_default()))
    }

    fn content(&self, file_name: &str) -> Result<Bytes, AdminError> {
        if let Some(text) = &self.text {
            return Ok(Bytes::from(text.clone()));
        }
        if let Some(text) = &self.base64 {
            return Ok(Bytes::from(STANDARD.decode(text)?));
        }
        let size = self
            .size
            .ok_or(AdminError::Lacks("text, base64, size or oracle"))?;
        if size > LARGEST {
            return Err(AdminError::Value {
                field: "size",
                values: "at most 67108864 bytes (oracle takes more)",
                text: size.to_string(),
            });
        }
        let format = FileFormat::of_file_name(file_name);
        let guid = self.guid.as_deref().and_then(|text| text.parse().ok());
        // Version numbers of made documents are small, so these bytes are unlike any of theirs.
        let recipe = Recipe::new(format, guid.unwrap_or(Guid::from_bytes([0; 16])), u32::MAX, size);
        Ok(recipe.make().into())
    }
}
