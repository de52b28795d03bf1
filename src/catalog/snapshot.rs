//! Catalog and journal at one moment: what the journal has told so far, with what the catalog knows of it.
//!
//! What is told is what counts: whoever takes this and goes on at its cursor misses nothing and hears nothing twice. The two
//! are databases of their own, so the catalog may be behind the journal (a process was killed between the two) or a
//! move may be half told. Where both agree, which is nearly always, the catalog alone is read; elsewhere the journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::codec::{Id, is_later};
use super::journal::Cursor;
use super::told::{State, Told};
use super::{CatalogError, DirKey, Proof, Trouble, headers, rows, told};
use crate::clock::Stamp;
use crate::model::{Document, DocumentId, Entry, Folder, FolderId, Guid, ObjectId};

/// See the module. The catalog's part is the older one: what it does not know yet, the journal has told.
pub struct Snapshot<'a> {
    catalog: &'a Connection,
    journal: &'a Connection,
    cursor: Cursor,
    troubles: HashMap<Guid, Trouble>,
}

/// A directory that was listed and told.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    dir: DirKey,
    /// Its key among the entries of the catalog, where that has it.
    listing: Option<i64>,
    /// False where the journal is to be read instead.
    agree: bool,
    /// When the server was asked, or last said that nothing has changed.
    pub asked: Stamp,
    /// How far it is proved.
    pub proof: Proof,
}

/// How far a directory is known.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// It was listed and told.
    Listed(Listed),
    /// No listing of it is kept.
    Never,
    /// A listing is kept of which the journal, which was lost, does not know.
    Untold,
}

/// A folder that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderTold {
    /// Its identity.
    pub id: FolderId,
    /// The name it is shown by; `None` for what is shown nowhere.
    pub shown: Option<String>,
    /// It is on its way to another folder, which has not shown it yet.
    pub leaving: bool,
}

/// A document that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentTold {
    /// Its identity.
    pub id: DocumentId,
    /// The name it is shown by; `None` for what is shown nowhere.
    pub shown: Option<String>,
    /// The content tag, of a document with a file.
    pub tag: Option<String>,
    /// The document as it was listed; `None` where the catalog is behind.
    pub document: Option<Document>,
}

impl<'a> Snapshot<'a> {
    /// Within a transaction of each database, of which the journal's began later and stands at `cursor`.
    pub(super) const fn new(
        catalog: &'a Connection,
        journal: &'a Connection,
        cursor: Cursor,
        troubles: HashMap<Guid, Trouble>,
    ) -> Self {
        Self {
            catalog,
            journal,
            cursor,
            troubles,
        }
    }

    /// The row of the journal that this follows.
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The last failure to list or to read an object, while it lasts.
    pub fn trouble(&self, object: Guid) -> Option<&Trouble> {
        self.troubles.get(&object)
    }

    /// In which words the server refuses an object, while it does.
    pub fn refusal(&self, object: Guid) -> Option<&str> {
        let trouble = self.trouble(object).filter(|trouble| trouble.refused);
        trouble.map(|trouble| trouble.text.as_str())
    }

    /// What is known of a directory.
    pub fn dir(&self, dir: DirKey) -> Result<Known, CatalogError> {
        reading(self.find(dir))
    }

    fn find(&self, dir: DirKey) -> rusqlite::Result<Known> {
        let Some(header) = headers::find(self.catalog, dir)? else {
            return Ok(Known::Never);
        };
        let listed = |asked, agree| {
            Known::Listed(Listed {
                dir,
                listing: Some(header.listing),
                agree,
                asked,
                proof: header.proof,
            })
        };
        // Of a choice of folders nothing is told.
        if dir.is_choice() {
            return Ok(listed(header.asked, true));
        }
        Ok(match told::folder(self.journal, dir)? {
            Some(told) if told.gone => Known::Untold,
            Some(told) if is_later(&told.asked, &header.asked) => listed(told.asked, false),
            Some(_) => listed(header.asked, !told::is_unsettled(self.journal, dir)?),
            None => Known::Untold,
        })
    }

    /// What was told of a directory, which no listing shows and which is therefore not listed: it is on its way from one
    /// folder to another one, and may never arrive, such as in one that the server refuses.
    pub fn told(&self, dir: DirKey) -> Result<Option<Listed>, CatalogError> {
        let told = reading(told::folder(self.journal, dir))?;
        Ok(told.filter(|told| !told.gone).map(|told| Listed {
            dir,
            listing: None,
            agree: false,
            asked: told.asked,
            proof: Proof::Paged,
        }))
    }

    /// True if something left a directory for another one, which was not seen to have it yet.
    pub fn is_left_behind(&self, listed: &Listed) -> Result<bool, CatalogError> {
        if listed.agree {
            return Ok(false);
        }
        reading(told::leaving(self.journal, listed.dir).map(|told| !told.is_empty()))
    }

    /// The folders in a directory, in the order of the names they are shown by; those that are shown nowhere come last.
    pub fn folders(&self, listed: &Listed) -> Result<Vec<FolderTold>, CatalogError> {
        let mut found = reading(match listed.listing {
            Some(listing) if listed.agree => self.folders_kept(listing),
            _ => self.folders_told(listed.dir),
        })?;
        found.sort_unstable_by(|a, b| {
            (a.shown.is_none(), &a.shown, a.id).cmp(&(b.shown.is_none(), &b.shown, b.id))
        });
        Ok(found)
    }

    fn folders_kept(&self, listing: i64) -> rusqlite::Result<Vec<FolderTold>> {
        self.catalog
            .prepare_cached("SELECT guid, shown FROM entries WHERE listing = ? AND kind <= 1 ORDER BY guid")?
            .query_map([listing], |row| {
                Ok(FolderTold {
                    id: FolderId(row.get::<_, Id>(0)?.0),
                    shown: row.get(1)?,
                    leaving: false,
                })
            })?
            .collect()
    }

    fn folders_told(&self, dir: DirKey) -> rusqlite::Result<Vec<FolderTold>> {
        let mut found = Vec::new();
        self.each_told(dir, |told| {
            if let ObjectId::Folder(id) = told.said.id {
                found.push(FolderTold {
                    id,
                    shown: told.said.shown.then_some(told.said.name),
                    leaving: matches!(told.state, State::Leaving(_)),
                });
            }
        })?;
        Ok(found)
    }

    /// What was told to be in `dir` and not to have gone elsewhere since.
    fn each_told(&self, dir: DirKey, mut look: impl FnMut(Told)) -> rusqlite::Result<()> {
        told::each_in(self.journal, dir, |told| match told.state {
            State::Here | State::Leaving(_) => look(told),
            State::Ceded(_) => {}
        })
    }

    /// A folder as any listing has it.
    pub fn folder(&self, id: FolderId) -> Result<Option<Folder>, CatalogError> {
        let found = || -> rusqlite::Result<Option<Folder>> {
            let mut statement = self.catalog.prepare_cached(&format!(
                "SELECT {} FROM entries WHERE guid = ? AND kind <= 1 ORDER BY shown IS NULL, listing DESC",
                rows::COLUMNS
            ))?;
            let mut rows = statement.query([id.0.as_bytes()])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(match rows::decode(row, 0)?.entry.as_ref() {
                Entry::Folder(folder) => Some(folder.clone()),
                Entry::Document(_) => None,
            })
        };
        reading(found())
    }

    /// What is in a directory and was told to be refused.
    pub fn unreadable(&self, listed: &Listed) -> Result<HashSet<Guid>, CatalogError> {
        reading(told::refused(self.journal, listed.dir))
    }

    /// Hands the documents in a directory to `take`, in the order of the names they are shown by; those that are shown
    /// nowhere come last. Ends early with what `take` fails with.
    pub fn documents<E>(
        &self,
        listed: &Listed,
        take: &mut dyn FnMut(DocumentTold) -> Result<(), E>,
    ) -> Result<Result<(), E>, CatalogError> {
        reading(match listed.listing {
            Some(listing) if listed.agree => self.documents_kept(listing, take),
            _ => self
                .documents_told(listed)
                .map(|documents| documents.into_iter().try_for_each(take)),
        })
    }

    fn documents_kept<E>(
        &self,
        listing: i64,
        take: &mut dyn FnMut(DocumentTold) -> Result<(), E>,
    ) -> rusqlite::Result<Result<(), E>> {
        // SQLite sorts, on the disk where it must: a folder may be larger than memory.
        let mut statement = self.catalog.prepare_cached(&format!(
            "SELECT {} FROM entries WHERE listing = ? AND kind > 1 ORDER BY shown IS NULL, shown, guid",
            rows::COLUMNS
        ))?;
        let mut found = statement.query([listing])?;
        while let Some(row) = found.next()? {
            if let Some(told) = as_told(rows::decode(row, 0)?)
                && let Err(error) = take(told)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn documents_told(&self, listed: &Listed) -> rusqlite::Result<Vec<DocumentTold>> {
        let (rows, hidden) = match listed.listing {
            Some(listing) => rows::read(self.catalog, listing)?,
            None => (Vec::new(), Vec::new()),
        };
        let shown = rows.into_iter().map(|row| rows::Kept {
            entry: row.entry.clone(),
            row: Some(row),
        });
        let hidden = hidden.into_iter().map(|entry| rows::Kept { row: None, entry });
        let mut kept: HashMap<DocumentId, DocumentTold> = shown
            .chain(hidden)
            .filter_map(as_told)
            .map(|told| (told.id, told))
            .collect();
        let mut found = Vec::new();
        self.each_told(listed.dir, |told| {
            if let ObjectId::Document(id) = told.said.id {
                let kept = kept.remove(&id).filter(|kept| kept.tag == told.said.tag);
                found.push(DocumentTold {
                    id,
                    shown: told.said.shown.then_some(told.said.name),
                    tag: told.said.tag,
                    document: kept.and_then(|kept| kept.document),
                });
            }
        })?;
        found.sort_unstable_by(|a, b| {
            (a.shown.is_none(), &a.shown, a.id).cmp(&(b.shown.is_none(), &b.shown, b.id))
        });
        Ok(found)
    }
}

fn as_told(kept: rows::Kept) -> Option<DocumentTold> {
    // The row shares the entry, and has to go before that can be taken.
    let (shown, tag) = match kept.row {
        Some(row) => (Some(row.name.as_str().to_owned()), row.tag),
        None => (None, None),
    };
    let Entry::Document(document) = Arc::unwrap_or_clone(kept.entry) else {
        return None;
    };
    Some(DocumentTold {
        id: document.id,
        tag: told::tag_of(document.kind, tag),
        shown,
        document: Some(document),
    })
}

fn reading<T>(found: rusqlite::Result<T>) -> Result<T, CatalogError> {
    found.map_err(|source| CatalogError::Sqlite {
        doing: "reading what is kept",
        source,
    })
}
