//! The bytes of documents: cached on disk, fetched once, never of two versions in one answer.
//!
//! [`Reader`] is the way in. What is on disk is the business of [`ContentCache`]; one document on its way is a
//! `Download`, which belongs to nobody who waits for it. Whole documents are fetched, front to back; readers are
//! served as soon as their range has arrived.
//!
//! ```text
//! <cache>/CACHEDIR.TAG
//! <cache>/content-v2/ab/<sha-256 of the key>.data   the bytes, with holes
//! <cache>/content-v2/ab/<sha-256 of the key>.map    what they must be; an entry exists when its map does
//! <cache>/tmp-v1/<pid>-<number>.part                on its way, locked by the process that writes it
//! <cache>/tmp-v1/<sha-256 of the key>.lock          held by the process that fills this entry
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::model::{ContentTag, DocumentId};
use crate::remote::RemoteError;

mod ahead;
mod cache;
mod download;
#[cfg(test)]
mod fake;
mod fetch;
mod hash;
mod measure;
mod patience;
mod reader;
mod sink;
mod standing;
mod table;
mod uncached;

pub use ahead::Ahead;
pub use cache::care::{self, CacheCare, Held};
pub use cache::{CacheOptions, ContentCache, Digests, Pin};
pub use reader::{FetchPolicy, LongestWait, ReadRequest, Reader, ReaderOptions, ReaderStats};

/// Names the bytes of one version of one document, as one account of one server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentKey {
    /// [`crate::remote::Remote::name`]: server and datasource.
    pub server: Arc<str>,
    /// [`crate::remote::Remote::account`]: no two accounts share cached bytes.
    pub account: Arc<str>,
    /// The document.
    pub document: DocumentId,
    /// Which of its contents.
    pub tag: ContentTag,
}

impl ContentKey {
    /// The one text that stands for this key on disk, in file names (hashed) and in map files.
    ///
    /// Lengths stand before the texts a server chose, so that no two keys have one text.
    fn canonical(&self) -> String {
        canonical(&self.server, &self.account, self.document, &self.tag)
    }
}

/// See [`ContentKey::canonical`].
fn canonical(server: &str, account: &str, document: DocumentId, tag: &dyn fmt::Display) -> String {
    format!(
        "pwfs content 1\nserver {} {server}\naccount {} {account}\ndocument {document}\ntag {tag}\n",
        server.len(),
        account.len(),
    )
}

impl fmt::Display for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {} at {}", self.document, self.tag)
    }
}

/// Why bytes cannot be had.
///
/// `Clone` because one download has many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ContentError {
    /// The server, or the way to it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Nothing arrived for as long as the caller may wait. The fetch goes on; a later read joins it.
    #[error("the document did not arrive in time")]
    TimedOut,
    /// The file has another length than the listing says: its inode must not be served any more.
    ///
    /// The bytes are kept for a minute, for the key that [`Reader::adopt`] names.
    #[error("the listing says {listed} bytes, the server has {delivered}")]
    LengthDiffers {
        /// What the caller was told, in bytes.
        listed: u64,
        /// What the server delivered, or announced, in bytes.
        delivered: u64,
        /// The tag of what was delivered.
        etag: Option<Arc<str>>,
    },
    /// The file was replaced although its listing did not change: the old bytes can no longer be had.
    #[error("the file was replaced on the server without a trace in its listing")]
    ReplacedInPlace {
        /// The tag of the new file; `None` where its bytes gave it away.
        etag: Option<Arc<str>>,
    },
    /// The bytes are not here, and the caller may not fetch them.
    #[error("the content is not in the cache, and may not be fetched")]
    NotCached,
    /// The download ended without a result: the daemon is stopping.
    #[error("the download was stopped")]
    Stopped,
    /// The cache directory cannot be used. Only opening it fails so: a running cache serves without its disk.
    #[error("cannot use the cache: {doing}")]
    Cache {
        /// What was tried, and on which path.
        doing: Arc<str>,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
}

/// Whether two tags of a file name the same bytes.
///
/// A tag that became weak on the way (a proxy may do that) still names the same file.
fn same_etag(one: &str, other: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    opaque(one) == opaque(other)
}
