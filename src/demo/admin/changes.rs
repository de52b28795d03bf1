//! Changing the datasource, for the admin API and for scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::demo::files::{FileFormat, Recipe};
use crate::demo::world::{Access, InPlace, World, WorldError};
use crate::model::Guid;

use super::{AdminError, check, made};

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

/// Every change.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    Row { name: "add-folder", change: Change::AddFolder, takes: &["parent", "name"], does: "adds a folder, a root without parent; answers its guid" },
    Row { name: "add-document", change: Change::AddDocument, takes: &["folder", "name", "text", "base64", "size"], does: "adds a document with content; answers its guid" },
    Row { name: "add-placeholder", change: Change::AddPlaceholder, takes: &["folder", "name"], does: "adds a document without a file; answers its guid" },
    Row { name: "rename", change: Change::Rename, takes: &["guid", "path", "name"], does: "renames a document's file or a folder" },
    Row { name: "move", change: Change::Move, takes: &["guid", "path", "folder"], does: "moves it; a folder without folder becomes a root" },
    Row { name: "delete", change: Change::Delete, takes: OBJECT, does: "deletes a document, or a folder with all below" },
    Row { name: "new-version", change: Change::NewVersion, takes: &["guid", "path", "text", "base64", "size"], does: "makes a version; answers the guid of the now active document" },
    Row { name: "replace", change: Change::Replace, takes: &["guid", "path", "text", "base64", "size", "same_tag"], does: "replaces the file in place; same_tag true: the listing does not tell" },
    Row { name: "describe", change: Change::Describe, takes: &["guid", "path", "text"], does: "edits the description only" },
    Row { name: "revoke", change: Change::Access(Access::SeeOnly), takes: OBJECT, does: "takes the right to download or list away" },
    Row { name: "hide", change: Change::Access(Access::Hidden), takes: OBJECT, does: "takes every right away" },
    Row { name: "grant", change: Change::Access(Access::Full), takes: OBJECT, does: "gives all rights back" },
];

/// The change of this name.
pub(super) fn named(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// Every field any change takes. Content is one of `text`, `base64` and `size` (so many made bytes).
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
    same_tag: bool,
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
                let name = fields.name()?;
                let content = fields.content(name)?;
                Ok(made(world.add_document(fields.folder(world)?, name, content)?))
            }
            Change::AddPlaceholder => Ok(made(
                world.add_placeholder(fields.folder(world)?, fields.name()?)?,
            )),
            Change::NewVersion => {
                let (guid, name) = fields.file(world)?;
                Ok(made(world.new_version(guid, fields.content(&name)?)?))
            }
            Change::Replace => {
                let (guid, name) = fields.file(world)?;
                let told = if fields.same_tag {
                    InPlace::SameTag
                } else {
                    InPlace::Listed
                };
                world.replace_in_place(guid, fields.content(&name)?, told)?;
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
            Change::Access(access) => {
                world.set_access(fields.object(world)?, access)?;
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
        let size = self.size.ok_or(AdminError::Lacks("text, base64 or size"))?;
        let format = FileFormat::of_file_name(file_name);
        let guid = self.guid.as_deref().and_then(|text| text.parse().ok());
        // Version numbers of made documents are small, so these bytes are unlike any of theirs.
        let recipe = Recipe::new(format, guid.unwrap_or(Guid::from_bytes([0; 16])), u32::MAX, size);
        Ok(recipe.make().into())
    }
}
