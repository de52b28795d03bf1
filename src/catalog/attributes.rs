//! The attributes of documents' environments, as they were last asked for.
//!
//! No listing has them, so they are asked for by themselves, where somebody wants them. They stand in a database of their own
//! beside the catalog: whoever asked writes it, while a mount goes on with the catalog.
//!
//! An attribute is believed for as long as its document is listed as it was then. That is what a server tells of an edit
//! without being asked; whether it tells every edit so is not known, so each says when it was asked for, too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{self, Time, Unreadable, stamp, unreadable};
use super::told::{fingerprint, stamp_text};
use super::{CatalogError, schema};
use crate::clock::Stamp;
use crate::database::Database;
use crate::model::{Attribute, AttributeSheet, Document, DocumentId, Timestamp};

/// Its file, in the directory of the catalog.
const FILE: &str = "attributes.sqlite";

/// An answer is kept for so long, as long as the journal keeps its rows: most older ones are of documents that are gone, and
/// the others are asked for again.
const KEPT_FOR: Duration = Duration::from_secs(92 * 24 * 3600);

/// How a document was listed when it was asked for its attributes: another one is another document to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edition(i64);

impl Edition {
    /// Of a document as it is listed.
    pub fn of(document: &Document) -> Self {
        Self(fingerprint(&[
            stamp_text(document.updated).as_deref(),
            document.etag.as_deref(),
        ]))
    }
}

/// The attributes of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAttributes {
    /// When the server was asked.
    pub asked: Stamp,
    /// How the document was listed then.
    pub edition: Edition,
    /// What it answered.
    pub sheets: Vec<AttributeSheet>,
}

/// Reads them. Everything here blocks.
pub struct AttributeStore {
    path: PathBuf,
    /// Opened when it is first needed and there is one.
    database: Mutex<Option<Arc<Database>>>,
}

impl AttributeStore {
    /// Of the ones beside the catalog in `dir`; there need not be any. Opens nothing.
    pub fn beside(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE),
            database: Mutex::default(),
        }
    }

    /// What is kept of a document; `None` where it was never asked for, or has been listed otherwise since.
    pub fn of(&self, document: &Document) -> Result<Option<KeptAttributes>, CatalogError> {
        let Some(database) = self.database()? else {
            return Ok(None);
        };
        let kept = database.read("reading attributes", |connection| {
            connection
                .prepare_cached(
                    "SELECT asked, asked_boot, asked_moment, edition, sheets FROM attributes WHERE document = ?",
                )?
                .query_row([document.id.0.as_bytes()], |row| {
                    let sheets = row.get_ref(4)?.as_str()?;
                    Ok(KeptAttributes {
                        asked: stamp(row, 0)?,
                        edition: Edition(row.get(3)?),
                        sheets: decode(sheets)
                            .map_err(|error| unreadable(4, Unreadable(error.to_string())))?,
                    })
                })
                .optional()
        })?;
        Ok(kept.filter(|kept| kept.edition == Edition::of(document)))
    }

    /// True if attributes may be kept: less than [`AttributeStore::of`].
    pub fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Closes the database, if it was opened: who asks later gets [`CatalogError::Closed`].
    pub(super) fn close(&self) {
        if let Some(database) = &*self.database.lock() {
            database.close();
        }
    }

    /// Gives back the memory in which the database keeps parts of its file.
    pub(super) fn release_memory(&self) {
        let database = self.database.lock().clone();
        if let Some(database) = database {
            database.release_memory();
        }
    }

    /// The database, where there is one.
    fn database(&self) -> Result<Option<Arc<Database>>, CatalogError> {
        let mut opened = self.database.lock();
        if let Some(database) = &*opened {
            return Ok(Some(database.clone()));
        }
        if !self.path.exists() {
            return Ok(None);
        }
        let database = Arc::new(Database::open_reading(&self.path, &schema::ATTRIBUTES)?);
        *opened = Some(database.clone());
        Ok(Some(database))
    }
}

/// Writes them. Everything here blocks.
pub struct AttributeWriter(Database);

impl AttributeWriter {
    /// Of the ones beside the catalog in `dir`; made where there are none.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let founding = Box::new(|_: &Connection| Ok(()));
        Database::open(dir.join(FILE), &schema::ATTRIBUTES, founding).map(Self)
    }

    /// Keeps what the server answered when it was asked at `asked`, all of it or nothing.
    ///
    /// # Errors
    /// Nothing was kept; where the disk is full, for one.
    pub fn keep(
        &self,
        asked: &Stamp,
        answers: &[(DocumentId, Edition, Vec<AttributeSheet>)],
    ) -> Result<(), CatalogError> {
        self.0.write("keeping attributes", |transaction| {
            let mut put = transaction.prepare_cached(
                "INSERT OR REPLACE INTO attributes (document, edition, asked, asked_boot, asked_moment, sheets)
                    VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            for (document, edition, sheets) in answers {
                put.execute(params![
                    document.0.as_bytes(),
                    edition.0,
                    Time(asked.wall),
                    asked.boot.0,
                    codec::moment(asked),
                    encode(sheets),
                ])?;
            }
            Ok(())
        })
    }

    /// Forgets what is kept of these documents.
    pub fn forget(&self, documents: &[DocumentId]) -> Result<(), CatalogError> {
        if documents.is_empty() {
            return Ok(());
        }
        self.0.write("forgetting attributes", |transaction| {
            let mut forget = transaction.prepare_cached("DELETE FROM attributes WHERE document = ?")?;
            for document in documents {
                forget.execute([document.0.as_bytes()])?;
            }
            Ok(())
        })
    }

    /// Forgets what was last asked for longer than three months before `now`.
    pub fn forget_old(&self, now: Timestamp) -> Result<(), CatalogError> {
        let oldest = now.checked_sub(KEPT_FOR).unwrap_or(Timestamp::MIN);
        self.0.write("forgetting attributes", |transaction| {
            transaction.execute("DELETE FROM attributes WHERE asked < ?", params![Time(oldest)])?;
            Ok(())
        })
    }
}

/// What is written of a sheet: the name of its environment, then names and values.
type Written = (String, Vec<(String, String)>);

fn encode(sheets: &[AttributeSheet]) -> String {
    let pair = |it: &Attribute| (it.name.clone(), it.value.clone());
    let written: Vec<Written> = sheets
        .iter()
        .map(|sheet| {
            let pairs = sheet.attributes.iter().map(pair).collect();
            (sheet.environment.clone(), pairs)
        })
        .collect();
    // Plain texts: they can be written.
    serde_json::to_string(&written).unwrap_or_default()
}

fn decode(text: &str) -> serde_json::Result<Vec<AttributeSheet>> {
    let written: Vec<Written> = serde_json::from_str(text)?;
    let attribute = |(name, value)| Attribute { name, value };
    let sheet = |(environment, pairs): Written| AttributeSheet {
        environment,
        attributes: pairs.into_iter().map(attribute).collect(),
    };
    Ok(written.into_iter().map(sheet).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tests::{file, stamp};

    fn sheets(value: &str) -> Vec<AttributeSheet> {
        let attribute = |name: &str, value: &str| Attribute {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        vec![AttributeSheet {
            environment: "Drawings \"A\"".to_owned(),
            attributes: vec![attribute("SCALE", value), attribute("EMPTY", "")],
        }]
    }

    fn edited(document: &Document) -> Document {
        Document {
            etag: Some("another".to_owned()),
            ..document.clone()
        }
    }

    fn kept(store: &AttributeStore, document: &Document) -> Option<Vec<AttributeSheet>> {
        store.of(document).unwrap().map(|kept| kept.sheets)
    }

    #[test]
    fn attributes_count_for_a_document_as_it_was_listed_then() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (file(1, "one"), file(2, "two"));
        let reading = AttributeStore::beside(dir.path());
        assert!(!reading.is_there());
        assert_eq!(kept(&reading, &one), None);
        let store = AttributeWriter::open(dir.path()).unwrap();
        let answers = [
            (one.id, Edition::of(&one), sheets("1:50")),
            (two.id, Edition::of(&two), Vec::new()),
        ];
        store.keep(&stamp(5), &answers).unwrap();
        assert_eq!(kept(&reading, &one), Some(sheets("1:50")));
        assert_eq!(reading.of(&one).unwrap().unwrap().asked, stamp(5));
        assert_eq!(kept(&reading, &two), Some(Vec::new()), "nothing was entered");
        assert_eq!(kept(&reading, &edited(&one)), None);
        let edition = Edition::of(&edited(&one));
        store
            .keep(&stamp(6), &[(one.id, edition, sheets("1:20"))])
            .unwrap();
        assert_eq!(kept(&reading, &one), None);
        assert_eq!(kept(&reading, &edited(&one)), Some(sheets("1:20")));
        store.forget(&[one.id]).unwrap();
        assert_eq!(kept(&reading, &edited(&one)), None);
        assert_eq!(kept(&reading, &two), Some(Vec::new()));
    }

    #[test]
    fn what_is_old_is_forgotten_and_what_is_damaged_or_deleted_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (file(1, "one"), file(2, "two"));
        let store = AttributeWriter::open(dir.path()).unwrap();
        let reading = AttributeStore::beside(dir.path());
        let answer = |document: &Document| (document.id, Edition::of(document), sheets("x"));
        store.keep(&stamp(0), &[answer(&one)]).unwrap();
        store.keep(&stamp(100), &[answer(&two)]).unwrap();
        store
            .forget_old(stamp(50).wall.checked_add(KEPT_FOR).unwrap())
            .unwrap();
        assert_eq!(
            (kept(&reading, &one), kept(&reading, &two)),
            (None, Some(sheets("x")))
        );

        let path = dir.path().join(FILE);
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute("UPDATE attributes SET sheets = '[['", ()).unwrap();
        drop(raw);
        assert!(reading.of(&two).is_err());
        // It was put aside, and a new one is made.
        store.keep(&stamp(200), &[answer(&two)]).unwrap();
        assert_eq!(kept(&reading, &two), Some(sheets("x")));
        for part in ["", "-wal", "-shm"] {
            // Not all of them need be there.
            let _ = std::fs::remove_file(dir.path().join(format!("{FILE}{part}")));
        }
        store.keep(&stamp(300), &[answer(&one)]).unwrap();
        assert_eq!(
            (kept(&reading, &one), kept(&reading, &two)),
            (Some(sheets("x")), None)
        );
    }
}
