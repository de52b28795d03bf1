//! The map file: says what the data file beside it must be.
//!
//! ```text
//! magic          8 bytes   "pwfs map"
//! version        u32       1
//! block size     u32       1 MiB
//! total          u64       length of the data file
//! key            u32 + n   length and canonical text of the key, so that a swapped file is seen
//! etag           u32 + n   length and text of the `$file` tag; length u32::MAX where there is none
//! checksums      u32 × n   CRC-32C of every block
//! own checksum   u32       CRC-32C of all the above
//! ```
//! Integers are little-endian.

use std::sync::Arc;

use rustix::io::Errno;

use super::block_map::{BLOCK_SIZE, block_count};

const MAGIC: &[u8; 8] = b"pwfs map";
const VERSION: u32 = 1;
const NO_ETAG: u32 = u32::MAX;

/// The longest map file that is read, in bytes: the checksums of a file of 16 TiB.
pub(super) const MAX_MAP_BYTES: u64 = 64 << 20;

/// What a complete data file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentMap {
    /// Its length in bytes.
    pub(super) total: u64,
    /// The server's tag of the file it was made of.
    pub(super) etag: Option<Arc<str>>,
    /// CRC-32C of every block.
    pub(super) checksums: Vec<u32>,
}

/// What is wrong with a map file, or with the data it describes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Defect {
    #[error("the map's magic differs")]
    Magic,
    #[error("the map's version is {0}")]
    Version(u32),
    #[error("the map's block size is {0}")]
    BlockSize(u32),
    #[error("the map belongs to another key")]
    Key,
    #[error("the map ends early or has bytes left over")]
    Shape,
    #[error("the map's own checksum differs")]
    MapChecksum,
    #[error("the data file has {found} bytes instead of {expected}")]
    Length { found: u64, expected: u64 },
    #[error("the checksum of block {0} differs")]
    BlockChecksum(u64),
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

impl Defect {
    /// True where this process lacks descriptors or memory, and the entry may be whole.
    pub(super) fn is_shortage(&self) -> bool {
        match self {
            Self::Unreadable(error) => [Errno::MFILE, Errno::NFILE, Errno::NOMEM]
                .iter()
                .any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error())),
            Self::Magic
            | Self::Version(_)
            | Self::BlockSize(_)
            | Self::Key
            | Self::Shape
            | Self::MapChecksum
            | Self::Length { .. }
            | Self::BlockChecksum(_) => false,
        }
    }
}

impl ContentMap {
    /// The file's bytes.
    pub(super) fn encode(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + key.len() + self.checksums.len() * 4);
        out.extend_from_slice(MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, u32::try_from(BLOCK_SIZE).expect("a block is a few MiB"));
        out.extend_from_slice(&self.total.to_le_bytes());
        put_text(&mut out, key);
        match &self.etag {
            Some(etag) => put_text(&mut out, etag),
            None => put_u32(&mut out, NO_ETAG),
        }
        for checksum in &self.checksums {
            put_u32(&mut out, *checksum);
        }
        let own = crc32c::crc32c(&out);
        put_u32(&mut out, own);
        out
    }

    /// Reads the file's bytes, believing nothing.
    pub(super) fn decode(bytes: &[u8], key: &str) -> Result<Self, Defect> {
        let (covered, own) = bytes.split_last_chunk::<4>().ok_or(Defect::Shape)?;
        let mut rest = covered;
        // Magic and version first: of another format nothing else can be said.
        if take(&mut rest, MAGIC.len())? != MAGIC {
            return Err(Defect::Magic);
        }
        let version = take_u32(&mut rest)?;
        if version != VERSION {
            return Err(Defect::Version(version));
        }
        if crc32c::crc32c(covered) != u32::from_le_bytes(*own) {
            return Err(Defect::MapChecksum);
        }
        let block_size = take_u32(&mut rest)?;
        if u64::from(block_size) != BLOCK_SIZE {
            return Err(Defect::BlockSize(block_size));
        }
        let total = u64::from_le_bytes(*take(&mut rest, 8)?.first_chunk().ok_or(Defect::Shape)?);
        let key_length = take_u32(&mut rest)?;
        if take(&mut rest, key_length as usize)? != key.as_bytes() {
            return Err(Defect::Key);
        }
        let etag = match take_u32(&mut rest)? {
            NO_ETAG => None,
            length => {
                let text =
                    std::str::from_utf8(take(&mut rest, length as usize)?).map_err(|_| Defect::Shape)?;
                Some(text.into())
            }
        };
        if block_count(total).checked_mul(4) != Some(rest.len() as u64) {
            return Err(Defect::Shape);
        }
        let checksums = rest
            .chunks_exact(4)
            .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        Ok(Self {
            total,
            etag,
            checksums,
        })
    }
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u32(
        out,
        u32::try_from(text.len()).expect("keys and tags are header-sized"),
    );
    out.extend_from_slice(text.as_bytes());
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Defect> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Defect::Shape)?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, Defect> {
    let bytes = take(rest, 4)?.first_chunk().ok_or(Defect::Shape)?;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_map() -> impl Strategy<Value = ContentMap> {
        (
            prop::collection::vec(any::<u32>(), 0..5),
            0..BLOCK_SIZE,
            any::<Option<String>>(),
        )
            .prop_map(|(checksums, short, etag)| ContentMap {
                total: (checksums.len() as u64 * BLOCK_SIZE).saturating_sub(short),
                etag: etag.map(Into::into),
                checksums,
            })
    }

    proptest! {
        #[test]
        fn a_map_is_read_back_as_written(map in any_map(), key in any::<String>()) {
            prop_assert_eq!(ContentMap::decode(&map.encode(&key), &key).unwrap(), map);
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_seen(
            map in any_map(), at in any::<prop::sample::Index>(), bit in 0..8, cut in any::<bool>(),
        ) {
            let mut bytes = map.encode("key");
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1_u8 << bit;
            }
            prop_assert!(ContentMap::decode(&bytes, "key").is_err());
        }

        #[test]
        fn rubbish_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ContentMap::decode(&bytes, "key").is_err());
        }
    }

    #[test]
    fn the_defect_says_what_differs() {
        let map = ContentMap {
            total: 5,
            etag: None,
            checksums: vec![1],
        };
        let bytes = map.encode("key");
        assert!(matches!(ContentMap::decode(&bytes, "another"), Err(Defect::Key)));
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert!(matches!(
            ContentMap::decode(&newer, "key"),
            Err(Defect::Version(2))
        ));
        let mut flipped = bytes;
        flipped[20] ^= 1;
        assert!(matches!(
            ContentMap::decode(&flipped, "key"),
            Err(Defect::MapChecksum)
        ));
    }
}
