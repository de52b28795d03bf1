//! The server of a mount, asked by a command with the login of its profile.

use std::sync::Arc;

use super::failure::{CliError, ErrorKind};
use super::session::Session;
use crate::daemon::connect::Account;
use crate::explain::MountFacts;
use crate::remote::Remote as _;
use crate::remote::wsg::{DatasourceName, WsgRemote};

/// What there is to ask with.
pub(super) enum Counterpart {
    /// The server.
    Server(Arc<WsgRemote>),
    /// Whose login it is cannot be known here; why, in words.
    Unknown(String),
}

/// Connects to the server that `mount` shows, as the account that it shows it to. `session` turns to its profile.
pub(super) async fn of_mount(session: &mut Session, mount: &MountFacts) -> Result<Counterpart, CliError> {
    let Some(profile) = &mount.profile else {
        let reason = "the mount does not tell whose login it has";
        return Ok(Counterpart::Unknown(reason.to_owned()));
    };
    session.turn_to(profile)?;
    if !session.exists() {
        // Such as the one of a demo, which is in no file.
        let reason = format!("the configuration has no profile \"{profile}\", which the mount has");
        return Ok(Counterpart::Unknown(reason));
    }
    let account = session.account_now()?;
    let remote = connect(&account, mount.datasource.as_deref()).await?;
    let seen = remote.account().await?;
    match &mount.account {
        // Somebody else may have signed in since, who sees other things.
        Some(wanted) if *wanted != seen => {
            let text = "the profile signs in as another account than the mount has";
            let cause = format!("the mount shows what {wanted} sees, and this is {seen}");
            Err(CliError::new(ErrorKind::Login, text)
                .cause(cause)
                .hint("mount it anew, or sign in as before: `pwfs login`"))
        }
        Some(_) | None => Ok(Counterpart::Server(remote)),
    }
}

/// The datasource of the mount, which need not be that of its profile.
async fn connect(account: &Account, datasource: Option<&str>) -> Result<Arc<WsgRemote>, CliError> {
    let wanted = datasource.and_then(DatasourceName::parse);
    let own = account.link(None).ok();
    let url = match (&wanted, own) {
        (Some(wanted), Some(own)) if own.leads_into(wanted) => None,
        (Some(wanted), _) => Some(wanted.url()),
        (None, _) => None,
    };
    let remote = account.connect(url.as_deref()).await?;
    match datasource {
        // Another one has other documents, and might have another one of this GUID.
        Some(wanted) if remote.name() != wanted => {
            let text = "the server that answers is not that of the mount";
            let cause = format!("the mount shows {wanted}, and this is {}", remote.name());
            Err(CliError::new(ErrorKind::Failure, text).cause(cause))
        }
        Some(_) | None => Ok(remote),
    }
}
