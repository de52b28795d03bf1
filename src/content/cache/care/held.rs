//! How much of one content is on the disk.

use std::fs::File;
use std::io::Read as _;

use super::CacheCare;
use crate::content::cache::block_map::BlockIndex;
use crate::content::cache::map::{ContentMap, MAX_MAP_BYTES};
use crate::content::canonical;
use crate::model::DocumentId;

/// What there is of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Bytes that are here, as its map file said when it was last written; a mount that runs may have more by now.
    pub bytes: u64,
    /// The length of the whole, in bytes.
    pub total: u64,
}

impl CacheCare {
    /// How much is here of the content of `document` that has the tag `tag`, for an account of a server; `None` where
    /// nothing is, or what is cannot be read.
    pub fn held(&self, server: &str, account: &str, document: DocumentId, tag: &str) -> Option<Held> {
        let key = canonical(server, account, document, &tag);
        let file = File::open(self.folder().paths_of(&key).map).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_MAP_BYTES).read_to_end(&mut bytes).ok()?;
        let map = ContentMap::decode(&bytes, &key).ok()?;
        let length = |(at, _): (u64, &Option<u32>)| {
            let range = BlockIndex(at).bytes(map.total);
            range.end - range.start
        };
        let here = (0..).zip(&map.blocks).filter(|(_, block)| block.is_some());
        let head = map.head.map_or(0, |head| u64::from(head.length));
        Some(Held {
            bytes: here.map(length).sum::<u64>() + head,
            total: map.total,
        })
    }
}
