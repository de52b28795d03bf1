//! The system calls programs read with, and what can be run: each sees the same bytes of one version.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pwfs::daemon::Reading;
use pwfs::demo::{Effect, Fault, RequestKind};
use rustix::io::Errno;

use super::process::mountinfo;
use super::{Mounted, PROJECT, Settings, blocking, fuse_is_here, has_programs, is_root, mount, quiet};

/// Not a whole number of pages, and more than one READ.
const LENGTH: usize = 3_000_001;

/// A document whose every byte tells where it is.
async fn document() -> (Mounted, PathBuf, Vec<u8>) {
    let mounted = mount(Settings::default()).await;
    let bytes: Vec<u8> = (0..LENGTH)
        .map(|at| u8::try_from(at * 31 / 7 % 251).unwrap())
        .collect();
    let path = add(&mounted, "bytes.bin", bytes.clone());
    (mounted, path, bytes)
}

fn add(mounted: &Mounted, name: &str, bytes: Vec<u8>) -> PathBuf {
    let world = mounted.server.world();
    let general = world.folder_at(&[PROJECT, "00 General"]).unwrap();
    world.add_document(general, name, bytes).unwrap();
    mounted.path("00 General").join(name)
}

/// Everything a call gives from `offset` on, however little it gives at a time.
fn drain(mut give: impl FnMut(&mut u64) -> Result<usize, Errno>) -> usize {
    let (mut offset, mut all) = (0, 0);
    loop {
        match give(&mut offset) {
            Ok(0) => return all,
            Ok(given) => all += given,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_read_gives_the_same_bytes() {
    if !fuse_is_here() {
        return;
    }
    let (mounted, path, bytes) = document().await;
    let out = mounted.outside("out");
    blocking(move || {
        let file = File::open(&path).unwrap();
        let fresh = || File::create(&out).unwrap();
        let same = |how: &str| assert!(fs::read(&out).unwrap() == bytes, "{how}");

        let mut piece = vec![0; 70_000];
        for offset in [1_234_567, 0, 2_900_000, LENGTH - 70_000] {
            file.read_exact_at(&mut piece, offset as u64).unwrap();
            assert!(piece == bytes[offset..offset + piece.len()], "pread at {offset}");
        }

        let sent = fresh();
        let all = drain(|offset| rustix::fs::sendfile(&sent, &file, Some(offset), 1 << 20));
        assert_eq!(all, LENGTH);
        same("sendfile");

        let (into, (read, write)) = (fresh(), rustix::pipe::pipe().unwrap());
        let flags = rustix::pipe::SpliceFlags::empty();
        let all = drain(|offset| {
            let given = rustix::pipe::splice(&file, Some(offset), &write, None, 60_000, flags)?;
            let mut left = given;
            while left > 0 {
                left -= rustix::pipe::splice(&read, None, &into, None, left, flags)?;
            }
            Ok(given)
        });
        assert_eq!(all, LENGTH);
        same("splice");

        // Between two file systems the kernel may refuse it, and programs copy in another way.
        let copied = fresh();
        let mut offset = 0;
        loop {
            match rustix::fs::copy_file_range(&file, Some(&mut offset), &copied, None, 1 << 20) {
                Ok(0) => break same("copy_file_range"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!((error, offset), (Errno::XDEV, 0));
                    break;
                }
            }
        }

        let direct = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path)
            .unwrap();
        // Aligned as the strictest device would want it.
        let mut buffer = vec![0_u8; (1 << 20) + 4096];
        let start = buffer.as_ptr().align_offset(4096);
        let mut read = Vec::new();
        loop {
            let given = direct
                .read_at(&mut buffer[start..start + (1 << 20)], read.len() as u64)
                .unwrap();
            if given == 0 {
                break;
            }
            read.extend_from_slice(&buffer[start..start + given]);
        }
        assert!(read == bytes, "O_DIRECT");
    })
    .await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_can_be_mapped_shared_and_privately() {
    if !fuse_is_here() || !has_programs(&["python3", "git"]) {
        return;
    }
    let (mounted, path, bytes) = document().await;
    let truth = mounted.outside("truth");
    fs::write(&truth, &bytes).unwrap();
    let map = mounted.outside("map.py");
    fs::write(
        &map,
        "import mmap, os, sys\n\
         fd = os.open(sys.argv[1], os.O_RDONLY)\n\
         flags = getattr(mmap, sys.argv[2])\n\
         prot = mmap.PROT_READ | (mmap.PROT_WRITE if flags == mmap.MAP_PRIVATE else 0)\n\
         seen = mmap.mmap(fd, 0, flags=flags, prot=prot)\n\
         os.close(fd)\n\
         middle = seen[len(seen) // 2]\n\
         if flags == mmap.MAP_PRIVATE:\n    \
             seen[5] = 255 - seen[5]\n    \
             seen[5] = 255 - seen[5]\n\
         sys.stdout.buffer.write(seen[:])\n",
    )
    .unwrap();
    for flags in ["MAP_SHARED", "MAP_PRIVATE"] {
        let script = format!("python3 \"$1\" \"$2\" {flags} | cmp - \"$3\"");
        quiet(&script, &[&map, &path, &truth]).await;
    }
    // One that maps what it reads.
    let hash = "[ $(git hash-object --no-filters \"$1\") = $(git hash-object --no-filters \"$2\") ]";
    quiet(hash, &[&path, &truth]).await;
    // Nothing is written through a mapping either.
    let shared_for_writing = "python3 -c 'import mmap, sys; f = open(sys.argv[1], \"rb\"); mmap.mmap(f.fileno(), 0)' \"$1\" 2> /dev/null && exit 1; exit 0";
    quiet(shared_for_writing, &[&path]).await;
    mounted.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_copies_a_folder_has_most_of_it_fetched_ahead_in_whatever_order_it_goes() {
    const DOCUMENTS: u64 = 100;
    if !fuse_is_here() {
        return;
    }
    for copy in [
        // By inode number.
        "cp -r \"$1\" \"$2\"",
        // By name.
        "cd \"$1\" && for file in *; do cat \"$file\"; done > \"$2\"",
        // As the directory is read, by a process each.
        "find \"$1\" -type f -exec cat {} \\; > \"$2\"",
    ] {
        let mounted = mount(Settings::default()).await;
        let world = mounted.server.world();
        let project = world.folder_at(&[PROJECT]).unwrap();
        let shelf = world.add_folder(Some(project), "Shelf").unwrap();
        for number in 0..DOCUMENTS {
            let name = format!("{:03}.bin", number * 37 % DOCUMENTS);
            world.add_document_sized(shelf, &name, 20_000).unwrap();
        }
        mounted.refresh(&mounted.path("")).await;
        // Far enough away that it is of use.
        let far = Effect::Latency(Duration::from_millis(20));
        mounted.server.inject(Fault::on(RequestKind::File, far));
        quiet(copy, &[&mounted.path("Shelf"), &mounted.outside("copy")]).await;
        let told = mounted.daemon.filesystem().activity().await;
        assert!(told.used_ahead > DOCUMENTS / 2, "{copy}: {told:?}");
        let asked = mounted.server.requests().of(RequestKind::File);
        assert_eq!(asked, DOCUMENTS, "{copy}: each of them once");
        mounted.stop().await;
    }
}

async fn run(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    let output = blocking(move || Command::new(path).arg("ran").output()).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_can_be_run_where_that_was_asked_for_and_nowhere_else() {
    if !fuse_is_here() {
        return;
    }
    let echo = blocking(|| fs::read("/bin/echo").unwrap()).await;
    for exec in [false, true] {
        let mounted = mount(Settings {
            file_mode: 0o555,
            reading: Reading {
                exec,
                ..Reading::default()
            },
            ..Settings::default()
        })
        .await;
        let programs = [
            add(&mounted, "run.sh", b"#!/bin/sh\necho \"$1\"\n".to_vec()),
            add(&mounted, "echo", echo.clone()),
        ];
        for program in programs {
            match run(&program).await {
                Ok(said) => assert_eq!((said.as_str(), exec), ("ran\n", true)),
                Err(error) => assert_eq!((error.kind(), exec), (io::ErrorKind::PermissionDenied, false)),
            }
        }
        let options = mountinfo(mounted.daemon.mountpoint()).unwrap();
        assert_eq!(options.contains("noexec"), !exec, "{options}");
        assert!(
            options.contains("nosuid") && options.contains("nodev"),
            "{options}"
        );
        mounted.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_reads_as_far_ahead_as_it_was_told() {
    if !fuse_is_here() || !is_root() {
        return;
    }
    let read_ahead = |mounted: &Mounted| {
        let line = mountinfo(mounted.daemon.mountpoint()).unwrap();
        let device = line.split(' ').nth(2).unwrap().to_owned();
        fs::read_to_string(format!("/sys/class/bdi/{device}/read_ahead_kb")).unwrap()
    };
    let plain = mount(Settings::default()).await;
    assert_eq!(read_ahead(&plain), "128\n", "the kernel's own");
    plain.stop().await;
    let far = mount(Settings {
        reading: Reading {
            read_ahead: Some(4 << 20),
            ..Reading::default()
        },
        ..Settings::default()
    })
    .await;
    // Where /sys may not be written, it stays as it is, and the mount is there all the same.
    let kib = read_ahead(&far);
    assert!(
        kib == "4096\n" || fs::metadata("/sys").unwrap().permissions().readonly() || kib == "128\n",
        "{kib}"
    );
    let document = far.path("00 General/LEC-GEN-RPT-0002.pdf");
    quiet("cat \"$1\" > /dev/null", &[&document]).await;
    far.stop().await;
}
