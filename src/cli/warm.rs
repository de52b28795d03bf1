//! `warm`: lists everything below a folder ahead of time, and fetches it where that is wanted, so that nobody waits for it
//! later.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::browse;
use super::failure::{CliError, ErrorKind};
use super::output::{Format, Printer, escape};
use super::session::{Session, SourceArgs};
use crate::content::CacheOptions;
use crate::daemon::choose::{FolderChoice, FolderPlace, choose};
use crate::daemon::connect::Opened;
use crate::daemon::upkeep::{CRAWL_AT_ONCE, hooks};
use crate::daemon::{self, Storage};
use crate::leader::{ClientError, Leadership};
use crate::model::{DirId, Entry, FolderId};
use crate::refresh::crawl::{CrawlProgress, CrawlSummary, FailedFolder, FailureKind, Top, crawl};
use crate::remote::{Remote, Urgency};
use crate::tree::{Tree, TreeConfig};

mod content;
mod mounted;

use content::Contents;

/// Flags of `warm`.
#[derive(Debug, Clone, Args)]
pub struct WarmArgs {
    /// A directory of a mount; or a folder of the datasource: names separated by '/', or a GUID [default: what the profile
    /// shows]
    path: Option<String>,
    /// Fetch the documents, too; PATH must be in a mount
    #[arg(long, requires = "path")]
    content: bool,
    /// Where listings are kept, where no mount is asked
    #[arg(long, value_name = "DIR", env = "PWFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Which server, where no mount is asked.
    #[command(flatten)]
    source: SourceArgs,
}

/// A folder to begin with, and how people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    folder: FolderId,
    name: String,
}

/// What `--json` shows.
#[derive(Serialize)]
struct Report<'a> {
    complete: bool,
    folders: u64,
    listed: u64,
    fresh: u64,
    /// Of those listed, with others by one question.
    together: u64,
    documents: u64,
    failed: u64,
    /// At most twenty.
    failures: &'a [FailedFolder],
    /// Present with `--content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentReport<'a>>,
    seconds: f64,
}

/// What `--json` shows of `--content`.
#[derive(Serialize)]
struct ContentReport<'a> {
    documents: u64,
    bytes: u64,
    failed: u64,
    /// At most twenty.
    failures: &'a [String],
}

/// Lists everything below a folder.
pub async fn warm(args: &WarmArgs, session: Session, printer: &Printer) -> Result<(), CliError> {
    let begun = Instant::now();
    let (tell, told) = watch::channel(CrawlProgress::default());
    let place = mounted::find(args.path.as_deref()).await?;
    let top = place
        .as_ref()
        .map(|place| place.path().to_owned())
        .filter(|_| args.content);
    if args.content && top.is_none() {
        return Err(CliError::new(
            ErrorKind::Usage,
            "documents are fetched by a mount, and PATH is in none",
        )
        .hint("mount the datasource, and name a directory of the mount"));
    }
    let work = async {
        match place {
            Some(place) => mounted::warm(&place, &tell).await,
            None => by_itself(args, session, &tell).await,
        }
    };
    let summary = tokio::select! {
        summary = work => summary?,
        never = show(printer, told) => match never {},
        _ = tokio::signal::ctrl_c() => return Err(stopped("listed")),
    };
    let contents = match top {
        Some(top) => tokio::select! {
            contents = content::read(&top, printer) => Some(contents),
            _ = tokio::signal::ctrl_c() => return Err(stopped("fetched")),
        },
        None => None,
    };
    tell_outcome(&summary, contents.as_ref(), begun, printer)
}

fn stopped(what: &str) -> CliError {
    CliError::new(
        ErrorKind::TryAgain,
        format!("stopped before everything was {what}"),
    )
    .hint(format!(
        "what was {what} is kept; the same command goes on from there"
    ))
}

/// Shows how far it is; never ends.
async fn show(printer: &Printer, mut told: watch::Receiver<CrawlProgress>) -> Infallible {
    let bar = printer.bar("folders");
    loop {
        let progress = *told.borrow_and_update();
        let mut message = format!(", {} documents", progress.documents);
        if progress.failed > 0 {
            message = format!("{message}, {} failed", progress.failed);
        }
        if progress.waiting {
            message.push_str(", waiting for the server");
        }
        bar.set(progress.done + progress.failed, progress.known, message);
        if told.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Crawls in this process; or has it done by the mount that leads the same catalog.
async fn by_itself(
    args: &WarmArgs,
    session: Session,
    tell: &watch::Sender<CrawlProgress>,
) -> Result<CrawlSummary, CliError> {
    let (account, dirs) = session.account()?;
    let Opened {
        remote, start: below, ..
    } = account.open(args.source.datasource.as_deref()).await?;
    let remote: std::sync::Arc<dyn Remote> = remote;
    let storage = Storage {
        cache_dir: args.cache_dir.clone().unwrap_or_else(|| dirs.cache.clone()),
        state_dir: dirs.state.clone(),
        issuer: account.issuer(),
        cache: CacheOptions::default(),
    };
    let runtime = Handle::current();
    let tree = daemon::tree(remote.clone(), TreeConfig::default(), storage, None, &runtime).await?;
    let Some(catalog) = tree.catalog().cloned() else {
        let text = "there is no catalog to keep listings in";
        return Err(
            CliError::new(ErrorKind::CannotCreate, text).hint("choose another directory with --cache-dir")
        );
    };
    let starts = match (&args.path, below) {
        (Some(path), _) => match browse::resolve(&remote, Some(path)).await? {
            Some(folder) => vec![Start {
                folder: folder.id,
                name: folder.name,
            }],
            None => all(&tree).await?,
        },
        (None, Some(folder)) => vec![Start {
            folder,
            name: String::new(),
        }],
        (None, None) if !account.profile.folders.is_empty() => {
            let choices = account.profile.folders.iter().map(|choice| {
                Ok(FolderChoice {
                    place: FolderPlace::parse(&choice.folder)?,
                    alias: choice.alias.clone(),
                })
            });
            let choices: Vec<FolderChoice> = choices.collect::<Result<_, CliError>>()?;
            let chosen = choose(&*remote, &choices).await?;
            chosen
                .into_iter()
                .map(|chosen| Start {
                    folder: chosen.folder.id,
                    name: chosen.folder.name,
                })
                .collect()
        }
        (None, None) => all(&tree).await?,
    };
    match mounted::by_leader(catalog.dir(), &starts, tell).await {
        // There is none, or it is stopped: then this process does it, and leads if it may.
        Err(ClientError::Nobody | ClientError::Silent) => {}
        outcome => return outcome.map_err(|error| mounted::unanswered(&error)),
    }
    let leadership = Leadership::begin(catalog, &tree, hooks(&tree), &runtime);
    let tops: Vec<Top> = starts
        .into_iter()
        .map(|start| Top {
            dir: DirId::Folder(start.folder),
            name: start.name,
        })
        .collect();
    let report = crawl(&tree, &tops, CRAWL_AT_ONCE, tell).await;
    leadership.end().await;
    Ok(CrawlSummary::from(&report))
}

/// The root folders.
async fn all(tree: &Tree) -> Result<Vec<Start>, CliError> {
    let listed = tree
        .freshen(DirId::Root, std::time::Duration::ZERO, Urgency::Interactive)
        .await
        .map_err(daemon::DaemonError::from)?;
    let folders = listed
        .stored
        .listing
        .entries()
        .filter_map(|entry| match &**entry {
            Entry::Folder(folder) => Some(Start {
                folder: folder.id,
                name: folder.name.clone(),
            }),
            Entry::Document(_) => None,
        });
    Ok(folders.collect())
}

/// Says what it came to; fails unless everything was listed and proved.
fn tell_outcome(
    summary: &CrawlSummary,
    contents: Option<&Contents>,
    begun: Instant,
    printer: &Printer,
) -> Result<(), CliError> {
    let progress = &summary.progress;
    let complete = progress.failed == 0;
    match printer.format() {
        Format::Json => printer.json(&Report {
            complete,
            folders: progress.known,
            listed: progress.done - progress.skipped,
            fresh: progress.skipped,
            together: progress.together,
            documents: progress.documents,
            failed: progress.failed,
            failures: &summary.failures,
            content: contents.map(|contents| ContentReport {
                documents: contents.documents,
                bytes: contents.bytes,
                failed: contents.failed,
                failures: &contents.failures,
            }),
            seconds: begun.elapsed().as_secs_f64(),
        })?,
        Format::Text => printer.line(&format!(
            "{} folders with {} documents are listed: {} now{}, {} were fresh",
            progress.done,
            progress.documents,
            progress.done - progress.skipped,
            match progress.together {
                0 => String::new(),
                together => format!(" ({together} of them together with others)"),
            },
            progress.skipped
        ))?,
    }
    if let (Format::Text, Some(contents)) = (printer.format(), contents) {
        printer.line(&format!(
            "{} documents with {} are here",
            contents.documents,
            super::status::size(contents.bytes)
        ))?;
    }
    if complete {
        return contents.map_or(Ok(()), Contents::outcome);
    }
    let worst = summary.failures.iter().map(|failure| failure.kind);
    let (kind, hint) = match worst.max() {
        Some(FailureKind::Login) => (ErrorKind::Login, "sign in again: `pwfs login`"),
        Some(FailureKind::Refused) if summary.failures.iter().all(is_refused) => (
            ErrorKind::Failure,
            "this account may not see these folders; everything else is listed",
        ),
        Some(FailureKind::Refused | FailureKind::Passing) | None => (
            ErrorKind::TryAgain,
            "the same command lists what is missing, and nothing twice",
        ),
    };
    let text = format!("{} of the folders could not be listed", progress.failed);
    let mut error = CliError::new(kind, text).hint(hint);
    for failure in &summary.failures {
        let path = match &*failure.path {
            "" => "the folder itself".to_owned(),
            path => escape(path),
        };
        error = error.cause(format!("{path}: {}", failure.error));
    }
    let untold = progress.failed - (summary.failures.len() as u64).min(progress.failed);
    if untold > 0 {
        error = error.cause(format!("and {untold} more"));
    }
    Err(error)
}

fn is_refused(failure: &FailedFolder) -> bool {
    failure.kind == FailureKind::Refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kinds: &[FailureKind], failed: u64) -> Result<(), CliError> {
        let failures = kinds.iter().enumerate().map(|(number, &kind)| FailedFolder {
            path: format!("Bridge/{number}"),
            kind,
            error: "because".to_owned(),
        });
        let summary = CrawlSummary {
            progress: CrawlProgress {
                known: 30,
                done: 30 - failed,
                failed,
                ..CrawlProgress::default()
            },
            failures: failures.collect(),
        };
        let printer = Printer::to(Format::Text, Box::new(std::io::sink()), Box::new(std::io::sink()));
        tell_outcome(&summary, None, Instant::now(), &printer)
    }

    #[test]
    fn only_a_whole_list_is_a_success_and_what_is_missing_is_named() {
        use FailureKind::{Login, Passing, Refused};
        assert!(outcome(&[], 0).is_ok());
        for (kinds, code) in [
            (&[Passing][..], 75),
            (&[Refused, Passing], 75),
            (&[Refused, Refused], 1),
            (&[Passing, Login, Refused], 77),
        ] {
            let failed = kinds.len() as u64;
            assert_eq!(outcome(kinds, failed).unwrap_err().exit_code(), code, "{kinds:?}");
        }
        let error = outcome(&[Passing; 20], 25).unwrap_err();
        assert_eq!(error.causes().len(), 21);
        assert_eq!(error.causes()[0], "Bridge/0: because");
        assert_eq!(error.causes()[20], "and 5 more");
    }
}
