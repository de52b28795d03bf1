//! How a profile's mounts are read: by which programs, how far ahead, and whether what is in them can be run.

use toml_edit::TableLike;

use super::Field;
use super::profile::{list, switch, text};

/// What a profile says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The key `never_download`: names of programs, added to the usual ones.
    pub never_download: Vec<String>,
    /// The key `read_ahead`, in bytes.
    pub read_ahead: Option<u64>,
    /// The key `exec`.
    pub exec: bool,
    /// The key `sha256`.
    pub sha256: bool,
}

impl Reading {
    /// Reads the keys. `Err` names the key and what it should hold.
    pub(super) fn read(table: &dyn TableLike) -> Result<Self, String> {
        let read_ahead = match text(table, "read_ahead")? {
            None => None,
            Some(text) => Some(bytes(&text).map_err(|error| format!("read_ahead is {text:?}; {error}"))?),
        };
        Ok(Self {
            never_download: list(table, "never_download")?.unwrap_or_default(),
            read_ahead,
            exec: switch(table, "exec")?.unwrap_or_default(),
            sha256: switch(table, "sha256")?.unwrap_or_default(),
        })
    }

    /// The values, in the order of the keys in the schema.
    pub(super) fn fields(&self) -> [Field; 4] {
        let never_download = match self.never_download.as_slice() {
            [] => Field::Absent,
            names => Field::List(names.to_vec()),
        };
        let read_ahead = self
            .read_ahead
            .map_or(Field::Absent, |bytes| Field::Text(spelled(bytes)));
        let switch = |on: bool| if on { Field::Switch(true) } else { Field::Absent };
        [never_download, read_ahead, switch(self.exec), switch(self.sha256)]
    }
}

const UNITS: [(char, u64); 3] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];

/// Reads a size: `4M`, `128K`, `1G`, or a number of bytes.
///
/// # Errors
/// It is none; says how one is written.
pub fn bytes(text: &str) -> Result<u64, String> {
    let unit = UNITS.iter().find_map(|(letter, unit)| {
        let number = text.strip_suffix([*letter, letter.to_ascii_lowercase()])?;
        Some((number, *unit))
    });
    let (number, unit) = unit.unwrap_or((text, 1));
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<u64>().ok().filter(|_| digits);
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "a size is written as 4M, 128K or 1G".to_owned())
}

/// In the largest unit that says it exactly.
fn spelled(bytes: u64) -> String {
    let exact = |(_, unit): &&(char, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    match UNITS.iter().rev().find(exact) {
        Some((letter, unit)) => format!("{}{letter}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, size) in [
            ("4M", 4 << 20),
            ("128k", 128 << 10),
            ("1G", 1 << 30),
            ("512", 512),
            ("0", 0),
        ] {
            assert_eq!(bytes(text), Ok(size));
            assert_eq!(bytes(&spelled(size)), Ok(size));
        }
        for text in [
            "",
            "M",
            "4 M",
            "-1",
            "+1",
            "4X",
            "1.5M",
            "99999999999999999999",
            "99999999999G",
        ] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }
}
