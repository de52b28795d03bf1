//! One state of the journal: its rows, and what it has told of each object so far.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::codec::{Count, Id};
use super::journal::{Cursor, Since};
use super::told::{self, State, Told};
use super::{CatalogError, DirKey, journal};
use crate::model::{DocumentId, FolderId, ObjectId};

/// See the module.
pub struct Reading<'a> {
    connection: &'a Connection,
    head: Cursor,
}

/// What was told of an object in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub parent: DirKey,
    /// The object.
    pub id: ObjectId,
    /// The name it is shown by, or would be.
    pub name: String,
    /// Whether it is.
    pub shown: bool,
    /// The content tag, of a document with a file.
    pub tag: Option<String>,
    /// False while the server refuses it.
    pub readable: bool,
}

/// A way of a folder into another one, or out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The row that told it.
    pub sequence: u64,
    /// The other one.
    pub dir: DirKey,
    /// Which folder went.
    pub folder: FolderId,
    /// Its name in there.
    pub name: String,
    /// Whether it came, or left.
    pub is_in: bool,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(connection: &'a Connection, head: Cursor) -> Self {
        Self { connection, head }
    }

    /// Its end.
    pub const fn head(&self) -> Cursor {
        self.head
    }

    /// At most `limit` rows after `cursor`.
    pub fn since(&self, cursor: Cursor, limit: usize) -> Result<Since, CatalogError> {
        reading(journal::since(self.connection, self.head, cursor, limit))
    }

    /// Where an object was told to be.
    pub fn places(&self, id: ObjectId) -> Result<Vec<Place>, CatalogError> {
        let found = reading(told::everywhere(self.connection, id.guid()))?;
        Ok(found
            .into_iter()
            .filter(|told| told.said.id == id)
            .filter_map(place)
            .collect())
    }

    /// What was told to be in a folder.
    pub fn inside(&self, dir: DirKey) -> Result<Vec<Place>, CatalogError> {
        let mut found = Vec::new();
        reading(told::each_in(self.connection, dir, |told| {
            found.extend(place(told));
        }))?;
        Ok(found)
    }

    /// Every way of a folder into another one, or out of it, that was told after `sequence`, in order. Takes room for each.
    pub fn passages(&self, sequence: u64) -> Result<Vec<Passage>, CatalogError> {
        let found = || {
            self.connection
                .prepare_cached(
                    "SELECT sequence, parent, guid, name, 1 FROM events
                        WHERE sequence > ?1 AND kind = ?2 AND change IN ('add', 'move')
                     UNION ALL
                     SELECT sequence, old, guid, old_name, 0 FROM events
                        WHERE sequence > ?1 AND kind = ?2 AND change = 'move'
                     UNION ALL
                     SELECT sequence, parent, guid, name, 0 FROM events
                        WHERE sequence > ?1 AND kind = ?2 AND change = 'gone'
                     ORDER BY sequence",
                )?
                .query_map(params![Count(sequence), told::FOLDER], |row| {
                    Ok(Passage {
                        sequence: row.get::<_, Count>(0)?.0,
                        dir: row.get(1)?,
                        folder: FolderId(row.get::<_, Id>(2)?.0),
                        name: row.get(3)?,
                        is_in: row.get(4)?,
                    })
                })?
                .collect()
        };
        reading(found())
    }

    /// Every document that a row after `sequence` brought into a folder, with the number of the last such row. Takes room
    /// for each.
    pub fn arrivals(&self, sequence: u64) -> Result<HashMap<(DirKey, DocumentId), u64>, CatalogError> {
        let found = || {
            self.connection
                .prepare_cached(
                    "SELECT parent, guid, sequence FROM events WHERE sequence > ?1 AND kind <> ?2
                        AND change IN ('add', 'move', 'new_version') ORDER BY sequence",
                )?
                .query_map(params![Count(sequence), told::FOLDER], |row| {
                    let document = DocumentId(row.get::<_, Id>(1)?.0);
                    Ok(((row.get(0)?, document), row.get::<_, Count>(2)?.0))
                })?
                .collect()
        };
        reading(found())
    }
}

/// As it was told: what is on its way out has not left yet, what another folder has shown since is there.
fn place(told: Told) -> Option<Place> {
    match told.state {
        State::Here | State::Leaving(_) => Some(Place {
            parent: told.parent,
            id: told.said.id,
            name: told.said.name,
            shown: told.said.shown,
            tag: told.said.tag,
            readable: told.readable,
        }),
        State::Ceded(_) => None,
    }
}

fn reading<T>(found: rusqlite::Result<T>) -> Result<T, CatalogError> {
    found.map_err(|source| CatalogError::Sqlite {
        doing: "reading the journal",
        source,
    })
}
