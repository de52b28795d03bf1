//! `open`: where in a mount the object of a link is shown. Asks no server.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::answer::AnswerArgs;
use super::beside::{self, Open};
use super::failure::{CliError, Code, ErrorKind};
use super::launch::{OPENER, launch};
use super::mount::escape_path;
use super::object;
use super::output::{Format, Printer};
use crate::catalog::{CatalogError, DirKey};
use crate::daemon::blocking;
use crate::daemon::connect::ConnectionError;
use crate::explain::Facts;
use crate::explain::raw::{self, Led};
use crate::fuse::mountpoint;
use crate::model::Guid;
use crate::remote::link::{DatasourceLink, Place};
use crate::remote::wsg::DatasourceName;

/// Say where in a mount the object of a link is shown
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// A pw: link, or a URL of the gateway
    #[arg(value_name = "URL")]
    url: String,
    /// The mount to look in [default: all that let you in]
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
    /// Open it with the desktop's program for it, too
    #[arg(long)]
    launch: bool,
    /// How it answers.
    #[command(flatten)]
    pub(super) answer: AnswerArgs,
}

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Answer {
    path: String,
    mountpoint: String,
    kind: &'static str,
    guid: Option<String>,
    /// Other paths that lead to the same object.
    also: Vec<String>,
    #[serde(skip)]
    exact: PathBuf,
}

/// Finds the object of a link, and opens it where that is wanted.
pub async fn open(args: &OpenArgs, printer: &Printer) -> Result<(), CliError> {
    let link = DatasourceLink::parse(&args.url).map_err(ConnectionError::from)?;
    let mount = args.mount.clone();
    let answer = blocking(move || look(&link, mount.as_deref())).await?;
    match printer.format() {
        Format::Json => printer.json(&answer)?,
        Format::Text => printer.line(&escape_path(&answer.exact))?,
    }
    if args.launch {
        launch(answer.exact.as_os_str()).map_err(|error| {
            CliError::of(ErrorKind::Failure, &error)
                .while_doing(format!("{OPENER} cannot be started"))
                .code(Code::LinkNoOpener)
                .hint("install xdg-utils, or open the path that was printed")
        })?;
    }
    Ok(())
}

fn look(link: &DatasourceLink, mount: Option<&Path>) -> Result<Answer, CliError> {
    let (mut fitting, others) = mounts_of(link, mount)?;
    if fitting.is_empty() {
        let error = CliError::new(
            ErrorKind::Failure,
            "nothing is mounted that shows the link's datasource",
        )
        .code(Code::LinkOtherDatasource)
        .hint("mount it: `pwfs mount LINK DIR` shows the folder of the link");
        let named = |name: String| format!("mounted is {name}");
        return Err(others.into_iter().map(named).fold(error, CliError::cause));
    }
    // A mount of the whole datasource shows what others show a part of.
    fitting.sort_by_key(|open| Reverse(open.beside.root == DirKey::ROOTS));
    let mut found: Vec<Answer> = Vec::new();
    let mut missing: Option<CliError> = None;
    for open in &fitting {
        match in_mount(link, open) {
            Ok(answer) => found.push(answer),
            Err(error) => {
                let tells_more = |first: &CliError| rank(error.name()) < rank(first.name());
                if missing.as_ref().is_none_or(tells_more) {
                    missing = Some(error);
                }
            }
        }
    }
    let mut all = found.into_iter();
    match (all.next(), missing) {
        (Some(first), _) => {
            let elsewhere = all.flat_map(|answer| std::iter::once(answer.path).chain(answer.also));
            let mut answer = first;
            answer.also.extend(elsewhere);
            Ok(answer)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(CliError::new(ErrorKind::Failure, "no mount was looked at")),
    }
}

/// The lower, the more a mount that does not show it knows of it.
const fn rank(code: Code) -> u8 {
    match code {
        Code::ObjectHidden => 0,
        Code::ObjectGone => 1,
        Code::ObjectOutside => 2,
        Code::ObjectAbsent => 3,
        Code::ObjectNotListed => 4,
        _ => 5,
    }
}

/// The mounts of the link's datasource, and the names of the datasources of the others.
fn mounts_of(link: &DatasourceLink, mount: Option<&Path>) -> Result<(Vec<Open>, Vec<String>), CliError> {
    let mounts = match mount {
        Some(dir) => vec![beside::locate(dir)?.mounted],
        None => mountpoint::ours().map_err(|error| CliError::of(ErrorKind::Failure, &error))?,
    };
    if mounts.is_empty() {
        return Err(CliError::new(ErrorKind::Failure, "nothing is mounted")
            .code(Code::MountNone)
            .hint("mount the datasource first: `pwfs mount`"));
    }
    let (mut fitting, mut others, mut failed) = (Vec::new(), Vec::new(), None);
    for mounted in mounts {
        let open = match beside::open(mounted) {
            Ok(open) => open,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        let about = open.catalog.about().map_err(|error| beside::unreadable(&error))?;
        let name = DatasourceName::parse(&about.datasource);
        if name.is_some_and(|name| link.leads_into(&name)) {
            fitting.push(open);
        } else {
            others.push(about.datasource);
        }
    }
    match failed {
        // Whatever it was, nothing better can be said.
        Some(error) if fitting.is_empty() && others.is_empty() => Err(error),
        _ => Ok((fitting, others)),
    }
}

fn in_mount(link: &DatasourceLink, open: &Open) -> Result<Answer, CliError> {
    let unreadable = |error: CatalogError| beside::unreadable(&error);
    let kept = open.kept();
    let of = |guid: Guid| kept.object(&guid.to_string(), guid).map_err(unreadable);
    let facts = match link.place() {
        Place::Root => kept.path("", &[]).map_err(unreadable)?,
        Place::Folder(id) => of(id.0)?,
        Place::Document(id) => of(id.0)?,
        Place::Path(names) => match raw::led_by(&open.catalog, &names).map_err(unreadable)? {
            Led::To(objects) => one_of(objects.iter().map(|id| of(id.guid())))?,
            Led::Absent { name, folder } => {
                let cause = format!("the listing of {} has no such name", title(&folder));
                return Err(
                    CliError::new(ErrorKind::Failure, format!("\"{name}\" is not there"))
                        .code(Code::ObjectAbsent)
                        .cause(cause)
                        .hint("a link by GUID leads there after a rename, too"),
                );
            }
            Led::NotListed { folder } => {
                let text = format!(
                    "nothing is known of the link's names: {} was not listed yet",
                    title(&folder)
                );
                return Err(CliError::new(ErrorKind::Failure, text)
                    .code(Code::ObjectNotListed)
                    .hint(object::LIST_IT)
                    .hint("or use the link by GUID, which needs no names"));
            }
        },
    };
    answer(open, &facts)
}

/// The first that is shown, of objects that share a name; else the first.
fn one_of(all: impl Iterator<Item = Result<Facts, CliError>>) -> Result<Facts, CliError> {
    let mut first = None;
    for facts in all {
        let facts = facts?;
        if object::missing(&facts).is_none() {
            return Ok(facts);
        }
        first.get_or_insert(facts);
    }
    first.ok_or_else(|| CliError::new(ErrorKind::Failure, "the link names nothing"))
}

fn answer(open: &Open, facts: &Facts) -> Result<Answer, CliError> {
    if let Some(error) = object::missing(facts) {
        return Err(error);
    }
    let mountpoint = &open.mounted.path;
    let exact = object::place(mountpoint, facts).unwrap_or_else(|| mountpoint.clone());
    let entry = object::entry(facts);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Answer {
        path: text(&exact),
        mountpoint: text(mountpoint),
        kind: entry.map_or("top", object::kind),
        guid: entry.map(|entry| entry.guid.clone()),
        also: object::elsewhere(facts)
            .iter()
            .map(|path| text(&mountpoint.join(path)))
            .collect(),
        exact,
    })
}

fn title(folder: &str) -> String {
    if folder.is_empty() {
        "the root of the datasource".to_owned()
    } else {
        format!("\"{folder}\"")
    }
}
