//! Gives memory back after the kernel has forgotten much.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::blocking;
use crate::fs::Filesystem;
use crate::memory;

/// How long nothing more must have been forgotten: the kernel forgets in bursts, and one look after all of them is enough.
const QUIET: Duration = Duration::from_millis(500);

/// How often it is waited for quiet at most; a kernel short of memory may never be.
const PATIENCE: u32 = 10;

/// After how long threads for blocking work that have nothing to do are gone, and with them what they kept for themselves: of
/// 62 MiB that a walk over 63 000 entries had taken, 43 were left after the first look and 31 after one that waited for this.
const THREADS_END: Duration = memory::THREADS_LINGER.saturating_add(Duration::from_secs(2));

/// The watch over what the kernel forgets; ends when dropped.
pub(super) struct Thrift(AbortHandle);

impl Thrift {
    pub(super) fn begin(fs: &Filesystem, runtime: &Handle) -> Self {
        let fs = fs.clone();
        let watch = runtime.spawn(async move {
            let inodes = fs.tree().inodes();
            loop {
                inodes.many_forgotten().await;
                for _ in 0..PATIENCE {
                    let before = inodes.forgotten();
                    tokio::time::sleep(QUIET).await;
                    if inodes.forgotten() == before {
                        break;
                    }
                }
                settle(&fs).await;
                tokio::time::sleep(THREADS_END).await;
                settle(&fs).await;
            }
        });
        Self(watch.abort_handle())
    }
}

/// Drops what is kept and not needed, and gives back every page nothing is left in.
async fn settle(fs: &Filesystem) {
    let tree = fs.tree().clone();
    blocking(move || {
        tree.settle();
        memory::give_back();
    })
    .await;
}

impl Drop for Thrift {
    fn drop(&mut self) {
        self.0.abort();
    }
}
