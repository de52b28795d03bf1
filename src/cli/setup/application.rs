//! Step 1 of the guide: how to sign in, what to register, and one sign-in to see that it is right.

use std::path::PathBuf;

use url::Url;

use crate::auth::AuthKind;
use crate::auth::callback::Callback;
use crate::auth::login::LoginError;
use crate::cli::failure::CliError;
use crate::cli::login::{AppTypeChoice, LoginArgs, terminal};
use crate::http::Secret;

use super::person::Question;
use super::{Halt, Wizard, words};

/// What was answered about the way to sign in; what a kind does not need is empty.
#[derive(Clone, Default)]
pub(super) struct Answers {
    pub(super) kind: AuthKind,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) username: String,
    pub(super) token_file: PathBuf,
    pub(super) datasource: Option<String>,
    /// A Client Secret or password; absent for apps without one.
    pub(super) secret: Option<Secret>,
}

/// Ports that are offered in place of one that is in use: enough to find a free one, few enough to register.
const OTHER_PORTS: std::ops::Range<u16> = 3302..3320;

impl Wizard<'_> {
    /// Asks until a sign-in works. The profile keeps what worked.
    pub(super) async fn application(&mut self) -> Result<(), Halt> {
        let kind = self.kind().await?;
        if kind.has_app() {
            self.title("Step 1 of 3: register an iTwin application");
        } else {
            self.title("Step 1 of 3: an account of the on-premises server");
            self.person.say(words::ON_PREMISES);
        }
        let mut answers = self.answers(kind).await?;
        loop {
            let error = match self.sign_in(&answers).await {
                Ok(said) => {
                    self.person.say(&format!("\n{said}\n"));
                    return Ok(());
                }
                Err(error) => error,
            };
            self.tell(&error);
            if self.after_a_failure().await? == Again::Changed {
                answers = self.answers(kind).await?;
            }
        }
    }

    async fn kind(&mut self) -> Result<AuthKind, Halt> {
        if let Some(kind) = self.args.login.named_kind() {
            return Ok(kind);
        }
        let options = words::KINDS.map(|(_, text)| text.to_owned()).to_vec();
        let before = self.session.profile.auth;
        let at = words::KINDS.iter().position(|(kind, _)| *kind == before);
        let chosen = self
            .person
            .choose(
                "How does pwfs sign in?",
                "an iTwin app of your own for ProjectWise 365; an account for on-premises servers",
                options,
                at.unwrap_or_default(),
            )
            .await?;
        Ok(words::KINDS[chosen].0)
    }

    async fn answers(&mut self, kind: AuthKind) -> Result<Answers, Halt> {
        let mut answers = Answers {
            kind,
            ..Answers::default()
        };
        if kind.has_app() {
            if kind.has_browser() {
                answers.redirect_uri = self.redirect_uri().await?;
            }
            self.person.say(&words::registration(kind, &answers.redirect_uri));
            answers.client_id = self.client_id().await?;
        } else {
            answers.datasource = Some(match &self.args.login.datasource {
                Some(given) => given.clone(),
                None => self.pasted().await?,
            });
        }
        if kind.has_password() {
            answers.username = match &self.args.login.username {
                Some(given) => given.clone(),
                None => {
                    let before = self.session.profile.username.clone();
                    let question =
                        Question::new("User name", "as in ProjectWise Explorer").or(before.as_deref());
                    self.person.text(question).await?
                }
            };
        }
        if kind.has_token_file() {
            answers.token_file = self.token_file(kind).await?;
        }
        answers.secret = self.secret(kind).await?;
        Ok(answers)
    }

    async fn client_id(&mut self) -> Result<String, Halt> {
        if let Some(id) = &self.args.login.client_id {
            return Ok(id.clone());
        }
        let before = self.session.profile.client_id.clone();
        let question =
            Question::new("Client ID", "copied from the portal: My Apps, your app").or(Some(&before));
        let question = question.checked(|answer| {
            if answer.is_empty() || answer.contains(char::is_whitespace) {
                Err("a Client ID is one word; copy it from the portal".to_owned())
            } else {
                Ok(())
            }
        });
        Ok(self.person.text(question).await?)
    }

    async fn secret(&mut self, kind: AuthKind) -> Result<Option<Secret>, Halt> {
        if self.args.login.has_secret_source() {
            return Ok(None);
        }
        let (text, help) = match kind {
            AuthKind::Web => ("Client Secret", "not shown; empty if the portal offered none"),
            AuthKind::Service => ("Client Secret", "not shown; keep it like a password"),
            AuthKind::Basic | AuthKind::Windows => {
                ("Password", "not shown; kept in the keyring or a private file")
            }
            AuthKind::Native | AuthKind::Spa | AuthKind::Saml | AuthKind::Bearer => return Ok(None),
        };
        Ok(Some(self.person.secret(text, help).await?))
    }

    /// Signs in once with these answers; says as whom.
    async fn sign_in(&mut self, answers: &Answers) -> Result<String, CliError> {
        let args = answers.as_flags(&self.args.login);
        let report = terminal::sign_in(&args, &mut self.session, self.printer).await?;
        Ok(report.login.text())
    }

    async fn token_file(&mut self, kind: AuthKind) -> Result<PathBuf, Halt> {
        let LoginArgs {
            saml_file,
            token_file,
            ..
        } = &self.args.login;
        if let Some(given) = saml_file.as_ref().or(token_file.as_ref()) {
            return Ok(given.clone());
        }
        let before = self
            .session
            .profile
            .token_file
            .as_ref()
            .map(|path| path.display().to_string());
        let help = if kind == AuthKind::Saml {
            "the SAML assertion, as XML; read again whenever it changes"
        } else {
            "the access token alone; read again whenever it changes"
        };
        let question = Question::new("File", help)
            .or(before.as_deref())
            .checked(|answer| {
                std::fs::metadata(answer)
                    .map(|_| ())
                    .map_err(|error| format!("{answer}: {error}"))
            });
        let path = PathBuf::from(self.person.text(question).await?);
        // A profile is used from any directory.
        Ok(std::path::absolute(&path).unwrap_or(path))
    }

    /// The redirect URI to register: the profile's or the usual one, on a port that is free now.
    async fn redirect_uri(&mut self) -> Result<String, Halt> {
        if let Some(given) = &self.args.login.redirect_uri {
            return Ok(given.clone());
        }
        let mut wanted = self.session.profile.redirect_uri.clone();
        if let Err(LoginError::PortInUse { port, .. }) = Callback::bind(&wanted).await
            && let Some(free) = another_port(&wanted).await
        {
            self.person.say(&format!(
                "Port {port} of this machine is in use by another program; {free} has a free one."
            ));
            wanted = free;
        }
        let question = Question::new(
            "Redirect URI",
            "Enter for this one; it must be a port of this machine",
        )
        .or(Some(&wanted))
        .checked(|answer| match Url::parse(answer) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("not a URL: {error}")),
        });
        Ok(self.person.text(question).await?)
    }

    /// Shows a failure as a command would end with it.
    pub(super) fn tell(&mut self, error: &CliError) {
        self.person.say(&format!("\n{}", error.to_text()));
    }

    /// What the person does after a failure.
    pub(super) async fn after_a_failure(&mut self) -> Result<Again, Halt> {
        let options = ["Try again", "Change the answers", "Leave, and go on another time"];
        let chosen = self
            .person
            .choose("What next?", "", options.map(str::to_owned).to_vec(), 0)
            .await?;
        match chosen {
            0 => Ok(Again::Same),
            1 => Ok(Again::Changed),
            _ => Err(Halt::Left),
        }
    }
}

impl Answers {
    /// The flags of `pwfs login` that say the same; what setup does not ask about is as `given`.
    fn as_flags(&self, given: &LoginArgs) -> LoginArgs {
        let only = |applies: bool, text: &str| applies.then(|| text.to_owned());
        let kind = self.kind;
        let file = |wanted: AuthKind| (kind == wanted).then(|| self.token_file.clone());
        LoginArgs {
            client_id: only(kind.has_app(), &self.client_id),
            redirect_uri: only(kind.has_browser(), &self.redirect_uri),
            app_type: match kind {
                AuthKind::Web => Some(AppTypeChoice::Web),
                AuthKind::Native => Some(AppTypeChoice::Native),
                AuthKind::Spa => Some(AppTypeChoice::Spa),
                AuthKind::Service
                | AuthKind::Basic
                | AuthKind::Windows
                | AuthKind::Saml
                | AuthKind::Bearer => None,
            },
            service: kind == AuthKind::Service,
            username: only(kind.has_password(), &self.username),
            windows: kind == AuthKind::Windows,
            saml_file: file(AuthKind::Saml),
            token_file: file(AuthKind::Bearer),
            datasource: self.datasource.clone().or(given.datasource.clone()),
            answered: self.secret.clone(),
            ..given.clone()
        }
    }
}

/// How a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Same,
    Changed,
}

/// The same redirect URI on a port nobody listens on.
async fn another_port(wanted: &str) -> Option<String> {
    let mut url = Url::parse(wanted).ok()?;
    for port in OTHER_PORTS {
        url.set_port(Some(port)).ok()?;
        if Callback::bind(url.as_str()).await.is_ok() {
            return Some(url.as_str().to_owned());
        }
    }
    None
}
