//! `sync-point`: waits until everything below a directory is as fresh as wanted, by proof.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::below::Below;
use super::completeness::{Extent, incomplete};
use super::failure::{CliError, ErrorKind};
use super::mount::duration;
use super::output::{Format, Printer};
use crate::catalog::CatalogError;
use crate::daemon::blocking;
use crate::manifest::{Plan, Terms};
use crate::model::Timestamp;

/// Wait until everything below a directory is that fresh
#[derive(Debug, Clone, Args)]
pub struct SyncPointArgs {
    /// A mount, or a directory in one
    path: PathBuf,
    /// No folder may have been asked for longer ago than this before the command began; 0s asks for all of them
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_age: Duration,
    /// Give up after this time [default: wait as long as it takes]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Pass over folders that the server refuses
    #[arg(long)]
    allow_denied: bool,
}

/// What `--json` shows.
#[derive(Serialize)]
struct Report {
    /// Always true: what is not so fresh is an error.
    fresh: bool,
    folders: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Timestamp>,
    cursor: String,
}

/// Waits.
pub async fn sync_point(args: &SyncPointArgs, printer: &Arc<Printer>) -> Result<(), CliError> {
    // From the beginning of the command, however long the rest takes.
    let terms = Terms::within(Some(args.max_age), args.allow_denied);
    let below = Below::wanted(Some(&args.path)).await?;
    let extent = Extent::of_mount(below).await?;
    let completing = extent.complete(terms, printer);
    let obstacle = match args.timeout {
        None => completing.await?,
        Some(timeout) => match tokio::time::timeout(timeout, completing).await {
            Ok(completed) => completed?,
            Err(_) => return Err(late(&extent, terms).await?),
        },
    };
    let (catalog, tops) = (extent.catalog.clone(), extent.tops.clone());
    let looked = blocking(move || {
        catalog.snapshot(|snapshot| {
            let plan = Plan::make(snapshot, &tops, &terms)?;
            Ok::<_, CatalogError>((plan, snapshot.cursor()))
        })
    });
    let (plan, cursor) = looked.await?;
    if !plan.failed().is_empty() {
        return Err(incomplete("not that fresh", plan.failed(), &obstacle));
    }
    let report = Report {
        fresh: true,
        folders: plan.len() as u64,
        oldest: plan.oldest(),
        cursor: cursor.to_string(),
    };
    match printer.format() {
        Format::Json => printer.json(&report),
        Format::Text => printer.line(&report.cursor),
    }
}

/// The time is over: what is not so fresh by now.
async fn late(extent: &Extent, terms: Terms) -> Result<CliError, CliError> {
    let missing = extent.missing(terms).await?;
    let error = incomplete(
        "not that fresh yet",
        &missing,
        &super::completeness::Obstacle::default(),
    );
    let late = CliError::new(ErrorKind::TryAgain, error.message().to_owned());
    let late = error
        .causes()
        .iter()
        .fold(late, |late, cause| late.cause(cause.clone()));
    Ok(late.hint("the same command goes on with what is missing, and lists nothing twice"))
}
