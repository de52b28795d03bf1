//! `mount`, `unmount`, `mounts`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::runtime::Handle;

use super::GlobalArgs;
use super::failure::{CliError, ErrorKind};
use super::output::{Format, Printer, escape};
use super::session::SourceArgs;
use crate::config::AppDirs;
use crate::daemon::choose::{FolderChoice, FolderPlace, choose};
use crate::daemon::connect::{Account, Opened};
use crate::daemon::health::probe::{self, Found};
use crate::daemon::health::remedy::login_command;
use crate::daemon::{Daemon, MountPlan, blocking};
use crate::fs::Appearance;
use crate::fuse::mountpoint::{self, Mounted};
use crate::fuse::session::{self, Access, Unmounted};
use crate::store::listing::Placeholders;
use crate::tree::{OnOutage, TreeConfig};

/// Show ProjectWise folders as a read-only directory
///
/// Runs until Ctrl-C, SIGTERM or `pwfs unmount`.
#[derive(Debug, Clone, Args)]
#[command(allow_missing_positional = true)]
pub struct MountArgs {
    /// Datasource URL or link, before that of --datasource [default: the profile's]
    source: Option<String>,
    /// Directory to mount on; it must exist and be empty
    #[arg(required = true)]
    dir: PathBuf,
    /// Folder to show at the top, by path or GUID, under its own name or ALIAS; may be given several times
    #[arg(long = "folder", value_name = "PATH|GUID[=ALIAS]")]
    folders: Vec<String>,
    /// Where document contents are kept
    #[arg(long, value_name = "DIR", env = "PWFS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// No answer is older than this while the server answers
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PWFS_METADATA_TTL", conflicts_with = "freshness")]
    metadata_ttl: Option<Duration>,
    /// How fresh answers must be
    #[arg(long, value_enum, value_name = "HOW", env = "PWFS_FRESHNESS")]
    freshness: Option<Freshness>,
    /// What to answer while the server is away
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Outage::Stale, env = "PWFS_ON_OUTAGE")]
    on_outage: Outage,
    /// How to show documents without a file
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Fileless::Hide, env = "PWFS_PLACEHOLDERS")]
    placeholders: Fileless,
    /// Let other users in, by the permission bits (needs `user_allow_other` in /etc/fuse.conf unless root mounts)
    #[arg(long, env = "PWFS_ALLOW_OTHER")]
    allow_other: bool,
    /// Owner of everything [default: you]
    #[arg(long, env = "PWFS_UID")]
    uid: Option<u32>,
    /// Group of everything [default: yours]
    #[arg(long, env = "PWFS_GID")]
    gid: Option<u32>,
    /// Permission bits of files [default: 0444, with --allow-other 0440]
    #[arg(long, value_name = "OCTAL", value_parser = mode, env = "PWFS_FILE_MODE")]
    file_mode: Option<u16>,
    /// Permission bits of directories [default: 0555, with --allow-other 0550]
    #[arg(long, value_name = "OCTAL", value_parser = mode, env = "PWFS_DIR_MODE")]
    dir_mode: Option<u16>,
    /// Do not tell the desktop when the login is lost; mounts of the whole system never do
    #[arg(long, env = "PWFS_NO_NOTIFY", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    no_notify: bool,
    /// What `mount` does anyway; taken for habit's sake, and not shown as if there were a choice.
    #[arg(long, short = 'f', hide = true)]
    foreground: bool,
    /// Which server, where SOURCE does not say.
    #[command(flatten)]
    server: SourceArgs,
}

/// How fresh answers must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Freshness {
    /// At most one second old
    Strict,
    /// At most five minutes old
    Balanced,
    /// As old as it is
    Archive,
}

/// What to answer while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outage {
    /// The last complete listing, up to seven days old
    Stale,
    /// An error
    Fail,
}

/// How to show what has no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fileless {
    /// Not at all
    Hide,
    /// As empty files
    Empty,
}

/// Unmount a directory
#[derive(Debug, Clone, Args)]
pub struct UnmountArgs {
    /// The directory
    dir: PathBuf,
}

/// Parses `5m`, `90s`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unfit = |_: jiff::Error| "a time is written as 90s, 5m or 1h 30m".to_owned();
    let signed: jiff::SignedDuration = text.parse().map_err(unfit)?;
    Duration::try_from(signed).map_err(|_| "a time cannot be negative".to_owned())
}

/// Parses permission bits in octal; nothing of a read-only tree can be written or run as another user.
fn mode(text: &str) -> Result<u16, String> {
    let mode = u16::from_str_radix(text, 8).map_err(|_| format!("{text:?} is not octal"))?;
    if mode & !0o555 != 0 {
        return Err(format!(
            "only read and execute bits can be given to a read-only tree, not {mode:04o}"
        ));
    }
    Ok(mode)
}

/// Mounts, and waits for the end.
pub async fn mount(
    args: &MountArgs,
    global: &GlobalArgs,
    account: &Account,
    dirs: &AppDirs,
    printer: &Printer,
) -> Result<(), CliError> {
    let source = args.source.as_deref().or(args.server.datasource.as_deref());
    let begins_below = account.link(source)?.place().is_below_root();
    if begins_below && source.is_some() && !args.folders.is_empty() {
        let clash = "the datasource URL leads to a folder, and --folder names another";
        return Err(CliError::new(ErrorKind::Usage, clash).hint("leave out one of them"));
    }
    let Opened {
        remote,
        tokens,
        start,
    } = account.open(source).await?;
    let choices = match start.filter(|_| args.folders.is_empty()) {
        Some(id) => vec![FolderChoice {
            place: FolderPlace::Id(id),
            alias: None,
        }],
        None => folder_choices(args, account)?,
    };
    let chosen = choose(&*remote, &choices).await?;
    let sign_in = login_command(&account.name, global.system, global.config.as_deref());
    let plan = MountPlan {
        mountpoint: args.dir.clone(),
        tree: TreeConfig {
            chosen,
            ..tree_config(args)
        },
        appearance: appearance(args, remote.address().location()),
        cache_dir: args.cache_dir.clone().unwrap_or_else(|| dirs.cache.clone()),
        access: if args.allow_other {
            Access::Everyone
        } else {
            Access::Owner
        },
        // Nobody is logged in for a mount of the system.
        login: Some(account.login_watch(&tokens, &sign_in, !args.no_notify && !global.system)),
        remote,
    };
    let daemon = Daemon::start(plan, &Handle::current()).await?;
    // The mount is what was asked for; that nobody reads where it is does not end it.
    if let Err(error) = announce(&daemon, printer)
        && !error.is_broken_pipe()
    {
        tracing::warn!("{}", error.message());
    }
    serve(daemon, printer).await
}

/// Says what is mounted where.
fn announce(daemon: &Daemon, printer: &Printer) -> Result<(), CliError> {
    let (mountpoint, name) = (daemon.mountpoint(), daemon.filesystem().tree().remote().name());
    match printer.format() {
        Format::Text => {
            printer.line(&format!(
                "{} is mounted at {}",
                escape(name),
                escape_path(mountpoint)
            ))?;
            printer.line("Press Ctrl-C to unmount.")?;
        }
        Format::Json => printer.json(&MountRow::new(mountpoint, name, "mounted"))?,
    }
    printer.flush()
}

/// Waits until the mount is to end, and ends it.
pub(super) async fn serve(daemon: Daemon, printer: &Printer) -> Result<(), CliError> {
    daemon.until_asked_to_stop().await;
    let mountpoint = daemon.mountpoint().clone();
    let again = daemon.asked_again();
    let stop = daemon.stop();
    tokio::pin!(stop);
    let stopped = tokio::select! {
        stopped = &mut stop => stopped,
        () = again => {
            // Whoever asks twice does not want to wait for those who use it.
            let path = mountpoint.clone();
            if let Err(error) = blocking(move || session::detach(&path)).await {
                tracing::debug!(%error, "it was unmounted meanwhile");
            }
            stop.await.map(|_| Unmounted::Lazily)
        }
    };
    let failed = |error: std::io::Error| {
        CliError::of(ErrorKind::Failure, &error)
            .while_doing(format!("{} cannot be unmounted", mountpoint.display()))
    };
    if stopped.map_err(failed)? == Unmounted::Lazily {
        printer.warn(&format!(
            "{} was still in use; whoever holds its files gets errors from now on",
            escape_path(&mountpoint)
        ));
    }
    Ok(())
}

/// Unmounts. A directory where nothing of ours is mounted is as it should be.
pub async fn unmount(args: &UnmountArgs, printer: &Printer) -> Result<(), CliError> {
    let dir = args.dir.clone();
    let found = blocking(move || {
        let path = mountpoint::absolute(&dir)?;
        mountpoint::at(&path).map(|mounted| (path, mounted))
    })
    .await?;
    let (path, mounted) = found;
    match mounted {
        None => match printer.format() {
            Format::Text => printer.line(&format!("nothing is mounted at {}", escape_path(&path))),
            Format::Json => printer.json(&MountRow::new(&path, "", "not mounted")),
        },
        Some(mounted) if !mounted.is_ours() => Err(mountpoint::MountpointError::Foreign {
            path,
            kind: mounted.kind,
        }
        .into()),
        Some(mounted) => {
            let unmounted = path.clone();
            let outcome = blocking(move || session::unmount(&unmounted))
                .await
                .map_err(|error| {
                    CliError::of(ErrorKind::Failure, &error)
                        .while_doing(format!("{} cannot be unmounted", path.display()))
                        .hint("root can unmount every mount; an ordinary user their own")
                })?;
            if outcome == Unmounted::Lazily {
                printer.warn(&format!(
                    "{} was still in use; its process ends when the last file is closed",
                    escape_path(&path)
                ));
            }
            match printer.format() {
                Format::Text => printer.line(&format!("{} is unmounted", escape_path(&path))),
                Format::Json => printer.json(&MountRow::new(&path, &mounted.source, "unmounted")),
            }
        }
    }
}

/// A mount, as `--json` shows it.
#[derive(Debug, Serialize)]
struct MountRow {
    mountpoint: String,
    source: String,
    state: &'static str,
    /// How its login is, where it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
}

impl MountRow {
    fn new(mountpoint: &Path, source: &str, state: &'static str) -> Self {
        Self {
            mountpoint: mountpoint.display().to_string(),
            source: source.to_owned(),
            state,
            login: None,
        }
    }
}

/// Lists all mounts of pwfs.
pub async fn mounts(printer: &Printer) -> Result<(), CliError> {
    let found = blocking(|| mountpoint::ours().map(with_state))
        .await
        .map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
    if printer.format() == Format::Json {
        let rows: Vec<MountRow> = found.iter().map(|(mounted, found)| row(mounted, found)).collect();
        return printer.json(&rows);
    }
    if found.is_empty() {
        return printer.line("no ProjectWise mounts");
    }
    for (mounted, found) in found {
        printer.line(&format!(
            "{}  {}{}",
            escape_path(&mounted.path),
            escape(&mounted.source),
            escape(&aside(&found))
        ))?;
    }
    Ok(())
}

/// Asks each mount how it is.
pub(super) fn with_state(mounts: Vec<Mounted>) -> Vec<(Mounted, Found)> {
    let paths: Vec<PathBuf> = mounts.iter().map(|mounted| mounted.path.clone()).collect();
    mounts.into_iter().zip(probe::ask(&paths)).collect()
}

fn row(mounted: &Mounted, found: &Found) -> MountRow {
    let state = match found {
        Found::Alive(_) | Found::Closed => "mounted",
        Found::Dead => "dead",
        Found::Silent => "silent",
    };
    let login = match found {
        Found::Alive(told) => told.login.clone(),
        Found::Dead | Found::Silent | Found::Closed => None,
    };
    MountRow {
        login,
        ..MountRow::new(&mounted.path, &mounted.source, state)
    }
}

/// What is worth a word of a mount in a list.
fn aside(found: &Found) -> String {
    match found {
        Found::Dead => "  (its process is gone; `pwfs unmount` clears it)".to_owned(),
        Found::Silent => "  (its process does not answer)".to_owned(),
        Found::Closed => String::new(),
        Found::Alive(told) => match (told.login.as_deref(), &told.remedy) {
            (Some(login), Some(remedy)) => format!("  ({login}: {remedy})"),
            (Some(_) | None, _) => String::new(),
        },
    }
}

/// The folders of the command line, or else of the profile.
fn folder_choices(args: &MountArgs, account: &Account) -> Result<Vec<FolderChoice>, CliError> {
    if !args.folders.is_empty() {
        return Ok(args
            .folders
            .iter()
            .map(|text| FolderChoice::parse(text))
            .collect::<Result<_, _>>()?);
    }
    let chosen = account.profile.folders.iter().map(|choice| {
        Ok(FolderChoice {
            place: FolderPlace::parse(&choice.folder)?,
            alias: choice.alias.clone(),
        })
    });
    chosen.collect()
}

fn tree_config(args: &MountArgs) -> TreeConfig {
    let default = TreeConfig::default();
    let metadata_ttl = match (args.metadata_ttl, args.freshness) {
        (Some(ttl), _) => Some(ttl),
        (None, Some(Freshness::Strict)) => Some(Duration::from_secs(1)),
        (None, Some(Freshness::Archive)) => None,
        (None, Some(Freshness::Balanced) | None) => default.metadata_ttl,
    };
    TreeConfig {
        metadata_ttl,
        on_outage: match args.on_outage {
            Outage::Stale => OnOutage::Stale,
            Outage::Fail => OnOutage::Fail,
        },
        placeholders: match args.placeholders {
            Fileless::Hide => Placeholders::Hide,
            Fileless::Empty => Placeholders::Empty,
        },
        ..default
    }
}

fn appearance(args: &MountArgs, location: Option<String>) -> Appearance {
    // Others get in by the group, so that one decision (whom to put in it) lets them in.
    let (file_mode, dir_mode) = if args.allow_other {
        (0o440, 0o550)
    } else {
        (0o444, 0o555)
    };
    Appearance {
        uid: args.uid.unwrap_or_else(|| rustix::process::getuid().as_raw()),
        gid: args.gid.unwrap_or_else(|| rustix::process::getgid().as_raw()),
        file_mode: args.file_mode.unwrap_or(file_mode),
        dir_mode: args.dir_mode.unwrap_or(dir_mode),
        location: location.unwrap_or_default(),
    }
}

pub(super) fn escape_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(duration("-5m").is_err());
        assert!(duration("soon").is_err());
    }

    #[test]
    fn each_choice_of_freshness_outage_and_placeholders_reaches_the_tree() {
        use crate::cli::{Cli, Command};
        use clap::Parser as _;
        let config = |flags: &str| {
            let line = format!("pwfs mount {flags} dir");
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            let Command::Mount(args) = cli.command else {
                panic!("{line}");
            };
            tree_config(&args)
        };
        let default = TreeConfig::default();
        for (flags, ttl) in [
            ("", default.metadata_ttl),
            ("--freshness balanced", default.metadata_ttl),
            ("--freshness strict", Some(Duration::from_secs(1))),
            ("--freshness archive", None),
            ("--metadata-ttl 7s", Some(Duration::from_secs(7))),
        ] {
            assert_eq!(config(flags).metadata_ttl, ttl, "{flags}");
        }
        assert_eq!(
            default.metadata_ttl,
            Some(Duration::from_mins(5)),
            "as the help says"
        );
        assert!(matches!(config("").on_outage, OnOutage::Stale));
        assert!(matches!(config("--on-outage fail").on_outage, OnOutage::Fail));
        assert!(matches!(config("").placeholders, Placeholders::Hide));
        assert!(matches!(
            config("--placeholders empty").placeholders,
            Placeholders::Empty
        ));
    }

    #[test]
    fn modes_of_a_read_only_tree_have_no_write_bits() {
        assert_eq!(mode("0440"), Ok(0o440));
        assert!(mode("0644").is_err());
        assert!(mode("9").is_err());
    }
}
