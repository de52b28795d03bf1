//! `manifest`: what there is below a directory, complete or failed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::attributes::{self, KeptSince};
use super::completeness::{Extent, Obstacle, incomplete};
use super::failure::{CliError, ErrorKind};
use super::mount::duration;
use super::output::{Bar, Printer, escape};
use super::session::{Session, SourceArgs};
use crate::catalog::journal::{Cursor, Since};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::{CatalogError, CatalogId};
use crate::content::Digests;
use crate::daemon::blocking;
use crate::manifest::{
    Counts, DocumentRow, EndRow, FORMAT, FailedRow, FirstRow, FolderRow, Plan, Shard, Taker, Terms,
};
use crate::model::{DocumentId, Guid};

mod pen;
mod resume;
mod sheet;

use pen::{Ended, Known, Pen};
use resume::Earlier;
use sheet::Sheet;

/// Say what there is, one row for each document
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct ManifestArgs {
    /// A directory of a mount; or a folder of the datasource: names separated by '/', or a GUID [default: what the profile
    /// shows]
    path: Option<String>,
    /// How rows are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "ndjson")]
    format: SheetFormat,
    /// A row for each folder, too
    #[arg(long)]
    folders: bool,
    /// Write to this file, which appears when it is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with what an earlier run with the same --output left unfinished
    #[arg(long, requires = "output")]
    resume: bool,
    /// The attributes of each document's environment, too; what is not known is asked for
    #[arg(long)]
    attributes: bool,
    /// Only the I-th of N parts
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// List what was asked for longer ago than this [default: what was listed at any time will do]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_age: Option<Duration>,
    /// Pass over folders that the server refuses
    #[arg(long)]
    allow_denied: bool,
    /// Where listings are kept, where no mount is asked
    #[arg(long, value_name = "DIR", env = "PWFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Which server, where no mount is asked.
    #[command(flatten)]
    source: SourceArgs,
}

/// How often attributes are asked for of what was listed otherwise while others were.
const GATHERED: usize = 5;

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SheetFormat {
    /// A JSON object a line, with a first and a last one.
    Ndjson,
    /// A table of comma-separated values.
    Csv,
}

/// Writes a manifest.
pub async fn manifest(
    args: &ManifestArgs,
    mut session: Session,
    printer: &Arc<Printer>,
) -> Result<(), CliError> {
    if args.resume && args.format != SheetFormat::Ndjson {
        let text = "only --format ndjson can be gone on with: a table does not say where it stands";
        return Err(CliError::new(ErrorKind::Usage, text));
    }
    // From the beginning of the command, however long the rest takes.
    let terms = Terms::within(args.max_age, args.allow_denied);
    let (extent, cache_dir) = Extent::find(
        args.path.as_deref(),
        args.source.datasource.as_deref(),
        args.cache_dir.as_deref(),
        &session,
    )
    .await?;
    let job = Arc::new(Job {
        args: args.clone(),
        terms,
        cache_dir,
        extent,
        printer: printer.clone(),
    });
    // Most often everything is there, and one walk is enough.
    let first = job.clone();
    if blocking(move || first.write(None, &HashSet::new())).await? {
        return Ok(());
    }
    let obstacle = Arc::new(job.extent.complete(terms, printer).await?);
    let mut unanswered = HashSet::new();
    for _ in 0..GATHERED {
        if args.attributes {
            let gathered = attributes::gather(&job.extent, terms, args.shard, &mut session, printer);
            unanswered.extend(gathered.await?.unanswered);
        }
        let (next, obstacle, unanswered) = (job.clone(), obstacle.clone(), unanswered.clone());
        if blocking(move || next.write(Some(&obstacle), &unanswered)).await? {
            return Ok(());
        }
    }
    let text = "documents change faster than their attributes can be asked for";
    Err(CliError::new(ErrorKind::TryAgain, text).hint("the same command asks for what is missing"))
}

/// What is written where.
struct Job {
    args: ManifestArgs,
    terms: Terms,
    cache_dir: PathBuf,
    extent: Extent,
    printer: Arc<Printer>,
}

impl Job {
    /// Writes what there is. Without an obstacle, which stands for a try to list what is missing, nothing is written where
    /// something is missing; false then. Nor is it where attributes are wanted and are not all known but for those
    /// `unanswered`. Blocks for as long as whoever reads the rows takes.
    fn write(&self, obstacle: Option<&Obstacle>, unanswered: &HashSet<DocumentId>) -> Result<bool, CliError> {
        let about = self.extent.catalog.about()?;
        let written = self.extent.catalog.snapshot(|snapshot| {
            let plan = Plan::make(snapshot, &self.extent.tops, &self.terms)?;
            if obstacle.is_none() && !plan.failed().is_empty() {
                return Ok(None);
            }
            if self.args.attributes && !self.knows_attributes(snapshot, &plan, unanswered)? {
                return Ok(None);
            }
            let mut target = Target::open(self, &about)?;
            self.rows(snapshot, &about, &plan, &mut target)?;
            target.sheet.finish()?;
            Ok::<_, CliError>(Some((plan.into_failed(), target)))
        })?;
        let Some((missing, target)) = written else {
            return Ok(false);
        };
        if let (false, Some(obstacle)) = (missing.is_empty(), obstacle) {
            return Err(incomplete("missing from the manifest", &missing, obstacle));
        }
        target.keep()?;
        Ok(true)
    }

    fn knows_attributes(
        &self,
        snapshot: &Snapshot<'_>,
        plan: &Plan,
        unanswered: &HashSet<DocumentId>,
    ) -> Result<bool, CatalogError> {
        let store = self.extent.catalog.attributes();
        let found = attributes::find(store, snapshot, plan, self.terms, self.args.shard)?;
        Ok(found.is_all(unanswered))
    }

    /// Whether what an earlier run wrote is the beginning of what this one would.
    fn goes_on(&self, earlier: &Earlier, about: &CatalogId) -> bool {
        let same = earlier.first == self.first(earlier.cursor, about);
        let reached = self.extent.catalog.journal().since(earlier.cursor, 1);
        same && matches!(reached, Ok(Since::Events(_)))
    }

    fn first(&self, cursor: Cursor, about: &CatalogId) -> FirstRow {
        FirstRow {
            row: "manifest".to_owned(),
            format: FORMAT,
            cursor: cursor.to_string(),
            datasource: about.datasource.clone(),
            account: about.account.clone(),
            path: self.extent.path.clone(),
            scope: self.extent.scope(),
            with_folders: self.args.folders,
            shard: self.args.shard.map(|shard| shard.to_string()),
            with_attributes: self.args.attributes,
        }
    }

    fn rows(
        &self,
        snapshot: &Snapshot<'_>,
        about: &CatalogId,
        plan: &Plan,
        target: &mut Target,
    ) -> Result<(), CliError> {
        let Target { sheet, earlier, .. } = target;
        let earlier = earlier.as_ref();
        // What was written earlier is as old as its cursor, and the journal tells the rest.
        let cursor = earlier.map_or_else(|| snapshot.cursor(), |earlier| earlier.cursor);
        if earlier.is_none() {
            sheet.first(&self.first(cursor, about))?;
        }
        let known = Known {
            digests: Digests::in_cache(&self.cache_dir, &about.datasource, &about.account),
            attributes: (self.args.attributes)
                .then(|| KeptSince::new(self.extent.catalog.attributes(), self.terms)),
        };
        let (counts, rows, without_attributes) = thread::scope(|scope| {
            let mut reader = Reader {
                job: self,
                pen: Pen::new(scope, sheet, &known)?,
                written: earlier.map(|earlier| &earlier.rows),
                rows: earlier.map_or(0, |earlier| earlier.rows.len() as u64),
                bar: self.printer.bar("folders"),
                known: plan.len() as u64,
                done: 0,
            };
            let told = plan.tell(snapshot, &mut reader);
            let (counts, without_attributes) = reader.pen.finish(told)?;
            Ok::<_, CliError>((counts, reader.rows, without_attributes))
        })?;
        let mut end = end_row(plan, counts, rows, cursor);
        let before = earlier.map_or(0, |earlier| earlier.without_attributes);
        end.without_attributes = (self.args.attributes).then_some(before + without_attributes);
        sheet.end(&end)
    }
}

/// Where a manifest is written to.
struct Target {
    sheet: Sheet,
    /// What an earlier run left in the file, which is gone on with.
    earlier: Option<Earlier>,
    /// The file on its way, and the name it is to have.
    file: Option<(File, PathBuf, PathBuf)>,
}

impl Target {
    fn open(job: &Job, about: &CatalogId) -> Result<Self, CliError> {
        let format = job.args.format;
        let Some(output) = &job.args.output else {
            return Ok(Self {
                sheet: Sheet::new(format, job.args.attributes, Box::new(Out(job.printer.clone())))?,
                earlier: None,
                file: None,
            });
        };
        let part = with_suffix(output, ".part");
        let failed = |error: io::Error| unwritable(&part, &error);
        let earlier = if job.args.resume {
            Earlier::read(&part).map_err(failed)?
        } else {
            None
        };
        let earlier = earlier.filter(|earlier| job.goes_on(earlier, about));
        let file = match &earlier {
            Some(earlier) => earlier.open(&part),
            None => File::create(&part),
        };
        let file = file.map_err(failed)?;
        let out = Box::new(file.try_clone().map_err(failed)?);
        Ok(Self {
            sheet: match &earlier {
                Some(_) => Sheet::lines(out),
                None => Sheet::new(format, job.args.attributes, out)?,
            },
            earlier,
            file: Some((file, part, output.clone())),
        })
    }

    /// It is complete: whoever sees the file sees all of it, whatever happens to the machine.
    fn keep(self) -> Result<(), CliError> {
        let Some((file, part, output)) = self.file else {
            return Ok(());
        };
        file.sync_all()
            .and_then(|()| fs::rename(&part, &output))
            .map_err(|error| unwritable(&output, &error))
    }
}

fn end_row(plan: &Plan, counts: Counts, rows: u64, cursor: Cursor) -> EndRow {
    let failed = plan.failed().iter().map(|failed| FailedRow {
        path: failed.path.clone(),
        guid: failed.dir.guid().to_string(),
        error: failed.lack.to_string(),
    });
    EndRow {
        row: "end",
        complete: plan.failed().is_empty(),
        folders: counts.folders,
        documents: counts.documents,
        rows,
        unreadable: counts.unreadable,
        without_attributes: None,
        oldest: plan.oldest(),
        cursor: cursor.to_string(),
        failed: failed.collect(),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    let path = escape(&path.to_string_lossy());
    CliError::of(ErrorKind::CannotCreate, error).while_doing(format!("{path} cannot be written"))
}

/// Takes the rows that are wanted.
struct Reader<'a, 'scope> {
    job: &'a Job,
    pen: Pen<'scope>,
    /// What an earlier run wrote: folder and object.
    written: Option<&'a HashSet<(Option<Guid>, Guid)>>,
    rows: u64,
    bar: Bar,
    known: u64,
    done: u64,
}

impl Reader<'_, '_> {
    fn wants(&self, folder: Option<Guid>, object: Guid) -> bool {
        self.job.args.shard.is_none_or(|shard| shard.has(object))
            && self
                .written
                .is_none_or(|written| !written.contains(&(folder, object)))
    }
}

impl Taker<Ended> for Reader<'_, '_> {
    fn folder(&mut self, folder: FolderRow) -> Result<(), Ended> {
        self.done += 1;
        self.bar
            .set(self.done, self.known, format!(", {} rows", self.rows));
        // One that is refused is told in any case: what is below it is not known.
        let is_wanted = self.job.args.folders || !folder.readable;
        if !is_wanted || !self.wants(folder.folder_guid, folder.guid) {
            return Ok(());
        }
        self.rows += 1;
        self.pen.folder(folder)
    }

    fn document(&mut self, document: DocumentRow) -> Result<(), Ended> {
        if !self.wants(Some(document.folder_guid), document.guid) {
            return Ok(());
        }
        self.rows += 1;
        self.pen.document(document)
    }
}

/// Standard output.
struct Out(Arc<Printer>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
