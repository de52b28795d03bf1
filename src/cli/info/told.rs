//! What a mount itself tells of a file or directory: its size and times, and its extended attributes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::mount::escape_path;
use crate::fs::activity::ACTIVITY;
use crate::model::Timestamp;

/// A mount that does not tell by then has lost its threads, or waits for its server.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// The longest value, and the longest list of names, that the kernel hands out (`XATTR_SIZE_MAX`), in bytes.
const LONGEST: usize = 64 * 1024;

/// What all names of our own begin with.
const PREFIX: &str = "user.projectwise.";

/// What a mount tells of one path.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Told {
    #[serde(skip)]
    pub(super) is_dir: bool,
    /// The length in bytes; `None` for a directory.
    pub(super) size: Option<u64>,
    /// When a file's bytes, or a directory's listing, last changed.
    pub(super) modified: Option<Timestamp>,
    /// The values of its extended attributes; those of our own by their last part.
    pub(super) attributes: BTreeMap<String, String>,
}

impl Told {
    /// The value of one of our own attributes, by its last part; or of another by its whole name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.attributes.get(name).cloned()
    }

    /// True where an attribute says so.
    pub(super) fn says(&self, name: &str) -> bool {
        self.attributes.get(name).is_some_and(|value| value == "1")
    }
}

/// Why a mount does not tell.
#[derive(Debug)]
pub(super) enum NotTold {
    /// It has no such name.
    NotThere,
    /// Something else.
    Failed(CliError),
}

/// Asks the mount. Blocks for at most [`ANSWER_TIME`]: the mount may have to list a folder.
pub(super) fn ask(path: &Path) -> Result<Told, NotTold> {
    let (tell, told) = mpsc::channel();
    let asked = path.to_owned();
    let asking = std::thread::Builder::new()
        .name("info".to_owned())
        .spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = tell.send(read(&asked));
        });
    let shown = escape_path(path);
    let failed = |kind, error: &io::Error| {
        let error = CliError::of(kind, error).while_doing(format!("{shown} cannot be looked at"));
        NotTold::Failed(error.hint("`pwfs status` tells how the mount is"))
    };
    if let Err(error) = asking {
        return Err(failed(ErrorKind::Failure, &error));
    }
    match told.recv_timeout(ANSWER_TIME) {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(NotTold::NotThere),
        Ok(Err(error)) => Err(failed(ErrorKind::Failure, &error)),
        Err(_) => Err(failed(ErrorKind::TryAgain, &io::ErrorKind::TimedOut.into())),
    }
}

fn read(path: &Path) -> io::Result<Told> {
    let metadata = std::fs::symlink_metadata(path)?;
    let stamp = |time: io::Result<SystemTime>| Timestamp::try_from(time.ok()?).ok();
    let is_dir = metadata.is_dir();
    let mut told = Told {
        is_dir,
        size: (!is_dir).then_some(metadata.len()),
        modified: stamp(metadata.modified()),
        attributes: BTreeMap::new(),
    };
    let mut names = vec![0; LONGEST];
    // A mount without extended attributes tells the rest all the same.
    let length = rustix::fs::listxattr(path, &mut *names).unwrap_or(0);
    let mut value = vec![0; LONGEST];
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        // What the mount does is told by `status`, and the root has an own answer to each question.
        if name.is_empty() || name == ACTIVITY {
            continue;
        }
        // It may have gone meanwhile.
        if let Ok(length) = rustix::fs::getxattr(path, name, &mut *value) {
            let text = String::from_utf8_lossy(value.get(..length).unwrap_or_default()).into_owned();
            let name = name.strip_prefix(PREFIX).unwrap_or(name);
            told.attributes.insert(name.to_owned(), text);
        }
    }
    Ok(told)
}
