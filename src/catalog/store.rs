//! Catalog and journal together: what is written to both, in which order, and why that is right.
//!
//! The catalog's write lock is taken first and held throughout; nobody takes it while holding the journal's. The new rows
//! are written first, so that a full disk is met before anything was told; then the journal commits, then the
//! catalog. Should the second commit fail, or the process die before it, then the journal is ahead: the next listing is
//! compared with what was *told*, so nothing is told twice, and an older answer than that is kept but not told.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::attributes::AttributeStore;
use super::codec::{Count, is_later};
use super::difference::{ShownIn, Telling};
use super::headers::{self, Header};
use super::journal::Journal;
use super::place::{self, Files};
use super::snapshot::Snapshot;
use super::{
    CatalogError, CatalogId, DirKey, Fetched, Inventory, Replaced, SavedListing, Sighting, Trouble, memory,
    rows, schema,
};
use crate::clock::Stamp;
use crate::database::{Database, Failure};
use crate::database::{make_private, refuse_network};
use crate::model::{ContentTag, DocumentId, FolderId, Guid, Timestamp};
use crate::store::listing::Listing;

/// How many listings are removed in one transaction: others wait for it.
const FORGOTTEN_AT_ONCE: usize = 200;

/// See [`super::Catalog`], whose methods these are.
pub(super) struct Store {
    dir: PathBuf,
    catalog: Database,
    attributes: AttributeStore,
    journal: Journal,
    bytes: AtomicU64,
    entries: AtomicU64,
}

/// What became of one answer before the journal was told.
enum Written {
    Superseded(SavedListing),
    Kept {
        commit: u64,
        listing: Arc<Listing>,
        /// The listing before, where the journal has lost it.
        lost: Option<SavedListing>,
        to_tell: bool,
    },
}

impl Written {
    fn telling<'a>(&'a self, fetched: &'a Fetched<'a>, shown_in: &'a ShownIn<'a>) -> Option<Telling<'a>> {
        match self {
            Self::Kept {
                listing,
                lost,
                to_tell: true,
                ..
            } => Some(Telling {
                dir: fetched.dir,
                asked: &fetched.fetched,
                listing,
                before: lost.as_ref().map(|saved| (&saved.fetched, &*saved.listing)),
                departed: fetched.departed,
                shown_in,
            }),
            Self::Kept { to_tell: false, .. } | Self::Superseded(_) => None,
        }
    }

    /// `looks` has the folders to look at for each that was told, in order.
    fn replaced(self, looks: &mut impl Iterator<Item = Vec<FolderId>>) -> Replaced {
        match self {
            Self::Superseded(saved) => Replaced::Superseded(saved),
            Self::Kept {
                commit,
                listing,
                to_tell,
                ..
            } => Replaced::Kept {
                commit,
                listing,
                look: if to_tell {
                    looks.next().unwrap_or_default()
                } else {
                    Vec::new()
                },
            },
        }
    }
}

impl Store {
    pub(super) fn open(files: &Files, id: &CatalogId) -> Result<Self, CatalogError> {
        make_private(&files.dir)?;
        refuse_network(&files.dir)?;
        files.mark_as_cache();
        let journal = Journal::open(&files.journal, id)?;
        let about = super::about(id);
        let founding = move |connection: &Connection| {
            let mut put = connection.prepare("INSERT INTO meta (key, value) VALUES (?, ?)")?;
            for (key, value) in &about {
                put.execute((key, value))?;
            }
            // The time in milliseconds, so that a catalog made anew goes on above the numbers of the one before: who
            // remembers one of those is behind, and never equal by chance.
            let first = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            connection.execute(
                "INSERT INTO totals (one, first_commit, bytes, entries) VALUES (1, ?, '0', 0)",
                [Count(first)],
            )?;
            Ok(())
        };
        let catalog = Database::open(files.catalog.clone(), &schema::CATALOG, Box::new(founding))?;
        let store = Self {
            dir: files.dir.clone(),
            catalog,
            attributes: AttributeStore::beside(&files.dir),
            journal,
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        };
        store
            .read("reading the totals", headers::totals)
            .map(|totals| store.note(totals))?;
        Ok(store)
    }

    /// Opens what another process keeps, for reading.
    pub(super) fn reading(dir: &Path, journal: &Path) -> Result<Self, CatalogError> {
        let store = Self {
            dir: dir.to_owned(),
            catalog: Database::open_reading(&place::catalog_in(dir), &schema::CATALOG)?,
            attributes: AttributeStore::beside(dir),
            journal: Journal::read_only(journal)?,
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        };
        store
            .read("reading the totals", headers::totals)
            .map(|totals| store.note(totals))?;
        Ok(store)
    }

    pub(super) fn about(&self) -> Result<CatalogId, CatalogError> {
        self.read("reading whose catalog it is", |connection| {
            let mut statement = connection.prepare("SELECT value FROM meta WHERE key = ?")?;
            let mut value = |key: &str| statement.query_row([key], |row| row.get(0));
            Ok(CatalogId {
                issuer: value("issuer")?,
                account: value("account")?,
                datasource: value("datasource")?,
            })
        })
    }

    pub(super) fn inventory(&self) -> Result<Inventory, CatalogError> {
        self.read("counting the listings", |connection| {
            let listings = connection.query_row("SELECT count(*) FROM listings", [], |row| row.get(0))?;
            let (failing, refused) = connection.query_row(
                "SELECT count(*) FILTER (WHERE refused = 0), count(*) FILTER (WHERE refused = 1) FROM troubles",
                [],
                |row| Ok((row.get::<_, Count>(0)?.0, row.get::<_, Count>(1)?.0)),
            )?;
            let Count(listings) = listings;
            Ok(Inventory {
                listings,
                entries: headers::totals(connection)?.1,
                oldest: headers::oldest(connection, Timestamp::now(), 1)?
                    .first()
                    .map(|(_, asked, _)| *asked),
                failing,
                refused,
            })
        })
    }

    pub(super) fn take_aside(&self) -> Vec<PathBuf> {
        let mut aside = self.catalog.take_aside();
        aside.append(&mut self.journal.take_aside());
        aside
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        self.catalog.read(doing, read)
    }

    fn note(&self, (bytes, entries): (u64, u64)) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.entries.store(entries, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> (u64, u64) {
        (
            self.bytes.load(Ordering::Relaxed),
            self.entries.load(Ordering::Relaxed),
        )
    }

    pub(super) fn release_memory(&self) {
        self.catalog.release_memory();
        self.attributes.release_memory();
        self.journal.release_memory();
    }

    pub(super) fn close(&self) {
        self.catalog.close();
        self.attributes.close();
        self.journal.close();
    }

    pub(super) const fn attributes(&self) -> &AttributeStore {
        &self.attributes
    }

    pub(super) const fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn replace_all(
        &self,
        answers: &[(Fetched<'_>, Option<u64>)],
        build: &mut dyn FnMut(usize, Option<&SavedListing>) -> Arc<Listing>,
    ) -> Result<Vec<Replaced>, CatalogError> {
        let (replaced, totals) = self.catalog.write("keeping listings", |connection| {
            let mut written = Vec::with_capacity(answers.len());
            for (index, (fetched, known)) in answers.iter().enumerate() {
                written.push(self.write(connection, fetched, *known, &mut |saved| build(index, saved))?);
            }
            let shown_in = |dir, id| headers::shown_in(connection, dir, id);
            let tellings: Vec<Telling<'_>> = answers
                .iter()
                .zip(&written)
                .filter_map(|((fetched, _), written)| written.telling(fetched, &shown_in))
                .collect();
            let mut looks = self.journal.tell(&tellings)?.into_iter();
            drop(tellings);
            let replaced: Vec<Replaced> = written
                .into_iter()
                .map(|written| written.replaced(&mut looks))
                .collect();
            Ok((replaced, headers::totals(connection)?))
        })?;
        self.note(totals);
        Ok(replaced)
    }

    /// Writes the rows of one answer, and says what is to be told of it.
    fn write(
        &self,
        connection: &Connection,
        fetched: &Fetched<'_>,
        known: Option<u64>,
        build: &mut dyn FnMut(Option<&SavedListing>) -> Arc<Listing>,
    ) -> Result<Written, Failure> {
        let kept = headers::find(connection, fetched.dir)?;
        if let Some(header) = &kept
            && (fetched.first || is_later(&header.asked, &fetched.fetched))
        {
            return Ok(Written::Superseded(headers::load(connection, header)?));
        }
        let mut previous = match &kept {
            Some(header) if known != Some(header.commit) => Some(headers::load(connection, header)?),
            Some(_) | None => None,
        };
        let listing = build(previous.as_ref());
        let told = match &kept {
            Some(header) => self.is_told(fetched.dir, &header.asked)?,
            None => Some(false),
        };
        // The journal was lost: it is to tell of the listing before, or it could not tell what left.
        if let (None, None, Some(header)) = (told, &previous, &kept) {
            previous = Some(headers::load(connection, header)?);
        }
        let (commit, differs) = headers::replace(connection, fetched, kept.as_ref(), &listing)?;
        Ok(Written::Kept {
            commit,
            listing,
            lost: previous.filter(|_| told.is_none()),
            to_tell: told != Some(true) || differs,
        })
    }

    /// See [`Journal::is_settled`]; of a choice of folders there is nothing to tell.
    fn is_told(&self, dir: DirKey, asked: &Stamp) -> Result<Option<bool>, CatalogError> {
        if dir.is_choice() {
            return Ok(Some(true));
        }
        self.journal.is_settled(dir, asked)
    }

    pub(super) fn unchanged(&self, dir: DirKey, commit: u64, fetched: &Stamp) -> Result<bool, CatalogError> {
        self.catalog
            .write("noting that a listing is unchanged", |connection| {
                let Some(header) = headers::find(connection, dir)?.filter(|header| header.commit == commit)
                else {
                    return Ok(false);
                };
                if is_later(&header.asked, fetched) {
                    return Ok(true);
                }
                headers::touch(connection, header.listing, fetched)?;
                if self.is_told(dir, &header.asked)? != Some(true) {
                    self.tell_again(connection, dir, &header, fetched)?;
                }
                Ok(true)
            })
    }

    /// Tells a listing that the journal, for whatever reason, may not agree with.
    fn tell_again(
        &self,
        connection: &Connection,
        dir: DirKey,
        header: &Header,
        fetched: &Stamp,
    ) -> Result<(), Failure> {
        let saved = headers::load(connection, header)?;
        self.journal.tell(&[Telling {
            dir,
            asked: fetched,
            listing: &saved.listing,
            before: None,
            departed: &[],
            shown_in: &|dir, id| headers::shown_in(connection, dir, id),
        }])?;
        Ok(())
    }

    pub(super) fn rebuild(
        &self,
        dir: DirKey,
        build: &mut dyn FnMut(&SavedListing) -> Arc<Listing>,
    ) -> Result<Option<u64>, CatalogError> {
        let rebuilt = self
            .catalog
            .write("keeping what was learnt of a listing", |connection| {
                let Some(header) = headers::find(connection, dir)? else {
                    return Ok(None);
                };
                let saved = headers::load(connection, &header)?;
                let listing = build(&saved);
                let fetched = Fetched {
                    dir,
                    fetched: saved.fetched,
                    proof: saved.proof,
                    validator: saved.validator.as_deref(),
                    departed: &[],
                    first: false,
                };
                let (commit, differs) = headers::replace(connection, &fetched, Some(&header), &listing)?;
                if differs && !dir.is_choice() {
                    self.journal.retell(dir, &saved.fetched, &listing)?;
                }
                Ok(Some((commit, headers::totals(connection)?)))
            })?;
        Ok(rebuilt.map(|(commit, totals)| {
            self.note(totals);
            commit
        }))
    }

    pub(super) fn forget(&self, top: FolderId) -> Result<u64, CatalogError> {
        let (mut removed, mut queue) = (0, vec![top]);
        while !queue.is_empty() {
            let totals = self.catalog.write("forgetting what is gone", |connection| {
                for _ in 0..FORGOTTEN_AT_ONCE {
                    let Some(folder) = queue.pop() else { break };
                    let Some(header) = headers::find(connection, DirKey::folder(folder))? else {
                        continue;
                    };
                    let inside = headers::folders_in(connection, header.listing)?;
                    headers::remove(connection, &header)?;
                    removed += 1;
                    for child in inside {
                        // One that moved away in time is listed elsewhere.
                        if !headers::is_listed(connection, child)? {
                            queue.push(child);
                        }
                    }
                }
                Ok(headers::totals(connection)?)
            })?;
            self.note(totals);
        }
        Ok(removed)
    }

    pub(super) fn keeps(&self, dir: DirKey) -> Result<bool, CatalogError> {
        self.read("looking for a listing", |connection| {
            Ok(headers::asked(connection, dir)?.is_some())
        })
    }

    pub(super) fn load(&self, dir: DirKey) -> Result<Option<SavedListing>, CatalogError> {
        self.read("reading a listing", |connection| {
            headers::find(connection, dir)?
                .map(|header| headers::load(connection, &header))
                .transpose()
        })
    }

    pub(super) fn knows(&self, dir: DirKey) -> Result<bool, CatalogError> {
        self.read("looking for a listing", |connection| {
            let is_kept = headers::asked(connection, dir)?.is_some();
            Ok(is_kept || memory::trouble(connection, dir.guid())?.is_some())
        })
    }

    pub(super) fn since(&self, commit: u64) -> Result<(Vec<DirKey>, u64), CatalogError> {
        let (dirs, last, totals) = self.read("looking for new listings", |connection| {
            let last = headers::last_commit(connection)?;
            Ok((
                headers::since(connection, commit)?,
                last,
                headers::totals(connection)?,
            ))
        })?;
        self.note(totals);
        Ok((dirs, last))
    }

    pub(super) fn find(&self, guid: Guid) -> Result<Vec<Sighting>, CatalogError> {
        self.read("looking for an object", |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT dir, {} FROM entries JOIN listings USING (listing) WHERE guid = ? ORDER BY dir",
                qualified(rows::COLUMNS)
            ))?;
            statement
                .query_map([guid.as_bytes()], |row| {
                    let kept = rows::decode(row, 1)?;
                    Ok(Sighting {
                        dir: row.get(0)?,
                        row: kept.row,
                        entry: kept.entry,
                    })
                })?
                .collect()
        })
    }

    pub(super) fn oldest(&self, limit: usize) -> Result<Vec<(FolderId, Stamp, Timestamp)>, CatalogError> {
        self.read("looking for the oldest listings", |connection| {
            headers::oldest(connection, Timestamp::now(), limit)
        })
    }

    pub(super) fn below(&self, top: FolderId) -> Result<Vec<(FolderId, Option<Stamp>)>, CatalogError> {
        self.read("looking for the folders below", |connection| {
            let (mut found, mut queue) = (Vec::new(), VecDeque::from([top]));
            let mut seen = HashSet::from([top]);
            while let Some(folder) = queue.pop_front() {
                let header = headers::find(connection, DirKey::folder(folder))?;
                found.push((folder, header.as_ref().map(|header| header.asked)));
                let Some(header) = header else { continue };
                for child in headers::folders_in(connection, header.listing)? {
                    // A folder that was moved below its own child is below itself in two old listings.
                    if seen.insert(child) {
                        queue.push_back(child);
                    }
                }
            }
            Ok(found)
        })
    }

    pub(super) fn snapshot<T, E: From<CatalogError>>(
        &self,
        look: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // The catalog first: whatever it has of a writer who is at work, the journal has, too.
        let looked = self.read("reading what is kept", |catalog| {
            let troubles = memory::troubles(catalog)?;
            headers::read_much(catalog)?;
            Ok(self
                .journal
                .snapshot(|journal, cursor| look(&Snapshot::new(catalog, journal, cursor, troubles))))
        });
        match looked {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) | Err(error) => Err(error.into()),
        }
    }

    pub(super) fn fact(&self, key: &str) -> Result<Option<String>, CatalogError> {
        self.read("reading a fact", |connection| memory::fact(connection, key))
    }

    pub(super) fn set_fact(&self, key: &str, value: &str) -> Result<(), CatalogError> {
        self.catalog.write("keeping a fact", |connection| {
            Ok(memory::set_fact(connection, key, value)?)
        })
    }

    pub(super) fn amendments(&self) -> Result<Vec<(DocumentId, ContentTag, ContentTag)>, CatalogError> {
        self.read("reading the amendments", memory::amendments)
    }

    pub(super) fn set_amendment(
        &self,
        document: DocumentId,
        amendment: Option<(ContentTag, ContentTag)>,
    ) -> Result<(), CatalogError> {
        self.catalog.write("keeping an amendment", |connection| {
            Ok(memory::set_amendment(connection, document, amendment)?)
        })
    }

    pub(super) fn salts(&self) -> Result<Vec<(String, u32)>, CatalogError> {
        self.read("reading the salts", memory::salts)
    }

    pub(super) fn set_salt(&self, identity: &str, salt: u32) -> Result<(), CatalogError> {
        self.catalog.write("keeping a salt", |connection| {
            Ok(memory::set_salt(connection, identity, salt)?)
        })
    }

    pub(super) fn note_trouble(&self, object: Guid, trouble: Option<&Trouble>) -> Result<(), CatalogError> {
        // A failure that is none of the rights leaves open whether it is refused.
        let readable = match trouble {
            Some(trouble) if trouble.refused => Some(false),
            Some(_) => None,
            None => Some(true),
        };
        let told = match readable {
            Some(readable) => self.journal.knows_rights(object, readable)?,
            None => true,
        };
        if told && self.trouble(object)?.as_ref() == trouble {
            return Ok(());
        }
        self.catalog.write("noting a failure", |connection| {
            memory::set_trouble(connection, object, trouble)?;
            if let Some(readable) = readable {
                let at = trouble.map_or_else(Timestamp::now, |trouble| trouble.at);
                self.journal.tell_rights(object, readable, at)?;
            }
            Ok(())
        })
    }

    /// Everything that is refused, as far as catalog and journal know.
    pub(super) fn refused(&self) -> Result<HashSet<Guid>, CatalogError> {
        let troubles = self.read("reading what is refused", memory::troubles)?;
        let refused = troubles.into_iter().filter(|(_, trouble)| trouble.refused);
        let mut all = self.journal.refused()?;
        all.extend(refused.map(|(object, _)| object));
        Ok(all)
    }

    pub(super) fn trouble(&self, object: Guid) -> Result<Option<Trouble>, CatalogError> {
        self.read("reading the last failure", |connection| {
            memory::trouble(connection, object)
        })
    }
}

/// The columns of an entry, where those of its listing are there too.
fn qualified(columns: &str) -> String {
    columns
        .split(", ")
        .map(|column| format!("entries.{}", column.trim()))
        .collect::<Vec<_>>()
        .join(", ")
}
