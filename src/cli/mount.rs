//! `mount`, `unmount`, `mounts`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Serialize;
use tokio::runtime::Handle;

use super::cache::CacheSizeArgs;
use super::failure::{CliError, ErrorKind};
use super::output::{Format, Printer, escape};
use super::session::SourceArgs;
use super::{GlobalArgs, interrupt};
use crate::config::AppDirs;
use crate::daemon::choose::{FolderChoice, FolderPlace};
use crate::daemon::connect::Account;
use crate::daemon::health::probe::{self, Found};
use crate::daemon::health::remedy::login_command;
use crate::daemon::start::{self, Beginning, Wanted};
use crate::daemon::{Daemon, MountPlan, Storage, blocking};
use crate::fs::Appearance;
use crate::fuse::mountpoint::{self, Mounted};
use crate::fuse::session::{self, Access, Unmounted};
use crate::tree::TreeConfig;

mod freshness;
mod reading;

use freshness::FreshnessArgs;
pub use freshness::Preset;
use reading::ReadingArgs;

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
    /// How much of them.
    #[command(flatten)]
    cache: CacheSizeArgs,
    /// How fresh answers are.
    #[command(flatten)]
    pub(super) freshness: FreshnessArgs,
    /// How documents are read.
    #[command(flatten)]
    pub(super) reading: ReadingArgs,
    /// Let other users in, by the permission bits (needs `user_allow_other` in /etc/fuse.conf unless root mounts)
    #[arg(long, env = "PWFS_ALLOW_OTHER")]
    allow_other: bool,
    /// Owner of everything [default: you]
    #[arg(long, env = "PWFS_UID")]
    uid: Option<u32>,
    /// Group of everything [default: yours]
    #[arg(long, env = "PWFS_GID")]
    gid: Option<u32>,
    /// Permission bits of files [default: 0444, with --allow-other 0440; with --exec 0555 and 0550]
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

/// Unmount a directory
#[derive(Debug, Clone, Args)]
pub struct UnmountArgs {
    /// The directory
    dir: PathBuf,
    /// Break the mount off: whoever waits for an answer from it, or has files open, gets an error at once
    #[arg(long, short = 'f')]
    force: bool,
    /// Take it off the directory at once, even if it is in use; whoever has files open can go on with them
    #[arg(long, short = 'l', conflicts_with = "force")]
    lazy: bool,
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
    let choices = if begins_below && args.folders.is_empty() {
        // The link's own folder.
        Vec::new()
    } else {
        folder_choices(args, account)?
    };
    let wanted = Wanted {
        source: source.map(str::to_owned),
        choices,
    };
    let kept = &account.profile.freshness;
    // Before anybody is asked for anything: it may be wrong.
    let reading = args
        .reading
        .decided(&account.profile.reading, args.freshness.preset(kept))?;
    let cache_dir = args.cache_dir.clone().unwrap_or_else(|| dirs.cache.clone());
    let Beginning {
        remote,
        tokens,
        chosen,
        account: server_account,
        outstanding,
        keepsake,
    } = start::begin(account, &wanted, &cache_dir).await?;
    let sign_in = login_command(&account.name, global.system, global.config.as_deref());
    let plan = MountPlan {
        mountpoint: args.dir.clone(),
        tree: TreeConfig {
            chosen,
            ..args.freshness.rules(kept)
        },
        refresh_interval: args.freshness.refresh_interval(kept),
        appearance: appearance(args, reading.exec, remote.address().location()),
        reading,
        storage: Storage {
            cache_dir,
            state_dir: dirs.state.clone(),
            issuer: account.issuer(),
            cache: args.cache.options(&account.profile),
        },
        access: if args.allow_other {
            Access::Everyone
        } else {
            Access::Owner
        },
        caching: None,
        // Nobody is logged in for a mount of the system.
        account: Some(server_account),
        outstanding,
        takes_signals: interrupt::take_both,
        login: Some(account.login_watch(&tokens, &sign_in, !args.no_notify && !global.system)),
        remote,
    };
    let daemon = Daemon::start(plan, &Handle::current()).await?;
    if let Some(keepsake) = keepsake {
        keepsake.keep().await;
    }
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
    let is_foreign = daemon.is_foreign();
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
    if is_foreign {
        let text = "the server sees another account than the last time, whose folders were shown";
        return Err(CliError::new(ErrorKind::TryAgain, text)
            .hint("mount again: it begins with what that account sees"));
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
            let (force, lazy, unmounted) = (args.force, args.lazy, mounted.clone());
            let outcome = blocking(move || {
                if force {
                    session::force(&unmounted).map(|()| Unmounted::Cleanly)
                } else if lazy {
                    session::detach(&unmounted.path).map(|()| Unmounted::Cleanly)
                } else {
                    session::unmount(&unmounted.path)
                }
            })
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
        Found::Silent => "  (its process does not answer; `pwfs unmount --force` breaks it off)".to_owned(),
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

fn appearance(args: &MountArgs, exec: bool, location: Option<String>) -> Appearance {
    // Others get in by the group, so that one decision (whom to put in it) lets them in.
    let (read, dir_mode) = if args.allow_other {
        (0o440, 0o550)
    } else {
        (0o444, 0o555)
    };
    // Which of them are programs nobody knows.
    let file_mode = if exec { dir_mode } else { read };
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
    fn modes_of_a_read_only_tree_have_no_write_bits() {
        assert_eq!(mode("0440"), Ok(0o440));
        assert!(mode("0644").is_err());
        assert!(mode("9").is_err());
    }
}
