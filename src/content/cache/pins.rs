//! What people want to be kept: a small file of its own, so that a lost index does not lose it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{Guid, Timestamp};

/// The file, in the directory of the cache: one JSON object per line.
const FILE: &str = "pins-v1.jsonl";

/// A document that is not evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Which.
    pub document: Guid,
    /// How people know it: its path when it was pinned.
    pub path: String,
    /// Since when.
    pub since: Timestamp,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    document: String,
    path: String,
    since: Timestamp,
}

impl Line {
    fn pin(self) -> Option<Pin> {
        Some(Pin {
            document: self.document.parse().ok()?,
            path: self.path,
            since: self.since,
        })
    }
}

/// What is pinned. A line that cannot be read is left out.
pub(super) fn read(root: &Path) -> Vec<Pin> {
    let Ok(text) = fs::read_to_string(root.join(FILE)) else {
        return Vec::new();
    };
    text.lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok()?.pin())
        .collect()
}

/// Changes what is pinned, whoever else does so at the same time; returns what is pinned now.
pub(super) fn change(root: &Path, change: impl FnOnce(&mut Vec<Pin>)) -> io::Result<Vec<Pin>> {
    let path = root.join(FILE);
    let mut private = fs::OpenOptions::new();
    private.write(true).create(true).truncate(false).mode(0o600);
    // Held while it is read and replaced. Not the file itself, which is replaced.
    let lock = private.open(root.join("pins-v1.lock"))?;
    lock.lock()?;
    let mut pins = read(root);
    change(&mut pins);
    let new = root.join("pins-v1.new");
    let mut file = private.clone().truncate(true).open(&new)?;
    for pin in &pins {
        let line = Line {
            document: pin.document.to_string(),
            path: pin.path.clone(),
            since: pin.since,
        };
        serde_json::to_writer(&mut file, &line)?;
        file.write_all(b"\n")?;
    }
    // A wish of a person, and not a copy: it outlives a power failure.
    file.sync_all()?;
    fs::rename(&new, &path)?;
    Ok(pins)
}
