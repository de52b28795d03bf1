//! How fresh a mount is, and what it answers while the server is away: flags over the environment over the profile over
//! the preset.

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

use super::duration;
use crate::config::freshness as kept;
use crate::refresh;
use crate::store::listing::Placeholders;
use crate::tree::{OnOutage, TreeConfig};

const METADATA_TTL: &str = "metadata_ttl";
const FRESHNESS: &str = "freshness";

/// How fresh answers are.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FreshnessArgs {
    /// Rules for one use; what is said beside it goes first
    #[arg(long, value_enum, value_name = "USE", env = "PWFS_PRESET")]
    preset: Option<Preset>,
    /// No answer is older than this while the server answers [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PWFS_METADATA_TTL")]
    metadata_ttl: Option<Duration>,
    /// How fresh answers must be
    #[arg(long, value_enum, value_name = "HOW", env = "PWFS_FRESHNESS")]
    freshness: Option<HowFresh>,
    /// What to answer while the server is away [default: stale]
    #[arg(long, value_enum, value_name = "WHAT", env = "PWFS_ON_OUTAGE")]
    on_outage: Option<Outage>,
    /// The oldest listing that is shown while the server is away [default: 7 days]
    #[arg(long, value_name = "TIME", value_parser = duration, env = "PWFS_MAX_STALE")]
    max_stale: Option<Duration>,
    /// Folders in use are looked at about this often, so that nobody waits for them; longer where nothing changes
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = interval, env = "PWFS_REFRESH_INTERVAL")]
    refresh_interval: Option<Duration>,
    /// How to show documents without a file [default: hide]
    #[arg(long, value_enum, value_name = "HOW", env = "PWFS_PLACEHOLDERS")]
    placeholders: Option<Fileless>,
    /// `--metadata-ttl` or `--freshness` stands on the command line: the other one, in the environment, does not count.
    #[arg(skip)]
    flags: Flags,
}

/// Which of the two that contradict each other stand on the command line.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    metadata_ttl: bool,
    freshness: bool,
}

/// Rules for one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// For people: while the server is away, what was there is shown
    Desktop,
    /// For programs that keep a copy: while the server is away, an error
    Pipeline,
    /// For looking at what is there: at most ten seconds old, documents without a file as empty ones, an error while the
    /// server is away
    Support,
}

/// How fresh answers must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HowFresh {
    /// At most one second old
    Strict,
    /// At most five minutes old
    Balanced,
    /// As old as it is
    Archive,
}

/// What to answer while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outage {
    /// The last complete listing
    Stale,
    /// An error
    Fail,
}

/// How to show what has no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fileless {
    /// Not at all
    Hide,
    /// As empty files
    Empty,
}

/// What `support` calls fresh: new enough for whoever is on the telephone, and not a request for each look.
const SUPPORT_TTL: Duration = Duration::from_secs(10);

/// What `strict` calls fresh: a burst shares one answer.
const STRICT_TTL: Duration = Duration::from_secs(1);

impl FreshnessArgs {
    /// Notes what stands on the command line.
    ///
    /// # Errors
    /// Both of two that contradict each other.
    pub(in crate::cli) fn note_sources(&mut self, matches: &ArgMatches) -> Result<(), String> {
        let is_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        self.flags = Flags {
            metadata_ttl: is_flag(METADATA_TTL),
            freshness: is_flag(FRESHNESS),
        };
        if self.flags.metadata_ttl && self.flags.freshness {
            return Err("the argument '--freshness' cannot be used with '--metadata-ttl'".to_owned());
        }
        Ok(())
    }

    /// The tree's rules; where they say nothing, `kept` does.
    pub(super) fn rules(&self, kept: &kept::Freshness) -> TreeConfig {
        let usual = TreeConfig::default();
        let mut rules = match self.preset(kept) {
            None | Some(kept::Preset::Desktop) => usual,
            Some(kept::Preset::Pipeline) => TreeConfig {
                on_outage: OnOutage::Fail,
                ..usual
            },
            Some(kept::Preset::Support) => TreeConfig {
                on_outage: OnOutage::Fail,
                metadata_ttl: Some(SUPPORT_TTL),
                placeholders: Placeholders::Empty,
                ..usual
            },
        };
        match self.ttl(kept) {
            Some(Oldest::Is(age)) => rules.metadata_ttl = Some(age),
            Some(Oldest::Any) => rules.metadata_ttl = None,
            None => {}
        }
        match self.on_outage.map(Outage::kept).or(kept.on_outage) {
            Some(kept::Outage::Stale) => rules.on_outage = OnOutage::Stale,
            Some(kept::Outage::Fail) => rules.on_outage = OnOutage::Fail,
            None => {}
        }
        if let Some(oldest) = self.max_stale.or(kept.max_stale) {
            rules.max_stale = oldest;
        }
        match self.placeholders {
            Some(Fileless::Hide) => rules.placeholders = Placeholders::Hide,
            Some(Fileless::Empty) => rules.placeholders = Placeholders::Empty,
            None => {}
        }
        rules
    }

    /// The rules for one use that were asked for; where they say nothing, `kept` does.
    pub(super) fn preset(&self, kept: &kept::Freshness) -> Option<kept::Preset> {
        self.preset.map(Preset::kept).or(kept.preset)
    }

    /// How often folders in use are looked at; where nothing says so, `kept` does.
    pub(super) fn refresh_interval(&self, kept: &kept::Freshness) -> Duration {
        self.refresh_interval
            .or(kept.refresh_interval)
            .unwrap_or(refresh::INTERVAL)
    }

    /// How old an answer may be, where anybody says so: of two that contradict each other the flag, then the time.
    fn ttl(&self, kept: &kept::Freshness) -> Option<Oldest> {
        let how = self.freshness.map(|how| Oldest::of(how.kept()));
        let time = self.metadata_ttl.map(Oldest::Is);
        let told = if self.flags.freshness {
            how.or(time)
        } else {
            time.or(how)
        };
        told.or(kept.metadata_ttl.map(Oldest::Is))
            .or(kept.how.map(Oldest::of))
    }
}

/// Parses a time that is not zero.
fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than 0s".to_owned()),
        interval => Ok(interval),
    }
}

/// The oldest an answer may be.
#[derive(Clone, Copy)]
enum Oldest {
    Is(Duration),
    Any,
}

impl Oldest {
    fn of(how: kept::HowFresh) -> Self {
        match how {
            kept::HowFresh::Strict => Self::Is(STRICT_TTL),
            kept::HowFresh::Balanced => TreeConfig::default().metadata_ttl.map_or(Self::Any, Self::Is),
            kept::HowFresh::Archive => Self::Any,
        }
    }
}

impl Preset {
    /// As a profile keeps them.
    pub const fn kept(self) -> kept::Preset {
        match self {
            Self::Desktop => kept::Preset::Desktop,
            Self::Pipeline => kept::Preset::Pipeline,
            Self::Support => kept::Preset::Support,
        }
    }
}

impl HowFresh {
    const fn kept(self) -> kept::HowFresh {
        match self {
            Self::Strict => kept::HowFresh::Strict,
            Self::Balanced => kept::HowFresh::Balanced,
            Self::Archive => kept::HowFresh::Archive,
        }
    }
}

impl Outage {
    const fn kept(self) -> kept::Outage {
        match self {
            Self::Stale => kept::Outage::Stale,
            Self::Fail => kept::Outage::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::{Cli, Command};

    fn rules(flags: &str, kept: kept::Freshness) -> TreeConfig {
        parsed(flags).rules(&kept)
    }

    fn parsed(flags: &str) -> FreshnessArgs {
        let line = format!("pwfs mount {flags} dir");
        let matches = Cli::command()
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();
        let Command::Mount(mut args) = cli.command else {
            panic!("{line}");
        };
        args.freshness
            .note_sources(matches.subcommand().unwrap().1)
            .unwrap();
        args.freshness
    }

    #[test]
    fn folders_in_use_are_looked_at_every_minute_or_as_somebody_says() {
        let (nothing, kept) = (
            kept::Freshness::default(),
            kept::Freshness {
                refresh_interval: Some(Duration::from_secs(30)),
                ..kept::Freshness::default()
            },
        );
        for (flags, kept, seconds) in [
            ("", &nothing, 60),
            ("", &kept, 30),
            ("--refresh-interval 2m", &kept, 120),
        ] {
            let interval = parsed(flags).refresh_interval(kept);
            assert_eq!(interval, Duration::from_secs(seconds), "{flags}");
        }
        assert!(interval("0s").is_err());
    }

    #[test]
    fn each_choice_of_freshness_outage_and_placeholders_reaches_the_tree() {
        let nothing = kept::Freshness::default();
        let usual = TreeConfig::default();
        assert_eq!(
            usual.metadata_ttl,
            Some(Duration::from_mins(5)),
            "as the help says"
        );
        for (flags, ttl) in [
            ("", usual.metadata_ttl),
            ("--freshness balanced", usual.metadata_ttl),
            ("--freshness strict", Some(STRICT_TTL)),
            ("--freshness archive", None),
            ("--metadata-ttl 7s", Some(Duration::from_secs(7))),
            ("--preset pipeline", usual.metadata_ttl),
            ("--preset support", Some(SUPPORT_TTL)),
            (
                "--preset support --metadata-ttl 1h",
                Some(Duration::from_hours(1)),
            ),
        ] {
            assert_eq!(rules(flags, nothing).metadata_ttl, ttl, "{flags}");
        }
        for (flags, outage) in [
            ("", OnOutage::Stale),
            ("--on-outage fail", OnOutage::Fail),
            ("--preset pipeline", OnOutage::Fail),
            ("--preset pipeline --on-outage stale", OnOutage::Stale),
            ("--preset desktop", OnOutage::Stale),
        ] {
            assert_eq!(rules(flags, nothing).on_outage, outage, "{flags}");
        }
        assert_eq!(
            rules("--max-stale 2h", nothing).max_stale,
            Duration::from_hours(2)
        );
        assert_eq!(rules("", nothing).placeholders, Placeholders::Hide);
        assert_eq!(
            rules("--placeholders empty", nothing).placeholders,
            Placeholders::Empty
        );
        assert_eq!(
            rules("--preset support", nothing).placeholders,
            Placeholders::Empty
        );
    }

    #[test]
    fn the_profile_goes_before_its_preset_and_the_flags_before_both() {
        let kept = kept::Freshness {
            preset: Some(kept::Preset::Pipeline),
            how: Some(kept::HowFresh::Archive),
            metadata_ttl: None,
            on_outage: Some(kept::Outage::Stale),
            max_stale: Some(Duration::from_hours(1)),
            refresh_interval: Some(Duration::from_secs(30)),
        };
        let by_profile = rules("", kept);
        assert_eq!(by_profile.metadata_ttl, None);
        assert_eq!(by_profile.on_outage, OnOutage::Stale);
        assert_eq!(by_profile.max_stale, Duration::from_hours(1));
        let by_flags = rules("--metadata-ttl 3s --on-outage fail --max-stale 2h", kept);
        assert_eq!(by_flags.metadata_ttl, Some(Duration::from_secs(3)));
        assert_eq!(by_flags.on_outage, OnOutage::Fail);
        assert_eq!(by_flags.max_stale, Duration::from_hours(2));
    }

    #[test]
    fn of_two_that_contradict_each_other_the_flag_counts() {
        let mut args = FreshnessArgs {
            preset: None,
            metadata_ttl: Some(Duration::from_secs(9)),
            freshness: Some(HowFresh::Strict),
            on_outage: None,
            max_stale: None,
            refresh_interval: None,
            placeholders: None,
            flags: Flags {
                metadata_ttl: false,
                freshness: true,
            },
        };
        let ttl = |args: &FreshnessArgs| args.rules(&kept::Freshness::default()).metadata_ttl;
        assert_eq!(
            ttl(&args),
            Some(STRICT_TTL),
            "the other stands in the environment"
        );
        args.flags.freshness = false;
        assert_eq!(ttl(&args), Some(Duration::from_secs(9)));
    }
}
