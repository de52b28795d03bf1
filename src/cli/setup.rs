//! `pwfs setup`: from nothing to a mounted folder, in the guide's three steps.
//!
//! A wizard is a list of questions until you consider that:
//! 1. an administrator takes days to answer: every step can be left, and is found again;
//! 2. what was answered wrongly is noticed a step later: every failure offers to change the answers;
//! 3. a script has nobody to ask: the same steps, from flags alone.
//!
//! After each step the profile is written, and `setup/progress.rs` knows which step comes next: 1. A step that fails is
//! asked again with its answers as defaults: 2. `setup/unattended.rs` takes the steps without a person: 3.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use crate::cli::failure::{CliError, ErrorKind};
use crate::cli::login::LoginArgs;
use crate::cli::mount::Preset;
use crate::cli::output::Printer;
use crate::cli::session::Session;
use crate::config::is_profile_name;
use crate::remote::Remote;

mod application;
mod check;
mod datasource;
mod folders;
pub mod person;
pub mod progress;
mod unattended;
mod words;

pub(super) use words::for_the_administrator;

use person::{AtTerminal, Person, Question, Stop};
use progress::{Progress, ProgressFile, Step};

/// Set up a profile: app, sign-in, datasource, folders
///
/// Asks what is needed, in the order of the guide. Every step can be left (Esc) and resumed.
/// Without a terminal, all answers are given as flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SetupArgs {
    /// How to sign in.
    #[command(flatten)]
    pub login: LoginArgs,
    /// Folder to show at the top, by path or GUID, under its own name or ALIAS; may be given several times
    #[arg(long = "folder", value_name = "PATH|GUID[=ALIAS]")]
    pub folders: Vec<String>,
    /// What the mounts of this profile are for; kept in the profile
    #[arg(long, value_enum, value_name = "USE")]
    pub preset: Option<Preset>,
}

/// Keeps what the command line says of the profile's mounts.
fn keep_preset(args: &SetupArgs, session: &mut Session) {
    if let Some(preset) = args.preset {
        session.profile.freshness.preset = Some(preset.kept());
    }
}

/// Why a step did not come to its end.
pub enum Halt {
    /// The person goes on another time.
    Left,
    /// It failed for good.
    Failed(CliError),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Left => Self::Left,
            Stop::Terminal(_) => Self::Failed(CliError::of(ErrorKind::Failure, &stop)),
        }
    }
}

impl<E> From<E> for Halt
where
    CliError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Sets a profile up, with the person at the terminal or from flags alone.
pub async fn setup(args: &SetupArgs, session: Session, printer: &Arc<Printer>) -> Result<(), CliError> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Box::pin(unattended::setup(args, session, printer)).await;
    }
    let mut person = AtTerminal::new(Arc::clone(printer));
    Box::pin(Wizard::new(args, session, &mut person, printer).run()).await
}

/// One set-up, from the first question to the last.
pub struct Wizard<'a> {
    args: &'a SetupArgs,
    session: Session,
    person: &'a mut dyn Person,
    printer: &'a Arc<Printer>,
    record: ProgressFile,
    progress: Progress,
    /// The datasource, once it was reached.
    remote: Option<Arc<dyn Remote>>,
}

impl<'a> Wizard<'a> {
    /// A set-up of the session's profile. Asks nothing yet.
    pub fn new(
        args: &'a SetupArgs,
        session: Session,
        person: &'a mut dyn Person,
        printer: &'a Arc<Printer>,
    ) -> Self {
        let record = ProgressFile::new(&session.dirs.state, &session.profile_name);
        Self {
            args,
            session,
            person,
            printer,
            record,
            progress: Progress::default(),
            remote: None,
        }
    }

    /// Asks until the profile is whole, or the person leaves.
    pub async fn run(mut self) -> Result<(), CliError> {
        match self.steps().await {
            Ok(()) => Ok(()),
            Err(halt) => {
                let kept = self.record.save(&self.progress);
                if let Halt::Failed(error) = halt {
                    return Err(error);
                }
                kept?;
                Err(CliError::new(
                    ErrorKind::TryAgain,
                    "setup was left before its end; the answers so far are kept",
                )
                .hint(format!(
                    "`pwfs {}setup` goes on with: {}",
                    self.flags(),
                    self.progress.next.title()
                )))
            }
        }
    }

    async fn steps(&mut self) -> Result<(), Halt> {
        self.which_profile().await?;
        self.progress.next = self.where_to_begin().await?;
        loop {
            self.progress.next = match self.progress.next {
                Step::Application => {
                    self.application().await?;
                    self.after_application()
                }
                Step::Administrator => {
                    self.administrator().await?;
                    Step::Datasource
                }
                Step::Datasource => {
                    self.datasource().await?;
                    Step::Folders
                }
                Step::Folders => {
                    self.folders().await?;
                    Step::Check
                }
                Step::Check => {
                    keep_preset(self.args, &mut self.session);
                    self.session.keep()?;
                    self.default_profile().await?;
                    self.record.delete()?;
                    return Ok(check::check(&self.session, &self.flags(), self.printer).await?);
                }
            };
            self.record.save(&self.progress)?;
        }
    }

    /// An account of an on-premises server needs nobody's permission for an app.
    fn after_application(&self) -> Step {
        if self.session.profile.auth.has_app() {
            Step::Administrator
        } else {
            Step::Datasource
        }
    }

    /// Where several profiles are possible, the person says which.
    async fn which_profile(&mut self) -> Result<(), Halt> {
        let known = self.session.config.profile_names();
        // A set-up that was left is the one to go on with.
        if self.session.is_named || known.is_empty() || self.record.load().is_some() {
            return Ok(());
        }
        let mut options: Vec<String> = known
            .iter()
            .map(|name| format!("Change the profile {name}"))
            .collect();
        options.push("Set up a new profile".to_owned());
        let at = known.iter().position(|name| *name == self.session.profile_name);
        let chosen = self
            .person
            .choose("Which profile?", "", options, at.unwrap_or_default())
            .await?;
        let name = match known.get(chosen) {
            Some(name) => name.clone(),
            None => self.new_name(known).await?,
        };
        self.session.turn_to(&name)?;
        self.record = ProgressFile::new(&self.session.dirs.state, &name);
        Ok(())
    }

    async fn new_name(&mut self, known: Vec<String>) -> Result<String, Halt> {
        let question = Question::new("Name of the profile", "a word, such as the office or the project")
            .checked(move |name| match name {
                name if !is_profile_name(name) => {
                    Err("use letters, digits, '-', '_' and '.'; no '.' first".to_owned())
                }
                name if known.iter().any(|other| other == name) => {
                    Err(format!("there is a profile {name} already"))
                }
                _ => Ok(()),
            });
        Ok(self.person.text(question).await?)
    }

    /// The first step that is not done, or the one the person wants to change.
    async fn where_to_begin(&mut self) -> Result<Step, Halt> {
        let name = self.session.profile_name.clone();
        if let Some(left) = self.record.load()
            && self.session.exists()
        {
            self.progress = left;
            let next = self.progress.next;
            self.person.say(&format!(
                "The set-up of profile {name} was left before its end.\n"
            ));
            let options = vec![format!("Go on with: {}", next.title()), "Begin again".to_owned()];
            let chosen = self.person.choose("Where to begin?", "", options, 0).await?;
            return Ok(if chosen == 0 { next } else { Step::Application });
        }
        if !self.session.exists() || self.session.profile.datasource.is_none() {
            self.person.say(&format!(
                "Setting up the profile {name}. Esc leaves at any step; `pwfs {}setup` goes on there.\n",
                self.flags()
            ));
            return Ok(Step::Application);
        }
        let steps = [Step::Folders, Step::Datasource, Step::Application, Step::Check];
        let options = steps.map(|step| step.title().to_owned()).to_vec();
        self.person.say(&format!("The profile {name} is set up.\n"));
        let chosen = self.person.choose("What should change?", "", options, 0).await?;
        Ok(steps[chosen])
    }

    /// Where there are several profiles, one is meant when none is named.
    async fn default_profile(&mut self) -> Result<(), Halt> {
        let name = self.session.profile_name.clone();
        if self.session.config.profile_names().len() < 2 || self.session.config.default_profile() == name {
            return Ok(());
        }
        let question = format!("Is {name} the profile that commands mean when they name none?");
        if self.person.confirm(&question, false).await? {
            self.session.config.set_default_profile(&name);
            self.session.config.save()?;
        }
        Ok(())
    }

    /// The flags that name this profile in a command.
    fn flags(&self) -> String {
        flags(&self.session)
    }

    fn title(&mut self, text: &str) {
        self.person
            .say(&format!("\n{text}\n{}\n", "─".repeat(text.chars().count())));
    }
}

/// The flags that name the session's profile in a command, with a space behind.
fn flags(session: &Session) -> String {
    let system = if session.system { "--system " } else { "" };
    let profile = if session.profile_name == session.config.default_profile() {
        String::new()
    } else {
        format!("--profile {} ", session.profile_name)
    };
    format!("{system}{profile}")
}

impl Step {
    /// The step in a few words.
    const fn title(self) -> &'static str {
        match self {
            Self::Application => "app and sign-in",
            Self::Administrator => "the administrator's permission",
            Self::Datasource => "the datasource",
            Self::Folders => "the folders",
            Self::Check => "a check of everything (pwfs doctor)",
        }
    }
}
