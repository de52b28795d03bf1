//! The end of a set-up: the doctor looks at everything, and the next commands are shown.

use std::sync::Arc;

use crate::cli::doctor;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::output::{Printer, escape};
use crate::cli::session::Session;
use crate::config::DEFAULT_PROFILE;

/// Has the doctor look at the profile, and says how to mount it. Fails as the doctor does.
pub(super) async fn check(session: &Session, flags: &str, printer: &Arc<Printer>) -> Result<(), CliError> {
    let examined = tokio::select! {
        examined = doctor::examine_session(session, printer) => examined,
        // The folder picker took the signals, and nobody gives them back.
        _ = tokio::signal::ctrl_c() => Err(CliError::new(ErrorKind::Failure, "the check was broken off")
            .hint(format!("`pwfs {flags}doctor` does it at any time"))),
    };
    // What the doctor found stands before what comes next.
    printer.flush()?;
    let place = match session.profile_name.as_str() {
        _ if session.system => "/mnt/projectwise",
        DEFAULT_PROFILE => "~/ProjectWise",
        _ => "~/ProjectWise/NAME",
    };
    let place = escape(&place.replace("NAME", &session.profile_name));
    printer.note(&format!(
        "\nThe profile {} is kept in {}.\n\nMount it:\n\n    mkdir -p {place}\n    pwfs {flags}mount {place}\n",
        escape(&session.profile_name),
        escape(&session.config.path().display().to_string()),
    ));
    examined
}
