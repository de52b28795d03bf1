//! What may happen to the properties of folders and documents, and to rights, while no byte changes.

use crate::model::{Guid, Timestamp};

use super::changes::{WorldError, document_of};
use super::rows::{DocumentRow, WorkflowState};
use super::state::State;
use super::{Access, World};

impl World {
    /// Renames a document: its name and, where it has a file, its file name.
    pub fn rename_document(&self, document: Guid, name: &str) -> Result<(), WorldError> {
        self.edit(document, |row| {
            name.clone_into(&mut row.name);
            if let Some(file_name) = &mut row.file_name {
                name.clone_into(file_name);
            }
        })
    }

    /// Gives a document another name; its file keeps its own.
    pub fn edit_name(&self, document: Guid, name: &str) -> Result<(), WorldError> {
        self.edit(document, |row| name.clone_into(&mut row.name))
    }

    /// Gives a document's file another name; the document keeps its own.
    pub fn edit_file_name(&self, document: Guid, file_name: &str) -> Result<(), WorldError> {
        self.change(|state| {
            let at = state.tick();
            let row = document_of(state, document)?;
            let place = row.file_name.as_mut().ok_or(WorldError::NoFile(document))?;
            file_name.clone_into(place);
            touched(state, document, at)
        })
    }

    /// Renames a folder; also where only the case differs.
    pub fn rename_folder(&self, folder: Guid, name: &str) -> Result<(), WorldError> {
        self.change(|state| {
            let at = state.tick();
            rename_folder(state, folder, name, at)
        })
    }

    /// Swaps the names of two documents (and of their files) or of two folders, in one step.
    pub fn swap_names(&self, one: Guid, other: Guid) -> Result<(), WorldError> {
        self.change(|state| {
            let folders = [state.has_folder(one), state.has_folder(other)];
            let at = state.tick();
            match folders {
                [true, true] => {
                    let name = |guid| state.folder(guid).map(|row| row.name.clone());
                    let first = name(one).ok_or(WorldError::UnknownFolder(one))?;
                    let second = name(other).ok_or(WorldError::UnknownFolder(other))?;
                    rename_folder(state, one, &second, at)?;
                    rename_folder(state, other, &first, at)
                }
                [false, false] => {
                    let names = |guid| {
                        let row = state.document(guid);
                        row.map(|row| (row.name.clone(), row.file_name.clone()))
                            .ok_or(WorldError::UnknownDocument(guid))
                    };
                    let (first, second) = (names(one)?, names(other)?);
                    // A document without a file gets no file by this.
                    if first.1.is_some() != second.1.is_some() {
                        return Err(WorldError::UnlikeKinds(one, other));
                    }
                    for (guid, (name, file_name)) in [(one, second), (other, first)] {
                        let row = document_of(state, guid)?;
                        row.name = name;
                        row.file_name = file_name;
                        touched(state, guid, at)?;
                    }
                    Ok(())
                }
                [true, false] | [false, true] => Err(WorldError::UnlikeKinds(one, other)),
            }
        })
    }

    /// Edits a document's description: `UpdateTime` and the instance's eTag move, the file's time does not.
    pub fn edit_description(&self, document: Guid, text: &str) -> Result<(), WorldError> {
        self.edit(document, |row| text.clone_into(&mut row.description))
    }

    /// Moves a document on in its workflow.
    pub fn set_state(&self, document: Guid, to: WorkflowState) -> Result<(), WorldError> {
        self.edit(document, |row| row.state = to)
    }

    /// Sets an attribute of a document's environment.
    pub fn set_attribute(&self, document: Guid, name: &str, value: &str) -> Result<(), WorldError> {
        self.edit(document, |row| {
            row.set_attributes.insert(name.to_owned(), value.to_owned());
        })
    }

    /// Checks a document out to somebody: its status changes, and its file is served as before.
    pub fn check_out(&self, document: Guid) -> Result<(), WorldError> {
        self.edit(document, |row| row.checked_out_by = Some("a.osei"))
    }

    /// Ends a check-out without a new file.
    pub fn check_in(&self, document: Guid) -> Result<(), WorldError> {
        self.edit(document, |row| row.checked_out_by = None)
    }

    /// Lists another `FileSize` than the file has; `None` lists none. Nothing else moves.
    pub fn list_size(&self, document: Guid, size: Option<u64>) -> Result<(), WorldError> {
        self.change(|state| {
            document_of(state, document)?.listed_size = size;
            Ok(())
        })
    }

    /// Sets the times of a document and its file, to the past as well; the bytes stay as they are.
    pub fn touch(&self, document: Guid, at: Timestamp) -> Result<(), WorldError> {
        self.change(|state| {
            let row = document_of(state, document)?;
            row.updated = at;
            row.file_updated = row.file_updated.map(|_| at);
            Ok(())
        })
    }

    /// Takes a right away from everybody: a folder can no longer be listed, a document no longer downloaded.
    pub fn revoke(&self, guid: Guid) -> Result<(), WorldError> {
        self.set_access(guid, Access::SeeOnly)
    }

    /// Gives all rights back.
    pub fn grant(&self, guid: Guid) -> Result<(), WorldError> {
        self.set_access(guid, Access::Full)
    }

    /// Sets what everybody may do with a folder or document for whom nothing else is set.
    pub fn set_access(&self, guid: Guid, access: Access) -> Result<(), WorldError> {
        self.change(|state| match state.set_access(guid, access) {
            true => Ok(()),
            false => Err(WorldError::UnknownDocument(guid)),
        })
    }

    /// Takes a right away from one account.
    pub fn revoke_for(&self, account: &str, guid: Guid) -> Result<(), WorldError> {
        self.set_access_for(account, guid, Some(Access::SeeOnly))
    }

    /// Gives one account all rights on a folder or document, whatever everybody has.
    pub fn grant_for(&self, account: &str, guid: Guid) -> Result<(), WorldError> {
        self.set_access_for(account, guid, Some(Access::Full))
    }

    /// Sets what one account (its e-mail address) may do with a folder or document; `None`: what everybody may.
    pub fn set_access_for(
        &self,
        account: &str,
        guid: Guid,
        access: Option<Access>,
    ) -> Result<(), WorldError> {
        self.change(|state| {
            if !state.has_folder(guid) && state.document(guid).is_none() {
                return Err(WorldError::UnknownDocument(guid));
            }
            state.set_right(account, guid, access);
            Ok(())
        })
    }

    /// Sets the most one account may do with the documents directly in a folder, those to come as well.
    pub fn set_file_access_for(
        &self,
        account: &str,
        folder: Guid,
        access: Option<Access>,
    ) -> Result<(), WorldError> {
        self.change(|state| {
            if !state.has_folder(folder) {
                return Err(WorldError::UnknownFolder(folder));
            }
            state.set_file_right(account, folder, access);
            Ok(())
        })
    }

    fn edit(&self, document: Guid, edit: impl FnOnce(&mut DocumentRow)) -> Result<(), WorldError> {
        self.change(|state| {
            let at = state.tick();
            edit(document_of(state, document)?);
            touched(state, document, at)
        })
    }
}

/// Notes on a document and its folder that it changed.
fn touched(state: &mut State, document: Guid, at: Timestamp) -> Result<(), WorldError> {
    let row = document_of(state, document)?;
    row.updated = at;
    let folder = row.folder;
    state.stir(Some(folder), at);
    Ok(())
}

fn rename_folder(state: &mut State, folder: Guid, name: &str, at: Timestamp) -> Result<(), WorldError> {
    let row = state.folder_mut(folder);
    let row = row.ok_or(WorldError::UnknownFolder(folder))?;
    name.clone_into(&mut row.name);
    row.updated = at;
    let parent = row.parent;
    state.stir(parent, at);
    Ok(())
}
