//! The journal: one row for each difference between two listings, in the order in which they were seen.
//!
//! It is state and not cache: a pipeline remembers how far it read. So it says what it said of every object, and a new
//! row is the difference to that.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rusqlite::Connection;

use super::codec::{Unreadable, is_later, unreadable};
use super::difference::{self, Telling};
use super::reading::Reading;
use super::told::{self, State};
use super::{CatalogError, CatalogId, DirKey, events, headers, rights, schema};
use crate::clock::Stamp;
use crate::database::Database;
use crate::model::{FolderId, Guid, ObjectId, Timestamp};
use crate::store::listing::Listing;

/// How far a reader is: an epoch, which is a random number of the journal, and the last row read. Written
/// `<16 hexadecimal digits>.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which journal.
    pub epoch: u64,
    /// The last row read.
    pub sequence: u64,
}

/// Why something is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The server says that it does not exist.
    Deleted,
    /// The server refuses it.
    Denied,
    /// It moved to a folder that was never listed.
    Moved,
    /// The server does not say.
    Unknown,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is listed and was not. `first`: so was the whole folder.
    Add {
        /// True in the first listing of its folder.
        first: bool,
    },
    /// It is the same document with another content or other properties.
    Modify {
        /// True if the bytes changed.
        content: bool,
    },
    /// A new version of a document, which may have a new GUID.
    NewVersion {
        /// The GUID of the version before; the same where the server keeps it.
        old: ObjectId,
    },
    /// Another name in the same folder.
    Rename {
        /// The name before.
        old_name: String,
    },
    /// Another folder, and perhaps another name.
    Move {
        /// The folder before.
        old_parent: DirKey,
        /// The name before.
        old_name: String,
    },
    /// It is not listed any more.
    Gone {
        /// Why.
        reason: Reason,
    },
    /// The server began or ceased to refuse it.
    Rights {
        /// False while it is refused.
        readable: bool,
    },
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub sequence: u64,
    /// When the listing that showed it was asked for.
    pub at: Timestamp,
    /// What it happened to.
    pub id: ObjectId,
    /// The folder it is in, or was.
    pub parent: DirKey,
    /// The name it is shown by, or was.
    pub name: String,
    /// The content tag, of a document.
    pub tag: Option<String>,
    /// What happened.
    pub change: Change,
}

/// The answer to "what happened since".
#[derive(Debug, PartialEq, Eq)]
pub enum Since {
    /// The next rows, in order; none for a reader that has read all.
    Events(Vec<Event>),
    /// The journal does not reach back so far, or is another one: the reader must begin anew.
    Resync,
}

/// The text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cursor")]
pub struct InvalidCursor(String);

/// The journal of one account.
pub struct Journal(Database);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.epoch, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        parse_cursor(text).ok_or_else(|| InvalidCursor(text.to_owned()))
    }
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (epoch, sequence) = text.split_once('.')?;
    let plain = |text: &str, radix| !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    (epoch.len() == EPOCH_DIGITS && plain(epoch, 16) && plain(sequence, 10)).then_some(())?;
    Some(Cursor {
        epoch: u64::from_str_radix(epoch, 16).ok()?,
        sequence: sequence.parse().ok()?,
    })
}

const EPOCH_DIGITS: usize = 16;

/// Keys of `meta`: the epoch in hexadecimal digits, and the number of the last row that was pruned.
const EPOCH: &str = "epoch";
const PRUNED: &str = "pruned";

impl Journal {
    /// Opens the journal at `path` to write it, making it where there is none.
    pub(super) fn open(path: &Path, id: &CatalogId) -> Result<Self, CatalogError> {
        let about = super::about(id);
        let founding = move |connection: &Connection| {
            let mut put = connection.prepare("INSERT INTO meta (key, value) VALUES (?, ?)")?;
            put.execute((EPOCH, format!("{:016x}", fastrand::u64(..))))?;
            put.execute((PRUNED, "0"))?;
            for (key, value) in &about {
                put.execute((key, value))?;
            }
            Ok(())
        };
        Database::open(path.to_owned(), &schema::JOURNAL, Box::new(founding)).map(Self)
    }

    /// Opens the journal at `path` for reading, such as by a command beside a mount.
    pub fn read_only(path: &Path) -> Result<Self, CatalogError> {
        Database::open_reading(path, &schema::JOURNAL).map(Self)
    }

    pub(super) fn release_memory(&self) {
        self.0.release_memory();
    }

    pub(super) fn close(&self) {
        self.0.close();
    }

    /// The end of the journal.
    pub fn head(&self) -> Result<Cursor, CatalogError> {
        self.0.read("reading the journal", head)
    }

    /// Hands one state of it to `look`, with its end.
    pub(super) fn snapshot<T>(&self, look: impl FnOnce(&Connection, Cursor) -> T) -> Result<T, CatalogError> {
        self.0.read("reading the journal", |connection| {
            let cursor = head(connection)?;
            headers::read_much(connection)?;
            Ok(look(connection, cursor))
        })
    }

    /// At most `limit` rows after `cursor`.
    pub fn since(&self, cursor: Cursor, limit: usize) -> Result<Since, CatalogError> {
        self.0.read("reading the journal", |connection| {
            since(connection, head(connection)?, cursor, limit)
        })
    }

    /// One state of it, for as long as `look` takes; what is written meanwhile takes room until it ends.
    pub fn reading<T, E: From<CatalogError>>(
        &self,
        look: impl FnOnce(&Reading<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.snapshot(|connection, head| look(&Reading::new(connection, head)))?
    }

    /// The last `limit` rows about an object, newest first; those that made a new version of it too. Reads the whole
    /// journal: for a person who asks.
    pub fn of_object(&self, guid: Guid, limit: usize) -> Result<Vec<Event>, CatalogError> {
        self.0.read("searching the journal", |connection| {
            events::of_object(connection, guid, limit)
        })
    }

    /// The last `limit` rows about whatever was called `name` in `dir`, newest first; as slow.
    pub fn of_name(&self, dir: DirKey, name: &str, limit: usize) -> Result<Vec<Event>, CatalogError> {
        self.0.read("searching the journal", |connection| {
            events::of_name(connection, dir, name, limit)
        })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Forgets rows older than `before`; what it said of each object stays. Returns how many.
    ///
    /// Only from its beginning: a row that is younger keeps those after it.
    pub fn prune(&self, before: Timestamp) -> Result<u64, CatalogError> {
        self.write("pruning the journal", |connection| {
            let Some((count, last)) = events::prune(connection, before, Timestamp::now())? else {
                return Ok(0);
            };
            connection.execute(
                "UPDATE meta SET value = ? WHERE key = ?",
                (last.to_string(), PRUNED),
            )?;
            Ok(count)
        })
    }

    /// Tells listings, one after the other, and commits them together; returns for each the folders to be listed anew.
    ///
    /// The price is the one wait for the disk, however many they are.
    pub(super) fn tell(&self, tellings: &[Telling<'_>]) -> Result<Vec<Vec<FolderId>>, CatalogError> {
        if tellings.is_empty() {
            return Ok(Vec::new());
        }
        self.write("writing the journal", |connection| {
            tellings
                .iter()
                .map(|telling| difference::tell(connection, telling))
                .collect()
        })
    }

    /// See [`difference::retell`].
    pub(super) fn retell(&self, dir: DirKey, asked: &Stamp, listing: &Listing) -> Result<(), CatalogError> {
        self.write("writing the journal", |connection| {
            difference::retell(connection, dir, asked, listing)
        })
    }

    /// Whether the journal says of `dir` what a listing asked for at `asked` says, as far as can be known without
    /// comparing; `None` if it never told of it.
    pub(super) fn is_settled(&self, dir: DirKey, asked: &Stamp) -> Result<Option<bool>, CatalogError> {
        self.0.read("reading the journal", |connection| {
            let Some(known) = told::folder(connection, dir)? else {
                return Ok(None);
            };
            let behind = known.gone || is_later(&known.asked, asked);
            Ok(Some(!behind && !told::is_unsettled(connection, dir)?))
        })
    }

    /// What was told to be in `dir`.
    pub(super) fn told_in(&self, dir: DirKey) -> Result<Vec<ObjectId>, CatalogError> {
        self.0.read("reading the journal", |connection| {
            let mut found = Vec::new();
            told::each_in(connection, dir, |told| {
                if told.state == State::Here {
                    found.push(told.said.id);
                }
            })?;
            Ok(found)
        })
    }

    /// See [`told::on_their_way`].
    pub(super) fn on_their_way(&self) -> Result<Vec<(DirKey, DirKey)>, CatalogError> {
        self.0.read("reading the journal", told::on_their_way)
    }

    /// What left for `dir`, or `dir` for another folder, and was not seen to arrive: what became of it is to be asked, or
    /// nobody would ever tell that it is gone.
    pub(super) fn expected(&self, dir: DirKey) -> Result<Vec<ObjectId>, CatalogError> {
        self.0.read("reading the journal", |connection| {
            let mut expected = told::expected(connection, dir)?;
            expected.append(&mut told::leaving(connection, dir)?);
            Ok(expected.into_iter().map(|told| told.said.id).collect())
        })
    }

    /// Everything that was told to be refused.
    pub(super) fn refused(&self) -> Result<HashSet<Guid>, CatalogError> {
        self.0.read("reading the journal", told::all_refused)
    }

    /// True where [`Journal::tell_rights`] has nothing to tell.
    pub(super) fn knows_rights(&self, object: Guid, readable: bool) -> Result<bool, CatalogError> {
        self.0.read("reading the journal", |connection| {
            rights::is_told(connection, object, readable)
        })
    }

    /// Tells that the server began or ceased to refuse `object`, unless that was told.
    pub(super) fn tell_rights(
        &self,
        object: Guid,
        readable: bool,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write("writing the journal", |connection| {
            rights::tell(connection, object, readable, at)
        })
    }

    /// Where a damaged journal was put since this was last asked.
    pub(super) fn take_aside(&self) -> Vec<PathBuf> {
        self.0.take_aside()
    }

    fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        self.0.write(doing, |transaction| Ok(write(transaction)?))
    }
}

/// See [`Journal::since`].
pub(super) fn since(
    connection: &Connection,
    head: Cursor,
    cursor: Cursor,
    limit: usize,
) -> rusqlite::Result<Since> {
    let pruned: u64 = meta(connection, PRUNED, |text| text.parse().ok())?;
    let reachable = (pruned..=head.sequence).contains(&cursor.sequence);
    if cursor.epoch != head.epoch || !reachable {
        return Ok(Since::Resync);
    }
    events::after(connection, cursor.sequence, limit).map(Since::Events)
}

fn head(connection: &Connection) -> rusqlite::Result<Cursor> {
    Ok(Cursor {
        epoch: meta(connection, EPOCH, |text| u64::from_str_radix(text, 16).ok())?,
        sequence: events::last(connection)?,
    })
}

fn meta<T>(connection: &Connection, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?")?
        .query_row([key], |row| row.get(0))?;
    parse(&text).ok_or_else(|| unreadable(0, Unreadable(text)))
}
