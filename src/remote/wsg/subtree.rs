//! Everything below a folder by few questions: `api.ancestor` (projectwise-api 1.5, 7.12).
//!
//! Using it is simple until you consider that:
//! 1. it is spelled in two ways, and which one a server takes is not known;
//! 2. a server that does not know an option may leave it out, and answer with every document it has;
//! 3. what it means by "below" is not written anywhere, and people work while the pages come.
//!
//! So each spelling is first tried on a folder that cannot exist: who answers rows has not understood it: 2. Then the
//! answer for a real folder must agree with the ordinary listings of two folders in it, before the spelling is taken to
//! work here: 1, 3. Later answers must still agree with the folder's own listing. And every answer needs the folders to be
//! told twice, before and after the documents, with each where it was: one that left meanwhile took documents with it
//! that nobody would miss: 3.
//!
//! What it never proves is that a folder without rows is empty: its rows may be kept from this account, or the server
//! may look less deep than it has folders. And what hangs by a folder that is not told is left out: somebody may see a
//! document and not the folder it is in.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::model::{Entry, FolderId, Guid, ObjectId};
use crate::remote::{Answer, Progress, RemoteError, Subtree};

use super::WsgRemote;
use super::error::Failure;
use super::listing::Expected;
use super::paging::Room;
use super::query::{Ancestor, Query};
use super::support::Support;
use super::wire::Asked;

/// No folder has it: GUIDs are made at random, and this one is not.
const NOWHERE: FolderId = FolderId(Guid::from_bytes([0xfe; 16]));
/// How often an answer that does not fit the listings is asked for again: somebody may have moved a folder.
const ATTEMPTS: usize = 2;
/// So many folders, and it is the spelling that does not fit and not somebody at work: three who are at work just where
/// the first subtrees are asked for cost no more than single listings.
const STRIKES: usize = 3;

/// Whether a server does it, in each spelling.
#[derive(Debug)]
pub(super) struct Subtrees {
    dash: Spelled,
    equals: Spelled,
    /// One finds out how it is spelled; the others wait and use what was found.
    finding_out: Semaphore,
}

#[derive(Debug, Default)]
struct Spelled {
    support: Support,
    /// Folders whose rows did not fit, before any did.
    strikes: AtomicUsize,
}

impl Default for Subtrees {
    fn default() -> Self {
        Self {
            dash: Spelled::default(),
            equals: Spelled::default(),
            finding_out: Semaphore::new(1),
        }
    }
}

impl Subtrees {
    const fn of(&self, spelling: Ancestor) -> &Spelled {
        match spelling {
            Ancestor::Dash => &self.dash,
            Ancestor::Equals => &self.equals,
        }
    }

    fn is_proved(&self, spelling: Ancestor) -> bool {
        self.of(spelling).support.known() == Some(true)
    }

    /// The spellings to try: the one that was seen to work, else those that may.
    fn candidates(&self) -> Vec<Ancestor> {
        let mut all = vec![Ancestor::Dash, Ancestor::Equals];
        match all.iter().find(|spelling| self.is_proved(**spelling)) {
            Some(proved) => vec![*proved],
            None => {
                all.retain(|spelling| self.of(*spelling).support.known() != Some(false));
                all
            }
        }
    }

    /// True where nothing is left to be found out.
    fn is_settled(&self) -> bool {
        let left = self.candidates();
        left.iter().all(|spelling| self.is_proved(*spelling))
    }
}

/// A question, whatever its spelling.
struct Question<'a> {
    folder: FolderId,
    /// What the folder lists itself.
    children: &'a [ObjectId],
    /// Rows that may come.
    most: usize,
    progress: &'a Progress,
}

/// What came of one spelling.
enum Outcome {
    /// Rows that fit.
    Rows(Vec<Entry>),
    /// More of them than wanted.
    TooLarge,
    /// Rows that do not fit what else the server says.
    Contradiction(String),
    /// The server does not do it.
    NotSupported(String),
}

impl WsgRemote {
    pub(super) async fn subtree_of(
        &self,
        folder: FolderId,
        children: &[ObjectId],
        most: usize,
        progress: &Progress,
    ) -> Result<Subtree, RemoteError> {
        let question = Question {
            folder,
            children,
            most,
            progress,
        };
        let turn = if self.subtrees.is_settled() {
            None
        } else {
            // It is never closed.
            self.subtrees.finding_out.acquire().await.ok()
        };
        let turn = turn.filter(|_| !self.subtrees.is_settled());
        for spelling in self.subtrees.candidates() {
            match self.ask_below(spelling, &question).await? {
                Outcome::Rows(rows) => return Ok(Subtree::Rows(rows)),
                Outcome::TooLarge => return Ok(Subtree::TooLarge),
                Outcome::NotSupported(why) => {
                    tracing::debug!(?spelling, %folder, why, "no subtree by api.ancestor");
                    self.subtrees.of(spelling).support.missed();
                }
                Outcome::Contradiction(why) => {
                    tracing::debug!(?spelling, %folder, why, "a subtree does not fit the listings");
                    let strikes = &self.subtrees.of(spelling).strikes;
                    if strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES {
                        // What worked before weighs more: then this is a folder under much work.
                        self.subtrees.of(spelling).support.missed();
                    }
                }
            }
        }
        drop(turn);
        Ok(if self.subtrees.candidates().is_empty() {
            Subtree::NotSupported
        } else {
            Subtree::Unsettled
        })
    }

    /// Asks in one spelling, again where the answer does not fit.
    async fn ask_below(&self, spelling: Ancestor, question: &Question<'_>) -> Result<Outcome, Failure> {
        let mut outcome = self.try_spelling(spelling, question).await?;
        for _ in 1..ATTEMPTS {
            if !matches!(outcome, Outcome::Contradiction(_)) {
                break;
            }
            outcome = self.try_spelling(spelling, question).await?;
        }
        Ok(outcome)
    }

    async fn try_spelling(&self, spelling: Ancestor, question: &Question<'_>) -> Result<Outcome, Failure> {
        let folder = question.folder;
        let is_proved = self.subtrees.is_proved(spelling);
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
        let room = Room::for_rows(question.most);
        let answers = self.rows_below(spelling, question, &room).await;
        let (rows, moved) = match answers {
            Ok(answers) => answers,
            Err(_) if room.is_full() => return Ok(Outcome::TooLarge),
            Err(failure) if is_refusal(&failure) => {
                return Ok(Outcome::NotSupported(failure.error.to_string()));
            }
            Err(failure) => return Err(failure),
        };
        if moved {
            let why = "folders came, left or moved while it was told";
            return Ok(Outcome::Contradiction(why.to_owned()));
        }
        let fits = hanging(rows, folder).and_then(|rows| {
            agrees(&rows, folder, question.children)?;
            Ok(rows)
        });
        let mut rows = match fits {
            Ok(rows) => rows,
            Err(why) => return Ok(Outcome::Contradiction(why)),
        };
        if !is_proved && let Err(why) = self.try_deeper(spelling, question, &rows).await? {
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
        question: &Question<'_>,
        rows: &[Entry],
    ) -> Result<Result<(), String>, Failure> {
        let mut counts: HashMap<FolderId, usize> = HashMap::new();
        for row in rows {
            if let Entry::Folder(below) = row {
                counts.entry(below.id).or_default();
            }
            if let Some(parent) = row.parent().filter(|parent| *parent != question.folder) {
                *counts.entry(parent).or_default() += 1;
            }
        }
        let Some((sample, count)) = counts.into_iter().max_by_key(|(id, count)| (*count, *id)) else {
            return Ok(Ok(()));
        };
        let children = match self.children(sample, None, question.progress).await {
            Ok(Answer::Rows { entries, .. }) => entries,
            Ok(Answer::Unchanged) => return Ok(Ok(())),
            // It tells nothing of the others.
            Err(failure) if !failure.error.is_outage() => return Ok(Ok(())),
            Err(failure) => return Err(failure),
        };
        let children: Vec<ObjectId> = children.iter().map(Entry::id).collect();
        let verdict = agrees(rows, sample, &children);
        // Rows of one level only may be all there are.
        if verdict.is_ok() && count > 0 {
            self.subtrees.of(spelling).support.proved();
        }
        Ok(verdict)
    }

    /// All rows, and whether folders moved meanwhile.
    async fn rows_below(
        &self,
        spelling: Ancestor,
        question: &Question<'_>,
        room: &Room,
    ) -> Result<(Vec<Entry>, bool), Failure> {
        // Who runs out of room drops the other one, too.
        let (mut rows, documents) = tokio::try_join!(
            self.part_below(spelling, question, Asked::Folders, Some(room)),
            self.part_below(spelling, question, Asked::Documents, Some(room)),
        )?;
        let again = self.part_below(spelling, question, Asked::Folders, None).await?;
        let moved = places(&rows) != places(&again);
        rows.extend(documents);
        Ok((rows, moved))
    }

    async fn part_below(
        &self,
        spelling: Ancestor,
        question: &Question<'_>,
        asked: Asked,
        room: Option<&Room>,
    ) -> Result<Vec<Entry>, Failure> {
        let query = match asked {
            Asked::Folders => Query::all_folders(),
            Asked::Documents => Query::all_documents(),
        };
        let query = query.below(spelling, question.folder);
        let expected = Expected {
            room,
            ..Expected::all(asked)
        };
        self.listings
            .entries(self, &query, expected, question.progress)
            .await
    }
}

/// Where each row is.
fn places(rows: &[Entry]) -> HashMap<ObjectId, Option<FolderId>> {
    rows.iter().map(|row| (row.id(), row.parent())).collect()
}

/// True where the server does not understand, or contradicts itself: single listings may still work.
fn is_refusal(failure: &Failure) -> bool {
    failure.is_bad_query() || failure.is_unknown_class() || matches!(failure.error, RemoteError::Protocol(_))
}

/// The rows that hang from `top`, by folders that are rows themselves. Where that are not most of them, something else was
/// told than was asked for.
fn hanging(mut rows: Vec<Entry>, top: FolderId) -> Result<Vec<Entry>, String> {
    // Whether a folder is below itself is a matter of taste.
    rows.retain(|row| row.id() != ObjectId::Folder(top));
    let mut inside: HashMap<FolderId, Vec<FolderId>> = HashMap::new();
    for row in &rows {
        let Some(parent) = row.parent() else {
            return Err(format!("{} names no parent", row.id().guid()));
        };
        if let Entry::Folder(folder) = row {
            inside.entry(parent).or_default().push(folder.id);
        }
    }
    let mut hanging = HashSet::from([top]);
    let mut queue = vec![top];
    while let Some(folder) = queue.pop() {
        // Each folder hangs by one parent alone, so a circle is never reached.
        let below = inside.remove(&folder).unwrap_or_default();
        queue.extend(below.iter().copied().filter(|folder| hanging.insert(*folder)));
    }
    let all = rows.len();
    rows.retain(|row| row.parent().is_some_and(|parent| hanging.contains(&parent)));
    if rows.len() * 2 < all {
        return Err(format!(
            "{} of {all} rows are not below folder {top}",
            all - rows.len()
        ));
    }
    Ok(rows)
}

/// The rows in `folder` are its children as it lists them.
fn agrees(rows: &[Entry], folder: FolderId, children: &[ObjectId]) -> Result<(), String> {
    let active = |row: &&Entry| !matches!(row, Entry::Document(document) if !document.active);
    let told: HashSet<ObjectId> = rows
        .iter()
        .filter(|row| row.parent() == Some(folder))
        .filter(active)
        .map(Entry::id)
        .collect();
    let listed: HashSet<ObjectId> = children.iter().copied().collect();
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
    fn only_rows_that_hang_from_the_folder_asked_for_are_taken() {
        let whole = [
            folder(2, Some(1)),
            folder(3, Some(2)),
            document(9, 3),
            document(8, 1),
        ];
        assert_eq!(hanging(whole.to_vec(), id(1)), Ok(whole.to_vec()));
        for (other, what) in [
            (folder(4, Some(7)), "the parent is elsewhere"),
            (document(7, 6), "the folder is elsewhere"),
            (folder(1, Some(7)), "it is the folder itself"),
            (folder(5, Some(5)), "a circle"),
        ] {
            let mut rows = whole.to_vec();
            rows.push(other);
            assert_eq!(hanging(rows, id(1)), Ok(whole.to_vec()), "{what}");
        }
        let mut rows = whole.to_vec();
        rows.push(folder(4, None));
        assert!(hanging(rows, id(1)).is_err(), "without a parent it tells nothing");
        let elsewhere = [folder(2, Some(3)), folder(3, Some(2)), document(8, 1)];
        assert!(hanging(elsewhere.to_vec(), id(1)).is_err());
        assert_eq!(hanging(Vec::new(), id(1)), Ok(Vec::new()));
    }

    #[test]
    fn rows_must_be_the_children_that_are_listed() {
        let rows = [folder(2, Some(1)), document(8, 1), document(9, 2)];
        let ids: Vec<ObjectId> = rows.iter().map(Entry::id).collect();
        assert_eq!(agrees(&rows, id(1), &ids[..2]), Ok(()));
        assert!(agrees(&rows, id(1), &ids[..1]).is_err(), "one too many");
        assert!(agrees(&rows[..1], id(1), &ids[..2]).is_err(), "one is missing");
        assert_eq!(agrees(&rows, id(3), &[]), Ok(()));
    }
}
