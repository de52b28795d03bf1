//! Visits a tree of folders, breadth first, some at a time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::cli::failure::CliError;
use crate::model::{Document, Entry, Folder, FolderId};
use crate::remote::{Progress, Remote, RemoteError};

/// Folders listed at once: enough to hide latency, few enough to leave the server to its users.
const AT_ONCE: usize = 8;

/// A visited tree. Children stand behind their parents in the list.
pub(super) struct Walk {
    /// Where it began; `None` for the root.
    pub(super) start: Option<Folder>,
    /// The index of the node it began with.
    pub(super) top: usize,
    nodes: Vec<Node>,
}

/// One folder of the tree.
pub(super) struct Node {
    /// `None` for the root, which is no folder.
    pub(super) folder: Option<Folder>,
    pub(super) outcome: Outcome,
    /// Indices of the folders in it, by name.
    pub(super) folders: Vec<usize>,
    /// The documents in it, by name.
    pub(super) documents: Vec<Document>,
    parent: Option<usize>,
    depth: usize,
}

/// What came of listing a folder.
pub(super) enum Outcome {
    Listed,
    /// Deeper than asked for.
    NotAsked,
    /// The server refuses it to this account; its words.
    Denied(String),
    Failed(CliError),
    /// It is listed at another place of the tree.
    Seen,
}

/// How many there are of what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) folders: usize,
    pub(super) documents: usize,
    pub(super) denied: usize,
    pub(super) failed: usize,
    pub(super) not_asked: usize,
}

impl Walk {
    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The folders that could not be listed though nobody refused them, by path, and why.
    pub(super) fn failures(&self) -> Vec<(String, &CliError)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| match &node.outcome {
                Outcome::Failed(error) => Some((self.path(index), error)),
                Outcome::Listed | Outcome::NotAsked | Outcome::Denied(_) | Outcome::Seen => None,
            })
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |is: fn(&Outcome) -> bool| self.nodes.iter().filter(|node| is(&node.outcome)).count();
        Counts {
            folders: self.nodes.len() - 1,
            documents: self.nodes.iter().map(|node| node.documents.len()).sum(),
            denied: count(|outcome| matches!(outcome, Outcome::Denied(_))),
            failed: count(|outcome| matches!(outcome, Outcome::Failed(_))),
            not_asked: count(|outcome| matches!(outcome, Outcome::NotAsked)),
        }
    }

    fn path(&self, index: usize) -> String {
        let mut names = Vec::new();
        let mut at = Some(index);
        while let Some(node) = at.map(|index| &self.nodes[index]) {
            names.extend(node.folder.as_ref().map(|folder| folder.name.as_str()));
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

/// Lists `start` (`None`: the root) and what is below it, `depth` levels deep.
///
/// # Errors
/// Only what makes every further request pointless: the root cannot be listed, or the login is over.
pub(super) async fn walk(
    remote: &Arc<dyn Remote>,
    start: Option<Folder>,
    depth: usize,
    progress: impl Fn(usize, usize),
) -> Result<Walk, CliError> {
    let top = Node {
        folder: start.clone(),
        outcome: Outcome::NotAsked,
        folders: Vec::new(),
        documents: Vec::new(),
        parent: None,
        depth: 0,
    };
    let mut nodes = vec![top];
    let mut seen: HashSet<FolderId> = start.iter().map(|folder| folder.id).collect();
    let mut waiting = VecDeque::from([0]);
    let mut running = FuturesUnordered::new();
    let mut documents = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some(index) = waiting.pop_front()
        {
            let remote = Arc::clone(remote);
            let folder = nodes[index].folder.as_ref().map(|folder| folder.id);
            running.push(async move { (index, list(&*remote, folder).await) });
        }
        let Some((index, answer)) = running.next().await else {
            break;
        };
        match answer {
            Ok((folders, found)) => {
                documents += found.len();
                nodes[index].documents = found;
                nodes[index].outcome = Outcome::Listed;
                let below = nodes[index].depth + 1;
                for folder in folders {
                    let outcome = if seen.insert(folder.id) {
                        Outcome::NotAsked
                    } else {
                        Outcome::Seen
                    };
                    let child = nodes.len();
                    if matches!(outcome, Outcome::NotAsked) && below < depth {
                        waiting.push_back(child);
                    }
                    nodes[index].folders.push(child);
                    nodes.push(Node {
                        folder: Some(folder),
                        outcome,
                        folders: Vec::new(),
                        documents: Vec::new(),
                        parent: Some(index),
                        depth: below,
                    });
                }
                progress(nodes.len() - 1, documents);
            }
            Err(error) if index == 0 || ends_everything(&error) => return Err(error.into()),
            Err(RemoteError::Denied { detail, .. }) => {
                nodes[index].outcome = Outcome::Denied(detail.to_string());
            }
            Err(error) => nodes[index].outcome = Outcome::Failed(error.into()),
        }
    }
    Ok(Walk { start, top: 0, nodes })
}

/// True where asking for the next folder would fail the same way, or make things worse.
pub(in crate::cli) const fn ends_everything(error: &RemoteError) -> bool {
    match error {
        RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_) | RemoteError::LockedOut(_) => true,
        RemoteError::NotFound { .. }
        | RemoteError::Denied { .. }
        | RemoteError::Throttled { .. }
        | RemoteError::Unreachable(_)
        | RemoteError::TimedOut(_)
        | RemoteError::Server(_)
        | RemoteError::Protocol(_) => false,
    }
}

/// The folders and documents in one folder, or the root folders, each by name.
async fn list(
    remote: &dyn Remote,
    folder: Option<FolderId>,
) -> Result<(Vec<Folder>, Vec<Document>), RemoteError> {
    let progress = Progress::new();
    let Some(folder) = folder else {
        let mut roots = remote.roots(&progress).await?;
        sort_folders(&mut roots);
        return Ok((roots, Vec::new()));
    };
    let mut folders = Vec::new();
    let mut documents = Vec::new();
    for entry in remote.list(folder, &progress).await? {
        match entry {
            Entry::Folder(folder) => folders.push(folder),
            Entry::Document(document) => documents.push(document),
        }
    }
    sort_folders(&mut folders);
    documents.sort_by(|left, right| {
        let key = |document: &Document| {
            (
                document
                    .file_name
                    .clone()
                    .unwrap_or_else(|| document.name.clone()),
                document.id,
            )
        };
        key(left).cmp(&key(right))
    });
    Ok((folders, documents))
}

/// Puts folders in the order people see: by name, then by id where names are the same.
pub(super) fn sort_folders(folders: &mut [Folder]) {
    folders.sort_by(|left, right| (&left.name, left.id).cmp(&(&right.name, right.id)));
}
