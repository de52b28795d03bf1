//! What was deleted, kept so that it can come back under its own GUIDs.

use std::collections::HashMap;

use crate::model::Guid;

use super::super::WorldError;
use super::super::rows::{DocumentRow, FolderRow};
use super::State;

/// Deleted rows by the GUID that was named when they were deleted.
#[derive(Default)]
pub(super) struct Bin(HashMap<Guid, Deleted>);

/// What one deletion took: a document, or a folder with all below it, outermost first.
#[derive(Default)]
struct Deleted {
    folders: Vec<FolderRow>,
    documents: Vec<DocumentRow>,
}

impl State {
    /// Deletes one document.
    pub(in super::super) fn delete_document(&mut self, guid: Guid) -> Result<Guid, WorldError> {
        let row = self.take_document(guid);
        let row = row.ok_or(WorldError::UnknownDocument(guid))?;
        let folder = row.folder;
        let deleted = Deleted {
            documents: vec![row],
            ..Deleted::default()
        };
        self.bin.0.insert(guid, deleted);
        Ok(folder)
    }

    /// Deletes a folder with all below it, and tells where it was.
    pub(in super::super) fn delete_folder(&mut self, guid: Guid) -> Result<Option<Guid>, WorldError> {
        let parent = self.parent_of(guid).ok_or(WorldError::UnknownFolder(guid))?;
        let mut deleted = Deleted::default();
        let mut doomed = vec![guid];
        while let Some(here) = doomed.pop() {
            let inside: Vec<_> = self.folders_in(Some(here)).map(|row| row.guid).collect();
            deleted.documents.extend(self.take_documents_in(here));
            deleted.folders.extend(self.take_folder(here));
            // The last is taken first; their order must come back.
            doomed.extend(inside.into_iter().rev());
        }
        self.bin.0.insert(guid, deleted);
        Ok(parent)
    }

    /// Brings back what one deletion took, each where it was, and tells where that is.
    pub(in super::super) fn undelete(&mut self, guid: Guid) -> Result<Option<Guid>, WorldError> {
        let deleted = self.bin.0.get(&guid).ok_or(WorldError::NotDeleted(guid))?;
        let home = match (deleted.folders.first(), deleted.documents.first()) {
            (Some(folder), _) => folder.parent,
            (None, document) => document.map(|row| row.folder),
        };
        if let Some(home) = home.filter(|home| !self.has_folder(*home)) {
            return Err(WorldError::UnknownFolder(home));
        }
        let deleted = self.bin.0.remove(&guid).unwrap_or_default();
        for row in deleted.folders {
            self.put_folder(row);
        }
        for row in deleted.documents {
            self.put_document(row);
        }
        Ok(home)
    }
}
