//! `events`: what changes below a mount, as the mount sees it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::beside;
use super::failure::{CliError, Code, ErrorKind};
use super::following::{Following, Looked};
use super::output::{Format, Paint, Printer, escape};
use crate::catalog::DirKey;
use crate::catalog::journal::{Change, Cursor, Event, Since};
use crate::daemon::blocking;
use crate::explain::gather::told;
use crate::explain::way::{Ways, Whereabouts, join};
use crate::explain::words::{clock, happened};
use crate::explain::{Told, What};
use crate::model::ObjectId;

/// Follow what changes below a mount
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// The mount, or a directory in it: only what happens in or below it is shown
    dir: PathBuf,
    /// Begin after this cursor, as --json shows them, instead of now
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    since: Option<Cursor>,
    /// Print what has happened and end
    #[arg(long, requires = "since")]
    once: bool,
    /// Also what the mount does not show: everything its account saw through other mounts
    #[arg(long)]
    all: bool,
}

/// Reads a cursor of the command line.
pub(super) fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse()
        .map_err(|error: crate::catalog::journal::InvalidCursor| error.to_string())
}

/// An event, as `--json` shows it, one on a line.
#[derive(Debug, Serialize)]
struct Line {
    /// What to begin after the next time.
    cursor: String,
    /// `folder` or `document`.
    kind: &'static str,
    /// The name it has, or had.
    name: String,
    /// The folder it is in, or was; all zeros for the top of the datasource.
    folder_guid: String,
    /// Tells this content from others.
    tag: Option<String>,
    #[serde(flatten)]
    told: Told,
}

/// What the journal cannot tell any more.
#[derive(Debug, Serialize)]
struct Resync {
    resync: bool,
    /// What to begin after, once everything was read anew.
    cursor: String,
}

/// What the thread that follows the journal says.
enum Said {
    Line(Box<Line>),
    /// All there is was said.
    Caught,
    Resync(Cursor),
}

/// So many rows are read at a time.
const BATCH: usize = 500;

/// So many lines wait for a slow reader.
const WAITING: usize = 1024;

/// Follows the journal.
pub async fn events(args: &EventsArgs, printer: &Printer) -> Result<(), CliError> {
    let (say, mut said) = mpsc::channel(WAITING);
    // Before the first line: a signal in between ends the command as well.
    let failed = |error: std::io::Error| CliError::of(ErrorKind::Failure, &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let asked = args.clone();
    let following = blocking(move || follow(&asked, &say));
    tokio::pin!(following);
    let mut outcome = None;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            line = said.recv() => match line {
                Some(Said::Line(line)) => show(&line, printer)?,
                Some(Said::Caught) => printer.flush()?,
                Some(Said::Resync(head)) => return Err(resync(head, printer)?),
                // It has ended, and everything it said was printed.
                None => return match outcome {
                    Some(outcome) => outcome,
                    None => (&mut following).await,
                },
            },
            ended = &mut following, if outcome.is_none() => outcome = Some(ended),
        }
    }
}

/// Reads the journal and waits for more, until the mount ends or nobody listens any more. Blocks.
fn follow(args: &EventsArgs, say: &mpsc::Sender<Said>) -> Result<(), CliError> {
    let located = beside::locate(&args.dir)?;
    let open = beside::open(located.mounted)?;
    // The watch comes before the first look: nothing is missed in between.
    let mut following = Following::begin(&open.beside.journal_file, &open.mounted)?;
    let unreadable = |error| beside::unreadable(&error);
    let mut cursor = match args.since {
        Some(cursor) => cursor,
        None => open.catalog.journal().head().map_err(unreadable)?,
    };
    let below = (!located.names.is_empty()).then(|| located.names.join("/"));
    let scope = Scope { below, all: args.all };
    following.follow(args.once, &|| say.is_closed(), &mut || {
        let mut ways = Ways::new(&open.catalog, open.beside.root);
        loop {
            let events = match open.catalog.journal().since(cursor, BATCH).map_err(unreadable)? {
                Since::Events(events) => events,
                Since::Resync => {
                    let head = open.catalog.journal().head().map_err(unreadable)?;
                    let _ = say.blocking_send(Said::Resync(head));
                    return Ok(Looked::Done);
                }
            };
            let Some(last) = events.last() else { break };
            cursor.sequence = last.sequence;
            for event in &events {
                let line = scope.line(&mut ways, cursor.epoch, event).map_err(unreadable)?;
                if let Some(line) = line
                    && say.blocking_send(Said::Line(Box::new(line))).is_err()
                {
                    return Ok(Looked::Done);
                }
            }
        }
        let heard = say.blocking_send(Said::Caught);
        Ok(if heard.is_ok() { Looked::All } else { Looked::Done })
    })
}

/// Which events are shown.
struct Scope {
    /// A path below the mount.
    below: Option<String>,
    all: bool,
}

impl Scope {
    fn line(
        &self,
        ways: &mut Ways<'_>,
        epoch: u64,
        event: &Event,
    ) -> Result<Option<Line>, crate::catalog::CatalogError> {
        if !self.has(ways, event.parent, &event.name)? {
            let left = match &event.change {
                Change::Move { old_parent, old_name } => self.has(ways, *old_parent, old_name)?,
                _ => false,
            };
            if !left {
                return Ok(None);
            }
        }
        let cursor = Cursor {
            epoch,
            sequence: event.sequence,
        };
        Ok(Some(Line {
            cursor: cursor.to_string(),
            kind: match event.id {
                ObjectId::Folder(_) => "folder",
                ObjectId::Document(_) => "document",
            },
            name: event.name.clone(),
            folder_guid: event.parent.guid().to_string(),
            tag: event.tag.clone(),
            told: told(ways, event)?,
        }))
    }

    /// Whether the mount shows `name` in `dir`, in or below the directory that was asked for.
    fn has(
        &self,
        ways: &mut Ways<'_>,
        dir: DirKey,
        name: &str,
    ) -> Result<bool, crate::catalog::CatalogError> {
        if self.all && self.below.is_none() {
            return Ok(true);
        }
        let way = match ways.whereabouts(dir)? {
            Whereabouts::Inside(way) => way,
            Whereabouts::Outside => return Ok(false),
            // Such as after the cache was deleted. Better once too often than a change that nobody hears of.
            Whereabouts::Unknown => return Ok(true),
        };
        let path = join(&way, name);
        Ok(self.below.as_ref().is_none_or(|below| {
            path == *below
                || path
                    .strip_prefix(below.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        }))
    }
}

fn show(line: &Line, printer: &Printer) -> Result<(), CliError> {
    match printer.format() {
        Format::Json => printer.json_line(line),
        Format::Text => {
            let told = &line.told;
            let paint = match told.what {
                What::Gone { .. } | What::Rights { readable: false } => Paint::Problem,
                What::Add { .. } => Paint::Good,
                What::Modify { .. }
                | What::NewVersion { .. }
                | What::Rename { .. }
                | What::Move { .. }
                | What::Rights { readable: true } => Paint::Notice,
            };
            let slash = if line.kind == "folder" { "/" } else { "" };
            let what = printer.paint(paint, &escape(&happened(told)));
            printer.line(&format!(
                "{}  {}{slash}: {what}",
                clock(told.at),
                escape(&told.path)
            ))
        }
    }
}

/// Says that the journal does not reach back so far.
fn resync(head: Cursor, printer: &Printer) -> Result<CliError, CliError> {
    let cursor = head.to_string();
    if printer.format() == Format::Json {
        printer.json_line(&Resync {
            resync: true,
            cursor: cursor.clone(),
        })?;
    }
    Ok(CliError::new(
        ErrorKind::TryAgain,
        "the journal does not reach back to that cursor",
    )
    .code(Code::EventsResync)
    .hint(format!("read everything anew, then go on with --since {cursor}")))
}
