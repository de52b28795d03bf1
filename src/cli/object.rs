//! A folder or document of a mount, by what is kept beside the mount; and in which words it is missing.

use std::path::{Path, PathBuf};

use super::beside::{self, Open};
use super::failure::{CliError, Code, ErrorKind};
use crate::explain::words;
use crate::explain::{EntryFacts, Facts, Found, Kind};
use crate::model::{DocumentId, FolderId, Guid, ObjectId};

/// The folder or document at a path, or the top of a mount.
pub(super) struct Object {
    pub(super) open: Open,
    pub(super) facts: Facts,
}

impl Object {
    /// What is at `path`, without asking its mount to look. Blocks.
    ///
    /// # Errors
    /// Where nothing that is kept has it, in words that tell apart what is not there and what is not known.
    pub(super) fn at(path: &Path) -> Result<Self, CliError> {
        let located = beside::locate(path)?;
        let open = beside::open(located.mounted)?;
        let asked = path.to_string_lossy();
        let facts = open
            .kept()
            .path(&asked, &located.names)
            .map_err(|error| beside::unreadable(&error))?;
        match missing(&facts) {
            Some(error) => Err(error),
            None => Ok(Self { open, facts }),
        }
    }

    /// The entry; `None` for the top of a mount.
    pub(super) fn entry(&self) -> Option<&EntryFacts> {
        entry(&self.facts)
    }
}

/// The entry that is shown.
pub(super) fn entry(facts: &Facts) -> Option<&EntryFacts> {
    match &facts.found {
        Found::Entry { entry, .. } => Some(entry),
        Found::Top
        | Found::Absent { .. }
        | Found::NotListed { .. }
        | Found::NotAFolder { .. }
        | Found::Unlisted { .. }
        | Found::Outside { .. } => None,
    }
}

/// Other paths that lead to it, from the top of the mount.
pub(super) fn elsewhere(facts: &Facts) -> &[String] {
    match &facts.found {
        Found::Entry { elsewhere, .. } => elsewhere,
        Found::Top
        | Found::Absent { .. }
        | Found::NotListed { .. }
        | Found::NotAFolder { .. }
        | Found::Unlisted { .. }
        | Found::Outside { .. } => &[],
    }
}

/// What it is in ProjectWise.
pub(super) fn id(entry: &EntryFacts) -> Option<ObjectId> {
    let guid: Guid = entry.guid.parse().ok()?;
    Some(match entry.kind {
        Kind::Folder => ObjectId::Folder(FolderId(guid)),
        Kind::Document | Kind::Placeholder | Kind::Set => ObjectId::Document(DocumentId(guid)),
    })
}

/// What kind of thing it is, as a word for programs.
pub(super) const fn kind(entry: &EntryFacts) -> &'static str {
    match entry.kind {
        Kind::Folder => "folder",
        Kind::Document => "document",
        Kind::Placeholder => "placeholder",
        Kind::Set => "set",
    }
}

/// Where it is shown now; `None` for what is not shown.
pub(super) fn place(mountpoint: &Path, facts: &Facts) -> Option<PathBuf> {
    let last = match &facts.found {
        Found::Top => None,
        _ => Some(entry(facts)?.shown.as_deref()?),
    };
    let mut path = mountpoint.to_owned();
    let folders = facts.way.iter().map(|place| place.name.as_str());
    // The top has no name, and an empty one would add a slash.
    path.extend(folders.filter(|name| !name.is_empty()).chain(last));
    Some(path)
}

/// Why it cannot be told where it is; `None` for what is shown. What is not known is never called absent.
pub(super) fn missing(facts: &Facts) -> Option<CliError> {
    let failure = |text: String, code: Code| CliError::new(ErrorKind::Failure, text).code(code);
    let error = match &facts.found {
        Found::Top => return None,
        Found::Entry { entry, .. } => {
            if entry.shown.is_some() {
                return None;
            }
            hidden(entry)
        }
        Found::Absent { name, hidden: all, .. } => match all.first() {
            Some(entry) => hidden(entry),
            None => failure(format!("\"{name}\" is not there"), Code::ObjectAbsent).hint(EXPLAIN),
        },
        Found::NotAFolder { below, .. } => {
            failure(format!("\"{below}\" cannot be there"), Code::ObjectAbsent).hint(EXPLAIN)
        }
        Found::NotListed { name } => failure(
            format!("nothing is known of \"{name}\": its folder was not listed yet"),
            Code::ObjectNotListed,
        )
        .hint(LIST_IT),
        Found::Outside { entry, .. } => failure(
            format!(
                "\"{}\" is known, and no folder that is mounted holds it",
                entry.name
            ),
            Code::ObjectOutside,
        )
        .hint("mount a folder that it is in; `pwfs explain GUID` tells which lists it"),
        Found::Unlisted { guid, .. } => match words::verdict(facts) {
            words::Verdict::Gone => {
                failure(format!("{guid} is not listed any more"), Code::ObjectGone).hint(EXPLAIN)
            }
            words::Verdict::Shown
            | words::Verdict::Troubled
            | words::Verdict::Hidden
            | words::Verdict::Absent
            | words::Verdict::Unknown => failure(
                format!("nothing is known of {guid}: its folder was not listed yet, or this account may not see it"),
                Code::ObjectNotListed,
            )
            .hint(LIST_IT),
        },
    };
    let sentences = words::conclusion(facts).into_iter();
    let causes = sentences.map(|sentence| sentence.trim_end_matches('.').to_owned());
    let causes: Vec<String> = causes.filter(|cause| cause != error.message()).collect();
    Some(causes.into_iter().fold(error, CliError::cause))
}

fn hidden(entry: &EntryFacts) -> CliError {
    let text = format!("\"{}\" has no file, and is not shown", entry.name);
    CliError::new(ErrorKind::Failure, text)
        .code(Code::ObjectHidden)
        .hint("mount with --placeholders empty: it is an empty file then")
}

const EXPLAIN: &str = "`pwfs explain` tells what is known of it";
/// Of what nobody has looked at.
pub(super) const LIST_IT: &str = "have the folders listed once: `pwfs warm`, or `ls` where it should be";
