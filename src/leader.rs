//! One leader per catalog: the first mount, or a command while it runs, asks the server for all who share it.
//!
//! Two mounts of one account would each list every folder, and each spend a budget that the server counts once. So one
//! leads: it holds a lock beside the catalog, lists folders for the others, and tells them what it kept; they take that
//! over into memory and kernel. That is simple until you consider that:
//! 1. the leader may die at any moment, or be stopped and never answer again;
//! 2. a follower may be slow, or miss what was told while nobody led;
//! 3. the others keep listings too: each mount its own root, and everyone while nobody answers.
//!
//! The lock is the kernel's, who takes it back from the dead, and every follower's connection ends with the leader: 1.
//! One that is silent for `SILENCE` is not asked again until it answers; its followers ask the server themselves,
//! which costs requests and harms nothing, for the catalog takes writes from all. What is told is only a hint to look
//! into the catalog, which numbers its writes: nothing is missed, whoever slept: 2. A follower says that it kept
//! something, and the leader looks too: 3.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, DirKey};
use crate::model::FolderId;
use crate::tree::Tree;

mod claim;
mod client;
pub mod failure;
mod follow;
pub mod protocol;
mod serve;
mod sight;

pub use client::{Client, ClientError};
use failure::Failure;
use follow::Follower;
use sight::Sight;

/// A leader that says nothing for so long is taken for stopped. It says that it is alive three times as often, and a
/// caller who waits ten seconds still has most of them left.
const SILENCE: Duration = Duration::from_secs(3);

/// How often a leader that works on something says so.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The pause before the lock is tried again, where there is neither a lock to be had nor a leader to follow: a new
/// leader needs a moment between the two. It doubles up to the second one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many notes of used folders wait for a leader; more are dropped, as they are only advice.
const NOTES: usize = 16;

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not known yet, for a moment after the start and when a leader dies.
    Unknown,
    /// This process.
    Leading,
    /// Another process, which answers.
    Following {
        /// Its number.
        pid: u32,
    },
    /// Nobody who answers: everyone asks the server for themselves.
    Alone,
}

/// Takes note of the folders that somebody named, at whichever mount.
pub trait Usage: Send + Sync {
    /// These were named just now. Must not block.
    fn used(&self, folders: &[FolderId]);
}

/// Lists a folder and all below it.
#[async_trait]
pub trait Crawler: Send + Sync {
    /// Crawls `dir`; returns what it came to. Dropping the future cancels it; a later call resumes.
    ///
    /// What is there already is taken where it was asked for within `max_age` before this began, or where it would do for
    /// any answer, if that is `None`.
    ///
    /// `told` is set to how far it is as often as it likes; a slow reader sees the newest only. Both values are
    /// passed on as they are to whoever asked ([`protocol::Line::Crawl`], [`protocol::Line::Crawled`]).
    ///
    /// # Errors
    /// A root of another choice of folders cannot be crawled here.
    async fn warm(
        &self,
        dir: DirKey,
        max_age: Option<Duration>,
        told: &watch::Sender<Value>,
    ) -> Result<Value, Failure>;
}

/// A part that has something to say to `status`; must not block.
pub type StatusPart = Arc<dyn Fn() -> Value + Send + Sync>;

/// What a leader can do beside listing; each where it is there.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Takes note of what followers' callers use.
    pub usage: Option<Arc<dyn Usage>>,
    /// Crawls.
    pub crawler: Option<Arc<dyn Crawler>>,
    /// Parts of the answer to `status`, each with the name it is found under. `leader` is taken.
    pub status: Vec<(&'static str, StatusPart)>,
}

/// A process's part in leading: it leads if nobody else does, and follows if somebody does, until this is ended or
/// dropped.
pub struct Leadership {
    follower: Arc<Follower>,
    hooks: Hooks,
    tree: Tree,
    task: JoinHandle<()>,
    end: watch::Sender<bool>,
}

impl Leadership {
    /// Begins; `tree` is led from now on, or leads. Returns at once.
    pub fn begin(catalog: Catalog, tree: &Tree, hooks: Hooks, runtime: &Handle) -> Self {
        let (notes, names) = mpsc::channel(NOTES);
        let follower = Arc::new(Follower::new(catalog.dir().to_owned(), notes));
        let (end, mut ended) = watch::channel(false);
        tree.follow(Some(follower.clone()));
        let part = Part {
            sight: Sight::new(catalog, tree.clone()),
            writes: tree.writes(),
            tree: tree.clone(),
            follower: follower.clone(),
            hooks: hooks.clone(),
            noted: names,
        };
        let task = runtime.spawn(async move {
            tokio::select! {
                () = part.play() => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
        });
        Self {
            follower,
            hooks,
            tree: tree.clone(),
            task,
            end,
        }
    }

    /// Who leads, and sees it change. Whoever refreshes or crawls by itself does so while this process leads.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.follower.standing()
    }

    /// Says that somebody named these folders: to the leader's [`Usage`], wherever it is. Never waits; while nobody
    /// leads it is dropped.
    pub fn used(&self, folders: &[FolderId]) {
        let standing = *self.follower.standing().borrow();
        match standing {
            Standing::Leading => {
                if let Some(usage) = &self.hooks.usage {
                    usage.used(folders);
                }
            }
            Standing::Following { .. } => self.follower.note(folders),
            Standing::Unknown | Standing::Alone => {}
        }
    }

    /// Does as [`Leadership::used`], for whoever outlives a borrow of this.
    pub fn teller(&self) -> impl Fn(&[FolderId]) + Send + Sync + use<> {
        let follower = self.follower.clone();
        move |folders| {
            // A leader's own use is where its refresher looks.
            if matches!(*follower.standing().borrow(), Standing::Following { .. }) {
                follower.note(folders);
            }
        }
    }

    /// Ends it: connections, socket and lock, in this order. Another process leads then.
    pub async fn end(mut self) {
        self.tree.follow(None);
        self.end.send_replace(true);
        // It can only have ended or panicked, and that was reported.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.tree.follow(None);
        self.end.send_replace(true);
    }
}

/// Everything the task of a [`Leadership`] has.
struct Part {
    sight: Sight,
    writes: tokio::sync::broadcast::Receiver<crate::tree::Written>,
    tree: Tree,
    follower: Arc<Follower>,
    hooks: Hooks,
    /// Notes for a leader; see [`Leadership::used`].
    noted: mpsc::Receiver<Vec<FolderId>>,
}

impl Part {
    /// Leads or follows, whichever can be, for ever.
    async fn play(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match self.follower.claim().await {
                Ok(Some((claim, listener))) => {
                    tracing::debug!("leading the catalog");
                    self.lead(claim, listener).await;
                }
                Ok(None) => {
                    if self.follow().await {
                        // It was heard, and has gone or fallen silent: the lock may be free by now.
                        pause = FIRST_PAUSE;
                        continue;
                    }
                }
                // Such as a disk that is full: every mount then asks for itself.
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::warn!(%error, "nobody can be followed or led in this cache");
                }
                Err(error) => tracing::debug!(%error, "still nobody can be followed or led"),
            }
            self.follower.stand(Standing::Alone);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
