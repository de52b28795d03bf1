//! The sentences of an explanation: the answer first, then why. `table` has every fact, for whoever has to look further.
//!
//! What came from a server is in them as it came: whoever prints them escapes it.

use super::{
    EntryFacts, Facts, Found, Kind, ListingFacts, Naming, Near, NearWhy, Place, Told, TroubleFacts, What,
};
use crate::model::Timestamp;

mod table;
mod time;

pub use table::{Section, layout, sections};
pub use time::{ago, clock, span};

/// How it is, in a word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is there and readable, as far as is known.
    Shown,
    /// It is there, and the server refuses it or could not be asked.
    Troubled,
    /// It is in ProjectWise and not shown.
    Hidden,
    /// A proved listing does not have it.
    Absent,
    /// It was listed once and is not any more.
    Gone,
    /// Nothing is known of it.
    Unknown,
}

/// How it is.
pub fn verdict(facts: &Facts) -> Verdict {
    let way_is_refused = refused_place(facts).is_some();
    match &facts.found {
        Found::Entry { entry, .. } | Found::Outside { entry, .. } => {
            if entry.shown.is_none() {
                Verdict::Hidden
            } else if entry.trouble.is_some() {
                Verdict::Troubled
            } else {
                Verdict::Shown
            }
        }
        Found::Top => match facts.way.first() {
            Some(Place { trouble: Some(_), .. }) => Verdict::Troubled,
            _ => Verdict::Shown,
        },
        Found::Absent { hidden, .. } => {
            if hidden.is_empty() {
                Verdict::Absent
            } else {
                Verdict::Hidden
            }
        }
        Found::NotAFolder { .. } => Verdict::Absent,
        Found::NotListed { .. } if way_is_refused => Verdict::Troubled,
        Found::NotListed { .. } => Verdict::Unknown,
        Found::Unlisted { guid, trouble } => match (left(facts, guid), trouble) {
            (Some(_), _) => Verdict::Gone,
            (None, Some(_)) => Verdict::Troubled,
            (None, None) => Verdict::Unknown,
        },
    }
}

/// Why, in sentences; the first one is the answer.
pub fn conclusion(facts: &Facts) -> Vec<String> {
    let now = facts.now;
    let mut said = Vec::new();
    match &facts.found {
        Found::Top => {
            said.push("This is the top of the mount.".to_owned());
            if let Some(place) = facts.way.first() {
                said.extend(of_place(facts, place));
            }
        }
        Found::Entry {
            entry,
            inside,
            elsewhere,
        } => {
            said.extend(of_entry(facts, entry));
            said.extend(place_of(facts));
            if let Some(inside) = inside {
                said.extend(of_place(facts, inside));
            }
            for path in elsewhere {
                said.push(format!("It is listed at \"{path}\", too."));
            }
            said.extend(newest(facts));
        }
        Found::Outside { entry, folder } => {
            said.push(format!(
                "\"{}\" is in ProjectWise, and this mount does not show its folder.",
                name_of(entry)
            ));
            said.push(format!("The folder that lists it is {folder}."));
            said.extend(newest(facts));
        }
        Found::Absent { name, near, hidden } => said.extend(of_absent(facts, name, near, hidden)),
        Found::NotListed { name } => {
            let place = facts.way.last();
            let title = place.map_or_else(|| "its folder".to_owned(), Place::title);
            match place.and_then(|place| place.trouble.as_ref()) {
                Some(trouble) if trouble.refused => {
                    said.push(format!(
                        "Nobody can say whether \"{name}\" is there: {}",
                        trouble_words(&title, trouble, now)
                    ));
                }
                Some(trouble) => {
                    said.push(format!(
                        "Nothing is known of \"{name}\": {title} was never listed."
                    ));
                    said.push(capital(&trouble_words(&title, trouble, now)));
                }
                None => {
                    said.push(format!(
                        "Nothing is known of \"{name}\": {title} was never listed."
                    ));
                    said.push("The next program that looks there has it listed.".to_owned());
                }
            }
            said.extend(newest(facts));
        }
        Found::NotAFolder { below, entry } => {
            said.push(format!(
                "\"{below}\" cannot be there: \"{}\" is a document and no folder.",
                name_of(entry)
            ));
            said.extend(place_of(facts));
        }
        Found::Unlisted { guid, trouble } => {
            match (left(facts, guid), facts.history.first()) {
                (Some(successor), Some(told)) if successor != guid => {
                    said.push(format!(
                        "{guid} is a version that was superseded: the document is now {successor}, \"{}\".",
                        told.path
                    ));
                }
                (Some(_), _) => said.push(format!("{guid} is not listed any more.")),
                (None, Some(told)) => {
                    said.push(format!("No listing that is kept has {guid}."));
                    said.push(format!(
                        "It was \"{}\"; the listing of that folder is not kept any more.",
                        told.path
                    ));
                }
                (None, None) => {
                    said.push(format!("Nothing is known of {guid}."));
                    said.push(
                        "No listing that is kept has it, and the journal never told of it. It may be in a folder that \
                         was never listed, or out of this account's sight."
                            .to_owned(),
                    );
                }
            }
            said.extend(newest(facts));
            if let Some(trouble) = trouble {
                said.push(capital(&trouble_words("it", trouble, now)));
            }
        }
    }
    said
}

fn of_entry(facts: &Facts, entry: &EntryFacts) -> Vec<String> {
    let mut said = Vec::new();
    let Some(shown) = &entry.shown else {
        said.push(format!(
            "\"{}\" is not shown: it is {}.",
            entry.name,
            fileless(entry.kind)
        ));
        said.push("A mount with --placeholders empty shows it as an empty file.".to_owned());
        return said;
    };
    match &entry.trouble {
        Some(trouble) => said.push(format!(
            "\"{shown}\" is shown, and {}",
            trouble_words("it", trouble, facts.now)
        )),
        None => said.push(format!("\"{shown}\" is shown.")),
    }
    for step in &entry.naming {
        said.push(match step {
            Naming::Encoded { raw, .. } => format!(
                "Its name in ProjectWise is \"{raw}\"; characters that no file name can have are shown as others."
            ),
            Naming::Cut { bytes } => format!(
                "Its name was cut: it has {bytes} bytes, and Linux takes no more than {}.",
                crate::names::MAX_NAME_BYTES
            ),
            Naming::Suffixed {
                plain,
                taken_by,
                by_folder: true,
            } => format!("It has a suffix because the folder {taken_by} is called \"{plain}\", too; folders come first."),
            Naming::Suffixed { plain, taken_by, .. } => {
                format!("It has a suffix because the older document {taken_by} is called \"{plain}\", too.")
            }
        });
    }
    if entry.naming.is_empty() && !entry.twins.is_empty() {
        let twins: Vec<String> = entry
            .twins
            .iter()
            .map(|twin| format!("\"{}\"", twin.shown))
            .collect();
        said.push(format!(
            "Others in this folder have the same name in ProjectWise: {}.",
            twins.join(", ")
        ));
    }
    if entry.kind == Kind::Document && entry.size.is_none() {
        said.push("Its length is not in the listing; it is asked for when a program needs it.".to_owned());
    }
    said
}

fn of_absent(facts: &Facts, name: &str, near: &[Near], hidden: &[EntryFacts]) -> Vec<String> {
    let mut said = Vec::new();
    match hidden.first() {
        Some(entry) => {
            said.push(format!(
                "\"{name}\" is not shown: it is {}.",
                fileless(entry.kind)
            ));
            said.push("A mount with --placeholders empty shows it as an empty file.".to_owned());
            said.extend(place_of(facts));
        }
        None => {
            said.push(format!("\"{name}\" is not there."));
            if let Some((place, listing)) = facts
                .way
                .last()
                .and_then(|place| Some((place, place.listing.as_ref()?)))
            {
                said.push(format!(
                    "The listing of {}, fetched {} and {}, has no such name.",
                    place.title(),
                    span_ago(listing.age),
                    proof(listing)
                ));
            }
            if let Some(place) = facts.way.last() {
                said.extend(standing_in(facts, place));
            }
        }
    }
    for near in near {
        said.push(match near.why {
            NearWhy::Raw => format!("\"{}\" is how that name is shown.", near.shown),
            NearWhy::DocumentName => format!(
                "\"{}\" is the file of the document of that name: files are shown by the names of files.",
                near.shown
            ),
            NearWhy::Case => format!(
                "There is \"{}\": upper and lower case are not the same.",
                near.shown
            ),
            NearWhy::Letters => format!("There is \"{}\".", near.shown),
        });
    }
    said.extend(newest(facts));
    said
}

/// In which listing it is.
fn place_of(facts: &Facts) -> Vec<String> {
    let Some(place) = facts.way.last() else {
        return Vec::new();
    };
    let mut said = Vec::new();
    if let Some(listing) = &place.listing {
        said.push(format!(
            "It is in the listing of {}, fetched {} and {}.",
            place.title(),
            span_ago(listing.age),
            proof(listing)
        ));
    }
    said.extend(standing_in(facts, place));
    said
}

/// What there is to say of a directory itself.
fn of_place(facts: &Facts, place: &Place) -> Vec<String> {
    let mut said = Vec::new();
    match &place.listing {
        Some(listing) => said.push(format!(
            "Its listing was fetched {} and {}.",
            span_ago(listing.age),
            proof(listing)
        )),
        None => said.push("It was never listed.".to_owned()),
    }
    said.extend(standing_in(facts, place));
    said
}

/// That an older listing stands in, and why.
fn standing_in(facts: &Facts, place: &Place) -> Option<String> {
    let trouble = place.trouble.as_ref()?;
    let listing = place.listing.as_ref()?;
    let words = trouble_words(&place.title(), trouble, facts.now);
    if trouble.refused {
        return Some(capital(&words));
    }
    let ends = match facts.mount.freshness {
        Some(freshness) if listing.age > freshness.max_stale => {
            ". The listing is too old to stand in: programs get an error."
        }
        Some(_) | None => ". The listing stands in until the server answers again.",
    };
    Some(format!("{}{ends}", capital(words.trim_end_matches('.'))))
}

/// The first folder on the way that the server refuses.
fn refused_place(facts: &Facts) -> Option<&Place> {
    facts
        .way
        .iter()
        .find(|place| place.trouble.as_ref().is_some_and(|trouble| trouble.refused))
}

/// Whose place it left to whom, where the newest row of the journal says that it left: to itself where it is gone, else to
/// the next version.
fn left<'a>(facts: &'a Facts, guid: &'a str) -> Option<&'a str> {
    let told = facts.history.first()?;
    match &told.what {
        What::Gone { .. } => Some(guid),
        What::NewVersion { old_guid } if old_guid == guid && told.guid != guid => Some(&told.guid),
        What::Add { .. }
        | What::Modify { .. }
        | What::NewVersion { .. }
        | What::Rename { .. }
        | What::Move { .. }
        | What::Rights { .. } => None,
    }
}

/// The newest row of the journal, as a sentence.
fn newest(facts: &Facts) -> Option<String> {
    let told = facts.history.first()?;
    Some(format!(
        "The journal says: {}, {}.",
        happened(told),
        ago(facts.now, told.at)
    ))
}

/// What happened, as a clause.
pub fn happened(told: &Told) -> String {
    match &told.what {
        What::Add { first: true } => "first seen when its folder was first listed".to_owned(),
        What::Add { first: false } => "added".to_owned(),
        What::Modify { content: true } => "its content changed".to_owned(),
        What::Modify { content: false } => "its properties changed".to_owned(),
        What::NewVersion { old_guid } if *old_guid == told.guid => "a new version was made".to_owned(),
        What::NewVersion { old_guid } => format!("a new version was made of {old_guid}"),
        What::Rename { old_name } => format!("renamed from \"{old_name}\""),
        What::Move { old_path } => format!("moved from \"{old_path}\" to \"{}\"", told.path),
        What::Gone { reason } => match *reason {
            "deleted" => "gone, because the server says that it does not exist".to_owned(),
            "denied" => "gone, because the server refuses it".to_owned(),
            "moved" => "moved to a folder that was never listed".to_owned(),
            _ => "gone; the server does not say whether it was deleted or hidden".to_owned(),
        },
        What::Rights { readable: false } => "the server began to refuse it".to_owned(),
        What::Rights { readable: true } => "the server ceased to refuse it".to_owned(),
    }
}

/// How a listing is proved complete.
fn proof(listing: &ListingFacts) -> &'static str {
    match listing.proof {
        "confirmed" => "proved complete by being asked for twice",
        "compared" => "proved complete by comparison with the one before",
        _ => "proved complete by its pages",
    }
}

fn trouble_words(what: &str, trouble: &TroubleFacts, now: Timestamp) -> String {
    let text = trouble.text.trim_end_matches('.');
    if trouble.refused {
        format!(
            "the server refuses {what}: {text}. That was {}.",
            ago(now, trouble.at)
        )
    } else {
        format!(
            "{what} could not be listed or read {}: {text}.",
            ago(now, trouble.at)
        )
    }
}

fn fileless(kind: Kind) -> &'static str {
    match kind {
        Kind::Set => "a set of other documents, which has no file of its own",
        Kind::Placeholder | Kind::Document | Kind::Folder => "a document without a file",
    }
}

fn name_of(entry: &EntryFacts) -> &str {
    entry.shown.as_deref().unwrap_or(&entry.name)
}

/// So many seconds ago, in the largest unit that says enough.
pub fn span_ago(seconds: u64) -> String {
    format!("{} ago", span(seconds))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
