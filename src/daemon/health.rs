//! The login of a running mount: its loss is told once, and whatever a person does about it is noticed.
//!
//! A mount outlives its login. Three tasks see to that, and each of them only ever waits for events:
//! 1. one watches the files a login is kept in, and has the token source look at them when they change, so that a new
//!    login or secret heals the mount although nobody reads from it;
//! 2. one writes a line to the log when the state changes, with what to do about it, and has what failed meanwhile forgotten
//!    when the login works again;
//! 3. one tells the desktop, where there is one.
//!
//! What the state is, `auth` decides; that what is cached stays readable and the rest answers EKEYEXPIRED is `tree`'s and
//! `content`'s doing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{CredentialStore, LoginHealth, LoginState, TokenSource};
use crate::fs::Filesystem;
use crate::fs::login::{Login, word};

mod desktop;
mod files;
pub mod probe;
pub mod remedy;

use desktop::Desktop;
use files::FileWatch;

/// A login to look after while its mount runs.
pub struct LoginWatch {
    /// The login.
    pub login: Login,
    /// What wakes it.
    pub waking: Waking,
    /// Whether the desktop is told when the login is lost.
    pub notify: bool,
}

/// How a sleeping login is woken.
pub struct Waking {
    /// The files that change when a person mends the login.
    pub files: Vec<PathBuf>,
    /// Looks at them.
    pub look: Look,
}

/// Has a token source look at its store now; ends when that is done. Its waits are bounded.
pub type Look = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Waking {
    /// Wakes `tokens`, whose login is in `store`, or in a file that others write.
    ///
    /// The one place that knows how a token source is woken, and what by.
    pub fn new(tokens: &TokenSource, store: Option<CredentialStore>) -> Self {
        let (files, tokens) = (tokens.watched(), tokens.clone());
        let places = files.clone();
        let look = move || -> BoxFuture<'static, ()> {
            let (tokens, store, places) = (tokens.clone(), store.clone(), places.clone());
            Box::pin(async move {
                // Whoever writes may not be done: `pwfs login` first proves that the store can be written. Only who holds
                // the lock writes; where it cannot be had, the look tells why. Where all is being deleted, a lock would
                // make it anew.
                if let Some(store) = store
                    && any_exists(&places).await
                {
                    drop(store.lock().await);
                }
                // How it went is seen in the login's state.
                tokens.look_again().await;
            })
        };
        Self {
            files,
            look: Arc::new(look),
        }
    }
}

async fn any_exists(paths: &[PathBuf]) -> bool {
    for path in paths {
        if tokio::fs::try_exists(path).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Looks after the login until dropped.
pub(super) struct Attendance(Vec<JoinHandle<()>>);

impl Attendance {
    /// Begins to look after the login of the mount at `mountpoint`.
    pub(super) fn begin(watch: LoginWatch, fs: &Filesystem, mountpoint: &Path, runtime: &Handle) -> Self {
        let LoginWatch {
            login,
            waking,
            notify,
        } = watch;
        let mut tasks = vec![
            runtime.spawn(wake(waking)),
            runtime.spawn(log(login.clone(), fs.clone(), mountpoint.to_owned())),
        ];
        if notify {
            tasks.push(runtime.spawn(tell_the_desktop(login, mountpoint.to_owned())));
        }
        Self(tasks)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Has the login looked at whenever one of its files has changed.
async fn wake(waking: Waking) {
    let mut files = match FileWatch::new(waking.files) {
        Ok(files) => files,
        Err(error) => return unwatched(&error),
    };
    loop {
        // The first time at once: nobody was watching since the mount took its token.
        if let Err(error) = files.changed().await {
            return unwatched(&error);
        }
        tracing::debug!("looking at the stored login");
        (waking.look)().await;
    }
}

fn unwatched(error: &std::io::Error) {
    tracing::warn!(
        %error,
        "the stored login cannot be watched; a new one is noticed when something is read"
    );
}

/// Writes one line each time the state changes.
async fn log(login: Login, fs: Filesystem, mountpoint: PathBuf) {
    let mut changes = Changes::of(&login.health);
    while let Some(health) = changes.next().await {
        let (state, mountpoint) = (word(health.state), mountpoint.display());
        match login.remedies.of(health.state) {
            None => {
                // Before it is said: who reads it may try at once.
                fs.forget_failures();
                tracing::warn!(%mountpoint, state, "the login works again");
            }
            Some(remedy) => tracing::warn!(
                %mountpoint,
                state,
                detail = %health.detail,
                "the login does not work any more; what is cached stays readable. To mend it, {remedy}"
            ),
        }
    }
}

/// Shows one notification for a loss, and puts another in its place when it is mended.
async fn tell_the_desktop(login: Login, mountpoint: PathBuf) {
    let mut desktop = Desktop::default();
    let mut changes = Changes::of(&login.health);
    while let Some(health) = changes.next().await {
        desktop
            .tell(health.state, login.remedies.of(health.state), &mountpoint)
            .await;
    }
}

/// The states a login enters, each once.
struct Changes {
    health: watch::Receiver<LoginHealth>,
    last: LoginState,
}

impl Changes {
    fn of(health: &watch::Receiver<LoginHealth>) -> Self {
        let mut health = health.clone();
        // A login that is lost before anybody looked is told like one that is lost later.
        health.mark_changed();
        Self {
            health,
            last: LoginState::Good,
        }
    }

    /// The next state that is another than the last one told; `None` when there is nobody left to change it.
    async fn next(&mut self) -> Option<LoginHealth> {
        loop {
            self.health.changed().await.ok()?;
            let health = self.health.borrow_and_update().clone();
            if health.state != self.last {
                self.last = health.state;
                return Some(health);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn health(state: LoginState) -> LoginHealth {
        LoginHealth {
            state,
            detail: String::new(),
            since: Timestamp::now(),
        }
    }

    #[tokio::test]
    async fn each_state_is_told_once_and_a_loss_before_the_start_too() {
        let (board, seen) = watch::channel(health(LoginState::LoginNeeded));
        let mut changes = Changes::of(&seen);
        assert_eq!(changes.next().await.unwrap().state, LoginState::LoginNeeded);
        // Lost, found and lost again between two looks is no news.
        board.send_replace(health(LoginState::Good));
        board.send_replace(health(LoginState::LoginNeeded));
        board.send_replace(health(LoginState::SecretNeeded));
        assert_eq!(changes.next().await.unwrap().state, LoginState::SecretNeeded);
        board.send_replace(health(LoginState::Good));
        assert_eq!(changes.next().await.unwrap().state, LoginState::Good);
        drop(board);
        assert!(changes.next().await.is_none());

        let (_board, seen) = watch::channel(health(LoginState::Good));
        let mut changes = Changes::of(&seen);
        let next = tokio::time::timeout(std::time::Duration::from_millis(20), changes.next());
        assert!(next.await.is_err(), "a login that works is no news");
    }
}
