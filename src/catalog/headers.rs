//! What the catalog keeps of each listing beside its rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, Count, Id, Time, Unreadable, stamp, unreadable, wide};
use super::{DirKey, Fetched, Proof, SavedListing, rows};
use crate::clock::Stamp;
use crate::model::{FolderId, ObjectId, Timestamp};
use crate::store::Residue;
use crate::store::listing::{Listing, Parts};

/// Prepares a connection for a look at everything: its inner pages are needed again for each listing. In KiB.
pub(super) fn read_much(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -8192)
}

/// A row of `listings`.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Its key among the entries.
    pub(super) listing: i64,
    pub(super) commit: u64,
    pub(super) asked: Stamp,
    pub(super) proof: Proof,
    pub(super) validator: Option<String>,
    pub(super) generation: u16,
    pub(super) changed: Timestamp,
    pub(super) next_slot: u64,
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

const COLUMNS: &str = "listing, commit_number, asked, asked_boot, asked_moment, proof, validator, generation, changed, \
    next_slot, bytes, entries";

const fn proof_number(proof: Proof) -> i64 {
    match proof {
        Proof::Paged => 0,
        Proof::Compared => 1,
        Proof::Confirmed => 2,
    }
}

fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<Header> {
    Ok(Header {
        listing: row.get(0)?,
        commit: row.get::<_, Count>(1)?.0,
        asked: stamp(row, 2)?,
        proof: match row.get::<_, i64>(5)? {
            0 => Proof::Paged,
            1 => Proof::Compared,
            2 => Proof::Confirmed,
            other => return Err(unreadable(5, Unreadable(other.to_string()))),
        },
        validator: row.get(6)?,
        generation: row.get(7)?,
        changed: row.get::<_, Time>(8)?.0,
        next_slot: row.get::<_, Count>(9)?.0,
        bytes: row.get::<_, Count>(10)?.0,
        entries: row.get::<_, Count>(11)?.0,
    })
}

/// The header of a listing; `None` if there is none.
pub(super) fn find(connection: &Connection, dir: DirKey) -> rusqlite::Result<Option<Header>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM listings WHERE dir = ?"))?
        .query_row([dir], decode)
        .optional()
}

/// When a listing was asked for, if it has an object.
pub(super) fn shown_in(
    connection: &Connection,
    dir: DirKey,
    id: ObjectId,
) -> rusqlite::Result<Option<Stamp>> {
    let is_document = matches!(id, ObjectId::Document(_));
    connection
        .prepare_cached(
            "SELECT asked, asked_boot, asked_moment FROM listings WHERE dir = ?1 AND EXISTS (
                SELECT 1 FROM entries WHERE guid = ?2 AND listing = listings.listing AND (kind > 1) = ?3)",
        )?
        .query_row(params![dir, id.guid().as_bytes(), is_document], |row| {
            stamp(row, 0)
        })
        .optional()
}

/// When a listing was asked for.
pub(super) fn asked(connection: &Connection, dir: DirKey) -> rusqlite::Result<Option<Stamp>> {
    connection
        .prepare_cached("SELECT asked, asked_boot, asked_moment FROM listings WHERE dir = ?")?
        .query_row([dir], |row| stamp(row, 0))
        .optional()
}

/// The whole listing of a header.
pub(super) fn load(connection: &Connection, header: &Header) -> rusqlite::Result<SavedListing> {
    let (rows, hidden) = rows::read(connection, header.listing)?;
    let listing = Listing::restore(Parts {
        generation: header.generation,
        changed: header.changed,
        rows,
        hidden,
        next_slot: header.next_slot,
    });
    let mut statement = connection.prepare_cached(
        "SELECT entries.guid, listings.changed, listings.next_slot FROM entries INDEXED BY entries_folders JOIN listings
            ON listings.dir = entries.guid WHERE entries.listing = ? AND entries.kind <= 1",
    )?;
    let below = statement
        .query_map([header.listing], |row| {
            let residue = Residue {
                changed: row.get::<_, Time>(1)?.0,
                next_slot: row.get::<_, Count>(2)?.0,
            };
            Ok((FolderId(row.get::<_, Id>(0)?.0), residue))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(SavedListing {
        listing: Arc::new(listing),
        fetched: header.asked,
        proof: header.proof,
        validator: header.validator.clone(),
        commit: header.commit,
        below,
    })
}

/// The highest number given so far.
pub(super) fn last_commit(connection: &Connection) -> rusqlite::Result<u64> {
    let Count(last) = connection
        .prepare_cached(
            "SELECT coalesce((SELECT max(commit_number) FROM listings), (SELECT first_commit FROM totals))",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(last)
}

/// Makes `listing` the one of its directory: rows, header and totals; returns its number, and whether any entry differs.
///
/// `kept` is the header before.
pub(super) fn replace(
    connection: &Connection,
    fetched: &Fetched<'_>,
    kept: Option<&Header>,
    listing: &Listing,
) -> rusqlite::Result<(u64, bool)> {
    let commit = last_commit(connection)?.saturating_add(1);
    let key = match kept {
        Some(header) => header.listing,
        None => insert(connection, fetched.dir)?,
    };
    let written = rows::write(connection, key, listing)?;
    let asked = &fetched.fetched;
    connection
        .prepare_cached(
            "UPDATE listings SET commit_number = ?, asked = ?, asked_boot = ?, asked_moment = ?, proof = ?,
                validator = ?, generation = ?, changed = ?, next_slot = ?, bytes = ?, entries = ? WHERE listing = ?",
        )?
        .execute(params![
            Count(commit),
            Time(asked.wall),
            asked.boot.0,
            codec::moment(asked),
            proof_number(fetched.proof),
            fetched.validator,
            listing.generation,
            Time(listing.changed),
            Count(listing.next_slot()),
            Count(listing.bytes()),
            Count(listing.len() as u64),
            key,
        ])?;
    let before = kept.map_or((0, 0), |header| (header.bytes, header.entries));
    grow(connection, before, (listing.bytes(), listing.len() as u64))?;
    Ok((commit, written > 0))
}

/// Brings the totals from what one listing held to what it holds now: bytes, and entries.
fn grow(connection: &Connection, before: (u64, u64), after: (u64, u64)) -> rusqlite::Result<()> {
    if before == after {
        return Ok(());
    }
    let (bytes, entries) = wide_totals(connection)?;
    let grown = |total: i128, before: u64, after: u64| total - i128::from(before) + i128::from(after);
    connection
        .prepare_cached("UPDATE totals SET bytes = ?, entries = ?")?
        .execute(params![
            grown(bytes, before.0, after.0).to_string(),
            wide(grown(entries, before.1, after.1)),
        ])?;
    Ok(())
}

/// Removes a listing.
pub(super) fn remove(connection: &Connection, header: &Header) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM entries WHERE listing = ?",
        "DELETE FROM listings WHERE listing = ?",
    ] {
        connection.prepare_cached(sql)?.execute([header.listing])?;
    }
    grow(connection, (header.bytes, header.entries), (0, 0))
}

/// True if any listing has this folder.
pub(super) fn is_listed(connection: &Connection, folder: FolderId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM entries WHERE guid = ? AND kind <= 1)")?
        .query_row([folder.0.as_bytes()], |row| row.get(0))
}

fn insert(connection: &Connection, dir: DirKey) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO listings (dir, folder, commit_number, asked, asked_boot, asked_moment, proof, generation,
                changed, next_slot, bytes, entries) VALUES (?, ?, 0, 0, zeroblob(16), 0, 0, 0, 0, 0, 0, 0)",
        )?
        .execute(params![dir, dir.as_folder().is_some()])?;
    Ok(connection.last_insert_rowid())
}

/// Notes that a listing was asked for again and is the same.
pub(super) fn touch(connection: &Connection, listing: i64, asked: &Stamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE listings SET asked = ?, asked_boot = ?, asked_moment = ? WHERE listing = ?")?
        .execute(params![
            Time(asked.wall),
            asked.boot.0,
            codec::moment(asked),
            listing
        ])?;
    Ok(())
}

fn wide_totals(connection: &Connection) -> rusqlite::Result<(i128, i128)> {
    connection
        .prepare_cached("SELECT bytes, entries FROM totals")?
        .query_row([], |row| {
            let text: String = row.get(0)?;
            let bytes = text.parse().map_err(|error| unreadable(0, error))?;
            Ok((bytes, row.get::<_, codec::Wide>(1)?.0))
        })
}

/// Bytes and entries over all listings.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let (bytes, entries) = wide_totals(connection)?;
    let clamp = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
    Ok((clamp(bytes), clamp(entries)))
}

/// The directories whose listing got a number after `commit`, in that order.
pub(super) fn since(connection: &Connection, commit: u64) -> rusqlite::Result<Vec<DirKey>> {
    connection
        .prepare_cached("SELECT dir FROM listings WHERE commit_number > ? ORDER BY commit_number")?
        .query_map([Count(commit)], |row| row.get(0))?
        .collect()
}

/// The folders whose listing is oldest. What is from the future, or from a time no clock tells, comes first: nobody
/// knows how old it is.
pub(super) fn oldest(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(FolderId, Stamp, Timestamp)>> {
    let mut found = Vec::new();
    for condition in ["asked > ?", "asked <= ?"] {
        let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        let mut statement = connection.prepare_cached(&format!(
            "SELECT dir, asked, asked_boot, asked_moment, changed FROM listings
                WHERE folder = 1 AND {condition} ORDER BY asked LIMIT ?"
        ))?;
        let rows = statement.query_map(params![Time(now), left], |row| {
            Ok((
                FolderId(row.get::<_, Id>(0)?.0),
                stamp(row, 1)?,
                row.get::<_, Time>(4)?.0,
            ))
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// The folders that a listing lists.
pub(super) fn folders_in(connection: &Connection, listing: i64) -> rusqlite::Result<Vec<FolderId>> {
    connection
        .prepare_cached("SELECT guid FROM entries WHERE listing = ? AND kind <= 1 ORDER BY guid")?
        .query_map([listing], |row| Ok(FolderId(row.get::<_, Id>(0)?.0)))?
        .collect()
}
