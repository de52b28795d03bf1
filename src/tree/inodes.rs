//! The inode table: stable numbers, and what the kernel holds references to.
//!
//! A number follows from identity alone, so it is the same after a remount, a rename, a move and on another machine:
//! a directory from (mount entry, GUID), a file from (mount entry, GUID, content tag). A file's inode therefore is
//! one *version* of a document: new bytes are a new inode under the same name, as if replaced by a rename.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::model::{ContentTag, DirId, Document, DocumentId, Entry, Folder, FolderId, Guid};

/// An inode number: 63 bits, never 0; the root is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeNo(pub u64);

/// The root directory's inode, as FUSE defines it.
pub const ROOT: InodeNo = InodeNo(1);

/// The chosen folder a path goes through; nil where none was chosen.
///
/// Part of every inode number below it: one inode under two paths would make the kernel move it, and people's
/// working directories with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MountEntry(pub Guid);

impl MountEntry {
    /// The entry of a mount that shows the datasource's own root folders.
    pub const WHOLE: Self = Self(Guid::from_bytes([0; 16]));
}

/// A directory as reached by one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Directory {
    /// The mount entry above it.
    pub mount: MountEntry,
    /// What it shows.
    pub id: DirId,
}

/// The mount's root directory.
pub const ROOT_DIRECTORY: Directory = Directory {
    mount: MountEntry::WHOLE,
    id: DirId::Root,
};

/// What an inode is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A directory; its folder is absent for the root only.
    Directory(Directory, Option<Arc<Entry>>),
    /// One version of a document.
    File(Arc<Entry>, ContentTag),
}

/// One inode.
#[derive(Debug, Clone)]
pub struct Inode {
    /// Its number.
    pub ino: InodeNo,
    /// The directory it was reached through.
    pub parent: Directory,
    /// What it is.
    pub target: Target,
}

/// What a number is made from; two inodes are the same if and only if this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    Root,
    Directory(MountEntry, FolderId),
    File(MountEntry, DocumentId, ContentTag),
}

impl Inode {
    /// The root's inode.
    pub const fn root() -> Self {
        Self {
            ino: ROOT,
            parent: ROOT_DIRECTORY,
            target: Target::Directory(ROOT_DIRECTORY, None),
        }
    }

    /// The folder, of a directory below the root.
    pub fn folder(&self) -> Option<&Folder> {
        match &self.target {
            Target::Directory(_, Some(entry)) => match &**entry {
                Entry::Folder(folder) => Some(folder),
                Entry::Document(_) => None,
            },
            Target::Directory(_, None) | Target::File(..) => None,
        }
    }

    /// The document and content tag, of a file.
    pub fn document(&self) -> Option<(&Document, ContentTag)> {
        match &self.target {
            Target::File(entry, tag) => match &**entry {
                Entry::Document(document) => Some((document, *tag)),
                Entry::Folder(_) => None,
            },
            Target::Directory(..) => None,
        }
    }

    fn identity(&self) -> Identity {
        match &self.target {
            Target::Directory(directory, _) => match directory.id {
                DirId::Root => Identity::Root,
                DirId::Folder(folder) => Identity::Directory(directory.mount, folder),
            },
            Target::File(entry, tag) => match &**entry {
                Entry::Document(document) => Identity::File(self.parent.mount, document.id, *tag),
                Entry::Folder(folder) => Identity::Directory(self.parent.mount, folder.id),
            },
        }
    }
}

/// All inodes the kernel may ask about.
#[derive(Debug, Default)]
pub struct InodeTable {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<InodeNo, Held>,
    /// Identities that lost their first number to another one. A clash of 63-bit hashes is not to be expected in the
    /// life of the product; two live inodes of one number would mix their bytes, so it is ruled out all the same.
    salts: HashMap<Identity, u32>,
    /// References given back that were never counted.
    overdrawn: u64,
}

#[derive(Debug)]
struct Held {
    inode: Arc<Inode>,
    /// References the kernel has: entries given less references forgotten.
    lookups: u64,
}

impl InodeTable {
    /// The inode of this target below `parent`, with the number that is its own.
    pub fn resolve(&self, parent: Directory, target: Target) -> Arc<Inode> {
        let mut inode = Inode {
            ino: ROOT,
            parent,
            target,
        };
        let identity = inode.identity();
        let mut state = self.state.lock();
        let mut salt = state.salts.get(&identity).copied().unwrap_or(0);
        loop {
            inode.ino = number(&identity, salt);
            match state.held.get(&inode.ino) {
                Some(held) if held.inode.identity() != identity => salt += 1,
                Some(_) | None => break,
            }
        }
        if salt > 0 {
            state.salts.insert(identity, salt);
        }
        Arc::new(inode)
    }

    /// Counts one more reference the kernel has to `inode`, and keeps its newest attributes.
    pub fn remember(&self, inode: &Arc<Inode>) {
        if inode.ino == ROOT {
            return;
        }
        let mut state = self.state.lock();
        let held = state.held.entry(inode.ino).or_insert_with(|| Held {
            inode: inode.clone(),
            lookups: 0,
        });
        held.inode = inode.clone();
        held.lookups += 1;
    }

    /// Takes back `count` references.
    pub fn forget(&self, ino: InodeNo, count: u64) {
        if ino == ROOT {
            return;
        }
        let state = &mut *self.state.lock();
        let held = state.held.get_mut(&ino);
        let counted = held.as_ref().map_or(0, |held| held.lookups);
        state.overdrawn += count.saturating_sub(counted);
        if count >= counted {
            state.held.remove(&ino);
        } else if let Some(held) = held {
            held.lookups -= count;
        }
    }

    /// References the kernel gave back and nobody had counted. More than none means that an inode may be forgotten
    /// here while the kernel still holds it.
    pub fn overdrawn(&self) -> u64 {
        self.state.lock().overdrawn
    }

    /// The inode of this number, if the kernel may still ask about it.
    pub fn get(&self, ino: InodeNo) -> Option<Arc<Inode>> {
        if ino == ROOT {
            return Some(Arc::new(Inode::root()));
        }
        self.state.lock().held.get(&ino).map(|held| held.inode.clone())
    }

    /// True if the kernel may hold something of this inode.
    pub fn holds(&self, ino: InodeNo) -> bool {
        ino == ROOT || self.state.lock().held.contains_key(&ino)
    }

    /// Gives an inode the kernel holds its newest attributes; the identity stays.
    pub fn update(&self, inode: &Arc<Inode>) {
        if let Some(held) = self.state.lock().held.get_mut(&inode.ino) {
            held.inode = inode.clone();
        }
    }

    /// How many inodes the kernel holds, the root not counted.
    pub fn len(&self) -> usize {
        self.state.lock().held.len()
    }

    /// True if the kernel holds nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The first 63 bits of a SHA-256 over a canonical text; what other machines must agree on.
fn number(identity: &Identity, salt: u32) -> InodeNo {
    let text = match identity {
        Identity::Root => return ROOT,
        Identity::Directory(MountEntry(mount), folder) => format!("d1 {mount} {folder} {salt}"),
        Identity::File(MountEntry(mount), document, tag) => format!("f1 {mount} {document} {tag} {salt}"),
    };
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    // 0 means "no inode" to the kernel and 1 is the root; both give way.
    InodeNo((u64::from_be_bytes(first) >> 1).max(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(guid: u8) -> Arc<Entry> {
        Arc::new(Entry::Document(Document {
            id: DocumentId(Guid::from_bytes([guid; 16])),
            folder: None,
            name: "a".into(),
            file_name: Some("a".into()),
            description: String::new(),
            version: String::new(),
            active: true,
            kind: crate::model::DocumentKind::File,
            size: Some(1),
            file_updated: None,
            updated: None,
            created: None,
            state: None,
            mime_type: None,
            etag: None,
        }))
    }

    fn tag(size: u64) -> ContentTag {
        ContentTag {
            size: Some(size),
            stamp: None,
            revision: 0,
        }
    }

    #[test]
    fn the_number_is_the_same_for_ever() {
        // Written down once: a change here would give every file of every user another inode number.
        let identity = Identity::File(MountEntry::WHOLE, DocumentId(Guid::from_bytes([7; 16])), tag(5));
        assert_eq!(number(&identity, 0), InodeNo(7_049_817_991_219_145_603));
    }

    #[test]
    fn a_new_version_is_a_new_inode() {
        let table = InodeTable::default();
        let old = table.resolve(ROOT_DIRECTORY, Target::File(document(1), tag(1)));
        let new = table.resolve(ROOT_DIRECTORY, Target::File(document(1), tag(2)));
        assert_ne!(old.ino, new.ino);
    }

    #[test]
    fn an_inode_lives_until_its_last_reference_is_forgotten() {
        let table = InodeTable::default();
        let inode = table.resolve(ROOT_DIRECTORY, Target::File(document(1), tag(1)));
        table.remember(&inode);
        table.remember(&inode);
        table.forget(inode.ino, 1);
        assert!(table.get(inode.ino).is_some());
        table.forget(inode.ino, 1);
        assert!(table.get(inode.ino).is_none());
        assert!(table.is_empty());
    }

    #[test]
    fn two_inodes_of_one_number_are_told_apart() {
        let table = InodeTable::default();
        let first = table.resolve(ROOT_DIRECTORY, Target::File(document(1), tag(1)));
        let second = document(2);
        // Plays a clash: another identity sits on the number of the second one.
        let clash = table
            .resolve(ROOT_DIRECTORY, Target::File(second.clone(), tag(1)))
            .ino;
        let squatter = Arc::new(Inode {
            ino: clash,
            ..(*first).clone()
        });
        table.remember(&squatter);
        let moved = table.resolve(ROOT_DIRECTORY, Target::File(second.clone(), tag(1)));
        assert_ne!(moved.ino, clash);
        table.forget(clash, 1);
        let again = table.resolve(ROOT_DIRECTORY, Target::File(second, tag(1)));
        assert_eq!(again.ino, moved.ino, "the salt is remembered");
    }
}
