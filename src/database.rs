//! One SQLite file that several processes share, and that may vanish or be found damaged at any time.
//!
//! One connection writes, behind a lock; others read, and wait for no writer (write-ahead log). Each use first looks
//! whether the path still leads to the file that is open: who deleted the cache, or put a damaged file aside, did not
//! ask us. **Nothing here may open the file but SQLite**: closing a second descriptor would drop its locks (fcntl(2)).

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::model::Timestamp;

mod failure;
mod place;

pub use failure::DatabaseError;
pub(crate) use failure::{Failure, Schema};
pub(crate) use place::{make_private, refuse_network};

/// How long one process waits for another one's write: far longer than the longest, and shorter than a caller waits.
const BUSY: Duration = Duration::from_secs(5);

/// Connections for reading that are kept open. More readers than this at once open their own.
const IDLE_READERS: usize = 4;

/// The write-ahead log is copied into the database when it has this many pages of 4 KiB, and cut to
/// [`LOG_BYTES`] after.
const LOG_PAGES: i64 = 1000;
const LOG_BYTES: i64 = 8 << 20;

/// How many damaged files are kept for support.
const KEPT_ASIDE: usize = 2;

/// Tells one file from another that took over its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

struct Held {
    connection: Connection,
    file: FileId,
}

/// See the module.
pub(crate) struct Database {
    path: PathBuf,
    schema: &'static Schema,
    /// Rows of `meta` that a new database begins with; `None` where this process only reads.
    founding: Option<Founding>,
    writer: Mutex<Option<Held>>,
    idle: Mutex<Vec<Held>>,
    /// The file that was last found to be ours and of our version.
    known: Mutex<Option<FileId>>,
    aside: Mutex<Vec<PathBuf>>,
    /// Nothing is opened any more.
    closed: AtomicBool,
}

/// Writes what a new database begins with.
pub(crate) type Founding = Box<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>;

impl Database {
    /// Opens the database at `path`, making or migrating it; a damaged one is put aside.
    pub(crate) fn open(
        path: PathBuf,
        schema: &'static Schema,
        founding: Founding,
    ) -> Result<Self, DatabaseError> {
        let database = Self {
            path,
            schema,
            founding: Some(founding),
            writer: Mutex::default(),
            idle: Mutex::default(),
            known: Mutex::default(),
            aside: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        {
            let mut writer = database.writer.lock();
            // The second time on a new file.
            if database.writer(&mut writer).is_err() {
                database.writer(&mut writer)?;
            }
        }
        Ok(database)
    }

    /// Opens the database at `path` for reading only.
    pub(crate) fn open_reading(path: &Path, schema: &'static Schema) -> Result<Self, DatabaseError> {
        let database = Self {
            path: path.to_owned(),
            schema,
            founding: None,
            writer: Mutex::default(),
            idle: Mutex::default(),
            known: Mutex::default(),
            aside: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        let held = database.reader()?;
        database.idle.lock().push(held);
        Ok(database)
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where damaged files were put since this was last asked.
    pub(crate) fn take_aside(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.aside.lock())
    }

    /// Reads one state of the database.
    pub(crate) fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        let held = self.reader()?;
        let result = held
            .connection
            .unchecked_transaction()
            .and_then(|transaction| read(&transaction));
        match result {
            Ok(value) => {
                let mut idle = self.idle.lock();
                if idle.len() < IDLE_READERS {
                    idle.push(held);
                }
                Ok(value)
            }
            Err(error) => {
                let Held { connection, file } = held;
                drop(connection);
                self.consider(&error, file);
                Err(DatabaseError::Sqlite { doing, source: error })
            }
        }
    }

    /// Writes in one transaction, which holds the lock of all writers from its beginning.
    pub(crate) fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, DatabaseError> {
        if self.founding.is_none() {
            let source = rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
                Some("it was opened for reading".to_owned()),
            );
            return Err(DatabaseError::Sqlite { doing, source });
        }
        let mut writer = self.writer.lock();
        let held = self.writer(&mut writer)?;
        let file = held.file;
        let result = held
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failure::Sqlite)
            .and_then(|transaction| {
                let value = write(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
        match result {
            Ok(value) => Ok(value),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::Sqlite(error)) => {
                if is_damage(&error) {
                    *writer = None;
                    self.consider(&error, file);
                }
                Err(DatabaseError::Sqlite { doing, source: error })
            }
        }
    }

    /// Gives back what its connections keep of the file in memory. Blocks while one writes; whoever reads just now keeps
    /// theirs.
    ///
    /// SQLite keeps each page of 4 KiB in a piece of memory of its own, a little longer than that, which lies across two of
    /// the system's: after a walk over 42 000 entries these were on 4900 of the 5800 pages that anything in use was on.
    pub(crate) fn release_memory(&self) {
        let release = |held: &Held| {
            if let Err(error) = held.connection.release_memory() {
                tracing::debug!(path = %self.path.display(), %error, "a database's memory was not given back");
            }
        };
        self.writer.lock().iter().for_each(release);
        self.idle.lock().iter().for_each(release);
    }

    /// Ends what is under way and begins nothing more: whoever comes later is refused, and makes no file anew.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        *self.writer.lock() = None;
        self.idle.lock().clear();
    }

    fn refuse_if_closed(&self) -> Result<(), DatabaseError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(DatabaseError::Closed);
        }
        Ok(())
    }

    /// The connection that writes, opened anew where the path leads to another file or to none.
    fn writer<'a>(&self, writer: &'a mut Option<Held>) -> Result<&'a mut Held, DatabaseError> {
        self.refuse_if_closed()?;
        let there = file_id(&self.path).ok();
        if writer.as_ref().is_some_and(|held| Some(held.file) != there) {
            tracing::info!(path = %self.path.display(), "the database was taken away; it is opened anew");
            *writer = None;
        }
        match writer {
            Some(held) => Ok(held),
            none => {
                let held = self.connect_writer()?;
                *self.known.lock() = Some(held.file);
                Ok(none.insert(held))
            }
        }
    }

    fn reader(&self) -> Result<Held, DatabaseError> {
        self.refuse_if_closed()?;
        let there = file_id(&self.path).ok();
        {
            let mut idle = self.idle.lock();
            idle.retain(|held| Some(held.file) == there);
            if let Some(held) = idle.pop() {
                return Ok(held);
            }
        }
        if self.founding.is_some() && (there.is_none() || *self.known.lock() != there) {
            self.writer(&mut self.writer.lock())?;
        }
        let held = self.connect()?;
        if let Err(error) = tune(&held.connection, self.schema.reader_cache, true) {
            let Held { connection, file } = held;
            drop(connection);
            self.consider(&error, file);
            return Err(self.opening(error));
        }
        if self.founding.is_none() {
            let version = version(&held.connection).map_err(|error| self.opening(error))?;
            self.judge(&held.connection, version)?;
        }
        Ok(held)
    }

    fn connect_writer(&self) -> Result<Held, DatabaseError> {
        if let Some(dir) = self.path.parent() {
            make_private(dir)?;
            refuse_network(dir)?;
        }
        // SQLite gives its other files the mode of this one.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path);
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(DatabaseError::Io {
                doing: format!("making {}", self.path.display()),
                source: error,
            });
        }
        let Held { mut connection, file } = self.connect()?;
        match self.prepare(&mut connection) {
            Ok(()) => Ok(Held { connection, file }),
            Err(DatabaseError::Sqlite { doing, source }) => {
                drop(connection);
                self.consider(&source, file);
                Err(DatabaseError::Sqlite { doing, source })
            }
            Err(error) => Err(error),
        }
    }

    fn connect(&self) -> Result<Held, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let looking = |source| DatabaseError::Io {
            doing: format!("looking at {}", self.path.display()),
            source,
        };
        // Another file may take over the path just now: once more, then.
        for _ in 0..3 {
            let before = file_id(&self.path).map_err(looking)?;
            let connection =
                Connection::open_with_flags(&self.path, flags).map_err(|error| self.opening(error))?;
            if file_id(&self.path).is_ok_and(|after| after == before) {
                return Ok(Held {
                    connection,
                    file: before,
                });
            }
        }
        Err(looking(io::Error::other("the file keeps changing")))
    }

    fn opening(&self, source: rusqlite::Error) -> DatabaseError {
        tracing::debug!(path = %self.path.display(), %source, "a database could not be opened");
        DatabaseError::Sqlite {
            doing: self.schema.opening,
            source,
        }
    }

    /// Makes a connection fit to write: its log, and the tables of our version.
    fn prepare(&self, connection: &mut Connection) -> Result<(), DatabaseError> {
        let found = (|| {
            tune(connection, self.schema.writer_cache, false)?;
            let version = version(connection)?;
            connection.pragma_update(
                None,
                "synchronous",
                if self.schema.durable { "FULL" } else { "NORMAL" },
            )?;
            Ok(version)
        })()
        .map_err(|error| self.opening(error))?;
        self.judge(connection, found)?;
        self.migrate(connection).map_err(|error| self.opening(error))
    }

    /// Refuses what a later version wrote; takes for damaged what is not ours.
    fn judge(&self, connection: &Connection, version: i64) -> Result<(), DatabaseError> {
        let application: i32 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(|error| self.opening(error))?;
        if application != self.schema.application_id && (application != 0 || version != 0) {
            return Err(self.opening(foreign()));
        }
        if version > self.newest() {
            return Err(DatabaseError::Newer(self.path.clone()));
        }
        if self.founding.is_none() && version < self.newest() {
            // A command beside a mount of an older version: the tables are not those we know.
            return Err(self.opening(foreign()));
        }
        Ok(())
    }

    fn newest(&self) -> i64 {
        i64::try_from(self.schema.migrations.len()).unwrap_or(i64::MAX)
    }

    fn migrate(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        }
        connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
        if version(connection)? < self.newest() {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been faster.
            let from = version(&transaction)?;
            for migration in self
                .schema
                .migrations
                .iter()
                .skip(usize::try_from(from).unwrap_or_default())
            {
                transaction.execute_batch(migration)?;
            }
            if from == 0
                && let Some(founding) = &self.founding
            {
                founding(&transaction)?;
            }
            transaction.pragma_update(None, "application_id", self.schema.application_id)?;
            transaction.pragma_update(None, "user_version", self.newest())?;
            transaction.commit()?;
        }
        let mut statement = connection.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
        )?;
        let tables = statement
            .query_map([], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        // More are none of our business.
        if self
            .schema
            .tables
            .iter()
            .all(|&table| tables.iter().any(|found| found == table))
        {
            Ok(())
        } else {
            Err(foreign())
        }
    }

    /// Puts the file aside if `error` means that it is damaged, and if the path still leads to it.
    fn consider(&self, error: &rusqlite::Error, file: FileId) {
        if !is_damage(error) {
            return;
        }
        self.idle.lock().clear();
        *self.known.lock() = None;
        match self.put_aside(file) {
            Ok(Some(aside)) => {
                tracing::warn!(%error, path = %self.path.display(), aside = %aside.display(),
                    "a database is damaged; it is put aside and made anew");
                self.aside.lock().push(aside);
            }
            Ok(None) => {}
            Err(failed) => {
                tracing::warn!(%error, %failed, path = %self.path.display(), "a damaged database cannot be put aside");
            }
        }
    }

    /// `None` where another process has done it, or is about to.
    fn put_aside(&self, file: FileId) -> io::Result<Option<PathBuf>> {
        if self.founding.is_none() {
            return Ok(None);
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(with(&self.path, ".lock"))?;
        if lock.try_lock().is_err() || file_id(&self.path)? != file {
            return Ok(None);
        }
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S%.9fZ").to_string();
        let aside = with(&self.path, &format!(".damaged-{stamp}"));
        // The log first: left beside a new file, it would be taken for that one's.
        for part in ["-wal", "-shm", ""] {
            match fs::rename(with(&self.path, part), with(&aside, part)) {
                Err(error) if part.is_empty() || error.kind() != io::ErrorKind::NotFound => {
                    return Err(error);
                }
                Err(_) | Ok(()) => {}
            }
        }
        self.thin_out();
        Ok(Some(aside))
    }

    /// Removes all but the last files that were put aside.
    fn thin_out(&self) {
        let prefix = with(&self.path, ".damaged-");
        let (Some(dir), Some(prefix)) = (
            self.path.parent(),
            prefix.file_name().and_then(|name| name.to_str()),
        ) else {
            return;
        };
        let Ok(found) = fs::read_dir(dir) else { return };
        let mut aside: Vec<String> = found
            .flatten()
            .filter_map(|found| found.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix) && name.ends_with('Z'))
            .collect();
        aside.sort_unstable();
        for name in aside.iter().rev().skip(KEPT_ASIDE) {
            for part in ["-wal", "-shm", ""] {
                // What is not there is as good as removed.
                let _ = fs::remove_file(dir.join(format!("{name}{part}")));
            }
        }
    }
}

fn tune(connection: &Connection, cache_kib: i32, reads: bool) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    // The file may have been tampered with, or be damaged: nothing in it is to be run, and damage to be noticed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // A plan never depends on what is looked for. Else SQLite prepares a statement that could use a partial index anew for
    // each parameter: a third of the time of a manifest.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    // Negative: in KiB.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "query_only", reads)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let found = fs::metadata(path)?;
    Ok(FileId {
        device: found.dev(),
        inode: found.ino(),
    })
}

/// The error for a database that is none of ours.
fn foreign() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
        Some("it holds other tables than ours".to_owned()),
    )
}

/// True where the file is to blame, and no later try will go better.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        // A column holds what we never wrote.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once_whatever_is_looked_for() {
        let connection = Connection::open_in_memory().unwrap();
        // As the catalog's entries are, in small.
        connection
            .execute_batch(
                "CREATE TABLE t (a INTEGER NOT NULL, b INTEGER NOT NULL, c BLOB NOT NULL, d TEXT,
                    PRIMARY KEY (a, b, c)) WITHOUT ROWID;
                 CREATE INDEX by_c ON t (c);
                 CREATE INDEX folders ON t (a, c) WHERE b <= 1;
                 INSERT INTO t VALUES (1, 2, x'00', 'x'), (2, 2, x'01', 'y');",
            )
            .unwrap();
        tune(&connection, 100, false).unwrap();
        let prepared_anew = |query: &str| {
            let mut statement = connection.prepare(query).unwrap();
            for what in [1, 2, 3] {
                let mut rows = statement.query([what]).unwrap();
                while rows.next().unwrap().is_some() {}
            }
            statement.get_status(StatementStatus::RePrepare)
        };
        let queries = [
            "SELECT d FROM t WHERE a = ? AND b > 1 ORDER BY d IS NULL, d, c",
            "SELECT c, d FROM t WHERE a = ? AND b <= 1 ORDER BY c",
            "SELECT d FROM t WHERE c = ? AND b <= 1 ORDER BY d IS NULL, a DESC",
            "SELECT d FROM t WHERE a = ? ORDER BY b, c",
        ];
        assert_eq!(queries.map(prepared_anew), [0; 4]);
        // And that is why.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, false)
            .unwrap();
        assert_ne!(queries.map(prepared_anew), [0; 4]);
    }
}
