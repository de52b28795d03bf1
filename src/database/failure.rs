//! What a database is to be, and why it cannot be used.

use std::path::PathBuf;

/// What a database is to contain.
pub(crate) struct Schema {
    /// What is being done while it is opened, as people say it.
    pub(crate) opening: &'static str,
    /// SQLite's `application_id`, by which `file(1)` and we know our own.
    pub(crate) application_id: i32,
    /// What makes each version from the one before; the first makes it from nothing. Never changed, only added to.
    pub(crate) migrations: &'static [&'static str],
    /// The tables of the last version.
    pub(crate) tables: &'static [&'static str],
    /// How much of it is kept in memory by a connection that writes, in KiB.
    pub(crate) writer_cache: i32,
    /// How much by one that reads.
    pub(crate) reader_cache: i32,
    /// True where a power failure may take back nothing that was committed.
    pub(crate) durable: bool,
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file system it would be on cannot be trusted with it (NFS, SMB, FUSE …).
    #[error("{path} is on a network file system ({kind}), where a database would be damaged")]
    Network {
        /// Where.
        path: PathBuf,
        /// The file system's type.
        kind: String,
    },
    /// The mount it belonged to has ended.
    #[error("the database is closed")]
    Closed,
    /// It was written by a later version of pwfs.
    #[error("{0} was written by a later version of pwfs")]
    Newer(PathBuf),
    /// The disk.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// SQLite.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: rusqlite::Error,
    },
}

/// A step of a transaction failed.
pub(crate) enum Failure {
    /// In this database.
    Sqlite(rusqlite::Error),
    /// Elsewhere.
    Other(DatabaseError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Other(error)
    }
}
