//! Everything below some directories, listed and proved as fresh as wanted: what is missing is listed first, and what cannot
//! be is named.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::below::Below;
use super::counterpart::{self, Counterpart};
use super::crawling::{self, Crawler, Own, Start};
use super::failure::{CliError, ErrorKind, exit};
use super::interrupt;
use super::output::{Printer, escape};
use super::session::Session;
use crate::catalog::{Catalog, CatalogError, DirKey};
use crate::daemon::blocking;
use crate::manifest::{Failed, Lack, Plan, Terms, Top};
use crate::refresh::crawl::{CrawlProgress, FailureKind};
use crate::remote::Remote;

/// As many missing folders are named.
const NAMED: usize = 20;

/// Where something is to be complete.
pub(super) struct Extent {
    pub(super) catalog: Catalog,
    pub(super) tops: Vec<Top>,
    /// The names that lead to it from the top of the mount; empty for that top.
    pub(super) path: String,
    crawler: Crawler,
}

/// What kept the crawl from listing everything, for who is told what is missing.
#[derive(Debug, Default)]
pub(super) struct Obstacle {
    login: bool,
    error: Option<CliError>,
}

impl Extent {
    /// A directory of a mount, or else a folder of the datasource, which this process lists by itself; with the cache
    /// directory. Without a path, what the profile shows.
    pub(super) async fn find(
        path: Option<&str>,
        datasource: Option<&str>,
        cache_dir: Option<&Path>,
        session: &Session,
    ) -> Result<(Self, PathBuf), CliError> {
        let place = match path {
            Some(path) => Below::find(path).await?,
            None => None,
        };
        if let Some(below) = place {
            return Self::of_mount(below).await;
        }
        let used = cache_dir.map_or_else(|| session.dirs.cache.clone(), Path::to_owned);
        let (own, starts) = Own::open(path, datasource, cache_dir, session).await?;
        Ok((Self::of_own(own, starts), used))
    }

    /// A directory of a mount, with its cache directory.
    pub(super) async fn of_mount(below: Below) -> Result<(Self, PathBuf), CliError> {
        let open = below.open().await?;
        let cache_dir = open.beside.cache_dir().to_owned();
        let extent = Self {
            tops: below.tops(&open).await?,
            path: below.names(),
            catalog: open.catalog,
            crawler: Crawler::Mount {
                catalog: open.beside.catalog_dir,
                below,
            },
        };
        Ok((extent, cache_dir))
    }

    /// Where a crawl from `starts` went.
    pub(super) async fn of_crawl(crawler: Crawler, starts: Vec<Start>) -> Result<Self, CliError> {
        match crawler {
            Crawler::Mount { below, .. } => Ok(Self::of_mount(below).await?.0),
            Crawler::Own(own) => Ok(Self::of_own(*own, starts)),
        }
    }

    /// The server of it, for what no mount tells; a mount's with the login of its profile.
    pub(super) async fn server(&self, session: &mut Session) -> Result<Arc<dyn Remote>, CliError> {
        let below = match &self.crawler {
            Crawler::Own(own) => return Ok(own.remote.clone()),
            Crawler::Mount { below, .. } => below,
        };
        let open = below.open().await?;
        match counterpart::of_mount(session, &open.kept().mount).await? {
            Counterpart::Server(remote) => Ok(remote),
            Counterpart::Unknown(reason) => {
                let text = "the server of the mount cannot be asked from here";
                Err(CliError::new(ErrorKind::Failure, text).cause(reason))
            }
        }
    }

    fn of_own(own: Own, starts: Vec<Start>) -> Self {
        let top = |start: Start| Top {
            dir: start.dir,
            // What has no name is where names begin.
            path: match &*start.name {
                "" => String::new(),
                name => crate::names::encode(name, crate::names::Place::Folder),
            },
        };
        Self {
            catalog: own.catalog.clone(),
            tops: starts.into_iter().map(top).collect(),
            path: String::new(),
            crawler: Crawler::Own(Box::new(own)),
        }
    }

    /// The topmost directories, as rows name them.
    pub(super) fn scope(&self) -> Vec<String> {
        self.tops.iter().map(|top| top.dir.guid().to_string()).collect()
    }

    /// What is missing now.
    pub(super) async fn missing(&self, terms: Terms) -> Result<Vec<Failed>, CliError> {
        let (catalog, tops) = (self.catalog.clone(), self.tops.clone());
        let failed = blocking(move || {
            catalog.snapshot(|snapshot| {
                Ok::<_, CatalogError>(Plan::make(snapshot, &tops, &terms)?.into_failed())
            })
        });
        failed.await.map_err(CliError::from)
    }

    /// Has what is missing listed, if anything is; without a deadline. What was refused is asked for once more: it may have
    /// been allowed since.
    pub(super) async fn complete(&self, terms: Terms, printer: &Printer) -> Result<Obstacle, CliError> {
        let missing = self.missing(terms).await?;
        let (refused, missing): (Vec<Failed>, Vec<Failed>) = missing.into_iter().partition(is_refused);
        let mut obstacle = Obstacle::default();
        if !missing.is_empty() {
            let tops = self.tops.iter().map(|top| Start {
                dir: top.dir,
                name: top.path.clone(),
            });
            let untold = missing.iter().any(|failed| failed.lack == Lack::Untold);
            let max_age = match terms.max_age() {
                // The journal was lost: it tells of what it sees listed.
                _ if untold => Duration::ZERO,
                Some(age) => age,
                // Whatever was listed at any time will do.
                None => Duration::MAX,
            };
            obstacle = self.crawl(tops.collect(), max_age, printer).await?;
        }
        if !refused.is_empty() && obstacle.is_none() {
            let refused = refused.into_iter().map(|refused| Start {
                dir: refused.dir,
                name: refused.path,
            });
            obstacle = self.crawl(refused.collect(), Duration::ZERO, printer).await?;
        }
        Ok(obstacle)
    }

    async fn crawl(
        &self,
        starts: Vec<Start>,
        max_age: Duration,
        printer: &Printer,
    ) -> Result<Obstacle, CliError> {
        let (tell, told) = watch::channel(CrawlProgress::default());
        let _taken = interrupt::take_interrupt();
        let summary = tokio::select! {
            summary = self.crawler.crawl(&starts, Some(max_age), &tell) => summary,
            never = crawling::show(printer, told) => match never {},
            _ = tokio::signal::ctrl_c() => return Err(crawling::stopped("listed")),
        };
        Ok(match summary {
            Ok(summary) => Obstacle {
                login: summary
                    .failures
                    .iter()
                    .any(|failure| failure.kind == FailureKind::Login),
                error: None,
            },
            Err(error) => Obstacle {
                login: error.exit_code() == exit::LOGIN,
                error: Some(error),
            },
        })
    }
}

impl Obstacle {
    const fn is_none(&self) -> bool {
        !self.login && self.error.is_none()
    }
}

const fn is_refused(failed: &Failed) -> bool {
    matches!(failed.lack, Lack::Refused(_))
}

/// The failure of a command that is to be complete and is not.
pub(super) fn incomplete(what: &str, missing: &[Failed], obstacle: &Obstacle) -> CliError {
    let (kind, hint) = if obstacle.login {
        (ErrorKind::Login, "sign in again: `pwfs login`")
    } else if missing.iter().all(is_refused) {
        (
            ErrorKind::Failure,
            "this account may not see these folders; --allow-denied passes over them",
        )
    } else {
        (
            ErrorKind::TryAgain,
            "the same command goes on with what is missing, and lists nothing twice",
        )
    };
    let folders = match missing.len() {
        1 => "1 folder is".to_owned(),
        number => format!("{number} folders are"),
    };
    let mut error = CliError::new(kind, format!("{folders} {what}")).hint(hint);
    if let Some(obstacle) = &obstacle.error {
        error = error.cause(obstacle.message().to_owned());
    }
    for failed in missing.iter().take(NAMED) {
        let path = match &*failed.path {
            "" if failed.dir == DirKey::ROOTS => "the list of root folders".to_owned(),
            "" => "the folder itself".to_owned(),
            path => escape(path),
        };
        error = error.cause(format!("{path}: {}", failed.lack));
    }
    match missing.len().saturating_sub(NAMED) {
        0 => error,
        more => error.cause(format!("and {more} more")),
    }
}

impl From<CatalogError> for CliError {
    fn from(error: CatalogError) -> Self {
        super::beside::unreadable(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FolderId, Guid};

    fn failed(lack: Lack) -> Failed {
        Failed {
            path: "Bridge/Steel".to_owned(),
            dir: DirKey::folder(FolderId(Guid::from_bytes([7; 16]))),
            lack,
        }
    }

    #[test]
    fn what_is_missing_is_named_and_its_worst_reason_is_the_exit_status() {
        let refused = || failed(Lack::Refused("403".to_owned()));
        let never = || failed(Lack::NeverListed(Some("the server answered 500".to_owned())));
        let lost = Obstacle {
            login: true,
            error: None,
        };
        for (missing, obstacle, code) in [
            (vec![refused()], Obstacle::default(), 1),
            (vec![refused(), never()], Obstacle::default(), 75),
            (vec![never()], lost, 77),
        ] {
            let error = incomplete("missing", &missing, &obstacle);
            assert_eq!(error.exit_code(), code, "{error:?}");
            assert_eq!(error.causes().len(), missing.len());
        }
        let many: Vec<Failed> = (0..25).map(|_| never()).collect();
        let error = incomplete("missing", &many, &Obstacle::default());
        assert_eq!(
            error.causes()[0],
            "Bridge/Steel: it was never listed: the server answered 500"
        );
        assert_eq!(error.causes().last().unwrap(), "and 5 more");
    }
}
