//! Has everything below some folders listed: by the mount that leads their catalog, or by this process.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::below::Below;
use super::browse;
use super::failure::{CliError, ErrorKind};
use super::output::{Printer, escape};
use super::session::Session;
use crate::catalog::{Catalog, DirKey};
use crate::content::CacheOptions;
use crate::daemon::choose::{FolderChoice, FolderPlace, choose};
use crate::daemon::connect::Opened;
use crate::daemon::upkeep::{CRAWL_AT_ONCE, hooks};
use crate::daemon::{self, Storage};
use crate::leader::failure::Kind;
use crate::leader::protocol::Line;
use crate::leader::{Client, ClientError, Leadership};
use crate::model::DirId;
use crate::refresh::crawl::{Age, CrawlProgress, CrawlSummary, FailedFolder, FailureKind, Top, crawl};
use crate::remote::Remote;
use crate::tree::{Tree, TreeConfig};

/// As many folders of a root are crawled at once; each crawl is parallel by itself.
const AT_ONCE: usize = 4;

/// A directory to begin with, and how people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) dir: DirKey,
    pub(super) name: String,
}

/// Who lists.
pub(super) enum Crawler {
    /// The mount that leads a catalog.
    Mount {
        /// Its directory.
        catalog: PathBuf,
        /// What is listed.
        below: Below,
    },
    /// This process, unless a mount does.
    Own(Box<Own>),
}

/// A tree of this process, with no mount.
pub(super) struct Own {
    tree: Tree,
    pub(super) catalog: Catalog,
    pub(super) remote: Arc<dyn Remote>,
}

impl Crawler {
    /// Lists everything at and below `starts`, without a deadline. What is there already is taken where it was asked for
    /// within `max_age`; with `None`, where it is young enough for any answer.
    pub(super) async fn crawl(
        &self,
        starts: &[Start],
        max_age: Option<Duration>,
        tell: &watch::Sender<CrawlProgress>,
    ) -> Result<CrawlSummary, CliError> {
        let dir = match self {
            Self::Mount { catalog, .. } => catalog,
            Self::Own(own) => own.catalog.dir(),
        };
        match (by_leader(dir, starts, max_age, tell).await, self) {
            // There is none, or it is stopped: then this process does it, and leads if it may. Or it shows other folders.
            (Err(ClientError::Nobody | ClientError::Silent), Self::Own(own)) => {
                Ok(own.crawl(starts, max_age, tell).await)
            }
            (Err(ClientError::Failed(failure)), Self::Own(own)) if failure.kind == Kind::Unknown => {
                Ok(own.crawl(starts, max_age, tell).await)
            }
            // The mount that leads has chosen folders, and this one has not: then folder by folder.
            (Err(ClientError::Failed(failure)), Self::Mount { below, .. })
                if failure.kind == Kind::Unknown && starts.iter().any(|start| start.dir == DirKey::ROOTS) =>
            {
                let (_, starts) = below.starts().await?;
                let outcome = by_leader(dir, &starts, max_age, tell).await;
                outcome.map_err(|error| unanswered(&error))
            }
            (outcome, _) => outcome.map_err(|error| unanswered(&error)),
        }
    }
}

impl Own {
    /// The tree of a profile, and where to begin: at `path`, or at what the profile shows.
    pub(super) async fn open(
        path: Option<&str>,
        datasource: Option<&str>,
        cache_dir: Option<&Path>,
        session: &Session,
    ) -> Result<(Self, Vec<Start>), CliError> {
        let (account, dirs) = (session.account_now()?, &session.dirs);
        let Opened {
            remote, start: below, ..
        } = account.open(datasource).await?;
        let remote: Arc<dyn Remote> = remote;
        let storage = Storage {
            cache_dir: cache_dir.map_or_else(|| dirs.cache.clone(), Path::to_owned),
            state_dir: dirs.state.clone(),
            issuer: account.issuer(),
            cache: CacheOptions::default(),
        };
        let runtime = Handle::current();
        let tree = daemon::tree(remote.clone(), TreeConfig::default(), storage, None, &runtime).await?;
        let Some(catalog) = tree.catalog().cloned() else {
            let text = "there is no catalog to keep listings in";
            return Err(CliError::new(ErrorKind::CannotCreate, text)
                .hint("choose another directory with --cache-dir"));
        };
        let all = || Start {
            dir: DirKey::ROOTS,
            name: String::new(),
        };
        let starts = match (path, below) {
            (Some(path), _) => match browse::resolve(&remote, Some(path)).await? {
                Some(folder) => vec![Start {
                    dir: DirKey::folder(folder.id),
                    name: folder.name,
                }],
                None => vec![all()],
            },
            (None, Some(folder)) => vec![Start {
                dir: DirKey::folder(folder),
                name: String::new(),
            }],
            (None, None) if !account.profile.folders.is_empty() => {
                let choices = account.profile.folders.iter().map(|choice| {
                    Ok(FolderChoice {
                        place: FolderPlace::parse(&choice.folder)?,
                        alias: choice.alias.clone(),
                    })
                });
                let choices: Vec<FolderChoice> = choices.collect::<Result<_, CliError>>()?;
                let chosen = choose(&*remote, &choices).await?;
                chosen
                    .into_iter()
                    .map(|chosen| Start {
                        dir: DirKey::folder(chosen.folder.id),
                        name: chosen.folder.name,
                    })
                    .collect()
            }
            (None, None) => vec![all()],
        };
        let own = Self {
            tree,
            catalog,
            remote,
        };
        Ok((own, starts))
    }

    async fn crawl(
        &self,
        starts: &[Start],
        max_age: Option<Duration>,
        tell: &watch::Sender<CrawlProgress>,
    ) -> CrawlSummary {
        let runtime = Handle::current();
        let leadership = Leadership::begin(self.catalog.clone(), &self.tree, hooks(&self.tree), &runtime);
        let tops: Vec<Top> = starts
            .iter()
            .map(|start| Top {
                dir: start.dir.as_folder().map_or(DirId::Root, DirId::Folder),
                name: start.name.clone(),
            })
            .collect();
        let age = max_age.map_or(Age::OfAnswers, Age::Within);
        let report = crawl(&self.tree, &tops, age, CRAWL_AT_ONCE, tell).await;
        leadership.end().await;
        CrawlSummary::from(&report)
    }
}

/// Shows how far it is; never ends.
pub(super) async fn show(printer: &Printer, mut told: watch::Receiver<CrawlProgress>) -> Infallible {
    let bar = printer.bar("folders");
    loop {
        let progress = *told.borrow_and_update();
        let mut message = format!(", {} documents", progress.documents);
        if progress.failed > 0 {
            message = format!("{message}, {} failed", progress.failed);
        }
        if progress.waiting {
            message.push_str(", waiting for the server");
        }
        bar.set(progress.done + progress.failed, progress.known, message);
        if told.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Has the leader of the catalog in `dir` list everything below `starts`.
async fn by_leader(
    dir: &Path,
    starts: &[Start],
    max_age: Option<Duration>,
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
            let mut summary = one(dir, start.dir, max_age, |progress| {
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

/// Has the leader list everything at and below one directory.
async fn one(
    dir: &Path,
    top: DirKey,
    max_age: Option<Duration>,
    mut heard: impl FnMut(CrawlProgress),
) -> Result<CrawlSummary, ClientError> {
    let mut client = Client::warm(dir, top, max_age).await?;
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
fn unanswered(error: &ClientError) -> CliError {
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

/// Why a crawl is no success: what could not be listed.
pub(super) fn incomplete(summary: &CrawlSummary) -> CliError {
    let worst = summary.failures.iter().map(|failure| failure.kind);
    let (kind, hint) = match worst.max() {
        Some(FailureKind::Login) => (ErrorKind::Login, "sign in again: `pwfs login`"),
        Some(FailureKind::Refused) if summary.failures.iter().all(is_refused) => (
            ErrorKind::Failure,
            "this account may not see these folders; everything else is listed",
        ),
        Some(FailureKind::Refused | FailureKind::Passing) | None => (
            ErrorKind::TryAgain,
            "the same command lists what is missing, and nothing twice",
        ),
    };
    let text = format!("{} of the folders could not be listed", summary.progress.failed);
    let mut error = CliError::new(kind, text).hint(hint);
    for failure in &summary.failures {
        let path = match &*failure.path {
            "" => "the folder itself".to_owned(),
            path => escape(path),
        };
        error = error.cause(format!("{path}: {}", failure.error));
    }
    let untold = summary.progress.failed - (summary.failures.len() as u64).min(summary.progress.failed);
    if untold > 0 {
        error = error.cause(format!("and {untold} more"));
    }
    error
}

fn is_refused(failure: &FailedFolder) -> bool {
    failure.kind == FailureKind::Refused
}

/// A person has stopped it.
pub(super) fn stopped(what: &str) -> CliError {
    CliError::new(
        ErrorKind::TryAgain,
        format!("stopped before everything was {what}"),
    )
    .hint(format!(
        "what was {what} is kept; the same command goes on from there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kinds: &[FailureKind], failed: u64) -> CliError {
        let failures = kinds.iter().enumerate().map(|(number, &kind)| FailedFolder {
            path: format!("Bridge/{number}"),
            kind,
            error: "because".to_owned(),
        });
        let summary = CrawlSummary {
            progress: CrawlProgress {
                known: 30,
                done: 30 - failed,
                failed,
                ..CrawlProgress::default()
            },
            failures: failures.collect(),
        };
        incomplete(&summary)
    }

    #[test]
    fn only_a_whole_list_is_a_success_and_what_is_missing_is_named() {
        use FailureKind::{Login, Passing, Refused};
        for (kinds, code) in [
            (&[Passing][..], 75),
            (&[Refused, Passing], 75),
            (&[Refused, Refused], 1),
            (&[Passing, Login, Refused], 77),
        ] {
            let failed = kinds.len() as u64;
            assert_eq!(outcome(kinds, failed).exit_code(), code, "{kinds:?}");
        }
        let error = outcome(&[Passing; 20], 25);
        assert_eq!(error.causes().len(), 21);
        assert_eq!(error.causes()[0], "Bridge/0: because");
        assert_eq!(error.causes()[20], "and 5 more");
    }
}
