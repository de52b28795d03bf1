//! What a running mount does by itself: keeps listings fresh, crawls for those who ask it to, hears of the network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::blocking;
use super::network::NetworkWatch;
use crate::catalog::DirKey;
use crate::fs::Filesystem;
use crate::http;
use crate::leader::failure::{Failure, Kind};
use crate::leader::{Crawler, Hooks, Leadership, Standing, Usage};
use crate::model::{DirId, FolderId, Timestamp};
use crate::refresh::crawl::{Age, CrawlProgress, CrawlSummary, Top, crawl};
use crate::refresh::{IN_USE, Refresher};
use crate::tree::Tree;

/// As many folders are listed at once by a crawl; how many requests of it are on the way, the pace decides.
pub const CRAWL_AT_ONCE: usize = 16;

/// How often a leader is told what is used here: well within what counts as in use.
const TELL_USE: Duration = Duration::from_secs(30);

/// How far back the journal reaches: a reader that was away for longer than a quarter of a year begins anew.
const JOURNAL_KEEPS: SignedDuration = SignedDuration::from_hours(92 * 24);

/// How often that is looked after.
const PRUNE_EVERY: Duration = Duration::from_hours(24);

/// The network is told of by many small changes; what comes within this time is one.
const SETTLES: Duration = Duration::from_secs(2);

/// What a mount of `tree` does for others while it leads.
pub fn hooks(tree: &Tree) -> Hooks {
    let work = Arc::new(Work(tree.clone()));
    Hooks {
        usage: Some(work.clone()),
        crawler: Some(work),
        ..Hooks::default()
    }
}

struct Work(Tree);

impl Usage for Work {
    fn used(&self, folders: &[FolderId]) {
        let now = self.0.clock().now();
        for folder in folders {
            self.0.usage().note(DirId::Folder(*folder), now);
        }
    }
}

#[async_trait]
impl Crawler for Work {
    async fn warm(
        &self,
        dir: DirKey,
        max_age: Option<Duration>,
        told: &watch::Sender<Value>,
    ) -> Result<Value, Failure> {
        let dir = match dir.as_folder() {
            Some(folder) => DirId::Folder(folder),
            None if dir == self.0.root_key() => DirId::Root,
            None => return Err(Failure::of(Kind::Unknown, "this mount shows other folders")),
        };
        let tops = [Top {
            dir,
            name: String::new(),
        }];
        let age = max_age.map_or(Age::OfAnswers, Age::Within);
        let (tell, mut heard) = watch::channel(CrawlProgress::default());
        let passing_on = async {
            while heard.changed().await.is_ok() {
                let progress = *heard.borrow_and_update();
                told.send_replace(plain(&progress));
            }
        };
        let crawling = async {
            // It ends the passing on, too.
            let tell = tell;
            crawl(&self.0, &tops, age, CRAWL_AT_ONCE, &tell).await
        };
        let (report, ()) = tokio::join!(crawling, passing_on);
        Ok(plain(&CrawlSummary::from(&report)))
    }
}

/// Numbers and texts can always be written.
fn plain(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Keeps up a mount until dropped.
pub(super) struct Upkeep {
    _refresher: Refresher,
    tasks: Vec<JoinHandle<()>>,
}

impl Upkeep {
    /// Begins; folders in use are looked at about every `interval`, by whoever leads.
    pub(super) fn begin(
        fs: &Filesystem,
        leadership: Option<&Leadership>,
        interval: Duration,
        runtime: &Handle,
    ) -> Self {
        let tree = fs.tree();
        let (lead, leads) = watch::channel(leadership.is_none());
        let mut tasks = vec![
            runtime.spawn(hear_of_the_network(fs.clone())),
            runtime.spawn(prune_the_journal(tree.clone(), leads.clone())),
        ];
        match leadership {
            Some(leadership) => {
                tasks.push(runtime.spawn(watch_standing(leadership.standing(), lead)));
                tasks.push(runtime.spawn(tell_use(tree.clone(), leadership.teller())));
            }
            // Whoever shares nothing leads for ever.
            None => tasks.push(runtime.spawn(async move { lead.closed().await })),
        }
        Self {
            _refresher: Refresher::begin(tree, interval, leads, runtime),
            tasks,
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Has the journal forget what is too old, once a day, while this process leads.
async fn prune_the_journal(tree: Tree, mut leads: watch::Receiver<bool>) {
    while leads.wait_for(|leads| *leads).await.is_ok() {
        if let Some(catalog) = tree.catalog().cloned() {
            let pruned = blocking(move || {
                let before = Timestamp::now().saturating_sub(JOURNAL_KEEPS)?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(catalog.journal().prune(before)?)
            });
            match pruned.await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "the journal forgot what is too old"),
                Err(error) => tracing::debug!(%error, "the journal cannot be pruned"),
            }
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Whoever leads refreshes; and where nobody can lead, everybody for themselves.
async fn watch_standing(mut standing: watch::Receiver<Standing>, lead: watch::Sender<bool>) {
    loop {
        let leads = match *standing.borrow_and_update() {
            Standing::Leading | Standing::Alone => true,
            Standing::Following { .. } | Standing::Unknown => false,
        };
        lead.send_if_modified(|before| std::mem::replace(before, leads) != leads);
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the leader, where it is another process, what is used here.
async fn tell_use(tree: Tree, tell: impl Fn(&[FolderId]) + Send + Sync) {
    let mut told = tree.clock().now();
    loop {
        tokio::time::sleep(TELL_USE).await;
        let now = tree.clock().now();
        let since = told.max(now.minus(IN_USE));
        told = now;
        let used: Vec<FolderId> = tree
            .usage()
            .since(since)
            .into_iter()
            .filter_map(|(dir, _)| match dir {
                DirId::Folder(folder) => Some(folder),
                DirId::Root => None,
            })
            .collect();
        if !used.is_empty() {
            tell(&used);
        }
    }
}

/// Has what failed meanwhile forgotten when the network returns, so that nobody waits for a pause to end.
async fn hear_of_the_network(fs: Filesystem) {
    let heard = async {
        let mut network = NetworkWatch::new()?;
        loop {
            network.returned().await?;
            tracing::debug!("the network changed");
            http::pace::wake();
            fs.forget_failures();
            tokio::time::sleep(SETTLES).await;
        }
    };
    let outcome: std::io::Result<std::convert::Infallible> = heard.await;
    let Err(error) = outcome;
    tracing::debug!(%error, "the network is not heard of; what failed is tried again after its time");
}
