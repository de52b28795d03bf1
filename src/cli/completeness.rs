//! Everything below some directories, listed and proved as fresh as wanted: what is missing is listed first, and what cannot
//! be is named.

use tokio::sync::watch;

use super::below::Below;
use super::crawling::{self, Crawler, Own, Start};
use super::failure::{CliError, ErrorKind};
use super::output::{Printer, escape};
use crate::catalog::{Catalog, CatalogError, DirKey};
use crate::daemon::blocking;
use crate::manifest::{Failed, Lack, Plan, Terms, Top};
use crate::refresh::crawl::{CrawlProgress, FailureKind};

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
    /// A directory of a mount.
    pub(super) async fn of_mount(below: Below) -> Result<Self, CliError> {
        let open = below.open().await?;
        Ok(Self {
            tops: below.tops(&open).await?,
            path: below.names(),
            catalog: open.catalog,
            crawler: Crawler::Mount {
                catalog: open.beside.catalog_dir,
                below,
            },
        })
    }

    /// What this process lists by itself.
    pub(super) fn of_own(own: Own, starts: Vec<Start>) -> Self {
        let top = |start: Start| Top {
            dir: start.dir,
            path: crate::names::encode(&start.name, crate::names::Place::Folder),
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

    /// Has what is missing listed, if anything is; without a deadline.
    pub(super) async fn complete(&self, terms: Terms, printer: &Printer) -> Result<Obstacle, CliError> {
        let is_refused = |failed: &Failed| matches!(failed.lack, Lack::Refused(_));
        // What is refused and was never asked for since is not asked for again and again.
        if self.missing(terms).await?.iter().all(is_refused) {
            return Ok(Obstacle::default());
        }
        let starts: Vec<Start> = self
            .tops
            .iter()
            .map(|top| Start {
                dir: top.dir,
                name: top.path.clone(),
            })
            .collect();
        let (tell, told) = watch::channel(CrawlProgress::default());
        // With no age wanted, whatever was listed at any time will do.
        let max_age = terms.max_age().unwrap_or(std::time::Duration::MAX);
        let crawl = self.crawler.crawl(&starts, Some(max_age), &tell);
        let summary = tokio::select! {
            summary = crawl => summary,
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
                login: error.exit_code() == super::failure::exit::LOGIN,
                error: Some(error),
            },
        })
    }
}

/// The failure of a command that is to be complete and is not.
pub(super) fn incomplete(what: &str, missing: &[Failed], obstacle: &Obstacle) -> CliError {
    let is_refused = |failed: &Failed| matches!(failed.lack, Lack::Refused(_));
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
