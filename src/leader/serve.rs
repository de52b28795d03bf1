//! To lead: answering followers and commands, and telling them what was kept.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener as Listener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::claim::{Claim, may_ask};
use super::failure::{Failure, Kind};
use super::follow::named;
use super::protocol::{Ask, DIRS_A_LINE, Id, Line, Lines, send, send_text, text};
use super::{HEARTBEAT, Hooks, Part, Standing};
use crate::catalog::{Catalog, DirKey};
use crate::model::Timestamp;
use crate::remote::{Progress, Urgency};
use crate::tree::{Tree, TreeError, Written};

/// How many connections are served at once. A follower has one to listen and a few dozen for questions; who finds no
/// room asks the server itself.
const CONNECTIONS: usize = 128;

/// How many lines wait for a follower that does not read. One that is further behind is cut off; it comes back and
/// looks into the catalog.
const LINES_BEHIND: usize = 256;

/// How long whoever connects may take to say what it wants: it has it ready.
const FIRST_LINE: Duration = Duration::from_secs(5);

/// The pause after a connection could not be taken, for want of a descriptor as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a leader looks whether its cache is still there: who deletes it does not ask.
const LOOK_AT_THE_CLAIM: Duration = Duration::from_secs(1);

/// What every connection needs.
struct Office {
    catalog: Catalog,
    tree: Tree,
    hooks: Hooks,
    /// Lines for those who follow.
    told: broadcast::Sender<Arc<str>>,
    /// Somebody else kept something.
    look: Notify,
    /// The newest commit that was told.
    head: AtomicU64,
    followers: AtomicUsize,
    began: Timestamp,
}

impl Part {
    /// Leads until it is cancelled, or the claim does not stand any more.
    pub(super) async fn lead(&mut self, claim: Claim, listener: UnixListener) {
        let listener = match Listener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "the leader's socket cannot be used");
                return;
            }
        };
        let office = Arc::new(Office {
            catalog: self.sight.catalog().clone(),
            tree: self.tree.clone(),
            hooks: self.hooks.clone(),
            told: broadcast::Sender::new(LINES_BEHIND),
            look: Notify::new(),
            head: AtomicU64::new(self.sight.seen()),
            followers: AtomicUsize::new(0),
            began: Timestamp::now(),
        });
        // What the leader before kept and could tell nobody any more.
        self.sight.catch_up().await;
        self.follower.stand(Standing::Leading);
        let lost = lost(&claim);
        tokio::pin!(lost);
        // Everything it has begun ends with it.
        let mut serving = JoinSet::new();
        serving.spawn(accept(office.clone(), listener));
        loop {
            let dirs = tokio::select! {
                written = self.writes.recv() => match written {
                    Ok(Written::Kept { commit, dir }) if self.sight.own(commit) => vec![dir],
                    Ok(Written::Kept { .. }) | Err(RecvError::Lagged(_)) => self.sight.catch_up().await,
                    Ok(Written::Renewed { dir }) => {
                        office.tell(&Line::Renewed { dirs: named(&[dir]) });
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
                () = office.look.notified() => self.sight.catch_up().await,
                () = &mut lost => {
                    tracing::info!("the cache was deleted: its catalog is led anew");
                    return;
                }
                // They were meant for a leader that has gone.
                Some(_) = self.noted.recv() => continue,
            };
            office.kept(&dirs, self.sight.seen());
        }
    }
}

/// Ends once the cache of `claim` was deleted under it: its socket is then found by nobody.
async fn lost(claim: &Claim) {
    let Ok(ground) = claim.ground() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(LOOK_AT_THE_CLAIM).await;
        let ground = ground.clone();
        // A file that cannot be looked at has not gone.
        if let Ok(Ok(false)) = tokio::task::spawn_blocking(move || ground.stands()).await {
            return;
        }
    }
}

/// Takes connections, each with a task of its own.
async fn accept(office: Arc<Office>, listener: Listener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let ours = stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid()));
                    if ours && let Ok(place) = room.clone().try_acquire_owned() {
                        let office = office.clone();
                        serving.spawn(async move {
                            if let Err(error) = office.attend(stream).await {
                                tracing::debug!(%error, "a follower has gone");
                            }
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a follower could not be let in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = serving.join_next() => {}
        }
    }
}

impl Office {
    /// Tells all who follow what was kept.
    fn kept(&self, dirs: &[DirKey], head: u64) {
        self.head.store(head, Ordering::Relaxed);
        for dirs in dirs.chunks(DIRS_A_LINE) {
            self.tell(&Line::Commit {
                number: head,
                dirs: named(dirs),
            });
        }
    }

    fn tell(&self, line: &Line) {
        match text(line) {
            // Nobody may be following.
            Ok(text) => _ = self.told.send(text.into()),
            Err(error) => tracing::debug!(%error, "a line cannot be written"),
        }
    }

    /// Answers one question.
    async fn attend(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = Lines::new(reader);
        let ask = match timeout(FIRST_LINE, lines.next()).await {
            Ok(Ok(Some(line))) => Ask::parse(line),
            Ok(Ok(None)) | Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
        };
        match ask {
            Ok(Ask::List {
                folder,
                max_age_ms,
                ahead,
            }) => {
                let max_age = max_age_ms.map(Duration::from_millis);
                let progress = Progress::new();
                let moves = progress.subscribe();
                let listing = async {
                    let urgency = if ahead {
                        Urgency::Prefetch
                    } else {
                        Urgency::Interactive
                    };
                    let listed = (self.tree).list_for(folder.folder(), max_age, urgency, &progress);
                    match listed.await {
                        Ok(commit) => Line::Done { commit },
                        Err(error) => failed(&error),
                    }
                };
                let say = |rows: &u64| Line::Progress { rows: *rows };
                work(&mut lines, &mut writer, listing, moves, say).await
            }
            Ok(Ask::Warm { folder, max_age_ms }) => match &self.hooks.crawler {
                Some(crawler) => {
                    let (tell, told) = watch::channel(Value::Null);
                    let crawl = async {
                        let max_age = max_age_ms.map(Duration::from_millis);
                        match crawler.warm(folder.dir(), max_age, &tell).await {
                            Ok(came_to) => Line::Crawled(came_to),
                            Err(failure) => Line::Failed(failure),
                        }
                    };
                    let say = |so_far: &Value| Line::Crawl(so_far.clone());
                    work(&mut lines, &mut writer, crawl, told, say).await
                }
                None => {
                    let failure = Failure::of(Kind::Unknown, "this leader does not crawl");
                    send(&mut writer, &Line::Failed(failure)).await
                }
            },
            Ok(Ask::Status) => send(&mut writer, &Line::Status(self.status())).await,
            Ok(Ask::Follow { since }) => {
                self.followers.fetch_add(1, Ordering::Relaxed);
                let left = self.lead_on(since, lines, writer).await;
                self.followers.fetch_sub(1, Ordering::Relaxed);
                left
            }
            Ok(note @ (Ask::Kept | Ask::Used { .. })) => {
                self.heed(note);
                Ok(())
            }
            Err(failure) => send(&mut writer, &Line::Failed(failure)).await,
        }
    }

    /// Tells a follower everything from `since` on, and listens to its notes, until it goes.
    async fn lead_on(&self, since: u64, mut lines: Lines, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let mut told = self.told.subscribe();
        let following = Line::Following {
            pid: std::process::id(),
            head: self.head.load(Ordering::Relaxed),
        };
        send(&mut writer, &following).await?;
        // It may have kept something while nobody answered it.
        self.look.notify_one();
        let catalog = self.catalog.clone();
        let missed = tokio::task::spawn_blocking(move || catalog.since(since)).await;
        if let Ok(Ok((dirs, number))) = missed {
            for dirs in dirs.chunks(DIRS_A_LINE) {
                let dirs = named(dirs);
                send(&mut writer, &Line::Commit { number, dirs }).await?;
            }
        }
        loop {
            tokio::select! {
                line = told.recv() => match line {
                    Ok(line) => send_text(&mut writer, &line).await?,
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return Ok(()),
                },
                note = lines.next() => match note? {
                    Some(note) => match Ask::parse(note) {
                        Ok(note) => self.heed(note),
                        Err(failure) => send(&mut writer, &Line::Failed(failure)).await?,
                    },
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes note of what a follower says by the way. Questions need a connection of their own.
    fn heed(&self, note: Ask) {
        match note {
            Ask::Kept => self.look.notify_one(),
            Ask::Used { folders } => {
                if let Some(usage) = &self.hooks.usage {
                    let folders: Vec<_> = folders.into_iter().map(Id::folder).collect();
                    usage.used(&folders);
                }
            }
            Ask::List { .. } | Ask::Follow { .. } | Ask::Warm { .. } | Ask::Status => {}
        }
    }

    fn status(&self) -> Value {
        let mut parts = Map::new();
        for (name, part) in &self.hooks.status {
            parts.insert((*name).to_owned(), part());
        }
        let leader = json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "since": self.began.to_string(),
            "followers": self.followers.load(Ordering::Relaxed),
            "commit": self.head.load(Ordering::Relaxed),
        });
        parts.insert("leader".to_owned(), leader);
        Value::Object(parts)
    }
}

fn failed(error: &TreeError) -> Line {
    Line::Failed(error.into())
}

/// Does `work`, which ends with the last line, and says meanwhile that it is alive and how far it is. It is given up
/// when nobody waits any more.
async fn work<T>(
    lines: &mut Lines,
    writer: &mut OwnedWriteHalf,
    work: impl Future<Output = Line>,
    mut told: watch::Receiver<T>,
    say: impl Fn(&T) -> Line,
) -> io::Result<()> {
    send(writer, &Line::Accepted).await?;
    tokio::pin!(work);
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let line = tokio::select! {
            biased;
            last = &mut work => return send(writer, &last).await,
            Ok(()) = told.changed() => say(&told.borrow_and_update()),
            _ = beat.tick() => Line::Alive,
            gone = lines.next() => match gone? {
                None => return Ok(()),
                Some(_) => continue,
            },
        };
        send(writer, &line).await?;
    }
}
