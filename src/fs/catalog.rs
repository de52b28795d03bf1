//! The catalog beside a mount, as the mount's root tells of it: a command that reads it needs no server, and no word of
//! the configuration the mount was made by.

use std::str::FromStr;

use crate::tree::{OnOutage, Tree};

/// The attribute with the name of the catalog's files.
pub const CATALOG: &str = "user.projectwise.catalog";
/// The attribute with the directory of the catalog.
pub const CATALOG_DIR: &str = "user.projectwise.catalog_dir";
/// The attribute with what the top of the mount is in the catalog, as a GUID.
pub const CATALOG_ROOT: &str = "user.projectwise.catalog_root";
/// The attribute with the end of the journal, as a cursor.
pub const JOURNAL: &str = "user.projectwise.journal";
/// The attribute with the file of the journal.
pub const JOURNAL_FILE: &str = "user.projectwise.journal_file";
/// The attribute with the [`Rules`].
pub const RULES: &str = "user.projectwise.rules";

/// What the root tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CatalogFact {
    Name,
    Dir,
    Root,
    Journal,
    JournalFile,
    Rules,
}

/// How old the answers of a mount may be, in seconds. Written `metadata_ttl=300 max_stale=604800 permission_ttl=300`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// No answer is older while the server answers; `None`, written `any`, takes any age.
    pub metadata_ttl: Option<u64>,
    /// The oldest listing an outage is bridged with; 0 where an outage is an error.
    pub max_stale: u64,
    /// How long a refusal is remembered.
    pub permission_ttl: u64,
}

/// The text is not the rules of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the rules of a mount")]
pub struct InvalidRules;

impl Rules {
    fn of(tree: &Tree) -> Self {
        let config = tree.rules();
        Self {
            metadata_ttl: config.metadata_ttl.map(|ttl| ttl.as_secs()),
            max_stale: match config.on_outage {
                OnOutage::Stale => config.max_stale.as_secs(),
                OnOutage::Fail => 0,
            },
            permission_ttl: config.permission_ttl.as_secs(),
        }
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.metadata_ttl {
            Some(ttl) => write!(f, "metadata_ttl={ttl}")?,
            None => f.write_str("metadata_ttl=any")?,
        }
        write!(
            f,
            " max_stale={} permission_ttl={}",
            self.max_stale, self.permission_ttl
        )
    }
}

impl FromStr for Rules {
    type Err = InvalidRules;

    /// Takes more words than it knows: a later version may tell more.
    fn from_str(text: &str) -> Result<Self, InvalidRules> {
        let value = |wanted: &str| {
            let mut words = text.split_whitespace().filter_map(|word| word.split_once('='));
            words
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
                .ok_or(InvalidRules)
        };
        let seconds = |text: &str| text.parse::<u64>().map_err(|_| InvalidRules);
        Ok(Self {
            metadata_ttl: match value("metadata_ttl")? {
                "any" => None,
                text => Some(seconds(text)?),
            },
            max_stale: seconds(value("max_stale")?)?,
            permission_ttl: seconds(value("permission_ttl")?)?,
        })
    }
}

/// What there is to tell. One short question to SQLite for the journal's end, and none for anything else.
pub(super) fn text(tree: &Tree, fact: CatalogFact) -> Option<String> {
    if fact == CatalogFact::Rules {
        return Some(Rules::of(tree).to_string());
    }
    let (catalog, root) = tree.kept()?;
    match fact {
        CatalogFact::Name => Some(catalog.dir().file_name()?.to_string_lossy().into_owned()),
        CatalogFact::Dir => Some(catalog.dir().to_string_lossy().into_owned()),
        CatalogFact::Root => Some(root.guid().to_string()),
        CatalogFact::Journal => Some(catalog.journal().head().ok()?.to_string()),
        CatalogFact::JournalFile => Some(catalog.journal().path().to_string_lossy().into_owned()),
        CatalogFact::Rules => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_and_read() {
        for rules in [
            Rules {
                metadata_ttl: Some(300),
                max_stale: 604_800,
                permission_ttl: 300,
            },
            Rules {
                metadata_ttl: None,
                max_stale: 0,
                permission_ttl: 1,
            },
        ] {
            assert_eq!(rules.to_string().parse(), Ok(rules));
            assert_eq!(format!("{rules} later=1").parse(), Ok(rules));
        }
        for text in [
            "",
            "metadata_ttl=300",
            "metadata_ttl=x max_stale=1 permission_ttl=1",
        ] {
            assert_eq!(text.parse::<Rules>(), Err(InvalidRules), "{text}");
        }
    }
}
