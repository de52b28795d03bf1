//! The simulator's knobs as flags: one for each row of their table, so that none can be forgotten.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::demo::knobs::{Knob, Knobs, Ranges, SkipTokenMode};

/// Switches that people know by another name than their knob's.
const NO_RANGE: &str = "no-range";
const NO_SKIPTOKEN: &str = "no-skiptoken";

/// What the flags turn the knobs to; the last one of a name counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnobArgs {
    turned: Vec<(&'static str, String)>,
    no_range: bool,
    no_skiptoken: bool,
}

impl KnobArgs {
    /// The knobs as the flags turn them.
    pub fn apply(&self, knobs: &mut Knobs) {
        for (name, text) in &self.turned {
            let turned = knobs.set(name, text);
            debug_assert!(turned.is_ok(), "the flags were checked when they were read");
        }
        if self.no_range {
            knobs.ranges = Ranges::Ignored;
        }
        if self.no_skiptoken {
            knobs.skip_token = SkipTokenMode::Ignored;
        }
    }
}

fn flag(knob: &'static Knob) -> Arg {
    let arg = Arg::new(knob.name)
        .long(knob.name)
        .help(format!("{} [{}]", knob.help, knob.point))
        .hide_short_help(true)
        .help_heading("Knobs: what real servers may do (the number is that of the uncertain point)");
    if knob.is_switch() {
        return arg.action(ArgAction::SetTrue);
    }
    let default = knob.value(&Knobs::default());
    let arg = arg.value_name(knob.values).value_parser(move |text: &str| {
        let checked = Knobs::default().set(knob.name, text);
        checked
            .map(|()| text.to_owned())
            .map_err(|error| error.to_string())
    });
    match knob.name {
        // Alone it says that HEAD works.
        "head" => arg
            .num_args(0..=1)
            .default_missing_value("allowed")
            .require_equals(true),
        _ if default.is_empty() => arg,
        _ => arg.help(format!("{} [{}; {default}]", knob.help, knob.point)),
    }
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .action(ArgAction::SetTrue)
        .hide_short_help(true)
        .help_heading("Knobs: what real servers may do (the number is that of the uncertain point)")
}

impl Args for KnobArgs {
    fn augment_args(command: Command) -> Command {
        command
            .args(Knobs::TABLE.iter().map(flag))
            .arg(switch(NO_RANGE, "The same as --ranges ignored").conflicts_with("ranges"))
            .arg(switch(NO_SKIPTOKEN, "The same as --skiptoken ignored").conflicts_with("skiptoken"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for KnobArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for knob in Knobs::TABLE {
            let text = if knob.is_switch() {
                matches.get_flag(knob.name).then(|| "true".to_owned())
            } else {
                matches.get_one::<String>(knob.name).cloned()
            };
            let Some(text) = text else { continue };
            Knobs::default()
                .set(knob.name, &text)
                .map_err(|error| Error::raw(ErrorKind::InvalidValue, format!("{error}\n")))?;
            self.turned.push((knob.name, text));
        }
        self.no_range |= matches.get_flag(NO_RANGE);
        self.no_skiptoken |= matches.get_flag(NO_SKIPTOKEN);
        Ok(())
    }
}
