//! `explain`: why an entry looks as it does, or is not there, from what is kept beside a mount.
//!
//! Explaining is simple until you consider that:
//! 1. the answer must not change what it explains, so no server is asked and no mount has to list anything;
//! 2. who reads it has never seen this code, and reads the first line most of all;
//! 3. a program wants the same facts, and support wants all of them.
//!
//! So [`gather`] reads the catalog and the journal into plain [`Facts`], and everything else is a pure function of those:
//! [`words`] makes the sentences and the table, and JSON is the facts themselves.

use serde::Serialize;

use crate::model::Timestamp;

pub mod gather;
mod naming;
mod near;
pub mod raw;
pub mod way;
pub mod words;

/// Everything an explanation is made from.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// The path or GUID, as it was asked for.
    pub asked: String,
    /// The present time.
    pub now: Timestamp,
    /// The mount and whose catalog it is.
    pub mount: MountFacts,
    /// The folders that lead there, the top of the mount first; the last one has, or would have, the entry.
    pub way: Vec<Place>,
    /// What was found there.
    pub found: Found,
    /// What the journal told of it, newest first.
    pub history: Vec<Told>,
    /// What a refresh of the last folder of the way would ask, without the server's address; empty where that cannot
    /// be said without connecting.
    pub questions: Vec<String>,
}

/// A mount, and what is kept beside it. Absent is what nobody tells.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MountFacts {
    /// Where.
    pub mountpoint: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// How its login is, as a word.
    pub login: Option<String>,
    /// The account the server sees.
    pub account: Option<String>,
    /// Server and datasource.
    pub datasource: Option<String>,
    /// The directory of the catalog.
    pub catalog: Option<String>,
    /// How old its answers may be.
    pub freshness: Option<Freshness>,
}

/// How old the answers of a mount may be, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// No answer is older while the server answers; `None` takes any age.
    pub metadata_ttl: Option<u64>,
    /// The oldest listing an outage is bridged with; 0 where an outage is an error.
    pub max_stale: u64,
    /// How long a refusal is remembered.
    pub permission_ttl: u64,
}

/// A directory on the way.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// The name it is shown by; empty for the top of the mount.
    pub name: String,
    /// The folder; `None` for the top of the mount.
    pub guid: Option<String>,
    /// Its listing, where one is kept.
    pub listing: Option<ListingFacts>,
    /// Why it could not be listed the last time, while that lasts.
    pub trouble: Option<TroubleFacts>,
}

/// A listing as it is kept. A listing is kept only when it was proved complete.
#[derive(Debug, Clone, Serialize)]
pub struct ListingFacts {
    /// When the server was asked for it, or last said that it is unchanged.
    pub fetched_at: Timestamp,
    /// How old it is, in seconds, by a clock that nobody sets.
    pub age: u64,
    /// How far it is proved: `paged`, `compared` or `confirmed`.
    pub proof: &'static str,
    /// How many of its entries are shown.
    pub shown: usize,
    /// How many are not: documents without a file.
    pub hidden: usize,
}

/// A failure.
#[derive(Debug, Clone, Serialize)]
pub struct TroubleFacts {
    /// Since when.
    pub at: Timestamp,
    /// The server's words.
    pub text: String,
    /// True for a refusal.
    pub refused: bool,
}

/// What was found at the end of the way.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Found {
    /// The top of the mount itself.
    Top,
    /// An entry of the last folder; and where else the same object is listed.
    Entry {
        /// The entry.
        entry: Box<EntryFacts>,
        /// What is kept of its own listing, for a folder.
        inside: Option<Box<Place>>,
        /// Other paths that lead to it.
        elsewhere: Vec<String>,
    },
    /// A proved listing has no such name.
    Absent {
        /// The name.
        name: String,
        /// Names that may have been meant.
        near: Vec<Near>,
        /// What has this name in ProjectWise, and no file.
        hidden: Vec<EntryFacts>,
    },
    /// The last folder was never listed, so nothing is known of the name.
    NotListed {
        /// The name.
        name: String,
    },
    /// The way leads through something that is no folder.
    NotAFolder {
        /// What is asked for in it.
        below: String,
        /// What it is.
        entry: Box<EntryFacts>,
    },
    /// No listing has this object.
    Unlisted {
        /// Its GUID.
        guid: String,
        /// Why it could not be listed or read, if it was tried.
        trouble: Option<TroubleFacts>,
    },
    /// A listing has this object, and this mount does not show that folder.
    Outside {
        /// The entry.
        entry: Box<EntryFacts>,
        /// The folder that lists it.
        folder: String,
    },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder or work area.
    Folder,
    /// A document with a file.
    Document,
    /// A document without a file.
    Placeholder,
    /// A set of other documents.
    Set,
}

/// A folder or document as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct EntryFacts {
    /// Its identity.
    pub guid: String,
    /// What it is.
    pub kind: Kind,
    /// The name it is shown by; `None` where it is not shown.
    pub shown: Option<String>,
    /// Its name in ProjectWise.
    pub name: String,
    /// The name of its file in ProjectWise.
    pub file_name: Option<String>,
    /// How the shown name came about, where it differs from the one in ProjectWise.
    pub naming: Vec<Naming>,
    /// Others of the same name in this folder, by the names they are shown by.
    pub twins: Vec<Twin>,
    /// The version's label.
    pub version: Option<String>,
    /// False for a superseded version; `None` for a folder.
    pub active: Option<bool>,
    /// The workflow state.
    pub state: Option<String>,
    /// The length of its file in bytes, where the listing or a download told.
    pub size: Option<u64>,
    /// Tells this content from others of the document.
    pub tag: Option<String>,
    /// When its file was last replaced.
    pub file_updated: Option<Timestamp>,
    /// When its properties last changed.
    pub updated: Option<Timestamp>,
    /// Why it could not be read or listed the last time, while that lasts.
    pub trouble: Option<TroubleFacts>,
}

/// A step from a raw name to the shown one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Naming {
    /// Characters that cannot stand in a file name are shown as others.
    Encoded {
        /// The name before.
        raw: String,
        /// The name after.
        encoded: String,
    },
    /// It was too long.
    Cut {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Another entry of the folder has the plain name.
    Suffixed {
        /// The plain name.
        plain: String,
        /// Who has it.
        taken_by: String,
        /// True if that is a folder: folders come first. Else it is older, or has the lower GUID.
        by_folder: bool,
    },
}

/// Another entry of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Twin {
    /// The name it is shown by.
    pub shown: String,
    /// Its identity.
    pub guid: String,
}

/// A name that may have been meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The name there is.
    pub shown: String,
    /// How it differs.
    pub why: NearWhy,
}

/// How a name differs from the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NearWhy {
    /// It is the name in ProjectWise, which is shown by another.
    Raw,
    /// It is the document's name in ProjectWise, whose file has another.
    DocumentName,
    /// In upper and lower case.
    Case,
    /// In a few letters.
    Letters,
}

/// A row of the journal, with paths.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// When the listing that showed it was asked for.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// The path it is at, or was.
    pub path: String,
    /// Its identity.
    pub guid: String,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It is listed and was not.
    Add {
        /// True in the first listing of its folder.
        first: bool,
    },
    /// The same document with another content or other properties.
    Modify {
        /// True if the bytes changed.
        content: bool,
    },
    /// A new version.
    NewVersion {
        /// The GUID of the version before.
        old_guid: String,
    },
    /// Another name.
    Rename {
        /// The name before.
        old_name: String,
    },
    /// Another folder.
    Move {
        /// The path before.
        old_path: String,
    },
    /// It is not listed any more.
    Gone {
        /// `deleted`, `denied`, `moved` or `unknown`.
        reason: &'static str,
    },
    /// The server began or ceased to refuse it.
    Rights {
        /// False while it is refused.
        readable: bool,
    },
}

impl Facts {
    /// The directory whose next listing would tell more: the folder itself, or the one it would be in.
    pub fn listed_next(&self) -> Option<&Place> {
        match &self.found {
            Found::Entry {
                inside: Some(inside), ..
            } => Some(&**inside),
            _ => self.way.last(),
        }
    }
}

impl Place {
    /// What to call it in a sentence.
    pub fn title(&self) -> String {
        if self.name.is_empty() {
            "the top of the mount".to_owned()
        } else {
            format!("\"{}\"", self.name)
        }
    }
}

#[cfg(test)]
mod tests;
