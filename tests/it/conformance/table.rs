//! The rows as written: `tests/conformance/*.toml`, described in the README beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// The sections of the fact sheet that say something of a server's answers. 2.5 (webhooks) names no request that a
/// reader of documents could send.
pub const SECTIONS: [&str; 16] = [
    "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11", "2.1", "2.2", "2.3",
    "2.4", "3",
];

/// Fewer rows than this in a file mean that rows were lost.
const FEWEST_ROWS: usize = 3;

/// One file of rows, which share what they save.
pub struct Table {
    /// The file's name without `.toml`.
    pub name: String,
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    row: Vec<Row>,
}

/// A request and what must come of it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub id: String,
    pub section: String,
    pub source: String,
    pub title: String,
    /// Simulator knobs; only where the sheet says that servers differ.
    #[serde(default)]
    pub knobs: BTreeMap<String, String>,
    /// The row is run once for each of these, which `{each}` stands for.
    #[serde(default)]
    pub each: Vec<String>,

    /// `METHOD URL`.
    pub request: String,
    #[serde(default)]
    pub query: Query,
    #[serde(default)]
    pub login: Login,
    #[serde(default)]
    pub send: BTreeMap<String, String>,
    /// A form's fields, `name=value`, not yet encoded.
    #[serde(default)]
    pub form: Vec<String>,
    pub body: Option<String>,
    /// Send it again, with what it saved, as long as the answer has this.
    pub repeat_while: Option<String>,

    pub status: Status,
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderCheck>,
    #[serde(default)]
    pub json: Vec<Check>,
    pub text: Option<Check>,
    pub content: Option<Content>,
    #[serde(default)]
    pub no_body: bool,

    /// Name → place in the answer; a place with many values saves a list.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// As `save`, where the place may be empty; the name keeps its value then.
    #[serde(default)]
    pub save_if_there: BTreeMap<String, String>,
    /// As `save`, added to what is there.
    #[serde(default)]
    pub append: BTreeMap<String, String>,
    /// Said of saved lists, when the row is over.
    #[serde(default)]
    pub saved: Vec<Check>,
}

/// The part of an address after `?`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Query {
    /// Sent as it stands.
    Raw(String),
    /// `name=value`, the value not yet encoded.
    Plain(Vec<String>),
}

impl Default for Query {
    fn default() -> Self {
        Self::Plain(Vec::new())
    }
}

/// Who asks, unless `send` has its own `Authorization`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    #[default]
    Bearer,
    None,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Status {
    One(u16),
    /// The checks speak of the first; where another comes, only that is asked.
    First(Vec<u16>),
    /// The checks speak of all of them.
    Any {
        any: Vec<u16>,
    },
}

impl Status {
    pub fn all(&self) -> &[u16] {
        match self {
            Self::One(status) => std::slice::from_ref(status),
            Self::First(list) | Self::Any { any: list } => list,
        }
    }

    /// Whether the row's checks speak of an answer of this status.
    pub fn is_told(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::First(list) => list.first() == Some(&status),
            Self::Any { any } => any.contains(&status),
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum HeaderCheck {
    Is(String),
    Check(Box<Check>),
}

/// The bytes of an answer against a document's content.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub of: String,
    #[serde(default)]
    pub from: usize,
    /// The last byte; absent: to the end.
    pub to: Option<usize>,
}

/// What must hold of the values at a place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    pub at: String,
    pub is: Option<Value>,
    pub one_of: Option<Vec<Value>>,
    /// A regular expression over the value written as text.
    pub matches: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub length: Option<usize>,
    pub at_least: Option<usize>,
    pub at_most: Option<usize>,
    /// No value, or null.
    pub absent: bool,
    /// The values are those of this saved list, each once, in any order.
    pub members: Option<String>,
    /// The values hold all of this saved list.
    pub includes: Option<String>,
    /// The values are all of this saved list.
    pub within: Option<String>,
    /// None of the values is of this saved list.
    pub outside: Option<String>,
    /// `ascending` or `descending`, upper and lower case alike.
    pub order: Option<String>,
    /// At least one value does, in place of every one.
    pub some: bool,
    /// Values may be missing.
    pub optional: bool,
}

/// Every file of rows, and what is wrong with them.
pub fn read() -> (Vec<Table>, Vec<String>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    let mut tables = Vec::new();
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let file: File = match toml_edit::de::from_str(&fs::read_to_string(&path).unwrap()) {
            Ok(file) => file,
            Err(error) => {
                faults.push(format!("{name}.toml: {error}"));
                continue;
            }
        };
        if file.row.len() < FEWEST_ROWS {
            faults.push(format!("{name}.toml has {} rows", file.row.len()));
        }
        for row in &file.row {
            faults.extend(fault(row).map(|fault| format!("{name}.toml {}: {fault}", row.id)));
            if !ids.insert(row.id.clone()) {
                faults.push(format!("{name}.toml {}: there is another row of this id", row.id));
            }
        }
        tables.push(Table { name, rows: file.row });
    }
    if tables.is_empty() {
        faults.push("no file of rows".to_owned());
    }
    (tables, faults)
}

/// What a stranger could not make sense of.
fn fault(row: &Row) -> Option<&'static str> {
    if !SECTIONS.contains(&row.section.as_str()) {
        return Some("no such section");
    }
    if row.source.trim().is_empty() || row.title.trim().is_empty() {
        return Some("no source or no title");
    }
    if row.request.split_once(' ').is_none() {
        return Some("a request is METHOD URL");
    }
    if row.status.all().is_empty() {
        return Some("no status is expected");
    }
    let mut checks = row.json.iter().chain(&row.saved);
    if checks.any(|check| check.at.is_empty()) {
        return Some("a check without a place");
    }
    let mut checks = row.json.iter().chain(&row.saved).chain(&row.text);
    if checks.any(|check| !check.asks_something()) {
        return Some("a check that cannot fail");
    }
    None
}

impl Check {
    fn asks_something(&self) -> bool {
        self.is.is_some()
            || self.one_of.is_some()
            || self.matches.is_some()
            || self.kind.is_some()
            || self.length.is_some()
            || self.at_least.is_some()
            || self.at_most.is_some()
            || self.absent
            || self.members.is_some()
            || self.includes.is_some()
            || self.within.is_some()
            || self.outside.is_some()
            || self.order.is_some()
    }
}
