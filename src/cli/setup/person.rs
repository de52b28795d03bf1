//! The person at the terminal: what `setup` may ask and tell, and how a terminal does it.
//!
//! The wizard speaks to the [`Person`] trait, so that its tests can answer from a script.

use std::io;
use std::sync::Arc;

use inquire::error::InquireError;
use inquire::validator::Validation;
use inquire::{Confirm, Password, Select, Text};

use crate::cli::failure::CliError;
use crate::cli::output::{Printer, escape};
use crate::cli::picker::{self, Outcome, Picked};
use crate::http::Secret;
use crate::remote::Remote;

use super::progress::Marked;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The person wants to go on another time (Esc, Ctrl-C).
    #[error("setup was left")]
    Left,
    /// The terminal failed.
    #[error("the terminal cannot be used: {0}")]
    Terminal(String),
}

/// Says what is wrong with an answer, or nothing.
pub type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// A question with a line of text for an answer.
#[derive(Clone)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// What it means, in one line below.
    pub help: String,
    /// What an empty answer stands for; absent where one must be given.
    pub default: Option<String>,
    /// What an answer must be.
    pub check: Check,
}

impl Question {
    /// A question that takes any text but an empty one.
    pub fn new(text: &str, help: &str) -> Self {
        Self {
            text: text.to_owned(),
            help: help.to_owned(),
            default: None,
            check: Arc::new(|answer| {
                if answer.trim().is_empty() {
                    Err("an answer is needed; Esc leaves setup".to_owned())
                } else {
                    Ok(())
                }
            }),
        }
    }

    /// With what an empty answer stands for.
    #[must_use]
    pub fn or(mut self, default: Option<&str>) -> Self {
        self.default = default.filter(|text| !text.is_empty()).map(str::to_owned);
        self
    }

    /// With what an answer must be.
    #[must_use]
    pub fn checked(mut self, check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }
}

/// What was done in the folder picker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picking {
    /// These folders, or all where none is marked.
    Chosen(Vec<Marked>),
    /// The person stops here; so far these are marked.
    Left(Vec<Marked>),
    /// The picker could not go on; so far these are marked.
    Failed(Vec<Marked>, CliError),
}

/// Whoever answers.
#[async_trait::async_trait]
pub trait Person: Send {
    /// Tells something. The text may hold words of servers: it is escaped line by line.
    fn say(&mut self, text: &str);

    /// A line of text, without space around it.
    async fn text(&mut self, question: Question) -> Result<String, Stop>;

    /// A line that is not shown; empty where the person gives none.
    async fn secret(&mut self, text: &str, help: &str) -> Result<Secret, Stop>;

    /// One of `options`, by its place; `at` is offered first.
    async fn choose(
        &mut self,
        text: &str,
        help: &str,
        options: Vec<String>,
        at: usize,
    ) -> Result<usize, Stop>;

    /// Yes or no; `default` is what Enter says.
    async fn confirm(&mut self, text: &str, default: bool) -> Result<bool, Stop>;

    /// Folders of `remote`; `before` are marked already.
    async fn pick(&mut self, remote: Arc<dyn Remote>, before: Vec<Marked>) -> Result<Picking, CliError>;
}

/// A person at this process's terminal.
pub struct AtTerminal {
    printer: Arc<Printer>,
}

/// Options on one screen; more scroll.
const SHOWN_OPTIONS: usize = 12;

impl AtTerminal {
    /// Speaks through `printer`, whose notes go to stderr as the questions do.
    pub const fn new(printer: Arc<Printer>) -> Self {
        Self { printer }
    }
}

#[async_trait::async_trait]
impl Person for AtTerminal {
    fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.printer.note(&escape(line));
        }
    }

    async fn text(&mut self, question: Question) -> Result<String, Stop> {
        asked(move || {
            let check = Arc::clone(&question.check);
            let (text, help) = (escape(&question.text), escape(&question.help));
            let default = question.default.as_deref().map(escape);
            let mut prompt = Text::new(&text).with_validator(move |answer: &str| {
                Ok(match check(answer.trim()) {
                    Ok(()) => Validation::Valid,
                    Err(wrong) => Validation::Invalid(escape(&wrong).into()),
                })
            });
            if !help.is_empty() {
                prompt = prompt.with_help_message(&help);
            }
            if let Some(default) = &default {
                prompt = prompt.with_default(default);
            }
            prompt.prompt().map(|answer| answer.trim().to_owned())
        })
        .await
    }

    async fn secret(&mut self, text: &str, help: &str) -> Result<Secret, Stop> {
        let (text, help) = (escape(text), escape(help));
        asked(move || {
            Password::new(&text)
                .without_confirmation()
                .with_help_message(&help)
                .prompt()
                .map(|answer| Secret::new(answer.trim()))
        })
        .await
    }

    async fn choose(
        &mut self,
        text: &str,
        help: &str,
        options: Vec<String>,
        at: usize,
    ) -> Result<usize, Stop> {
        let (text, help) = (escape(text), escape(help));
        let options: Vec<String> = options.iter().map(|option| escape(option)).collect();
        asked(move || {
            let mut prompt = Select::new(&text, options)
                .with_page_size(SHOWN_OPTIONS)
                .with_starting_cursor(at);
            if !help.is_empty() {
                prompt = prompt.with_help_message(&help);
            }
            prompt.raw_prompt().map(|chosen| chosen.index)
        })
        .await
    }

    async fn confirm(&mut self, text: &str, default: bool) -> Result<bool, Stop> {
        let text = escape(text);
        asked(move || Confirm::new(&text).with_default(default).prompt()).await
    }

    async fn pick(&mut self, remote: Arc<dyn Remote>, before: Vec<Marked>) -> Result<Picking, CliError> {
        let before = before.into_iter().filter_map(Marked::into_picked).collect();
        let terminal = picker::terminal::Terminal::open(&self.printer)?;
        let marked = |picked: Vec<Picked>| picked.into_iter().map(Marked::from).collect();
        Ok(match picker::pick(remote, None, before, terminal).await {
            Ok(Outcome::Chosen(picked)) => Picking::Chosen(marked(picked)),
            Ok(Outcome::Left(picked)) => Picking::Left(marked(picked)),
            Err(stopped) => Picking::Failed(marked(stopped.picked), stopped.error),
        })
    }
}

/// Asks away from the workers: a person takes their time.
async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, InquireError> + Send + 'static,
) -> Result<T, Stop> {
    let answer = tokio::task::spawn_blocking(ask)
        .await
        .unwrap_or_else(|error| Err(InquireError::IO(io::Error::other(error))));
    answer.map_err(|error| match error {
        InquireError::OperationCanceled | InquireError::OperationInterrupted => Stop::Left,
        other => Stop::Terminal(other.to_string()),
    })
}
