//! To follow: asking the leader, and hearing from it.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::claim::{self, Claim};
use super::protocol::{Ask, Id, Line, Lines, send};
use super::{Part, SILENCE, Standing};
use crate::catalog::DirKey;
use crate::model::FolderId;
use crate::remote::{Progress, Urgency, UrgencyHandle};
use crate::tree::{Lead, TreeError, Written};

/// How many questions one follower has open: more than a server is asked at once for one caller, and few beside the
/// connections a leader has for all.
const QUESTIONS: usize = 24;

/// What a tree asks, and what the process knows of its leader.
pub(super) struct Follower {
    dir: PathBuf,
    standing: watch::Sender<Standing>,
    questions: Semaphore,
    /// The leader did not answer a question.
    doubt: Notify,
    notes: mpsc::Sender<Vec<FolderId>>,
}

/// Why the leader has not listed a folder.
#[derive(Debug)]
enum Unanswered {
    /// It says nothing.
    Silent,
    /// It has gone, will not talk, or cannot keep what it lists.
    Useless,
}

impl Follower {
    pub(super) fn new(dir: PathBuf, notes: mpsc::Sender<Vec<FolderId>>) -> Self {
        Self {
            dir,
            standing: watch::Sender::new(Standing::Unknown),
            questions: Semaphore::new(QUESTIONS),
            doubt: Notify::new(),
            notes,
        }
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    /// Has the leader told that folders were used, if there is room.
    pub(super) fn note(&self, folders: &[FolderId]) {
        let _ = self.notes.try_send(folders.to_vec());
    }

    /// Claims the catalog.
    pub(super) async fn claim(&self) -> io::Result<Option<(Claim, UnixListener)>> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || Claim::attempt(&dir))
            .await
            .map_err(io::Error::other)?
    }

    async fn ask(
        &self,
        folder: FolderId,
        max_age: Option<Duration>,
        progress: &Progress,
    ) -> Result<Result<(), TreeError>, Unanswered> {
        let gone = |error: io::Error| {
            tracing::debug!(%error, "the leader cannot be asked");
            Unanswered::Useless
        };
        let put = |ahead| {
            let ask = Ask::List {
                folder: folder.into(),
                max_age_ms: max_age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                ahead,
            };
            async move {
                let (reader, mut writer) = claim::connect(&self.dir).await?.into_split();
                send(&mut writer, &ask.request()).await?;
                // Who closes it wants no answer any more.
                Ok((reader, writer))
            }
        };
        let urgency = UrgencyHandle::current();
        let mut is_ahead = urgency.get() < Urgency::Interactive;
        let (reader, _writer) = put(is_ahead).await.map_err(gone)?;
        let (mut lines, mut seen) = (Lines::new(reader), 0);
        // The same question once more, from when somebody waits for it: the leader takes the two for one, unless it is to ask
        // its server anew for each.
        let mut _urged = None;
        let may_urge = max_age != Some(Duration::ZERO);
        loop {
            let answer = timeout(SILENCE, lines.answer());
            tokio::pin!(answer);
            let line = tokio::select! {
                line = &mut answer => line,
                () = urgency.reaches(Urgency::Interactive), if is_ahead && may_urge => {
                    is_ahead = false;
                    _urged = put(is_ahead).await.ok();
                    answer.await
                }
            };
            let line = line.map_err(|_| Unanswered::Silent)?.map_err(gone)?;
            match line {
                Some(Line::Progress { rows }) => {
                    progress.page(usize::try_from(rows.saturating_sub(seen)).unwrap_or(usize::MAX));
                    seen = rows;
                }
                Some(Line::Done { commit: Some(_) }) => return Ok(Ok(())),
                Some(Line::Failed(failure)) => {
                    return failure.tree_error().map(Err).ok_or(Unanswered::Useless);
                }
                // It died with the question in hand, or could not keep the answer.
                None | Some(Line::Done { commit: None }) => return Err(Unanswered::Useless),
                Some(_) => {}
            }
        }
    }
}

#[async_trait]
impl Lead for Follower {
    async fn list(
        &self,
        folder: FolderId,
        max_age: Option<Duration>,
        progress: &Progress,
    ) -> Option<Result<(), TreeError>> {
        let mut standing = self.standing.subscribe();
        let known = standing.wait_for(|standing| *standing != Standing::Unknown);
        let following = |standing| matches!(standing, Standing::Following { .. });
        if !timeout(SILENCE, known)
            .await
            .is_ok_and(|known| known.is_ok_and(|known| following(*known)))
        {
            return None;
        }
        let _one = self.questions.acquire().await.ok()?;
        // Another question may have found out meanwhile that nobody answers.
        if !following(*standing.borrow()) {
            return None;
        }
        match self.ask(folder, max_age, progress).await {
            Ok(answer) => Some(answer),
            Err(Unanswered::Useless) => None,
            Err(Unanswered::Silent) => {
                tracing::debug!("the leader does not answer");
                self.stand(Standing::Alone);
                self.doubt.notify_one();
                None
            }
        }
    }

    fn is_another(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Following { .. })
    }
}

impl Part {
    /// Follows the present leader until it is gone or in doubt; false where it could not be followed at all.
    pub(super) async fn follow(&mut self) -> bool {
        let mut heard = false;
        if let Err(error) = self.try_to_follow(&mut heard).await {
            tracing::debug!(%error, "the leader has gone");
        }
        self.follower.standing.send_if_modified(|standing| {
            let lost = matches!(standing, Standing::Following { .. });
            if lost {
                // Whoever asks now had better wait the moment it takes to find the next leader.
                *standing = Standing::Unknown;
            }
            lost
        });
        heard
    }

    async fn try_to_follow(&mut self, heard: &mut bool) -> io::Result<()> {
        let stream = claim::connect(&self.follower.dir).await?;
        let (reader, mut writer) = stream.into_split();
        let follow = Ask::Follow {
            since: self.sight.seen(),
        };
        send(&mut writer, &follow.request()).await?;
        let mut lines = Lines::new(reader);
        let first = match timeout(SILENCE, lines.answer()).await {
            Ok(first) => first?,
            // It may wake up, or die: its end of the connection tells either.
            Err(_) => {
                self.follower.stand(Standing::Alone);
                lines.answer().await?
            }
        };
        let Some(Line::Following { pid, .. }) = first else {
            return Err(io::Error::other(format!("it answers {first:?}")));
        };
        tracing::debug!(pid, "following the catalog's leader");
        // Also for what it kept before it knew of us, and what others did while nobody was heard.
        self.sight.catch_up().await;
        *heard = true;
        self.follower.stand(Standing::Following { pid });
        self.hear(lines, writer).await
    }

    /// Takes over what the leader tells, and tells it what we do.
    async fn hear(&mut self, mut lines: Lines, mut writer: OwnedWriteHalf) -> io::Result<()> {
        let follower = self.follower.clone();
        loop {
            tokio::select! {
                line = lines.answer() => match line? {
                    None => return Ok(()),
                    // Our own come back to us, and what was taken over with an earlier line.
                    Some(Line::Commit { number, .. }) if number <= self.sight.seen() => {}
                    Some(Line::Commit { .. }) => _ = self.sight.catch_up().await,
                    Some(Line::Renewed { dirs }) => {
                        self.tree.adopt(dirs.into_iter().map(Id::dir).collect()).await;
                    }
                    Some(_) => {}
                },
                written = self.writes.recv() => {
                    let whole = match written {
                        Ok(Written::Kept { commit, .. }) => self.sight.own(commit),
                        Ok(Written::Renewed { .. }) => continue,
                        Err(RecvError::Lagged(_)) => false,
                        Err(RecvError::Closed) => return Ok(()),
                    };
                    if !whole {
                        self.sight.catch_up().await;
                    }
                    send(&mut writer, &Ask::Kept.request()).await?;
                }
                Some(folders) = self.noted.recv() => {
                    let folders = folders.into_iter().map(Id::from).collect();
                    send(&mut writer, &Ask::Used { folders }.request()).await?;
                }
                () = follower.doubt.notified() => return Ok(()),
            }
        }
    }
}

/// The directories of a line, at most as many as it may name.
pub(super) fn named(dirs: &[DirKey]) -> Vec<Id> {
    dirs.iter().copied().map(Id::from).collect()
}
