//! The vocabulary every layer shares: ids, folders, documents, versions, ranges.
//!
//! Plain data without I/O. Wire shapes (JSON, SQL, FUSE structures) stay in the files that speak them
//! and are converted to these types at the edge.

use std::fmt;
use std::str::FromStr;

pub use jiff::Timestamp;

/// The identity of a folder or document: stable across renames and moves.
///
/// Displayed lower-case and without braces, as WSG writes instance ids (projectwise-api 1.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(uuid::Uuid);

/// The text is not a GUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a GUID")]
pub struct InvalidGuid(String);

impl Guid {
    /// The GUID made of these bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// The bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The first `digits` (at most 32) hexadecimal digits, lower-case; what name suffixes are made of.
    pub fn hex_prefix(&self, digits: usize) -> String {
        let mut hex = self.0.simple().to_string();
        hex.truncate(digits);
        hex
    }
}

impl FromStr for Guid {
    type Err = InvalidGuid;

    /// Accepts any case, with or without braces and hyphens.
    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        let bare = text.trim().trim_start_matches('{').trim_end_matches('}');
        uuid::Uuid::try_parse(bare)
            .map(Self)
            .map_err(|_| InvalidGuid(text.to_owned()))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The id of a folder (a ProjectWise *Project*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderId(pub Guid);

/// The id of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(pub Guid);

impl fmt::Display for FolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a folder or a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// A folder.
    Folder(FolderId),
    /// A document.
    Document(DocumentId),
}

impl ObjectId {
    /// The GUID alone. A folder and a document never share one, but nothing here relies on it.
    pub const fn guid(&self) -> Guid {
        match self {
            Self::Folder(FolderId(guid)) | Self::Document(DocumentId(guid)) => *guid,
        }
    }
}

/// What a directory shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DirId {
    /// The chosen folders, or the datasource's root folders.
    Root,
    /// One folder's children.
    Folder(FolderId),
}

/// One ProjectWise datasource (WSG *repository*) of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datasource {
    /// The repository id exactly as the server gave it, tilde-encoded (`Bentley.PW--host~3Ads`).
    pub id: String,
    /// The plug-in that serves it (`Bentley.PW`); others are not ProjectWise.
    pub plugin: String,
    /// `server:datasource`, decoded.
    pub location: String,
    /// What people call it.
    pub label: String,
    /// Free text, often empty.
    pub description: String,
}

/// A folder or work area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its identity.
    pub id: FolderId,
    /// The folder it is in; `None` for a root folder or where the server does not say.
    pub parent: Option<FolderId>,
    /// The raw name, any characters.
    pub name: String,
    /// Free text, often empty.
    pub description: String,
    /// True for a work area (*rich project*).
    pub work_area: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its own properties last changed; says nothing of its children.
    pub updated: Option<Timestamp>,
    /// The server's tag of this instance.
    pub etag: Option<String>,
}

/// What a document is, as far as a file system cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// It has a file.
    File,
    /// A container of properties without a file (*abstract* document).
    Placeholder,
    /// A logical or flat set of other documents.
    Set,
}

/// One document, in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its identity. Whether a new version keeps it differs between servers.
    pub id: DocumentId,
    /// The folder it is in.
    pub folder: Option<FolderId>,
    /// The document name, any characters.
    pub name: String,
    /// The raw file name; `None` for a document without a file.
    pub file_name: Option<String>,
    /// Free text, often empty.
    pub description: String,
    /// The version's label, often empty.
    pub version: String,
    /// False for a superseded version. Absent on the wire means true.
    pub active: bool,
    /// What it is.
    pub kind: DocumentKind,
    /// Length of the file in bytes, where the listing states one.
    pub size: Option<u64>,
    /// When the file was last replaced.
    pub file_updated: Option<Timestamp>,
    /// When any property last changed.
    pub updated: Option<Timestamp>,
    /// When the document was made.
    pub created: Option<Timestamp>,
    /// Workflow state, where the server has one.
    pub state: Option<String>,
    /// MIME type, where the server has one.
    pub mime_type: Option<String>,
    /// The server's tag of this instance: moves with any property, so it never stands for the bytes.
    pub etag: Option<String>,
}

/// One sheet of the attributes that a document's environment gives it. A document has one as a rule, and may have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeSheet {
    /// The name of the environment; empty where the server does not tell it.
    pub environment: String,
    /// In the order of the server. What has no value is left out.
    pub attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, as people know it.
    pub name: String,
    /// Its value as text, as the server wrote it; numbers and truths in JSON's spelling. May be empty.
    pub value: String,
}

/// A row of a folder's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A child folder.
    Folder(Folder),
    /// A document in the folder.
    Document(Document),
}

impl Entry {
    /// The row's identity.
    pub const fn id(&self) -> ObjectId {
        match self {
            Self::Folder(folder) => ObjectId::Folder(folder.id),
            Self::Document(document) => ObjectId::Document(document.id),
        }
    }

    /// The folder the row says it is in.
    pub const fn parent(&self) -> Option<FolderId> {
        match self {
            Self::Folder(folder) => folder.parent,
            Self::Document(document) => document.folder,
        }
    }
}

/// Tells two contents of one document apart: the raw (FileSize, FileUpdateTime) of its listing.
///
/// Nothing else enters it: an attribute edit must not look like new bytes. `revision` counts what the listing
/// did not tell: a file replaced under an unchanged tag, or a length that was delivered and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentTag {
    /// FileSize as listed, in bytes.
    pub size: Option<u64>,
    /// FileUpdateTime, or UpdateTime where the server has none.
    pub stamp: Option<Timestamp>,
    /// Starts at 0; raised by what only a download could tell.
    pub revision: u32,
}

impl Document {
    /// The content tag the listing implies, with this revision.
    pub fn content_tag(&self, revision: u32) -> ContentTag {
        ContentTag {
            // Many servers say 0 where they do not know. It costs one question for each file that is really empty, and
            // believing it would read as nothing whatever the file holds.
            size: self.size.filter(|size| *size > 0),
            stamp: self.file_updated.or(self.updated),
            revision,
        }
    }
}

impl fmt::Display for ContentTag {
    /// A canonical text: cache keys and inode numbers are made from it, so it never changes meaning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            Some(size) => write!(f, "{size}")?,
            None => f.write_str("-")?,
        }
        match self.stamp {
            Some(stamp) => write!(f, "@{}", stamp.as_nanosecond())?,
            None => f.write_str("@-")?,
        }
        write!(f, "#{}", self.revision)
    }
}

/// A half-open range of bytes: `start..end`, or from `start` to the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte; `None` for the end of the file.
    pub end: Option<u64>,
}
