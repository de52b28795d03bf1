//! `demo`: an embedded ProjectWise, signed in to and mounted, to look around in.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::runtime::Handle;

use super::failure::{CliError, ErrorKind};
use super::interrupt;
use super::mount::{escape_path, serve};
use super::output::{Format, Paint, Printer, escape};
use super::simulate::ServerArgs;
use crate::content::CacheOptions;
use crate::daemon::health::{LoginWatch, Waking};
use crate::daemon::{Daemon, MountPlan, Reading, Storage, blocking};
use crate::demo::DemoServer;
use crate::fs::Appearance;
use crate::fs::login::{Login, Remedies};
use crate::fs::policy::CallerRules;
use crate::fuse::session::Access;
use crate::http::HttpClient;
use crate::remote::wsg::{WsgAddress, WsgOptions, WsgRemote};
use crate::tree::TreeConfig;

pub mod check;
pub mod visitor;

use visitor::{PROFILE, sign_in_to_demo};

/// How many entries of each directory the short tree shows.
const TREE_WIDTH: usize = 4;
/// How deep it goes.
const TREE_DEPTH: usize = 3;

/// Try pwfs on an embedded ProjectWise with a bridge project
///
/// Starts the server on this machine, signs in to it, mounts it, and waits for Ctrl-C. Nothing leaves the machine.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Directory to mount on; made if missing, and then removed at the end
    #[arg(default_value = "./projectwise-demo")]
    dir: PathBuf,
    /// Do the tour unattended: read everything, compare every byte, try to write, change things and look
    #[arg(long)]
    check: bool,
    /// The server.
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the demo to its end.
pub async fn demo(args: &DemoArgs, printer: &Printer) -> Result<(), CliError> {
    let server = DemoServer::start(args.server.options()).await.map_err(|error| {
        CliError::of(ErrorKind::Failure, &error).while_doing("the demo server cannot start")
    })?;
    let place = Place::make(&args.dir)?;
    let _taken = interrupt::take_interrupt();
    let started = tokio::select! {
        started = start(&server, &place) => started,
        // Until there is a mount, nobody else takes it, and the directories must go.
        _ = tokio::signal::ctrl_c() => Err(CliError::new(ErrorKind::Failure, "interrupted")),
    };
    let result = match started {
        Ok((daemon, _)) if args.check => check(&server, daemon, printer).await,
        Ok((daemon, who)) => look_around(&server, daemon, &who, printer).await,
        Err(error) => Err(error),
    };
    drop(place);
    server.stop().await;
    result
}

/// The directories of one demo; nothing of them is left behind.
struct Place {
    mountpoint: PathBuf,
    /// Whether the mount point was made for the demo.
    made: bool,
    /// Login and cache, away from the person's own.
    private: PathBuf,
}

impl Place {
    fn make(mountpoint: &Path) -> Result<Self, CliError> {
        let failed = |path: &Path, error: &io::Error| {
            CliError::of(ErrorKind::CannotCreate, error)
                .while_doing(format!("{} cannot be made", path.display()))
        };
        let made = match fs::create_dir(mountpoint) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed(mountpoint, &error)),
        };
        let private = std::env::temp_dir().join(format!("pwfs-demo-{}", std::process::id()));
        let place = Self {
            mountpoint: mountpoint.to_owned(),
            made,
            private,
        };
        // New, or not at all: somebody else may have put something there under this name.
        match fs::DirBuilder::new().mode(0o700).create(&place.private) {
            Ok(()) => Ok(place),
            Err(error) => Err(failed(&place.private, &error)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = fs::remove_dir(&self.mountpoint)
        {
            tracing::warn!(%error, path = %self.mountpoint.display(), "the demo's directory stays");
        }
        if let Err(error) = fs::remove_dir_all(&self.private) {
            tracing::warn!(%error, path = %self.private.display(), "the demo's cache stays");
        }
    }
}

/// Signs in and mounts; says who signed in.
async fn start(server: &DemoServer, place: &Place) -> Result<(Daemon, String), CliError> {
    let runtime = Handle::current();
    let http = HttpClient::new().map_err(crate::daemon::connect::ConnectionError::Http)?;
    let login = sign_in_to_demo(server, &http, &place.private, &runtime).await?;
    let identity = login.credentials.identity;
    let who = identity
        .name
        .or(identity.email)
        .unwrap_or_else(|| "the demo account".to_owned());
    let address = WsgAddress::parse(&server.datasource_url())?;
    let location = address.location().unwrap_or_default();
    let again = "end the demo and start it again";
    let watch = LoginWatch {
        login: Login {
            profile: PROFILE.to_owned(),
            health: login.tokens.health(),
            remedies: Remedies {
                login_needed: again.to_owned(),
                secret_needed: again.to_owned(),
                locked_out: again.to_owned(),
            },
        },
        // Nobody logs in to it a second time.
        waking: Waking::new(&login.tokens, None),
        notify: false,
    };
    let remote = WsgRemote::connect(http, login.tokens, address, WsgOptions::default()).await?;
    let plan = MountPlan {
        mountpoint: place.mountpoint.clone(),
        remote: std::sync::Arc::new(remote),
        tree: TreeConfig::default(),
        appearance: Appearance {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            file_mode: 0o444,
            dir_mode: 0o555,
            location,
        },
        storage: Storage {
            cache_dir: place.private.join("cache"),
            state_dir: place.private.join("state"),
            issuer: server.issuer(),
            cache: CacheOptions::default(),
        },
        access: Access::Owner,
        refresh_interval: crate::refresh::INTERVAL,
        caching: None,
        reading: Reading {
            never_download: CallerRules::usual(),
            ..Reading::default()
        },
        login: Some(watch),
        account: None,
        outstanding: None,
        takes_signals: interrupt::take_both,
    };
    Ok((Daemon::start(plan, &runtime).await?, who))
}

/// What runs, as JSON.
#[derive(Serialize)]
struct DemoReport<'a> {
    server: String,
    datasource: String,
    account: &'a str,
    documents: usize,
    folders: usize,
    mountpoint: &'a str,
}

/// The tour as JSON.
#[derive(Serialize)]
struct CheckReport<'a> {
    passed: bool,
    documents: u64,
    bytes: u64,
    mismatches: &'a [String],
    requests: u64,
    erofs: usize,
    attempts: usize,
}

async fn check(server: &DemoServer, daemon: Daemon, printer: &Printer) -> Result<(), CliError> {
    let toured = tokio::select! {
        toured = check::tour(server, &daemon) => toured,
        () = daemon.until_asked_to_stop() => Err(io::Error::other("it was interrupted")),
    };
    let mountpoint = daemon.mountpoint().clone();
    let stopped = daemon.stop().await;
    let mut findings = toured
        .map_err(|error| CliError::of(ErrorKind::Failure, &error).while_doing("the tour could not go on"))?;
    if let Err(error) = stopped {
        findings.mismatches.push(format!("unmounting failed: {error}"));
    }
    let left = blocking(move || fs::read_dir(mountpoint).map(Iterator::count)).await;
    if !matches!(left, Ok(0)) {
        findings
            .mismatches
            .push("the mount point is not empty after unmounting".to_owned());
    }
    for mismatch in &findings.mismatches {
        printer.warn(&escape(mismatch));
    }
    match printer.format() {
        Format::Text => printer.line(&findings.line())?,
        Format::Json => printer.json(&CheckReport {
            passed: findings.passed(),
            documents: findings.documents,
            bytes: findings.bytes,
            mismatches: &findings.mismatches,
            requests: findings.requests,
            erofs: findings.erofs,
            attempts: findings.attempts,
        })?,
    }
    if findings.passed() {
        return Ok(());
    }
    Err(CliError::new(
        ErrorKind::Failure,
        "the mount is not what the server has",
    ))
}

async fn look_around(
    server: &DemoServer,
    daemon: Daemon,
    who: &str,
    printer: &Printer,
) -> Result<(), CliError> {
    if let Err(error) = show_around(server, &daemon, who, printer).await {
        // Nobody reads on: the demo is over, and must leave no mount behind.
        daemon.stop().await.map_err(|stuck| {
            CliError::of(ErrorKind::Failure, &stuck).while_doing("the demo cannot be unmounted")
        })?;
        return Err(error);
    }
    serve(daemon, printer).await?;
    match printer.format() {
        Format::Text => printer.line("\nUnmounted; nothing is left behind."),
        Format::Json => Ok(()),
    }
}

/// Tells what there is to see; in part, if the end is asked for meanwhile.
async fn show_around(
    server: &DemoServer,
    daemon: &Daemon,
    who: &str,
    printer: &Printer,
) -> Result<(), CliError> {
    if printer.format() == Format::Json {
        let (documents, folders) = server.world().shown();
        printer.json(&DemoReport {
            server: server.base_url(),
            datasource: server.datasource_url(),
            account: who,
            documents,
            folders,
            mountpoint: &daemon.mountpoint().to_string_lossy(),
        })?;
        return printer.flush();
    }
    introduce(server, daemon, who, printer)?;
    let mountpoint = daemon.mountpoint().clone();
    let looking = blocking({
        let root = mountpoint.clone();
        move || {
            let mut tree = Vec::new();
            branch(&root, "", TREE_DEPTH, &mut tree);
            (tree, example(&root))
        }
    });
    let (tree, example) = tokio::select! {
        seen = looking => seen,
        // Nobody waits for a tree they do not want to see.
        () = daemon.until_asked_to_stop() => return Ok(()),
    };
    printer.line("")?;
    printer.line(&printer.paint(Paint::Folder, &escape_path(&mountpoint)))?;
    for line in tree {
        printer.line(&line)?;
    }
    let root = quoted(&mountpoint);
    let file = example.as_deref().map_or_else(|| root.clone(), quoted);
    printer.line("\nTry, in another terminal:\n")?;
    printer.line(&format!("  find {root} | head"))?;
    printer.line(&format!("  head -c 300 {file}"))?;
    printer.line(&format!("  getfattr -d {file}"))?;
    printer.line("\nPress Ctrl-C to unmount and end.")?;
    printer.flush()
}

/// The first lines: what runs, who signed in, where it is mounted.
fn introduce(server: &DemoServer, daemon: &Daemon, who: &str, printer: &Printer) -> Result<(), CliError> {
    let (documents, folders) = server.world().shown();
    printer.line(&format!(
        "Server     {}  (embedded: {documents} documents in {folders} folders)",
        server.base_url()
    ))?;
    printer.line(&format!("Signed in  {}", escape(who)))?;
    printer.line(&format!(
        "Mounted    {}  (read-only)",
        escape_path(daemon.mountpoint())
    ))
}

/// Draws the first entries of a directory, and of the directories among them.
fn branch(directory: &Path, indent: &str, depth: usize, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let more = paths.len().saturating_sub(TREE_WIDTH);
    for (at, path) in paths.iter().take(TREE_WIDTH).enumerate() {
        let last = at + 1 == paths.len();
        let (elbow, below) = if last {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let name = escape(&path.file_name().unwrap_or_default().to_string_lossy());
        let is_dir = path.is_dir();
        lines.push(format!("{indent}{elbow}{name}{}", if is_dir { "/" } else { "" }));
        if is_dir && depth > 1 {
            branch(path, &format!("{indent}{below}"), depth - 1, lines);
        }
    }
    if more > 0 {
        lines.push(format!("{indent}└── … {more} more"));
    }
}

/// A text file with something in it to look at: the first one in the order of names, depth first.
fn example(directory: &Path) -> Option<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let text = |path: &&PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "csv" || extension == "txt")
            && fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
    };
    let found = paths.iter().find(text).cloned();
    found.or_else(|| {
        paths
            .iter()
            .filter(|path| path.is_dir())
            .find_map(|path| example(path))
    })
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", escape_path(path).replace('\'', r"'\''"))
}
