//! `explain`: why an entry looks as it does, or is not there.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::GlobalArgs;
use super::beside;
use super::failure::{CliError, ErrorKind};
use super::output::{Format, Paint, Printer, escape};
use super::session::Session;
use crate::catalog::{Catalog, DirKey, Places};
use crate::daemon::blocking;
use crate::daemon::connect::Account;
use crate::explain::gather::Kept;
use crate::explain::words::{self, Verdict};
use crate::explain::{Facts, MountFacts};
use crate::fuse::mountpoint;
use crate::model::{FolderId, Guid};

/// Say why an entry looks as it does, or is not there
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A path below a mount, or the GUID of a folder or document
    #[arg(value_name = "PATH|GUID")]
    subject: PathBuf,
    /// The mount in which a GUID is looked for [default: all that let you in]
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
}

/// What `--json` shows.
#[derive(Debug, Serialize)]
struct Document<'a> {
    verdict: Verdict,
    conclusion: Vec<String>,
    #[serde(flatten)]
    facts: &'a Facts,
}

/// Explains one path or object.
pub async fn explain(args: &ExplainArgs, global: &GlobalArgs, printer: &Printer) -> Result<(), CliError> {
    // Without a configuration there may be a mount all the same: only what a refresh would ask is then not known.
    let session = Session::open(global).ok();
    let places = session.as_ref().map(|session| Places {
        cache: session.dirs.cache.clone(),
        state: session.dirs.state.clone(),
    });
    let asked = args.clone();
    let mut facts = blocking(move || look(&asked, places.as_ref())).await?;
    if let Some(account) = session.and_then(|session| account(session, facts.mount.profile.as_deref()))
        && let (Some(folder), Some(name)) = (listed_next(&facts), &facts.mount.datasource)
    {
        facts.questions = account.questions(name, folder);
    }
    match printer.format() {
        Format::Json => printer.json(&Document {
            verdict: words::verdict(&facts),
            conclusion: words::conclusion(&facts),
            facts: &facts,
        }),
        Format::Text => show(&facts, printer),
    }
}

fn look(args: &ExplainArgs, places: Option<&Places>) -> Result<Facts, CliError> {
    let text = args.subject.to_string_lossy().into_owned();
    let facts = match text.parse::<Guid>() {
        Ok(guid) => look_for(guid, &text, args.mount.as_deref(), places)?,
        Err(_) => {
            let located = beside::locate(&args.subject)?;
            let open = beside::open(located.mounted)?;
            open.kept()
                .path(&text, &located.names)
                .map_err(|error| beside::unreadable(&error))?
        }
    };
    Ok(facts)
}

/// Looks for an object in one mount, or in all; without any, in whatever is kept.
fn look_for(
    guid: Guid,
    text: &str,
    mount: Option<&Path>,
    places: Option<&Places>,
) -> Result<Facts, CliError> {
    let mut all = Vec::new();
    let mut failed = None;
    let mounts = match mount {
        Some(dir) => vec![beside::locate(dir)?.mounted],
        None => mountpoint::ours().map_err(|error| CliError::of(ErrorKind::Failure, &error))?,
    };
    for mounted in mounts {
        match beside::open(mounted) {
            Ok(open) => all.push(open.kept().object(text, guid)),
            Err(error) => failed = Some(error),
        }
    }
    if all.is_empty() && mount.is_none() {
        for catalog in places.into_iter().flat_map(Catalog::all) {
            let about = catalog.about().map_err(|error| beside::unreadable(&error))?;
            let kept = Kept {
                catalog: &catalog,
                root: DirKey::ROOTS,
                mount: MountFacts {
                    account: Some(about.account),
                    datasource: Some(about.datasource),
                    catalog: Some(catalog.dir().display().to_string()),
                    ..MountFacts::default()
                },
            };
            all.push(kept.object(text, guid));
        }
    }
    let mut best: Option<Facts> = None;
    for facts in all {
        let facts = facts.map_err(|error| beside::unreadable(&error))?;
        if best
            .as_ref()
            .is_none_or(|best| words::verdict(best) == Verdict::Unknown)
        {
            best = Some(facts);
        }
    }
    best.ok_or_else(|| {
        failed.unwrap_or_else(|| {
            CliError::new(ErrorKind::Failure, "nothing is kept of any server")
                .code(super::failure::Code::MountNone)
                .hint("mount something first; `pwfs mounts` lists what is mounted")
        })
    })
}

/// The account of a mount's profile, if this configuration has it.
fn account(mut session: Session, profile: Option<&str>) -> Option<Account> {
    session.turn_to(profile?).ok()?;
    session.account_now().ok()
}

/// The folder whose next listing would tell more.
fn listed_next(facts: &Facts) -> Option<FolderId> {
    let guid = facts.listed_next()?.guid.as_ref()?;
    Some(FolderId(guid.parse().ok()?))
}

fn show(facts: &Facts, printer: &Printer) -> Result<(), CliError> {
    let paint = match words::verdict(facts) {
        Verdict::Shown => Paint::Good,
        Verdict::Hidden | Verdict::Absent | Verdict::Gone | Verdict::Unknown => Paint::Notice,
        Verdict::Troubled => Paint::Problem,
    };
    let conclusion = words::conclusion(facts);
    for (at, sentence) in conclusion.iter().enumerate() {
        let sentence = escape(sentence);
        if at == 0 {
            printer.line(&printer.paint(paint, &sentence))?;
        } else {
            printer.line(&sentence)?;
        }
    }
    for section in words::sections(facts) {
        printer.line("")?;
        for line in words::layout(&section, escape) {
            printer.line(&line)?;
        }
    }
    Ok(())
}
