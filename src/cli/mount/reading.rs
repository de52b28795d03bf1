//! How a mount is read: by which programs, how far ahead, and whether what is in it can be run.

use clap::Args;
use clap::builder::FalseyValueParser;

use super::super::failure::{CliError, ErrorKind};
use crate::config::freshness::Preset;
use crate::config::reading::{self as kept, bytes};
use crate::daemon::Reading;
use crate::fs::policy::{CallerRule, CallerRules, InvalidRule};

/// How documents are read.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReadingArgs {
    /// A program that is given only what is here already, beside the usual thumbnailers and indexers; `!NAME` lets one fetch,
    /// `!*` all of them; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "PWFS_NEVER_DOWNLOAD")]
    never_download: Vec<CallerRule>,
    /// How far the kernel reads ahead, such as 4M; only root may change it [default: the kernel's own 128K]
    #[arg(long, value_name = "SIZE", value_parser = bytes, env = "PWFS_READ_AHEAD")]
    read_ahead: Option<u64>,
    /// Let documents be run as programs, which gives files their execute bits
    #[arg(long, env = "PWFS_EXEC", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    exec: bool,
    /// Compute the SHA-256 of each document that is read to its end, for the attribute `user.projectwise.sha256`
    #[arg(long, env = "PWFS_SHA256", action = clap::ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    sha256: bool,
}

impl ReadingArgs {
    /// What was decided; where the flags say nothing, `kept` does, and then `preset`.
    pub(super) fn decided(&self, kept: &kept::Reading, preset: Option<Preset>) -> Result<Reading, CliError> {
        let usual = match preset {
            // It must read everything.
            Some(Preset::Pipeline) => CallerRules::none(),
            Some(Preset::Desktop | Preset::Support) | None => CallerRules::usual(),
        };
        let kept_rules: Vec<CallerRule> = kept
            .never_download
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map_err(|error: InvalidRule| {
                CliError::new(
                    ErrorKind::Config,
                    format!("never_download of the profile: {error}"),
                )
            })?;
        Ok(Reading {
            never_download: usual.and(kept_rules).and(self.never_download.iter().cloned()),
            read_ahead: self.read_ahead.or(kept.read_ahead),
            exec: self.exec || kept.exec,
            sha256: self.sha256 || kept.sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::{Cli, Command};

    fn decided(flags: &str, kept: &kept::Reading, preset: Option<Preset>) -> Result<Reading, CliError> {
        let line = format!("pwfs mount {flags} dir");
        let matches = Cli::command()
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        let Command::Mount(args) = Cli::from_arg_matches(&matches).unwrap().command else {
            panic!("{line}");
        };
        args.reading.decided(kept, preset)
    }

    fn rules(texts: &[&str]) -> Vec<CallerRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_flags_add_to_the_profile_and_the_profile_to_its_preset() {
        let kept = kept::Reading {
            never_download: vec!["indexer".to_owned()],
            read_ahead: Some(1 << 20),
            exec: false,
            sha256: false,
        };
        let plain = kept::Reading::default();
        let never = |flags, kept, preset| decided(flags, kept, preset).unwrap().never_download;
        assert_eq!(never("", &plain, None), CallerRules::usual());
        assert_eq!(never("", &plain, Some(Preset::Support)), CallerRules::usual());
        assert_eq!(never("", &plain, Some(Preset::Pipeline)), CallerRules::none());
        assert_eq!(
            never(
                "--never-download !tumblerd,mine --never-download two",
                &kept,
                None
            ),
            CallerRules::usual().and(rules(&["indexer", "!tumblerd", "mine", "two"]))
        );
        let reading = decided("", &kept, None).unwrap();
        assert_eq!((reading.read_ahead, reading.exec), (Some(1 << 20), false));
        let reading = decided("--read-ahead 4M --exec", &kept, None).unwrap();
        assert_eq!((reading.read_ahead, reading.exec), (Some(4 << 20), true));
        assert!(!reading.sha256 && decided("--sha256", &kept, None).unwrap().sha256);
        let wrong = kept::Reading {
            never_download: vec!["/usr/bin/x".to_owned()],
            ..plain
        };
        assert!(
            decided("", &wrong, None)
                .unwrap_err()
                .message()
                .contains("/usr/bin/x")
        );
    }
}
