//! `--system`: profiles in `/etc/pwfs`, logins in `/var/lib/pwfs`, for mounts nobody is logged in for.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::auth::store::private_dir;
use crate::cli::failure::{CliError, ErrorKind};
use crate::config::AppDirs;

use super::{CredentialsChoice, LoginArgs};

/// What to say to those who may not.
pub const SUDO: &str = "profiles of the system belong to root: run it with sudo";

/// Makes ready for a login: the place for it is there, closed to others, and a file, as there is no desktop with a
/// keyring where such a mount starts. Blocks.
pub(super) fn prepare(args: &LoginArgs, dirs: &AppDirs) -> Result<LoginArgs, CliError> {
    if args.credentials == Some(CredentialsChoice::Keyring) {
        return Err(CliError::new(
            ErrorKind::Usage,
            "a login of the system is kept in a file: no desktop, and so no keyring, runs where it is needed",
        ));
    }
    for dir in [&dirs.config, &dirs.state] {
        if !may_write(dir) {
            return Err(CliError::new(
                ErrorKind::Login,
                format!(
                    "{} belongs to the system, and this user may not write there",
                    dir.display()
                ),
            )
            .hint(SUDO));
        }
    }
    // One that systemd or an administrator made open to others is closed: its credentials are nobody else's business.
    private_dir(&dirs.state)?;
    Ok(LoginArgs {
        credentials: Some(CredentialsChoice::File),
        ..args.clone()
    })
}

/// Whether this user may write into `dir`, or make it.
fn may_write(dir: &Path) -> bool {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists());
    existing.is_some_and(|existing| access(existing, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}
