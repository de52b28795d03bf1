//! A directory of a mount: where it is, and where work on everything below it begins.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::beside::{self, Open};
use super::crawling::Start;
use super::failure::{CliError, Code, ErrorKind};
use super::mount::escape_path;
use crate::catalog::snapshot::{Known, Snapshot};
use crate::catalog::{CatalogError, DirKey};
use crate::daemon::beside::Located;
use crate::daemon::blocking;
use crate::daemon::health::probe::{self, Found};
use crate::fs::catalog::CATALOG_DIR;
use crate::fuse::mountpoint;
use crate::manifest::Top;
use crate::model::{FolderId, Guid};

/// A mount that does not say by then what a directory is has lost its threads, or waits for its server.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// See the module.
pub(super) struct Below {
    located: Located,
}

impl Below {
    /// The mount that `path` is in, if it is in one.
    pub(super) async fn find(path: &str) -> Result<Option<Self>, CliError> {
        // What is no path here may be one of the datasource.
        if path.is_empty() {
            return Ok(None);
        }
        let path = PathBuf::from(path);
        blocking(move || {
            let found = crate::daemon::beside::locate(&path);
            let found = found.map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
            Ok(found.map(|located| Self { located }))
        })
        .await
    }

    /// The mount that `path` is in; without a path the one there is.
    pub(super) async fn wanted(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Self::the_only_one().await;
        };
        let path = path.to_owned();
        let located = blocking(move || beside::locate(&path)).await?;
        Ok(Self { located })
    }

    async fn the_only_one() -> Result<Self, CliError> {
        let mut ours = blocking(mountpoint::ours)
            .await
            .map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
        match (ours.pop(), ours.is_empty()) {
            (Some(mounted), true) => Ok(Self {
                located: Located {
                    mounted,
                    names: Vec::new(),
                },
            }),
            (Some(_), false) => Err(CliError::new(
                ErrorKind::Usage,
                "more than one directory is mounted, and none was named",
            )
            .hint("`pwfs mounts` lists them")),
            (None, _) => Err(CliError::new(ErrorKind::Failure, "nothing is mounted")
                .code(Code::MountNone)
                .hint("mount the datasource first: `pwfs mount`")),
        }
    }

    /// Where it is, with no link on the way to its mount.
    pub(super) fn path(&self) -> PathBuf {
        let mut path = self.located.mounted.path.clone();
        path.extend(&self.located.names);
        path
    }

    /// The names that lead to it from the top of its mount, with slashes between; empty for that top.
    pub(super) fn names(&self) -> String {
        self.located.names.join("/")
    }

    /// Opens what is kept beside its mount.
    pub(super) async fn open(&self) -> Result<Open, CliError> {
        let mounted = self.located.mounted.clone();
        blocking(move || beside::open(mounted)).await
    }

    /// What it is in the catalog, or what is directly below the top of a mount with chosen folders; with the paths of
    /// these in the mount. The mount is asked only for what its catalog does not know.
    pub(super) async fn tops(&self, open: &Open) -> Result<Vec<Top>, CliError> {
        let (catalog, root) = (open.catalog.clone(), open.beside.root);
        let names = self.located.names.clone();
        let kept = blocking(move || catalog.snapshot(|snapshot| descend(snapshot, root, &names))).await;
        if let Some(tops) = kept.map_err(|error| beside::unreadable(&error))? {
            return Ok(tops);
        }
        let (_, starts) = self.starts().await?;
        let is_top = self.located.names.is_empty();
        let top = |start: Start| Top {
            dir: start.dir,
            path: if is_top { start.name } else { self.names() },
        };
        Ok(starts.into_iter().map(top).collect())
    }

    /// The directory of its catalog, and the folder it is, or those directly below the top of its mount: as the mount
    /// tells, which may ask its server.
    pub(super) async fn starts(&self) -> Result<(PathBuf, Vec<Start>), CliError> {
        let shown = escape_path(&self.path());
        let mountpoint = self.located.mounted.path.clone();
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
        let (mountpoint, path) = (self.located.mounted.path.clone(), self.path());
        // A thread that waits for a mount without end is left behind.
        let asked = tokio::task::spawn_blocking(move || starts(&mountpoint, &path));
        match tokio::time::timeout(ANSWER_TIME, asked).await {
            Ok(Ok(asked)) => asked,
            Ok(Err(_)) | Err(_) => {
                let text = format!("{shown} cannot be listed in time");
                Err(CliError::new(ErrorKind::TryAgain, text))
            }
        }
    }
}

/// See [`Below::tops`]; `None` where the catalog does not know the way.
fn descend(
    snapshot: &Snapshot<'_>,
    root: DirKey,
    names: &[String],
) -> Result<Option<Vec<Top>>, CatalogError> {
    let mut dir = root;
    for name in names {
        let Known::Listed(listed) = snapshot.dir(dir)? else {
            return Ok(None);
        };
        let inside = snapshot.folders(&listed)?;
        let found = inside
            .into_iter()
            .find(|folder| folder.shown.as_ref() == Some(name));
        let Some(folder) = found else {
            return Ok(None);
        };
        dir = DirKey::folder(folder.id);
    }
    if !dir.is_choice() {
        return Ok(Some(vec![Top {
            dir,
            path: names.join("/"),
        }]));
    }
    let Known::Listed(listed) = snapshot.dir(dir)? else {
        return Ok(None);
    };
    let chosen = snapshot.folders(&listed)?.into_iter().map(|folder| Top {
        dir: DirKey::folder(folder.id),
        path: folder.shown.unwrap_or_default(),
    });
    Ok(Some(chosen.collect()))
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
            dir: DirKey::folder(FolderId(guid.parse::<Guid>().ok()?)),
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
