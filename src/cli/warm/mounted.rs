//! Has a mount list what is below a directory of it: its process has the login, the budget and the catalog.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::sync::watch;

use super::Start;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::mount::escape_path;
use crate::daemon::blocking;
use crate::daemon::health::probe::{self, Found};
use crate::fs::catalog::CATALOG_DIR;
use crate::fuse::mountpoint::{self, Mounted};
use crate::leader::protocol::Line;
use crate::leader::{Client, ClientError};
use crate::model::{FolderId, Guid};
use crate::refresh::crawl::{CrawlProgress, CrawlSummary};

/// As many folders of a root are crawled at once; each crawl is parallel by itself.
const AT_ONCE: usize = 4;

/// A mount that does not say by then what a directory is has lost its threads, or waits for its server.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// A directory of a mount.
pub(super) struct Place {
    mounted: Mounted,
    path: PathBuf,
}

impl Place {
    /// Where it is, with no link on the way to its mount.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The mount that `path` is on, if it is on one.
pub(super) async fn find(path: Option<&str>) -> Result<Option<Place>, CliError> {
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(None);
    };
    blocking(move || {
        // What is no path here may be one of the datasource.
        let Ok(path) = std::path::absolute(&path) else {
            return Ok(None);
        };
        let ours = mountpoint::ours().map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
        let real = real_path(&path, &ours);
        let above = |mounted: &&Mounted| real.starts_with(&mounted.path);
        let longest = ours
            .iter()
            .filter(above)
            .max_by_key(|mounted| mounted.path.as_os_str().len());
        Ok(longest.map(|mounted| Place {
            mounted: mounted.clone(),
            path: real.clone(),
        }))
    })
    .await
}

/// Where links lead, without asking a mount, whose process may be gone: what is on one has none.
fn real_path(path: &Path, ours: &[Mounted]) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        real.push(part);
        if ours.iter().any(|mounted| real.starts_with(&mounted.path)) {
            continue;
        }
        // What is not there leads nowhere.
        if let Ok(led) = real.canonicalize() {
            real = led;
        }
    }
    real
}

/// Has everything below a directory of a mount listed.
pub(super) async fn warm(
    place: &Place,
    tell: &watch::Sender<CrawlProgress>,
) -> Result<CrawlSummary, CliError> {
    let shown = escape_path(&place.path);
    let mountpoint = place.mounted.path.clone();
    let found = blocking(move || probe::ask(&[mountpoint])).await;
    match found.first() {
        Some(Found::Alive(_)) => {}
        Some(Found::Closed) => {
            let text = format!("{shown} lets only another user in");
            return Err(CliError::new(ErrorKind::Login, text));
        }
        Some(Found::Dead | Found::Silent) | None => {
            let text = format!("the mount of {shown} does not answer");
            return Err(CliError::new(ErrorKind::TryAgain, text).hint("see how it is: `pwfs status`"));
        }
    }
    let (mountpoint, path) = (place.mounted.path.clone(), place.path.clone());
    // A thread that waits for a mount without end is left behind.
    let asked = tokio::task::spawn_blocking(move || starts(&mountpoint, &path));
    let (catalog, starts) = match tokio::time::timeout(ANSWER_TIME, asked).await {
        Ok(Ok(asked)) => asked?,
        Ok(Err(_)) | Err(_) => {
            let text = format!("{shown} cannot be listed in time");
            return Err(CliError::new(ErrorKind::TryAgain, text));
        }
    };
    by_leader(&catalog, &starts, tell)
        .await
        .map_err(|error| unanswered(&error))
}

/// The catalog of a mount, and the folders at or directly below a directory of it.
fn starts(mountpoint: &Path, path: &Path) -> Result<(PathBuf, Vec<Start>), CliError> {
    let catalog = attribute(mountpoint, CATALOG_DIR).ok_or_else(|| {
        let text = format!("the mount at {} keeps no listings", escape_path(mountpoint));
        CliError::new(ErrorKind::Failure, text).hint("its log says why; mount it anew with --cache-dir")
    })?;
    let io = |error: std::io::Error| {
        CliError::of(ErrorKind::Failure, &error).while_doing(format!("cannot list {}", escape_path(path)))
    };
    let start = |path: &Path| {
        let guid = attribute(path, "user.projectwise.guid")?;
        Some(Start {
            folder: FolderId(guid.parse::<Guid>().ok()?),
            name: path
                .file_name()
                .unwrap_or_else(|| OsStr::new(""))
                .to_string_lossy()
                .into_owned(),
        })
    };
    if path != mountpoint {
        let is_dir = std::fs::metadata(path).map_err(io)?.is_dir();
        let start = start(path)
            .filter(|_| is_dir)
            .ok_or_else(|| CliError::new(ErrorKind::Usage, format!("{} is no folder", escape_path(path))))?;
        return Ok((catalog.into(), vec![start]));
    }
    let mut starts = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_dir() {
            starts.extend(start(&entry.path()));
        }
    }
    Ok((catalog.into(), starts))
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    // A path is at most 4096 bytes, a GUID 36.
    let mut buffer = vec![0; 8192];
    let length = rustix::fs::getxattr(path, name, &mut *buffer).ok()?;
    String::from_utf8(buffer.get(..length)?.to_vec()).ok()
}

/// Has the leader of the catalog in `dir` list everything below `starts`.
pub(super) async fn by_leader(
    dir: &Path,
    starts: &[Start],
    tell: &watch::Sender<CrawlProgress>,
) -> Result<CrawlSummary, ClientError> {
    let parts: Vec<watch::Sender<CrawlProgress>> = starts
        .iter()
        .map(|_| watch::Sender::new(CrawlProgress::default()))
        .collect();
    let sum = || {
        let mut sum = CrawlProgress::default();
        for part in &parts {
            sum.add(&part.borrow());
        }
        tell.send_replace(sum);
    };
    let crawls = starts.iter().zip(&parts).map(|(start, part)| {
        let sum = &sum;
        async move {
            let mut summary = one(dir, start.folder, |progress| {
                part.send_replace(progress);
                sum();
            })
            .await?;
            for failure in &mut summary.failures {
                // What is below a start is named from there.
                let below = std::mem::take(&mut failure.path);
                failure.path = match &*below {
                    "" => start.name.clone(),
                    below => format!("{}/{below}", start.name),
                };
            }
            part.send_replace(summary.progress);
            Ok::<_, ClientError>(summary)
        }
    });
    let crawls: Vec<_> = crawls.collect();
    let mut all = CrawlSummary::default();
    let mut crawls = stream::iter(crawls).buffer_unordered(AT_ONCE);
    while let Some(summary) = crawls.next().await {
        all.add(summary?);
    }
    sum();
    Ok(all)
}

/// Has the leader list everything below one folder.
async fn one(
    dir: &Path,
    folder: FolderId,
    mut heard: impl FnMut(CrawlProgress),
) -> Result<CrawlSummary, ClientError> {
    let mut client = Client::warm(dir, folder).await?;
    while let Some(line) = client.next().await? {
        match line {
            // Another version may tell it otherwise.
            Line::Crawl(progress) => heard(serde_json::from_value(progress).unwrap_or_default()),
            Line::Crawled(summary) => {
                return serde_json::from_value(summary).map_err(|error| ClientError::Io(error.into()));
            }
            _ => {}
        }
    }
    Err(ClientError::Ended)
}

/// Why a mount could not be asked.
pub(super) fn unanswered(error: &ClientError) -> CliError {
    let (kind, hint) = match error {
        ClientError::Nobody | ClientError::Silent | ClientError::Ended => {
            (ErrorKind::TryAgain, "see how it is: `pwfs status`")
        }
        ClientError::Failed(_) | ClientError::Io(_) => (
            ErrorKind::Failure,
            "a mount of another version of pwfs may not understand the question: mount it anew",
        ),
    };
    CliError::of(kind, error).hint(hint)
}
