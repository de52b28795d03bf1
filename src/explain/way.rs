//! Where a folder is in a mount, as far as the catalog knows.

use std::collections::{HashMap, HashSet};

use crate::catalog::{Catalog, CatalogError, DirKey};

/// Folders are nested less deeply than this; a folder moved under its own child is nested without end.
const DEEPEST: usize = 128;

/// One folder on the way down from the top of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The directory.
    pub dir: DirKey,
    /// The name it is shown by; empty for the top.
    pub name: String,
}

/// Finds the ways to folders, and remembers them: the rows of a journal name few folders.
pub struct Ways<'a> {
    catalog: &'a Catalog,
    /// What the top of the mount is in the catalog.
    root: DirKey,
    known: HashMap<DirKey, Whereabouts>,
}

/// Where a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// In the mount: from its top down to the directory, itself included.
    Inside(Vec<Step>),
    /// Below another top, and not in the mount.
    Outside,
    /// No listing that is kept leads there from any top.
    Unknown,
}

impl<'a> Ways<'a> {
    /// The ways of the mount whose top is `root`.
    pub fn new(catalog: &'a Catalog, root: DirKey) -> Self {
        Self {
            catalog,
            root,
            known: HashMap::new(),
        }
    }

    /// Where `dir` is.
    pub fn whereabouts(&mut self, dir: DirKey) -> Result<Whereabouts, CatalogError> {
        if let Some(known) = self.known.get(&dir) {
            return Ok(known.clone());
        }
        let mut climb = Climb {
            ways: self,
            seen: HashSet::new(),
            met_another_top: false,
        };
        let found = match climb.up(dir, 0)? {
            Some(way) => Whereabouts::Inside(way),
            None if climb.met_another_top => Whereabouts::Outside,
            None => Whereabouts::Unknown,
        };
        self.known.insert(dir, found.clone());
        Ok(found)
    }

    /// From the top of the mount down to `dir`, itself included; `None` where it is not known to be in the mount.
    pub fn to(&mut self, dir: DirKey) -> Result<Option<Vec<Step>>, CatalogError> {
        Ok(match self.whereabouts(dir)? {
            Whereabouts::Inside(way) => Some(way),
            Whereabouts::Outside | Whereabouts::Unknown => None,
        })
    }
}

/// One search from a directory up to the top.
struct Climb<'a> {
    ways: &'a Ways<'a>,
    seen: HashSet<DirKey>,
    met_another_top: bool,
}

impl Climb<'_> {
    fn up(&mut self, dir: DirKey, depth: usize) -> Result<Option<Vec<Step>>, CatalogError> {
        if dir == self.ways.root {
            return Ok(Some(vec![Step {
                dir,
                name: String::new(),
            }]));
        }
        if dir.as_folder().is_none() {
            self.met_another_top = true;
            return Ok(None);
        }
        if depth > DEEPEST || !self.seen.insert(dir) {
            return Ok(None);
        }
        let mut sightings = self.ways.catalog.find(dir.guid())?;
        // The top of the mount itself first: what is chosen there is shown there.
        sightings.sort_by_key(|sighting| sighting.dir != self.ways.root);
        for sighting in sightings {
            let Some(row) = sighting.row else {
                continue;
            };
            if let Some(mut way) = self.up(sighting.dir, depth + 1)? {
                way.push(Step {
                    dir,
                    name: row.name.to_string(),
                });
                return Ok(Some(way));
            }
        }
        Ok(None)
    }
}

/// A path as people write it, from the top of the mount.
pub fn join(way: &[Step], name: &str) -> String {
    let folders = way.iter().map(|step| step.name.as_str());
    let parts: Vec<&str> = folders.chain([name]).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        "/".to_owned()
    } else {
        parts.join("/")
    }
}
