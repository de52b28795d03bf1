//! What the journal last said of each object in each folder.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::DirKey;
use super::codec::{self, Id, Time, stamp};
use crate::clock::Stamp;
use crate::model::{ContentTag, Document, DocumentId, DocumentKind, Entry, Folder, FolderId, Guid, ObjectId};
use crate::names::{self, Place};
use crate::store::listing::{Listing, Row};

pub(super) const FOLDER: i64 = 0;
const DOCUMENT: i64 = 1;

/// How the journal writes what kind of object it is.
pub(super) const fn kind(id: ObjectId) -> i64 {
    match id {
        ObjectId::Folder(_) => FOLDER,
        ObjectId::Document(_) => DOCUMENT,
    }
}

/// The object of a kind and a GUID.
pub(super) fn object(row: &rusqlite::Row<'_>, kind: usize, guid: usize) -> rusqlite::Result<ObjectId> {
    let Id(guid) = row.get(guid)?;
    match row.get(kind)? {
        FOLDER => Ok(ObjectId::Folder(FolderId(guid))),
        DOCUMENT => Ok(ObjectId::Document(DocumentId(guid))),
        other => Err(codec::unreadable(kind, codec::Unreadable(i64::to_string(&other)))),
    }
}

/// Orders objects as the table does.
pub(super) fn key(id: ObjectId) -> (Guid, i64) {
    (id.guid(), kind(id))
}

/// What there is to say of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) id: ObjectId,
    /// The name it is shown by, or would be.
    pub(super) name: String,
    /// Whether it is: two mounts may differ in that, and the journal serves both.
    pub(super) shown: bool,
    /// The content tag of a document with a file.
    pub(super) tag: Option<String>,
    /// The label of a document's version.
    pub(super) version: Option<String>,
    pub(super) file_name: Option<String>,
    /// A fingerprint of the properties that are listed, without those above.
    pub(super) looks: i64,
    /// A fingerprint of what moves with a rename or a new version too, which are told by themselves: the server's tag,
    /// when it changed, and the name beside the file name.
    pub(super) edition: i64,
}

impl Saying {
    /// Of a row that is shown.
    fn of_row(row: &Row) -> Self {
        let tag = match &*row.entry {
            Entry::Document(document) => tag_of(document.kind, row.tag),
            Entry::Folder(_) => None,
        };
        Self {
            name: row.name.as_str().to_owned(),
            shown: true,
            tag,
            ..Self::of_entry(&row.entry)
        }
    }

    /// Of an entry that is shown nowhere.
    fn of_entry(entry: &Entry) -> Self {
        match entry {
            Entry::Folder(folder) => Self {
                id: entry.id(),
                name: names::encode(&folder.name, Place::Folder),
                shown: false,
                tag: None,
                version: None,
                file_name: None,
                looks: looks_of_folder(folder),
                edition: fingerprint(&[stamp_text(folder.updated).as_deref(), folder.etag.as_deref()]),
            },
            Entry::Document(document) => Self {
                id: entry.id(),
                name: names::encode(
                    document.file_name.as_deref().unwrap_or(&document.name),
                    Place::Folder,
                ),
                shown: false,
                tag: None,
                version: Some(document.version.clone()),
                file_name: document.file_name.clone(),
                looks: looks_of_document(document),
                edition: fingerprint(&[
                    stamp_text(document.updated).as_deref(),
                    document.etag.as_deref(),
                    Some(&document.name),
                ]),
            },
        }
    }

    /// Of everything in a listing, in the order of the table. What is listed twice is said once.
    pub(super) fn of(listing: &Listing) -> Vec<Self> {
        let mut all: Vec<Self> = listing.rows().iter().map(Self::of_row).collect();
        all.extend(listing.hidden().iter().map(|entry| Self::of_entry(entry)));
        // Stable: what is shown stands before what is not.
        all.sort_by_key(|saying| key(saying.id));
        all.dedup_by_key(|saying| saying.id);
        all
    }
}

/// The tag that is told of a document. One without a file has a length by convention only, and only where it is shown.
pub(super) fn tag_of(kind: DocumentKind, tag: Option<ContentTag>) -> Option<String> {
    tag.filter(|_| kind == DocumentKind::File)
        .map(|tag| tag.to_string())
}

pub(super) fn stamp_text(time: Option<crate::model::Timestamp>) -> Option<String> {
    time.map(|time| time.as_nanosecond().to_string())
}

fn looks_of_folder(folder: &Folder) -> i64 {
    fingerprint(&[
        Some(&folder.description),
        Some(if folder.work_area { "1" } else { "0" }),
        stamp_text(folder.created).as_deref(),
    ])
}

fn looks_of_document(document: &Document) -> i64 {
    let kind = match document.kind {
        DocumentKind::File => "file",
        DocumentKind::Placeholder => "placeholder",
        DocumentKind::Set => "set",
    };
    fingerprint(&[
        Some(&document.description),
        Some(kind),
        stamp_text(document.created).as_deref(),
        document.state.as_deref(),
        document.mime_type.as_deref(),
    ])
}

/// 64 bits of a hash: two that differ are alike once in more edits than there will be.
pub(super) fn fingerprint(parts: &[Option<&str>]) -> i64 {
    let mut hash = Sha256::new();
    for part in parts {
        match part {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(bytes)
}

/// Whether an object is where the journal said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is.
    Here,
    /// It left for this folder, which has not shown it yet: nothing was said of that.
    Leaving(DirKey),
    /// Another folder has shown it when asked at this time, which was told as a move. This folder has not been asked
    /// since.
    Ceded(Stamp),
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) parent: DirKey,
    pub(super) said: Saying,
    pub(super) readable: bool,
    pub(super) state: State,
}

/// What is known of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FolderTold {
    /// When what was told was asked for.
    pub(super) asked: Stamp,
    /// True if the folder itself was said to be gone since, and with it what is in it.
    pub(super) gone: bool,
}

const COLUMNS: &str = "parent, guid, kind, name, shown, tag, version, file_name, looks, edition, readable, \
    leaving_to, ceded, ceded_boot, ceded_moment";

fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<Told> {
    let leaving: Option<DirKey> = row.get(11)?;
    let state = match leaving {
        Some(to) => State::Leaving(to),
        None if row.get::<_, Option<Time>>(12)?.is_some() => State::Ceded(stamp(row, 12)?),
        None => State::Here,
    };
    Ok(Told {
        parent: row.get(0)?,
        said: Saying {
            id: object(row, 2, 1)?,
            name: row.get(3)?,
            shown: row.get(4)?,
            tag: row.get(5)?,
            version: row.get(6)?,
            file_name: row.get(7)?,
            looks: row.get(8)?,
            edition: row.get(9)?,
        },
        readable: row.get(10)?,
        state,
    })
}

fn all(connection: &Connection, condition: &str, by: impl rusqlite::Params) -> rusqlite::Result<Vec<Told>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM told WHERE {condition} ORDER BY parent, guid, kind"
    ))?;
    statement.query_map(by, decode)?.collect()
}

/// What was said of a folder's contents, in order, as `look` takes it one by one.
pub(super) fn each_in(
    connection: &Connection,
    dir: DirKey,
    mut look: impl FnMut(Told),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM told WHERE parent = ? ORDER BY guid, kind"
    ))?;
    let mut rows = statement.query([dir])?;
    while let Some(row) = rows.next()? {
        look(decode(row)?);
    }
    Ok(())
}

/// Where else an object was said to be.
pub(super) fn elsewhere(connection: &Connection, id: ObjectId, dir: DirKey) -> rusqlite::Result<Vec<Told>> {
    all(
        connection,
        "guid = ? AND kind = ? AND parent <> ?",
        params![id.guid().as_bytes(), kind(id), dir],
    )
}

/// Everywhere an object was said to be, whatever its kind.
pub(super) fn everywhere(connection: &Connection, guid: Guid) -> rusqlite::Result<Vec<Told>> {
    all(connection, "guid = ?", [guid.as_bytes()])
}

/// True if an object was told to be in `dir`, and nothing speaks against it.
pub(super) fn is_here(connection: &Connection, dir: DirKey, id: ObjectId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM told WHERE parent = ? AND guid = ? AND kind = ?
                AND leaving_to IS NULL AND ceded IS NULL)",
        )?
        .query_row(params![dir, id.guid().as_bytes(), kind(id)], |row| row.get(0))
}

/// What left for `dir` and was not seen in it yet.
pub(super) fn expected(connection: &Connection, dir: DirKey) -> rusqlite::Result<Vec<Told>> {
    all(connection, "leaving_to = ?", [dir])
}

/// Every folder that something left for another one, which has not shown it yet, with that one.
pub(super) fn on_their_way(connection: &Connection) -> rusqlite::Result<Vec<(DirKey, DirKey)>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT parent, leaving_to FROM told INDEXED BY told_leaving WHERE leaving_to IS NOT NULL",
        )?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// What left `dir` for a folder that has not shown it yet.
pub(super) fn leaving(connection: &Connection, dir: DirKey) -> rusqlite::Result<Vec<Told>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM told INDEXED BY told_unsettled WHERE parent = ? AND leaving_to IS NOT NULL"
    ))?;
    statement.query_map([dir], decode)?.collect()
}

/// What in `dir` was told to be refused.
pub(super) fn refused(connection: &Connection, dir: DirKey) -> rusqlite::Result<HashSet<Guid>> {
    connection
        .prepare_cached("SELECT guid FROM told INDEXED BY told_refused WHERE parent = ? AND readable = 0")?
        .query_map([dir], |row| row.get::<_, Id>(0).map(|Id(guid)| guid))?
        .collect()
}

/// Everything that was told to be refused.
pub(super) fn all_refused(connection: &Connection) -> rusqlite::Result<HashSet<Guid>> {
    connection
        .prepare("SELECT guid FROM told INDEXED BY told_refused WHERE readable = 0")?
        .query_map([], |row| row.get::<_, Id>(0).map(|Id(guid)| guid))?
        .collect()
}

/// True if a folder was told to be refused.
pub(super) fn is_refused(connection: &Connection, dir: DirKey) -> rusqlite::Result<bool> {
    Ok(everywhere(connection, dir.guid())?
        .iter()
        .any(|told| !told.readable))
}

/// True if something is on its way out of `dir` or into it, or was seen elsewhere since.
pub(super) fn is_unsettled(connection: &Connection, dir: DirKey) -> rusqlite::Result<bool> {
    // The index by name: the planner, which knows no numbers, would read all of the folder.
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM told INDEXED BY told_unsettled WHERE parent = ?1 AND (leaving_to IS NOT NULL OR ceded IS NOT NULL))
            OR EXISTS (SELECT 1 FROM told WHERE leaving_to = ?1)",
    )?;
    statement.query_row([dir], |row| row.get(0))
}

/// Writes a row, in the place of the one before.
pub(super) fn put(connection: &Connection, told: &Told) -> rusqlite::Result<()> {
    let (leaving, ceded) = match &told.state {
        State::Here => (None, None),
        State::Leaving(to) => (Some(to), None),
        State::Ceded(at) => (None, Some(at)),
    };
    let said = &told.said;
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO told ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            told.parent,
            said.id.guid().as_bytes(),
            kind(said.id),
            said.name,
            said.shown,
            said.tag,
            said.version,
            said.file_name,
            said.looks,
            said.edition,
            told.readable,
            leaving,
            ceded.map(|at| Time(at.wall)),
            ceded.map(|at| at.boot.0),
            ceded.map(codec::moment),
        ])?;
    Ok(())
}

/// Forgets a row.
pub(super) fn remove(connection: &Connection, parent: DirKey, id: ObjectId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM told WHERE parent = ? AND guid = ? AND kind = ?")?
        .execute(params![parent, id.guid().as_bytes(), kind(id)])?;
    Ok(())
}

/// Forgets what was said of a folder's contents.
pub(super) fn clear(connection: &Connection, dir: DirKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM told WHERE parent = ?")?
        .execute([dir])?;
    Ok(())
}

/// What is known of a folder; `None` if nothing was ever told of it.
pub(super) fn folder(connection: &Connection, dir: DirKey) -> rusqlite::Result<Option<FolderTold>> {
    connection
        .prepare_cached("SELECT asked, asked_boot, asked_moment, gone FROM folders WHERE dir = ?")?
        .query_row([dir], |row| {
            Ok(FolderTold {
                asked: stamp(row, 0)?,
                gone: row.get(3)?,
            })
        })
        .optional()
}

/// Notes that a folder was told of as it was at `asked`.
pub(super) fn put_folder(connection: &Connection, dir: DirKey, asked: &Stamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO folders (dir, asked, asked_boot, asked_moment, gone) VALUES (?, ?, ?, ?, 0)",
        )?
        .execute(params![dir, Time(asked.wall), asked.boot.0, codec::moment(asked)])?;
    Ok(())
}

/// Notes that a folder was said to be gone. Nothing happens to one that was never told of.
pub(super) fn bury_folder(connection: &Connection, dir: DirKey) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE folders SET gone = 1 WHERE dir = ?")?
        .execute([dir])?;
    Ok(())
}
