//! How far a set-up has come, so that it can be left at any step and resumed days later.
//!
//! What was decided stands in the profile (`config.toml`) and the credential store. Kept here is only what the profile
//! cannot say: which step comes next, and folders that were marked but not confirmed.
//!
//! ```text
//! <state>/setup/<profile>.json      gone when the set-up is finished
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, create_private_dir};

/// The steps in the guide's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Register the application, and sign in with it once.
    Application,
    /// The administrator allows the application.
    Administrator,
    /// Find the datasource.
    Datasource,
    /// Choose the folders.
    Folders,
    /// All is decided; the doctor looks at it.
    Check,
}

/// A folder that was marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// The folder's GUID.
    pub guid: String,
    /// The raw names of its ancestors and itself.
    pub path: Vec<String>,
    /// The name to show instead of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// The record of a set-up that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step that comes next.
    pub next: Step,
    /// Folders marked so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marked: Vec<Marked>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            next: Step::Application,
            marked: Vec::new(),
        }
    }
}

/// The format below. Another one is not guessed at: that set-up begins again, and finds its answers in the profile.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    #[serde(flatten)]
    progress: Progress,
}

/// Where the record of one profile is kept.
#[derive(Debug, Clone)]
pub struct ProgressFile(PathBuf);

impl ProgressFile {
    /// The record of `profile`, whose name is fit for a file name.
    pub fn new(state_dir: &Path, profile: &str) -> Self {
        Self(state_dir.join("setup").join(format!("{profile}.json")))
    }

    /// The record; `None` where no set-up was left. One that cannot be read is none.
    pub fn load(&self) -> Option<Progress> {
        let text = fs::read(&self.0).ok()?;
        match serde_json::from_slice::<Wire>(&text) {
            Ok(wire) if wire.version == VERSION => Some(wire.progress),
            Ok(_) | Err(_) => {
                tracing::debug!(file = %self.0.display(), "the record of an older set-up cannot be read");
                None
            }
        }
    }

    /// Keeps the record, whole or not at all.
    pub fn save(&self, progress: &Progress) -> Result<(), ConfigError> {
        let failed = |source| ConfigError::Write {
            path: self.0.clone(),
            source,
        };
        let directory = self.0.parent().unwrap_or_else(|| Path::new("."));
        create_private_dir(directory)?;
        let wire = Wire {
            version: VERSION,
            progress: progress.clone(),
        };
        let text = serde_json::to_vec_pretty(&wire).map_err(|error| failed(io::Error::other(error)))?;
        let write = || {
            let mut file = tempfile_in(directory)?;
            file.1.write_all(&text)?;
            file.1.sync_all()?;
            fs::rename(&file.0, &self.0)
        };
        write().map_err(failed)
    }

    /// Forgets the record.
    pub fn delete(&self) -> Result<(), ConfigError> {
        match fs::remove_file(&self.0) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ConfigError::Write {
                path: self.0.clone(),
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A new file of this process beside the record.
fn tempfile_in(directory: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = directory.join(format!(".{}.new", std::process::id()));
    let file = fs::File::create(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_forgotten_and_a_strange_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = ProgressFile::new(dir.path(), "work");
        assert_eq!(file.load(), None);
        let progress = Progress {
            next: Step::Folders,
            marked: vec![Marked {
                guid: "60e9dda5-5297-4916-9739-0e40fd00a4b8".to_owned(),
                path: vec!["Bridge".to_owned(), "A/B".to_owned()],
                alias: Some("plans".to_owned()),
            }],
        };
        file.save(&progress).unwrap();
        assert_eq!(file.load(), Some(progress));
        let path = dir.path().join("setup/work.json");
        let newer = fs::read_to_string(&path)
            .unwrap()
            .replace("\"version\": 1", "\"version\": 9");
        fs::write(&path, newer).unwrap();
        assert_eq!(file.load(), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(file.load(), None);
        file.delete().unwrap();
        file.delete().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn steps_are_in_the_order_of_the_guide() {
        let steps = [
            Step::Application,
            Step::Administrator,
            Step::Datasource,
            Step::Folders,
            Step::Check,
        ];
        assert!(steps.is_sorted());
    }
}
