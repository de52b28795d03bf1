//! The tables, and how a database of an earlier version gets them. `docs/catalog.md` explains each column.

use crate::database::Schema;

/// The catalog. Not durable: a listing that a power failure takes back is asked for again.
pub(super) static CATALOG: Schema = Schema {
    opening: "opening the catalog",
    // "pwfC"
    application_id: 0x7077_6643,
    migrations: &[CATALOG_1],
    tables: &[
        "amendments",
        "entries",
        "facts",
        "listings",
        "meta",
        "salts",
        "totals",
        "troubles",
    ],
    writer_cache: 2048,
    reader_cache: 512,
    durable: false,
};

/// The attributes of documents' environments. Not durable: what a power failure takes back is asked for again.
pub(super) static ATTRIBUTES: Schema = Schema {
    opening: "opening the attributes",
    // "pwfA"
    application_id: 0x7077_6641,
    migrations: &[ATTRIBUTES_1],
    tables: &["attributes"],
    writer_cache: 512,
    reader_cache: 256,
    durable: false,
};

/// The journal. Durable: a reader has perhaps seen, and acted on, a row. Were it taken back, another row would get its
/// number, and that reader would never see it.
pub(super) static JOURNAL: Schema = Schema {
    opening: "opening the journal",
    // "pwfJ"
    application_id: 0x7077_664a,
    migrations: &[JOURNAL_1, JOURNAL_2],
    tables: &["events", "folders", "meta", "told"],
    writer_cache: 1024,
    reader_cache: 256,
    durable: true,
};

const CATALOG_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE totals (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first_commit INTEGER NOT NULL,
    bytes TEXT NOT NULL,
    entries INTEGER NOT NULL
);
CREATE TABLE listings (
    listing INTEGER PRIMARY KEY,
    dir BLOB NOT NULL UNIQUE,
    folder INTEGER NOT NULL,
    commit_number INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    asked_boot BLOB NOT NULL,
    asked_moment INTEGER NOT NULL,
    proof INTEGER NOT NULL,
    validator TEXT,
    generation INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    next_slot INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    entries INTEGER NOT NULL
);
CREATE INDEX listings_by_commit ON listings (commit_number);
CREATE INDEX listings_by_age ON listings (asked) WHERE folder = 1;
CREATE TABLE entries (
    listing INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    guid BLOB NOT NULL,
    kind INTEGER NOT NULL,
    shown TEXT,
    tag,
    name TEXT NOT NULL,
    file_name TEXT,
    description TEXT NOT NULL,
    version TEXT,
    active INTEGER,
    size INTEGER,
    file_updated INTEGER,
    updated INTEGER,
    created INTEGER,
    state TEXT,
    mime_type TEXT,
    etag TEXT,
    parent BLOB,
    PRIMARY KEY (listing, slot, guid)
) WITHOUT ROWID;
CREATE INDEX entries_by_guid ON entries (guid);
CREATE INDEX entries_folders ON entries (listing, guid) WHERE kind <= 1;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE amendments (
    document BLOB PRIMARY KEY,
    listed TEXT NOT NULL,
    actual TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE salts (identity TEXT PRIMARY KEY, salt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE troubles (
    object BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    words TEXT NOT NULL
) WITHOUT ROWID;
";

const ATTRIBUTES_1: &str = "
CREATE TABLE attributes (
    document BLOB PRIMARY KEY,
    edition INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    asked_boot BLOB NOT NULL,
    asked_moment INTEGER NOT NULL,
    sheets TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX attributes_by_age ON attributes (asked);
";

const JOURNAL_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE folders (
    dir BLOB PRIMARY KEY,
    asked INTEGER NOT NULL,
    asked_boot BLOB NOT NULL,
    asked_moment INTEGER NOT NULL,
    gone INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE told (
    parent BLOB NOT NULL,
    guid BLOB NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    shown INTEGER NOT NULL,
    tag TEXT,
    version TEXT,
    file_name TEXT,
    looks INTEGER NOT NULL,
    edition INTEGER NOT NULL,
    readable INTEGER NOT NULL,
    leaving_to BLOB,
    ceded INTEGER,
    ceded_boot BLOB,
    ceded_moment INTEGER,
    PRIMARY KEY (parent, guid, kind)
) WITHOUT ROWID;
CREATE INDEX told_by_guid ON told (guid);
CREATE INDEX told_leaving ON told (leaving_to) WHERE leaving_to IS NOT NULL;
CREATE INDEX told_unsettled ON told (parent) WHERE leaving_to IS NOT NULL OR ceded IS NOT NULL;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    guid BLOB NOT NULL,
    parent BLOB NOT NULL,
    name TEXT NOT NULL,
    tag TEXT,
    change TEXT NOT NULL,
    detail TEXT,
    old BLOB,
    old_name TEXT
);
";

/// What is refused is found without reading everything that was told.
const JOURNAL_2: &str = "
CREATE INDEX IF NOT EXISTS told_refused ON told (parent) WHERE readable = 0;
";
