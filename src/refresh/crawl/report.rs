//! What is told of a crawl, while it goes on and in the end.

use serde::{Deserialize, Serialize};

use crate::model::DirId;
use crate::refresh::outage::{Blame, blame};
use crate::remote::RemoteError;
use crate::tree::TreeError;

/// How far a crawl is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlProgress {
    /// Folders known so far.
    pub known: u64,
    /// Those whose listing is complete, by proof.
    pub done: u64,
    /// Those of them that were listed lately and not asked for.
    pub skipped: u64,
    /// Those of them that came together with others, from a question for everything below a folder.
    pub together: u64,
    /// Documents in them.
    pub documents: u64,
    /// Folders that could not be listed, for good.
    pub failed: u64,
    /// Folders that were listed, and may have been in vain.
    pub listings: u64,
    /// True while the server is away.
    pub waiting: bool,
}

/// A folder that could not be listed.
#[derive(Debug, Clone)]
pub struct CrawlFailure {
    /// The directory.
    pub dir: DirId,
    /// Its raw names from the top on, joined by `/`.
    pub path: String,
    /// Why.
    pub error: TreeError,
}

/// What became of a crawl.
#[derive(Debug, Clone, Default)]
pub struct CrawlReport {
    /// The last progress.
    pub progress: CrawlProgress,
    /// What could not be listed; what is below it is not known.
    pub failures: Vec<CrawlFailure>,
}

/// What became of a crawl, for whoever had it done by another process: some of the failures, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrawlSummary {
    /// The last progress.
    pub progress: CrawlProgress,
    /// At most [`TOLD`] of what could not be listed.
    pub failures: Vec<FailedFolder>,
}

/// A folder that could not be listed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFolder {
    /// See [`CrawlFailure::path`].
    pub path: String,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why, without secrets.
    pub error: String,
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Try again later.
    Passing,
    /// This account may not see it.
    Refused,
    /// A person must sign in.
    Login,
}

/// As many failures are told by name.
pub const TOLD: usize = 20;

impl From<&CrawlReport> for CrawlSummary {
    fn from(report: &CrawlReport) -> Self {
        Self {
            progress: report.progress,
            failures: report
                .failures
                .iter()
                .take(TOLD)
                .map(FailedFolder::from)
                .collect(),
        }
    }
}

impl From<&CrawlFailure> for FailedFolder {
    fn from(failure: &CrawlFailure) -> Self {
        Self {
            path: failure.path.clone(),
            kind: match blame(&failure.error) {
                Blame::Refused => FailureKind::Refused,
                Blame::Server if is_lost(&failure.error) => FailureKind::Login,
                Blame::Server | Blame::Folder => FailureKind::Passing,
            },
            error: failure.error.to_string(),
        }
    }
}

impl CrawlSummary {
    /// Adds another one, of a crawl somewhere else.
    pub fn add(&mut self, other: Self) {
        self.progress.add(&other.progress);
        let room = TOLD - self.failures.len().min(TOLD);
        self.failures.extend(other.failures.into_iter().take(room));
    }
}

impl CrawlProgress {
    /// Adds another one, of a crawl somewhere else.
    pub fn add(&mut self, other: &Self) {
        self.known += other.known;
        self.done += other.done;
        self.skipped += other.skipped;
        self.together += other.together;
        self.documents += other.documents;
        self.failed += other.failed;
        self.listings += other.listings;
        self.waiting |= other.waiting;
    }
}

impl CrawlReport {
    /// True if everything was listed and proved.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }
}

/// True where waiting helps nobody: a person must sign in.
pub(super) fn is_lost(error: &TreeError) -> bool {
    matches!(
        error,
        TreeError::Remote(
            RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_) | RemoteError::LockedOut(_)
        )
    )
}
