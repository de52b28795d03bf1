//! Finds the mount a path is below, and what is kept beside it, without a call that could make the mount ask its server.
//!
//! Finding it is simple until you consider that:
//! 1. the path need not exist, and looking whether it does may list half the tree, or wait for a server that is away;
//! 2. a link outside may lead in.
//!
//! So the path is followed name by name, and not looked at any more from the mount on.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::catalog::DirKey;
use crate::daemon::health::probe::{self, Found};
use crate::fs::catalog::{CATALOG_DIR, CATALOG_ROOT, JOURNAL_FILE, RULES, Rules};
use crate::fs::login::{LOGIN, PROFILE};
use crate::fuse::mountpoint::{self, Mounted};
use crate::model::Guid;

/// A path in a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The mount.
    pub mounted: Mounted,
    /// The names below it; none for its top.
    pub names: Vec<String>,
}

/// What is kept beside a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The directory of the catalog.
    pub catalog_dir: PathBuf,
    /// The file of the journal.
    pub journal_file: PathBuf,
    /// What the top of the mount is in the catalog.
    pub root: DirKey,
    /// How old its answers may be.
    pub rules: Option<Rules>,
    /// The profile.
    pub profile: Option<String>,
    /// How its login is, as a word.
    pub login: Option<String>,
}

impl Beside {
    /// The cache directory of the mount: catalogs stand in a directory of their own below it.
    pub fn cache_dir(&self) -> &Path {
        let catalogs = self.catalog_dir.parent();
        catalogs.and_then(Path::parent).unwrap_or(&self.catalog_dir)
    }
}

/// Why nothing is known of what is beside a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// Its process is gone.
    #[error("its process is gone")]
    Dead,
    /// It does not answer.
    #[error("its process does not answer")]
    Silent,
    /// It lets only others in.
    #[error("it lets only another user in")]
    Closed,
    /// It has no catalog.
    #[error("it holds its listings in memory only")]
    NoCatalog,
}

/// As many links as the kernel follows in one path.
const LINKS: usize = 40;

/// The mount of pwfs that `path` is below, and the names below it.
pub fn locate(path: &Path) -> io::Result<Option<Located>> {
    let mounts = mountpoint::ours()?;
    let mut path = std::path::absolute(path)?;
    for _ in 0..LINKS {
        match follow(&mounts, &path) {
            Followed::Mount(located) => return Ok(Some(located)),
            Followed::Link(target) => path = target,
            Followed::Outside => return Ok(None),
        }
    }
    Ok(None)
}

enum Followed {
    Mount(Located),
    /// The path with a link in it followed.
    Link(PathBuf),
    Outside,
}

fn follow(mounts: &[Mounted], path: &Path) -> Followed {
    let mut reached = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            Component::ParentDir => {
                reached.pop();
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => reached.push(component),
        }
        // The last one listed is the one on top.
        if let Some(mounted) = mounts.iter().rfind(|mounted| mounted.path == reached) {
            return Followed::Mount(Located {
                mounted: mounted.clone(),
                names: below(components),
            });
        }
        if let Ok(target) = std::fs::read_link(&reached) {
            let parent = reached.parent().unwrap_or(Path::new("/"));
            return Followed::Link(parent.join(target).join(components.as_path()));
        }
    }
    Followed::Outside
}

/// There are no links in a mount, so `..` is the name before.
fn below(components: std::path::Components<'_>) -> Vec<String> {
    let mut names: Vec<OsString> = Vec::new();
    for component in components {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// Asks a mount what is kept beside it. Blocks for at most about two seconds.
pub fn ask(mountpoint: &Path) -> Result<Beside, NotTold> {
    let names = [CATALOG_DIR, JOURNAL_FILE, CATALOG_ROOT, RULES, PROFILE, LOGIN];
    let [dir, journal, root, rules, profile, login] =
        probe::attributes(mountpoint, names).map_err(|found| match found {
            Found::Dead => NotTold::Dead,
            Found::Silent | Found::Alive(_) => NotTold::Silent,
            Found::Closed => NotTold::Closed,
        })?;
    let root = root.and_then(|text| text.parse::<Guid>().ok());
    let (Some(dir), Some(journal), Some(root)) = (dir, journal, root) else {
        return Err(NotTold::NoCatalog);
    };
    Ok(Beside {
        catalog_dir: dir.into(),
        journal_file: journal.into(),
        root: DirKey::from_bytes(*root.as_bytes()),
        rules: rules.and_then(|text| text.parse().ok()),
        profile,
        login,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(path: &Path) -> Mounted {
        Mounted {
            path: path.to_owned(),
            kind: "fuse.projectwise".to_owned(),
            source: "projectwise:h".to_owned(),
            device: "0:1".to_owned(),
        }
    }

    fn names(mounts: &[Mounted], path: &Path) -> Option<Vec<String>> {
        let mut path = path.to_owned();
        loop {
            match follow(mounts, &path) {
                Followed::Mount(located) => return Some(located.names),
                Followed::Link(target) => path = target,
                Followed::Outside => return None,
            }
        }
    }

    #[test]
    fn a_path_is_followed_through_links_to_the_mount_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let mount = dir.join("mnt");
        std::fs::create_dir(&mount).unwrap();
        // In the mount nothing is looked at: this link is not followed.
        std::os::unix::fs::symlink("/nowhere", mount.join("A")).unwrap();
        std::os::unix::fs::symlink("mnt", dir.join("link")).unwrap();
        let mounts = [mounted(&mount)];
        for (path, expected) in [
            ("mnt", Some(vec![])),
            ("mnt/A/b.pdf", Some(vec!["A", "b.pdf"])),
            ("link/A/../C/", Some(vec!["C"])),
            ("other/../mnt/./A", Some(vec!["A"])),
            ("mnt2/A", None),
            ("", None),
        ] {
            let found = names(&mounts, &dir.join(path));
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{path}");
        }
    }
}
