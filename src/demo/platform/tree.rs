//! What lies in the storage of an iTwin: made from its id, the same every time, and kept nowhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::demo::files::{FileFormat, Recipe};
use crate::demo::seed::{Dice, digest};
use crate::model::{Guid, Timestamp};

use super::catalog::ITwin;

/// Reports in one folder: three pages of 100, the last of them short.
const REPORTS: u32 = 237;
const PHOTOGRAPHS: u32 = 100;
/// Between one change and the next, in nanoseconds: about nine hours and a fraction of seven digits.
const APART: i64 = 32_400_013_354_900;

/// A file or folder.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its place in the tree; 0 is the root.
    pub(super) number: usize,
    pub(super) parent: Option<usize>,
    pub(super) name: String,
    /// The bytes of a file; `None` for a folder.
    pub(super) file: Option<Recipe>,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    /// In the recycle bin.
    pub(super) deleted: bool,
}

/// Everything one iTwin stores.
pub(super) struct Tree {
    itwin: Guid,
    nodes: Vec<Node>,
    dice: Dice,
}

impl Tree {
    pub(super) fn of(itwin: &ITwin) -> Self {
        let mut tree = Self {
            itwin: itwin.id,
            nodes: Vec::new(),
            dice: Dice::new(digest(itwin.id.as_bytes())),
        };
        let root = tree.add(None, &itwin.display_name, None, itwin.created);
        if itwin.filled {
            tree.fill(root, itwin.created);
        }
        tree
    }

    fn fill(&mut self, root: usize, created: Timestamp) {
        let mut time = created;
        let mut later = || {
            time += jiff::SignedDuration::from_nanos(APART);
            time
        };
        self.add(Some(root), "readme.txt", Some(1_200), later());
        let reports = self.add(Some(root), "Progress Reports", None, later());
        for number in 1..=REPORTS {
            let size = self.dice.magnitude(4_000, 200_000);
            let name = format!("Weekly Report {number:03}.pdf");
            self.add(Some(reports), &name, Some(size), later());
        }
        let handover = self.add(Some(root), "Handover", None, later());
        let photographs = self.add(Some(handover), "Photographs", None, later());
        // Exactly one page, so that only an empty second one shows its end.
        for number in 1..=PHOTOGRAPHS {
            let name = format!("IMG_{number:04}.png");
            self.add(Some(photographs), &name, Some(60_000), later());
        }
        self.add(Some(handover), "Handover Certificate.pdf", Some(90_000), later());
        self.add(Some(root), "Nothing Yet", None, later());
        let odd = self.add(Some(root), "Søkort & Tegninger (50%) #2", None, later());
        self.add(Some(odd), "Plan über alles – 東.dxf", Some(30_000), later());
        self.add(Some(root), "upload.log", Some(0), later());
        self.add(Some(root), "Tender Drawings.pdf", Some(3_145_739), later());
        for name in ["Weekly Report 000 (draft).pdf", "minutes.txt"] {
            let gone = self.add(Some(reports), name, Some(5_000), later());
            self.nodes[gone].deleted = true;
        }
    }

    /// Adds a file of this many bytes, or a folder, and tells its place.
    fn add(&mut self, parent: Option<usize>, name: &str, size: Option<u64>, at: Timestamp) -> usize {
        let number = self.nodes.len();
        let guid = self.dice.guid();
        let file = size.map(|size| Recipe::new(FileFormat::of_file_name(name), guid, 0, size));
        self.nodes.push(Node {
            number,
            parent,
            name: name.to_owned(),
            file,
            created: at,
            modified: at + jiff::SignedDuration::from_nanos(APART / 7),
            deleted: false,
        });
        number
    }

    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// What lies directly in a folder and is not deleted.
    pub(super) fn children(&self, folder: usize) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(move |node| node.parent == Some(folder) && !node.deleted)
    }

    pub(super) fn deleted(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.deleted)
    }

    /// The node of this number, unless it is deleted.
    pub(super) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number).filter(|node| !node.deleted)
    }

    /// Names from below the root down to the node, joined by slashes.
    pub(super) fn path(&self, node: &Node) -> String {
        let lineage = std::iter::successors(Some(node), |node| self.nodes.get(node.parent?));
        let mut names: Vec<&str> = lineage
            .filter(|node| node.parent.is_some())
            .map(|node| node.name.as_str())
            .collect();
        names.reverse();
        names.join("/")
    }

    /// The opaque id of one of its nodes.
    pub(super) fn id(&self, number: usize) -> String {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        URL_SAFE_NO_PAD.encode(Self::id_bytes(self.itwin, number))
    }

    /// The iTwin and the node an id stands for; `None` where no such id was ever given.
    pub(super) fn read_id(id: &str) -> Option<(Guid, usize)> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let itwin = Guid::from_bytes(bytes.get(..16)?.try_into().ok()?);
        let number = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?);
        let known = Self::id_bytes(itwin, number) == bytes;
        known.then(|| usize::try_from(number).ok().map(|number| (itwin, number)))?
    }

    /// The iTwin, the number, and four bytes by which mistakes are found.
    fn id_bytes(itwin: Guid, number: u32) -> Vec<u8> {
        let mut bytes = itwin.as_bytes().to_vec();
        bytes.extend_from_slice(&number.to_be_bytes());
        let check = digest(&bytes).to_be_bytes();
        bytes.extend_from_slice(&check[..4]);
        bytes
    }
}
