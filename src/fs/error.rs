//! The one errno table.
//!
//! Every failure a system call can see is decided here and nowhere else. ENOENT has a single source: a name that is
//! not in a proved listing.

#![deny(clippy::wildcard_enum_match_arm)]

use crate::content::ContentError;
use crate::remote::RemoteError;
use crate::tree::TreeError;

/// Why an operation is refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FsError {
    /// The name is not in the proved listing.
    #[error("no such name in the folder's listing")]
    Absent,
    /// The server says this account may not.
    #[error("access denied: {0}")]
    Denied(String),
    /// The program is one of those that never download, and the bytes are not here.
    #[error("{0} is one of the programs that never download, and the document is not here")]
    Withheld(String),
    /// The login is over.
    #[error("{0}")]
    LoginRequired(String),
    /// The server cannot be reached, and nothing stands in.
    #[error("{0}")]
    Unreachable(String),
    /// The deadline passed.
    #[error("{0}")]
    TimedOut(String),
    /// This version's bytes can no longer be had, or the object left its folder.
    #[error("{0}")]
    Stale(String),
    /// Something that is not a directory was used as one.
    #[error("not a directory")]
    NotDirectory,
    /// A directory was read as a file.
    #[error("is a directory")]
    IsDirectory,
    /// The name is longer than any entry's can be.
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    /// No such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// Nothing is ever written.
    #[error("read-only")]
    ReadOnly,
    /// The answer cannot be right, or pwfs failed.
    #[error("{0}")]
    Broken(String),
}

impl FsError {
    /// The errno the caller sees.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Absent => libc::ENOENT,
            Self::Denied(_) | Self::Withheld(_) => libc::EACCES,
            // "Key has expired", as the kernel's own AFS says it.
            Self::LoginRequired(_) => libc::EKEYEXPIRED,
            Self::Unreachable(_) => libc::EHOSTUNREACH,
            Self::TimedOut(_) => libc::ETIMEDOUT,
            Self::Stale(_) => libc::ESTALE,
            Self::NotDirectory => libc::ENOTDIR,
            Self::IsDirectory => libc::EISDIR,
            Self::NameTooLong => libc::ENAMETOOLONG,
            Self::NoAttribute => libc::ENODATA,
            Self::ReadOnly => libc::EROFS,
            Self::Broken(_) => libc::EIO,
        }
    }

    /// True for what happens every day and tells an operator nothing.
    pub const fn is_ordinary(&self) -> bool {
        match self {
            Self::Absent
            | Self::Denied(_)
            | Self::Withheld(_)
            | Self::NotDirectory
            | Self::IsDirectory
            | Self::NameTooLong
            | Self::NoAttribute
            | Self::ReadOnly => true,
            Self::LoginRequired(_)
            | Self::Unreachable(_)
            | Self::TimedOut(_)
            | Self::Stale(_)
            | Self::Broken(_) => false,
        }
    }
}

impl From<RemoteError> for FsError {
    fn from(error: RemoteError) -> Self {
        let text = error.to_string();
        match error {
            RemoteError::Denied { .. } => Self::Denied(text),
            // The server hides what may not be seen behind "not found"; whoever knows that the object has left its
            // folder says Stale before it comes to this.
            RemoteError::NotFound { .. } => Self::Denied(text),
            // An account that is locked gets in again as one without a login does: by a person.
            RemoteError::LoginRequired(_) | RemoteError::SecretRequired(_) | RemoteError::LockedOut(_) => {
                Self::LoginRequired(text)
            }
            RemoteError::Throttled { .. } | RemoteError::TimedOut(_) => Self::TimedOut(text),
            RemoteError::Unreachable(_) => Self::Unreachable(text),
            RemoteError::Server(_) | RemoteError::Protocol(_) => Self::Broken(text),
        }
    }
}

impl From<TreeError> for FsError {
    fn from(error: TreeError) -> Self {
        let text = error.to_string();
        match error {
            TreeError::Remote(error) => error.into(),
            TreeError::TimedOut => Self::TimedOut(text),
            TreeError::Unproved(_) => Self::Broken(text),
            TreeError::Gone => Self::Stale(text),
        }
    }
}

impl From<ContentError> for FsError {
    fn from(error: ContentError) -> Self {
        let text = error.to_string();
        match error {
            ContentError::Remote(error) => error.into(),
            ContentError::TimedOut => Self::TimedOut(text),
            ContentError::LengthDiffers { .. }
            | ContentError::ReplacedInPlace { .. }
            | ContentError::NotCached => Self::Stale(text),
            ContentError::Stopped | ContentError::Cache { .. } => Self::Broken(text),
        }
    }
}
