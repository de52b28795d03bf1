//! Sizes as people write them: `500M`, `10G`, `1.5T`.

use std::fmt;
use std::str::FromStr;

/// The letters, each for 1024 times the one before.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// It is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a size is written as 500M, 10G or 1.5T, or as a number of bytes")]
pub struct NoSize;

impl FromStr for Size {
    type Err = NoSize;

    /// Takes `10G`, `10g`, `10GB` and `10GiB` for the same.
    fn from_str(text: &str) -> Result<Self, NoSize> {
        let text = text.trim().to_ascii_uppercase();
        let text = text
            .strip_suffix("IB")
            .or_else(|| text.strip_suffix('B'))
            .unwrap_or(&text);
        let (number, shift) = match text
            .chars()
            .last()
            .and_then(|last| UNITS.iter().position(|&unit| unit == last))
        {
            Some(unit) => (&text[..text.len() - 1], 10 * (unit + 1)),
            None => (text, 0),
        };
        let (whole, part) = number
            .trim_end()
            .split_once('.')
            .unwrap_or((number.trim_end(), ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.is_empty() || part.len() > 6 || number.ends_with('.') {
            return Err(NoSize);
        }
        let unit = 1_u128 << shift;
        let whole: u128 = whole.parse().map_err(|_| NoSize)?;
        let part = if part.is_empty() {
            0
        } else {
            part.parse::<u128>().map_err(|_| NoSize)? * unit
                / 10_u128.pow(u32::try_from(part.len()).map_err(|_| NoSize)?)
        };
        let bytes = whole.checked_mul(unit).ok_or(NoSize)? + part;
        u64::try_from(bytes).map(Self).map_err(|_| NoSize)
    }
}

impl fmt::Display for Size {
    /// In the largest unit that says it exactly, so that it is read back as it was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = (0..UNITS.len())
            .rev()
            .find(|unit| self.0 != 0 && self.0.is_multiple_of(1 << (10 * (unit + 1))));
        match exact {
            Some(unit) => write!(f, "{}{}", self.0 >> (10 * (unit + 1)), UNITS[unit]),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_read_as_people_write_it() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("500", Some(500)),
            ("500M", Some(500 << 20)),
            ("10G", Some(10 << 30)),
            ("10 gib", Some(10 << 30)),
            ("10GB", Some(10 << 30)),
            ("1.5T", Some(3 << 39)),
            ("0.5k", Some(512)),
            ("", None),
            ("G", None),
            ("-1G", None),
            ("1.G", None),
            ("ten", None),
            ("10X", None),
            ("99999999999999T", None),
        ] {
            assert_eq!(text.parse().ok(), bytes.map(Size), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_size_is_read_back_as_it_was_written(bytes: u64, shift in 0..40_u32) {
            let size = Size(bytes >> shift << shift.min(20));
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
