//! What the server states as a document's length may be missing or wrong: what is read is all of it, or an error.

use std::io;
use std::path::Path;

use pwfs::demo::DemoOptions;
use pwfs::demo::knobs::{FileSizeAs, Knobs, Ranges};

use super::{PATIENCE, PROJECT, Settings, blocking, fuse_is_here, mount, small};

/// Names, the true lengths, and what is stated.
const CASES: [(&str, u64, Option<u64>); 11] = [
    ("absent.bin", 300_001, None),
    ("absent-and-empty.bin", 0, None),
    ("stated-as-empty.bin", 300_001, Some(0)),
    ("empty.bin", 0, Some(0)),
    ("right.bin", 300_001, Some(300_001)),
    ("too-small.bin", 300_001, Some(1_234)),
    ("one-too-small.bin", 4_097, Some(4_096)),
    ("too-large.bin", 5_000, Some(500_000)),
    ("one-too-large.bin", 4_095, Some(4_096)),
    ("empty-and-stated-as-more.bin", 0, Some(4_096)),
    ("beyond-memory.bin", 5_000, Some((u32::MAX as u64) << 20)),
];

/// How often a name is tried: a wrong length is found out by the first who reads.
const TRIES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn sizes_never_truncate() {
    if !fuse_is_here() {
        return;
    }
    for ranges in [Ranges::Served, Ranges::Ignored] {
        for filesize_as in [FileSizeAs::Number, FileSizeAs::Text] {
            check(ranges, filesize_as).await;
        }
    }
}

async fn check(ranges: Ranges, filesize_as: FileSizeAs) {
    let options = DemoOptions {
        knobs: Knobs {
            ranges,
            filesize_as,
            ..Knobs::default()
        },
        ..small()
    };
    let mounted = mount(Settings {
        options,
        ..Settings::default()
    })
    .await;
    let world = mounted.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    let folder = mounted.path("00 General");
    for (name, size, stated) in CASES {
        let document = world.add_document_sized(general, name, size).unwrap();
        world.list_size(document, stated).unwrap();
    }
    mounted.refresh(&folder).await;
    for (name, size, stated) in CASES {
        let said = format!("{name}, stated as {stated:?} by {filesize_as:?}, ranges {ranges:?}");
        let truth = world
            .content(world.document_at(&[PROJECT, "00 General", name]).unwrap())
            .unwrap();
        assert_eq!(truth.len() as u64, size);
        let path = folder.join(name);
        let mut healed = false;
        for _ in 0..TRIES {
            let path = path.clone();
            match blocking(move || read_in_pieces(&path)).await {
                Ok((length, bytes)) => {
                    assert!(
                        bytes == truth,
                        "{said}: {} of {size} bytes, and no error",
                        bytes.len()
                    );
                    assert_eq!(length, size, "{said}: and `stat` says the same");
                    healed = true;
                    break;
                }
                Err(error) => {
                    let errno = error.raw_os_error();
                    let honest = [Some(libc::ESTALE), Some(libc::EIO)].contains(&errno);
                    assert!(honest, "{said}: {error}");
                    // The name leads elsewhere as soon as the kernel was told.
                    let changes = mounted.daemon.filesystem().tree().invalidations().clone();
                    assert!(blocking(move || changes.settle(PATIENCE)).await);
                }
            }
        }
        // Nothing where there is to be something is taken for a server that fails, however often it comes.
        let is_doubted = size == 0 && stated.is_some_and(|stated| stated > 0);
        assert_eq!(healed, !is_doubted, "{said}: it is never read");
    }
    mounted.stop().await;
}

/// As a program does that believes nobody: to the end, however far that is; and how long the file is said to be then.
fn read_in_pieces(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match io::Read::read(&mut file, &mut piece)? {
            0 => return Ok((file.metadata()?.len(), bytes)),
            given => bytes.extend_from_slice(&piece[..given]),
        }
    }
}
