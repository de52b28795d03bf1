//! Waits until the journal was written to, or its mount has ended.
//!
//! SQLite writes to a log beside the file, in place, for as long as somebody has it open: so writes are watched, of every
//! file in the directory whose name begins like the journal's. The kernel tells of mounts that come and go by the list of
//! them (proc(5): `mountinfo` polls as exceptional).

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::fuse::mountpoint::{self, Mounted};

/// Room for a few dozen events of the longest names; what does not fit waits in the kernel.
const EVENTS: usize = 16 * 1024;

/// Why the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The journal may have more rows.
    Journal,
    /// The mount is gone.
    Ended,
    /// The time is over.
    Nothing,
}

/// See the module.
pub(super) struct Wake {
    inotify: OwnedFd,
    mounts: File,
    mounted: Mounted,
    name: OsString,
}

impl Wake {
    /// Watches `journal` from now on, and whether `mounted` is still there.
    pub(super) fn new(journal: &Path, mounted: &Mounted) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let (Some(dir), Some(name)) = (journal.parent(), journal.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        inotify::add_watch(
            &inotify,
            dir,
            WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR,
        )?;
        Ok(Self {
            inotify,
            mounts: File::open("/proc/self/mountinfo")?,
            mounted: mounted.clone(),
            name: name.to_owned(),
        })
    }

    /// Waits for at most `longest`.
    pub(super) fn wait(&mut self, longest: Duration) -> io::Result<Woken> {
        let end = Instant::now() + longest;
        loop {
            // Read from its beginning, the list is as new as can be, and polls again from there on.
            if !self.is_mounted()? {
                return Ok(Woken::Ended);
            }
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut sources = [
                PollFd::new(&self.inotify, PollFlags::IN),
                PollFd::new(&self.mounts, PollFlags::PRI),
            ];
            match poll(&mut sources, Some(&timeout)) {
                Ok(0) => return Ok(Woken::Nothing),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if self.drain()? {
                return Ok(Woken::Journal);
            }
        }
    }

    fn is_mounted(&mut self) -> io::Result<bool> {
        let mounts = mountpoint::ours()?;
        Ok(mounts
            .iter()
            .any(|mounted| mounted.device == self.mounted.device && mounted.path == self.mounted.path))
    }

    /// Takes the events there are, and says whether one is of the journal.
    fn drain(&self) -> io::Result<bool> {
        let mut is_news = false;
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    let ours = event
                        .file_name()
                        .is_some_and(|name| name.to_bytes().starts_with(self.name.as_bytes()));
                    is_news |= lost || ours;
                }
                Err(Errno::AGAIN) => return Ok(is_news),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
