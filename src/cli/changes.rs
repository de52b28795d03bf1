//! `changes`: what changed below a directory, for whoever keeps a copy of it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::below::Below;
use super::beside::Open;
use super::failure::{CliError, Code, ErrorKind};
use super::following::{Following, Looked};
use super::output::Printer;
use crate::catalog::journal::Cursor;
use crate::changes::{ChangeRow, Changes, Scope, Step};
use crate::daemon::blocking;

/// Tell what changed, each change once and in order
#[derive(Debug, Clone, Args)]
pub struct ChangesArgs {
    /// Begin after this cursor, as the manifest or an earlier row tells it
    #[arg(long, value_name = "CURSOR", value_parser = super::events::cursor)]
    since: Cursor,
    /// A mount, or a directory in one [default: the mount, where there is only one]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Go on until the mount ends
    #[arg(long)]
    follow: bool,
}

/// A line beside the rows.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Remark {
    /// Of what changes are told.
    Scope { scope: ScopeLine },
    /// Everything was told.
    CaughtUp { caught_up: bool, cursor: String },
    /// The journal cannot tell.
    Resync {
        resync: bool,
        cursor: String,
        why: &'static str,
    },
}

#[derive(Debug, Serialize)]
struct ScopeLine {
    path: String,
    folders: Vec<String>,
}

/// What the thread that reads the journal says.
enum Said {
    Row(Box<ChangeRow>),
    Remark(Remark),
}

/// So many lines wait for a slow reader.
const WAITING: usize = 1024;

/// Tells changes.
pub async fn changes(args: &ChangesArgs, printer: &Arc<Printer>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::of(ErrorKind::Failure, &error);
    // Before the first line: a signal in between ends the command as well.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let below = Below::wanted(args.path.as_deref()).await?;
    let open = below.open().await?;
    let tops = below.tops(&open).await?;
    let scope = Remark::Scope {
        scope: ScopeLine {
            path: below.names(),
            folders: tops.iter().map(|top| top.dir.guid().to_string()).collect(),
        },
    };
    printer.json_line(&scope)?;
    let scope = Scope(tops.into_iter().map(|top| (top.dir, top.path)).collect());
    let (say, mut said) = mpsc::channel(WAITING);
    let (since, once) = (args.since, !args.follow);
    let telling = blocking(move || tell(&open, scope, since, once, &say));
    tokio::pin!(telling);
    let mut outcome = None;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            line = said.recv() => match line {
                Some(Said::Row(row)) => printer.json_line(&row)?,
                Some(Said::Remark(remark)) => {
                    printer.json_line(&remark)?;
                    printer.flush()?;
                }
                // It has ended, and everything it said was printed.
                None => return match outcome {
                    Some(outcome) => outcome,
                    None => (&mut telling).await,
                },
            },
            ended = &mut telling, if outcome.is_none() => outcome = Some(ended),
        }
    }
}

/// Reads the journal, and with `once` unset waits for more until the mount ends or nobody listens. Blocks.
fn tell(
    open: &Open,
    scope: Scope,
    since: Cursor,
    once: bool,
    say: &mpsc::Sender<Said>,
) -> Result<(), CliError> {
    let journal = open.catalog.journal();
    let mut following = Following::begin(&open.beside.journal_file, &open.mounted)?;
    let mut changes = Changes::new(scope, since);
    let mut caught_up = None;
    following.follow(once, &|| say.is_closed(), &mut || {
        loop {
            let step = journal.reading(|reading| {
                changes.step::<Ended>(reading, &mut |row| {
                    say.blocking_send(Said::Row(Box::new(row)))
                        .map_err(|_| Ended::Unheard)
                })
            });
            match step {
                Ok(Step::On(_)) => {}
                Ok(Step::End(cursor)) => {
                    // Once for each place it stands at.
                    if caught_up.replace(cursor) == Some(cursor) {
                        return Ok(Looked::All);
                    }
                    let remark = Remark::CaughtUp {
                        caught_up: true,
                        cursor: cursor.to_string(),
                    };
                    let heard = say.blocking_send(Said::Remark(remark));
                    return Ok(if heard.is_ok() { Looked::All } else { Looked::Done });
                }
                Ok(Step::Resync { head, why }) => {
                    let cursor = head.to_string();
                    let remark = Remark::Resync {
                        resync: true,
                        cursor,
                        why,
                    };
                    // Whoever does not listen any more is told by the exit status.
                    let _ = say.blocking_send(Said::Remark(remark));
                    return Err(resync(why));
                }
                Err(Ended::Unheard) => return Ok(Looked::Done),
                Err(Ended::Unreadable(error)) => return Err(error.into()),
            }
        }
    })
}

/// Why a look at the journal ends.
enum Ended {
    Unheard,
    Unreadable(crate::catalog::CatalogError),
}

impl From<crate::catalog::CatalogError> for Ended {
    fn from(error: crate::catalog::CatalogError) -> Self {
        Self::Unreadable(error)
    }
}

fn resync(why: &str) -> CliError {
    CliError::new(
        ErrorKind::TryAgain,
        format!("changes since that cursor cannot be told: {why}"),
    )
    .code(Code::EventsResync)
    .hint("take a new manifest, and go on with its cursor")
}
