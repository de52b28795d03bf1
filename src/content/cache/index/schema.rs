//! The tables of the index.

use crate::database::Schema;

pub(super) static SCHEMA: Schema = Schema {
    opening: "opening the index of the cache",
    // "pwfI"
    application_id: 0x7077_6649,
    migrations: &[TABLES],
    tables: &["files", "pins", "totals"],
    writer_cache: 1024,
    reader_cache: 256,
    // What a power failure takes back is less than what is on disk at worst, and the next start counts again.
    durable: false,
};

/// `docs/cache.md` explains each column.
pub(super) const TABLES: &str = "
CREATE TABLE totals (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    counted INTEGER NOT NULL
);
INSERT INTO totals (one, bytes, entries, counted) VALUES (1, 0, 0, 0);
CREATE TABLE files (
    name TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    used INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    server TEXT,
    account TEXT,
    document TEXT
) WITHOUT ROWID;
CREATE INDEX files_by_use ON files (rank, used, name);
CREATE INDEX files_by_document ON files (document) WHERE document IS NOT NULL;
CREATE TABLE pins (document TEXT PRIMARY KEY, name TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER files_came AFTER INSERT ON files BEGIN
    UPDATE totals SET bytes = bytes + NEW.bytes, entries = entries + (NEW.rank < 3);
END;
CREATE TRIGGER files_changed AFTER UPDATE OF bytes, rank ON files BEGIN
    UPDATE totals SET bytes = bytes + NEW.bytes - OLD.bytes, entries = entries + (NEW.rank < 3) - (OLD.rank < 3);
END;
CREATE TRIGGER files_went AFTER DELETE ON files BEGIN
    UPDATE totals SET bytes = bytes - OLD.bytes, entries = entries - (OLD.rank < 3);
END;
";
