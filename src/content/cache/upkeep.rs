//! The thread of a cache: what nobody is to wait for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::room::Room;

/// How long uses are gathered before they are noted together.
///
/// An eviction notes them first, so this is only what a killed process forgets.
const GATHER: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Something was used.
    NoteUses,
    /// The cache is nearly full.
    MakeRoom,
    /// The index was lost: count the files.
    Count,
    /// The cache is closed.
    End,
}

/// Makes the way to the thread of a cache, which [`Begin::run`] starts.
pub(super) fn tasks() -> (Sender<Task>, Receiver<Task>) {
    channel()
}

/// What the thread begins with.
pub(super) struct Begin {
    pub(super) tasks: Receiver<Task>,
    /// Names of left-over files that were removed.
    pub(super) removed: Vec<String>,
}

impl Begin {
    /// Starts the thread, of which [`Room::begin`] is the first work. Ends with [`Task::End`].
    pub(super) fn run(self, room: Arc<Room>) -> std::io::Result<()> {
        std::thread::Builder::new()
            .name("pwfs-cache".to_owned())
            .spawn(move || {
                room.begin(&self.removed);
                work(&room, &self.tasks);
            })
            .map(drop)
    }
}

fn work(room: &Room, tasks: &Receiver<Task>) {
    // When what was used is to be noted.
    let mut due: Option<Instant> = None;
    loop {
        let next = match due {
            None => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => tasks.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match next {
            Ok(Task::NoteUses) => due = due.or_else(|| Some(Instant::now() + GATHER)),
            Ok(Task::MakeRoom) => room.make_room_ahead(),
            Ok(Task::Count) => room.count(),
            Err(RecvTimeoutError::Timeout) => {
                due = None;
                room.note_uses();
            }
            Ok(Task::End) | Err(RecvTimeoutError::Disconnected) => {
                room.note_uses();
                return;
            }
        }
    }
}
