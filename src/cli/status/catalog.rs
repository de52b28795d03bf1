//! What `status` tells of a mount's catalog: how much is known, how old it is, and how far the journal goes.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::{Catalog, CatalogError, Inventory};
use crate::clock::Clock;
use crate::daemon::beside;
use crate::explain::words::span;

/// A catalog, as `--json` shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CatalogRow {
    /// Its directory.
    dir: PathBuf,
    /// Folders whose listing is kept.
    folders: u64,
    /// Entries in them.
    entries: u64,
    /// How much of the disk catalog and journal take, in bytes.
    bytes_on_disk: u64,
    /// The age of the oldest listing, in seconds.
    oldest: Option<u64>,
    /// Folders and documents that could not be listed or read the last time.
    failing: u64,
    /// Those the server refuses.
    refused: u64,
    /// The end of the journal.
    journal: String,
}

/// Reads it beside the mount; `None` where it has none. Blocks for at most a few seconds.
pub(super) fn look(mountpoint: &Path) -> Option<CatalogRow> {
    let beside = beside::ask(mountpoint).ok()?;
    match read(&beside.catalog_dir, &beside.journal_file) {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::info!(%error, dir = %beside.catalog_dir.display(), "the catalog cannot be read");
            None
        }
    }
}

fn read(dir: &Path, journal_file: &Path) -> Result<CatalogRow, CatalogError> {
    let catalog = Catalog::read_only(dir, journal_file)?;
    let Inventory {
        listings,
        entries,
        oldest,
        failing,
        refused,
    } = catalog.inventory()?;
    let journal = catalog.journal().head()?.to_string();
    let clock = Clock::default();
    Ok(CatalogRow {
        dir: dir.to_owned(),
        folders: listings,
        entries,
        bytes_on_disk: bytes(dir, "") + journal_bytes(journal_file),
        oldest: oldest.map(|stamp| clock.now().since(clock.moment(&stamp)).as_secs()),
        failing,
        refused,
        journal,
    })
}

/// The database and the log beside it.
fn journal_bytes(file: &Path) -> u64 {
    match (file.parent(), file.file_name()) {
        (Some(dir), Some(name)) => bytes(dir, &name.to_string_lossy()),
        _ => 0,
    }
}

/// The length of the files in `dir` whose names begin with `name`.
fn bytes(dir: &Path, name: &str) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(name))
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum()
}

impl CatalogRow {
    /// As lines of text: names and values.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let age = self
            .oldest
            .map(|age| format!("; the oldest listing is {} old", span(age)));
        let mut lines = vec![
            (
                "catalog",
                format!(
                    "{} entries in {} folders, {} on disk{}",
                    self.entries,
                    self.folders,
                    size(self.bytes_on_disk),
                    age.unwrap_or_default()
                ),
            ),
            ("journal", self.journal.clone()),
        ];
        if self.failing > 0 || self.refused > 0 {
            let failing = format!(
                "{} failed when last asked for, {} refused",
                self.failing, self.refused
            );
            lines.insert(1, ("trouble", failing));
        }
        lines
    }
}

/// So many bytes in the unit that says enough.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", bytes / MIB),
        GIB.. => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_told_in_a_few_words() {
        let mut row = CatalogRow {
            dir: "/c".into(),
            folders: 12,
            entries: 3400,
            bytes_on_disk: 5 << 20,
            oldest: Some(7200),
            failing: 0,
            refused: 0,
            journal: "00000000000000ff.7".to_owned(),
        };
        assert_eq!(
            row.lines(),
            [
                (
                    "catalog",
                    "3400 entries in 12 folders, 5 MiB on disk; the oldest listing is 2 hours old".to_owned()
                ),
                ("journal", "00000000000000ff.7".to_owned()),
            ]
        );
        row.refused = 2;
        assert_eq!(row.lines()[1].1, "0 failed when last asked for, 2 refused");
        assert_eq!(size(1000), "1000 bytes");
        assert_eq!(size((5 << 30) + (1 << 29)), "5.5 GiB");
    }
}
