//! The datasource as one account sees it: every row carries what this account may do.
//!
//! A right is of the folder or document it is set on, with one exception: what is in a hidden folder, at any depth,
//! is hidden, whatever is set on it, so that no listing, filter or id leads to it. A folder that is only seen
//! (`SeeOnly`) closes itself, not the folders in it. Of a document's own right and the right its folder gives its
//! documents, its own counts; of what its row says to everybody and the latter, the stricter.

use std::borrow::Cow;

use crate::demo::knobs::FolderTags;
use crate::model::Guid;

use super::Access;
use super::rights::Rights;
use super::rows::{DocumentRow, FolderRow};
use super::state::State;

/// The state through the eyes of one account.
#[derive(Clone, Copy)]
pub(in crate::demo) struct View<'a> {
    state: &'a State,
    rights: Option<&'a Rights>,
    tags: FolderTags,
}

/// What a folder means for what is in it.
#[derive(Debug, Clone, Copy)]
struct Cover {
    folder: Option<Guid>,
    /// It is hidden, or in a hidden one.
    shut: bool,
    /// The most its documents allow.
    files: Access,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State, account: &str, tags: FolderTags) -> Self {
        Self {
            state,
            rights: state.rights(account),
            tags,
        }
    }

    /// True where rows can be shown as they are.
    fn plain(self) -> bool {
        self.rights.is_none() && self.state.hidden().is_empty()
    }

    /// True where this folder itself is hidden.
    fn conceals(self, folder: Guid) -> bool {
        match self.rights.and_then(|rights| rights.on(folder)) {
            Some(access) => access == Access::Hidden,
            None => self.state.hidden().contains(&folder),
        }
    }

    fn cover(self, folder: Option<Guid>) -> Cover {
        let files = folder.and_then(|folder| self.rights?.on_files(folder));
        Cover {
            folder,
            shut: !self.plain()
                && folder.is_some_and(|folder| self.state.ancestry(folder).any(|guid| self.conceals(guid))),
            files: files.unwrap_or(Access::Full),
        }
    }

    fn folder_row(self, row: Cow<'a, FolderRow>, cover: Cover) -> Cow<'a, FolderRow> {
        let own = self.rights.and_then(|rights| rights.on(row.guid));
        let access = if cover.shut {
            Access::Hidden
        } else {
            own.unwrap_or(row.access)
        };
        let stirred = match self.tags {
            FolderTags::Own => None,
            FolderTags::Children => self.state.stirred(row.guid),
        };
        let updated = stirred.map_or(row.updated, |stirred| stirred.max(row.updated));
        if (access, updated) == (row.access, row.updated) {
            return row;
        }
        let mut row = row.into_owned();
        row.access = access;
        row.updated = updated;
        Cow::Owned(row)
    }

    fn document_row(self, row: Cow<'a, DocumentRow>, cover: Cover) -> Cow<'a, DocumentRow> {
        let own = self.rights.and_then(|rights| rights.on(row.guid));
        let access = if cover.shut {
            Access::Hidden
        } else {
            own.unwrap_or_else(|| row.access.stricter(cover.files))
        };
        if access == row.access {
            return row;
        }
        let mut row = row.into_owned();
        row.access = access;
        Cow::Owned(row)
    }

    pub(in crate::demo) fn folder(self, guid: Guid) -> Option<Cow<'a, FolderRow>> {
        let row = self.state.folder(guid)?;
        let cover = self.cover(row.parent);
        Some(self.folder_row(row, cover))
    }

    pub(in crate::demo) fn document(self, guid: Guid) -> Option<Cow<'a, DocumentRow>> {
        let row = self.state.document(guid)?;
        let cover = self.cover(Some(row.folder));
        Some(self.document_row(row, cover))
    }

    pub(in crate::demo) fn folders_in(
        self,
        parent: Option<Guid>,
    ) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        let cover = self.cover(parent);
        self.state
            .folders_in(parent)
            .map(move |row| self.folder_row(row, cover))
    }

    pub(in crate::demo) fn documents_in(self, folder: Guid) -> impl Iterator<Item = Cow<'a, DocumentRow>> {
        let cover = self.cover(Some(folder));
        self.state
            .documents_in(folder)
            .map(move |row| self.document_row(row, cover))
    }

    /// Every folder, in order of creation, one at a time.
    pub(in crate::demo) fn all_folders(self) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        // Siblings come one after the other, nearly always.
        let mut cover = self.cover(None);
        self.state.all_folders().map(move |row| {
            if cover.folder != row.parent {
                cover = self.cover(row.parent);
            }
            self.folder_row(row, cover)
        })
    }

    /// Every document, in order of creation, one at a time.
    pub(in crate::demo) fn all_documents(self) -> impl Iterator<Item = Cow<'a, DocumentRow>> {
        let mut cover = self.cover(None);
        self.state.all_documents().map(move |row| {
            if cover.folder != Some(row.folder) {
                cover = self.cover(Some(row.folder));
            }
            self.document_row(row, cover)
        })
    }

    /// The folder, its parent, and so on up to the root.
    pub(in crate::demo) fn lineage(self, folder: Guid) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        self.state.lineage(folder).map(move |row| {
            let cover = self.cover(row.parent);
            self.folder_row(row, cover)
        })
    }

    /// Raw names from the root down to and including this folder.
    pub(in crate::demo) fn path_of(self, folder: Guid) -> Vec<String> {
        self.state.path_of(folder)
    }

    /// Another number after every change: what was found under one number is still so under the same.
    pub(in crate::demo) fn revision(self) -> u64 {
        self.state.revision()
    }

    /// True where the folder itself may be listed.
    pub(in crate::demo) fn may_list(self, folder: Guid) -> bool {
        self.opens(folder) && !self.cover(Some(folder)).shut
    }

    /// True where walking down from the root leads to a listing of this folder.
    pub(in crate::demo) fn reachable(self, folder: Guid) -> bool {
        self.state.has_folder(folder) && self.state.ancestry(folder).all(|guid| self.opens(guid))
    }

    /// True where the folder's own right, whatever is above it, lets it be listed.
    fn opens(self, folder: Guid) -> bool {
        let own = self.rights.and_then(|rights| rights.on(folder));
        let base = self.state.folder_access(folder);
        base.is_some_and(|base| own.unwrap_or(base) == Access::Full)
    }
}
