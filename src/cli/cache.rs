//! `cache`: what is kept of documents, checked, tidied up and emptied.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::{CliError, ErrorKind};
use super::output::{Format, Printer, escape};
use super::session::Session;
use crate::config::Profile;
use crate::config::size::Size;
use crate::content::care::{CacheInfo, CareError, Cleared, Collected, Damaged, Verified};
use crate::content::{CacheCare, CacheOptions};
use crate::daemon::blocking;

mod confirm;
pub mod pins;

/// How much may be kept.
#[derive(Debug, Clone, Args)]
pub struct CacheSizeArgs {
    /// The most that cached documents take on the disk in all; what was used longest ago makes room [default: 10G]
    #[arg(long, value_name = "SIZE", env = "PWFS_MAX_CACHE_SIZE")]
    max_cache_size: Option<Size>,
}

impl CacheSizeArgs {
    /// The cap; where these say nothing, the profile does.
    pub(super) fn options(&self, profile: &Profile) -> CacheOptions {
        let usual = CacheOptions::default();
        let said = self.max_cache_size.or(profile.max_cache_size);
        CacheOptions {
            max_bytes: said.map_or(usual.max_bytes, |size| size.0),
            ..usual
        }
    }
}

/// Look after the documents that are kept on the disk
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    command: CacheCommand,
}

/// What to do with the cache.
#[derive(Debug, Clone, Subcommand)]
enum CacheCommand {
    /// Show where it is, how much there is, and how much there may be
    Info(PlaceArgs),
    /// Read every block and compare it with its checksum; remove what is bad
    ///
    /// Exits with 1 if anything was bad. What is removed is fetched again when somebody reads it.
    Verify(PlaceArgs),
    /// Remove what nobody needs: what dead processes left, and what is beyond the cap
    Gc(PlaceArgs),
    /// Remove all documents that nobody has open, pinned ones too
    ///
    /// Works beside running mounts, which fetch again what somebody reads. What is pinned stays pinned.
    Clear {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}

/// Where the cache is.
#[derive(Debug, Clone, Args)]
struct DirArgs {
    /// Where document contents are kept
    #[arg(long, value_name = "DIR", env = "PWFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

impl DirArgs {
    fn dir<'a>(&'a self, session: &'a Session) -> &'a Path {
        self.cache_dir.as_ref().unwrap_or(&session.dirs.cache)
    }
}

/// Which cache, and how much it may hold.
#[derive(Debug, Clone, Args)]
struct PlaceArgs {
    /// Where.
    #[command(flatten)]
    dir: DirArgs,
    /// How much.
    #[command(flatten)]
    size: CacheSizeArgs,
}

impl PlaceArgs {
    fn care(&self, session: &Session) -> CacheCare {
        CacheCare::new(self.dir.dir(session), self.size.options(&session.profile))
    }
}

/// Does one of it.
pub async fn cache(args: &CacheArgs, session: &Session, printer: &Printer) -> Result<(), CliError> {
    match &args.command {
        CacheCommand::Info(place) => {
            let care = place.care(session);
            let info = blocking(move || care.info()).await.map_err(unusable)?;
            show_info(&info, printer)
        }
        CacheCommand::Verify(place) => verify(place.care(session), printer).await,
        CacheCommand::Gc(place) => {
            let care = place.care(session);
            let collected = blocking(move || care.gc()).await.map_err(unusable)?;
            show_collected(&collected, printer)
        }
        CacheCommand::Clear { place, yes } => {
            let care = place.care(session);
            if !yes {
                let (care_info, back) = blocking(move || (care.info(), care)).await;
                let info = care_info.map_err(unusable)?;
                confirm::removal(&info).await?;
                return clear(back, printer).await;
            }
            clear(care, printer).await
        }
    }
}

async fn clear(care: CacheCare, printer: &Printer) -> Result<(), CliError> {
    let cleared: Cleared = blocking(move || care.clear()).await.map_err(unusable)?;
    match printer.format() {
        Format::Json => printer.json(&cleared),
        Format::Text => {
            printer.line(&format!("{} removed", documents(cleared.removed)))?;
            if cleared.in_use > 0 {
                printer.line(&format!("{} in use, and stay", documents(cleared.in_use)))?;
            }
            Ok(())
        }
    }
}

fn show_info(info: &CacheInfo, printer: &Printer) -> Result<(), CliError> {
    if printer.format() == Format::Json {
        return printer.json(info);
    }
    let pinned = match info.pins {
        0 => "nothing".to_owned(),
        pins => format!(
            "{}, {} of them here with {}",
            documents(pins),
            info.pinned_entries,
            size(info.pinned_bytes)
        ),
    };
    let counting = if info.counting {
        " so far; the files are being counted anew"
    } else {
        ""
    };
    for (what, value) in [
        ("location", escape(&info.location.to_string_lossy())),
        (
            "size",
            format!("{} in {}{counting}", size(info.bytes), documents(info.entries)),
        ),
        ("pinned", pinned),
        ("cap", size(info.max_bytes)),
        (
            "disk",
            format!(
                "{} free, of which {} are left so",
                size(info.free),
                size(info.free_floor)
            ),
        ),
    ] {
        printer.line(&format!("{what:<9} {value}"))?;
    }
    Ok(())
}

fn show_collected(collected: &Collected, printer: &Printer) -> Result<(), CliError> {
    if printer.format() == Format::Json {
        return printer.json(collected);
    }
    for (count, what) in [
        (collected.leftovers, "files that dead processes left"),
        (collected.orphans, "files without their other half"),
        (collected.forgotten, "documents that were not there any more"),
        (collected.former, "caches of earlier versions"),
    ] {
        if count > 0 {
            printer.line(&format!("removed {count} {what}"))?;
        }
    }
    if collected.evicted_bytes > 0 {
        printer.line(&format!("evicted {}", size(collected.evicted_bytes)))?;
    }
    printer.line(&format!("{} are kept", size(collected.bytes)))
}

/// What `verify --json` shows.
#[derive(Serialize)]
struct VerifyReport<'a> {
    ok: bool,
    #[serde(flatten)]
    verified: &'a Verified,
}

async fn verify(care: CacheCare, printer: &Printer) -> Result<(), CliError> {
    let known = {
        let (info, back) = blocking(move || (care.info(), care)).await;
        (info.map_or(0, |info| info.entries), back)
    };
    let (entries, care) = known;
    let bar = printer.bar("documents");
    let verified = blocking(move || {
        care.verify(|so_far| {
            bar.set(so_far.entries, entries.max(so_far.entries), String::new());
        })
    })
    .await;
    let ok = verified.damaged.is_empty();
    match printer.format() {
        Format::Json => printer.json(&VerifyReport {
            ok,
            verified: &verified,
        })?,
        Format::Text => {
            for damaged in &verified.damaged {
                printer.line(&words(damaged))?;
            }
            printer.line(&format!(
                "{} checked, {} in {} blocks",
                documents(verified.entries),
                size(verified.bytes),
                verified.blocks
            ))?;
        }
    }
    if ok {
        return Ok(());
    }
    let text = format!("{} damaged", documents(verified.damaged.len() as u64));
    Err(CliError::new(ErrorKind::Failure, text)
        .hint("what was removed is fetched again when it is read; where this happens again, the disk may be failing"))
}

fn words(damaged: &Damaged) -> String {
    let whose = match (&damaged.document, &damaged.server) {
        (Some(document), Some(server)) => format!("document {document} of {}", escape(server)),
        _ => "a document".to_owned(),
    };
    let removed = if damaged.removed {
        "removed"
    } else {
        "not removed: another process is changing it"
    };
    format!(
        "{whose}: {}; {removed} ({})",
        escape(&damaged.defect),
        escape(&damaged.file.to_string_lossy())
    )
}

fn documents(count: u64) -> String {
    match count {
        1 => "1 document".to_owned(),
        count => format!("{count} documents"),
    }
}

/// The cache cannot be looked after.
fn unusable(error: impl Into<CareError>) -> CliError {
    CliError::of(ErrorKind::Failure, &error.into())
        .while_doing("the cache cannot be used")
        .hint("only the user it belongs to may use it; deleting its directory loses nothing but time")
}

/// So many bytes in the unit that says enough.
fn size(bytes: u64) -> String {
    super::status::size(bytes)
}
