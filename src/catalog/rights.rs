//! What there is to tell of what the server refuses.

use rusqlite::Connection;

use super::DirKey;
use super::gone::{Gone, record};
use super::journal::{Change, Reason};
use super::told::{self, State};
use crate::model::{FolderId, Guid, Timestamp};

/// True where [`tell`] has nothing to tell.
pub(super) fn is_told(connection: &Connection, object: Guid, readable: bool) -> rusqlite::Result<bool> {
    let told = told::everywhere(connection, object)?;
    Ok(told.iter().all(|told| told.readable == readable)
        && (readable || told::expected(connection, DirKey::folder(FolderId(object)))?.is_empty()))
}

/// Tells that the server began or ceased to refuse `object`, unless that was told.
///
/// What is on its way to a folder that is refused will not be seen to arrive, and was not deleted either.
pub(super) fn tell(
    connection: &Connection,
    object: Guid,
    readable: bool,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let mut announced = false;
    for mut told in told::everywhere(connection, object)? {
        if told.readable == readable {
            continue;
        }
        told.readable = readable;
        told::put(connection, &told)?;
        if announced || matches!(told.state, State::Ceded(_)) {
            continue;
        }
        announced = true;
        record(
            connection,
            at,
            &told.said,
            told.parent,
            Change::Rights { readable },
        )?;
    }
    if !readable {
        let mut gone = Gone::new(connection, at);
        gone.expected(DirKey::folder(FolderId(object)), Reason::Denied)?;
        gone.finish()?;
    }
    Ok(())
}
