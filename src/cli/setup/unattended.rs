//! The same steps without a person: every answer is a flag, and what is missing is named.

use std::sync::Arc;

use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::login::terminal;
use crate::cli::output::{Printer, escape};
use crate::cli::session::Session;
use crate::remote::Remote;

use super::folders::given;
use super::progress::{Marked, ProgressFile};
use super::{Halt, SetupArgs, check, words};

/// The flags without which there is nothing to begin with; what else a login needs it says itself.
fn missing(args: &SetupArgs, session: &Session) -> Vec<&'static str> {
    let (login, profile) = (&args.login, &session.profile);
    let kind = login.named_kind().unwrap_or(profile.auth);
    let mut missing = Vec::new();
    if kind.has_app() && login.client_id.is_none() && profile.client_id.is_empty() {
        missing.push("--client-id");
    }
    if login.datasource.is_none() && profile.datasource.is_none() {
        missing.push("--datasource");
    }
    missing
}

/// Sets a profile up from flags, environment and what the profile has already.
pub(super) async fn setup(
    args: &SetupArgs,
    mut session: Session,
    printer: &Arc<Printer>,
) -> Result<(), CliError> {
    let missing = missing(args, &session);
    if !missing.is_empty() {
        let mut error = CliError::new(ErrorKind::Usage, words::WITHOUT_A_TERMINAL)
            .cause(format!("missing: {}", missing.join(", ")));
        for command in words::COMMANDS {
            error = error.hint(command);
        }
        return Err(error);
    }
    let report = terminal::sign_in(&args.login, &mut session, printer).await?;
    for line in report.login.text().lines() {
        printer.note(&escape(line));
    }
    let opened = session
        .account_now()?
        .open(args.login.datasource.as_deref())
        .await?;
    session.profile.datasource = Some(opened.remote.address().to_string());
    let remote: Arc<dyn Remote> = opened.remote;
    if !args.folders.is_empty() {
        let marked = given(&remote, &args.folders).await.map_err(|halt| match halt {
            Halt::Failed(error) => error,
            Halt::Left => CliError::new(ErrorKind::Failure, "nobody can be asked"),
        })?;
        session.profile.folders = marked.iter().map(Marked::as_choice).collect();
    }
    super::keep_preset(args, &mut session);
    session.keep()?;
    ProgressFile::new(&session.dirs.state, &session.profile_name).delete()?;
    check::check(&session, &super::flags(&session), printer).await
}
