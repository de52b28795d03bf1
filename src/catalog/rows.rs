//! The rows of a listing on disk.
//!
//! Only what differs is written: a folder of 100 000 documents, one of which was renamed, costs one row.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::codec::{Count, Id, Tag, Time, Unreadable, unreadable, wide};
use crate::model::{ContentTag, Document, DocumentId, DocumentKind, Entry, Folder, FolderId, Timestamp};
use crate::names::FileName;
use crate::store::listing::{Listing, Row};

/// The columns of an entry after its listing, in the order of [`cells`] and [`decode`].
pub(super) const COLUMNS: &str = "slot, guid, kind, shown, tag, name, file_name, description, version, active, \
    size, file_updated, updated, created, state, mime_type, etag, parent";

const WIDTH: usize = 18;

/// The slot of what is listed and shown nowhere; no row has it.
const HIDDEN: u64 = 0;

const FOLDER: i64 = 0;
const WORK_AREA: i64 = 1;
const FILE: i64 = 2;
const PLACEHOLDER: i64 = 3;
const SET: i64 = 4;

/// An entry as it stands in the database.
pub(super) struct Kept {
    /// Its row; `None` for what is listed and shown nowhere.
    pub(super) row: Option<Row>,
    /// The whole entry.
    pub(super) entry: Arc<Entry>,
}

type Cells<'a> = [ToSqlOutput<'a>; WIDTH];

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn optional(value: Option<&str>) -> ToSqlOutput<'_> {
    value.map_or(NULL, text)
}

fn time(time: Option<Timestamp>) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(Time::optional(time))
}

const NULL: ToSqlOutput<'static> = ToSqlOutput::Borrowed(ValueRef::Null);

fn integer(number: i64) -> ToSqlOutput<'static> {
    ToSqlOutput::Borrowed(ValueRef::Integer(number))
}

fn blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
}

/// The tag as its revision where the rest is as listed, which saves room, else in words.
fn tag(entry: &Entry, tag: Option<ContentTag>) -> ToSqlOutput<'static> {
    match (entry, tag) {
        (_, None) => NULL,
        (Entry::Document(document), Some(tag)) if document.content_tag(tag.revision) == tag => {
            integer(tag.revision.into())
        }
        (_, Some(tag)) => ToSqlOutput::Owned(Value::Text(tag.to_string())),
    }
}

fn cells<'a>(
    slot: u64,
    shown: Option<&'a FileName>,
    shown_tag: Option<ContentTag>,
    entry: &'a Entry,
) -> Cells<'a> {
    let slot = ToSqlOutput::Owned(wide(slot.into()));
    let shown = optional(shown.map(FileName::as_str));
    let tag = tag(entry, shown_tag);
    match entry {
        Entry::Folder(folder) => [
            slot,
            blob(folder.id.0.as_bytes()),
            integer(if folder.work_area { WORK_AREA } else { FOLDER }),
            shown,
            tag,
            text(&folder.name),
            NULL,
            text(&folder.description),
            NULL,
            NULL,
            NULL,
            NULL,
            time(folder.updated),
            time(folder.created),
            NULL,
            NULL,
            optional(folder.etag.as_deref()),
            folder.parent.as_ref().map_or(NULL, |id| blob(id.0.as_bytes())),
        ],
        Entry::Document(document) => [
            slot,
            blob(document.id.0.as_bytes()),
            integer(match document.kind {
                DocumentKind::File => FILE,
                DocumentKind::Placeholder => PLACEHOLDER,
                DocumentKind::Set => SET,
            }),
            shown,
            tag,
            text(&document.name),
            optional(document.file_name.as_deref()),
            text(&document.description),
            text(&document.version),
            integer(document.active.into()),
            document
                .size
                .map_or(NULL, |size| ToSqlOutput::Owned(wide(size.into()))),
            time(document.file_updated),
            time(document.updated),
            time(document.created),
            optional(document.state.as_deref()),
            optional(document.mime_type.as_deref()),
            optional(document.etag.as_deref()),
            document.folder.as_ref().map_or(NULL, |id| blob(id.0.as_bytes())),
        ],
    }
}

/// An entry from the columns of [`COLUMNS`], the first of which is `first`.
pub(super) fn decode(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Kept> {
    let Count(slot) = row.get(first)?;
    let Id(guid) = row.get(first + 1)?;
    let kind: i64 = row.get(first + 2)?;
    let parent = row
        .get::<_, Option<Id>>(first + 17)?
        .map(|Id(guid)| FolderId(guid));
    let time = |at: usize| {
        row.get::<_, Option<Time>>(first + at)
            .map(|time| time.map(|Time(time)| time))
    };
    let entry = match kind {
        FOLDER | WORK_AREA => Entry::Folder(Folder {
            id: FolderId(guid),
            parent,
            name: row.get(first + 5)?,
            description: row.get(first + 7)?,
            work_area: kind == WORK_AREA,
            created: time(13)?,
            updated: time(12)?,
            etag: row.get(first + 16)?,
        }),
        FILE | PLACEHOLDER | SET => Entry::Document(Document {
            id: DocumentId(guid),
            folder: parent,
            name: row.get(first + 5)?,
            file_name: row.get(first + 6)?,
            description: row.get(first + 7)?,
            version: row.get(first + 8)?,
            active: row.get(first + 9)?,
            kind: match kind {
                FILE => DocumentKind::File,
                PLACEHOLDER => DocumentKind::Placeholder,
                _ => DocumentKind::Set,
            },
            size: row.get::<_, Option<Count>>(first + 10)?.map(|Count(size)| size),
            file_updated: time(11)?,
            updated: time(12)?,
            created: time(13)?,
            state: row.get(first + 14)?,
            mime_type: row.get(first + 15)?,
            etag: row.get(first + 16)?,
        }),
        other => return Err(unreadable(first + 2, Unreadable(other.to_string()))),
    };
    let tag = match (row.get_ref(first + 4)?, &entry) {
        (ValueRef::Null, _) => None,
        (ValueRef::Integer(_), Entry::Document(document)) => Some(document.content_tag(row.get(first + 4)?)),
        _ => Some(row.get::<_, Tag>(first + 4)?.0),
    };
    let entry = Arc::new(entry);
    let shown = match row.get_ref(first + 3)?.as_str_or_null() {
        Ok(None) => None,
        Ok(Some(name)) => Some(FileName::new(name).map_err(|error| unreadable(first + 3, error))?),
        Err(error) => return Err(unreadable(first + 3, error)),
    };
    Ok(Kept {
        row: shown.map(|name| Row {
            slot,
            name,
            entry: entry.clone(),
            tag,
        }),
        entry,
    })
}

/// The rows and the hidden entries of a listing.
pub(super) fn read(connection: &Connection, listing: i64) -> rusqlite::Result<(Vec<Row>, Vec<Arc<Entry>>)> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entries WHERE listing = ? ORDER BY slot, guid"
    ))?;
    let mut found = statement.query([listing])?;
    let (mut rows, mut hidden) = (Vec::new(), Vec::new());
    while let Some(row) = found.next()? {
        let kept = decode(row, 0)?;
        match kept.row {
            Some(row) => rows.push(row),
            None => hidden.push(kept.entry),
        }
    }
    Ok((rows, hidden))
}

/// Makes the rows of a listing those of `new`; returns how many were written or removed.
pub(super) fn write(connection: &Connection, listing: i64, new: &Listing) -> rusqlite::Result<usize> {
    let mut present: Vec<Cells<'_>> = Vec::with_capacity(new.len());
    for row in new.rows() {
        present.push(cells(row.slot, Some(&row.name), row.tag, &row.entry));
    }
    let mut hidden: Vec<&Arc<Entry>> = new.hidden().iter().collect();
    hidden.sort_by_key(|entry| entry.id().guid());
    for entry in hidden {
        present.push(cells(HIDDEN, None, None, entry));
    }
    // Both sides ascend by slot, hidden ones first, then by GUID.
    present.sort_by(|a, b| key(a).cmp(&key(b)));
    // A server that lists one thing twice: the last one stands.
    present.reverse();
    present.dedup_by(|a, b| key(a) == key(b));
    present.reverse();

    let (mut changed, mut removed) = (Vec::new(), Vec::new());
    {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entries WHERE listing = ? ORDER BY slot, guid"
        ))?;
        let mut found = statement.query([listing])?;
        let mut next = 0;
        while let Some(row) = found.next()? {
            let slot = Count::of(row.get_ref(0)?)?;
            let guid = row.get_ref(1)?.as_blob().unwrap_or_default();
            while next < present.len() && key(&present[next]) < (slot, guid) {
                changed.push(next);
                next += 1;
            }
            if next < present.len() && key(&present[next]) == (slot, guid) {
                if !is_same(&present[next], row)? {
                    changed.push(next);
                }
                next += 1;
            } else {
                removed.push((slot, guid.to_vec()));
            }
        }
        changed.extend(next..present.len());
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM entries WHERE listing = ? AND slot = ? AND guid = ?")?;
    for (slot, guid) in &removed {
        delete.execute((listing, wide((*slot).into()), guid))?;
    }
    let mut put = connection.prepare_cached(&format!(
        "INSERT OR REPLACE INTO entries (listing, {COLUMNS}) VALUES (?{})",
        ", ?".repeat(WIDTH)
    ))?;
    for &index in &changed {
        let listing = ToSqlOutput::Owned(Value::Integer(listing));
        put.execute(params_from_iter(std::iter::once(&listing).chain(&present[index])))?;
    }
    Ok(changed.len() + removed.len())
}

/// What the rows of a listing are ordered by.
fn key<'a>(cells: &'a Cells<'_>) -> (u64, &'a [u8]) {
    let slot = Count::of(value(&cells[0])).unwrap_or_default();
    let guid = value(&cells[1]).as_blob().unwrap_or_default();
    (slot, guid)
}

fn value<'a>(cell: &'a ToSqlOutput<'_>) -> ValueRef<'a> {
    match cell {
        ToSqlOutput::Borrowed(value) => *value,
        ToSqlOutput::Owned(value) => value.into(),
        _ => ValueRef::Null,
    }
}

fn is_same(cells: &Cells<'_>, row: &rusqlite::Row<'_>) -> rusqlite::Result<bool> {
    for (at, cell) in cells.iter().enumerate() {
        if row.get_ref(at)? != value(cell) {
            return Ok(false);
        }
    }
    Ok(true)
}
