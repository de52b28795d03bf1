//! What is agreed with the kernel when a mount begins: the features asked for, and how much may be under way.

use std::fs;
use std::path::Path;

use fuser::{InitFlags, KernelConfig};

/// What is asked for, where the kernel offers it. Beside these fuser asks for nothing that matters to who only reads.
const WANTED: [(InitFlags, &str); 7] = [
    // Several READs of one file at once: read-ahead goes on while a page is waited for.
    (InitFlags::FUSE_ASYNC_READ, "async_read"),
    // READs of up to a MiB, and not of 128 KiB.
    (InitFlags::FUSE_MAX_PAGES, "max_pages"),
    // Lookups and listings of one directory at once: a slow one holds up no other.
    (InitFlags::FUSE_PARALLEL_DIROPS, "parallel_dirops"),
    // Attributes come with the names, always: our listings have them.
    (InitFlags::FUSE_DO_READDIRPLUS, "do_readdirplus"),
    // Pages are dropped when size or time of their inode change. They never do, and a bug of ours shall not be served.
    (InitFlags::FUSE_AUTO_INVAL_DATA, "auto_inval_data"),
    // The kernel opens files and directories by itself once it was told so, and keeps their pages.
    (InitFlags::FUSE_NO_OPEN_SUPPORT, "no_open"),
    (InitFlags::FUSE_NO_OPENDIR_SUPPORT, "no_opendir"),
];

/// How many requests may be under way that nobody's call waits for directly: read-ahead, which is how most reads come.
///
/// Reads of a server that is silent hold a place each, for as long as they wait. Where all places are held, everybody else's
/// read-ahead waits for them, of documents that are here too; so there are more than programs have reads. The kernel gives
/// an ordinary user no more than its `max_user_bgreq`.
const MAX_BACKGROUND: u16 = 4096;

/// From so many on, the kernel leaves out read-ahead that can be left out.
const CONGESTED: u16 = MAX_BACKGROUND / 4 * 3;

/// Agrees on features and bounds; returns the features the kernel has.
pub(super) fn agree(config: &mut KernelConfig) -> InitFlags {
    let offered = config.capabilities();
    for (flag, name) in WANTED {
        if !offered.contains(flag) {
            tracing::info!(name, "this kernel does not have a feature of FUSE");
        } else if config.add_capabilities(flag).is_err() {
            tracing::warn!(name, "the kernel refused what it offered");
        }
    }
    for set in [
        config.set_max_background(MAX_BACKGROUND),
        config.set_congestion_threshold(CONGESTED),
    ] {
        if let Err(nearest) = set {
            tracing::debug!(nearest, "the kernel limits concurrent requests");
        }
    }
    let granted = WANTED.iter().filter(|(flag, _)| offered.contains(*flag));
    let granted: Vec<&str> = granted.map(|(_, name)| *name).collect();
    tracing::debug!(
        granted = granted.join(" "),
        max_background = MAX_BACKGROUND,
        congestion_threshold = CONGESTED,
        "agreed with the kernel"
    );
    offered
}

/// Where the kernel shows what it does for a device, by its number.
const BDI: &str = "/sys/class/bdi";

/// Has the kernel read so many bytes ahead of readers in sequence; says so where this process may not.
///
/// What is agreed at the begin of a mount cannot exceed the kernel's own 128 KiB; this can.
pub(super) fn set_read_ahead(device: &str, bytes: u64) {
    let path = Path::new(BDI).join(device).join("read_ahead_kb");
    let kib = bytes.div_ceil(1024);
    match fs::write(&path, kib.to_string()) {
        Ok(()) => tracing::debug!(device, kib, "the kernel reads further ahead"),
        Err(error) => tracing::warn!(
            %error,
            path = %path.display(),
            "the kernel's read-ahead stays as it is: only root can change it"
        ),
    }
}
