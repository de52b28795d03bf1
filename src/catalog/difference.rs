//! What there is to tell of a new listing: the difference to what was told before.
//!
//! Comparing two lists is simple until you consider that:
//! 1. an object leaves one folder in one listing and arrives in another one in another listing, in any order, or never;
//! 2. listings of two folders may be asked for in one order and arrive in the other;
//! 3. a server may show one object in two folders;
//! 4. a new version may be a new object of the same file name;
//! 5. a folder that is gone takes along what is below it, and may come back, or what is in it may be found elsewhere.
//!
//! What leaves for a folder that was told of is only marked, and told as one move when that folder shows it; what
//! arrives first is told as a move at once, and its old place is *ceded*: 1. A place is ceded as of a time, and only
//! a listing asked for later can tell that the object is there as well: 2 and 3. Who arrives and who gave way, as the server
//! says, are paired by file name, and by the labels of versions where those can be compared (`label.rs`): 4. What was told
//! of what is below a gone folder is forgotten with it (`gone.rs`), as whoever reads the journal does, and told again where
//! it is listed again: 5.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::codec::is_later;
use super::gone::{Gone, record};
use super::journal::{Change, Reason};
use super::told::{self, Saying, State, Told};
use super::{Departure, DirKey, label};
use crate::clock::Stamp;
use crate::model::{FolderId, ObjectId};
use crate::store::listing::Listing;

/// See [`Telling::shown_in`].
pub(super) type ShownIn<'a> = dyn Fn(DirKey, ObjectId) -> rusqlite::Result<Option<Stamp>> + 'a;

/// A listing to be told.
pub(super) struct Telling<'a> {
    pub(super) dir: DirKey,
    /// When it was asked for.
    pub(super) asked: &'a Stamp,
    pub(super) listing: &'a Listing,
    /// The listing before, with its time, where the journal does not know of it: it was lost.
    pub(super) before: Option<(&'a Stamp, &'a Listing)>,
    pub(super) departed: &'a [(ObjectId, Departure)],
    /// When the catalog's listing of another folder was asked for, if that has the object.
    pub(super) shown_in: &'a ShownIn<'a>,
}

/// Tells `telling`, and returns the folders that are to be listed anew.
pub(super) fn tell(connection: &Connection, telling: &Telling<'_>) -> rusqlite::Result<Vec<FolderId>> {
    if telling.dir.is_choice() {
        return Ok(Vec::new());
    }
    let mut known = told::folder(connection, telling.dir)?;
    if known.is_some_and(|known| is_later(&known.asked, telling.asked)) {
        // A later answer was told, and could then not be kept. What it said stands.
        return Ok(Vec::new());
    }
    if known.is_none()
        && let Some((asked, listing)) = telling.before
    {
        let lost = Telling {
            asked,
            listing,
            before: None,
            departed: &[],
            ..*telling
        };
        Teller::new(connection, &lost, true).tell()?;
        told::put_folder(connection, telling.dir, asked)?;
        known = told::folder(connection, telling.dir)?;
    }
    let first = known.is_none_or(|known| known.gone);
    let mut teller = Teller::new(connection, telling, first);
    teller.tell()?;
    if first || teller.wrote {
        told::put_folder(connection, telling.dir, telling.asked)?;
    }
    teller.look.sort_unstable();
    teller.look.dedup();
    Ok(teller.look)
}

/// Tells only what changed of objects that stay, for a listing that was not asked for anew.
pub(super) fn retell(
    connection: &Connection,
    dir: DirKey,
    asked: &Stamp,
    listing: &Listing,
) -> rusqlite::Result<()> {
    let known = told::folder(connection, dir)?;
    // Not told of, gone, or told as it was later: the next answer tells.
    if known.is_none_or(|known| known.gone || is_later(&known.asked, asked)) {
        return Ok(());
    }
    let telling = Telling {
        dir,
        asked,
        listing,
        before: None,
        departed: &[],
        shown_in: &|_, _| Ok(None),
    };
    let mut teller = Teller::new(connection, &telling, false);
    let mut stays: BTreeMap<_, _> = Saying::of(listing)
        .into_iter()
        .map(|saying| (told::key(saying.id), saying))
        .collect();
    let mut pairs = Vec::new();
    told::each_in(connection, dir, |told| {
        if told.state == State::Here
            && let Some(saying) = stays.remove(&told::key(told.said.id))
            && saying != told.said
        {
            pairs.push((told, saying));
        }
    })?;
    for (told, saying) in pairs {
        teller.stays(&told, saying)?;
    }
    Ok(())
}

/// What was told, and what there is to say in its place.
type Pair = (Told, Saying);

/// Where an object is on its way from, to `dir` if it can be.
fn leaving(others: &[Told], dir: DirKey) -> Option<&Told> {
    let exact = others.iter().find(|told| told.state == State::Leaving(dir));
    exact.or_else(|| others.iter().find(|told| matches!(told.state, State::Leaving(_))))
}

struct Teller<'a> {
    connection: &'a Connection,
    telling: &'a Telling<'a>,
    departed: HashMap<ObjectId, Departure>,
    first: bool,
    look: Vec<FolderId>,
    gone: Gone<'a>,
    wrote: bool,
}

impl<'a> Teller<'a> {
    fn new(connection: &'a Connection, telling: &'a Telling<'a>, first: bool) -> Self {
        Self {
            connection,
            telling,
            departed: telling.departed.iter().copied().collect(),
            first,
            look: Vec::new(),
            gone: Gone::new(connection, telling.asked.wall),
            wrote: false,
        }
    }

    /// Compares all.
    fn tell(&mut self) -> rusqlite::Result<()> {
        let dir = self.telling.dir;
        let mut sayings = Saying::of(self.telling.listing).into_iter().peekable();
        let (mut arrivals, mut stays, mut leavers, mut settled) = (vec![], vec![], vec![], vec![]);
        let (departed, look) = (&self.departed, &mut self.look);
        told::each_in(self.connection, dir, |told| {
            let key = told::key(told.said.id);
            while let Some(saying) = sayings.next_if(|saying| told::key(saying.id) < key) {
                arrivals.push(saying);
            }
            match (sayings.next_if(|saying| told::key(saying.id) == key), told.state) {
                (Some(saying), State::Here) if saying == told.said => {}
                (Some(saying), _) => stays.push((told, saying)),
                (None, State::Ceded(_)) => settled.push(told),
                (None, State::Here) => leavers.push(told),
                (None, State::Leaving(to)) => {
                    // What became of it was found out: it is not on its way any more.
                    if departed.contains_key(&told.said.id) {
                        leavers.push(told);
                    } else {
                        look.extend(to.as_folder());
                    }
                }
            }
        })?;
        arrivals.extend(sayings);
        let mut present: Vec<_> = arrivals.iter().map(|saying| saying.id).collect();
        present.extend(stays.iter().map(|(_, saying)| saying.id));
        for told in told::expected(self.connection, dir)? {
            if told.parent != dir
                && !present.contains(&told.said.id)
                && self.departed.contains_key(&told.said.id)
            {
                leavers.push(told);
            }
        }

        for told in settled {
            self.remove(&told)?;
        }
        let (arrivals, moves) = self.split(arrivals)?;
        let (successions, leavers, arrivals) = self.pair(leavers, arrivals);
        // Before what is gone takes along the places they come from.
        for (told, saying) in moves {
            self.moves(&told, saying)?;
        }
        for told in leavers {
            self.leaves(&told)?;
        }
        for (told, saying) in successions {
            self.succeeds(&told, saying)?;
        }
        for (told, saying) in stays {
            self.stays(&told, saying)?;
        }
        for saying in arrivals {
            self.event(&saying, Change::Add { first: self.first })?;
            self.put(saying, true, State::Here)?;
        }
        // What left several folders for this one arrived once.
        for told in told::expected(self.connection, dir)? {
            if told.parent != dir && told::is_here(self.connection, dir, told.said.id)? {
                self.gone.tell(&told, Reason::Moved)?;
            }
        }
        // At the end: some of what was expected there may have been seen to arrive here.
        self.wrote |= self.gone.finish()?;
        Ok(())
    }

    /// Divides what is new here into what is new, and what was told elsewhere.
    fn split(&mut self, arrivals: Vec<Saying>) -> rusqlite::Result<(Vec<Saying>, Vec<Pair>)> {
        let (mut new, mut moves) = (Vec::new(), Vec::new());
        for saying in arrivals {
            let others = told::elsewhere(self.connection, saying.id, self.telling.dir)?;
            let leaving = leaving(&others, self.telling.dir);
            let mut here = others.iter().filter(|told| told.state == State::Here);
            match (leaving, here.next(), here.next()) {
                (Some(told), _, _) | (None, Some(told), None) => moves.push((told.clone(), saying)),
                // Nowhere, or in several places already: here too, then.
                (None, None, _) | (None, Some(_), Some(_)) => new.push(saying),
            }
        }
        Ok((new, moves))
    }

    /// Finds the new versions: a document that gave way, and one of the same file name that arrives.
    fn pair(&self, leavers: Vec<Told>, arrivals: Vec<Saying>) -> (Vec<Pair>, Vec<Told>, Vec<Saying>) {
        let is_document = |saying: &Saying| matches!(saying.id, ObjectId::Document(_));
        let mut successors: HashMap<String, Vec<Saying>> = HashMap::new();
        let mut others = Vec::new();
        for saying in arrivals.into_iter().rev() {
            match &saying.file_name {
                Some(name) if is_document(&saying) && !leavers.is_empty() => {
                    successors.entry(name.clone()).or_default().push(saying);
                }
                Some(_) | None => others.push(saying),
            }
        }
        let mut pairs = Vec::new();
        let mut left: Vec<Told> = Vec::new();
        let is_superseded = |told: &Told| self.departed.get(&told.said.id) == Some(&Departure::Superseded);
        let (first, second): (Vec<_>, Vec<_>) = leavers.into_iter().partition(is_superseded);
        for told in first.into_iter().chain(second) {
            // A server may forget the GUID before. What moved away or is hidden is still that document, and another one
            // has its name.
            let gave_way = match self.departed.get(&told.said.id) {
                Some(Departure::Superseded | Departure::Deleted) => is_document(&told.said),
                Some(Departure::Moved(_) | Departure::Denied | Departure::Unknown) | None => false,
            };
            let name = told.said.file_name.as_ref().filter(|_| gave_way);
            let successor = name.and_then(|name| successors.get_mut(name)).and_then(|others| {
                let label = told.said.version.as_deref().unwrap_or_default();
                let follows =
                    |other: &Saying| label::may_follow(label, other.version.as_deref().unwrap_or_default());
                let at = others.iter().rposition(follows)?;
                Some(others.remove(at))
            });
            match successor {
                Some(saying) => pairs.push((told, saying)),
                None => left.push(told),
            }
        }
        others.extend(successors.into_values().flatten());
        others.sort_unstable_by_key(|saying| told::key(saying.id));
        (pairs, left, others)
    }

    /// Something was in this folder, and is.
    fn stays(&mut self, told: &Told, saying: Saying) -> rusqlite::Result<()> {
        match told.state {
            State::Ceded(since) if is_later(self.telling.asked, &since) => {
                let others = told::elsewhere(self.connection, saying.id, self.telling.dir)?;
                match leaving(&others, self.telling.dir) {
                    // It was elsewhere in the meantime, and is back.
                    Some(left) => self.moves(left, saying),
                    None => {
                        self.event(&saying, Change::Add { first: false })?;
                        self.put(saying, told.readable, State::Here)
                    }
                }
            }
            // Known from before it was seen elsewhere: it says nothing.
            State::Ceded(_) => Ok(()),
            // It left and came back before anyone was told.
            State::Here | State::Leaving(_) => {
                self.changes(&told.said, &saying, true)?;
                self.put(saying, told.readable, State::Here)
            }
        }
    }

    /// Something is in this folder that was told to be in another one.
    fn moves(&mut self, told: &Told, saying: Saying) -> rusqlite::Result<()> {
        if told.state == State::Here {
            let mut seen = told::folder(self.connection, told.parent)?.map(|folder| folder.asked);
            // A later listing without it was kept together with this one, and will be told next.
            if let Some(kept) = (self.telling.shown_in)(told.parent, saying.id)?
                && seen.is_none_or(|seen| is_later(&kept, &seen))
            {
                seen = Some(kept);
            }
            if let Some(seen) = seen.filter(|seen| is_later(seen, self.telling.asked)) {
                // The other folder showed it later: it is this one that is behind.
                return self.put(saying, told.readable, State::Ceded(seen));
            }
        }
        let change = Change::Move {
            old_parent: told.parent,
            old_name: told.said.name.clone(),
        };
        self.event(&saying, change)?;
        self.changes(&told.said, &saying, false)?;
        if told.state == State::Here {
            let ceded = Told {
                state: State::Ceded(*self.telling.asked),
                ..told.clone()
            };
            told::put(self.connection, &ceded)?;
        } else {
            self.remove(told)?;
        }
        self.put(saying, told.readable, State::Here)
    }

    /// A document gave way to another one of its file name.
    fn succeeds(&mut self, told: &Told, saying: Saying) -> rusqlite::Result<()> {
        if told.parent != self.telling.dir {
            // It was on its way here, and was replaced here.
            let arrived = Saying {
                name: saying.name.clone(),
                ..told.said.clone()
            };
            let change = Change::Move {
                old_parent: told.parent,
                old_name: told.said.name.clone(),
            };
            self.event(&arrived, change)?;
        }
        let stayed = told.parent == self.telling.dir && told.said.shown == saying.shown;
        self.new_version(&told.said, &saying, stayed && told.said.name != saying.name)?;
        self.remove(told)?;
        self.put(saying, true, State::Here)
    }

    /// Something is not in this folder any more, or did not arrive in it.
    fn leaves(&mut self, told: &Told) -> rusqlite::Result<()> {
        let id = told.said.id;
        let reason = match self.departed.get(&id) {
            Some(Departure::Moved(Some(folder))) => {
                let to = DirKey::folder(*folder);
                if to == self.telling.dir {
                    // It is said to be where it is not seen. Who was on the way here still is; who was here is not.
                    if told.parent != to {
                        return Ok(());
                    }
                    Reason::Unknown
                } else if told::is_refused(self.connection, to)? {
                    // Nobody will see it arrive there.
                    Reason::Denied
                } else if self.is_awaited(id, to, told.parent)? {
                    self.look.extend(to.as_folder());
                    let leaving = Told {
                        state: State::Leaving(to),
                        ..told.clone()
                    };
                    if told.state != leaving.state {
                        self.wrote = true;
                        told::put(self.connection, &leaving)?;
                    }
                    return Ok(());
                } else {
                    Reason::Moved
                }
            }
            Some(Departure::Moved(None)) => Reason::Moved,
            Some(Departure::Deleted) => Reason::Deleted,
            Some(Departure::Denied) => Reason::Denied,
            Some(Departure::Superseded | Departure::Unknown) | None => Reason::Unknown,
        };
        self.gone.tell(told, reason)
    }

    /// True if `to` will be told of, and then show what left `from` for it.
    fn is_awaited(&self, id: ObjectId, to: DirKey, from: DirKey) -> rusqlite::Result<bool> {
        if told::folder(self.connection, to)?.is_none_or(|folder| folder.gone) {
            return Ok(false);
        }
        let others = told::elsewhere(self.connection, id, from)?;
        // It was told to be there as well: it is not new there.
        Ok(!others
            .iter()
            .any(|told| told.parent == to && told.state == State::Here))
    }

    /// Tells what differs between two sayings of one object.
    fn changes(&mut self, old: &Saying, new: &Saying, names: bool) -> rusqlite::Result<()> {
        let renamed = names && old.shown == new.shown && old.name != new.name;
        let revised = old.version != new.version;
        if revised {
            self.new_version(old, new, renamed)?;
        } else if renamed {
            let old_name = old.name.clone();
            self.event(new, Change::Rename { old_name })?;
        }
        let content = old.tag != new.tag;
        let told_already = renamed || revised || !names;
        // A new version says that the content may differ; a new name moves the server's tag as well.
        if !revised && content {
            self.event(new, Change::Modify { content: true })?;
        } else if old.looks != new.looks || (!told_already && old.edition != new.edition) {
            self.event(new, Change::Modify { content: false })?;
        }
        Ok(())
    }

    /// Tells a new version, and that it has another name: first the one under the old name, then the other, so that each
    /// row follows from the one before.
    fn new_version(&mut self, old: &Saying, new: &Saying, renamed: bool) -> rusqlite::Result<()> {
        let change = Change::NewVersion { old: old.id };
        if !renamed {
            return self.event(new, change);
        }
        let old_name = old.name.clone();
        let versioned = Saying {
            name: old_name.clone(),
            ..new.clone()
        };
        self.event(&versioned, change)?;
        self.event(new, Change::Rename { old_name })
    }

    fn event(&mut self, saying: &Saying, change: Change) -> rusqlite::Result<()> {
        self.wrote = true;
        let Telling { dir, asked, .. } = *self.telling;
        record(self.connection, asked.wall, saying, dir, change)
    }

    fn put(&mut self, said: Saying, readable: bool, state: State) -> rusqlite::Result<()> {
        self.wrote = true;
        let told = Told {
            parent: self.telling.dir,
            said,
            readable,
            state,
        };
        told::put(self.connection, &told)
    }

    fn remove(&mut self, told: &Told) -> rusqlite::Result<()> {
        self.wrote = true;
        told::remove(self.connection, told.parent, told.said.id)
    }
}
