//! Translates the kernel's calls into [`Filesystem`] calls and answers them; decides nothing.
//!
//! A session thread only unpacks and hands over. What is at hand is answered on the spot; whatever must wait moves
//! to the runtime with its reply, so that a slow folder never holds up another one.

use std::ffi::OsStr;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::fs::error::FsError;
use crate::fs::{Caller, Filesystem, Lookup, NAME_MAX};
use crate::store::listing::DirCookie;
use crate::tree::inodes::InodeNo;

pub mod connection;
mod kernel;
pub mod mountpoint;
mod notify;
mod reply;
pub mod selftest;
pub mod session;

use reply::{absent, answer_xattr, file_attr};
use selftest::{Probe, Shown};

/// An inode keeps its meaning for ever, so its generation never moves.
const GENERATION: Generation = Generation(0);

/// The kernel's side of a [`Filesystem`].
pub(crate) struct Adaptor {
    fs: Filesystem,
    runtime: Handle,
    /// What the kernel may be trusted to keep, and what is shown to find that out.
    probe: Arc<Probe>,
}

impl Adaptor {
    pub(crate) const fn new(fs: Filesystem, runtime: Handle, probe: Arc<Probe>) -> Self {
        Self { fs, runtime, probe }
    }

    /// Runs `operation`, which owns its reply, without holding up the session thread.
    ///
    /// It is polled once here, and moves to the runtime if it must wait. A reply that is dropped unanswered, by a
    /// panic above all, answers EIO by itself.
    fn run(&self, name: &'static str, ino: INodeNo, operation: impl Future<Output = ()> + Send + 'static) {
        if let Some(waits) = self.begin(name, ino, operation) {
            self.runtime.spawn(waits);
        }
    }

    /// Runs `operation`, which answers something in the directory `dir` that the kernel locks until then.
    ///
    /// Where it must wait, notifications about names in that directory are held back meanwhile. Where one is on its way
    /// already, and might wait for this answer in turn, the kernel is told to ask again, which it does by itself.
    fn run_in<R: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        dir: INodeNo,
        reply: R,
        again: impl FnOnce(R),
        operation: impl FnOnce(ReplySlot<R>) -> F,
    ) {
        let slot = ReplySlot(Arc::new(Mutex::new(Some(reply))));
        let Some(waits) = self.begin(name, dir, operation(slot.clone())) else {
            return;
        };
        match self.fs.tree().invalidations().wait_in(InodeNo(dir.0)) {
            Some(waiting) => {
                self.runtime.spawn(async move {
                    waits.await;
                    // After the answer, and never before it.
                    drop(waiting);
                });
            }
            None => {
                if let Some(reply) = slot.take() {
                    tracing::debug!(name, dir = dir.0, "the directory is changing; to be asked again");
                    again(reply);
                }
            }
        }
    }

    /// Polls `operation` once; what is left of it must wait.
    fn begin(
        &self,
        name: &'static str,
        ino: INodeNo,
        operation: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let guarded = AssertUnwindSafe(operation).catch_unwind().map(move |outcome| {
            if outcome.is_err() {
                tracing::error!(name, ino = ino.0, "panicked; answered EIO");
            }
        });
        let mut guarded: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(guarded);
        let _entered = self.runtime.enter();
        let polled = guarded.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        polled.is_pending().then_some(guarded)
    }
}

/// A reply that is given once, by whoever comes first: the answer, or the word to ask again.
struct ReplySlot<R>(Arc<Mutex<Option<R>>>);

impl<R> Clone for ReplySlot<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> ReplySlot<R> {
    fn take(&self) -> Option<R> {
        self.0.lock().take()
    }
}

impl Adaptor {
    /// Runs what never waits, on the session thread. A panic in it costs its own answer, which is EIO, and not the
    /// thread.
    fn at_once(&self, name: &'static str, ino: INodeNo, answer: impl FnOnce(&Filesystem)) {
        if std::panic::catch_unwind(AssertUnwindSafe(|| answer(&self.fs))).is_err() {
            tracing::error!(name, ino = ino.0, "panicked; answered EIO");
        }
    }
}

impl fuser::Filesystem for Adaptor {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let granted = kernel::agree(config);
        // Kernels before 5.1 would hand the ENOSYS on to whoever opens a directory.
        if !granted.contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT) {
            self.probe.forbid_directories();
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(shown) = self.probe.lookup(parent, name) {
            match shown {
                Shown::Entry(attr, ttl) => reply.entry(&ttl, &attr, GENERATION),
                Shown::Absent(ttl) => reply.entry(&ttl, &absent(), GENERATION),
            }
            return;
        }
        let (fs, name, probe) = (self.fs.clone(), name.to_owned(), self.probe.clone());
        let again = |reply: ReplyEntry| reply.error(Errno::ESTALE);
        self.run_in("lookup", parent, reply, again, move |slot| async move {
            let found = fs.lookup(InodeNo(parent.0), &name).await;
            let Some(reply) = slot.take() else { return };
            match found {
                Ok(Lookup::Found(attr, ttl)) => reply.entry(&ttl, &file_attr(&attr), GENERATION),
                // Inode 0 with a time to live: the kernel remembers the absence. An ENOENT it would not.
                Ok(Lookup::Absent(ttl)) if probe.caching().absences => {
                    reply.entry(&ttl, &absent(), GENERATION);
                }
                Ok(Lookup::Absent(_)) => reply.error(Errno::from_i32(FsError::Absent.errno())),
                Err(error) => reply.error(errno(&fs, "lookup", parent, &error)),
            }
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        if !selftest::is_probe(ino) {
            self.at_once("forget", ino, |fs| fs.forget(InodeNo(ino.0), nlookup));
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        if let Some((attr, ttl)) = self.probe.getattr(ino) {
            return reply.attr(&ttl, &attr);
        }
        self.at_once("getattr", ino, |fs| match fs.getattr(InodeNo(ino.0)) {
            Ok((attr, ttl)) => reply.attr(&ttl, &file_attr(&attr)),
            Err(error) => reply.error(errno(fs, "getattr", ino, &error)),
        });
    }

    // ENOSYS once, and the kernel opens by itself from then on: an inode's bytes never change, so there is nothing an
    // open could decide.
    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if selftest::is_probe(ino) {
            // What an ENOSYS would mean from then on, for this directory alone.
            let cached = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
            reply.opened(FileHandle(0), cached);
        } else if self.probe.caching().directories {
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::empty());
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let caller = Caller {
            pid: request.pid(),
            uid: request.uid(),
        };
        let fs = self.fs.clone();
        self.run("read", ino, async move {
            match fs.read_for(caller, InodeNo(ino.0), offset, size).await {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(errno(&fs, "read", ino, &error)),
            }
        });
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        if selftest::is_probe(ino) {
            for (cookie, name, attr) in self.probe.entries(offset) {
                if reply.add(attr.ino, cookie, name, &selftest::TTL, &attr, GENERATION) {
                    break;
                }
            }
            return reply.ok();
        }
        let fs = self.fs.clone();
        let again = |reply: ReplyDirectoryPlus| reply.error(Errno::ESTALE);
        self.run_in("readdirplus", ino, reply, again, move |slot| async move {
            let mut reply = None;
            let given = fs
                .readdirplus(InodeNo(ino.0), DirCookie::from_offset(offset), &mut |entry| {
                    // The first entry comes when there is nothing left to wait for.
                    let Some(reply) = reply.get_or_insert_with(|| slot.take()) else {
                        return true;
                    };
                    // None at all makes the kernel look the name up before it uses it.
                    let ttl = entry.ttl.unwrap_or_default();
                    let attr = file_attr(&entry.attr);
                    reply.add(
                        INodeNo(entry.attr.ino.0),
                        entry.cookie.offset(),
                        entry.name,
                        &ttl,
                        &attr,
                        GENERATION,
                    )
                })
                .await;
            let Some(reply) = reply.unwrap_or_else(|| slot.take()) else {
                return;
            };
            match given {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(errno(&fs, "readdirplus", ino, &error)),
            }
        });
    }

    fn statfs(&self, _request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        self.at_once("statfs", ino, |fs| {
            let stat = fs.statfs();
            let longest = u32::try_from(NAME_MAX).unwrap_or(u32::MAX);
            // Nothing is free: nobody should plan to write here.
            reply.statfs(stat.blocks, 0, 0, stat.files, 0, stat.block, longest, stat.block);
        });
    }

    fn access(&self, _request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) {
            reply.error(read_only("access", ino));
        } else {
            reply.ok();
        }
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (fs, name) = (self.fs.clone(), name.to_owned());
        self.run("getxattr", ino, async move {
            match fs.getxattr(InodeNo(ino.0), &name).await {
                Ok(value) => answer_xattr(&value, size, reply),
                Err(error) => reply.error(errno(&fs, "getxattr", ino, &error)),
            }
        });
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let fs = self.fs.clone();
        self.run("listxattr", ino, async move {
            match fs.listxattr(InodeNo(ino.0)).await {
                Ok(names) => answer_xattr(&names, size, reply),
                Err(error) => reply.error(errno(&fs, "listxattr", ino, &error)),
            }
        });
    }

    // Every call that would change something. The `ro` of the mount alone does not hold after `remount,rw`.

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(read_only("setattr", ino));
    }

    fn mknod(
        &self,
        _request: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(read_only("mknod", parent));
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.error(read_only("mkdir", parent));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(read_only("unlink", parent));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(read_only("rmdir", parent));
    }

    fn symlink(&self, _request: &Request, parent: INodeNo, _name: &OsStr, _target: &Path, reply: ReplyEntry) {
        reply.error(read_only("symlink", parent));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _new_parent: INodeNo,
        _new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(read_only("rename", parent));
    }

    fn link(
        &self,
        _request: &Request,
        ino: INodeNo,
        _new_parent: INodeNo,
        _new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(read_only("link", ino));
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(read_only("write", ino));
    }

    fn setxattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(read_only("setxattr", ino));
    }

    fn removexattr(&self, _request: &Request, ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(read_only("removexattr", ino));
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(read_only("create", parent));
    }

    fn fallocate(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(read_only("fallocate", ino));
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(read_only("copy_file_range", ino_out));
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        // What a file system without ioctls says; programs probe for features with them.
        reply.error(Errno::ENOTTY);
    }
}

/// Logs a failure once, where it is answered, and turns it into the kernel's number.
fn errno(fs: &Filesystem, operation: &'static str, ino: INodeNo, error: &FsError) -> Errno {
    let errno = error.errno();
    if error.is_ordinary() || fs.is_explained(error) {
        tracing::debug!(operation, ino = ino.0, errno, %error);
    } else {
        tracing::warn!(operation, ino = ino.0, errno, %error);
    }
    Errno::from_i32(errno)
}

fn read_only(operation: &'static str, ino: INodeNo) -> Errno {
    let error = FsError::ReadOnly;
    tracing::debug!(operation, ino = ino.0, errno = error.errno(), %error);
    Errno::from_i32(error.errno())
}
