//! Reads the facts from the catalog and the journal of a mount. Blocks; asks no server.

use std::time::Duration;

use super::naming::{self, raw};
use super::near::near;
use super::way::{Step, Ways, join};
use super::{EntryFacts, Facts, Found, ListingFacts, MountFacts, Place, Told, TroubleFacts, What};
use crate::catalog::journal::{Change, Event};
use crate::catalog::{Catalog, CatalogError, DirKey, Proof, SavedListing, Trouble};
use crate::clock::Clock;
use crate::model::{Entry, Guid, Timestamp};
use crate::names;
use crate::store::listing::{Listing, Row};

/// As many rows of the journal as anybody reads.
const HISTORY: usize = 5;

/// What is kept beside a mount.
pub struct Kept<'a> {
    /// The catalog, and its journal.
    pub catalog: &'a Catalog,
    /// What the top of the mount is in the catalog.
    pub root: DirKey,
    /// What the mount tells of itself.
    pub mount: MountFacts,
}

/// Whose history is told.
enum Subject {
    None,
    Object(Guid),
    /// Whatever went by this name in a folder.
    Name(DirKey, String),
}

impl Kept<'_> {
    /// What there is to say of a path below the mount, by the names it is shown by.
    pub fn path(&self, asked: &str, names: &[String]) -> Result<Facts, CatalogError> {
        let mut way = Vec::new();
        let (found, subject) = self.walk(names, &mut way)?;
        self.facts(asked, way, found, &subject)
    }

    /// What there is to say of an object.
    pub fn object(&self, asked: &str, guid: Guid) -> Result<Facts, CatalogError> {
        let mut ways = Ways::new(self.catalog, self.root);
        let mut shown: Vec<(Vec<Step>, Option<Row>, Entry)> = Vec::new();
        let mut outside = None;
        for sighting in self.catalog.find(guid)? {
            match ways.to(sighting.dir)? {
                Some(way) => shown.push((way, sighting.row, (*sighting.entry).clone())),
                None => outside = Some((sighting.dir, sighting.row, sighting.entry)),
            }
        }
        let Some((way, row, entry)) = (!shown.is_empty()).then(|| shown.swap_remove(0)) else {
            let found = match outside {
                Some((dir, row, entry)) => {
                    let saved = self.catalog.load(dir)?;
                    Found::Outside {
                        entry: Box::new(self.entry(dir, saved.as_ref(), &entry, row.as_ref())?),
                        folder: dir.guid().to_string(),
                    }
                }
                None => Found::Unlisted {
                    guid: guid.to_string(),
                    trouble: self.catalog.trouble(guid)?.map(Into::into),
                },
            };
            return self.facts(asked, Vec::new(), found, &Subject::Object(guid));
        };
        let elsewhere = shown
            .iter()
            .map(|(way, row, entry)| join(way, row.as_ref().map_or(raw(entry), |row| row.name.as_str())))
            .collect();
        let mut places = Vec::new();
        let mut last = (self.root, None);
        for step in &way {
            let saved = self.catalog.load(step.dir)?;
            places.push(self.place(step, saved.as_ref())?);
            last = (step.dir, saved);
        }
        let found = Found::Entry {
            entry: Box::new(self.entry(last.0, last.1.as_ref(), &entry, row.as_ref())?),
            inside: self.inside(&entry, row.as_ref())?,
            elsewhere,
        };
        self.facts(asked, places, found, &Subject::Object(guid))
    }

    fn facts(
        &self,
        asked: &str,
        way: Vec<Place>,
        found: Found,
        subject: &Subject,
    ) -> Result<Facts, CatalogError> {
        Ok(Facts {
            asked: asked.to_owned(),
            now: Timestamp::now(),
            mount: self.mount.clone(),
            history: self.history(subject)?,
            way,
            found,
            questions: Vec::new(),
        })
    }

    /// Goes down from the top of the mount, one name after the other.
    fn walk(&self, names: &[String], way: &mut Vec<Place>) -> Result<(Found, Subject), CatalogError> {
        let mut step = Step {
            dir: self.root,
            name: String::new(),
        };
        for (at, name) in names.iter().enumerate() {
            let saved = self.catalog.load(step.dir)?;
            way.push(self.place(&step, saved.as_ref())?);
            let rest = names[at..].join("/");
            let by_name = Subject::Name(step.dir, name.clone());
            let Some(listing) = saved.as_ref().map(|saved| &*saved.listing) else {
                return Ok((Found::NotListed { name: rest }, by_name));
            };
            let Some(row) = listing.get(name) else {
                return Ok((
                    self.absent(step.dir, saved.as_ref(), listing, name, &rest)?,
                    by_name,
                ));
            };
            let subject = Subject::Object(row.entry.id().guid());
            let below = &names[at + 1..];
            let entry = || {
                Ok(Box::new(self.entry(
                    step.dir,
                    saved.as_ref(),
                    &row.entry,
                    Some(row),
                )?))
            };
            match &*row.entry {
                Entry::Folder(folder) if !below.is_empty() => {
                    step = Step {
                        dir: DirKey::folder(folder.id),
                        name: row.name.to_string(),
                    };
                }
                Entry::Document(_) if !below.is_empty() => {
                    let found = Found::NotAFolder {
                        below: below.join("/"),
                        entry: entry()?,
                    };
                    return Ok((found, subject));
                }
                Entry::Folder(_) | Entry::Document(_) => {
                    let found = Found::Entry {
                        entry: entry()?,
                        inside: self.inside(&row.entry, Some(row))?,
                        elsewhere: Vec::new(),
                    };
                    return Ok((found, subject));
                }
            }
        }
        way.push(self.place(&step, self.catalog.load(step.dir)?.as_ref())?);
        Ok((Found::Top, Subject::None))
    }

    fn absent(
        &self,
        dir: DirKey,
        saved: Option<&SavedListing>,
        listing: &Listing,
        name: &str,
        rest: &str,
    ) -> Result<Found, CatalogError> {
        let is_meant = |entry: &Entry| {
            let raw = raw(entry);
            raw == name || raw == rest || names::encode(raw, self.naming(dir)) == name
        };
        let hidden = listing
            .hidden()
            .iter()
            .filter(|entry| is_meant(entry))
            .map(|entry| self.entry(dir, saved, entry, None))
            .collect::<Result<_, _>>()?;
        Ok(Found::Absent {
            name: rest.to_owned(),
            near: near(listing, name, rest),
            hidden,
        })
    }

    fn entry(
        &self,
        dir: DirKey,
        saved: Option<&SavedListing>,
        entry: &Entry,
        row: Option<&Row>,
    ) -> Result<EntryFacts, CatalogError> {
        let trouble = self.catalog.trouble(entry.id().guid())?;
        let listing = saved.map(|saved| &*saved.listing);
        Ok(naming::describe(listing, self.naming(dir), entry, row, trouble))
    }

    /// What is kept of a folder's own listing.
    fn inside(&self, entry: &Entry, row: Option<&Row>) -> Result<Option<Box<Place>>, CatalogError> {
        let (Entry::Folder(folder), Some(row)) = (entry, row) else {
            return Ok(None);
        };
        let step = Step {
            dir: DirKey::folder(folder.id),
            name: row.name.to_string(),
        };
        let place = self.place(&step, self.catalog.load(step.dir)?.as_ref())?;
        Ok(Some(Box::new(place)))
    }

    fn naming(&self, dir: DirKey) -> names::Place {
        if dir == self.root {
            names::Place::Root
        } else {
            names::Place::Folder
        }
    }

    fn place(&self, step: &Step, saved: Option<&SavedListing>) -> Result<Place, CatalogError> {
        let is_top = step.dir == self.root;
        // What fails at the top of a mount is noted under the GUID that no folder has.
        let object = if is_top { DirKey::ROOTS } else { step.dir };
        Ok(Place {
            name: step.name.clone(),
            guid: (!is_top).then(|| step.dir.guid().to_string()),
            listing: saved.map(listing_facts),
            trouble: self.catalog.trouble(object.guid())?.map(Into::into),
        })
    }

    /// The newest rows of the journal about the subject.
    fn history(&self, subject: &Subject) -> Result<Vec<Told>, CatalogError> {
        let events = match subject {
            Subject::None => Vec::new(),
            Subject::Object(guid) => self.catalog.journal().of_object(*guid, HISTORY)?,
            Subject::Name(dir, name) => self.catalog.journal().of_name(*dir, name, HISTORY)?,
        };
        let mut ways = Ways::new(self.catalog, self.root);
        events.iter().map(|event| told(&mut ways, event)).collect()
    }
}

/// A row of the journal, with paths as far as the catalog knows them.
pub fn told(ways: &mut Ways<'_>, event: &Event) -> Result<Told, CatalogError> {
    let what = match &event.change {
        Change::Add { first } => What::Add { first: *first },
        Change::Modify { content } => What::Modify { content: *content },
        Change::NewVersion { old } => What::NewVersion {
            old_guid: old.guid().to_string(),
        },
        Change::Rename { old_name } => What::Rename {
            old_name: old_name.clone(),
        },
        Change::Move { old_parent, old_name } => What::Move {
            old_path: path(ways, *old_parent, old_name)?,
        },
        Change::Gone { reason } => What::Gone {
            reason: reason.as_str(),
        },
        Change::Rights { readable } => What::Rights { readable: *readable },
    };
    Ok(Told {
        at: event.at,
        what,
        path: path(ways, event.parent, &event.name)?,
        guid: event.id.guid().to_string(),
    })
}

/// The path of `name` in `dir`; where the mount does not show that, with the folder's GUID in place of its path.
pub fn path(ways: &mut Ways<'_>, dir: DirKey, name: &str) -> Result<String, CatalogError> {
    Ok(match ways.to(dir)? {
        Some(way) => join(&way, name),
        None => format!("{{{}}}/{name}", dir.guid()),
    })
}

fn listing_facts(saved: &SavedListing) -> ListingFacts {
    let clock = Clock::default();
    let age: Duration = clock.now().since(clock.moment(&saved.fetched));
    ListingFacts {
        fetched_at: saved.fetched.wall,
        age: age.as_secs(),
        proof: proof_word(saved.proof),
        shown: saved.listing.rows().len(),
        hidden: saved.listing.hidden().len(),
    }
}

/// How far a listing is proved, as a word.
pub const fn proof_word(proof: Proof) -> &'static str {
    match proof {
        Proof::Paged => "paged",
        Proof::Compared => "compared",
        Proof::Confirmed => "confirmed",
    }
}

impl From<Trouble> for TroubleFacts {
    fn from(trouble: Trouble) -> Self {
        Self {
            at: trouble.at,
            text: trouble.text,
            refused: trouble.refused,
        }
    }
}
