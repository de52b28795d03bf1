//! What one account may do, where that differs from what everybody may.

use std::collections::HashMap;

use crate::model::Guid;

use super::Access;

/// The rights of one account.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// On single folders and documents.
    own: HashMap<Guid, Access>,
    /// On the documents of a folder: the most they allow.
    files: HashMap<Guid, Access>,
}

impl Rights {
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.files.is_empty()
    }

    /// The right set on this folder or document itself.
    pub(super) fn on(&self, guid: Guid) -> Option<Access> {
        self.own.get(&guid).copied()
    }

    /// The right set on the documents of this folder.
    pub(super) fn on_files(&self, folder: Guid) -> Option<Access> {
        self.files.get(&folder).copied()
    }

    pub(super) fn set(&mut self, guid: Guid, access: Option<Access>) {
        put(&mut self.own, guid, access);
    }

    pub(super) fn set_files(&mut self, folder: Guid, access: Option<Access>) {
        put(&mut self.files, folder, access);
    }
}

fn put(rights: &mut HashMap<Guid, Access>, guid: Guid, access: Option<Access>) {
    match access {
        Some(access) => rights.insert(guid, access),
        None => rights.remove(&guid),
    };
}
