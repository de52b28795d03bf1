//! Tells the kernel what became stale, from threads that hold no lock and answer nobody.
//!
//! The kernel holds a notification about a name back while a lookup in the same directory is in flight. Which those are
//! is known to [`Invalidations`], so no thread here ever waits for a server in a system call that nothing can end. What
//! concerns an inode goes first, and is never held back.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fuser::{INodeNo, Notifier};

use crate::names::FileName;
use crate::tree::inodes::InodeNo;
use crate::tree::invalidation::{Drops, Invalidations};

/// A directory holds one up for no longer than its lookups take that are answered at once; a few make sure that one of
/// ten thousand changes does not silence the others.
const THREADS: usize = 4;

/// The notifying threads; they end when the set is closed.
pub(super) struct KernelNotifier {
    threads: Vec<JoinHandle<()>>,
}

impl KernelNotifier {
    /// Starts telling the kernel what is put into `invalidations`.
    pub(super) fn start(notifier: &Notifier, invalidations: &Arc<Invalidations>) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(THREADS);
        for number in 0..THREADS {
            let (notifier, invalidations) = (notifier.clone(), invalidations.clone());
            let thread = std::thread::Builder::new()
                .name(format!("notify-{number}"))
                .spawn(move || {
                    while let Some((ino, drops)) = invalidations.take() {
                        let left = tell(&notifier, &invalidations, ino, drops);
                        invalidations.done(ino, left);
                    }
                })?;
            threads.push(thread);
        }
        Ok(Self { threads })
    }

    /// Waits for the threads; the set is closed and the connection gone by then, so that no notification is held.
    pub(super) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a notifying thread panicked");
            }
        }
    }
}

/// Tells all of it, and returns the names that have to wait.
fn tell(
    notifier: &Notifier,
    invalidations: &Invalidations,
    ino: InodeNo,
    drops: Drops,
) -> impl Iterator<Item = FileName> + use<> {
    let node = INodeNo(ino.0);
    if drops.listing {
        report(notifier.inval_inode(node, 0, 0));
    }
    if drops.attributes {
        // A negative offset leaves the pages alone.
        report(notifier.inval_inode(node, -1, 0));
    }
    let mut names = drops.names.into_iter();
    while invalidations.goes_on(ino)
        && let Some(name) = names.next()
    {
        report(notifier.inval_entry(node, OsStr::new(name.as_str())));
    }
    names
}

fn report(told: io::Result<()>) {
    match told {
        Ok(()) => {}
        // The kernel did not hold it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!(%error, "the kernel did not take a notification"),
    }
}
