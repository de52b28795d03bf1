//! Tells the kernel what became stale, from threads that hold no lock and answer nobody.
//!
//! The kernel may hold a notification about a name back while a lookup in the same directory is in flight, for as long
//! as that takes. So what concerns an inode goes first, there are a few threads, that slow directories do not silence
//! the others, and since nothing waits for them, a notification that hangs costs freshness and never an answer.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fuser::{INodeNo, Notifier};

use crate::tree::inodes::InodeNo;
use crate::tree::invalidation::{Drops, Invalidations};

/// A directory that holds one up must be slow and change at once; four such at a time are not to be expected.
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
                        tell(&notifier, ino, &drops);
                        invalidations.done(ino);
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

fn tell(notifier: &Notifier, ino: InodeNo, drops: &Drops) {
    let node = INodeNo(ino.0);
    if drops.listing {
        report(notifier.inval_inode(node, 0, 0));
    }
    if drops.attributes {
        // A negative offset leaves the pages alone.
        report(notifier.inval_inode(node, -1, 0));
    }
    for name in &drops.names {
        report(notifier.inval_entry(node, OsStr::new(name.as_str())));
    }
}

fn report(told: io::Result<()>) {
    match told {
        Ok(()) => {}
        // The kernel did not hold it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!(%error, "the kernel did not take a notification"),
    }
}
