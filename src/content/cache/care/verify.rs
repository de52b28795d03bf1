//! Compares what is cached with its checksums.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::CacheCare;
use crate::content::cache::block_map::BlockIndex;
use crate::content::cache::count;
use crate::content::cache::entry::{read_exact, read_map_file};
use crate::content::cache::folder::{EntryPaths, leads_to};
use crate::content::cache::index::Owner;
use crate::content::cache::map::{ContentMap, Defect, key_in};

/// A content that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damaged {
    /// Its data file.
    pub file: PathBuf,
    /// Server and datasource, where that can be told.
    pub server: Option<String>,
    /// The document, where that can be told.
    pub document: Option<String>,
    /// What is wrong.
    pub defect: String,
    /// True where it was removed.
    pub removed: bool,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Verified {
    /// Contents that were looked at.
    pub entries: u64,
    /// Blocks that were read and are right.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that are not what they must be.
    pub damaged: Vec<Damaged>,
}

impl CacheCare {
    /// Reads every block and compares it with its checksum; removes what is bad. `looked` is told of each content.
    pub fn verify(&self, mut looked: impl FnMut(&Verified)) -> Verified {
        let mut verified = Verified::default();
        for map in count::files(self.folder(), "map") {
            let Some(paths) = self.paths_of(&map) else {
                continue;
            };
            verified.entries += 1;
            if let Err((owner, defect)) = check(&paths, &mut verified) {
                let removed = self.remove_bad(&paths);
                verified.damaged.push(Damaged {
                    file: paths.data,
                    server: owner.as_ref().map(|owner| owner.server.to_string()),
                    document: owner.map(|owner| owner.document.to_string()),
                    defect: defect.to_string(),
                    removed,
                });
            }
            looked(&verified);
        }
        verified
    }

    /// Removes a bad entry, unless another process is changing it.
    fn remove_bad(&self, paths: &EntryPaths) -> bool {
        let Ok(Some(_lock)) = self.folder().lock_for_change(paths) else {
            return false;
        };
        let removed = paths.remove().is_ok();
        if removed {
            self.room.gone(&paths.name);
        }
        removed
    }
}

/// Reads all that is here of an entry. The error comes with whose it is.
fn check(paths: &EntryPaths, verified: &mut Verified) -> Result<(), (Option<Owner>, Defect)> {
    let nobody = |error: io::Error| (None, Defect::from(error));
    let data = match File::open(&paths.data) {
        Ok(data) => data,
        // Evicted meanwhile, or an orphan, which is no damage.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(nobody(error)),
    };
    // Who is taking blocks away has it alone; what is there after that is looked at the next time.
    if data.try_lock_shared().is_err() || !leads_to(&paths.data, &data) {
        return Ok(());
    }
    let Some(found) = read_map_file(&paths.map).map_err(|defect| (None, defect))? else {
        return Ok(());
    };
    let key = key_in(&found).map(str::to_owned).unwrap_or_default();
    let owner = Owner::parse(&key);
    let bad = |defect: Defect| (owner.clone(), defect);
    let map = ContentMap::decode(&found, &key).map_err(bad)?;
    let name = Sha256::digest(key.as_bytes())
        .iter()
        .fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
    if name != paths.name {
        return Err(bad(Defect::Key));
    }
    let length = data.metadata().map_err(|error| bad(error.into()))?.len();
    if length != map.total {
        return Err(bad(Defect::Length {
            found: length,
            expected: map.total,
        }));
    }
    let mut whole = map.blocks.iter().all(Option::is_some).then(Sha256::new);
    for (block, checksum) in (0..).map(BlockIndex).zip(&map.blocks) {
        let Some(checksum) = checksum else { continue };
        let bytes = read_exact(&data, &block.bytes(map.total)).map_err(|error| bad(error.into()))?;
        if crc32c::crc32c(&bytes) != *checksum {
            return Err(bad(Defect::BlockChecksum(block.0)));
        }
        if let Some(whole) = &mut whole {
            whole.update(&bytes);
        }
        verified.blocks += 1;
        verified.bytes += bytes.len() as u64;
    }
    match (whole.map(Sha256::finalize), map.sha256) {
        (Some(found), Some(expected)) if found.as_slice() != expected => Err(bad(Defect::Whole)),
        _ => Ok(()),
    }
}
