//! What pwfs asks of a document server, in plain types.
//!
//! Implementations follow pages, prove listings by the rules of their server, renew the login once and retry
//! through `http`; an error returned from here is final for the call. There is no silent fallback from one kind of
//! server to another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::model::{ByteRange, Datasource, Document, DocumentId, Entry, Folder, FolderId, ObjectId};

mod attributes;
mod detail;
pub mod link;
pub mod platform;
mod shortcut;
pub mod wsg;

pub use attributes::{Attributes, AttributesOfMany};
pub use detail::{Detail, Origin};
pub use shortcut::Shortcut;

pub use crate::http::pace::{Urgency, UrgencyHandle, with_urgency};

/// A document server, seen as folders of documents.
#[async_trait::async_trait]
pub trait Remote: Send + Sync {
    /// A short text that names server and datasource, without secrets; part of cache keys.
    fn name(&self) -> &str;

    /// What this server was seen to do.
    fn capabilities(&self) -> Capabilities;

    /// The account the server sees, for cache keys: no two accounts ever share cached bytes.
    async fn account(&self) -> Result<String, RemoteError>;

    /// All datasources of the server.
    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError>;

    /// The root folders of the datasource, all of them.
    async fn roots(&self, progress: &Progress) -> Result<Vec<Folder>, RemoteError>;

    /// Every child of `folder`: its folders and the active versions of its documents.
    ///
    /// Complete by what the paging proves, or an error. Tells `progress` of each page.
    async fn list(&self, folder: FolderId, progress: &Progress) -> Result<Vec<Entry>, RemoteError>;

    /// The same, unless nothing has changed since the answer that came with `seen`.
    ///
    /// A server that does not do this answers the rows every time. Who implements it answers for its server: it finds
    /// out whether "unchanged" can be believed, and believes it for minutes at most. Without `seen` there are always
    /// rows.
    async fn list_if_changed(
        &self,
        folder: FolderId,
        seen: Option<&Validator>,
        progress: &Progress,
    ) -> Result<Answer, RemoteError> {
        let _ = seen;
        let entries = self.list(folder, progress).await?;
        Ok(Answer::Rows {
            entries,
            validator: None,
        })
    }

    /// Every folder and every active document at any depth below `folder`, each with its parent, by few questions.
    ///
    /// `children` are what `folder` lists itself, asked for just now: the answer must agree with it. Nothing more is
    /// asked once more than `most` rows came, old versions included. An error says nothing of whether single listings
    /// work.
    async fn subtree(
        &self,
        folder: FolderId,
        children: &[ObjectId],
        most: usize,
        progress: &Progress,
    ) -> Result<Subtree, RemoteError> {
        let _ = (folder, children, most, progress);
        Ok(Subtree::NotSupported)
    }

    /// What became of each of `ids`, which were listed and are not any more.
    ///
    /// # Errors
    /// Those of a server that could not be asked; a refusal, or an object that is not there, is an answer.
    async fn whereabouts(&self, ids: &[ObjectId]) -> Result<Vec<(ObjectId, Whereabouts)>, RemoteError> {
        let mut found: std::collections::HashMap<ObjectId, Entry> = self
            .find(ids)
            .await?
            .into_iter()
            .map(|entry| (entry.id(), entry))
            .collect();
        let one = |id: &ObjectId| match found.remove(id) {
            Some(entry) => (*id, Whereabouts::Known(Box::new(entry))),
            None => (*id, Whereabouts::Unanswered),
        };
        Ok(ids.iter().map(one).collect())
    }

    /// What was learnt of this server that a later process must not have to learn again; empty where there is nothing.
    fn lessons(&self) -> String {
        String::new()
    }

    /// Takes over [`Remote::lessons`] of an earlier process.
    fn recall(&self, lessons: &str) {
        let _ = lessons;
    }

    /// What would be asked to list `folder`, as a person may try it: no secrets.
    fn questions(&self, folder: FolderId) -> Vec<String> {
        let _ = folder;
        Vec::new()
    }

    /// One folder by id.
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError>;

    /// One document by id.
    async fn document(&self, document: DocumentId) -> Result<Document, RemoteError>;

    /// What the environment of `document` says of it. One question, whose answer is not kept.
    ///
    /// # Errors
    /// Those of a server that could not be asked, that refuses the document or does not find it. That it does not tell
    /// attributes is an answer.
    async fn attributes(&self, document: DocumentId) -> Result<Attributes, RemoteError> {
        let _ = document;
        Ok(Attributes::NotSupported)
    }

    /// What the environments of `documents` say of them, by few questions.
    ///
    /// # Errors
    /// Those of a server that could not be asked.
    async fn attributes_of(&self, documents: &[DocumentId]) -> Result<AttributesOfMany, RemoteError> {
        let _ = documents;
        Ok(AttributesOfMany::NotSupported)
    }

    /// Those of `ids` the server still shows, in any order.
    ///
    /// An id missing from the answer was not answered, whatever the reason.
    async fn find(&self, ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError>;

    /// Opens the file of a document at `range`.
    ///
    /// With `if_range`, a server whose file has another tag answers the whole file from its start: look at
    /// [`Content::range`].
    async fn read(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
    ) -> Result<Content, RemoteError>;

    /// The same for one of the parts of a file that are fetched together: the way that the server showed for one of them is
    /// taken for the others, too, where it is good. It is no answer of another kind.
    async fn read_part(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
        shortcut: &Shortcut,
    ) -> Result<Content, RemoteError> {
        let _ = shortcut;
        self.read(document, range, if_range).await
    }
}

/// What a server gave with a listing, to ask whether it has changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(pub String);

/// The answer to [`Remote::list_if_changed`].
#[derive(Debug)]
pub enum Answer {
    /// It is as it was.
    Unchanged,
    /// Every child.
    Rows {
        /// The rows.
        entries: Vec<Entry>,
        /// What to ask with the next time; `None` where the server gave nothing that can be trusted.
        validator: Option<Validator>,
    },
}

/// The answer to [`Remote::subtree`].
#[derive(Debug)]
pub enum Subtree {
    /// Every row below the folder, in any order.
    ///
    /// The rows of a folder that has any are all of its rows, as of one moment during the call. A folder that has none
    /// is *not* proved empty: its rows may be kept from this account, or the server may look less deep; list it. Nor
    /// does a folder that has rows allow to be listed by itself.
    Rows(Vec<Entry>),
    /// There is more than was wanted.
    TooLarge,
    /// Not this time: the rows do not fit what the folder lists. Somebody may be at work there.
    Unsettled,
    /// This server was not seen to do it right, and is not asked again.
    NotSupported,
}

/// What became of an object that left its folder's listing.
#[derive(Debug)]
pub enum Whereabouts {
    /// The server knows it, here or elsewhere.
    Known(Box<Entry>),
    /// The server says that it does not exist.
    Deleted,
    /// The server refuses it.
    Denied,
    /// The server did not answer it, whatever the reason.
    Unanswered,
}

/// What a server was seen to do. Everything starts as "not known".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Whether `$file` honours Range: known after the first ranged read.
    pub ranges: Option<bool>,
    /// Whether pages come by SkipToken; otherwise by `$skip`.
    pub skip_token: Option<bool>,
}

/// The answer to [`Remote::read`]: the head of the answer, and its bytes as they arrive.
pub struct Content {
    /// The bytes that will come: the whole file where the server did not honour the range.
    pub range: ByteRange,
    /// The whole file's length in bytes, where the server states it.
    pub total: Option<u64>,
    /// The file's tag, as the server wrote it.
    pub etag: Option<String>,
    /// The bytes. A body that ends before its announced length ends with an error, never with a clean end.
    pub stream: BoxStream<'static, Result<Bytes, RemoteError>>,
}

/// Why a request failed, by what the caller can do about it. What a person can do is in [`Detail::origin`].
///
/// `Clone` because one request may have many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoteError {
    /// The server says there is no such object. It may also hide one that may not be seen.
    #[error("the server does not find {what} ({detail})")]
    NotFound {
        /// What was asked for.
        what: String,
        /// The server's own words and request id.
        detail: Detail,
    },
    /// The server refuses this account.
    #[error("the server denies access to {what} ({detail})")]
    Denied {
        /// What was asked for.
        what: String,
        /// The server's own words and request id.
        detail: Detail,
    },
    /// No valid login, and none can be had without a person: it is over, or this server does not take it.
    #[error("{lead}: {0}", lead = lead(.0, "a new login is needed"))]
    LoginRequired(Detail),
    /// The Client Secret or the password was refused: a new one heals it, without a browser.
    #[error("a new secret is needed: {0}")]
    SecretRequired(Detail),
    /// The account is locked by too many bad logins; nothing may be sent any more.
    #[error("the server has locked the account after too many bad logins: {0}")]
    LockedOut(Detail),
    /// The server asks to slow down, or our own pace does, longer than one call may wait.
    #[error("{} ({detail})", whose_limit(.detail))]
    Throttled {
        /// How long it asked to wait.
        retry_after: Option<Duration>,
        /// The server's own words and request id.
        detail: Detail,
    },
    /// No connection: name, route, refused, reset, TLS, proxy.
    #[error("the server cannot be reached: {0}")]
    Unreachable(Detail),
    /// Nothing arrived in time.
    #[error("the server did not answer in time: {0}")]
    TimedOut(Detail),
    /// The server failed (5xx) through all retries, or knows no datasource of that name.
    #[error("{lead}: {0}", lead = lead(.0, "the server failed"))]
    Server(Detail),
    /// An answer that cannot be right: malformed, of a wrong length, contradicting itself.
    #[error("{lead}: {0}", lead = lead(.0, "the server's answer cannot be used"))]
    Protocol(Detail),
}

/// What failed: as the answer tells, or else as the variant does.
fn lead(detail: &Detail, variant: &'static str) -> &'static str {
    match detail.origin() {
        Origin::Wsg(problem) => problem.lead(),
        Origin::Client | Origin::Auth(_) | Origin::Http(_) => variant,
    }
}

/// Who limits the rate.
fn whose_limit(detail: &Detail) -> &'static str {
    match detail.origin() {
        Origin::Http(_) => "the request rate is limited",
        Origin::Wsg(_) | Origin::Client | Origin::Auth(_) => "the server limits the request rate",
    }
}

impl RemoteError {
    /// What is told of it.
    pub const fn detail(&self) -> &Detail {
        match self {
            Self::NotFound { detail, .. } | Self::Denied { detail, .. } | Self::Throttled { detail, .. } => {
                detail
            }
            Self::LoginRequired(detail)
            | Self::SecretRequired(detail)
            | Self::LockedOut(detail)
            | Self::Unreachable(detail)
            | Self::TimedOut(detail)
            | Self::Server(detail)
            | Self::Protocol(detail) => detail,
        }
    }

    /// True where the server could not be asked, so that an older answer may stand in for it.
    pub const fn is_outage(&self) -> bool {
        match self {
            Self::LoginRequired(_)
            | Self::SecretRequired(_)
            | Self::LockedOut(_)
            | Self::Throttled { .. }
            | Self::Unreachable(_)
            | Self::TimedOut(_)
            | Self::Server(_)
            | Self::Protocol(_) => true,
            Self::NotFound { .. } | Self::Denied { .. } => false,
        }
    }
}

/// Tells waiters that a long call still moves.
#[derive(Debug, Clone)]
pub struct Progress(Arc<watch::Sender<u64>>);

impl Progress {
    /// A progress that nobody has moved yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Says that `rows` more rows arrived (0 for an empty page).
    pub fn page(&self, rows: usize) {
        self.0.send_modify(|seen| *seen += rows as u64);
    }

    /// Sees every later [`Progress::page`].
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
