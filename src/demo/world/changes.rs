//! What may happen to the demo datasource while it is mounted.
//!
//! Every change moves the world's clock on by about a minute, so two changes never share a time stamp.

use std::borrow::Cow;

use bytes::Bytes;

use crate::demo::knobs::VersionGuids;
use crate::model::{Guid, Timestamp};

use super::state::{Content, DocumentClass, DocumentRow, NewDocument, NewFolder, State};
use super::{Access, World};

/// A change named something that is not there, or cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No folder has this GUID.
    #[error("the demo has no folder {0}")]
    UnknownFolder(Guid),
    /// No document has this GUID.
    #[error("the demo has no document {0}")]
    UnknownDocument(Guid),
    /// The document has no file to replace.
    #[error("the demo's document {0} has no file")]
    NoFile(Guid),
    /// A folder cannot be moved into itself.
    #[error("the demo's folder {0} cannot be moved into itself")]
    IntoItself(Guid),
}

/// What the listing tells of a file that was replaced without a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPlace {
    /// `FileSize` and `FileUpdateTime` follow, as on a healthy server.
    Listed,
    /// Both stay as they were; only the file's own entity tag and the bytes differ.
    SameTag,
}

impl World {
    /// Adds a folder; `None` adds a root folder.
    pub fn add_folder(&self, parent: Option<Guid>, name: &str) -> Result<Guid, WorldError> {
        self.change(|state| {
            if let Some(parent) = parent {
                known_folder(state, parent)?;
            }
            let at = state.tick();
            let new = NewFolder {
                parent,
                name,
                description: "",
                work_area: false,
            };
            Ok(state.add_folder(&new, at))
        })
    }

    /// Adds a document whose name and file name are `name`.
    pub fn add_document(
        &self,
        folder: Guid,
        name: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Guid, WorldError> {
        self.add(folder, name, Some(name), Content::Given(bytes.into()))
    }

    /// Adds a document without a file.
    pub fn add_placeholder(&self, folder: Guid, name: &str) -> Result<Guid, WorldError> {
        self.add(folder, name, None, Content::Nothing)
    }

    /// Renames a document: its name and, where it has a file, its file name.
    pub fn rename_document(&self, document: Guid, name: &str) -> Result<(), WorldError> {
        self.edit(document, |row| {
            name.clone_into(&mut row.name);
            if let Some(file_name) = &mut row.file_name {
                name.clone_into(file_name);
            }
        })
    }

    /// Renames a folder.
    pub fn rename_folder(&self, folder: Guid, name: &str) -> Result<(), WorldError> {
        self.change(|state| {
            let at = state.tick();
            let row = state
                .folder_mut(folder)
                .ok_or(WorldError::UnknownFolder(folder))?;
            name.clone_into(&mut row.name);
            row.updated = at;
            Ok(())
        })
    }

    /// Moves a document into another folder; it keeps its GUID.
    pub fn move_document(&self, document: Guid, folder: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            known_folder(state, folder)?;
            let at = state.tick();
            let mut row = state
                .take_document(document)
                .ok_or(WorldError::UnknownDocument(document))?;
            row.folder = folder;
            row.updated = at;
            state.put_document(row);
            Ok(())
        })
    }

    /// Moves a folder with all it holds; `None` makes it a root.
    pub fn move_folder(&self, folder: Guid, parent: Option<Guid>) -> Result<(), WorldError> {
        self.change(|state| {
            if let Some(parent) = parent {
                known_folder(state, parent)?;
                if state.lineage(parent).any(|row| row.guid == folder) {
                    return Err(WorldError::IntoItself(folder));
                }
            }
            let at = state.tick();
            let mut row = state
                .take_folder(folder)
                .ok_or(WorldError::UnknownFolder(folder))?;
            row.parent = parent;
            row.updated = at;
            state.put_folder(row);
            Ok(())
        })
    }

    /// Deletes one document (one version; the others stay).
    pub fn delete_document(&self, document: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            state.tick();
            state
                .take_document(document)
                .ok_or(WorldError::UnknownDocument(document))?;
            Ok(())
        })
    }

    /// Deletes a folder and everything below it.
    pub fn delete_folder(&self, folder: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            known_folder(state, folder)?;
            state.tick();
            let mut doomed = vec![folder];
            while let Some(guid) = doomed.pop() {
                doomed.extend(state.folders_in(Some(guid)).map(|row| row.guid));
                let documents: Vec<_> = state.documents_in(guid).map(|row| row.guid).collect();
                for document in documents {
                    state.take_document(document);
                }
                state.take_folder(guid);
            }
            Ok(())
        })
    }

    /// Makes a new version with these bytes and returns the GUID of the now active document.
    pub fn new_version(&self, document: Guid, bytes: impl Into<Bytes>) -> Result<Guid, WorldError> {
        let content = Content::Given(bytes.into());
        let guids = self.knobs.now().version_guids;
        self.change(|state| {
            let row = file_of(state, document)?.into_owned();
            let at = state.tick();
            let mut twin = state.twin(&row);
            let original = state
                .document_mut(document)
                .ok_or(WorldError::UnknownDocument(document))?;
            let (old, new) = match guids {
                VersionGuids::Keep => (&mut twin, original),
                VersionGuids::New => {
                    twin.created = at;
                    (original, &mut twin)
                }
            };
            old.active = false;
            new.active = true;
            new.version = next_label(&old.version);
            replace(new, content, at);
            let active = new.guid;
            state.put_document(twin);
            Ok(active)
        })
    }

    /// Replaces the file without a new version.
    pub fn replace_in_place(
        &self,
        document: Guid,
        bytes: impl Into<Bytes>,
        told: InPlace,
    ) -> Result<(), WorldError> {
        let content = Content::Given(bytes.into());
        self.change(|state| {
            file_of(state, document)?;
            let at = state.tick();
            let row = state
                .document_mut(document)
                .ok_or(WorldError::UnknownDocument(document))?;
            match told {
                InPlace::Listed => replace(row, content, at),
                InPlace::SameTag => {
                    row.content = content;
                    row.replaced += 1;
                }
            }
            Ok(())
        })
    }

    /// Edits a document's description: `UpdateTime` and the instance's eTag move, the file's time does not.
    pub fn edit_description(&self, document: Guid, text: &str) -> Result<(), WorldError> {
        self.edit(document, |row| text.clone_into(&mut row.description))
    }

    /// Takes a right away: a folder can no longer be listed, a document no longer downloaded.
    pub fn revoke(&self, guid: Guid) -> Result<(), WorldError> {
        self.set_access(guid, Access::SeeOnly)
    }

    /// Gives all rights back.
    pub fn grant(&self, guid: Guid) -> Result<(), WorldError> {
        self.set_access(guid, Access::Full)
    }

    /// Sets what the account may do with a folder or document.
    pub fn set_access(&self, guid: Guid, access: Access) -> Result<(), WorldError> {
        self.change(|state| {
            if let Some(row) = state.folder_mut(guid) {
                row.access = access;
                return Ok(());
            }
            let row = state
                .document_mut(guid)
                .ok_or(WorldError::UnknownDocument(guid))?;
            row.access = access;
            Ok(())
        })
    }

    fn add(
        &self,
        folder: Guid,
        name: &str,
        file_name: Option<&str>,
        content: Content,
    ) -> Result<Guid, WorldError> {
        self.change(|state| {
            known_folder(state, folder)?;
            let changed = state.tick();
            let guid = state.dice.guid();
            Ok(state.add_document(NewDocument {
                guid,
                folder,
                class: DocumentClass::Document,
                name: name.to_owned(),
                file_name: file_name.map(str::to_owned),
                version: String::new(),
                active: true,
                content,
                author: "demo",
                changed,
            }))
        })
    }

    fn edit(&self, document: Guid, edit: impl FnOnce(&mut DocumentRow)) -> Result<(), WorldError> {
        self.change(|state| {
            let at = state.tick();
            let row = state
                .document_mut(document)
                .ok_or(WorldError::UnknownDocument(document))?;
            edit(row);
            row.updated = at;
            Ok(())
        })
    }
}

fn known_folder(state: &State, folder: Guid) -> Result<(), WorldError> {
    match state.folder(folder) {
        Some(_) => Ok(()),
        None => Err(WorldError::UnknownFolder(folder)),
    }
}

fn file_of(state: &State, document: Guid) -> Result<Cow<'_, DocumentRow>, WorldError> {
    let row = state
        .document(document)
        .ok_or(WorldError::UnknownDocument(document))?;
    if row.file_name.is_none() {
        return Err(WorldError::NoFile(document));
    }
    Ok(row)
}

fn replace(row: &mut DocumentRow, content: Content, at: Timestamp) {
    row.listed_size = row.listed_size.map(|_| content.size());
    row.content = content;
    row.file_updated = Some(at);
    row.updated = at;
}

/// The label after this one: blank, A … Z, then AA, AB … (the alphabetic default of fact sheet 4).
fn next_label(label: &str) -> String {
    let mut letters: Vec<u8> = label.bytes().collect();
    for place in (0..letters.len()).rev() {
        match letters[place] {
            b'A'..=b'Y' => {
                letters[place] += 1;
                return String::from_utf8_lossy(&letters).into_owned();
            }
            _ => letters[place] = b'A',
        }
    }
    letters.insert(0, b'A');
    String::from_utf8_lossy(&letters).into_owned()
}
