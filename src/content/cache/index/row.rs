//! What the index tells of files.

use std::sync::Arc;

use crate::content::ContentKey;
use crate::model::Guid;

/// In which order files are evicted: a lower rank before a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::content::cache) enum Rank {
    /// Can be fetched again.
    Ordinary = 0,
    /// A version that the server may no longer give.
    Superseded = 1,
    /// Never evicted.
    Pinned = 2,
    /// On its way, and never evicted.
    Temporary = 3,
}

/// What is said of a file when it is made.
#[derive(Debug, Clone)]
pub(in crate::content::cache) struct About {
    /// The hash of the key in hexadecimal, or the name of a temporary file.
    pub(in crate::content::cache) name: String,
    /// Whose bytes they are; `None` while they are on their way.
    pub(in crate::content::cache) owner: Option<Owner>,
}

/// Which document, for people and pins.
#[derive(Debug, Clone)]
pub(in crate::content::cache) struct Owner {
    pub(in crate::content::cache) server: Arc<str>,
    pub(in crate::content::cache) account: Arc<str>,
    pub(in crate::content::cache) document: Guid,
}

impl From<&ContentKey> for Owner {
    fn from(key: &ContentKey) -> Self {
        Self {
            server: key.server.clone(),
            account: key.account.clone(),
            document: key.document.0,
        }
    }
}

impl Owner {
    /// The owner in the canonical text of a key; `None` where it is none.
    pub(in crate::content::cache) fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix("pwfs content 1\nserver ")?;
        let (server, rest) = counted(rest)?;
        let (account, rest) = counted(rest.strip_prefix("\naccount ")?)?;
        let (document, _) = rest.strip_prefix("\ndocument ")?.split_once('\n')?;
        Some(Self {
            server: server.into(),
            account: account.into(),
            document: document.parse().ok()?,
        })
    }
}

/// A text with its length before it, and what follows.
fn counted(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(' ')?;
    rest.split_at_checked(length.parse().ok()?)
}

/// What there is in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::content::cache) struct Totals {
    /// Reserved, in bytes: never less than what the files take.
    pub(in crate::content::cache) bytes: u64,
    /// Contents, of which some blocks at least are or were to be here.
    pub(in crate::content::cache) entries: u64,
    /// False while a lost index is made anew.
    pub(in crate::content::cache) counted: bool,
}

/// How a reservation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::content::cache) enum Reserved {
    /// It stands; so much is reserved in all.
    Done(u64),
    /// It would pass the cap by so many bytes.
    Over(u64),
    /// The files are still being counted.
    Uncounted,
}

/// A file that may be evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::content::cache) struct Victim {
    pub(in crate::content::cache) name: String,
    pub(in crate::content::cache) bytes: u64,
    pub(in crate::content::cache) used: i64,
}
