//! Ages and times as people say them.

use crate::model::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// So many seconds, in the largest unit that says enough: nobody wants the minutes of three days.
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..MINUTE => (seconds, "second"),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        DAY.. => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// How long ago `at` was, by the wall clock.
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    // A clock that was set back makes it no age at all.
    let seconds = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
    format!("{} ago", span(seconds))
}

/// A time to the second, in UTC.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
