//! The three commands at a terminal: what a person is told and asked, and what is kept in the profile.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use url::Url;

use super::{
    Context, Hooks, LoginArgs, LoginReport, LogoutArgs, LogoutReport, Question, SavedLogin, WhoamiArgs,
    WhoamiReport, stdin, system,
};
use crate::auth::login::LoginNotice;
use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::launch::launch;
use crate::cli::output::{Format, Printer, escape};
use crate::cli::session::Session;
use crate::http::HttpClient;

/// Signs in and keeps what worked in the profile.
pub async fn login(args: &LoginArgs, mut session: Session, printer: &Arc<Printer>) -> Result<(), CliError> {
    let report = sign_in(args, &mut session, printer).await?;
    match printer.format() {
        Format::Json => printer.json(&report),
        Format::Text => lines(&report.login, printer),
    }
}

/// Signs in, keeps what worked in the profile, and tells what else there is to know.
pub(in crate::cli) async fn sign_in(
    args: &LoginArgs,
    session: &mut Session,
    printer: &Arc<Printer>,
) -> Result<LoginReport, CliError> {
    let args = &if session.system {
        system::prepare(args, &session.dirs)?
    } else {
        args.clone()
    };
    let http = session.http()?;
    // Before anything is asked that would be typed in vain.
    http.ready()?;
    let saved = saved(session)?;
    let report = {
        let context = context(session, &http, &saved);
        let mut notify = |notice| tell(notice, args.no_browser, printer);
        let mut asked_before = false;
        let mut ask = |question| match question {
            // Whoever asked for it before takes no answer for one.
            Question::ClientSecret | Question::Password if args.answered.is_some() => ready(Ok(None)).boxed(),
            question => asked(question, &mut asked_before, printer),
        };
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
    report.keep_in(&mut session.profile)?;
    session.keep()?;
    for note in &report.notes {
        printer.warn(&escape(note));
    }
    Ok(report)
}

/// Ends the login. The profile stays: its app and datasource are as good as before.
pub async fn logout(args: &LogoutArgs, session: Session, printer: &Printer) -> Result<(), CliError> {
    let http = session.http()?;
    let saved = saved(&session)?;
    let report: LogoutReport = super::logout(args, &context(&session, &http, &saved)).await?;
    for note in &report.notes {
        printer.warn(&escape(note));
    }
    match (printer.format(), &report.token_file) {
        (Format::Json, _) => printer.json(&report),
        (Format::Text, Some(file)) => printer.line(&format!(
            "pwfs keeps nothing of this login; the token stays in {}",
            escape(file)
        )),
        (Format::Text, None) if !report.was_signed_in => printer.line("nobody was signed in"),
        (Format::Text, None) if report.revoked => printer.line("signed out, at the identity provider too"),
        (Format::Text, None) => printer.line("signed out on this machine"),
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
    if !session.exists() {
        return Ok(SavedLogin::default());
    }
    SavedLogin::of(&session.profile).map_err(|error| {
        CliError::of(ErrorKind::Config, &error)
            .while_doing(format!("the issuer {:?}", session.profile.issuer))
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

/// Prints the address, and opens the browser if there is one here.
fn tell(notice: LoginNotice, no_browser: bool, printer: &Printer) {
    match notice {
        LoginNotice::Open(url) => {
            let back = loopback(&url);
            let surroundings = Surroundings::look(|name| std::env::var_os(name));
            printer.note(&format!("To sign in, open\n\n  {}\n", escape(url.as_str())));
            if !no_browser && surroundings.has_browser {
                // Not waited for: the address is there to be opened by hand.
                drop(tokio::task::spawn_blocking(move || open_browser(&url)));
            }
            if let Some((back, port)) = back {
                if let Some(tunnel) = surroundings.tunnel(port) {
                    printer.note(&format!(
                        "in a browser on your own machine. It comes back to port {port} there: lead that here, in a \
                         terminal on your own machine, with\n\n  {}\n",
                        escape(&tunnel)
                    ));
                }
                // Where it is not, the provider shows an error and nobody comes back (projectwise-api 3).
                printer.note(&format!(
                    "Waiting for the browser to come back to {}, which must be registered for the app exactly like \
                     this; Ctrl-C gives up.",
                    escape(&back)
                ));
            }
        }
        LoginNotice::WithoutOfflineAccess => {
            printer.warn("the app may not ask for offline_access: this login lasts about an hour. Open the next address");
        }
    }
}

/// Where on this machine a sign-in page leads back to: the redirect URI, and its port.
fn loopback(page: &Url) -> Option<(String, u16)> {
    let (_, redirect) = page.query_pairs().find(|(name, _)| name == "redirect_uri")?;
    let url = Url::parse(&redirect).ok()?;
    // As the login decides it: only http leads back to this machine.
    let port = url.port_or_known_default().filter(|_| url.scheme() == "http")?;
    Some((redirect.into_owned(), port))
}

/// Where the person sits, as far as the environment tells.
struct Surroundings {
    /// Whether to try and open a browser here.
    has_browser: bool,
    /// The user and machine the person came to from another one.
    came_to: Option<String>,
}

impl Surroundings {
    fn look(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let text = |name: &str| {
            variable(name)
                .and_then(|value| value.into_string().ok())
                .filter(|value| !value.is_empty())
        };
        let is_set = |name: &str| variable(name).is_some_and(|value| value != OsStr::new(""));
        // Client address and port, then those of this machine (ssh(1)): the way the person came in is known to work.
        let ssh = text("SSH_CONNECTION");
        let host = ssh
            .as_deref()
            .and_then(|ssh| ssh.split(' ').nth(2))
            .map(|address| match text("USER").or_else(|| text("LOGNAME")) {
                Some(user) => format!("{user}@{address}"),
                None => address.to_owned(),
            });
        // An editor that came over SSH sets BROWSER to a program that opens one at the person's side.
        let opens = is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") || is_set("BROWSER");
        Self {
            has_browser: opens || ssh.is_none(),
            came_to: host.filter(|_| !opens),
        }
    }

    /// The command that leads a port of the person's machine to this one.
    fn tunnel(&self, port: u16) -> Option<String> {
        let host = self.came_to.as_ref()?;
        Some(format!("ssh -N -L {port}:localhost:{port} {host}"))
    }
}

/// Opens `url` in the person's browser, without waiting for it; false where there is no opener.
pub fn open_browser(url: &Url) -> bool {
    launch(url.as_str().as_ref()).is_ok()
}

/// Asks at the terminal. Where there is none, only the pasted address is read.
fn asked(
    question: Question,
    asked_before: &mut bool,
    printer: &Printer,
) -> BoxFuture<'static, io::Result<Option<String>>> {
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
        Question::Password if terminal => {
            printer.note("Password (empty for the one that is stored; it is not shown):");
            answer(|| rpassword::read_password().map(Some))
        }
        Question::AddressFromElsewhere if terminal => {
            printer.note(if std::mem::replace(asked_before, true) {
                "That is no address of this login. Paste the whole one, with everything behind the question mark:"
            } else {
                "If the browser runs on another machine, paste the whole address of the page it ended at here, even if \
                 that page could not be shown. It holds a one-time code: give it to nobody else."
            });
            stdin::line()
        }
        Question::ClientId | Question::ClientSecret | Question::Password | Question::AddressFromElsewhere => {
            ready(Ok(None)).boxed()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::look(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn over_ssh_without_a_display_no_browser_is_tried_and_the_way_here_is_told() {
        const SSH: (&str, &str) = ("SSH_CONNECTION", "10.0.0.5 51112 10.0.0.9 22");
        for (variables, browser, tunnel) in [
            (vec![], true, None),
            (vec![("DISPLAY", ":0")], true, None),
            (
                vec![SSH, ("USER", "anna")],
                false,
                Some("ssh -N -L 3301:localhost:3301 anna@10.0.0.9"),
            ),
            (
                vec![SSH, ("DISPLAY", "")],
                false,
                Some("ssh -N -L 3301:localhost:3301 10.0.0.9"),
            ),
            // X forwarded, and an editor that brings its own way.
            (vec![SSH, ("DISPLAY", "localhost:10.0")], true, None),
            (vec![SSH, ("BROWSER", "helper")], true, None),
        ] {
            let here = surroundings(&variables);
            assert_eq!(here.has_browser, browser, "{variables:?}");
            assert_eq!(here.tunnel(3301).as_deref(), tunnel, "{variables:?}");
        }
    }

    #[test]
    fn the_port_is_the_one_the_page_leads_back_to() {
        let page = |redirect: &str| {
            let mut page = Url::parse("https://ims.example/connect/authorize").unwrap();
            page.query_pairs_mut().append_pair("redirect_uri", redirect);
            loopback(&page).map(|(_, port)| port)
        };
        assert_eq!(page("http://localhost:3301/signin-callback"), Some(3301));
        assert_eq!(page("http://127.0.0.1/x"), Some(80));
        assert_eq!(page("https://app.example.com/callback"), None);
    }
}
