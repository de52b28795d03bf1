//! How values stand in a column: whole numbers where they fit, as support can compute with them, and text where they do
//! not, for no value of a server may be bent to fit.

use std::error::Error;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, Value, ValueRef};

use super::DirKey;
use crate::clock::{BootId, Stamp};
use crate::model::{ContentTag, Guid, Timestamp};

/// What stands before a number that is kept as text: SQLite would make a rounded one of bare digits.
const TOO_WIDE: char = '=';

/// A whole number: an integer where it fits into 64 bits, else text.
pub(super) fn wide(number: i128) -> Value {
    match i64::try_from(number) {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Text(format!("{TOO_WIDE}{number}")),
    }
}

/// A number that [`wide`] wrote.
pub(super) struct Wide(pub(super) i128);

impl FromSql for Wide {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self(number.into())),
            ValueRef::Text(text) => parsed(text, |text| text.strip_prefix(TOO_WIDE)?.parse().ok()).map(Self),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// A point in time in nanoseconds since 1970.
pub(super) struct Time(pub(super) Timestamp);

impl Time {
    pub(super) fn value(time: Timestamp) -> Value {
        wide(time.as_nanosecond())
    }

    pub(super) fn optional(time: Option<Timestamp>) -> Value {
        time.map_or(Value::Null, Self::value)
    }
}

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Self::value(self.0)))
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Wide(nanoseconds) = Wide::column_result(value)?;
        Timestamp::from_nanosecond(nanoseconds)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A number of bytes, or of anything else that is not negative.
pub(super) struct Count(pub(super) u64);

impl Count {
    /// The number in a column.
    pub(super) fn of(value: ValueRef<'_>) -> rusqlite::Result<u64> {
        Ok(Self::column_result(value)?.0)
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let Wide(number) = Wide::column_result(value)?;
        u64::try_from(number).map(Self).map_err(FromSqlError::other)
    }
}

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(wide(self.0.into())))
    }
}

/// A GUID as 16 bytes.
pub(super) struct Id(pub(super) Guid);

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Guid::from_bytes(bytes)))
    }
}

impl ToSql for DirKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}

impl FromSql for DirKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Self::from_bytes)
    }
}

/// A content tag in the words of its own display.
pub(super) struct Tag(pub(super) ContentTag);

impl FromSql for Tag {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(text) => parsed(text, parse_tag).map(Self),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

fn parse_tag(text: &str) -> Option<ContentTag> {
    let (size, rest) = text.split_once('@')?;
    let (stamp, revision) = rest.split_once('#')?;
    Some(ContentTag {
        size: match size {
            "-" => None,
            size => Some(size.parse().ok()?),
        },
        stamp: match stamp {
            "-" => None,
            stamp => Some(Timestamp::from_nanosecond(stamp.parse().ok()?).ok()?),
        },
        revision: revision.parse().ok()?,
    })
}

fn parsed<T>(text: &[u8], parse: impl FnOnce(&str) -> Option<T>) -> FromSqlResult<T> {
    let text = std::str::from_utf8(text).map_err(FromSqlError::other)?;
    parse(text).ok_or_else(|| FromSqlError::other(Unreadable(text.to_owned())))
}

/// A column holds what we never wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} cannot be read")]
pub(super) struct Unreadable(pub(super) String);

/// The error for a column that holds what we never wrote.
pub(super) fn unreadable(column: usize, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A stamp from three columns that begin at `column`.
pub(super) fn stamp(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Stamp> {
    let Wide(moment) = row.get(column + 2)?;
    Ok(Stamp {
        wall: row.get::<_, Time>(column)?.0,
        boot: BootId(row.get(column + 1)?),
        moment: nanoseconds(moment),
    })
}

/// The third column of a stamp.
pub(super) fn moment(stamp: &Stamp) -> Value {
    wide(i128::try_from(stamp.moment.as_nanos()).unwrap_or(i128::MAX))
}

fn nanoseconds(number: i128) -> Duration {
    let number = u128::try_from(number).unwrap_or_default();
    let seconds = u64::try_from(number / 1_000_000_000).unwrap_or(u64::MAX);
    let rest = u32::try_from(number % 1_000_000_000).unwrap_or_default();
    Duration::new(seconds, rest)
}

/// True if what was asked for at `kept` was asked for later than what was asked for at `other`.
///
/// Within one run of the machine the moments tell. Else the wall clock does, unless it puts `kept` into the future: a
/// clock that was wrong before a restart must not keep out everything that is learnt after it.
pub(super) fn is_later(kept: &Stamp, other: &Stamp) -> bool {
    if kept.boot == other.boot {
        return kept.moment > other.moment;
    }
    kept.wall > other.wall && kept.wall <= Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_tag_is_read_as_it_was_written() {
        for size in [None, Some(0), Some(u64::MAX)] {
            for stamp in [None, Some(Timestamp::MIN), Some(Timestamp::MAX)] {
                let tag = ContentTag {
                    size,
                    stamp,
                    revision: 7,
                };
                assert_eq!(parse_tag(&tag.to_string()), Some(tag));
            }
        }
        assert_eq!(parse_tag("1@2"), None);
    }

    #[test]
    fn what_was_asked_before_a_restart_with_a_clock_in_the_future_keeps_nothing_out() {
        let at = |hours: i64, boot: u8| Stamp {
            wall: Timestamp::now() + jiff::SignedDuration::from_hours(hours),
            boot: BootId([boot; 16]),
            moment: Duration::from_secs(9),
        };
        assert!(is_later(&at(-1, 1), &at(-2, 2)));
        assert!(!is_later(&at(1, 1), &at(-2, 2)), "nobody knows when that was");
        assert!(!is_later(&at(-1, 1), &at(-2, 1)), "the same moment of one run");
    }
}
