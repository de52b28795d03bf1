//! Where pwfs keeps its files, and what `config.toml` says.
//!
//! The file belongs to its user: comments, order and blank lines survive every change pwfs makes, an unknown key is
//! an error instead of a silent nothing, and a file changed by someone else meanwhile is not overwritten.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

pub mod freshness;
mod profile;
pub mod reading;
mod schema;
pub mod size;

pub use profile::{FolderChoice, Profile};

/// Name of the configuration file in its directory.
const FILE_NAME: &str = "config.toml";
/// The profile that is meant where none is named.
pub const DEFAULT_PROFILE: &str = "default";

/// Where pwfs keeps its files. No other module joins paths to a home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDirs {
    /// `config.toml`, and what the user edits.
    pub config: PathBuf,
    /// What may be deleted at any time.
    pub cache: PathBuf,
    /// The journal and credentials: state that is not to be lost.
    pub state: PathBuf,
    /// Sockets and locks; gone after a reboot.
    pub runtime: PathBuf,
}

/// What stands in for the system's directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirOverrides {
    /// `PWFS_CONFIG_DIR`.
    pub config: Option<PathBuf>,
    /// `PWFS_CACHE_DIR`.
    pub cache: Option<PathBuf>,
    /// `PWFS_STATE_DIR`.
    pub state: Option<PathBuf>,
}

impl DirOverrides {
    /// Reads the `PWFS_…_DIR` variables.
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        Self {
            config: path("PWFS_CONFIG_DIR"),
            cache: path("PWFS_CACHE_DIR"),
            state: path("PWFS_STATE_DIR"),
        }
    }
}

impl AppDirs {
    /// The XDG directories of this user, or what stands in for them.
    pub fn new(overrides: DirOverrides) -> Result<Self, ConfigError> {
        const APP: &str = "pwfs";
        let choose = |given: Option<PathBuf>, system: Option<PathBuf>| match given {
            Some(path) => Ok(path),
            None => system.map(|base| base.join(APP)).ok_or(ConfigError::NoHome),
        };
        let state = choose(overrides.state, dirs::state_dir())?;
        Ok(Self {
            config: choose(overrides.config, dirs::config_dir())?,
            cache: choose(overrides.cache, dirs::cache_dir())?,
            // Without a session there is no runtime directory (cron, containers); the state directory is as private.
            runtime: dirs::runtime_dir().map_or_else(|| state.join("run"), |base| base.join(APP)),
            state,
        })
    }

    /// The directories of mounts nobody is logged in for, or what stands in for them.
    pub fn of_the_system(overrides: DirOverrides) -> Self {
        let choose = |given: Option<PathBuf>, system: &str| given.unwrap_or_else(|| PathBuf::from(system));
        Self {
            config: choose(overrides.config, "/etc/pwfs"),
            cache: choose(overrides.cache, "/var/cache/pwfs"),
            state: choose(overrides.state, "/var/lib/pwfs"),
            runtime: PathBuf::from("/run/pwfs"),
        }
    }

    /// All directories below one, for tests and self-contained runs.
    pub fn under(root: &Path) -> Self {
        Self {
            config: root.join("config"),
            cache: root.join("cache"),
            state: root.join("state"),
            runtime: root.join("run"),
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join(FILE_NAME)
    }
}

/// Makes a directory, and what leads to it, for this user's eyes only. One that exists stays as it is.
pub fn create_private_dir(path: &Path) -> Result<(), ConfigError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ConfigError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system names no home directory.
    #[error("this user has no home directory; set PWFS_CONFIG_DIR, PWFS_CACHE_DIR and PWFS_STATE_DIR")]
    NoHome,
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, or a key holds something else than it should.
    #[error("{path} cannot be used: {detail}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// The file has a key nobody reads.
    #[error("{path}, line {line}: unknown key {key:?}{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line it is in, from 1.
        line: usize,
        /// The key, with the tables it is in.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// There is no profile of this name.
    #[error("there is no profile {name:?} in {path}")]
    NoProfile {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
        /// The file.
        path: PathBuf,
    },
    /// Someone changed the file after it was read.
    #[error("{0} was changed by another program meanwhile; nothing was written")]
    ChangedMeanwhile(PathBuf),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |known| format!(" (did you mean {known:?}?)"))
}

/// `config.toml`, as text that can be edited and as what it means.
pub struct ConfigFile {
    path: PathBuf,
    /// What was read; empty for a file that is not there.
    text: String,
    document: DocumentMut,
}

impl ConfigFile {
    /// Reads the file; one that does not exist is an empty one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let document = schema::checked(path, &text)?;
        let file = Self {
            path: path.to_owned(),
            text,
            document,
        };
        // All profiles, so that a mistake in one is not met on the day it is needed.
        for name in file.profile_names() {
            file.profile(&name)?;
        }
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all profiles, in the file's order.
    pub fn profile_names(&self) -> Vec<String> {
        self.profiles()
            .map(|table| table.iter().map(|(name, _)| name.to_owned()).collect())
            .unwrap_or_default()
    }

    /// The profile meant where none is named: `default_profile`, else the only one, else `default`.
    pub fn default_profile(&self) -> String {
        if let Some(name) = self
            .document
            .get(schema::DEFAULT_PROFILE_KEY)
            .and_then(Item::as_str)
        {
            return name.to_owned();
        }
        match self.profile_names().as_slice() {
            [only] => only.clone(),
            _ => DEFAULT_PROFILE.to_owned(),
        }
    }

    /// One profile.
    pub fn profile(&self, name: &str) -> Result<Profile, ConfigError> {
        let Some(item) = self.profiles().and_then(|table| table.get(name)) else {
            return Err(ConfigError::NoProfile {
                name: name.to_owned(),
                known: self.profile_names(),
                path: self.path.clone(),
            });
        };
        let invalid = |detail: String| ConfigError::Invalid {
            path: self.path.clone(),
            detail: format!("profile {name:?}: {detail}"),
        };
        let table = item
            .as_table_like()
            .ok_or_else(|| invalid("it is not a table".to_owned()))?;
        Profile::read(table).map_err(invalid)
    }

    /// Adds or changes a profile. Keys that keep their value keep their place, spelling and comments.
    pub fn set_profile(&mut self, name: &str, profile: &Profile) -> Result<(), ConfigError> {
        if !is_profile_name(name) {
            return Err(ConfigError::Invalid {
                path: self.path.clone(),
                detail: format!("{name:?} cannot name a profile; use letters, digits, '-', '_' and '.'"),
            });
        }
        let old = match self.profile(name) {
            Ok(old) => Some(old),
            Err(ConfigError::NoProfile { .. }) => None,
            Err(error) => return Err(error),
        };
        let not_a_table = || ConfigError::Invalid {
            path: self.path.clone(),
            detail: format!("profiles.{name} must be a table"),
        };
        let profiles = self
            .document
            .entry(schema::PROFILES_KEY)
            .or_insert_with(|| {
                let mut table = Table::new();
                // Only `[profiles.work]` is written, without a bare `[profiles]` above it.
                table.set_implicit(true);
                Item::Table(table)
            })
            .as_table_like_mut()
            .ok_or_else(not_a_table)?;
        if !profiles.contains_key(name) {
            profiles.insert(name, Item::Table(Table::new()));
        }
        let table = profiles
            .get_mut(name)
            .and_then(Item::as_table_like_mut)
            .ok_or_else(not_a_table)?;
        let before = old.as_ref().map(Profile::fields).unwrap_or_default();
        for (key, field) in profile.fields() {
            if before
                .iter()
                .any(|(old_key, old_field)| *old_key == key && *old_field == field)
            {
                continue;
            }
            match field.into_item() {
                None => {
                    table.remove(key);
                }
                Some(item) => put(table, key, item),
            }
        }
        Ok(())
    }

    /// Makes a profile the one that is meant where none is named.
    pub fn set_default_profile(&mut self, name: &str) {
        put(
            self.document.as_table_mut(),
            schema::DEFAULT_PROFILE_KEY,
            value(name),
        );
    }

    /// Removes a profile; false where there is none of the name.
    pub fn remove_profile(&mut self, name: &str) -> bool {
        self.document
            .get_mut(schema::PROFILES_KEY)
            .and_then(Item::as_table_like_mut)
            .and_then(|table| table.remove(name))
            .is_some()
    }

    /// The file's text as it would be written.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// Writes the file, whole or not at all, readable by this user only.
    pub fn save(&mut self) -> Result<(), ConfigError> {
        if read(&self.path)? != self.text {
            return Err(ConfigError::ChangedMeanwhile(self.path.clone()));
        }
        let text = self.document.to_string();
        // Never write what could not be read again.
        schema::checked(&self.path, &text)?;
        // A link leads to the file people keep among their dotfiles; the link itself stays.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if let Some(directory) = target.parent() {
            create_private_dir(directory)?;
        }
        write_whole(&target, &text).map_err(|source| ConfigError::Write { path: target, source })?;
        self.text = text;
        Ok(())
    }

    fn profiles(&self) -> Option<&dyn toml_edit::TableLike> {
        self.document.get(schema::PROFILES_KEY)?.as_table_like()
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// True for names that may stand in file names and unit names, too.
pub fn is_profile_name(name: &str) -> bool {
    /// Leaves room for prefixes in a 255-byte file name.
    const LONGEST: usize = 64;
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A value of a profile's key, as the file knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Absent,
    Text(String),
    Number(i64),
    Switch(bool),
    List(Vec<String>),
    Folders(Vec<FolderChoice>),
}

impl Field {
    fn into_item(self) -> Option<Item> {
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(value(text)),
            Self::Number(number) => Some(value(number)),
            Self::Switch(on) => Some(value(on)),
            Self::List(items) => Some(value(items.into_iter().collect::<Array>())),
            Self::Folders(folders) if folders.is_empty() => None,
            Self::Folders(folders) => {
                let mut tables = ArrayOfTables::new();
                for choice in folders {
                    let mut table = Table::new();
                    let mut folder = Value::from(choice.folder);
                    if let Some(comment) = choice.comment {
                        // A line break would end the comment, and what follows would be TOML.
                        let line: String = comment.chars().filter(|letter| !letter.is_control()).collect();
                        folder.decor_mut().set_suffix(format!(" # {line}"));
                    }
                    table.insert("folder", Item::Value(folder));
                    if let Some(alias) = choice.alias {
                        table.insert("alias", value(alias));
                    }
                    tables.push(table);
                }
                Some(Item::ArrayOfTables(tables))
            }
        }
    }
}

/// Sets a key; the comments above it and behind its value stay.
fn put(table: &mut dyn toml_edit::TableLike, key: &str, mut new: Item) {
    // Inserting would replace the key, and the comments above it are the key's.
    let Some(old) = table.get_mut(key) else {
        table.insert(key, new);
        return;
    };
    if let (Some(old), Some(new)) = (old.as_value(), new.as_value_mut()) {
        *new.decor_mut() = Value::decor(old).clone();
    }
    *old = new;
}

fn read(path: &Path) -> Result<String, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ConfigError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        // A left-over of a killed run of the same id may be in the way.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The original is untouched; what is left is only litter.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests;
