//! Asks before something is removed.

use std::io::IsTerminal;

use inquire::Confirm;

use super::{documents, size};
use crate::cli::failure::{CliError, ErrorKind};
use crate::content::care::CacheInfo;
use crate::daemon::blocking;

/// Asks whether all of this may go. An error where it may not, or nobody can be asked.
pub(super) async fn removal(info: &CacheInfo) -> Result<(), CliError> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let text = "there is no terminal to ask on whether the cache may be emptied";
        return Err(CliError::new(ErrorKind::Usage, text).hint("say so: `pwfs cache clear --yes`"));
    }
    let question = format!("Remove {} with {}?", documents(info.entries), size(info.bytes));
    let answer = blocking(move || Confirm::new(&question).with_default(false).prompt()).await;
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::new(ErrorKind::Failure, "nothing was removed")),
        Err(error) => Err(CliError::of(ErrorKind::Failure, &error).while_doing("nothing was removed")),
    }
}
