//! The inode table: stable numbers, and what the kernel holds references to.
//!
//! A number follows from identity alone, so it is the same after a remount, a rename, a move and on another machine:
//! a directory from (mount entry, GUID), a file from (mount entry, GUID, content tag). A file's inode therefore is
//! one *version* of a document: new bytes are a new inode under the same name, as if replaced by a rename.
//!
//! After one `find` the kernel holds every inode there is, so an inode is kept as the few bytes that `getattr` and `read`
//! need (`shard`); names and texts stay in the listings.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::model::{ContentTag, DirId, Document, DocumentId, FolderId, Guid, ObjectId, Timestamp};

mod places;
mod shard;

use places::{Place, Places};
use shard::{Held, Shard};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A directory, and the mtime it has until it is listed; `None` where nobody told, as of the root.
    Directory(Directory, Option<Timestamp>),
    /// One version of a document.
    File(Version),
}

/// One version of a document, as far as a file system cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The document.
    pub id: DocumentId,
    /// Which of its contents.
    pub tag: ContentTag,
    /// When the bytes last changed.
    pub mtime: Timestamp,
    /// When anything of the document last changed.
    pub ctime: Timestamp,
}

impl Version {
    /// The content `tag` of `document`.
    pub fn new(document: &Document, tag: ContentTag) -> Self {
        let mtime = tag.stamp.or(document.created).unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            id: document.id,
            tag,
            mtime,
            ctime: document.updated.unwrap_or(mtime),
        }
    }
}

/// One inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl fmt::Display for Identity {
    /// A canonical text: inode numbers are made from it, and salts kept by it, so it never changes meaning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Directory(MountEntry(mount), folder) => write!(f, "d1 {mount} {folder}"),
            Self::File(MountEntry(mount), document, tag) => write!(f, "f1 {mount} {document} {tag}"),
        }
    }
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

    /// The version of a document it is, if it is a file.
    pub const fn version(&self) -> Option<&Version> {
        match &self.target {
            Target::File(version) => Some(version),
            Target::Directory(..) => None,
        }
    }

    /// The folder or document; `None` for the root.
    pub const fn object(&self) -> Option<ObjectId> {
        match self.target {
            Target::File(version) => Some(ObjectId::Document(version.id)),
            Target::Directory(directory, _) => match directory.id {
                DirId::Folder(folder) => Some(ObjectId::Folder(folder)),
                DirId::Root => None,
            },
        }
    }

    /// The mtime of a directory until it is listed; `None` where nobody told, and for a file.
    pub const fn unlisted_mtime(&self) -> Option<Timestamp> {
        match self.target {
            Target::Directory(_, mtime) => mtime,
            Target::File(_) => None,
        }
    }

    fn identity(&self) -> Identity {
        match self.target {
            Target::Directory(directory, _) => match directory.id {
                DirId::Root => Identity::Root,
                DirId::Folder(folder) => Identity::Directory(directory.mount, folder),
            },
            Target::File(version) => Identity::File(self.parent.mount, version.id, version.tag),
        }
    }

    fn place(&self) -> Place {
        Place {
            parent: self.parent,
            mount: match self.target {
                Target::Directory(directory, _) => directory.mount,
                Target::File(_) => self.parent.mount,
            },
        }
    }
}

/// How many parts the table has: enough that one of them never takes long to grow, and that the session threads rarely
/// meet.
const SHARDS: usize = 256;

/// So many inodes are a megabyte here, and as a rule more in listings.
const MANY: u64 = 10_000;

/// All inodes the kernel may ask about.
pub struct InodeTable {
    /// Locked before `places`.
    shards: Box<[Mutex<Shard>]>,
    places: Mutex<Places>,
    /// Identities, as text, that lost their first number to another one. A clash of 63-bit hashes is not to be expected
    /// in the life of the product; two live inodes of one number would mix their bytes, so it is ruled out all the same.
    salts: Mutex<HashMap<String, u32>>,
    /// Told of every new salt.
    keeper: OnceLock<SaltKeeper>,
    /// References given back that were never counted.
    overdrawn: AtomicU64,
    /// Inodes forgotten so far.
    forgotten: AtomicU64,
    many_forgotten: Notify,
    number: fn(&str, u32) -> InodeNo,
}

type SaltKeeper = Box<dyn Fn(&str, u32) + Send + Sync>;

impl Default for InodeTable {
    fn default() -> Self {
        Self::with_salts(Vec::new())
    }
}

impl InodeTable {
    /// An empty table that knows these salts from an earlier one.
    pub fn with_salts(salts: Vec<(String, u32)>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            places: Mutex::default(),
            salts: Mutex::new(salts.into_iter().collect()),
            keeper: OnceLock::new(),
            overdrawn: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            many_forgotten: Notify::new(),
            number,
        }
    }

    /// The identities that lost their first number to another one, and what each is salted with.
    pub fn salts(&self) -> Vec<(String, u32)> {
        let salts = self.salts.lock();
        salts
            .iter()
            .map(|(identity, &salt)| (identity.clone(), salt))
            .collect()
    }

    /// Has `keep` told of every salt found from now on, so that a later table gives the same numbers. It must not block.
    /// Only the first one is heard.
    pub fn keep_salts(&self, keep: impl Fn(&str, u32) + Send + Sync + 'static) {
        // One that is there already stays.
        let _ = self.keeper.set(Box::new(keep));
    }

    /// The inode of this target below `parent`, with the number that is its own.
    pub fn resolve(&self, parent: Directory, target: Target) -> Inode {
        let mut inode = Inode {
            ino: ROOT,
            parent,
            target,
        };
        let identity = inode.identity();
        if identity == Identity::Root {
            return inode;
        }
        let text = identity.to_string();
        let known = self.salts.lock().get(&text).copied().unwrap_or(0);
        let mut salt = known;
        loop {
            inode.ino = (self.number)(&text, salt);
            match self.get(inode.ino) {
                Some(held) if held.identity() != identity => salt += 1,
                Some(_) | None => break,
            }
        }
        if salt > known {
            tracing::warn!(%text, salt, "two inodes would have had one number");
            if let Some(keep) = self.keeper.get() {
                keep(&text, salt);
            }
            self.salts.lock().insert(text, salt);
        }
        inode
    }

    /// Counts one more reference the kernel has to `inode`, and keeps its newest attributes.
    pub fn remember(&self, inode: &Inode) {
        if inode.ino == ROOT {
            return;
        }
        let mut shard = self.shard(inode.ino);
        match shard.get_mut(inode.ino) {
            Some(held) => {
                held.lookups = held.lookups.saturating_add(1);
                self.renew(held, inode);
            }
            None => {
                let place = self.places.lock().take(inode.place());
                shard.insert(Held::new(inode, place, 1));
            }
        }
    }

    /// Takes back `count` references. Returns the inode if that was the last one.
    pub fn forget(&self, ino: InodeNo, count: u64) -> Option<Inode> {
        if ino == ROOT {
            return None;
        }
        let mut shard = self.shard(ino);
        let Some(held) = shard.get_mut(ino) else {
            self.overdrawn.fetch_add(count, Ordering::Relaxed);
            return None;
        };
        if held.lookups == u32::MAX {
            return None;
        }
        let left = u64::from(held.lookups).checked_sub(count);
        match left.and_then(|left| u32::try_from(left).ok()) {
            Some(left) if left > 0 => {
                held.lookups = left;
                None
            }
            _ => {
                let over = count.saturating_sub(u64::from(held.lookups));
                self.overdrawn.fetch_add(over, Ordering::Relaxed);
                let held = shard.remove(ino)?;
                let mut places = self.places.lock();
                let inode = held.inode(places.get(held.place));
                places.give_back(held.place);
                if (self.forgotten.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(MANY) {
                    self.many_forgotten.notify_one();
                }
                Some(inode)
            }
        }
    }

    /// References the kernel gave back and nobody had counted. More than none means that an inode may be forgotten
    /// here while the kernel still holds it.
    pub fn overdrawn(&self) -> u64 {
        self.overdrawn.load(Ordering::Relaxed)
    }

    /// How many inodes were forgotten so far.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Waits until ten thousand more inodes were forgotten: memory is worth giving back then.
    pub async fn many_forgotten(&self) {
        self.many_forgotten.notified().await;
    }

    /// The inode of this number, if the kernel may still ask about it.
    pub fn get(&self, ino: InodeNo) -> Option<Inode> {
        if ino == ROOT {
            return Some(Inode::root());
        }
        let shard = self.shard(ino);
        let held = shard.get(ino)?;
        Some(held.inode(self.places.lock().get(held.place)))
    }

    /// True if the kernel may hold something of this inode.
    pub fn holds(&self, ino: InodeNo) -> bool {
        ino == ROOT || self.shard(ino).get(ino).is_some()
    }

    /// Gives an inode the kernel holds its newest attributes; the identity stays.
    pub fn update(&self, inode: &Inode) {
        if let Some(held) = self.shard(inode.ino).get_mut(inode.ino) {
            self.renew(held, inode);
        }
    }

    fn renew(&self, held: &mut Held, inode: &Inode) {
        let mut places = self.places.lock();
        let mut place = held.place;
        if places.get(place) != inode.place() {
            place = places.take(inode.place());
            places.give_back(held.place);
        }
        *held = Held::new(inode, place, held.lookups);
    }

    /// How many inodes the kernel holds, the root not counted.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// True if the kernel holds nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory the table takes now.
    pub fn bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.lock().bytes()).sum();
        shards + self.places.lock().bytes()
    }

    fn shard(&self, ino: InodeNo) -> MutexGuard<'_, Shard> {
        // Bits that the index of a part makes no use of, so that its own stay as good as random.
        self.shards[(ino.0 >> 40) as usize % SHARDS].lock()
    }
}

/// The first 63 bits of a SHA-256 over a canonical text; what other machines must agree on.
fn number(identity: &str, salt: u32) -> InodeNo {
    let digest = Sha256::digest(format!("{identity} {salt}"));
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest[..8]);
    // 0 means "no inode" to the kernel and 1 is the root; both give way.
    InodeNo((u64::from_be_bytes(first) >> 1).max(2))
}

#[cfg(test)]
mod tests;
