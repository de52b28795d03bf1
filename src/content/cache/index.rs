//! What each file of a cache may take, when it was last used, and what is to be kept: one database for all processes.
//!
//! Bytes are reserved here before they are written, so that the cap holds whoever dies when. The totals stand in a row of
//! their own: nothing here depends on how much is cached. A lost database is made anew from the files; until that is done
//! nothing is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::database::{Database, DatabaseError, Failure};
use crate::sync::Mutex;

use super::pins::Pin;

mod row;
mod schema;

pub(super) use row::{About, Owner, Rank, Reserved, Totals, Victim};
use schema::{SCHEMA, TABLES};

/// The database's file, in the directory of the cache.
pub(super) const FILE: &str = "index.sqlite";

enum Place {
    /// In the cache's directory, for all processes.
    Shared(Arc<Database>),
    /// In memory, for this process: where the cache is on a network file system.
    Own(Arc<Mutex<Connection>>),
}

impl Clone for Place {
    fn clone(&self) -> Self {
        match self {
            Self::Shared(database) => Self::Shared(database.clone()),
            Self::Own(connection) => Self::Own(connection.clone()),
        }
    }
}

/// See the module.
pub(super) struct Index {
    root: PathBuf,
    /// Opened when first needed, and again where that failed.
    place: Mutex<Option<Place>>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// The index of the cache in `root`; nothing is opened yet.
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            place: Mutex::default(),
        }
    }

    /// True where the database is there, or needs no file.
    pub(super) fn exists(&self) -> bool {
        matches!(*self.place.lock(), Some(Place::Own(_))) || self.root.join(FILE).exists()
    }

    fn place(&self) -> Result<Place, DatabaseError> {
        let mut place = self.place.lock();
        if let Some(place) = &*place {
            return Ok(place.clone());
        }
        let root = self.root.clone();
        // A database that is made anew knows what is pinned.
        let founding = move |connection: &Connection| write_pins(connection, &super::pins::read(&root));
        let opened = match Database::open(self.root.join(FILE), &SCHEMA, Box::new(founding)) {
            Ok(database) => Place::Shared(Arc::new(database)),
            Err(DatabaseError::Network { path, kind }) => {
                tracing::warn!(path = %path.display(), kind,
                    "the cache is on a network file system: its cap is kept to by each process for itself");
                Place::Own(Arc::new(Mutex::new(self.in_memory()?)))
            }
            Err(error) => return Err(error),
        };
        Ok(place.insert(opened).clone())
    }

    fn in_memory(&self) -> Result<Connection, DatabaseError> {
        let opened = Connection::open_in_memory().and_then(|connection| {
            connection.execute_batch(TABLES)?;
            write_pins(&connection, &super::pins::read(&self.root))?;
            Ok(connection)
        });
        opened.map_err(|source| DatabaseError::Sqlite {
            doing: SCHEMA.opening,
            source,
        })
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        match self.place()? {
            Place::Shared(database) => database.read(doing, read),
            Place::Own(connection) => {
                read(&connection.lock()).map_err(|source| DatabaseError::Sqlite { doing, source })
            }
        }
    }

    fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        match self.place()? {
            Place::Shared(database) => {
                database.write(doing, |transaction| write(transaction).map_err(Failure::from))
            }
            Place::Own(connection) => {
                let mut connection = connection.lock();
                let done = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .and_then(|transaction| {
                        let value = write(&transaction)?;
                        transaction.commit()?;
                        Ok(value)
                    });
                done.map_err(|source| DatabaseError::Sqlite { doing, source })
            }
        }
    }

    /// What there is in all.
    pub(super) fn totals(&self) -> Result<Totals, DatabaseError> {
        self.read("reading the size of the cache", totals)
    }

    /// How many contents are pinned, and their bytes.
    pub(super) fn pinned(&self) -> Result<(u64, u64), DatabaseError> {
        self.read("counting what is pinned", |connection| {
            connection.query_row(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM files WHERE rank = 2",
                [],
                |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))),
            )
        })
    }

    /// Reserves `bytes` in all for a file, if all files together stay within `cap`. Less than before is always granted.
    pub(super) fn reserve(&self, about: &About, bytes: u64, cap: u64) -> Result<Reserved, DatabaseError> {
        self.write("reserving room", |transaction| {
            let totals = totals(transaction)?;
            let before = bytes_of(transaction, &about.name)?;
            let after = totals.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
            if bytes > before.unwrap_or(0) {
                if !totals.counted {
                    return Ok(Reserved::Uncounted);
                }
                if after > cap {
                    return Ok(Reserved::Over(after - cap));
                }
            }
            put(transaction, about, bytes, now())?;
            Ok(Reserved::Done(after))
        })
    }

    /// How much is reserved for a file; `None` where nothing is.
    pub(super) fn reserved(&self, name: &str) -> Result<Option<u64>, DatabaseError> {
        self.read("reading what is reserved", |connection| {
            bytes_of(connection, name)
        })
    }

    /// Gives back what a file no longer takes.
    pub(super) fn lower(&self, name: &str, freed: u64) -> Result<(), DatabaseError> {
        self.write("giving room back", |transaction| {
            transaction.execute(
                "UPDATE files SET bytes = max(bytes - ?, 0) WHERE name = ?",
                (signed(freed), name),
            )?;
            Ok(())
        })
    }

    /// Lets a file that was on its way become a content of `bytes`.
    pub(super) fn arrived(&self, temporary: &str, about: &About, bytes: u64) -> Result<(), DatabaseError> {
        self.write("keeping a content", |transaction| {
            transaction.execute("DELETE FROM files WHERE name = ?", [temporary])?;
            put(transaction, about, bytes, now())
        })
    }

    /// Forgets files.
    pub(super) fn remove<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), DatabaseError> {
        self.write("forgetting files", |transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM files WHERE name = ?")?;
            for name in names {
                delete.execute([name])?;
            }
            Ok(())
        })
    }

    /// Notes when contents were last used, in milliseconds since 1970.
    pub(super) fn note_uses(&self, uses: &[(String, u64)]) -> Result<(), DatabaseError> {
        self.write("noting what was used", |transaction| {
            let mut update =
                transaction.prepare_cached("UPDATE files SET used = max(used, ?) WHERE name = ?")?;
            for (name, used) in uses {
                update.execute((signed(*used), name))?;
            }
            Ok(())
        })
    }

    /// Lets a version that the server may no longer give go after all that can be fetched again.
    pub(super) fn keep_longer(&self, name: &str) -> Result<(), DatabaseError> {
        self.write("keeping a version longer", |transaction| {
            transaction.execute("UPDATE files SET rank = 1 WHERE name = ? AND rank = 0", [name])?;
            Ok(())
        })
    }

    /// The next contents of a rank to go after `last`, at most `limit` of them.
    pub(super) fn victims(
        &self,
        rank: Rank,
        last: Option<&Victim>,
        limit: u32,
    ) -> Result<Vec<Victim>, DatabaseError> {
        self.read("looking for what to evict", |connection| {
            let mut select = connection.prepare_cached(
                "SELECT name, bytes, used FROM files
                 WHERE rank = ? AND (used, name) > (?, ?) ORDER BY used, name LIMIT ?",
            )?;
            let (used, name) = last.map_or((-1, ""), |last| (last.used, last.name.as_str()));
            let rows = select.query_map((rank as i64, used, name, limit), |row| {
                Ok(Victim {
                    name: row.get(0)?,
                    bytes: unsigned(row.get(1)?),
                    used: row.get(2)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The names of files after `last`, in their order, at most `limit` of them, and when they were used.
    pub(super) fn names(&self, last: &str, limit: u32) -> Result<Vec<(String, u64)>, DatabaseError> {
        self.read("listing what is cached", |connection| {
            let mut select = connection
                .prepare_cached("SELECT name, used FROM files WHERE name > ? ORDER BY name LIMIT ?")?;
            let rows = select.query_map((last, limit), |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
            rows.collect()
        })
    }

    /// True where a content is of this rank. One that is not known is ordinary.
    pub(super) fn is_of(&self, rank: Rank, name: &str) -> Result<bool, DatabaseError> {
        self.read("looking whether a content may go", |connection| {
            let found: Option<i64> = connection
                .query_row("SELECT rank FROM files WHERE name = ?", [name], |row| row.get(0))
                .optional()?;
            Ok(found.unwrap_or(Rank::Ordinary as i64) == rank as i64)
        })
    }

    /// Takes these pins for the only ones.
    pub(super) fn set_pins(&self, pins: &[Pin]) -> Result<(), DatabaseError> {
        self.write("keeping what is pinned", |transaction| {
            transaction.execute("DELETE FROM pins", [])?;
            write_pins(transaction, pins)?;
            transaction.execute(
                "UPDATE files SET rank = 0 WHERE rank = 2 AND document NOT IN (SELECT document FROM pins)",
                [],
            )?;
            // Of several contents of one document the one that was used last is the one people see.
            transaction.execute(
                "UPDATE files SET rank = 2 WHERE rank < 2 AND document IN (SELECT document FROM pins) AND NOT EXISTS (
                     SELECT 1 FROM files AS other WHERE other.document = files.document AND other.server = files.server
                     AND other.account = files.account AND other.rank <= 2
                     AND (other.used, other.name) > (files.used, files.name))",
                [],
            )?;
            Ok(())
        })
    }

    /// Adds files that were found on disk; those that are known already are left as they are.
    pub(super) fn found(&self, files: &[(About, u64, u64)]) -> Result<(), DatabaseError> {
        self.write("counting files", |transaction| {
            for (about, bytes, used) in files {
                if bytes_of(transaction, &about.name)?.is_none() {
                    put(transaction, about, *bytes, *used)?;
                }
            }
            Ok(())
        })
    }

    /// All files are counted.
    pub(super) fn all_counted(&self) -> Result<(), DatabaseError> {
        self.write("ending the count", |transaction| {
            transaction.execute("UPDATE totals SET counted = 1", [])?;
            Ok(())
        })
    }
}

fn totals(connection: &Connection) -> rusqlite::Result<Totals> {
    connection.query_row("SELECT bytes, entries, counted FROM totals", [], |row| {
        Ok(Totals {
            bytes: unsigned(row.get(0)?),
            entries: unsigned(row.get(1)?),
            counted: row.get(2)?,
        })
    })
}

fn bytes_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT bytes FROM files WHERE name = ?")?
        .query_row([name], |row| row.get(0).map(unsigned))
        .optional()
}

/// Keeps how much is reserved for a file. Of a pinned document the content that came last is pinned.
fn put(transaction: &Connection, about: &About, bytes: u64, used: u64) -> rusqlite::Result<()> {
    let known = transaction
        .prepare_cached("UPDATE files SET bytes = ?, used = max(used, ?) WHERE name = ?")?
        .execute((signed(bytes), signed(used), &about.name))?;
    if known > 0 {
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO files (name, bytes, used, rank, server, account, document) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let Some(Owner {
        server,
        account,
        document,
    }) = &about.owner
    else {
        let rank = Rank::Temporary as i64;
        insert.execute((
            &about.name,
            signed(bytes),
            signed(used),
            rank,
            None::<&str>,
            None::<&str>,
            None::<&str>,
        ))?;
        return Ok(());
    };
    let document = document.to_string();
    let is_pinned = transaction
        .prepare_cached("SELECT 1 FROM pins WHERE document = ?")?
        .exists([&document])?;
    if is_pinned {
        transaction.execute(
            "UPDATE files SET rank = 1 WHERE rank = 2 AND document = ? AND server = ? AND account = ?",
            (&document, &**server, &**account),
        )?;
    }
    let rank = if is_pinned { Rank::Pinned } else { Rank::Ordinary } as i64;
    insert.execute((
        &about.name,
        signed(bytes),
        signed(used),
        rank,
        &**server,
        &**account,
        &document,
    ))?;
    Ok(())
}

fn write_pins(connection: &Connection, pins: &[Pin]) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare("INSERT OR REPLACE INTO pins (document, name, since) VALUES (?, ?, ?)")?;
    for pin in pins {
        insert.execute((pin.document.to_string(), &pin.path, pin.since.as_millisecond()))?;
    }
    Ok(())
}

/// The columns of each table, as SQLite has them.
#[cfg(test)]
pub(super) fn columns() -> Vec<(String, Vec<String>)> {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(TABLES).unwrap();
    let columns = |table: &str| {
        let mut select = connection
            .prepare("SELECT name FROM pragma_table_info(?)")
            .unwrap();
        let rows = select.query_map([table], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    SCHEMA
        .tables
        .iter()
        .map(|&table| (table.to_owned(), columns(table)))
        .collect()
}

/// Now, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// SQLite's integers are signed. No file system holds what does not fit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
