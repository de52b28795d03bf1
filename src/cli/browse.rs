//! `datasources`, `folders` and `tree`: what an account sees on its server.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::model::{Document, DocumentKind, Entry, Folder, FolderId};
use crate::remote::{Progress, Remote};

use super::failure::{CliError, Code, ErrorKind};
use super::output::{Format, Paint, Printer, escape};
use super::session::SourceArgs;

mod datasources;
pub(super) mod walk;

pub use datasources::{DatasourcesArgs, datasources};

use walk::{Node, Outcome, Walk};

/// Flags of `folders`.
#[derive(Debug, Clone, clap::Args)]
pub struct FoldersArgs {
    /// Folder to look into: names separated by '/', or a GUID [default: the root, or the folder the URL leads to]
    pub path: Option<String>,
    /// Which server.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Flags of `tree`.
#[derive(Debug, Clone, clap::Args)]
pub struct TreeArgs {
    /// Folder to begin with: names separated by '/', or a GUID [default: the root, or the folder the URL leads to]
    pub path: Option<String>,
    /// Levels to show [default: all]
    #[arg(long, value_name = "N", value_parser = levels)]
    pub depth: Option<NonZeroUsize>,
    /// How to write the tree; `json` is the same as --json
    #[arg(long, value_enum, default_value_t = TreeFormat::Text)]
    pub format: TreeFormat,
    /// Which server.
    #[command(flatten)]
    pub source: SourceArgs,
}

impl FoldersArgs {
    /// Where no path is given: the folder that the datasource URL leads to.
    pub(super) fn beginning_with(&self, folder: Option<FolderId>) -> Self {
        let path = self.path.clone().or_else(|| folder.map(|id| id.to_string()));
        Self { path, ..self.clone() }
    }
}

impl TreeArgs {
    /// Where no path is given: the folder that the datasource URL leads to.
    pub(super) fn beginning_with(&self, folder: Option<FolderId>) -> Self {
        let path = self.path.clone().or_else(|| folder.map(|id| id.to_string()));
        Self { path, ..self.clone() }
    }
}

fn levels(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "a tree has a whole number of levels, at least 1".to_owned())
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TreeFormat {
    /// As lines.
    Text,
    /// With ids, sizes, times and versions.
    Json,
    /// One page for a browser, to be searched and unfolded; PATH may be a directory of a mount
    Html,
}

/// Lists the folders in one folder, or the root folders.
pub async fn folders(
    remote: &Arc<dyn Remote>,
    args: &FoldersArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let mut found = match resolve(remote, args.path.as_deref()).await? {
        None => remote.roots(&Progress::new()).await?,
        Some(folder) => folders_in(remote, folder.id).await?,
    };
    walk::sort_folders(&mut found);
    if found.is_empty() && args.path.is_none() {
        // Some servers hide what may not be seen: nothing at all is worth a word.
        printer.warn(
            "the datasource shows this account no folders; if there should be some, let the server's administrator \
             grant datasource-level permission",
        );
    }
    match printer.format() {
        Format::Json => printer.json(&found.iter().map(folder_json).collect::<Vec<_>>()),
        Format::Text => {
            for folder in &found {
                let mark = if folder.work_area { "  [work area]" } else { "" };
                printer.line(&format!(
                    "{}  {}{mark}",
                    printer.paint(Paint::Folder, &escape(&folder.name)),
                    printer.paint(Paint::Faint, &folder.id.to_string()),
                ))?;
            }
            Ok(())
        }
    }
}

/// Shows folders and documents as a tree. Fails, after showing what it found, if a folder could not be listed.
pub async fn tree(remote: &Arc<dyn Remote>, args: &TreeArgs, printer: &Printer) -> Result<(), CliError> {
    let start = resolve(remote, args.path.as_deref()).await?;
    let depth = args.depth.map_or(usize::MAX, NonZeroUsize::get);
    let walk = walk::walk(remote, start, depth, |folders, documents| {
        printer.progress(&format!("{folders} folders, {documents} documents …"));
    })
    .await?;
    printer.end_progress();
    match printer.format() {
        Format::Json => printer.json(&tree_json(remote.name(), &walk))?,
        Format::Text => print_tree(remote.name(), &walk, printer)?,
    }
    let failed: Vec<(String, &CliError)> = walk.failures();
    let Some((_, first)) = failed.first() else {
        return Ok(());
    };
    let mut error = CliError::new(
        first.kind(),
        format!("{} of the folders could not be listed", failed.len()),
    );
    for (path, reason) in &failed {
        error = error.cause(format!("{path}: {}", reason.message()));
    }
    Err(error.as_if(first))
}

/// The folder a path or GUID leads to; `None` for the root.
///
/// Names are raw and may hold `/`: wherever several folders fit, that is said instead of choosing one.
pub(super) async fn resolve(
    remote: &Arc<dyn Remote>,
    path: Option<&str>,
) -> Result<Option<Folder>, CliError> {
    let Some(path) = path
        .map(|path| path.trim_matches('/'))
        .filter(|path| !path.is_empty())
    else {
        return Ok(None);
    };
    if let Ok(guid) = path.parse() {
        return Ok(Some(remote.folder(FolderId(guid)).await?));
    }
    let mut rest = path;
    let mut here: Option<Folder> = None;
    loop {
        let children = match &here {
            None => remote.roots(&Progress::new()).await?,
            Some(folder) => folders_in(remote, folder.id).await?,
        };
        let mut fitting: Vec<Folder> = children
            .into_iter()
            .filter(|child| behind(rest, &child.name).is_some())
            .collect();
        let Some(found) = fitting.pop() else {
            let place = here.map_or_else(|| "the root".to_owned(), |folder| format!("{:?}", folder.name));
            return Err(CliError::new(
                ErrorKind::Failure,
                format!("there is no folder {rest:?} in {place}"),
            )
            .code(Code::FolderNotFound)
            .hint("names are matched exactly, upper and lower case too; `pwfs folders` lists them"));
        };
        if !fitting.is_empty() {
            fitting.push(found);
            let mut error = CliError::new(ErrorKind::Usage, format!("several folders fit {path:?}"))
                .code(Code::FolderAmbiguous)
                .hint("give the GUID of one of them instead:");
            for folder in fitting {
                error = error.hint(format!("{} {}", folder.id, folder.name));
            }
            return Err(error);
        }
        rest = behind(rest, &found.name).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Some(found));
        }
        here = Some(found);
    }
}

/// What follows `name` in a path that begins with it; `None` if it does not.
fn behind<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    // A folder without a name would be found in every path.
    let rest = path.strip_prefix(name).filter(|_| !name.is_empty())?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

async fn folders_in(remote: &Arc<dyn Remote>, folder: FolderId) -> Result<Vec<Folder>, CliError> {
    let entries = remote.list(folder, &Progress::new()).await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Folder(folder) => Some(folder),
            Entry::Document(_) => None,
        })
        .collect())
}

/// A line still to be printed: a node, or a document of one.
enum Line<'a> {
    Node(&'a Node),
    Document(&'a Document),
}

fn print_tree(name: &str, walk: &Walk, printer: &Printer) -> Result<(), CliError> {
    let title = match &walk.start {
        Some(folder) => escape(&folder.name),
        None => escape(name),
    };
    printer.line(&format!(
        "{}{}",
        printer.paint(Paint::Folder, &title),
        mark(walk.node(walk.top), printer)
    ))?;
    // Last first: what is on top is printed next. Deep trees must not end on the stack of the program.
    let mut stack: Vec<(Line<'_>, String, bool)> = Vec::new();
    push_children(walk, walk.node(walk.top), "", &mut stack);
    while let Some((line, prefix, last)) = stack.pop() {
        let branch = if last { "└── " } else { "├── " };
        match line {
            Line::Document(document) => {
                let name = document.file_name.as_ref().unwrap_or(&document.name);
                let mark = match document.kind {
                    DocumentKind::File => "",
                    DocumentKind::Placeholder => "  [no file]",
                    DocumentKind::Set => "  [set]",
                };
                printer.line(&format!(
                    "{prefix}{branch}{}{}",
                    escape(name),
                    printer.paint(Paint::Faint, mark)
                ))?;
            }
            Line::Node(node) => {
                let name = node.folder.as_ref().map_or("", |folder| &folder.name);
                printer.line(&format!(
                    "{prefix}{branch}{}{}",
                    printer.paint(Paint::Folder, &format!("{}/", escape(name))),
                    mark(node, printer)
                ))?;
                let deeper = format!("{prefix}{}", if last { "    " } else { "│   " });
                push_children(walk, node, &deeper, &mut stack);
            }
        }
    }
    printer.line("")?;
    printer.line(&counts_line(walk))
}

fn push_children<'a>(
    walk: &'a Walk,
    node: &'a Node,
    prefix: &str,
    stack: &mut Vec<(Line<'a>, String, bool)>,
) {
    let folders = node.folders.iter().map(|index| Line::Node(walk.node(*index)));
    let documents = node.documents.iter().map(Line::Document);
    let lines: Vec<Line<'a>> = folders.chain(documents).collect();
    let count = lines.len();
    for (index, line) in lines.into_iter().enumerate().rev() {
        stack.push((line, prefix.to_owned(), index + 1 == count));
    }
}

fn mark(node: &Node, printer: &Printer) -> String {
    match &node.outcome {
        Outcome::Listed | Outcome::NotAsked => String::new(),
        Outcome::Denied(_) => printer.paint(Paint::Problem, "  [no access]"),
        Outcome::Failed(_) => printer.paint(Paint::Problem, "  [not listed: failed]"),
        Outcome::Seen => printer.paint(Paint::Faint, "  [shown elsewhere]"),
    }
}

fn counts_line(walk: &Walk) -> String {
    let counts = walk.counts();
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut line = format!(
        "{}, {}",
        plural(counts.folders, "folder"),
        plural(counts.documents, "document")
    );
    for (count, what) in [
        (counts.denied, "without access"),
        (counts.failed, "not listed because of failures"),
    ] {
        if count > 0 {
            line = format!("{line}, {count} {what}");
        }
    }
    line
}

fn tree_json(name: &str, walk: &Walk) -> Value {
    let counts = walk.counts();
    // Children come behind their parents in the list, so that backwards each finds its children ready.
    let mut ready: Vec<Option<Value>> = walk.nodes().iter().map(|_| None).collect();
    for (index, node) in walk.nodes().iter().enumerate().rev() {
        let folders: Vec<Value> = node
            .folders
            .iter()
            .filter_map(|child| ready[*child].take())
            .collect();
        let documents: Vec<Value> = node.documents.iter().map(document_json).collect();
        let mut value = node.folder.as_ref().map_or_else(|| json!({}), folder_json);
        let (listed, problem) = match &node.outcome {
            Outcome::Listed => (true, Value::Null),
            Outcome::NotAsked => (false, Value::Null),
            Outcome::Seen => (false, json!({ "kind": "shown-elsewhere" })),
            Outcome::Denied(reason) => (false, json!({ "kind": "no-access", "message": reason })),
            Outcome::Failed(error) => (false, json!({ "kind": "failed", "message": error.message() })),
        };
        value["listed"] = json!(listed);
        value["problem"] = problem;
        if listed {
            value["folders"] = Value::Array(folders);
            value["documents"] = Value::Array(documents);
        }
        ready[index] = Some(value);
    }
    json!({
        "server": name,
        "tree": ready[walk.top].take(),
        "counts": {
            "folders": counts.folders,
            "documents": counts.documents,
            "denied": counts.denied,
            "failed": counts.failed,
        },
        "complete": counts.failed == 0 && counts.denied == 0 && counts.not_asked == 0,
    })
}

fn folder_json(folder: &Folder) -> Value {
    json!({
        "id": folder.id.to_string(),
        "parent": folder.parent.map(|parent| parent.to_string()),
        "name": folder.name,
        "description": folder.description,
        "work_area": folder.work_area,
        "created": folder.created.map(|time| time.to_string()),
        "updated": folder.updated.map(|time| time.to_string()),
    })
}

fn document_json(document: &Document) -> Value {
    json!({
        "id": document.id.to_string(),
        "name": document.name,
        "file_name": document.file_name,
        "description": document.description,
        "version": document.version,
        "kind": match document.kind {
            DocumentKind::File => "file",
            DocumentKind::Placeholder => "placeholder",
            DocumentKind::Set => "set",
        },
        "size": document.size,
        "file_updated": document.file_updated.map(|time| time.to_string()),
        "updated": document.updated.map(|time| time.to_string()),
        "created": document.created.map(|time| time.to_string()),
        "state": document.state,
        "mime_type": document.mime_type,
    })
}

#[cfg(test)]
mod tests;
