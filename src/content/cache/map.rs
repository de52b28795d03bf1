//! The map file: says what the data file beside it must be.
//!
//! ```text
//! magic          8 bytes   "pwfs map"
//! version        u32       2
//! block size     u32       1 MiB
//! total          u64       length of the data file
//! key            u32 + n   length and canonical text of the key, so that a swapped file is seen
//! etag           u32 + n   length and text of the `$file` tag; length u32::MAX where there is none
//! sha-256        u8 + 32   1 and the hash of the whole, or 0 and zeros
//! head           u32, u32  length and CRC-32C of the first bytes of a block 0 that is not here whole, or zeros
//! blocks         5 × n     per block: 1 and its CRC-32C where it is here, or 0 and zeros
//! own checksum   u32       CRC-32C of all the above
//! ```
//! Integers are little-endian.

use std::sync::Arc;

use rustix::io::Errno;

use super::block_map::{BLOCK_SIZE, block_count};

const MAGIC: &[u8; 8] = b"pwfs map";
const VERSION: u32 = 2;
const NO_ETAG: u32 = u32::MAX;

/// How long what is said of one block is, in bytes.
const RECORD: usize = 5;

/// The longest file that is cached, in bytes: 8 TiB, whose map takes 40 MiB.
pub(super) const MAX_TOTAL: u64 = 8 << 40;

/// The longest map file that is read, in bytes: the blocks of [`MAX_TOTAL`], and a key and tag of any length.
pub(super) const MAX_MAP_BYTES: u64 = 64 << 20;

/// The first bytes of a file whose first block is not here: what whoever looks at many files looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// How many, in bytes; less than a block, and not 0.
    pub(super) length: u32,
    /// Their CRC-32C.
    pub(super) checksum: u32,
}

/// What a data file must be, as far as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentMap {
    /// Its length in bytes.
    pub(super) total: u64,
    /// The server's tag of the file it was made of.
    pub(super) etag: Option<Arc<str>>,
    /// SHA-256 of the whole, where it was computed.
    pub(super) sha256: Option<[u8; 32]>,
    /// Its head, where its first block is not here.
    pub(super) head: Option<Head>,
    /// CRC-32C of every block that is here.
    pub(super) blocks: Vec<Option<u32>>,
}

/// What is wrong with a map file, or with the data it describes.
#[derive(Debug, thiserror::Error)]
pub(in crate::content) enum Defect {
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
    #[error("the hash of the whole differs")]
    Whole,
    #[error("the checksum of block {0} differs")]
    BlockChecksum(u64),
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

impl Defect {
    /// True where this process lacks descriptors or memory, and the entry may be whole.
    pub(in crate::content) fn is_shortage(&self) -> bool {
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
            | Self::Whole
            | Self::BlockChecksum(_) => false,
        }
    }
}

/// How much of a map file is enough to find its key, in bytes; keys are header-sized.
pub(super) const HEAD: u64 = 16 << 10;

/// The canonical text of the key, from the beginning of a map file; `None` where there is none.
pub(super) fn key_in(head: &[u8]) -> Option<&str> {
    let mut rest = head.strip_prefix(MAGIC)?.get(4 + 4 + 8..)?;
    let length = take_u32(&mut rest).ok()?;
    std::str::from_utf8(rest.get(..length as usize)?).ok()
}

/// The length of the map of such a file, in bytes.
pub(super) fn length(key: &str, total: u64, etag: Option<&str>) -> u64 {
    let texts = key.len() + etag.map_or(0, str::len);
    // Magic, version, block size, total, two lengths, the hash and its mark, the head, the map's own checksum.
    let fixed = 8 + 4 + 4 + 8 + 4 + 4 + 33 + 8 + 4;
    (fixed + texts) as u64 + block_count(total).saturating_mul(RECORD as u64)
}

impl ContentMap {
    /// Of a file of which nothing is here.
    pub(super) fn empty(total: u64, etag: Option<Arc<str>>) -> Self {
        let blocks = usize::try_from(block_count(total)).expect("no longer than MAX_TOTAL");
        Self {
            total,
            etag,
            sha256: None,
            head: None,
            blocks: vec![None; blocks],
        }
    }

    /// The file's bytes.
    pub(super) fn encode(&self, key: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + key.len() + self.blocks.len() * RECORD);
        out.extend_from_slice(MAGIC);
        put_u32(&mut out, VERSION);
        put_u32(&mut out, u32::try_from(BLOCK_SIZE).expect("a block is a few MiB"));
        out.extend_from_slice(&self.total.to_le_bytes());
        put_text(&mut out, key);
        match &self.etag {
            Some(etag) => put_text(&mut out, etag),
            None => put_u32(&mut out, NO_ETAG),
        }
        out.push(u8::from(self.sha256.is_some()));
        out.extend_from_slice(&self.sha256.unwrap_or_default());
        put_u32(&mut out, self.head.map_or(0, |head| head.length));
        put_u32(&mut out, self.head.map_or(0, |head| head.checksum));
        for block in &self.blocks {
            out.push(u8::from(block.is_some()));
            put_u32(&mut out, block.unwrap_or_default());
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
        let has_hash = take_bool(&mut rest)?;
        let hash: [u8; 32] = *take(&mut rest, 32)?.first_chunk().ok_or(Defect::Shape)?;
        let (length, checksum) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        if u64::from(length) >= total.clamp(1, BLOCK_SIZE) {
            return Err(Defect::Shape);
        }
        let head = (length > 0).then_some(Head { length, checksum });
        let (records, beyond) = rest.as_chunks::<RECORD>();
        if block_count(total) != records.len() as u64 || !beyond.is_empty() {
            return Err(Defect::Shape);
        }
        let blocks = records
            .iter()
            .map(|[here, crc @ ..]| Ok(as_bool(*here)?.then(|| u32::from_le_bytes(*crc))))
            .collect::<Result<_, Defect>>()?;
        Ok(Self {
            total,
            etag,
            sha256: has_hash.then_some(hash),
            head,
            blocks,
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

fn take_bool(rest: &mut &[u8]) -> Result<bool, Defect> {
    as_bool(*take(rest, 1)?.first().ok_or(Defect::Shape)?)
}

fn as_bool(byte: u8) -> Result<bool, Defect> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Defect::Shape),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_map() -> impl Strategy<Value = ContentMap> {
        (
            prop::collection::vec(any::<Option<u32>>(), 0..5),
            0..BLOCK_SIZE,
            any::<Option<String>>(),
            any::<Option<[u8; 32]>>(),
            any::<Option<(u32, u32)>>(),
        )
            .prop_map(|(blocks, short, etag, sha256, head)| ContentMap {
                total: (blocks.len() as u64 * BLOCK_SIZE).saturating_sub(short),
                head: head
                    .map(|(length, checksum)| Head {
                        length: length % (1 << 20),
                        checksum,
                    })
                    .filter(|head| blocks.len() > 1 && head.length > 0),
                etag: etag.map(Into::into),
                sha256,
                blocks,
            })
    }

    proptest! {
        #[test]
        fn a_map_is_read_back_as_written(map in any_map(), key in any::<String>()) {
            let bytes = map.encode(&key);
            prop_assert_eq!(bytes.len() as u64, length(&key, map.total, map.etag.as_deref()));
            prop_assert_eq!(ContentMap::decode(&bytes, &key).unwrap(), map);
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
            sha256: None,
            head: None,
            blocks: vec![Some(1)],
        };
        let bytes = map.encode("key");
        assert!(matches!(ContentMap::decode(&bytes, "another"), Err(Defect::Key)));
        let mut newer = bytes.clone();
        newer[8] = 3;
        assert!(matches!(
            ContentMap::decode(&newer, "key"),
            Err(Defect::Version(3))
        ));
        let mut flipped = bytes;
        flipped[20] ^= 1;
        assert!(matches!(
            ContentMap::decode(&flipped, "key"),
            Err(Defect::MapChecksum)
        ));
    }
}
