//! The composition root: builds every part from what was decided, owns the session, and knows the order of the end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::content::{CacheOptions, ContentCache, ContentError, Reader};
use crate::fs::login::Login;
use crate::fs::{Appearance, Filesystem};
use crate::fuse::mountpoint::{self, MountpointError};
use crate::fuse::session::{Access, FuseSession, SessionOptions, Unmounted};
use crate::remote::{Remote, RemoteError};
use crate::tree::inodes::ROOT_DIRECTORY;
use crate::tree::{Tree, TreeConfig, TreeError};

pub mod choose;
pub mod connect;
pub mod discover;
pub mod health;
mod resolve;

use health::{Attendance, LoginWatch};

/// Everything a mount needs, decided.
pub struct MountPlan {
    /// Where.
    pub mountpoint: PathBuf,
    /// The document server.
    pub remote: Arc<dyn Remote>,
    /// The tree's rules.
    pub tree: TreeConfig,
    /// How files appear.
    pub appearance: Appearance,
    /// Where contents are kept.
    pub cache_dir: PathBuf,
    /// Who may use the mount.
    pub access: Access,
    /// The login behind the remote, to be looked after.
    pub login: Option<LoginWatch>,
}

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Nothing can be mounted there.
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
    /// The content cache cannot be created.
    #[error("cannot use the cache directory: {0}")]
    Cache(ContentError),
    /// The root cannot be listed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The server failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// FUSE refused.
    #[error("mounting {path} failed: {source}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How long a single request made for a waiting caller may take.
const CALLER_DEADLINE: Duration = Duration::from_secs(10);

/// A mount and all that answers it.
pub struct Daemon {
    fs: Filesystem,
    session: FuseSession,
    mountpoint: PathBuf,
    /// How often the end was asked for.
    asked: watch::Receiver<u32>,
    /// Ends with the mount.
    _attendance: Option<Attendance>,
}

impl Daemon {
    /// Mounts. Returns when the mount answers and its root was listed once.
    pub async fn start(plan: MountPlan, runtime: &Handle) -> Result<Self, DaemonError> {
        let dir = plan.mountpoint;
        let mountpoint = blocking(move || {
            mountpoint::check_fuse()?;
            mountpoint::prepare(&dir)
        })
        .await?;
        let location = plan.appearance.location.clone();
        let login = plan.login.as_ref().map(|watch| watch.login.clone());
        let fs = filesystem(
            plan.remote,
            plan.tree,
            plan.appearance,
            plan.cache_dir,
            login,
            runtime,
        )
        .await?;
        fs.tree().list(ROOT_DIRECTORY).await?;
        let options = SessionOptions {
            mountpoint: mountpoint.clone(),
            source: format!("{SOURCE_PREFIX}{location}"),
            access: plan.access,
        };
        let failed = |source| DaemonError::Mount {
            path: mountpoint.clone(),
            source,
        };
        // Before there is a mount: a signal that nobody takes would end the process and leave a dead one.
        let asked = asked_to_stop(runtime).map_err(failed)?;
        let (mounted, handle) = (fs.clone(), runtime.clone());
        let session = blocking(move || FuseSession::mount(mounted, &options, handle))
            .await
            .map_err(failed)?;
        let attendance = plan
            .login
            .map(|watch| Attendance::begin(watch, &fs, &mountpoint, runtime));
        Ok(Self {
            fs,
            session,
            mountpoint,
            asked,
            _attendance: attendance,
        })
    }

    /// The file system that answers.
    pub const fn filesystem(&self) -> &Filesystem {
        &self.fs
    }

    /// Where it is mounted, absolute.
    pub const fn mountpoint(&self) -> &PathBuf {
        &self.mountpoint
    }

    /// Waits until someone asks for the end (SIGINT, SIGTERM, SIGHUP; since the mount began) or unmounts.
    pub async fn until_asked_to_stop(&self) {
        let (mut asked, mut ended) = (self.asked.clone(), self.session.ended());
        // Either sender lives until it has said so.
        tokio::select! {
            _ = asked.wait_for(|asked| *asked > 0) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// Waits until someone asks a second time.
    pub fn asked_again(&self) -> impl Future<Output = ()> + use<> {
        let mut asked = self.asked.clone();
        async move {
            if asked.wait_for(|asked| *asked > 1).await.is_err() {
                // Nobody can ask any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Unmounts and waits for the end of the session.
    pub async fn stop(self) -> io::Result<Unmounted> {
        blocking(move || self.session.unmount()).await
    }
}

/// Takes the signals that ask for the end from now on, and counts them.
fn asked_to_stop(runtime: &Handle) -> io::Result<watch::Receiver<u32>> {
    let _entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // `nohup` has it ignored, and a handler would undo that.
    let mut hangup = if ignores_hangup() {
        None
    } else {
        Some(signal(SignalKind::hangup())?)
    };
    let (ask, asked) = watch::channel(0);
    runtime.spawn(async move {
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hung_up => {}
                // The mount is gone, and with it whoever could be asked.
                () = ask.closed() => return,
            }
            ask.send_modify(|times| *times += 1);
        }
    });
    Ok(asked)
}

/// True if this process was started with SIGHUP ignored (proc(5): `SigIgn` is a mask, lowest bit first).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .map(str::trim);
    let hangup = 1 << (libc::SIGHUP - 1);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok())
        .is_some_and(|mask| mask & hangup != 0)
}

/// What the source of a mount begins with: a colon makes programs see that it is remote.
const SOURCE_PREFIX: &str = "projectwise:";

/// Builds the file system without mounting it.
pub async fn filesystem(
    remote: Arc<dyn Remote>,
    tree: TreeConfig,
    appearance: Appearance,
    cache_dir: PathBuf,
    login: Option<Login>,
    runtime: &Handle,
) -> Result<Filesystem, DaemonError> {
    let account = remote.account().await?;
    let handle = runtime.clone();
    let cache = blocking(move || ContentCache::open(&cache_dir, handle, CacheOptions::default()))
        .await
        .map_err(DaemonError::Cache)?;
    let reader = Reader::new(Arc::new(cache), remote.clone());
    let tree = Tree::new(remote, runtime, tree, Clock::default());
    Ok(Filesystem::new(
        tree,
        reader,
        appearance,
        &account,
        CALLER_DEADLINE,
        login,
    ))
}

/// Runs what blocks away from the workers; a panic in it goes on here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
