//! `info`: everything that is known of a file or directory of a mount.
//!
//! The mount tells most of it, and what is kept beside it the rest. The server is asked for one thing that no listing has:
//! the attributes of a document's environment.

use std::path::{Path, PathBuf};

use clap::Args;

use super::GlobalArgs;
use super::answer::AnswerArgs;
use super::beside::{self, Open};
use super::failure::{CliError, Code, ErrorKind};
use super::link::{self, Link};
use super::mount::escape_path;
use super::object::{self, Object};
use super::output::{Format, Printer};
use crate::content::{CacheCare, CacheOptions, Held};
use crate::daemon::blocking;
use crate::explain::{Facts, MountFacts};
use crate::model::{Document, DocumentId, Entry, ObjectId};

mod card;
mod environment;
mod told;

use card::Card;
use environment::Environment;
use told::{NotTold, Told};

/// Show everything that is known of a file or directory of a mount
#[derive(Debug, Clone, Args)]
pub struct InfoArgs {
    /// The file or directory, in a mount
    path: PathBuf,
    /// Do not ask the server for the attributes of a document's environment
    #[arg(long)]
    offline: bool,
    /// How it answers.
    #[command(flatten)]
    pub(super) answer: AnswerArgs,
}

/// What is known without the server.
struct Known {
    path: PathBuf,
    told: Told,
    mount: MountFacts,
    /// `None` where the mount keeps no catalog.
    facts: Option<Facts>,
    links: Vec<Link>,
    document: Option<DocumentId>,
    held: Option<Held>,
    pinned: bool,
}

/// A document as it is in the catalog.
struct Listed {
    document: Document,
    /// The directory of the catalog.
    catalog: PathBuf,
}

/// Shows what is known of one path. Fails, after showing the rest, where the server cannot be asked.
pub async fn info(args: &InfoArgs, global: &GlobalArgs, printer: &Printer) -> Result<(), CliError> {
    let path = args.path.clone();
    let (known, listed) = blocking(move || look(&path)).await?;
    let outcome = match known.document {
        Some(_) if args.offline => Ok(environment::kept(listed).await),
        Some(document) => environment::ask(global, &known.mount, document, listed).await,
        None => Ok(Environment::not_asked("folders have none")),
    };
    let (environment, failure) = match outcome {
        Ok(environment) => (environment, None),
        Err(error) => {
            let message = error.message().to_owned();
            (Environment::Failed { message }, Some(error))
        }
    };
    let card = Card::new(known, environment);
    match printer.format() {
        Format::Json => printer.json(&card)?,
        Format::Text => card.show(printer)?,
    }
    match failure {
        None => Ok(()),
        Some(error) => Err(error
            .while_doing("the attributes of its environment could not be asked for")
            .hint("`--offline` leaves them out")),
    }
}

fn look(path: &Path) -> Result<(Known, Option<Listed>), CliError> {
    let located = beside::locate(path)?;
    let mut exact = located.mounted.path.clone();
    exact.extend(&located.names);
    // First the mount: what it lists now is in the catalog then.
    let told = match told::ask(&exact) {
        Ok(told) => told,
        Err(NotTold::Failed(error)) => return Err(error),
        Err(NotTold::NotThere) => {
            Object::at(path)?;
            let text = format!("{} is not there", escape_path(path));
            return Err(CliError::new(ErrorKind::Failure, text)
                .code(Code::ObjectAbsent)
                .hint("`pwfs explain` tells what is known of it"));
        }
    };
    let open = match beside::open(located.mounted.clone()) {
        Ok(open) => open,
        // It keeps its listings in memory only, and has told what it can.
        Err(error) if error.name() == Code::MountNoCatalog => {
            let known = Known {
                document: document_of(&told),
                path: exact,
                told,
                mount: MountFacts {
                    mountpoint: Some(located.mounted.path.display().to_string()),
                    ..MountFacts::default()
                },
                facts: None,
                links: Vec::new(),
                held: None,
                pinned: false,
            };
            return Ok((known, None));
        }
        Err(error) => return Err(error),
    };
    let kept = open.kept();
    let facts = kept
        .path(&path.to_string_lossy(), &located.names)
        .map_err(|error| beside::unreadable(&error))?;
    let target = object::entry(&facts).and_then(object::id);
    let document = match target {
        Some(ObjectId::Document(id)) => Some(id),
        Some(ObjectId::Folder(_)) => None,
        None => document_of(&told),
    };
    let links = link::links(&open, target).map_err(|error| beside::unreadable(&error))?;
    let (held, pinned) = match document {
        Some(document) => cached(&open, document, &told),
        None => (None, false),
    };
    let known = Known {
        path: exact,
        mount: kept.mount.clone(),
        told,
        facts: Some(facts),
        links,
        document,
        held,
        pinned,
    };
    Ok((known, document.and_then(|document| listed(&open, document))))
}

fn listed(open: &Open, document: DocumentId) -> Option<Listed> {
    // What cannot be read here was read above, or is told as not known.
    let sightings = open.catalog.find(document.0).unwrap_or_default();
    let mut documents = sightings.into_iter().filter_map(|sighting| {
        let is_shown = sighting.row.is_some();
        match &*sighting.entry {
            Entry::Document(document) => Some((is_shown, document.clone())),
            Entry::Folder(_) => None,
        }
    });
    let first = documents.next()?;
    let (_, document) = documents
        .find(|(is_shown, _)| *is_shown && !first.0)
        .unwrap_or(first);
    Some(Listed {
        document,
        catalog: open.catalog.dir().to_owned(),
    })
}

/// The document, as the mount names it.
fn document_of(told: &Told) -> Option<DocumentId> {
    let guid = told.get("guid").filter(|_| !told.is_dir)?;
    Some(DocumentId(guid.parse().ok()?))
}

/// What of its bytes is on the disk, and whether it is pinned.
fn cached(open: &Open, document: DocumentId, told: &Told) -> (Option<Held>, bool) {
    let care = CacheCare::new(open.beside.cache_dir(), CacheOptions::default());
    let pinned = care.pins().iter().any(|pin| pin.document == document.0);
    let held = open.catalog.about().ok().zip(told.get("tag"));
    // That nothing is there, and that it cannot be read, is the same for whoever asks how much is here.
    let held = held.and_then(|(about, tag)| care.held(&about.datasource, &about.account, document, &tag));
    (held, pinned)
}
