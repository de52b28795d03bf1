//! `pin` and `unpin`: documents that are not evicted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{DirArgs, documents, unusable};
use crate::cli::beside;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::output::{Format, Printer, escape};
use crate::cli::session::Session;
use crate::content::{CacheCare, CacheOptions, Pin};
use crate::daemon::blocking;
use crate::model::{Guid, Timestamp};

/// What a mount calls the GUID of a document.
const GUID: &str = "user.projectwise.guid";

/// Keep documents on the disk, whatever else needs the room
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// Documents of a mount, or directories, which stand for every document that is below them now [default: show what is
    /// pinned]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Fetch them now; without it each is kept once somebody has read it
    #[arg(long, requires = "paths")]
    fetch: bool,
    /// Where to look for what is pinned.
    #[command(flatten)]
    dir: DirArgs,
}

/// Let pinned documents make room again
#[derive(Debug, Clone, Args)]
pub struct UnpinArgs {
    /// Documents of a mount or directories; or GUIDs of documents, as `pwfs pin` shows them
    #[arg(value_name = "PATH|GUID", required = true)]
    paths: Vec<PathBuf>,
    /// Where to look for what is pinned, for a GUID.
    #[command(flatten)]
    dir: DirArgs,
}

/// What `pin --json` and `unpin --json` show.
#[derive(Debug, Serialize)]
struct Report {
    documents: u64,
    /// How many were not pinned before, or were until now.
    changed: u64,
    bytes_read: u64,
    failures: Vec<String>,
}

/// What is pinned, as `--json` shows it.
#[derive(Serialize)]
struct Row<'a> {
    document: String,
    path: &'a str,
    since: String,
}

/// Documents of one mount.
struct Found {
    /// The cache of the mount.
    cache: PathBuf,
    documents: Vec<(Guid, PathBuf)>,
    failures: Vec<String>,
}

/// Pins documents; or shows what is pinned.
pub async fn pin(args: &PinArgs, session: &Session, printer: &Printer) -> Result<(), CliError> {
    if args.paths.is_empty() {
        let care = care_of(args.dir.dir(session));
        return show(&blocking(move || care.pins()).await, printer);
    }
    let (paths, fetch) = (args.paths.clone(), args.fetch);
    let report = blocking(move || {
        let mut report = Report::new();
        for path in &paths {
            let mut found = find(path)?;
            let since = Timestamp::now();
            let pins: Vec<Pin> = found
                .documents
                .iter()
                .map(|(document, path)| Pin {
                    document: *document,
                    path: path.to_string_lossy().into_owned(),
                    since,
                })
                .collect();
            // First: what is fetched after that is kept.
            report.changed += care_of(&found.cache).pin(&pins).map_err(unusable)?;
            report.documents += pins.len() as u64;
            if fetch {
                for (_, path) in &found.documents {
                    match read(path) {
                        Ok(bytes) => report.bytes_read += bytes,
                        Err(error) => found.failures.push(failure(path, &error)),
                    }
                }
            }
            report.failures.append(&mut found.failures);
        }
        Ok::<_, CliError>(report)
    })
    .await?;
    tell(&report, "pinned", printer)
}

/// Ends pins.
pub async fn unpin(args: &UnpinArgs, session: &Session, printer: &Printer) -> Result<(), CliError> {
    let (paths, care) = (args.paths.clone(), care_of(args.dir.dir(session)));
    let report = blocking(move || {
        let mut report = Report::new();
        for path in &paths {
            let (changed, count) = match path.to_string_lossy().parse::<Guid>() {
                Ok(guid) => (care.unpin(&[guid]), 1),
                Err(_) => {
                    let mut found = find(path)?;
                    report.failures.append(&mut found.failures);
                    let guids: Vec<Guid> = found.documents.iter().map(|(guid, _)| *guid).collect();
                    (care_of(&found.cache).unpin(&guids), guids.len() as u64)
                }
            };
            report.changed += changed.map_err(unusable)?;
            report.documents += count;
        }
        Ok::<_, CliError>(report)
    })
    .await?;
    tell(&report, "not pinned any more", printer)
}

impl Report {
    const fn new() -> Self {
        Self {
            documents: 0,
            changed: 0,
            bytes_read: 0,
            failures: Vec::new(),
        }
    }
}

fn tell(report: &Report, what: &str, printer: &Printer) -> Result<(), CliError> {
    match printer.format() {
        Format::Json => printer.json(report)?,
        Format::Text => {
            let unchanged = report.documents - report.changed.min(report.documents);
            let already = if unchanged > 0 {
                format!(" ({unchanged} of them were so before)")
            } else {
                String::new()
            };
            printer.line(&format!("{} {what}{already}", documents(report.documents)))?;
        }
    }
    if report.failures.is_empty() {
        return Ok(());
    }
    let text = format!("{} could not be looked at or read", report.failures.len());
    let error = CliError::new(ErrorKind::TryAgain, text).hint("the same command does what is missing");
    Err(report
        .failures
        .iter()
        .take(20)
        .fold(error, |error, failure| error.cause(failure.clone())))
}

fn show(pins: &[Pin], printer: &Printer) -> Result<(), CliError> {
    if printer.format() == Format::Json {
        let rows: Vec<Row<'_>> = pins
            .iter()
            .map(|pin| Row {
                document: pin.document.to_string(),
                path: &pin.path,
                since: pin.since.to_string(),
            })
            .collect();
        return printer.json(&rows);
    }
    if pins.is_empty() {
        return printer.line("nothing is pinned");
    }
    for pin in pins {
        printer.line(&format!("{}  {}", pin.document, escape(&pin.path)))?;
    }
    Ok(())
}

/// All documents at or below a path of a mount.
fn find(path: &Path) -> Result<Found, CliError> {
    let open = beside::open(beside::locate(path)?.mounted)?;
    let cache = open.beside.cache_dir();
    let mut found = Found {
        cache: cache.to_owned(),
        documents: Vec::new(),
        failures: Vec::new(),
    };
    let path = std::path::absolute(path).map_err(|error| CliError::of(ErrorKind::Usage, &error))?;
    let first = fs::symlink_metadata(&path)
        .map_err(|error| CliError::of(ErrorKind::Failure, &error).while_doing(failure_at(&path)))?;
    if first.is_dir() {
        found.below(path);
    } else {
        found.document(path);
    }
    Ok(found)
}

impl Found {
    fn below(&mut self, top: PathBuf) {
        let mut dirs = vec![top];
        while let Some(dir) = dirs.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) => {
                    self.failures.push(failure(&dir, &error));
                    continue;
                }
            };
            for entry in entries {
                match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                    Ok((path, kind)) if kind.is_dir() => dirs.push(path),
                    Ok((path, _)) => self.document(path),
                    Err(error) => {
                        self.failures.push(failure(&dir, &error));
                        // What cannot be gone on with would fail without end.
                        break;
                    }
                }
            }
        }
    }

    fn document(&mut self, path: PathBuf) {
        let mut guid = [0; 64];
        let told = rustix::fs::getxattr(&path, GUID, &mut guid)
            .map_err(io::Error::from)
            .and_then(|length| {
                let text = String::from_utf8_lossy(&guid[..length]);
                text.parse::<Guid>().map_err(io::Error::other)
            });
        match told {
            Ok(guid) => self.documents.push((guid, path)),
            Err(error) => self.failures.push(failure(&path, &error)),
        }
    }
}

/// Pins need no cap.
fn care_of(cache: &Path) -> CacheCare {
    CacheCare::new(cache, CacheOptions::default())
}

/// Reads a document through its mount, to its end.
fn read(path: &Path) -> io::Result<u64> {
    io::copy(&mut File::open(path)?, &mut io::sink())
}

fn failure(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", escape(&path.to_string_lossy()))
}

fn failure_at(path: &Path) -> String {
    format!("{} cannot be looked at", escape(&path.to_string_lossy()))
}
