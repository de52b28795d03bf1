//! What there is to tell of what is not there any more.

use rusqlite::Connection;

use super::DirKey;
use super::journal::{Change, Event, Reason};
use super::told::{self, Saying, State, Told};
use crate::model::{ObjectId, Timestamp};

/// Tells what is gone, and of a folder what goes with it.
pub(super) struct Gone<'a> {
    connection: &'a Connection,
    at: Timestamp,
    /// Folders that are gone: nothing will be seen to arrive in them.
    buried: Vec<DirKey>,
    wrote: bool,
}

impl<'a> Gone<'a> {
    /// As it was seen at `at`.
    pub(super) const fn new(connection: &'a Connection, at: Timestamp) -> Self {
        Self {
            connection,
            at,
            buried: Vec::new(),
            wrote: false,
        }
    }

    /// Something is not where it was told to be, and was not seen elsewhere.
    pub(super) fn tell(&mut self, told: &Told, reason: Reason) -> rusqlite::Result<()> {
        self.wrote = true;
        told::remove(self.connection, told.parent, told.said.id)?;
        self.lose(told.said.id, reason)?;
        self.record(told, reason)
    }

    /// Tells that what was expected in a folder that is gone is gone, too; true if anything was told since the beginning.
    pub(super) fn finish(&mut self) -> rusqlite::Result<bool> {
        while let Some(dir) = self.buried.pop() {
            self.expected(dir, Reason::Moved)?;
        }
        Ok(self.wrote)
    }

    /// What is on its way to `dir` will not be seen there.
    pub(super) fn expected(&mut self, dir: DirKey, reason: Reason) -> rusqlite::Result<()> {
        for expected in told::expected(self.connection, dir)? {
            self.tell(&expected, reason)?;
        }
        Ok(())
    }

    /// Forgets what was told below a folder that is not told to be anywhere any more. The folders in it are told gone,
    /// those furthest down first: who reads of one of them alone must hear of it. Documents go without a word.
    fn lose(&mut self, id: ObjectId, reason: Reason) -> rusqlite::Result<()> {
        let mut lost: Vec<(ObjectId, Option<Told>)> = vec![(id, None)];
        let mut gone = Vec::new();
        while let Some((id, told)) = lost.pop() {
            let ObjectId::Folder(folder) = id else { continue };
            let places = told::everywhere(self.connection, folder.0)?;
            let is_place = |told: &Told| told.said.id == id && !matches!(told.state, State::Ceded(_));
            if places.iter().any(is_place) {
                continue;
            }
            let dir = DirKey::folder(folder);
            gone.extend(told);
            told::each_in(self.connection, dir, |told| {
                if !matches!(told.state, State::Ceded(_)) {
                    lost.push((told.said.id, Some(told)));
                }
            })?;
            told::clear(self.connection, dir)?;
            told::bury_folder(self.connection, dir)?;
            self.buried.push(dir);
        }
        for told in gone.iter().rev() {
            self.record(told, reason)?;
        }
        Ok(())
    }

    fn record(&self, told: &Told, reason: Reason) -> rusqlite::Result<()> {
        record(
            self.connection,
            self.at,
            &told.said,
            told.parent,
            Change::Gone { reason },
        )
    }
}

/// Writes a row of the journal.
pub(super) fn record(
    connection: &Connection,
    at: Timestamp,
    saying: &Saying,
    parent: DirKey,
    change: Change,
) -> rusqlite::Result<()> {
    let event = Event {
        sequence: 0,
        at,
        id: saying.id,
        parent,
        name: saying.name.clone(),
        tag: saying.tag.clone(),
        change,
    };
    super::events::put(connection, &event)
}
