//! What may happen to the demo datasource while it is mounted: what comes, goes, moves and gets other bytes.
//!
//! Every change moves the world's clock on by about a minute, so two changes never share a time stamp, but where
//! that is their point. What changes only the properties of a row is in `edits`.

use std::borrow::Cow;

use bytes::Bytes;

use crate::demo::knobs::VersionGuids;
use crate::demo::oracle::LONGEST;
use crate::model::{Guid, Timestamp};

use super::World;
use super::rows::{Content, DocumentClass, DocumentRow};
use super::state::{NewDocument, NewFolder, State};

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
    /// The document has a file already.
    #[error("the demo's document {0} has a file")]
    HasFile(Guid),
    /// A folder cannot be moved into itself.
    #[error("the demo's folder {0} cannot be moved into itself")]
    IntoItself(Guid),
    /// Nothing of this GUID was deleted.
    #[error("the demo deleted nothing of the GUID {0}")]
    NotDeleted(Guid),
    /// [`InPlace::SameSecond`] and [`InPlace::Unseen`] keep the length of the file, and these bytes do not.
    #[error("the new file of the demo's document {0} is not as long as the old one")]
    OtherSize(Guid),
    /// A made file is at most [`LONGEST`] bytes long.
    #[error("the demo makes no file of {0} bytes")]
    TooLong(u64),
    /// A document and a folder cannot swap their names.
    #[error("the demo's {0} and {1} are not two documents or two folders")]
    UnlikeKinds(Guid, Guid),
}

/// What the listing tells of a file that was replaced without a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPlace {
    /// `FileSize` and `FileUpdateTime` follow, as on a healthy server.
    Listed,
    /// Both stay as they were; only the file's own entity tag and the bytes differ.
    SameTag,
    /// As long as before and within the same second: the times differ by a millisecond, which a server that writes
    /// whole seconds does not show.
    SameSecond,
    /// As long as before, and nothing tells of it, not even the file's entity tag: what a tag made of length and
    /// whole seconds comes to (DOC-25).
    Unseen,
}

/// The bytes of a change.
enum Source {
    Given(Bytes),
    /// So many bytes that say where they are from.
    Sized(u64),
}

impl Source {
    fn sized(size: u64) -> Result<Self, WorldError> {
        if size > LONGEST {
            return Err(WorldError::TooLong(size));
        }
        Ok(Self::Sized(size))
    }

    /// As the content number `edition` of a document.
    fn content(self, document: Guid, edition: u32) -> Content {
        match self {
            Self::Given(bytes) => Content::Given(bytes),
            Self::Sized(size) => Content::oracle(document, edition, size),
        }
    }
}

impl World {
    /// Adds a folder; `None` adds a root folder.
    pub fn add_folder(&self, parent: Option<Guid>, name: &str) -> Result<Guid, WorldError> {
        self.change(|state| {
            if let Some(parent) = parent {
                known_folder(state, parent)?;
            }
            let at = state.tick();
            state.stir(parent, at);
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
        self.add(folder, name, Some(Source::Given(bytes.into())))
    }

    /// Adds a document whose name and file name are `name`, with `size` bytes that say whose they are.
    pub fn add_document_sized(&self, folder: Guid, name: &str, size: u64) -> Result<Guid, WorldError> {
        self.add(folder, name, Some(Source::sized(size)?))
    }

    /// Adds a document without a file.
    pub fn add_placeholder(&self, folder: Guid, name: &str) -> Result<Guid, WorldError> {
        self.add(folder, name, None)
    }

    /// Moves a document into another folder; it keeps its GUID.
    pub fn move_document(&self, document: Guid, folder: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            known_folder(state, folder)?;
            let row = state.take_document(document);
            let mut row = row.ok_or(WorldError::UnknownDocument(document))?;
            let at = state.tick();
            state.stir(Some(row.folder), at);
            state.stir(Some(folder), at);
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
                if state.ancestry(parent).any(|guid| guid == folder) {
                    return Err(WorldError::IntoItself(folder));
                }
            }
            let row = state.take_folder(folder);
            let mut row = row.ok_or(WorldError::UnknownFolder(folder))?;
            let at = state.tick();
            state.stir(row.parent, at);
            state.stir(parent, at);
            row.parent = parent;
            row.updated = at;
            state.put_folder(row);
            Ok(())
        })
    }

    /// Deletes one document (one version; the others stay).
    pub fn delete_document(&self, document: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            let folder = state.delete_document(document)?;
            let at = state.tick();
            state.stir(Some(folder), at);
            Ok(())
        })
    }

    /// Deletes a folder and everything below it.
    pub fn delete_folder(&self, folder: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            let parent = state.delete_folder(folder)?;
            let at = state.tick();
            state.stir(parent, at);
            Ok(())
        })
    }

    /// Brings back a deleted document, or a deleted folder with all that went with it, under the same GUIDs and
    /// with the same times.
    pub fn undelete(&self, guid: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            let home = state.undelete(guid)?;
            let at = state.tick();
            state.stir(home, at);
            Ok(())
        })
    }

    /// Makes a new version with these bytes and returns the GUID of the now active document.
    pub fn new_version(&self, document: Guid, bytes: impl Into<Bytes>) -> Result<Guid, WorldError> {
        self.version(document, Source::Given(bytes.into()))
    }

    /// Makes a new version of `size` bytes that say whose they are, and returns the GUID of the now active document.
    pub fn new_version_sized(&self, document: Guid, size: u64) -> Result<Guid, WorldError> {
        self.version(document, Source::sized(size)?)
    }

    /// Replaces the file without a new version.
    pub fn replace_in_place(
        &self,
        document: Guid,
        bytes: impl Into<Bytes>,
        told: InPlace,
    ) -> Result<(), WorldError> {
        self.replace(document, Source::Given(bytes.into()), told)
    }

    /// Replaces the file, without a new version, by `size` bytes that say whose and which they are.
    pub fn replace_sized(&self, document: Guid, size: u64, told: InPlace) -> Result<(), WorldError> {
        self.replace(document, Source::sized(size)?, told)
    }

    /// Gives a document without a file one.
    pub fn give_file(
        &self,
        document: Guid,
        file_name: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<(), WorldError> {
        let content = Content::Given(bytes.into());
        self.change(|state| {
            let at = state.tick();
            let row = document_of(state, document)?;
            if row.has_file() {
                return Err(WorldError::HasFile(document));
            }
            row.file_name = Some(file_name.to_owned());
            row.listed_size = Some(content.size());
            row.content = content;
            row.edition += 1;
            row.file_updated = Some(at);
            row.updated = at;
            let folder = row.folder;
            state.stir(Some(folder), at);
            Ok(())
        })
    }

    /// Takes a document's file away: it is a placeholder then.
    pub fn lose_file(&self, document: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            file_of(state, document)?;
            let at = state.tick();
            let row = document_of(state, document)?;
            row.file_name = None;
            row.listed_size = None;
            row.content = Content::Nothing;
            row.file_updated = None;
            row.updated = at;
            let folder = row.folder;
            state.stir(Some(folder), at);
            Ok(())
        })
    }

    fn version(&self, document: Guid, source: Source) -> Result<Guid, WorldError> {
        let guids = self.knobs.now().version_guids;
        self.change(|state| {
            let row = file_of(state, document)?.into_owned();
            let at = state.tick();
            let mut twin = state.twin(&row);
            let original = document_of(state, document)?;
            let (old, new) = match guids {
                VersionGuids::Keep => (&mut twin, original),
                VersionGuids::New => {
                    twin.created = at;
                    (original, &mut twin)
                }
            };
            old.active = false;
            old.checked_out_by = None;
            new.active = true;
            new.version = next_label(&old.version);
            new.sequence = old.sequence + 1;
            put_file(new, source, at);
            let active = new.guid;
            state.put_document(twin);
            state.stir(Some(row.folder), at);
            Ok(active)
        })
    }

    fn replace(&self, document: Guid, source: Source, told: InPlace) -> Result<(), WorldError> {
        self.change(|state| {
            let size = file_of(state, document)?.content.size();
            let at = state.tick();
            let row = document_of(state, document)?;
            let folder = row.folder;
            if told == InPlace::Listed {
                put_file(row, source, at);
                state.stir(Some(folder), at);
                return Ok(());
            }
            let content = source.content(document, row.edition + 1);
            if told != InPlace::SameTag && content.size() != size {
                return Err(WorldError::OtherSize(document));
            }
            row.content = content;
            row.edition += 1;
            match told {
                InPlace::Listed | InPlace::Unseen => {}
                InPlace::SameTag => row.replaced += 1,
                InPlace::SameSecond => {
                    row.file_updated = row.file_updated.map(later_in_its_second);
                    row.updated = later_in_its_second(row.updated);
                    row.replaced += 1;
                }
            }
            Ok(())
        })
    }

    fn add(&self, folder: Guid, name: &str, source: Option<Source>) -> Result<Guid, WorldError> {
        self.change(|state| {
            known_folder(state, folder)?;
            let changed = state.tick();
            state.stir(Some(folder), changed);
            let guid = state.new_document_guid();
            let file_name = source.is_some().then(|| name.to_owned());
            Ok(state.add_document(NewDocument {
                guid,
                folder,
                class: DocumentClass::Document,
                name: name.to_owned(),
                file_name,
                version: String::new(),
                sequence: 0,
                original: guid,
                active: true,
                content: source.map_or(Content::Nothing, |source| source.content(guid, 0)),
                author: "demo",
                changed,
            }))
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

/// The row to be changed.
pub(super) fn document_of(state: &mut State, document: Guid) -> Result<&mut DocumentRow, WorldError> {
    let row = state.document_mut(document);
    row.ok_or(WorldError::UnknownDocument(document))
}

fn put_file(row: &mut DocumentRow, source: Source, at: Timestamp) {
    row.edition += 1;
    let content = source.content(row.guid, row.edition);
    row.listed_size = row.listed_size.map(|_| content.size());
    row.content = content;
    row.file_updated = Some(at);
    row.updated = at;
}

/// Another moment of the same second: the next millisecond, or the first behind the last.
fn later_in_its_second(time: Timestamp) -> Timestamp {
    let millis = i64::from(time.subsec_millisecond());
    time + jiff::SignedDuration::from_millis((millis + 1) % 1000 - millis)
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
