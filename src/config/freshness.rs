//! How fresh a profile's mounts are, and what they answer while the server is away.

use std::time::Duration;

use toml_edit::TableLike;

use super::Field;
use super::profile::{spelling, text, word};

/// A set of rules for one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// For people: an outage is bridged.
    Desktop,
    /// For programs that keep a copy: an outage is an error.
    Pipeline,
    /// For looking at what is there: newest first, nothing hidden.
    Support,
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowFresh {
    /// One second.
    Strict,
    /// Five minutes.
    Balanced,
    /// As old as it is.
    Archive,
}

/// What is answered while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The last complete listing.
    Stale,
    /// An error.
    Fail,
}

/// What a profile says of it; what it leaves open is decided by the preset, or by what is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// The key `preset`.
    pub preset: Option<Preset>,
    /// The key `freshness`.
    pub how: Option<HowFresh>,
    /// The key `metadata_ttl`; goes before `freshness`.
    pub metadata_ttl: Option<Duration>,
    /// The key `on_outage`.
    pub on_outage: Option<Outage>,
    /// The key `max_stale`.
    pub max_stale: Option<Duration>,
    /// The key `refresh_interval`; never zero.
    pub refresh_interval: Option<Duration>,
}

const PRESETS: [(&str, Preset); 3] = [
    ("desktop", Preset::Desktop),
    ("pipeline", Preset::Pipeline),
    ("support", Preset::Support),
];
const HOW: [(&str, HowFresh); 3] = [
    ("strict", HowFresh::Strict),
    ("balanced", HowFresh::Balanced),
    ("archive", HowFresh::Archive),
];
const OUTAGES: [(&str, Outage); 2] = [("stale", Outage::Stale), ("fail", Outage::Fail)];

impl Freshness {
    /// Reads the keys. `Err` names the key and what it should hold.
    pub(super) fn read(table: &dyn TableLike) -> Result<Self, String> {
        Ok(Self {
            preset: word(table, "preset", &PRESETS)?,
            how: word(table, "freshness", &HOW)?,
            metadata_ttl: time(table, "metadata_ttl")?,
            on_outage: word(table, "on_outage", &OUTAGES)?,
            max_stale: time(table, "max_stale")?,
            refresh_interval: match time(table, "refresh_interval")? {
                Some(Duration::ZERO) => {
                    return Err("refresh_interval is no time at all; it must be longer than 0s".to_owned());
                }
                interval => interval,
            },
        })
    }

    /// The values, in the order of the keys in the schema.
    pub(super) fn fields(&self) -> [Field; 6] {
        fn words<T: PartialEq + Copy>(table: &[(&str, T)], value: Option<T>) -> Field {
            value.map_or(Field::Absent, |value| Field::Text(spelling(table, value)))
        }
        let time = |time: Option<Duration>| match time.map(jiff::SignedDuration::try_from) {
            Some(Ok(time)) => Field::Text(format!("{time:#}")),
            Some(Err(_)) | None => Field::Absent,
        };
        [
            words(&PRESETS, self.preset),
            words(&HOW, self.how),
            time(self.metadata_ttl),
            words(&OUTAGES, self.on_outage),
            time(self.max_stale),
            time(self.refresh_interval),
        ]
    }
}

/// A time as people write it: `90s`, `5m`, `1h 30m`.
fn time(table: &dyn TableLike, key: &str) -> Result<Option<Duration>, String> {
    let Some(text) = text(table, key)? else {
        return Ok(None);
    };
    let signed = text.parse::<jiff::SignedDuration>().ok();
    let time = signed.and_then(|signed| Duration::try_from(signed).ok());
    match time {
        Some(time) => Ok(Some(time)),
        None => Err(format!(
            "{key} is {text:?}; a time is written as 90s, 5m or 1h 30m"
        )),
    }
}
