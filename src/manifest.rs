//! The manifest: everything below a directory, as one moment of catalog and journal has it.
//!
//! A list of a million documents is simple until you consider that:
//! 1. what is missing from it is taken to be deleted;
//! 2. whoever reads it goes on with the journal, from exactly there;
//! 3. listings change while it is written;
//! 4. a folder may hold a million documents.
//!
//! So first the folders alone are walked, and whatever is not listed and proved is found out before a row is written: 1. All is
//! read from one [`Snapshot`], whose cursor is the manifest's: 2, 3. Documents are handed on one by one: 4.

use std::collections::HashSet;
use std::time::Duration;

use crate::catalog::snapshot::{DocumentTold, Known, Listed, Snapshot};
use crate::catalog::{CatalogError, DirKey};
use crate::clock::{Clock, Moment, Stamp};
use crate::model::{Folder, FolderId, Guid, Timestamp};

mod row;
mod shard;

pub use row::{
    ATTRIBUTES, COLUMNS, DocumentRow, EndRow, FORMAT, FailedRow, FirstRow, FolderRow, Row, SheetRow,
};
pub use shard::{InvalidShard, Shard};

/// Where a manifest begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The directory.
    pub dir: DirKey,
    /// The names that lead to it from the top of the mount, each after a slash but the first; empty for that top.
    pub path: String,
}

/// What is asked of each folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Nothing asked for before this moment will do; `None` takes any age.
    pub since: Option<Moment>,
    /// Folders that the server refuses are told as such, and fail nothing.
    pub allow_denied: bool,
}

/// Why a folder keeps a manifest from being complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// No listing of it is kept; the last try failed in these words.
    #[error("it was never listed{}", because(.0.as_deref()))]
    NeverListed(Option<String>),
    /// Its listing is older than wanted; the last try failed in these words.
    #[error("it was last listed at {}{}", .0.wall.strftime("%Y-%m-%dT%H:%M:%SZ"), because(.1.as_deref()))]
    TooOld(Stamp, Option<String>),
    /// The journal was lost, and has not told of it since.
    #[error("it was not listed since the journal was lost")]
    Untold,
    /// The server refuses it.
    #[error("{0}")]
    Refused(String),
    /// Something left it for another folder, and was not seen there yet.
    #[error("something left it for another folder, and was not seen there yet")]
    LeftBehind,
}

fn because(words: Option<&str>) -> String {
    words.map(|words| format!(": {words}")).unwrap_or_default()
}

/// A folder that keeps a manifest from being complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The names that lead to it.
    pub path: String,
    /// Which.
    pub dir: DirKey,
    /// Why.
    pub lack: Lack,
}

/// The folders of a manifest, in its order.
pub struct Plan {
    nodes: Vec<Node>,
    failed: Vec<Failed>,
    oldest: Option<Stamp>,
}

/// A folder.
struct Node {
    dir: DirKey,
    /// Where the folder is that it is in; none for a top.
    parent: Option<u32>,
    /// Of a top the whole path; `None` for what is shown nowhere.
    name: Option<Box<str>>,
    /// What is known of what is in it.
    listed: Option<Listed>,
}

/// What a manifest is handed to, row by row.
pub trait Taker<E> {
    /// A folder, before what is in it.
    fn folder(&mut self, folder: FolderRow) -> Result<(), E>;
    /// A document.
    fn document(&mut self, document: DocumentRow) -> Result<(), E>;
}

/// What was counted on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Folders, tops included and the root not.
    pub folders: u64,
    /// Documents.
    pub documents: u64,
    /// Of both: what the server refused the last time.
    pub unreadable: u64,
}

impl Plan {
    /// Walks the folders at and below `tops`.
    pub fn make(snapshot: &Snapshot<'_>, tops: &[Top], terms: &Terms) -> Result<Self, CatalogError> {
        let mut walk = Walk {
            snapshot,
            terms,
            clock: Clock::default(),
            seen: HashSet::new(),
            plan: Self {
                nodes: Vec::new(),
                failed: Vec::new(),
                oldest: None,
            },
        };
        let begin = tops.iter().rev().map(|top| Next {
            dir: top.dir,
            parent: None,
            name: Some(top.path.as_str().into()),
            is_beyond: false,
        });
        walk.all(begin.collect())?;
        Ok(walk.plan)
    }

    /// The folders that keep it from being complete.
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// See [`Plan::failed`].
    pub fn into_failed(self) -> Vec<Failed> {
        self.failed
    }

    /// When the folder was asked for that was asked longest ago.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.oldest.map(|stamp| stamp.wall)
    }

    /// How many directories there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Hands everything to `take`, in order. `snapshot` must be the one it was made from.
    pub fn tell<E: From<CatalogError>>(
        &self,
        snapshot: &Snapshot<'_>,
        take: &mut impl Taker<E>,
    ) -> Result<Counts, E> {
        let mut counts = Counts::default();
        for (at, node) in self.nodes.iter().enumerate() {
            let path = self.path(at);
            if let Some(folder) = node.dir.as_folder() {
                let row = self.folder_row(snapshot, node, folder, path.clone())?;
                counts.folders += 1;
                counts.unreadable += u64::from(!row.readable);
                take.folder(row)?;
            }
            let Some(listed) = &node.listed else { continue };
            let unreadable = snapshot.unreadable(listed)?;
            snapshot.documents(listed, &mut |told| {
                let is_refused = unreadable.contains(&told.id.0);
                let denied = is_refused.then(|| refusal(snapshot, told.id.0));
                counts.documents += 1;
                counts.unreadable += u64::from(is_refused);
                take.document(document_row(node.dir.guid(), path.as_deref(), told, denied))
            })??;
        }
        Ok(counts)
    }

    fn folder_row(
        &self,
        snapshot: &Snapshot<'_>,
        node: &Node,
        id: FolderId,
        path: Option<String>,
    ) -> Result<FolderRow, CatalogError> {
        let folder: Option<Folder> = snapshot.folder(id)?;
        let parent = node
            .parent
            .and_then(|parent| self.nodes.get(parent as usize))
            .map(|parent| parent.dir.guid());
        let denied = snapshot.refusal(id.0).map(str::to_owned);
        let name = match &folder {
            Some(folder) => folder.name.clone(),
            None => node.name.as_deref().unwrap_or_default().to_owned(),
        };
        Ok(FolderRow {
            guid: id.0,
            folder_guid: parent,
            path,
            name,
            description: folder.as_ref().map(|folder| folder.description.clone()),
            work_area: folder.as_ref().is_some_and(|folder| folder.work_area),
            updated: folder.as_ref().and_then(|folder| folder.updated),
            created: folder.as_ref().and_then(|folder| folder.created),
            fetched_at: node.listed.map(|listed| listed.asked.wall),
            readable: denied.is_none(),
            denied,
        })
    }

    /// The names that lead to a folder; `None` where one of them is shown nowhere.
    fn path(&self, at: usize) -> Option<String> {
        let (mut names, mut here) = (Vec::new(), self.nodes.get(at));
        while let Some(node) = here {
            names.push(node.name.as_deref()?);
            here = node.parent.and_then(|parent| self.nodes.get(parent as usize));
        }
        names.reverse();
        names.retain(|name| !name.is_empty());
        Some(names.join("/"))
    }
}

/// The words of a refusal. The journal may know of one of which the catalog, which was deleted, has no word.
fn refusal(snapshot: &Snapshot<'_>, object: Guid) -> String {
    snapshot
        .refusal(object)
        .unwrap_or("the server refused it")
        .to_owned()
}

fn document_row(
    folder: Guid,
    parent: Option<&str>,
    told: DocumentTold,
    denied: Option<String>,
) -> DocumentRow {
    let path = parent.zip(told.shown).map(|(parent, name)| match parent {
        "" => name,
        parent => format!("{parent}/{name}"),
    });
    DocumentRow {
        guid: told.id.0,
        folder_guid: folder,
        path,
        tag: told.tag,
        document: told.document,
        sha256: None,
        attributes: None,
        readable: denied.is_none(),
        denied,
    }
}

/// A walk through the folders.
struct Walk<'a> {
    snapshot: &'a Snapshot<'a>,
    terms: &'a Terms,
    clock: Clock,
    /// A folder moved below its own child is below itself in two old listings.
    seen: HashSet<DirKey>,
    plan: Plan,
}

/// A folder to be walked.
struct Next {
    dir: DirKey,
    /// Where it was found.
    parent: Option<u32>,
    name: Option<Box<str>>,
    /// It, or one above it, is on its way to another folder, or one above it is refused: nothing shows it, so nobody can list
    /// it.
    is_beyond: bool,
}

impl Walk<'_> {
    /// `next` holds the first one last.
    fn all(&mut self, mut next: Vec<Next>) -> Result<(), CatalogError> {
        while let Some(Next {
            dir,
            parent,
            name,
            is_beyond,
        }) = next.pop()
        {
            if !self.seen.insert(dir) {
                continue;
            }
            let known = self.snapshot.dir(dir)?;
            let listed = match known {
                Known::Listed(listed) => Some(listed),
                Known::Never | Known::Untold if is_beyond => self.snapshot.told(dir)?,
                Known::Never | Known::Untold => None,
            };
            // More folders than that fit into no memory.
            let at = u32::try_from(self.plan.nodes.len()).unwrap_or(u32::MAX);
            self.plan.nodes.push(Node {
                dir,
                parent,
                name,
                listed,
            });
            let is_left_behind = match &known {
                Known::Listed(listed) if self.terms.since.is_some() => {
                    self.snapshot.is_left_behind(listed)?
                }
                Known::Listed(_) | Known::Never | Known::Untold => false,
            };
            if let Some(lack) = self.lack(dir, &known, is_left_behind).filter(|_| !is_beyond) {
                self.plan.failed.push(Failed {
                    path: self
                        .plan
                        .path(at as usize)
                        .unwrap_or_else(|| format!("{{{}}}", dir.guid())),
                    dir,
                    lack,
                });
            }
            let Some(listed) = listed else { continue };
            if self
                .plan
                .oldest
                .is_none_or(|oldest| self.is_older(&listed.asked, &oldest))
            {
                self.plan.oldest = Some(listed.asked);
            }
            let is_refused = self.snapshot.refusal(dir.guid()).is_some();
            let inside = self.snapshot.folders(&listed)?;
            next.extend(inside.into_iter().rev().map(|folder| Next {
                dir: DirKey::folder(folder.id),
                parent: Some(at),
                name: folder.shown.map(String::into_boxed_str),
                is_beyond: is_beyond || is_refused || folder.leaving,
            }));
        }
        Ok(())
    }

    fn is_older(&self, one: &Stamp, than: &Stamp) -> bool {
        self.clock.moment(one) < self.clock.moment(than)
    }

    fn lack(&self, dir: DirKey, known: &Known, is_left_behind: bool) -> Option<Lack> {
        if let Some(words) = self.snapshot.refusal(dir.guid()) {
            return (!self.terms.allow_denied).then(|| Lack::Refused(words.to_owned()));
        }
        let words = || {
            self.snapshot
                .trouble(dir.guid())
                .map(|trouble| trouble.text.clone())
        };
        match known {
            Known::Never => Some(Lack::NeverListed(words())),
            Known::Untold => Some(Lack::Untold),
            Known::Listed(listed) => {
                let since = self.terms.since?;
                if self.clock.moment(&listed.asked) < since {
                    return Some(Lack::TooOld(listed.asked, words()));
                }
                is_left_behind.then_some(Lack::LeftBehind)
            }
        }
    }
}

impl Terms {
    /// Nothing asked for longer than `age` before now.
    pub fn within(age: Option<Duration>, allow_denied: bool) -> Self {
        Self {
            since: age.map(|age| Clock::default().now().minus(age)),
            allow_denied,
        }
    }

    /// How old a listing may be by now, to have been asked for in time.
    pub fn max_age(&self) -> Option<Duration> {
        self.since.map(|since| Clock::default().now().since(since))
    }
}
