//! Parts of a manifest, so that several machines may share the work.

use std::fmt;
use std::str::FromStr;

use crate::model::Guid;

/// One of several parts: an object is in exactly one of them, whoever computes that and whenever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, counted from 0; less than `of`.
    index: u32,
    of: u32,
}

/// The text names no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no part; the second of eight is written 2/8")]
pub struct InvalidShard(String);

impl Shard {
    /// Whether an object is in it. Part of what is promised (docs/pipelines.md): it never changes.
    pub fn has(self, object: Guid) -> bool {
        crc32c::crc32c(object.as_bytes()) % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let invalid = || InvalidShard(text.to_owned());
        let (number, of) = text.split_once('/').ok_or_else(invalid)?;
        let number: u32 = number.parse().map_err(|_| invalid())?;
        let of: u32 = of.parse().map_err(|_| invalid())?;
        if !(1..=of).contains(&number) {
            return Err(invalid());
        }
        Ok(Self {
            index: number - 1,
            of,
        })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_is_written_as_which_of_how_many() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for text in ["", "2", "0/8", "9/8", "1/0", "-1/2", "1/2/3", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_part_of_a_guid_is_the_same_for_ever() {
        let guid: Guid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let in_which: Vec<u32> = (1..=8)
            .filter(|number| format!("{number}/8").parse::<Shard>().unwrap().has(guid))
            .collect();
        assert_eq!(in_which, [1 + crc32c_of_the_example() % 8]);
    }

    /// Bit by bit, as RFC 3720 (B.4) has it, and not by the crate.
    fn crc32c_of_the_example() -> u32 {
        let bytes = [
            1_u8, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
        ];
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0x82f6_3b78
                } else {
                    crc >> 1
                };
            }
        }
        !crc
    }

    proptest! {
        #[test]
        fn every_object_is_in_exactly_one_part(bytes in any::<[u8; 16]>(), of in 1_u32..40) {
            let guid = Guid::from_bytes(bytes);
            let parts = (1..=of).filter(|number| format!("{number}/{of}").parse::<Shard>().unwrap().has(guid));
            prop_assert_eq!(parts.count(), 1);
        }
    }
}
