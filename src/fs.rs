//! The file system without FUSE: lookup, getattr, readdirplus, read, xattrs, statfs.
//!
//! There are no handles: an answer is a function of (inode, arguments), so everything here can be driven from a test
//! without a mount. Each method waits at most for the deadlines of the tree and of the reader.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::catalog::attributes::KeptAttributes;
use crate::content::{ContentError, ContentKey, Reader};
use crate::model::{ContentTag, DirId, Document, DocumentId, Entry, ObjectId, Timestamp};
use crate::remote::RemoteError;
use crate::store::listing::{DOT_DOT_SLOT, DOT_SLOT, DirCookie, Listing, Row};
use crate::tree::inodes::{Directory, Inode, InodeNo, ROOT, Target, Version};
use crate::tree::{Listed, Tree, TreeError};

pub mod activity;
mod ahead;
mod caller;
pub mod catalog;
mod environment;
pub mod error;
pub mod login;
mod neighbours;
mod orders;
pub mod policy;
mod read;
mod xattr;

pub use caller::Caller;

use activity::{Activity, Meter};
use ahead::Finished;
use error::FsError;
use login::Login;
use neighbours::{Ends, Neighbours};
use orders::Orders;
use policy::CallerPolicy;

/// The longest name of an entry, in bytes.
pub const NAME_MAX: usize = 255;

/// The unit of `st_blocks`, fixed by POSIX's tools.
const BLOCK: u64 = 512;

/// How files and directories appear.
#[derive(Debug, Clone)]
pub struct Appearance {
    /// Owner of everything.
    pub uid: u32,
    /// Group of everything.
    pub gid: u32,
    /// Permission bits of files.
    pub file_mode: u16,
    /// Permission bits of directories.
    pub dir_mode: u16,
    /// `server:datasource`, for links.
    pub location: String,
}

/// A file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A document's file.
    File,
    /// A folder.
    Directory,
}

/// What `stat` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The inode number.
    pub ino: InodeNo,
    /// File or directory.
    pub kind: Kind,
    /// Length in bytes; 0 for directories.
    pub size: u64,
    /// Length in units of 512 bytes.
    pub blocks: u64,
    /// When the bytes, or the listing, last changed.
    pub mtime: Timestamp,
    /// When anything of it last changed.
    pub ctime: Timestamp,
    /// Permission bits.
    pub mode: u16,
    /// 1, for directories too: the number of their subdirectories is nobody's business.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The answer to a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The entry, and how long name and attributes may be kept. Counts as one reference.
    Found(Attr, Duration),
    /// The proved listing has no such name, and that may be kept as long.
    Absent(Duration),
}

/// One entry of a directory as it is read.
#[derive(Debug, Clone, Copy)]
pub struct DirEntry<'a> {
    /// What to go on from after this entry.
    pub cookie: DirCookie,
    /// The name.
    pub name: &'a str,
    /// Its attributes.
    pub attr: Attr,
    /// How long name and attributes may be kept. `None`: not at all, they are to be looked up before they are used.
    /// Counts as one reference in either case, except for `.` and `..`.
    pub ttl: Option<Duration>,
}

/// The numbers of `statfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatFs {
    /// Units of [`StatFs::block`] known to exist.
    pub blocks: u64,
    /// Entries known to exist.
    pub files: u64,
    /// The unit, in bytes.
    pub block: u32,
}

/// The file system; cheap to clone.
#[derive(Clone)]
pub struct Filesystem(Arc<Inner>);

struct Inner {
    tree: Tree,
    reader: Reader,
    appearance: Appearance,
    /// The server part of content keys.
    server: Arc<str>,
    /// The account part of content keys: no account ever sees bytes another one fetched.
    account: Arc<str>,
    deadline: Duration,
    login: Option<Login>,
    /// Which programs may have documents fetched.
    policy: CallerPolicy,
    meter: Meter,
    /// How far documents were read; its own lock, for every read takes it.
    ends: Mutex<Ends>,
    neighbours: Mutex<Neighbours>,
    /// What was read to its end, and is to be told to them.
    finished: Mutex<VecDeque<Finished>>,
    /// Listings in the orders programs read them in.
    orders: Orders,
}

/// The kernel's word for a name it may keep only a moment: attributes that were answered without a fresh listing.
const UNCERTAIN_TTL: Duration = Duration::from_secs(1);

impl Filesystem {
    /// The file system over `tree` and `reader`; `deadline` bounds single requests made on a caller's behalf. Its root
    /// tells of `login`.
    pub fn new(
        tree: Tree,
        reader: Reader,
        appearance: Appearance,
        account: &str,
        deadline: Duration,
        login: Option<Login>,
    ) -> Self {
        let policy = CallerPolicy::default();
        Self::with_policy(tree, reader, appearance, account, deadline, login, policy)
    }

    /// As [`Filesystem::new`], where some programs may have nothing fetched.
    pub fn with_policy(
        tree: Tree,
        reader: Reader,
        appearance: Appearance,
        account: &str,
        deadline: Duration,
        login: Option<Login>,
        policy: CallerPolicy,
    ) -> Self {
        let server = tree.remote().name().into();
        Self(Arc::new(Inner {
            tree,
            reader,
            appearance,
            server,
            account: account.into(),
            deadline,
            login,
            policy,
            meter: Meter::default(),
            ends: Mutex::default(),
            neighbours: Mutex::default(),
            finished: Mutex::default(),
            orders: Orders::default(),
        }))
    }

    /// The tree below.
    pub fn tree(&self) -> &Tree {
        &self.0.tree
    }

    /// The reader below.
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// The account the caches are kept under.
    pub fn account(&self) -> &str {
        &self.0.account
    }

    /// Finds `name` in the directory `parent`.
    pub async fn lookup(&self, parent: InodeNo, name: &OsStr) -> Result<Lookup, FsError> {
        let parent = self.inode(parent)?;
        if name.len() > NAME_MAX {
            return Err(FsError::NameTooLong);
        }
        let (directory, listed) = self.list(&parent).await?;
        let listing = &listed.stored.listing;
        // Every name is UTF-8, so one that is not is in no listing.
        let Some(row) = name.to_str().and_then(|name| listing.get(name)) else {
            return Ok(Lookup::Absent(listed.ttl));
        };
        let row = &Row {
            tag: self.0.tree.tag(row),
            ..row.clone()
        };
        let inode = match (&*row.entry, row.tag) {
            (Entry::Document(document), Some(tag)) if tag.size.is_none() => {
                self.measured(directory, row, document, tag).await?
            }
            (Entry::Document(_) | Entry::Folder(_), _) => self.0.tree.resolve(directory, row),
        };
        self.0.tree.inodes().remember(&inode);
        Ok(Lookup::Found(self.attr(&inode), listed.ttl))
    }

    /// Takes back `count` references to an inode.
    pub fn forget(&self, ino: InodeNo, count: u64) {
        self.0.tree.forget(ino, count);
    }

    /// The attributes of an inode, and how long they may be kept. Never asks the server.
    pub fn getattr(&self, ino: InodeNo) -> Result<(Attr, Duration), FsError> {
        let inode = self.inode(ino)?;
        let source = match &inode.target {
            Target::Directory(directory, _) => *directory,
            Target::File(..) => inode.parent,
        };
        Ok((
            self.attr(&inode),
            self.0.tree.freshness(source).unwrap_or(UNCERTAIN_TTL),
        ))
    }

    /// Reads the directory `ino` from `cookie` on, giving each entry to `take` until that says "full" (true).
    pub async fn readdirplus(
        &self,
        ino: InodeNo,
        cookie: DirCookie,
        take: &mut (dyn FnMut(DirEntry<'_>) -> bool + Send),
    ) -> Result<(), FsError> {
        let inode = self.inode(ino)?;
        let begins = cookie.slot < DOT_SLOT;
        let reading = match inode.target {
            Target::Directory(directory, _) if begins => {
                Some(self.0.tree.reading(inode.parent.id, directory.id))
            }
            Target::Directory(..) | Target::File(..) => None,
        };
        let (directory, listed) = self.list(&inode).await?;
        drop(reading);
        let listing = listed.stored.generation(cookie.generation);
        let current = listing.generation == listed.stored.listing.generation;
        self.0.tree.note_given(ino, directory, &listed);
        self.give(
            &inode,
            directory,
            listing,
            cookie,
            current.then_some(listed.ttl),
            take,
        );
        Ok(())
    }

    /// What it did and does with documents.
    pub async fn activity(&self) -> Activity {
        let (tally, refused) = (self.0.neighbours.lock().tally(), self.0.policy.refused());
        let mut activity = self.0.meter.activity(&self.0.reader.stats(), tally, refused);
        if let Some(longest) = self.0.meter.longest() {
            activity.longest_wait = Some(longest.told(self.name(&longest.inode).await));
        }
        activity
    }

    /// The value of an extended attribute, from what is held.
    pub async fn getxattr(&self, ino: InodeNo, name: &OsStr) -> Result<Vec<u8>, FsError> {
        if let Some(wanted) = environment::Wanted::parse(name) {
            let inode = self.inode(ino)?;
            let kept = self.attributes(self.0.tree.entry(&inode).await.as_deref()).await;
            let value = kept.and_then(|kept| environment::value(&kept, &wanted));
            return value.ok_or(FsError::NoAttribute);
        }
        let attribute = xattr::Attribute::parse(name).ok_or(FsError::NoAttribute)?;
        let inode = self.inode(ino)?;
        if attribute == xattr::Attribute::Activity && ino == ROOT {
            // Numbers and texts can always be written.
            return Ok(serde_json::to_vec(&self.activity().await).unwrap_or_default());
        }
        let entry = self.0.tree.entry(&inode).await;
        xattr::value(&self.sources(entry.as_deref()), &inode, attribute).ok_or(FsError::NoAttribute)
    }

    /// The names of all extended attributes of an inode, each ended by NUL.
    pub async fn listxattr(&self, ino: InodeNo) -> Result<Vec<u8>, FsError> {
        let inode = self.inode(ino)?;
        let entry = self.0.tree.entry(&inode).await;
        let mut names = xattr::names(&self.sources(entry.as_deref()), &inode);
        if let Some(kept) = self.attributes(entry.as_deref()).await {
            names.extend(environment::names(&kept));
        }
        Ok(names)
    }

    /// The attributes of the environment of a document, where they are known.
    async fn attributes(&self, entry: Option<&Entry>) -> Option<KeptAttributes> {
        match entry? {
            Entry::Document(document) => self.0.tree.attributes(document).await,
            Entry::Folder(_) => None,
        }
    }

    /// Forgets what failed a moment ago, so that the next call asks again: what was missing then has come.
    pub fn forget_failures(&self) {
        self.0.tree.forget_failures();
        self.0.reader.forget_failures();
    }

    /// True for a failure that the state of the login explains: it was told once, and needs no word each time.
    pub fn is_explained(&self, error: &FsError) -> bool {
        matches!(error, FsError::LoginRequired(_))
            && self.0.login.as_ref().is_some_and(|login| !login.is_good())
    }

    /// The numbers of `statfs`: what is known to exist, nothing free. Never asks the server.
    pub fn statfs(&self) -> StatFs {
        let (bytes, files) = self.0.tree.totals();
        // At least one, or `df` takes the mount for a pseudo file system and leaves it out.
        StatFs {
            blocks: bytes.div_ceil(BLOCK).max(1),
            files: files.max(1),
            block: 512,
        }
    }

    fn sources<'a>(&'a self, entry: Option<&'a Entry>) -> xattr::Sources<'a> {
        xattr::Sources {
            fs: self,
            tree: &self.0.tree,
            entry,
            location: &self.0.appearance.location,
            login: self.0.login.as_ref(),
        }
    }

    /// The SHA-256 of a version's bytes in hexadecimal, where it was computed.
    fn sha256(&self, version: Version) -> Option<String> {
        let hash = self.0.reader.sha256(&self.key(version.id, version.tag))?;
        let hex = |text: String, byte: &u8| format!("{text}{byte:02x}");
        Some(hash.iter().fold(String::new(), hex))
    }

    /// What to call an inode in a message: the entry's name where that is known, else its id.
    async fn name(&self, inode: &Inode) -> String {
        match self.0.tree.entry(inode).await.as_deref() {
            Some(Entry::Document(document)) => document.name.clone(),
            Some(Entry::Folder(folder)) => folder.name.clone(),
            None => inode
                .object()
                .map_or_else(|| "the root".to_owned(), |id| id.guid().to_string()),
        }
    }

    fn inode(&self, ino: InodeNo) -> Result<Inode, FsError> {
        // The kernel asks only about what it holds; anything else is from before a restart.
        self.0
            .tree
            .inodes()
            .get(ino)
            .ok_or_else(|| FsError::Stale("the inode is not known".to_owned()))
    }

    async fn list(&self, inode: &Inode) -> Result<(Directory, Listed), FsError> {
        let Target::Directory(directory, _) = inode.target else {
            return Err(FsError::NotDirectory);
        };
        match self.0.tree.list(directory).await {
            Ok(listed) => Ok((directory, listed)),
            Err(TreeError::Remote(refusal @ RemoteError::NotFound { .. })) => {
                let DirId::Folder(folder) = directory.id else {
                    return Err(refusal.into());
                };
                if inode.ino == ROOT {
                    return Err(refusal.into());
                }
                Err(self
                    .not_found(inode.parent, ObjectId::Folder(folder), refusal)
                    .await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What it means that the server does not find `object` of `parent`: a refusal while it is still listed, else it
    /// has gone.
    async fn not_found(&self, parent: Directory, object: ObjectId, refusal: RemoteError) -> FsError {
        // Repeats are answered by what the first one found.
        if let Some(refusal) = self.0.tree.refusal(object) {
            return refusal.into();
        }
        match self.0.tree.is_listed(parent, object).await {
            Ok(true) => {
                self.0.tree.refuse(object, refusal.clone()).await;
                refusal.into()
            }
            Ok(false) => TreeError::Gone.into(),
            Err(error) => error.into(),
        }
    }

    /// Gives the entries of `listing` after `cookie`. `ttl` is absent for a generation that has passed: its names may
    /// lead elsewhere by now, so the kernel must ask before it uses them.
    fn give(
        &self,
        inode: &Inode,
        directory: Directory,
        listing: &Listing,
        cookie: DirCookie,
        ttl: Option<Duration>,
        take: &mut (dyn FnMut(DirEntry<'_>) -> bool + Send),
    ) {
        let at = |slot| DirCookie {
            generation: Some(listing.generation),
            slot,
        };
        let parent = self.0.tree.directory_inode(inode.parent);
        for (slot, name, inode) in [(DOT_SLOT, ".", inode), (DOT_DOT_SLOT, "..", &parent)] {
            let entry = DirEntry {
                cookie: at(slot),
                name,
                attr: self.attr(inode),
                ttl: None,
            };
            if cookie.slot < slot && take(entry) {
                return;
            }
        }
        for row in listing.rows_after(cookie.slot) {
            let row = &Row {
                tag: self.0.tree.tag(row),
                ..row.clone()
            };
            let child = self.0.tree.resolve(directory, row);
            // An unknown length must be learnt by a lookup before anyone sees it.
            let ttl = ttl.filter(|_| row.tag.is_none_or(|tag| tag.size.is_some()));
            let entry = DirEntry {
                cookie: at(row.slot),
                name: row.name.as_str(),
                attr: self.attr(&child),
                ttl,
            };
            if take(entry) {
                return;
            }
            self.0.tree.inodes().remember(&child);
        }
    }

    /// The inode of a document whose listing states no length, after learning it.
    async fn measured(
        &self,
        directory: Directory,
        row: &Row,
        document: &Document,
        tag: ContentTag,
    ) -> Result<Inode, FsError> {
        let id = ObjectId::Document(document.id);
        // No length is better than a wrong one: as a file of no bytes it would be read as empty, without a question.
        if let Some(refusal) = self.0.tree.refusal(id) {
            return Err(refusal.into());
        }
        let key = self.key(document.id, tag);
        let measured = tokio::time::timeout(self.0.deadline, self.0.reader.measure(&key))
            .await
            .map_err(|_| FsError::TimedOut("the length did not arrive in time".to_owned()))?;
        let size = match measured {
            Ok(size) => size,
            Err(ContentError::Remote(refusal @ RemoteError::Denied { .. })) => {
                self.0.tree.refuse(id, refusal.clone()).await;
                return Err(refusal.into());
            }
            Err(ContentError::Remote(refusal @ RemoteError::NotFound { .. })) => {
                return Err(self.not_found(directory, id, refusal).await);
            }
            Err(error @ ContentError::ReplacedInPlace { .. }) => {
                // The next lookup measures the new file under a name of its own.
                let revision = tag.revision + 1;
                self.0.tree.learn(document, ContentTag { revision, ..tag }).await;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.0.tree.grant(id).await;
        let actual = ContentTag {
            size: Some(size),
            ..tag
        };
        self.0.tree.learn(document, actual).await;
        let row = Row {
            tag: Some(actual),
            ..row.clone()
        };
        Ok(self.0.tree.resolve(directory, &row))
    }

    fn key(&self, document: DocumentId, tag: ContentTag) -> ContentKey {
        ContentKey {
            server: self.0.server.clone(),
            account: self.0.account.clone(),
            document,
            tag,
        }
    }

    fn attr(&self, inode: &Inode) -> Attr {
        let look = &self.0.appearance;
        let mut attr = Attr {
            ino: inode.ino,
            kind: Kind::Directory,
            size: 0,
            blocks: 0,
            mtime: Timestamp::UNIX_EPOCH,
            ctime: Timestamp::UNIX_EPOCH,
            mode: look.dir_mode,
            nlink: 1,
            uid: look.uid,
            gid: look.gid,
        };
        match inode.version() {
            Some(version) => {
                attr.kind = Kind::File;
                attr.size = version.tag.size.unwrap_or(0);
                attr.blocks = attr.size.div_ceil(BLOCK);
                attr.mode = look.file_mode;
                attr.mtime = version.mtime;
                attr.ctime = version.ctime;
            }
            None => {
                attr.mtime = self.0.tree.mtime(inode);
                attr.ctime = attr.mtime;
            }
        }
        attr
    }
}
