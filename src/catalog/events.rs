//! The rows of the journal.

use rusqlite::{Connection, OptionalExtension, params};

use super::DirKey;
use super::codec::{Count, Id, Time, Unreadable, unreadable};
use super::journal::{Change, Event, Reason};
use super::told::{kind, object};
use crate::model::{DocumentId, FolderId, Guid, ObjectId, Timestamp};

const COLUMNS: &str = "at, kind, guid, parent, name, tag, change, detail, old, old_name";

/// `detail` of an addition: with the first listing of its folder.
const FIRST: &str = "first";
/// `detail` of a modification: the bytes too.
const CONTENT: &str = "content";
/// `detail` of rights.
const READABLE: &str = "readable";

impl Reason {
    /// The word for it, in the database and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Denied => "denied",
            Self::Moved => "moved",
            Self::Unknown => "unknown",
        }
    }
}

impl Change {
    /// The word for it, in the database and in output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Modify { .. } => "modify",
            Self::NewVersion { .. } => "new_version",
            Self::Rename { .. } => "rename",
            Self::Move { .. } => "move",
            Self::Gone { .. } => "gone",
            Self::Rights { .. } => "rights",
        }
    }
}

/// Adds a row; its number is given by the database.
pub(super) fn put(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let (mut detail, mut old, mut old_name): (Option<&str>, Option<Guid>, Option<&str>) = (None, None, None);
    match &event.change {
        Change::Add { first } => detail = first.then_some(FIRST),
        Change::Modify { content } => detail = content.then_some(CONTENT),
        Change::NewVersion { old: before } => old = Some(before.guid()),
        Change::Rename { old_name: before } => old_name = Some(before),
        Change::Move {
            old_parent,
            old_name: before,
        } => {
            old = Some(old_parent.guid());
            old_name = Some(before);
        }
        Change::Gone { reason } => detail = Some(reason.as_str()),
        Change::Rights { readable } => detail = readable.then_some(READABLE),
    }
    connection
        .prepare_cached(&format!(
            "INSERT INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            Time(event.at),
            kind(event.id),
            event.id.guid().as_bytes(),
            event.parent,
            event.name,
            event.tag,
            event.change.as_str(),
            detail,
            old.as_ref().map(Guid::as_bytes),
            old_name,
        ])?;
    Ok(())
}

fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<Event> {
    let id = object(row, 2, 3)?;
    let detail: Option<String> = row.get(8)?;
    let old = row.get::<_, Option<Id>>(9)?.map(|Id(guid)| guid);
    let old_name: Option<String> = row.get(10)?;
    let missing = |column| unreadable(column, Unreadable(String::new()));
    let change: String = row.get(7)?;
    let change = match change.as_str() {
        "add" => Change::Add {
            first: detail.is_some(),
        },
        "modify" => Change::Modify {
            content: detail.is_some(),
        },
        "new_version" => {
            let guid = old.ok_or_else(|| missing(9))?;
            Change::NewVersion {
                old: match id {
                    ObjectId::Folder(_) => ObjectId::Folder(FolderId(guid)),
                    ObjectId::Document(_) => ObjectId::Document(DocumentId(guid)),
                },
            }
        }
        "rename" => Change::Rename {
            old_name: old_name.ok_or_else(|| missing(10))?,
        },
        "move" => Change::Move {
            old_parent: DirKey::from_bytes(*old.ok_or_else(|| missing(9))?.as_bytes()),
            old_name: old_name.ok_or_else(|| missing(10))?,
        },
        "gone" => Change::Gone {
            reason: [Reason::Deleted, Reason::Denied, Reason::Moved, Reason::Unknown]
                .into_iter()
                .find(|reason| detail.as_deref() == Some(reason.as_str()))
                .ok_or_else(|| missing(8))?,
        },
        "rights" => Change::Rights {
            readable: detail.is_some(),
        },
        _ => return Err(unreadable(7, Unreadable(change))),
    };
    Ok(Event {
        sequence: row.get::<_, Count>(0)?.0,
        at: row.get::<_, Time>(1)?.0,
        id,
        parent: row.get(4)?,
        name: row.get(5)?,
        tag: row.get(6)?,
        change,
    })
}

/// At most `limit` rows after number `sequence`.
pub(super) fn after(connection: &Connection, sequence: u64, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT sequence, {COLUMNS} FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement
        .query_map(params![Count(sequence), limit], decode)?
        .collect()
}

/// The last `limit` rows about an object, newest first; those that made a new version of it too.
pub(super) fn of_object(connection: &Connection, guid: Guid, limit: usize) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare(&format!(
        "SELECT sequence, {COLUMNS} FROM events WHERE guid = ?1 OR (change = 'new_version' AND old = ?1)
            ORDER BY sequence DESC LIMIT ?2"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement
        .query_map(params![guid.as_bytes(), limit], decode)?
        .collect()
}

/// The last `limit` rows about whatever had a name in a directory, newest first.
pub(super) fn of_name(
    connection: &Connection,
    dir: DirKey,
    name: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare(&format!(
        "SELECT sequence, {COLUMNS} FROM events WHERE (parent = ?1 AND name = ?2)
            OR (old_name = ?2 AND (CASE change WHEN 'move' THEN old ELSE parent END) = ?1)
            ORDER BY sequence DESC LIMIT ?3"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement.query_map(params![dir, name, limit], decode)?.collect()
}

/// The number of the last row ever added; 0 before the first.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<u64> {
    // Kept by SQLite, also when the rows themselves were pruned.
    let last: Option<Count> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.map_or(0, |Count(last)| last))
}

/// Removes the rows that begin the journal and are older than `before`; returns how many, and the last one's number.
pub(super) fn prune(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Option<(u64, u64)>> {
    // One from the future was written while the clock was wrong: it must not keep all others for years.
    let first_kept: Option<Count> = connection
        .prepare_cached("SELECT sequence FROM events WHERE at >= ? AND at <= ? ORDER BY sequence LIMIT 1")?
        .query_row(params![Time(before), Time(now)], |row| row.get(0))
        .optional()?;
    let first_kept = match first_kept {
        Some(Count(first)) => first,
        None => last(connection)?.saturating_add(1),
    };
    let pruned = connection
        .prepare_cached("DELETE FROM events WHERE sequence < ?")?
        .execute([Count(first_kept)])?;
    Ok((pruned > 0).then(|| (pruned as u64, first_kept.saturating_sub(1))))
}
