//! Everything below a folder by few questions: `api.ancestor` (projectwise-api 1.5, 7.12).
//!
//! Using it is simple until you consider that:
//! 1. it is spelled in two ways, and which one a server takes is not known;
//! 2. a server that does not know an option may leave it out, and answer with every document it has;
//! 3. what it means by "below" is not written anywhere, and people work while the pages come.
//!
//! So each spelling is first tried on a folder that cannot exist: who answers rows has not understood it: 2. Then the
//! answer for a real folder must be consistent (each row hangs, by its parents, from that folder) and agree with the
//! ordinary listings of two folders in it, before the spelling is taken to work here: 1, 3. Later answers must still be
//! consistent and agree with the folder's own listing.
//!
//! What it never proves is that a folder without rows is empty: its rows may be kept from this account, or the server
//! may look less deep than it has folders.

use std::collections::{HashMap, HashSet};

use crate::model::{Entry, FolderId, Guid, ObjectId};
use crate::remote::{Answer, Progress, RemoteError};

use super::WsgRemote;
use super::error::Failure;
use super::listing::Expected;
use super::query::{Ancestor, Query};
use super::support::Support;
use super::wire::Asked;

/// No folder has it: GUIDs are made at random, and this one is not.
const NOWHERE: FolderId = FolderId(Guid::from_bytes([0xfe; 16]));
/// How often an answer that does not fit the listings is asked for again: somebody may have moved a folder.
const ATTEMPTS: usize = 2;

/// Whether a server does it, in each spelling.
#[derive(Debug, Default)]
pub(super) struct Subtrees {
    dash: Support,
    equals: Support,
}

impl Subtrees {
    const fn of(&self, spelling: Ancestor) -> &Support {
        match spelling {
            Ancestor::Dash => &self.dash,
            Ancestor::Equals => &self.equals,
        }
    }

    /// The spellings that may work, those seen to work first.
    fn candidates(&self) -> Vec<Ancestor> {
        let mut all = vec![Ancestor::Dash, Ancestor::Equals];
        all.retain(|spelling| self.of(*spelling).known() != Some(false));
        all.sort_by_key(|spelling| self.of(*spelling).known() != Some(true));
        all
    }
}

/// What came of one spelling.
enum Outcome {
    /// Rows that fit.
    Rows(Vec<Entry>),
    /// Rows that do not fit what else the server says.
    Contradiction(String),
    /// The server does not do it.
    NotSupported(String),
}

impl WsgRemote {
    pub(super) async fn subtree_of(
        &self,
        folder: FolderId,
        progress: &Progress,
    ) -> Result<Option<Vec<Entry>>, RemoteError> {
        if self.subtrees.candidates().is_empty() {
            return Ok(None);
        }
        for spelling in self.subtrees.candidates() {
            let mut why = String::new();
            for _ in 0..ATTEMPTS {
                let Answer::Rows {
                    entries: children, ..
                } = self.children(folder, None, progress).await?
                else {
                    return Ok(None);
                };
                if !children.iter().any(|child| matches!(child, Entry::Folder(_))) {
                    return Ok(Some(children));
                }
                match self.try_spelling(spelling, folder, &children, progress).await? {
                    Outcome::Rows(rows) => return Ok(Some(rows)),
                    Outcome::NotSupported(words) => {
                        why = words;
                        break;
                    }
                    Outcome::Contradiction(words) => why = words,
                }
            }
            tracing::debug!(?spelling, %folder, why, "no subtree by api.ancestor");
            // What worked before weighs more: then this is a folder under much work.
            self.subtrees.of(spelling).missed();
            if self.subtrees.of(spelling).known() == Some(true) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    async fn try_spelling(
        &self,
        spelling: Ancestor,
        folder: FolderId,
        children: &[Entry],
        progress: &Progress,
    ) -> Result<Outcome, Failure> {
        let is_proved = self.subtrees.of(spelling).known() == Some(true);
        if !is_proved {
            let query = Query::all_documents().below(spelling, NOWHERE);
            let expected = Expected::all(Asked::Documents);
            match self.listings.first_page(self, &query, expected).await {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => {
                    return Ok(Outcome::NotSupported(
                        "below a folder that does not exist it lists documents".to_owned(),
                    ));
                }
                // "There is no such folder" is as good an answer as none.
                Err(failure) if matches!(failure.error, RemoteError::NotFound { .. }) => {}
                Err(failure) if is_refusal(&failure) => {
                    return Ok(Outcome::NotSupported(failure.error.to_string()));
                }
                Err(failure) => return Err(failure),
            }
        }
        let answers = tokio::try_join!(
            self.rows_below(spelling, folder, Asked::Folders, progress),
            self.rows_below(spelling, folder, Asked::Documents, progress),
        );
        let mut rows = match answers {
            Ok((mut folders, documents)) => {
                folders.extend(documents);
                folders
            }
            Err(failure) if is_refusal(&failure) => {
                return Ok(Outcome::NotSupported(failure.error.to_string()));
            }
            Err(failure) => return Err(failure),
        };
        // Whether a folder is below itself is a matter of taste.
        rows.retain(|row| row.id() != ObjectId::Folder(folder));
        if let Err(why) = hangs_together(&rows, folder).and_then(|()| agrees(&rows, folder, children)) {
            return Ok(Outcome::Contradiction(why));
        }
        if !is_proved && let Err(why) = self.try_deeper(spelling, folder, &rows, progress).await? {
            return Ok(Outcome::Contradiction(why));
        }
        rows.retain(|row| match row {
            Entry::Document(document) => document.active,
            Entry::Folder(_) => true,
        });
        Ok(Outcome::Rows(rows))
    }

    /// Compares with the listing of one folder further down: the one that has most rows. One without any, where all are
    /// such, shows whether the server looks deeper at all.
    async fn try_deeper(
        &self,
        spelling: Ancestor,
        folder: FolderId,
        rows: &[Entry],
        progress: &Progress,
    ) -> Result<Result<(), String>, Failure> {
        let mut counts: HashMap<FolderId, usize> = HashMap::new();
        for row in rows {
            if let Entry::Folder(below) = row {
                counts.entry(below.id).or_default();
            }
            if let Some(parent) = row.parent().filter(|parent| *parent != folder) {
                *counts.entry(parent).or_default() += 1;
            }
        }
        let Some((sample, count)) = counts.into_iter().max_by_key(|(id, count)| (*count, *id)) else {
            return Ok(Ok(()));
        };
        let children = match self.children(sample, None, progress).await {
            Ok(Answer::Rows { entries, .. }) => entries,
            Ok(Answer::Unchanged) => return Ok(Ok(())),
            // It tells nothing of the others.
            Err(failure) if !failure.error.is_outage() => return Ok(Ok(())),
            Err(failure) => return Err(failure),
        };
        let verdict = agrees(rows, sample, &children);
        // Rows of one level only may be all there are.
        if verdict.is_ok() && count > 0 {
            self.subtrees.of(spelling).proved();
        }
        Ok(verdict)
    }

    async fn rows_below(
        &self,
        spelling: Ancestor,
        folder: FolderId,
        asked: Asked,
        progress: &Progress,
    ) -> Result<Vec<Entry>, Failure> {
        let query = match asked {
            Asked::Folders => Query::all_folders(),
            Asked::Documents => Query::all_documents(),
        };
        let query = query.below(spelling, folder);
        self.listings
            .entries(self, &query, Expected::all(asked), progress)
            .await
    }
}

/// True where the server does not understand, or contradicts itself: single listings may still work.
fn is_refusal(failure: &Failure) -> bool {
    failure.is_bad_query() || failure.is_unknown_class() || matches!(failure.error, RemoteError::Protocol(_))
}

/// Every row hangs from `top`, by folders that are rows themselves.
fn hangs_together(rows: &[Entry], top: FolderId) -> Result<(), String> {
    let mut parents: HashMap<FolderId, FolderId> = HashMap::new();
    for row in rows {
        let Some(parent) = row.parent() else {
            return Err(format!("{} names no parent", row.id().guid()));
        };
        if let Entry::Folder(folder) = row {
            parents.insert(folder.id, parent);
        }
    }
    let mut hanging: HashSet<FolderId> = HashSet::from([top]);
    for start in rows.iter().filter_map(Entry::parent) {
        let mut way = Vec::new();
        let mut here = start;
        while !hanging.contains(&here) {
            way.push(here);
            match parents.get(&here) {
                // A circle never ends, and has no more steps than there are folders.
                Some(up) if way.len() <= parents.len() => here = *up,
                Some(_) | None => return Err(format!("folder {start} is not below folder {top}")),
            }
        }
        hanging.extend(way);
    }
    Ok(())
}

/// The rows in `folder` are its children as it lists them.
fn agrees(rows: &[Entry], folder: FolderId, children: &[Entry]) -> Result<(), String> {
    let active = |row: &&Entry| !matches!(row, Entry::Document(document) if !document.active);
    let told: HashSet<ObjectId> = rows
        .iter()
        .filter(|row| row.parent() == Some(folder))
        .filter(active)
        .map(Entry::id)
        .collect();
    let listed: HashSet<ObjectId> = children.iter().map(Entry::id).collect();
    if told == listed {
        return Ok(());
    }
    Err(format!(
        "folder {folder} lists {} entries, {} of them below the ancestor, where there are {}",
        listed.len(),
        listed.intersection(&told).count(),
        told.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Document, DocumentId, DocumentKind, Folder};

    fn id(number: u8) -> FolderId {
        FolderId(Guid::from_bytes([number; 16]))
    }

    fn folder(number: u8, parent: Option<u8>) -> Entry {
        Entry::Folder(Folder {
            id: id(number),
            parent: parent.map(id),
            name: number.to_string(),
            description: String::new(),
            work_area: false,
            created: None,
            updated: None,
            etag: None,
        })
    }

    fn document(number: u8, parent: u8) -> Entry {
        Entry::Document(Document {
            id: DocumentId(Guid::from_bytes([number; 16])),
            folder: Some(id(parent)),
            name: number.to_string(),
            file_name: None,
            description: String::new(),
            version: String::new(),
            active: true,
            kind: DocumentKind::File,
            size: None,
            file_updated: None,
            updated: None,
            created: None,
            state: None,
            mime_type: None,
            etag: None,
        })
    }

    #[test]
    fn rows_must_hang_from_the_folder_asked_for() {
        let whole = [
            folder(2, Some(1)),
            folder(3, Some(2)),
            document(9, 3),
            document(8, 1),
        ];
        assert_eq!(hangs_together(&whole, id(1)), Ok(()));
        for (broken, why) in [
            (folder(4, None), "no parent"),
            (folder(4, Some(7)), "the parent is elsewhere"),
            (document(7, 6), "the folder is elsewhere"),
        ] {
            let mut rows = whole.to_vec();
            rows.push(broken);
            assert!(hangs_together(&rows, id(1)).is_err(), "{why}");
        }
        let circle = [folder(2, Some(3)), folder(3, Some(2))];
        assert!(hangs_together(&circle, id(1)).is_err());
    }

    #[test]
    fn rows_must_be_the_children_that_are_listed() {
        let rows = [folder(2, Some(1)), document(8, 1), document(9, 2)];
        assert_eq!(agrees(&rows, id(1), &rows[..2]), Ok(()));
        assert!(agrees(&rows, id(1), &rows[..1]).is_err(), "one too many");
        assert!(agrees(&rows[..1], id(1), &rows[..2]).is_err(), "one is missing");
        assert_eq!(agrees(&rows, id(3), &[]), Ok(()));
    }
}
