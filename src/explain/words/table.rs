//! Every fact under headings, values under one another.

use super::{ago, clock, happened, proof, span, span_ago};
use crate::explain::{EntryFacts, Facts, Found, Kind, ListingFacts, MountFacts, Naming, Place, TroubleFacts};
use crate::model::Timestamp;

/// Some facts under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// Names and values; a name may be empty where it goes on.
    pub rows: Vec<(String, String)>,
}

/// Every fact, under headings.
pub fn sections(facts: &Facts) -> Vec<Section> {
    let mut sections = vec![Section {
        title: "Mount",
        rows: mount_rows(&facts.mount),
    }];
    let inside = match &facts.found {
        Found::Entry { inside, .. } => inside.as_deref(),
        _ => None,
    };
    let way = facts.way.iter().chain(inside);
    sections.push(Section {
        title: "Way",
        rows: way.flat_map(|place| place_rows(place, facts.now)).collect(),
    });
    let entries: Vec<&EntryFacts> = match &facts.found {
        Found::Entry { entry, .. } | Found::Outside { entry, .. } | Found::NotAFolder { entry, .. } => {
            vec![&**entry]
        }
        Found::Absent { hidden, .. } => hidden.iter().collect(),
        Found::Top | Found::NotListed { .. } | Found::Unlisted { .. } => Vec::new(),
    };
    for entry in entries {
        sections.push(Section {
            title: if entry.kind == Kind::Folder {
                "Folder"
            } else {
                "Document"
            },
            rows: entry_rows(entry, facts.now),
        });
    }
    let history = facts
        .history
        .iter()
        .map(|told| (clock(told.at), format!("{}: {}", told.path, happened(told))));
    sections.push(Section {
        title: "Journal",
        rows: history.collect(),
    });
    sections.push(Section {
        title: "Next",
        rows: next_rows(facts),
    });
    sections.retain(|section| !section.rows.is_empty());
    sections
}

/// A name wider than this stands on a line of its own.
const WIDEST_NAME: usize = 32;

/// The lines of a section, the values under one another; `clean` makes texts fit for where they go.
pub fn layout(section: &Section, clean: fn(&str) -> String) -> Vec<String> {
    let width = |name: &str| unicode_width::UnicodeWidthStr::width(name);
    let rows: Vec<(String, String)> = section
        .rows
        .iter()
        .map(|(name, value)| (clean(name), clean(value)))
        .collect();
    let widths = rows.iter().map(|(name, _)| width(name));
    let column = widths.filter(|width| *width <= WIDEST_NAME).max().unwrap_or(0);
    let mut lines = vec![section.title.to_owned()];
    for (name, value) in rows {
        let pad = " ".repeat(column.saturating_sub(width(&name)));
        if width(&name) > column {
            lines.push(format!("  {name}"));
            lines.push(format!("  {}  {value}", " ".repeat(column)));
        } else {
            lines.push(format!("  {name}{pad}  {value}"));
        }
    }
    lines
}

fn mount_rows(mount: &MountFacts) -> Vec<(String, String)> {
    let login = mount.login.as_ref().map(|login| format!("({login})"));
    let profile = match (&mount.profile, login) {
        (Some(profile), Some(login)) => Some(format!("{profile} {login}")),
        (Some(profile), None) => Some(profile.clone()),
        (None, _) => None,
    };
    let rows = [
        ("at", mount.mountpoint.clone()),
        ("profile", profile),
        ("account", mount.account.clone()),
        ("datasource", mount.datasource.clone()),
        ("catalog", mount.catalog.clone()),
    ];
    filled(rows)
}

fn place_rows(place: &Place, now: Timestamp) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let name = if place.name.is_empty() {
        "/".to_owned()
    } else {
        place.name.clone()
    };
    let guid = place.guid.as_ref().map(|guid| format!("folder {guid}"));
    let listing = match &place.listing {
        Some(listing) => listing_words(listing),
        None => "never listed".to_owned(),
    };
    let first = guid.into_iter().chain([listing]).collect::<Vec<_>>().join("; ");
    rows.push((name, first));
    if let Some(trouble) = &place.trouble {
        rows.push((String::new(), failure(trouble, now)));
    }
    rows
}

fn listing_words(listing: &ListingFacts) -> String {
    let hidden = match listing.hidden {
        0 => String::new(),
        hidden => format!(", {hidden} not shown"),
    };
    format!(
        "{} shown{hidden}; fetched {} at {}; {}",
        listing.shown,
        span_ago(listing.age),
        clock(listing.fetched_at),
        proof(listing)
    )
}

fn entry_rows(entry: &EntryFacts, now: Timestamp) -> Vec<(String, String)> {
    let file_name = entry.file_name.clone().filter(|name| *name != entry.name);
    let size = match (entry.kind, entry.size) {
        (Kind::Document, None) => Some("not known yet".to_owned()),
        (Kind::Document, Some(size)) => Some(format!("{size} bytes")),
        (Kind::Folder | Kind::Placeholder | Kind::Set, _) => None,
    };
    let encoded = entry.naming.iter().find_map(|step| match step {
        Naming::Encoded { encoded, .. } => Some(encoded.clone()),
        Naming::Cut { .. } | Naming::Suffixed { .. } => None,
    });
    let rows = [
        ("GUID", Some(entry.guid.clone())),
        ("kind", Some(kind(entry.kind).to_owned())),
        ("name", Some(entry.name.clone())),
        ("file name", file_name),
        ("encoded", encoded),
        (
            "shown as",
            Some(entry.shown.clone().unwrap_or_else(|| "not shown".to_owned())),
        ),
        ("version", entry.version.clone()),
        (
            "active",
            entry
                .active
                .map(|active| if active { "yes" } else { "no, superseded" }.to_owned()),
        ),
        ("state", entry.state.clone()),
        ("size", size),
        ("content tag", entry.tag.clone()),
        ("file changed", entry.file_updated.map(clock)),
        ("changed", entry.updated.map(clock)),
        (
            "failed",
            entry.trouble.as_ref().map(|trouble| failure(trouble, now)),
        ),
    ];
    let mut rows = filled(rows);
    for twin in &entry.twins {
        rows.push(("same name".to_owned(), format!("{} ({})", twin.shown, twin.guid)));
    }
    rows
}

fn next_rows(facts: &Facts) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let (Some(place), Some(freshness)) = (facts.listed_next(), facts.mount.freshness) {
        let when = match (&place.trouble, &place.listing, freshness.metadata_ttl) {
            (Some(trouble), _, _) if trouble.refused => format!(
                "with the first call {} after a refusal",
                span(freshness.permission_ttl)
            ),
            (Some(_), _, _) | (None, None, _) => "with the next call".to_owned(),
            (None, Some(_), None) => "never by itself: this mount takes any age".to_owned(),
            (None, Some(listing), Some(ttl)) => match ttl.checked_sub(listing.age) {
                Some(left) if left > 0 => format!("with the first call in {} or later", span(left)),
                Some(_) | None => "with the next call".to_owned(),
            },
        };
        rows.push(("listed anew".to_owned(), when));
    }
    for (at, question) in facts.questions.iter().enumerate() {
        let name = if at == 0 { "asks" } else { "" };
        rows.push((name.to_owned(), question.clone()));
    }
    rows
}

fn filled<const N: usize>(rows: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    rows.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn failure(trouble: &TroubleFacts, now: Timestamp) -> String {
    let what = if trouble.refused { "refused" } else { "failed" };
    format!("{what} {}: {}", ago(now, trouble.at), trouble.text)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Folder => "folder",
        Kind::Document => "document",
        Kind::Placeholder => "document without a file",
        Kind::Set => "set of documents",
    }
}
