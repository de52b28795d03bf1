//! The trial itself, and kernels that fail it.

use super::*;
use crate::fuse::reply::absent;

#[test]
fn until_the_kernel_was_tried_it_is_trusted_with_nothing() {
    let probe = Probe::new();
    assert_eq!(probe.caching(), KernelCaching::NONE);
    assert_eq!(probe.decide(KernelCaching::FULL), KernelCaching::FULL);
    assert_eq!(probe.caching(), KernelCaching::FULL);
}

#[test]
fn a_kernel_that_cannot_open_directories_by_itself_is_not_asked_to() {
    let probe = Probe::new();
    probe.forbid_directories();
    let decided = probe.decide(KernelCaching::FULL);
    assert!(decided.absences && !decided.directories);
}

#[test]
fn what_was_kept_against_the_notification_is_not_trusted_and_what_could_not_be_tried_is() {
    assert!(trusted("it", &Ok(Outcome::Sound)));
    assert!(!trusted("it", &Ok(Outcome::Unsound)));
    assert!(trusted("it", &Err(io::ErrorKind::PermissionDenied.into())));
}

#[test]
fn the_names_of_the_test_are_nobodys_when_it_does_not_run() {
    let probe = Probe::new();
    let root = INodeNo(ROOT.0);
    assert!(probe.lookup(root, &probe.file).is_none());
    probe.running.store(true, Ordering::Release);
    assert!(matches!(probe.lookup(root, &probe.file), Some(Shown::Absent(_))));
    assert!(probe.lookup(root, OsStr::new(".pw-selftest-")).is_none());
    assert!(probe.lookup(INodeNo(7), &probe.file).is_none());
}

#[test]
fn the_tests_directory_is_read_in_pieces_and_changes() {
    let probe = Probe::new();
    let names = |offset| -> Vec<_> { probe.entries(offset).map(|(_, name, _)| name).collect() };
    assert_eq!(names(0), [".", "..", BEFORE]);
    assert_eq!(names(2), [BEFORE]);
    assert!(names(3).is_empty());
    probe.changed.store(true, Ordering::Release);
    assert_eq!(names(2), [AFTER]);
}

/// A file system of the test alone.
struct Bare(Arc<Probe>);

impl fuser::Filesystem for Bare {
    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: fuser::ReplyEntry) {
        match self.0.lookup(parent, name) {
            Some(Shown::Entry(attr, ttl)) => reply.entry(&ttl, &attr, fuser::Generation(0)),
            Some(Shown::Absent(ttl)) => {
                reply.entry(&ttl, &absent(), fuser::Generation(0));
            }
            None => reply.error(fuser::Errno::EIO),
        }
    }

    fn getattr(
        &self,
        _: &fuser::Request,
        ino: INodeNo,
        _: Option<fuser::FileHandle>,
        reply: fuser::ReplyAttr,
    ) {
        // The root looks like the test's directory.
        let attr = attr(DIRECTORY);
        reply.attr(&TTL, &FileAttr { ino, ..attr });
    }

    fn opendir(&self, _: &fuser::Request, _: INodeNo, _: fuser::OpenFlags, reply: fuser::ReplyOpen) {
        let cached = fuser::FopenFlags::FOPEN_CACHE_DIR | fuser::FopenFlags::FOPEN_KEEP_CACHE;
        reply.opened(fuser::FileHandle(0), cached);
    }

    fn readdir(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: fuser::FileHandle,
        offset: u64,
        mut reply: fuser::ReplyDirectory,
    ) {
        for (cookie, name, attr) in self.0.entries(offset) {
            if reply.add(attr.ino, cookie, attr.kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

/// A kernel that hears nothing is one that drops nothing.
struct Mute;

impl Teller for Mute {
    fn name(&self, _: &OsStr) -> io::Result<()> {
        Ok(())
    }

    fn listing(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_kernel_that_drops_nothing_is_found_out_and_one_that_does_is_trusted() {
    if crate::fuse::mountpoint::check_fuse().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let probe = Arc::new(Probe::new());
    let mounted = fuser::spawn_mount(Bare(probe.clone()), &dir, &fuser::Config::default()).unwrap();
    assert_eq!(try_kernel(&probe, Mute, &dir, PATIENCE), KernelCaching::NONE);
    // Names of its own, which the kernel has not seen.
    mounted.umount_and_join().unwrap();
    let probe = Arc::new(Probe::new());
    let mounted = fuser::spawn_mount(Bare(probe.clone()), &dir, &fuser::Config::default()).unwrap();
    assert_eq!(
        try_kernel(&probe, mounted.notifier(), &dir, PATIENCE),
        KernelCaching::FULL
    );
    mounted.umount_and_join().unwrap();
}

/// A notification that the kernel holds back until the test is over.
struct Held(std::sync::Mutex<mpsc::Receiver<()>>);

impl Teller for Held {
    fn name(&self, _: &OsStr) -> io::Result<()> {
        // Its sender says nothing and is dropped in the end.
        let _ = self.0.lock().unwrap().recv();
        Ok(())
    }

    fn listing(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_kernel_that_hangs_is_not_waited_for_and_trusted_with_nothing() {
    let probe = Arc::new(Probe::new());
    let (_hold, held) = mpsc::channel();
    let dir = tempfile::tempdir().unwrap();
    let held = Held(std::sync::Mutex::new(held));
    let decided = try_kernel(&probe, held, dir.path(), Duration::from_millis(100));
    assert_eq!(decided, KernelCaching::NONE);
}
