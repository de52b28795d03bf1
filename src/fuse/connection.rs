//! The kernel's side of a mount: how many requests wait, and the way to break it off.
//!
//! The kernel shows each FUSE connection in a file system of its own, `fusectl`
//! (Documentation/filesystems/fuse/fuse.rst, "Control filesystem"). Breaking a connection off answers everyone who
//! waits for it, also where nothing else reaches them any more; the files belong to whoever mounted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::mountpoint::{self, Mounted};

/// Where fusectl usually is.
const USUAL_PLACE: &str = "/sys/fs/fuse/connections";

/// The connection behind a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    mountpoint: PathBuf,
    /// The device number of the mount, by which the kernel calls it.
    device: String,
    /// Its number in fusectl.
    minor: String,
}

impl Connection {
    /// The connection of a mount of ours.
    pub fn of(mounted: &Mounted) -> Self {
        let minor = mounted.device.split_once(':').map_or("", |(_, minor)| minor);
        Self {
            mountpoint: mounted.path.clone(),
            device: mounted.device.clone(),
            minor: minor.to_owned(),
        }
    }

    /// How many requests wait for an answer; `None` where the kernel does not tell.
    pub fn waiting(&self) -> Option<u64> {
        let text = fs::read_to_string(self.directory()?.join("waiting")).ok()?;
        text.trim().parse().ok()
    }

    /// Breaks it off: whoever waits for an answer gets an error, and the mount is dead.
    ///
    /// Where fusectl is not mounted only root can do it, and the mount point is free afterwards.
    ///
    /// # Errors
    /// Somebody else mounted it, or there is no way to do it.
    pub fn abort(&self) -> io::Result<()> {
        if let Some(directory) = self.directory() {
            return fs::write(directory.join("abort"), "1");
        }
        let is_it = |on_top: Option<Mounted>| on_top.is_some_and(|on_top| on_top.device == self.device);
        if !is_it(mountpoint::at(&self.mountpoint).ok().flatten()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // What `umount -f` does.
        Ok(rustix::mount::unmount(
            &self.mountpoint,
            UnmountFlags::FORCE | UnmountFlags::DETACH,
        )?)
    }

    /// Its directory in fusectl, wherever that is mounted.
    fn directory(&self) -> Option<PathBuf> {
        if self.minor.is_empty() {
            return None;
        }
        let at = |place: &Path| Some(place.join(&self.minor)).filter(|directory| directory.is_dir());
        at(Path::new(USUAL_PLACE)).or_else(|| mountpoint::fusectl()?.iter().find_map(|place| at(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_goes_by_the_minor_number() {
        let mounted = Mounted {
            path: "/mnt".into(),
            kind: "fuse.projectwise".to_owned(),
            source: String::new(),
            device: "0:4294967295".to_owned(),
        };
        let connection = Connection::of(&mounted);
        assert_eq!(connection.minor, "4294967295");
        // No such connection, and nothing of the kind mounted there.
        assert_eq!(connection.waiting(), None);
        assert_eq!(connection.abort().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
