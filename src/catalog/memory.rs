//! The small things the catalog remembers: facts, amendments, salts, troubles.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::Trouble;
use super::codec::{Id, Tag, Time};
use crate::model::{ContentTag, DocumentId, Guid};

pub(super) fn fact(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()
}

pub(super) fn set_fact(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)")?
        .execute([key, value])?;
    Ok(())
}

pub(super) fn amendments(
    connection: &Connection,
) -> rusqlite::Result<Vec<(DocumentId, ContentTag, ContentTag)>> {
    connection
        .prepare_cached("SELECT document, listed, actual FROM amendments")?
        .query_map([], |row| {
            Ok((
                DocumentId(row.get::<_, Id>(0)?.0),
                row.get::<_, Tag>(1)?.0,
                row.get::<_, Tag>(2)?.0,
            ))
        })?
        .collect()
}

pub(super) fn set_amendment(
    connection: &Connection,
    document: DocumentId,
    amendment: Option<(ContentTag, ContentTag)>,
) -> rusqlite::Result<()> {
    let document = document.0;
    match amendment {
        Some((listed, actual)) => connection
            .prepare_cached("INSERT OR REPLACE INTO amendments (document, listed, actual) VALUES (?, ?, ?)")?
            .execute(params![
                document.as_bytes(),
                listed.to_string(),
                actual.to_string()
            ])?,
        None => connection
            .prepare_cached("DELETE FROM amendments WHERE document = ?")?
            .execute([document.as_bytes()])?,
    };
    Ok(())
}

pub(super) fn salts(connection: &Connection) -> rusqlite::Result<Vec<(String, u32)>> {
    connection
        .prepare_cached("SELECT identity, salt FROM salts")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn set_salt(connection: &Connection, identity: &str, salt: u32) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO salts (identity, salt) VALUES (?, ?)")?
        .execute(params![identity, salt])?;
    Ok(())
}

pub(super) fn trouble(connection: &Connection, object: Guid) -> rusqlite::Result<Option<Trouble>> {
    connection
        .prepare_cached("SELECT at, words, refused FROM troubles WHERE object = ?")?
        .query_row([object.as_bytes()], decode)
        .optional()
}

pub(super) fn set_trouble(
    connection: &Connection,
    object: Guid,
    trouble: Option<&Trouble>,
) -> rusqlite::Result<()> {
    match trouble {
        Some(trouble) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO troubles (object, at, refused, words) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                object.as_bytes(),
                Time(trouble.at),
                trouble.refused,
                trouble.text
            ])?,
        None => connection
            .prepare_cached("DELETE FROM troubles WHERE object = ?")?
            .execute([object.as_bytes()])?,
    };
    Ok(())
}

/// Everything that fails.
pub(super) fn troubles(connection: &Connection) -> rusqlite::Result<HashMap<Guid, Trouble>> {
    connection
        .prepare_cached("SELECT at, words, refused, object FROM troubles")?
        .query_map([], |row| Ok((row.get::<_, Id>(3)?.0, decode(row)?)))?
        .collect()
}

fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<Trouble> {
    Ok(Trouble {
        at: row.get::<_, Time>(0)?.0,
        text: row.get(1)?,
        refused: row.get(2)?,
    })
}
