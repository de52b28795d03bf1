//! The three commands at a terminal: what a person is told and asked, and what is kept in the profile.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use url::Url;

use super::{
    Context, Hooks, LoginArgs, LoginReport, LogoutArgs, LogoutReport, Question, SavedLogin, WhoamiArgs,
    WhoamiReport, open_browser,
};
use crate::auth::StoreKind;
use crate::auth::login::LoginNotice;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::output::{Format, Printer, escape};
use crate::cli::session::Session;
use crate::http::HttpClient;

/// Signs in and keeps what worked in the profile.
pub async fn login(args: &LoginArgs, mut session: Session, printer: &Arc<Printer>) -> Result<(), CliError> {
    let http = session.http()?;
    // Before anything is asked that would be typed in vain.
    http.ready()?;
    let saved = saved(&session)?;
    let report = {
        let context = context(&session, &http, &saved);
        let redirect_uri = args.redirect_uri.as_ref().or(saved.redirect_uri.as_ref());
        // As the login decides it: only http leads back to this machine.
        let pastes = redirect_uri.is_some_and(|uri| !uri.starts_with("http:"));
        let mut notify = |notice| tell(notice, args.no_browser, pastes, printer);
        let mut ask = |question| asked(question, printer);
        super::login(
            args,
            &context,
            Hooks {
                notify: &mut notify,
                ask: &mut ask,
            },
        )
        .await?
    };
    keep(&mut session, &report)?;
    for note in &report.notes {
        printer.warn(&escape(note));
    }
    match printer.format() {
        Format::Json => printer.json(&report),
        Format::Text => lines(&report.login, printer),
    }
}

/// Ends the login. The profile stays: its app and datasource are as good as before.
pub async fn logout(args: &LogoutArgs, session: Session, printer: &Printer) -> Result<(), CliError> {
    let http = session.http()?;
    let saved = saved(&session)?;
    let report: LogoutReport = super::logout(args, &context(&session, &http, &saved)).await?;
    for note in &report.notes {
        printer.warn(&escape(note));
    }
    match printer.format() {
        Format::Json => printer.json(&report),
        Format::Text if !report.was_signed_in => printer.line("nobody was signed in"),
        Format::Text if report.revoked => printer.line("signed out, at the identity provider too"),
        Format::Text => printer.line("signed out on this machine"),
    }
}

/// Tells who is signed in.
pub async fn whoami(args: &WhoamiArgs, session: Session, printer: &Printer) -> Result<(), CliError> {
    let http = session.http()?;
    let saved = saved(&session)?;
    let report = super::whoami(args, &context(&session, &http, &saved)).await?;
    match printer.format() {
        Format::Json => printer.json(&report),
        Format::Text => lines(&report, printer),
    }
}

fn lines(report: &WhoamiReport, printer: &Printer) -> Result<(), CliError> {
    report
        .text()
        .lines()
        .try_for_each(|line| printer.line(&escape(line)))
}

/// What the profile knows of its login; nothing before the first one.
fn saved(session: &Session) -> Result<SavedLogin, CliError> {
    let profile = &session.profile;
    if !session.exists() || profile.client_id.is_empty() {
        return Ok(SavedLogin::default());
    }
    let issuer = Url::parse(&profile.issuer).map_err(|error| {
        CliError::of(ErrorKind::Config, &error).while_doing(format!("the issuer {:?}", profile.issuer))
    })?;
    Ok(SavedLogin {
        client_id: Some(profile.client_id.clone()),
        issuer: Some(issuer),
        scopes: Some(profile.scopes.join(" ")),
        redirect_uri: Some(profile.redirect_uri.clone()),
        credentials: Some(profile.credentials),
    })
}

fn context<'a>(session: &'a Session, http: &'a HttpClient, saved: &'a SavedLogin) -> Context<'a> {
    Context {
        http,
        state_dir: &session.dirs.state,
        profile: &session.profile_name,
        saved,
    }
}

/// Keeps in the profile what worked. Mounts that run find the new login through the credential store.
fn keep(session: &mut Session, report: &LoginReport) -> Result<(), CliError> {
    let mut profile = session.profile_to_keep();
    profile.client_id.clone_from(&report.login.client_id);
    profile.issuer.clone_from(&report.login.issuer);
    profile.scopes = report
        .login
        .scopes
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    profile.redirect_uri.clone_from(&report.redirect_uri);
    profile.credentials = report
        .login
        .credentials
        .parse::<StoreKind>()
        .map_err(|error| CliError::of(ErrorKind::Failure, &error))?;
    let (name, config) = (session.profile_name.clone(), &mut session.config);
    config.set_profile(&name, &profile)?;
    config.save()?;
    Ok(())
}

/// Prints the address, and opens the browser if there is one.
fn tell(notice: LoginNotice, no_browser: bool, pastes: bool, printer: &Printer) {
    match notice {
        LoginNotice::Open(url) => {
            printer.note(&format!("To sign in, open\n\n  {}\n", escape(url.as_str())));
            if !no_browser {
                // Not waited for: the address is there to be opened by hand.
                drop(tokio::task::spawn_blocking(move || open_browser(&url)));
            }
            if !pastes {
                printer.note("Waiting for the browser to come back; Ctrl-C gives up.");
            }
        }
        LoginNotice::WithoutOfflineAccess => {
            printer.warn("the app may not ask for offline_access: this login lasts about an hour. Open the next address");
        }
    }
}

/// Asks at the terminal. Where there is none, only the pasted address is read.
fn asked(question: Question, printer: &Printer) -> BoxFuture<'static, io::Result<Option<String>>> {
    let terminal = io::stdin().is_terminal();
    match question {
        Question::ClientId if terminal => {
            printer.note("Client ID of your app (iTwin Developer Portal, My Apps):");
            answer(read_line)
        }
        Question::ClientSecret if terminal => {
            printer.note("Client Secret (empty for an app without one; it is not shown):");
            // rpassword reads from the terminal itself, without echo.
            answer(|| rpassword::read_password().map(Some))
        }
        Question::ClientId | Question::ClientSecret => futures_util::future::ready(Ok(None)).boxed(),
        Question::PastedAddress => {
            printer.note("Paste the whole address of the page the browser ended at. It holds a one-time code: keep it to yourself.");
            answer(read_line)
        }
    }
}

fn answer(
    read: impl FnOnce() -> io::Result<Option<String>> + Send + 'static,
) -> BoxFuture<'static, io::Result<Option<String>>> {
    let reading = tokio::task::spawn_blocking(read);
    async move { reading.await.unwrap_or_else(|error| Err(io::Error::other(error))) }.boxed()
}

/// A line, or `None` at the end of the input.
fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}
