//! The composition root: builds every part from what was decided, owns the session, and knows the order of the end.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::catalog::{Catalog, CatalogId, Places};
use crate::clock::Clock;
use crate::content::{CacheOptions, ContentCache, ContentError, Reader, ReaderOptions};
use crate::fs::login::Login;
use crate::fs::policy::{CallerPolicy, CallerRules};
use crate::fs::{Appearance, Filesystem};
use crate::fuse::mountpoint::{self, MountpointError};
use crate::fuse::selftest::KernelCaching;
use crate::fuse::session::{Access, FuseSession, SessionOptions, Unmounted};
use crate::leader::Leadership;
use crate::remote::{Remote, RemoteError};
use crate::tree::inodes::ROOT_DIRECTORY;
use crate::tree::{Kept, Tree, TreeConfig, TreeError};

pub mod beside;
pub mod choose;
pub mod connect;
pub mod discover;
pub mod health;
mod network;
mod resolve;
pub mod start;
mod thrift;
pub mod upkeep;

use health::{Attendance, LoginWatch};
use start::{Outstanding, Verdict};
use thrift::Thrift;
use upkeep::Upkeep;

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
    /// Where listings, contents and the journal are kept.
    pub storage: Storage,
    /// Who may use the mount.
    pub access: Access,
    /// How often folders in use are looked at, about.
    pub refresh_interval: Duration,
    /// What the kernel is trusted with; `None` tries that out.
    pub caching: Option<KernelCaching>,
    /// How documents are read.
    pub reading: Reading,
    /// The login behind the remote, to be looked after.
    pub login: Option<LoginWatch>,
    /// The account the caches are kept under; asked for where it is not known.
    pub account: Option<String>,
    /// Where the server was not waited for: whether it is as remembered.
    pub outstanding: Option<Outstanding>,
    /// Told that the daemon takes the signals that ask for the end from now on.
    pub takes_signals: fn(),
}

/// How the documents of a mount are read. By default nobody is refused, and nothing can be run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The programs that may have nothing fetched.
    pub never_download: CallerRules,
    /// How far the kernel reads ahead, in bytes; `None` leaves that to it.
    pub read_ahead: Option<u64>,
    /// Documents can be run as programs.
    pub exec: bool,
    /// The SHA-256 of each document is computed once all of it is here.
    pub sha256: bool,
}

/// Where a mount keeps what it learns.
#[derive(Debug, Clone)]
pub struct Storage {
    /// What may be deleted: contents and the catalog.
    pub cache_dir: PathBuf,
    /// What may not: the journal.
    pub state_dir: PathBuf,
    /// Who vouches for the account: the identity provider, or the kind of login where there is none. Part of what a
    /// catalog is kept under.
    pub issuer: String,
    /// What contents may take.
    pub cache: CacheOptions,
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
    /// Leads the catalog's other users, or follows one of them; `None` without a catalog.
    leadership: Option<Leadership>,
    /// What it does by itself.
    upkeep: Upkeep,
    /// Turns true when the server turns out to see another account than the one the mount began for.
    foreign: watch::Receiver<bool>,
    /// Ends with the mount.
    _attendance: Option<Attendance>,
    _thrift: Thrift,
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
        let users = Users {
            account: plan.account,
            login,
            never_download: plan.reading.never_download,
            reader: ReaderOptions {
                sha256: plan.reading.sha256,
            },
        };
        let fs = filesystem(
            plan.remote,
            plan.tree,
            plan.appearance,
            plan.storage,
            users,
            runtime,
        )
        .await?;
        let leadership = fs
            .tree()
            .catalog()
            .map(|catalog| Leadership::begin(catalog.clone(), fs.tree(), upkeep::hooks(fs.tree()), runtime));
        if plan.outstanding.is_some() {
            fs.tree().presume_away();
        }
        // What is known is shown at once; the first `ls` asks for more.
        if !fs.tree().is_known(ROOT_DIRECTORY).await {
            fs.tree().list(ROOT_DIRECTORY).await?;
        }
        let options = SessionOptions {
            mountpoint: mountpoint.clone(),
            source: format!("{SOURCE_PREFIX}{location}"),
            access: plan.access,
            caching: plan.caching,
            read_ahead: plan.reading.read_ahead,
            exec: plan.reading.exec,
        };
        let failed = |source| DaemonError::Mount {
            path: mountpoint.clone(),
            source,
        };
        // Before there is a mount: a signal that nobody takes would end the process and leave a dead one.
        let asked = asked_to_stop(runtime).map_err(failed)?;
        (plan.takes_signals)();
        let (mounted, handle) = (fs.clone(), runtime.clone());
        let session = blocking(move || FuseSession::mount(mounted, &options, handle))
            .await
            .map_err(failed)?;
        let attendance = plan
            .login
            .map(|watch| Attendance::begin(watch, &fs, &mountpoint, runtime));
        let upkeep = Upkeep::begin(&fs, leadership.as_ref(), plan.refresh_interval, runtime);
        let foreign = compared(plan.outstanding, fs.account().to_owned(), runtime);
        let thrift = Thrift::begin(&fs, runtime);
        Ok(Self {
            fs,
            session,
            mountpoint,
            asked,
            leadership,
            upkeep,
            foreign,
            _attendance: attendance,
            _thrift: thrift,
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

    /// The mount.
    pub const fn session(&self) -> &FuseSession {
        &self.session
    }

    /// Waits until someone asks for the end (SIGINT, SIGTERM, SIGHUP; since the mount began) or unmounts.
    pub async fn until_asked_to_stop(&self) {
        let (mut asked, mut ended) = (self.asked.clone(), self.session.ended());
        let mut foreign = self.foreign.clone();
        let is_foreign = async {
            if foreign.wait_for(|foreign| *foreign).await.is_err() {
                // It was found to be right.
                std::future::pending::<()>().await;
            }
        };
        // Either sender lives until it has said so.
        tokio::select! {
            _ = asked.wait_for(|asked| *asked > 0) => {}
            _ = ended.wait_for(|ended| *ended) => {}
            () = is_foreign => {}
        }
    }

    /// True where the server turned out to see another account than the one the mount began for.
    pub fn is_foreign(&self) -> bool {
        *self.foreign.borrow()
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
        let (session, leadership) = (self.session, self.leadership);
        drop(self.upkeep);
        let unmounted = blocking(move || session.unmount()).await;
        // Last: while anybody is answered here, nobody else need lead.
        if let Some(leadership) = leadership {
            leadership.end().await;
        }
        // Work that nobody waits for any more may still be under way; what it comes to is kept nowhere.
        if let Some(catalog) = self.fs.tree().catalog().cloned() {
            blocking(move || catalog.close()).await;
        }
        unmounted
    }

    /// Who leads the catalog; `None` without one.
    pub const fn leadership(&self) -> Option<&Leadership> {
        self.leadership.as_ref()
    }
}

/// Compares the account with the server's word as soon as there is one; turns true where it is another.
fn compared(outstanding: Option<Outstanding>, account: String, runtime: &Handle) -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    if let Some(outstanding) = outstanding {
        runtime.spawn(async move {
            match outstanding.verdict(&account).await {
                Verdict::Same => tracing::debug!("the server is as it was the last time"),
                Verdict::OtherAccount => {
                    tracing::error!("the server sees another account than the last time; the mount ends");
                    tell.send_replace(true);
                }
                // Whoever reads is told the same by their own requests.
                Verdict::Unknown(error) => tracing::warn!(%error, "the server does not confirm the account"),
            }
        });
    }
    told
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

/// For whom a file system is.
#[derive(Debug, Default)]
pub struct Users {
    /// The account the caches are kept under; asked for where it is not known.
    pub account: Option<String>,
    /// The login the root tells of.
    pub login: Option<Login>,
    /// The programs that may have nothing fetched.
    pub never_download: CallerRules,
    /// What reading does beside.
    pub reader: ReaderOptions,
}

/// Builds the file system without mounting it.
pub async fn filesystem(
    remote: Arc<dyn Remote>,
    tree: TreeConfig,
    appearance: Appearance,
    storage: Storage,
    users: Users,
    runtime: &Handle,
) -> Result<Filesystem, DaemonError> {
    let account = match users.account {
        Some(account) => account,
        None => remote.account().await?,
    };
    let handle = runtime.clone();
    let (cache_dir, options) = (storage.cache_dir.clone(), storage.cache);
    let cache = blocking(move || ContentCache::open(&cache_dir, handle, options))
        .await
        .map_err(DaemonError::Cache)?;
    let reader = Reader::with_options(Arc::new(cache), remote.clone(), users.reader);
    let tree = self::tree(remote, tree, storage, Some(account.clone()), runtime).await?;
    Ok(Filesystem::with_policy(
        tree,
        reader,
        appearance,
        &account,
        CALLER_DEADLINE,
        users.login,
        CallerPolicy::new(users.never_download),
    ))
}

/// Builds the tree alone, over the catalog if that can be used. The account is asked for where it is not known.
pub async fn tree(
    remote: Arc<dyn Remote>,
    tree: TreeConfig,
    storage: Storage,
    account: Option<String>,
    runtime: &Handle,
) -> Result<Tree, DaemonError> {
    let account = match account {
        Some(account) => account,
        None => remote.account().await?,
    };
    let id = CatalogId {
        issuer: storage.issuer.clone(),
        account,
        datasource: remote.name().to_owned(),
    };
    let kept = blocking(move || open_catalog(storage, &id)).await;
    let tree = TreeConfig {
        // What makes room in memory is in the catalog.
        release_forgotten: kept.is_some(),
        ..tree
    };
    Ok(Tree::over(remote, runtime, tree, Clock::default(), kept))
}

/// Opens the catalog. A mount without one is worse, and better than none: it lists every folder anew.
fn open_catalog(storage: Storage, id: &CatalogId) -> Option<Kept> {
    let places = Places {
        cache: storage.cache_dir,
        state: storage.state_dir,
    };
    let opened = Catalog::open(&places, id).and_then(|opened| {
        // What was damaged it has said itself.
        Kept::read(opened.catalog)
    });
    match opened {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(%error, "listings are held in memory only");
            None
        }
    }
}

/// Runs what blocks away from the workers; a panic in it goes on here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
