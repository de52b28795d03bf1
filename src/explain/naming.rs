//! How the name of an entry came about: the steps of `names.rs` once more, seen from their result.

use super::{EntryFacts, Kind, Naming, Twin};
use crate::catalog::Trouble;
use crate::model::{Document, DocumentKind, Entry, ObjectId};
use crate::names::{self, MAX_NAME_BYTES, Place};
use crate::store::listing::{Listing, Row};

/// The name the shown one is made from.
pub(super) fn raw(entry: &Entry) -> &str {
    match entry {
        Entry::Folder(folder) => &folder.name,
        Entry::Document(document) => document.file_name.as_deref().unwrap_or(&document.name),
    }
}

/// What there is to say of an entry of `listing` (`None` where that went meanwhile); `row` is `None` for one that is not
/// shown.
pub(super) fn describe(
    listing: Option<&Listing>,
    place: Place,
    entry: &Entry,
    row: Option<&Row>,
    trouble: Option<Trouble>,
) -> EntryFacts {
    let shown = row.map(|row| row.name.to_string());
    let mut facts = EntryFacts {
        guid: entry.id().guid().to_string(),
        kind: kind(entry),
        naming: row.map_or_else(Vec::new, |row| steps(listing, place, row)),
        twins: row.map_or_else(Vec::new, |row| twins(listing, row)),
        shown,
        name: String::new(),
        file_name: None,
        version: None,
        active: None,
        state: None,
        size: row.and_then(Row::size),
        tag: row.and_then(|row| row.tag).map(|tag| tag.to_string()),
        file_updated: None,
        updated: None,
        trouble: trouble.map(Into::into),
    };
    match entry {
        Entry::Folder(folder) => {
            facts.name.clone_from(&folder.name);
            facts.updated = folder.updated;
        }
        Entry::Document(document) => of_document(&mut facts, document),
    }
    facts
}

fn of_document(facts: &mut EntryFacts, document: &Document) {
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    facts.name.clone_from(&document.name);
    facts.file_name.clone_from(&document.file_name);
    facts.version = filled(&document.version);
    facts.active = Some(document.active);
    facts.state = document.state.as_ref().and_then(filled);
    facts.file_updated = document.file_updated;
    facts.updated = document.updated;
}

pub(super) const fn kind(entry: &Entry) -> Kind {
    match entry {
        Entry::Folder(_) => Kind::Folder,
        Entry::Document(document) => match document.kind {
            DocumentKind::File => Kind::Document,
            DocumentKind::Placeholder => Kind::Placeholder,
            DocumentKind::Set => Kind::Set,
        },
    }
}

fn steps(listing: Option<&Listing>, place: Place, row: &Row) -> Vec<Naming> {
    let mut steps = Vec::new();
    let raw = raw(&row.entry);
    let encoded = names::encode(raw, place);
    if encoded != raw {
        steps.push(Naming::Encoded {
            raw: raw.to_owned(),
            encoded: encoded.clone(),
        });
    }
    if encoded.len() > MAX_NAME_BYTES {
        steps.push(Naming::Cut { bytes: encoded.len() });
    } else if row.name.as_str() != encoded
        && let Some(first) = listing.and_then(|listing| listing.get(&encoded))
    {
        steps.push(Naming::Suffixed {
            taken_by: first.entry.id().guid().to_string(),
            by_folder: matches!(first.entry.id(), ObjectId::Folder(_)),
            plain: encoded,
        });
    }
    steps
}

fn twins(listing: Option<&Listing>, row: &Row) -> Vec<Twin> {
    let name = raw(&row.entry);
    listing
        .map_or(&[][..], Listing::rows)
        .iter()
        .filter(|other| other.entry.id() != row.entry.id() && raw(&other.entry) == name)
        .map(|other| Twin {
            shown: other.name.to_string(),
            guid: other.entry.id().guid().to_string(),
        })
        .collect()
}
