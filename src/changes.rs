//! What changed below a directory, for whoever keeps a copy: rows of the journal, as docs/pipelines.md has them.
//!
//! A journal tells of a whole datasource, and a copy is of a part of it. That is simple until you consider that:
//! 1. folders move in and out of that part, with everything below them, which is told of the folder alone;
//! 2. a folder may have been told of by another mount, before anybody knew that it is in this part;
//! 3. whoever reads may stop after any row, and goes on from there;
//! 4. what is known is how things are now, and rows are read that were written long before.
//!
//! Where things are is taken from what the journal has told, so that neither a deleted cache nor an outage matters. What comes
//! in with a folder is told as additions right after it, unless rows of its own follow: 1, 2. Until the last of them is told,
//! cursors stay before the folder: 3. Where folders were at a row is found by going back over the ways they took since: 4.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::catalog::journal::{Change, Cursor, Event, Since};
use crate::catalog::reading::{Place, Reading};
use crate::catalog::{CatalogError, DirKey};
use crate::model::{DocumentId, ObjectId, Timestamp};

mod later;

use later::Later;

/// A change, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// Where to go on once it is dealt with.
    pub cursor: String,
    /// When the listing that showed it was asked for.
    pub at: Timestamp,
    /// What happened, as a word.
    pub change: &'static str,
    /// `folder` or `document`.
    pub kind: &'static str,
    /// What.
    pub guid: String,
    /// The folder it is in, or was.
    pub folder_guid: String,
    /// The name it has there, or had.
    pub name: String,
    /// Where it is now, where that is in scope; of what is gone, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// It is no longer in scope.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// The content tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What goes with the word.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What there is to say of a change beside its word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Detail {
    /// Of an addition: it came with the first listing of its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<bool>,
    /// Of an addition: the folder it came into scope with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub came_with: Option<String>,
    /// Of a modification: whether the bytes changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<bool>,
    /// Of a new version: the GUID before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_guid: Option<String>,
    /// Of a rename or a move: the name before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_name: Option<String>,
    /// Of a move: the folder before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_folder_guid: Option<String>,
    /// Of a move: where it was, where that is in scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_path: Option<String>,
    /// Of what is gone: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Of rights, and of an addition that the server refuses: whether it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<bool>,
}

/// The part of a datasource that is wanted: the topmost directories, and where each is in the mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope(pub Vec<(DirKey, String)>);

impl Scope {
    fn path_of(&self, dir: DirKey) -> Option<&str> {
        let found = self.0.iter().find(|(top, _)| *top == dir);
        found.map(|(_, path)| path.as_str())
    }
}

/// What a step along the journal came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More may follow; this was told up to here.
    On(Cursor),
    /// Everything was told.
    End(Cursor),
    /// The journal cannot tell.
    Resync {
        /// Where its end is.
        head: Cursor,
        /// Why not, in words.
        why: &'static str,
    },
}

/// So many rows are read at a time.
const BATCH: usize = 500;

/// Goes along the journal.
pub struct Changes {
    scope: Scope,
    cursor: Cursor,
    /// Where folders go after the cursor.
    later: Later,
}

impl Changes {
    /// Of `scope`, after `cursor`.
    pub fn new(scope: Scope, cursor: Cursor) -> Self {
        Self {
            scope,
            cursor,
            later: Later::default(),
        }
    }

    /// Hands the next rows to `take`, in order. Blocks as long as `take` does.
    ///
    /// # Errors
    /// The first error of `take`, or why the journal cannot be read.
    pub fn step<E: From<CatalogError>>(
        &mut self,
        reading: &Reading<'_>,
        take: &mut dyn FnMut(ChangeRow) -> Result<(), E>,
    ) -> Result<Step, E> {
        let head = reading.head();
        let events = match reading.since(self.cursor, BATCH)? {
            Since::Events(events) => events,
            Since::Resync => return Ok(self.lost(head)),
        };
        let Some(last) = events.last() else {
            return Ok(Step::End(self.cursor));
        };
        let end = Cursor {
            epoch: head.epoch,
            sequence: last.sequence,
        };
        self.later.read_on(reading, self.cursor.sequence)?;
        let mut sight = Sight {
            reading,
            scope: &self.scope,
            later: &self.later,
            from: self.cursor.sequence,
            arrivals: None,
            known: HashMap::new(),
            inside: HashMap::new(),
        };
        for event in &events {
            let here = Cursor {
                epoch: head.epoch,
                sequence: event.sequence,
            };
            let mut rows = sight.rows(event)?;
            if let Some((last, before)) = rows.split_last_mut() {
                for row in before {
                    row.cursor = self.cursor.to_string();
                }
                last.cursor = here.to_string();
            }
            rows.into_iter().try_for_each(&mut *take)?;
            self.cursor = here;
        }
        Ok(if end == head {
            // Nothing of it is later any more.
            self.later = Later::default();
            Step::End(end)
        } else {
            Step::On(end)
        })
    }

    fn lost(&self, head: Cursor) -> Step {
        let why = if self.cursor.epoch != head.epoch {
            "it is another journal: the one before was lost"
        } else if self.cursor.sequence > head.sequence {
            "the journal does not reach so far: it was put back to an older state"
        } else {
            "the journal does not reach back so far"
        };
        Step::Resync { head, why }
    }
}

/// Where a directory is, as far as the scope goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whereabouts {
    Outside,
    /// In scope; `None` below something that is shown nowhere.
    Inside(Option<String>),
}

/// What is looked up for some rows.
struct Sight<'a> {
    reading: &'a Reading<'a>,
    scope: &'a Scope,
    later: &'a Later,
    /// The row before the first one.
    from: u64,
    /// See [`Reading::arrivals`]; only where it is needed.
    arrivals: Option<HashMap<(DirKey, DocumentId), u64>>,
    /// Where directories are now.
    known: HashMap<DirKey, Whereabouts>,
    /// Which are in scope at the row that is looked at.
    inside: HashMap<DirKey, bool>,
}

impl Sight<'_> {
    /// What there is to tell of one row of the journal; none where it is not in scope. Cursors are left empty.
    ///
    /// Whether something is in scope is decided as it was at that row: who reads it has read no further.
    fn rows(&mut self, event: &Event) -> Result<Vec<ChangeRow>, CatalogError> {
        // Before it goes: a folder may go into one that is below it, and until that goes elsewhere both are nowhere.
        let was_inside = match &event.change {
            Change::Move { old_parent, .. } => {
                Some(self.is_inside(*old_parent, event.sequence.saturating_sub(1))?)
            }
            _ => None,
        };
        if let ObjectId::Folder(folder) = event.id
            && self.later.has_way_at(folder, event.sequence)
        {
            self.inside.clear();
        }
        let is_inside = self.is_inside(event.parent, event.sequence)?;
        let was_inside = was_inside.unwrap_or(is_inside);
        if !(is_inside || was_inside) {
            return Ok(self.of_a_top(event).into_iter().collect());
        }
        let here = self.whereabouts(event.parent)?;
        let mut row = row(event);
        row.path = match &event.change {
            Change::Gone { .. } => joined(&here, &event.name),
            _ => self.place(event.parent, event.id, &here)?,
        };
        row.left = !is_inside;
        if let Change::Move { old_name, old_parent } = &event.change {
            row.detail.old_path = joined(&self.whereabouts(*old_parent)?, old_name);
        }
        let comes_in = match &event.change {
            Change::Add { .. } => true,
            Change::Move { .. } if is_inside && !was_inside => {
                // Who reads has not heard of it before.
                let places = self.reading.places(event.id)?;
                let is_here = |place: &&Place| place.parent == event.parent;
                let is_refused = places.iter().find(is_here).is_some_and(|place| !place.readable);
                row.detail.readable = is_refused.then_some(false);
                true
            }
            _ => false,
        };
        let mut rows = vec![row];
        if let (true, ObjectId::Folder(folder)) = (comes_in, event.id) {
            self.bring(DirKey::folder(folder), event, &mut rows)?;
        }
        Ok(rows)
    }

    /// Whether a directory was in scope at the row `sequence`.
    fn is_inside(&mut self, dir: DirKey, sequence: u64) -> Result<bool, CatalogError> {
        let mut seen = HashSet::new();
        let mut queue = vec![dir];
        let mut found = false;
        while let Some(dir) = queue.pop() {
            if self.scope.path_of(dir).is_some() || self.inside.get(&dir) == Some(&true) {
                found = true;
                break;
            }
            // A folder that was moved below its own child is above itself.
            if self.inside.contains_key(&dir) || !seen.insert(dir) {
                continue;
            }
            if let Some(folder) = dir.as_folder() {
                let now = self.reading.places(ObjectId::Folder(folder))?;
                queue.extend(self.later.above(folder, sequence, &now));
            }
        }
        self.inside.insert(dir, found);
        Ok(found)
    }

    /// Of a topmost folder, wherever it is, only what concerns what is below it.
    fn of_a_top(&self, event: &Event) -> Option<ChangeRow> {
        let ObjectId::Folder(folder) = event.id else {
            return None;
        };
        let path = self.scope.path_of(DirKey::folder(folder))?;
        matches!(event.change, Change::Gone { .. } | Change::Rights { .. }).then(|| ChangeRow {
            path: Some(path.to_owned()),
            ..row(event)
        })
    }

    /// What is below a folder that comes into scope, as additions; without what has a row of its own later.
    fn bring(&mut self, top: DirKey, event: &Event, rows: &mut Vec<ChangeRow>) -> Result<(), CatalogError> {
        let came_with = top.guid().to_string();
        let (mut queue, mut seen) = (vec![top], HashSet::from([top]));
        while let Some(dir) = queue.pop() {
            let inside = self.then(dir, event.sequence)?;
            if inside.is_empty() {
                continue;
            }
            let here = self.whereabouts(dir)?;
            for place in inside {
                if let ObjectId::Folder(folder) = place.id
                    && seen.insert(DirKey::folder(folder))
                {
                    queue.push(DirKey::folder(folder));
                }
                rows.push(ChangeRow {
                    path: joined(&here, &place.name).filter(|_| place.shown),
                    ..brought(place, event.at, &came_with)
                });
            }
        }
        Ok(())
    }

    /// What was in `dir` at the row `sequence`, without documents that have a row of their own later.
    fn then(&mut self, dir: DirKey, sequence: u64) -> Result<Vec<Place>, CatalogError> {
        let now = self.reading.inside(dir)?;
        let mut then = self.later.folders(dir, sequence, &now);
        let arrivals = match &mut self.arrivals {
            Some(arrivals) => arrivals,
            none => none.insert(self.reading.arrivals(self.from)?),
        };
        then.extend(now.into_iter().filter(|place| match place.id {
            ObjectId::Document(document) => {
                let last = arrivals.get(&(place.parent, document));
                last.is_none_or(|last| *last <= sequence)
            }
            ObjectId::Folder(_) => false,
        }));
        Ok(then)
    }

    /// The path of what is shown in `dir`, whose whereabouts are `here`, as of now.
    fn place(&self, dir: DirKey, id: ObjectId, here: &Whereabouts) -> Result<Option<String>, CatalogError> {
        if *here == Whereabouts::Outside {
            return Ok(None);
        }
        let places = self.reading.places(id)?;
        let place = places
            .into_iter()
            .find(|place| place.parent == dir && place.shown);
        Ok(place.and_then(|place| joined(here, &place.name)))
    }

    fn whereabouts(&mut self, dir: DirKey) -> Result<Whereabouts, CatalogError> {
        self.climb(dir, &mut HashSet::new())
    }

    fn climb(&mut self, dir: DirKey, seen: &mut HashSet<DirKey>) -> Result<Whereabouts, CatalogError> {
        if let Some(path) = self.scope.path_of(dir) {
            return Ok(Whereabouts::Inside(Some(path.to_owned())));
        }
        if let Some(known) = self.known.get(&dir) {
            return Ok(known.clone());
        }
        let Some(folder) = dir.as_folder() else {
            return Ok(Whereabouts::Outside);
        };
        // A folder that was moved below its own child is above itself.
        if !seen.insert(dir) {
            return Ok(Whereabouts::Outside);
        }
        let mut found = Whereabouts::Outside;
        for place in self.reading.places(ObjectId::Folder(folder))? {
            let above = self.climb(place.parent, seen)?;
            if above != Whereabouts::Outside {
                found = Whereabouts::Inside(joined(&above, &place.name).filter(|_| place.shown));
                break;
            }
        }
        // What was found on the way round a circle holds for this way alone.
        if seen.len() == 1 || found != Whereabouts::Outside {
            self.known.insert(dir, found.clone());
        }
        Ok(found)
    }
}

/// The path of a name in a directory.
fn joined(dir: &Whereabouts, name: &str) -> Option<String> {
    match dir {
        Whereabouts::Outside | Whereabouts::Inside(None) => None,
        Whereabouts::Inside(Some(path)) if path.is_empty() => Some(name.to_owned()),
        Whereabouts::Inside(Some(path)) => Some(format!("{path}/{name}")),
    }
}

const fn kind(id: ObjectId) -> &'static str {
    match id {
        ObjectId::Folder(_) => "folder",
        ObjectId::Document(_) => "document",
    }
}

fn row(event: &Event) -> ChangeRow {
    let mut detail = Detail::default();
    match &event.change {
        Change::Add { first } => detail.first = Some(*first),
        Change::Modify { content } => detail.content = Some(*content),
        Change::NewVersion { old } => detail.old_guid = Some(old.guid().to_string()),
        Change::Rename { old_name } => detail.old_name = Some(old_name.clone()),
        Change::Move { old_parent, old_name } => {
            detail.old_folder_guid = Some(old_parent.guid().to_string());
            detail.old_name = Some(old_name.clone());
        }
        Change::Gone { reason } => detail.reason = Some(reason.as_str()),
        Change::Rights { readable } => detail.readable = Some(*readable),
    }
    ChangeRow {
        cursor: String::new(),
        at: event.at,
        change: event.change.as_str(),
        kind: kind(event.id),
        guid: event.id.guid().to_string(),
        folder_guid: event.parent.guid().to_string(),
        name: event.name.clone(),
        path: None,
        left: false,
        tag: event.tag.clone(),
        detail,
    }
}

fn brought(place: Place, at: Timestamp, came_with: &str) -> ChangeRow {
    ChangeRow {
        cursor: String::new(),
        at,
        change: "add",
        kind: kind(place.id),
        guid: place.id.guid().to_string(),
        folder_guid: place.parent.guid().to_string(),
        name: place.name,
        path: None,
        left: false,
        tag: place.tag,
        detail: Detail {
            came_with: Some(came_with.to_owned()),
            readable: (!place.readable).then_some(false),
            ..Detail::default()
        },
    }
}
