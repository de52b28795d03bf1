//! The datasource as one account sees it: every row carries what this account may do.

use std::borrow::Cow;

use crate::model::{Guid, Timestamp};

use super::Access;
use super::state::{DocumentRow, FolderRow, State};

/// The state through the eyes of one account.
#[derive(Clone, Copy)]
pub(in crate::demo) struct View<'a> {
    state: &'a State,
    account: &'a str,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a State, account: &'a str) -> Self {
        Self { state, account }
    }

    fn folder_row(self, row: Cow<'a, FolderRow>) -> Cow<'a, FolderRow> {
        match self.state.right(self.account, row.guid) {
            Some(access) if access != row.access => {
                let mut row = row.into_owned();
                row.access = access;
                Cow::Owned(row)
            }
            Some(_) | None => row,
        }
    }

    fn document_row(self, row: Cow<'a, DocumentRow>) -> Cow<'a, DocumentRow> {
        match self.state.right(self.account, row.guid) {
            Some(access) if access != row.access => {
                let mut row = row.into_owned();
                row.access = access;
                Cow::Owned(row)
            }
            Some(_) | None => row,
        }
    }

    pub(in crate::demo) fn folder(self, guid: Guid) -> Option<Cow<'a, FolderRow>> {
        self.state.folder(guid).map(|row| self.folder_row(row))
    }

    pub(in crate::demo) fn document(self, guid: Guid) -> Option<Cow<'a, DocumentRow>> {
        self.state.document(guid).map(|row| self.document_row(row))
    }

    pub(in crate::demo) fn folders_in(
        self,
        parent: Option<Guid>,
    ) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        self.state.folders_in(parent).map(move |row| self.folder_row(row))
    }

    pub(in crate::demo) fn documents_in(self, folder: Guid) -> impl Iterator<Item = Cow<'a, DocumentRow>> {
        self.state
            .documents_in(folder)
            .map(move |row| self.document_row(row))
    }

    /// Every folder, in order of creation.
    pub(in crate::demo) fn all_folders(self) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        let rows = self.state.all_folders().into_iter();
        rows.map(move |row| self.folder_row(row))
    }

    /// Every document, in order of creation.
    pub(in crate::demo) fn all_documents(self) -> impl Iterator<Item = Cow<'a, DocumentRow>> {
        let rows = self.state.all_documents().into_iter();
        rows.map(move |row| self.document_row(row))
    }

    /// The folder, its parent, and so on up to the root.
    pub(in crate::demo) fn lineage(self, folder: Guid) -> impl Iterator<Item = Cow<'a, FolderRow>> {
        self.state.lineage(folder).map(move |row| self.folder_row(row))
    }

    /// Raw names from the root down to and including this folder.
    pub(in crate::demo) fn path_of(self, folder: Guid) -> Vec<String> {
        self.state.path_of(folder)
    }

    /// When a child was last put into this folder or taken out of it.
    pub(in crate::demo) fn touched(self, folder: Guid) -> Option<Timestamp> {
        self.state.touched(folder)
    }

    /// True where the folder itself may be listed.
    pub(in crate::demo) fn may_list(self, folder: Guid) -> bool {
        self.folder(folder).is_some_and(|row| row.access == Access::Full)
    }

    /// True where walking down from the root leads to a listing of this folder.
    pub(in crate::demo) fn reachable(self, folder: Guid) -> bool {
        self.lineage(folder).all(|row| row.access == Access::Full)
    }
}
