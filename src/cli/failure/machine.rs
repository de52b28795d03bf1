//! What fails on this machine: configuration, mount points, FUSE, the cache.

use super::code::Code;
use super::{CliError, ErrorKind, TRY_LATER};
use crate::config::ConfigError;
use crate::daemon::DaemonError;
use crate::fuse::mountpoint::MountpointError;
use crate::remote::RemoteError;
use crate::tree::TreeError;

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let config = |code| Self::of(ErrorKind::Config, &error).code(code);
        match &error {
            ConfigError::Write { .. } => Self::of(ErrorKind::CannotCreate, &error)
                .code(Code::ConfigUnwritable)
                .hint("check the directory's permissions and the space on its disk, or name another file with --config"),
            ConfigError::ChangedMeanwhile(_) => Self::of(ErrorKind::TryAgain, &error)
                .code(Code::ConfigChanged)
                .hint("run the command again"),
            ConfigError::NoProfile { known, .. } if known.is_empty() => {
                config(Code::ConfigNoProfile).hint("run `pwfs setup` to make one")
            }
            ConfigError::NoProfile { known, .. } => config(Code::ConfigNoProfile).hint(format!(
                "there are: {}; choose one with --profile",
                known.join(", ")
            )),
            ConfigError::NoHome => {
                config(Code::ConfigNoHome).hint("set HOME, or PWFS_CONFIG_DIR, PWFS_STATE_DIR and PWFS_CACHE_DIR")
            }
            ConfigError::Read { .. } => config(Code::ConfigUnreadable)
                .hint("make the file readable for yourself, or name another one with --config"),
            ConfigError::Invalid { .. } | ConfigError::UnknownKey { .. } => {
                config(Code::ConfigInvalid).hint("correct the file, or name another one with --config")
            }
        }
    }
}

impl From<MountpointError> for CliError {
    fn from(error: MountpointError) -> Self {
        let usage = |code| Self::of(ErrorKind::Usage, &error).code(code);
        let failure = |code| Self::of(ErrorKind::Failure, &error).code(code);
        match &error {
            MountpointError::Missing(path) => {
                usage(Code::MountMissing).hint(format!("make it: mkdir -p '{}'", path.display()))
            }
            MountpointError::NotDirectory(_)
            | MountpointError::NotEmpty(_)
            | MountpointError::Foreign { .. } => usage(Code::MountOccupied).hint("choose an empty directory"),
            MountpointError::AlreadyMounted(path) => {
                usage(Code::MountAlreadyMounted).hint(format!("`pwfs unmount '{}'` ends it", path.display()))
            }
            MountpointError::NoDevice => failure(Code::MountNoDevice)
                .hint("load the module: sudo modprobe fuse")
                .hint("in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN"),
            MountpointError::DeviceClosed { .. } => failure(Code::MountDeviceClosed)
                .hint("let every user open it, as distributions do: sudo chmod 0666 /dev/fuse"),
            MountpointError::NoHelper => failure(Code::MountNoHelper)
                .hint("install it: sudo apt install fuse3 (or your distribution's package of that name)"),
            MountpointError::Io { .. } => failure(Code::MountInput)
                .hint("check the path and the permissions of the directories above it"),
        }
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Mountpoint(error) => error.into(),
            DaemonError::Cache(_) => Self::of(ErrorKind::CannotCreate, &error)
                .code(Code::CacheUnusable)
                .hint("choose another directory with --cache-dir"),
            DaemonError::Tree(TreeError::Remote(error)) | DaemonError::Remote(error) => error.into(),
            // As the server's own silence is told.
            DaemonError::Tree(error @ TreeError::TimedOut) => {
                RemoteError::TimedOut(error.to_string().into()).into()
            }
            DaemonError::Tree(TreeError::Unproved(_) | TreeError::Gone) => {
                Self::of(ErrorKind::TryAgain, &error)
                    .code(Code::WsgIncomplete)
                    .hint(TRY_LATER)
            }
            DaemonError::Mount { ref source, .. } => {
                let said = source.to_string();
                let failure = Self::of(ErrorKind::Failure, &error);
                if said.contains("user_allow_other") {
                    failure
                        .code(Code::MountAllowOther)
                        .hint("add the line `user_allow_other` to /etc/fuse.conf, or leave out --allow-other")
                } else {
                    failure.code(Code::MountRefused).hint(
                        "some systems let fusermount3 mount below your home, /mnt, /media or /tmp only (AppArmor): \
                         choose a directory there",
                    )
                }
            }
        }
    }
}
