//! What the file system says, in FUSE's words.

use std::time::{Duration, SystemTime};

use fuser::{Errno, FileAttr, FileType, ReplyXattr};

use crate::fs::{Attr, Kind};
use crate::model::Timestamp;
use crate::tree::inodes::InodeNo;

/// The largest block a reader should ask for at once: what the kernel's read-ahead asks for anyway.
const BLOCK_SIZE: u32 = 128 * 1024;

/// Answers the size alone where that is what was asked for (0), and ERANGE where the buffer is too small.
pub(super) fn answer_xattr(value: &[u8], size: u32, reply: ReplyXattr) {
    match u32::try_from(value.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(value),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(_) => reply.error(Errno::E2BIG),
    }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    let mtime = system_time(attr.mtime);
    FileAttr {
        ino: fuser::INodeNo(attr.ino.0),
        size: attr.size,
        blocks: attr.blocks,
        atime: mtime,
        mtime,
        ctime: system_time(attr.ctime),
        crtime: mtime,
        kind: match attr.kind {
            Kind::File => FileType::RegularFile,
            Kind::Directory => FileType::Directory,
        },
        perm: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

/// The entry that means "no such name": inode 0.
pub(super) fn absent() -> FileAttr {
    file_attr(&Attr {
        ino: InodeNo(0),
        kind: Kind::File,
        size: 0,
        blocks: 0,
        mtime: Timestamp::UNIX_EPOCH,
        ctime: Timestamp::UNIX_EPOCH,
        mode: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
    })
}

/// Before 1970 is 1970: FUSE has no earlier time.
pub(super) fn system_time(time: Timestamp) -> SystemTime {
    let nanoseconds = u128::try_from(time.as_nanosecond()).unwrap_or(0);
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0);
    let rest = u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, rest)
}
