//! `link`: the links that lead to a file or directory of a mount. Asks no server.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::answer::AnswerArgs;
use super::beside::{self, Open};
use super::failure::{CliError, ErrorKind};
use super::mount::escape_path;
use super::object::{self, Object};
use super::output::{Format, Paint, Printer, escape};
use crate::catalog::{CatalogError, DirKey};
use crate::daemon::blocking;
use crate::explain::raw;
use crate::model::ObjectId;
use crate::remote::link::{Place, PwLink};
use crate::remote::wsg::DatasourceName;

/// Print the links that lead to a file or directory of a mount
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// The file or directory, in a mount
    path: PathBuf,
    /// How it answers.
    #[command(flatten)]
    pub(super) answer: AnswerArgs,
}

/// A link, and what it goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Link {
    form: Form,
    pub(super) url: String,
}

/// What a link goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// It leads there after a rename and a move, too.
    Guid,
    /// It reads well.
    Names,
}

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Answer {
    path: String,
    kind: &'static str,
    guid: Option<String>,
    links: Vec<Link>,
}

impl Link {
    /// What kind of link it is, in words of one length.
    pub(super) const fn words(&self) -> &'static str {
        match self.form {
            Form::Guid => "by GUID ",
            Form::Names => "by names",
        }
    }
}

/// Prints the links to one path.
pub async fn link(args: &LinkArgs, printer: &Printer) -> Result<(), CliError> {
    let path = args.path.clone();
    let answer = blocking(move || look(path)).await?;
    match printer.format() {
        Format::Json => printer.json(&answer),
        Format::Text => {
            for link in &answer.links {
                let form = printer.paint(Paint::Faint, link.words());
                printer.line(&format!("{form}  {}", escape(&link.url)))?;
            }
            Ok(())
        }
    }
}

fn look(path: PathBuf) -> Result<Answer, CliError> {
    let found = Object::at(&path)?;
    let entry = found.entry();
    let target = entry.and_then(object::id);
    let links = links(&found.open, target).map_err(|error| beside::unreadable(&error))?;
    if links.is_empty() {
        let text = format!("no link leads to {}", escape_path(&path));
        return Err(match target {
            // Folders of many places may be shown there.
            None => CliError::new(ErrorKind::Usage, text)
                .cause("it is the top of a mount of chosen folders, and no folder of ProjectWise")
                .hint("name a file or directory in it"),
            Some(_) => CliError::new(ErrorKind::Failure, text)
                .cause("the name of the datasource is not that of a ProjectWise server and its datasource"),
        });
    }
    let shown = object::place(&found.open.mounted.path, &found.facts).unwrap_or(path);
    Ok(Answer {
        path: shown.to_string_lossy().into_owned(),
        kind: entry.map_or("top", object::kind),
        guid: entry.map(|entry| entry.guid.clone()),
        links,
    })
}

/// The links to an object, or to what the top of the mount is; none where nothing in ProjectWise is that, or where its
/// server's name is not known. Blocks.
pub(super) fn links(open: &Open, object: Option<ObjectId>) -> Result<Vec<Link>, CatalogError> {
    let about = open.catalog.about()?;
    let Some(name) = DatasourceName::parse(&about.datasource) else {
        return Ok(Vec::new());
    };
    let to = |form: Form, place: Place| {
        PwLink::to(&name.location, place).map(|link| Link {
            form,
            url: link.to_string(),
        })
    };
    let (guid, by_guid) = match object {
        Some(ObjectId::Folder(id)) => (id.0, Place::Folder(id)),
        Some(ObjectId::Document(id)) => (id.0, Place::Document(id)),
        None if open.beside.root == DirKey::ROOTS => {
            return Ok(to(Form::Names, Place::Root).into_iter().collect());
        }
        None => return Ok(Vec::new()),
    };
    let by_names = raw::names_of(&open.catalog, guid)?.map(Place::Path);
    let all = [
        to(Form::Guid, by_guid),
        by_names.and_then(|place| to(Form::Names, place)),
    ];
    Ok(all.into_iter().flatten().collect())
}
