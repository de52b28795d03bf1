//! How the commands about one object answer.

use clap::{Args, ValueEnum};

/// What such a command takes.
#[derive(Debug, Clone, Args)]
pub struct AnswerArgs {
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = AnswerFormat::Text, value_name = "FORMAT")]
    pub(super) format: AnswerFormat,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// As lines, for people
    Text,
    /// As one object, for programs; the same as --json
    Json,
}

impl AnswerArgs {
    /// True where JSON is asked for.
    pub(super) fn is_json(&self) -> bool {
        self.format == AnswerFormat::Json
    }
}
