//! `warm`: lists everything below a folder ahead of time, and fetches it where that is wanted, so that nobody waits for it
//! later.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use tokio::sync::watch;

use super::attributes::{self, Gathered};
use super::below::Below;
use super::completeness::Extent;
use super::crawling::{self, Crawler, Own};
use super::failure::{CliError, ErrorKind};
use super::interrupt;
use super::output::{Format, Printer};
use super::session::{Session, SourceArgs};
use crate::manifest::Terms;
use crate::refresh::crawl::{CrawlProgress, CrawlSummary, FailedFolder};

mod content;

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
    /// Ask for the attributes of the documents' environments, too, as far as they are not known
    #[arg(long)]
    attributes: bool,
    /// Where listings are kept, where no mount is asked
    #[arg(long, value_name = "DIR", env = "PWFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Which server, where no mount is asked.
    #[command(flatten)]
    source: SourceArgs,
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
    /// Present with `--attributes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<AttributesReport>,
    seconds: f64,
}

/// What `--json` shows of `--attributes`.
#[derive(Serialize)]
struct AttributesReport {
    /// Documents whose attributes were known.
    known: u64,
    /// Those that were asked for.
    asked: u64,
    /// Of these: refused, or not there any more.
    unanswered: usize,
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
pub async fn warm(args: &WarmArgs, mut session: Session, printer: &Printer) -> Result<(), CliError> {
    let begun = Instant::now();
    let (tell, told) = watch::channel(CrawlProgress::default());
    let place = match &args.path {
        Some(path) => Below::find(path).await?,
        None => None,
    };
    let top = place.as_ref().map(Below::path).filter(|_| args.content);
    if args.content && top.is_none() {
        return Err(CliError::new(
            ErrorKind::Usage,
            "documents are fetched by a mount, and PATH is in none",
        )
        .hint("mount the datasource, and name a directory of the mount"));
    }
    let work = async {
        let (crawler, starts) = match place {
            Some(place) => {
                let (catalog, starts) = place.starts().await?;
                let crawler = Crawler::Mount {
                    catalog,
                    below: place,
                };
                (crawler, starts)
            }
            None => {
                let source = args.source.datasource.as_deref();
                let (own, starts) =
                    Own::open(args.path.as_deref(), source, args.cache_dir.as_deref(), &session).await?;
                (Crawler::Own(Box::new(own)), starts)
            }
        };
        let summary = crawler.crawl(&starts, None, &tell).await?;
        Ok::<_, CliError>((summary, crawler, starts))
    };
    let taken = interrupt::take_interrupt();
    let (summary, crawler, starts) = tokio::select! {
        done = work => done?,
        never = crawling::show(printer, told) => match never {},
        _ = tokio::signal::ctrl_c() => return Err(crawling::stopped("listed")),
    };
    let contents = match top {
        Some(top) => tokio::select! {
            contents = content::read(&top, printer) => Some(contents),
            _ = tokio::signal::ctrl_c() => return Err(crawling::stopped("fetched")),
        },
        None => None,
    };
    drop(taken);
    let attributes = if args.attributes {
        let extent = Extent::of_crawl(crawler, starts).await?;
        Some(attributes::gather(&extent, Terms::default(), None, &mut session, printer).await)
    } else {
        None
    };
    let (attributes, failure) = match attributes.transpose() {
        Ok(attributes) => (attributes, None),
        Err(error) => (None, Some(error)),
    };
    // What came of the rest is told in any case.
    let outcome = tell_outcome(&summary, contents.as_ref(), attributes.as_ref(), begun, printer);
    failure.map_or(outcome, Err)
}

/// Says what it came to; fails unless everything was listed and proved.
fn tell_outcome(
    summary: &CrawlSummary,
    contents: Option<&Contents>,
    attributes: Option<&Gathered>,
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
            attributes: attributes.map(|attributes| AttributesReport {
                known: attributes.known,
                asked: attributes.asked,
                unanswered: attributes.unanswered.len(),
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
    if let (Format::Text, Some(attributes)) = (printer.format(), attributes) {
        let unanswered = match attributes.unanswered.len() {
            0 => String::new(),
            number => format!("; {number} of them the server did not answer"),
        };
        printer.line(&format!(
            "the attributes of {} documents were asked for, those of {} were known{unanswered}",
            attributes.asked, attributes.known,
        ))?;
    }
    if complete {
        return contents.map_or(Ok(()), Contents::outcome);
    }
    Err(crawling::incomplete(summary))
}
