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
use rusqlite::{OptionalExtension, params};

use super::codec::{self, Time, Unreadable, stamp, unreadable};
use super::told::{fingerprint, stamp_text};
use super::{CatalogError, schema};
use crate::clock::Stamp;
use crate::database::Database;
use crate::model::{AttributeSheet, Document, DocumentId, Timestamp};

/// Its file, in the directory of the catalog.
const FILE: &str = "attributes.sqlite";

/// What nobody asked for in so long is forgotten: its document is likely gone. As long as the journal keeps its rows.
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

/// See the module. Everything here blocks.
pub struct AttributeStore {
    path: PathBuf,
    /// Where it is read only: opened when it is first needed and there is one.
    database: Mutex<Option<Arc<Database>>>,
}

impl AttributeStore {
    /// The one beside the catalog in `dir`, for reading; there need not be one. Opens nothing.
    pub fn beside(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE),
            database: Mutex::default(),
        }
    }

    /// The same, for writing; made where there is none.
    pub fn open(dir: &Path) -> Result<Self, CatalogError> {
        let path = dir.join(FILE);
        let database = Database::open(path.clone(), &schema::ATTRIBUTES, Box::new(|_| Ok(())))?;
        Ok(Self {
            path,
            database: Mutex::new(Some(Arc::new(database))),
        })
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
                        sheets: serde_json::from_str(sheets)
                            .map_err(|error| unreadable(4, Unreadable(error.to_string())))?,
                    })
                })
                .optional()
        })?;
        Ok(kept.filter(|kept| kept.edition == Edition::of(document)))
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
        let Some(database) = self.database()? else {
            return Ok(());
        };
        database.write("keeping attributes", |transaction| {
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
                    // Plain data: it can be written.
                    serde_json::to_string(sheets).unwrap_or_default(),
                ])?;
            }
            Ok(())
        })
    }

    /// Forgets what was last asked for longer than three months before `now`.
    pub fn forget_old(&self, now: Timestamp) -> Result<(), CatalogError> {
        let Some(database) = self.database()? else {
            return Ok(());
        };
        let oldest = now.checked_sub(KEPT_FOR).unwrap_or(Timestamp::MIN);
        database.write("forgetting attributes", |transaction| {
            transaction.execute("DELETE FROM attributes WHERE asked < ?", params![Time(oldest)])?;
            Ok(())
        })
    }

    /// Closes the database. Who asks later opens it anew.
    pub(super) fn close(&self) {
        if let Some(database) = self.database.lock().take() {
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
