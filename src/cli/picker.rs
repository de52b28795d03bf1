//! The folder picker of `setup`: a full-screen view of the remote tree, in which a person marks folders.
//!
//! `model` holds the state and decides what each key does, `view` turns it into lines, `terminal` shows them, and this file
//! runs what waits for the server. Asking never holds up a key: every folder is listed by a task of its own, and what
//! comes back is one more event.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;

use super::failure::{CliError, ErrorKind};
use crate::cli::browse::walk::ends_everything;
use crate::model::{DirId, FolderId};
use crate::remote::{Progress, Remote, RemoteError};

#[cfg(test)]
mod fake;
mod help;
mod input;
mod level;
mod marks;
mod model;
mod search;
pub mod terminal;
mod text;
mod view;

use level::Crumb;
use model::{Answer, Ending, Event, Model, Wish};
use search::Order;
use terminal::Terminal;

pub use input::{Input, Key, Size};
pub use marks::Picked;

/// What a person did in the picker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Marked these and is content; none means all there is.
    Chosen(Vec<Picked>),
    /// Stops here and may come back; this is what is marked so far. A signal that asks the process to end counts as
    /// that too.
    Left(Vec<Picked>),
}

/// The picker could not go on: the login is over, or the terminal is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", error.message())]
pub struct Stopped {
    /// Why.
    pub error: CliError,
    /// What is marked so far.
    pub picked: Vec<Picked>,
}

impl From<Stopped> for CliError {
    fn from(stopped: Stopped) -> Self {
        stopped.error
    }
}

/// The shortest time between two pictures that no key asked for. Twenty a second look like a flow; a search that finds
/// hundreds of folders a second must not fill a slow line with pictures nobody can read.
const BETWEEN_PICTURES: Duration = Duration::from_millis(50);

/// Messages of tasks that may wait for the picker. It is quick; this only evens out bursts.
const MESSAGES: usize = 64;

/// The deepest way to a folder to begin in. ProjectWise paths are some tens deep; this ends a circle.
const DEEPEST: usize = 1_000;

/// What a task tells the picker.
enum Message {
    Event(Event),
    /// Every further request would fail the same way.
    Over(RemoteError),
}

/// Lets a person choose folders of `remote`, beginning at the root, or in the folder `start`. `before` is marked already.
///
/// The terminal is given back when this returns, or is dropped.
///
/// # Errors
/// A login that is over, and a terminal that cannot be read or written. All else is shown where it happened.
pub async fn pick(
    remote: Arc<dyn Remote>,
    start: Option<FolderId>,
    before: Vec<Picked>,
    mut terminal: Terminal,
) -> Result<Outcome, Stopped> {
    let mut model = Model::new(remote.name(), terminal.size(), before);
    let ended = run(&mut model, remote, start, &mut terminal).await;
    drop(terminal);
    let picked = model.into_picked();
    match ended {
        Ok(Ending::Chosen) => Ok(Outcome::Chosen(picked)),
        Ok(Ending::Left) => Ok(Outcome::Left(picked)),
        Err(error) => Err(Stopped { error, picked }),
    }
}

async fn run(
    model: &mut Model,
    remote: Arc<dyn Remote>,
    start: Option<FolderId>,
    terminal: &mut Terminal,
) -> Result<Ending, CliError> {
    let (sender, mut messages) = mpsc::channel(MESSAGES);
    let mut desk = Desk {
        remote,
        sender,
        tasks: JoinSet::new(),
        search: None,
    };
    let broken = |error: io::Error| {
        CliError::of(ErrorKind::Failure, &error).while_doing("the terminal cannot be used")
    };
    let mut events = match start {
        Some(folder) => {
            desk.find_way(folder);
            Vec::new()
        }
        None => vec![Event::Opened(Ok(Vec::new()))],
    };
    let mut drawn = Instant::now();
    let mut draws_now = true;
    loop {
        for event in events.drain(..) {
            draws_now |= matches!(event, Event::Input(_));
            for wish in model.update(event) {
                match wish {
                    Wish::List(place) => desk.list(place),
                    Wish::Search(order) => desk.search(order),
                    Wish::StopSearch => desk.stop_search(),
                    Wish::Redraw => terminal.forget(),
                    Wish::Suspend => {
                        terminal.suspend().map_err(broken)?;
                        model.update(Event::Input(Input::Resized(terminal.size())));
                    }
                    Wish::Finish(ending) => return Ok(ending),
                }
            }
        }
        if draws_now {
            terminal.draw(&view::view(model)).map_err(broken)?;
            drawn = Instant::now();
        }
        let stale = !draws_now;
        draws_now = false;
        tokio::select! {
            biased;
            input = terminal.next() => {
                events.push(Event::Input(input));
                // Keys that repeat faster than a slow terminal draws are all obeyed before it draws.
                while let Some(input) = terminal.waiting() {
                    events.push(Event::Input(input));
                }
            }
            () = tokio::time::sleep_until(drawn + BETWEEN_PICTURES), if stale => draws_now = true,
            Some(message) = messages.recv() => match message {
                Message::Event(event) => events.push(event),
                Message::Over(error) => return Err(error.into()),
            },
            Some(ended) = desk.tasks.join_next() => not_a_panic(ended),
        }
    }
}

/// What the picker has others do. Dropped, it ends them all.
struct Desk {
    remote: Arc<dyn Remote>,
    sender: mpsc::Sender<Message>,
    tasks: JoinSet<()>,
    search: Option<AbortHandle>,
}

impl Desk {
    fn list(&mut self, place: DirId) {
        let (remote, sender) = (Arc::clone(&self.remote), self.sender.clone());
        self.tasks.spawn(async move {
            let message = match list(&*remote, place, &sender).await {
                Ok(listing) => Message::Event(Event::Answered(place, Answer::Listed(listing))),
                Err(error) if ends_everything(&error) => Message::Over(error),
                Err(RemoteError::Denied { detail, .. }) => {
                    Message::Event(Event::Answered(place, Answer::Denied(detail.to_string())))
                }
                Err(error) => Message::Event(Event::Answered(place, Answer::Failed(error.to_string()))),
            };
            // Nobody listens any more once the picker is done.
            let _ = sender.send(message).await;
        });
    }

    fn search(&mut self, order: Order) {
        self.stop_search();
        let (remote, sender) = (Arc::clone(&self.remote), self.sender.clone());
        self.search = Some(self.tasks.spawn(async move {
            let number = order.number;
            let tell = async |finding| {
                let message = Message::Event(Event::Found(number, finding));
                sender.send(message).await.is_ok()
            };
            if let Err(error) = search::search(&*remote, &order, tell).await {
                let _ = sender.send(Message::Over(error)).await;
            }
        }));
    }

    fn stop_search(&mut self) {
        if let Some(search) = self.search.take() {
            search.abort();
        }
    }

    /// Finds the way to the folder to begin in.
    fn find_way(&mut self, folder: FolderId) {
        let (remote, sender) = (Arc::clone(&self.remote), self.sender.clone());
        self.tasks.spawn(async move {
            let message = match way_to(&*remote, folder).await {
                Err(error) if ends_everything(&error) => Message::Over(error),
                way => Message::Event(Event::Opened(way.map_err(|error| error.to_string()))),
            };
            let _ = sender.send(message).await;
        });
    }
}

/// Lists a folder, and tells how many rows have come meanwhile.
async fn list(
    remote: &dyn Remote,
    place: DirId,
    sender: &mpsc::Sender<Message>,
) -> Result<level::Listing, RemoteError> {
    let progress = Progress::new();
    let mut seen = progress.subscribe();
    let mut listing = std::pin::pin!(search::list(remote, place, &progress));
    loop {
        tokio::select! {
            biased;
            answer = &mut listing => return answer,
            Ok(()) = seen.changed() => {
                let rows = *seen.borrow_and_update();
                // Only the newest count is of interest: one that finds no room is no loss.
                let _ = sender.try_send(Message::Event(Event::Progress(place, rows)));
            }
        }
    }
}

/// The raw names of the folders from the root down to `folder`, as far up as the account may look.
pub(in crate::cli) async fn path_to(
    remote: &dyn Remote,
    folder: FolderId,
) -> Result<Vec<String>, RemoteError> {
    let way = way_to(remote, folder).await?;
    Ok(way.into_iter().map(|crumb| crumb.name.to_string()).collect())
}

/// The folders from the root down to `folder`, as far up as the account may look.
async fn way_to(remote: &dyn Remote, folder: FolderId) -> Result<Vec<Crumb>, RemoteError> {
    let mut way: Vec<Crumb> = Vec::new();
    let mut next = Some(folder);
    while let Some(id) = next
        && way.len() < DEEPEST
    {
        let found = match remote.folder(id).await {
            Ok(found) => found,
            // What is above may be closed to this account; the folder itself is what counts.
            Err(RemoteError::Denied { .. } | RemoteError::NotFound { .. }) if !way.is_empty() => break,
            Err(error) => return Err(error),
        };
        next = found
            .parent
            .filter(|parent| way.iter().all(|crumb| crumb.id != *parent) && *parent != id);
        way.push(Crumb {
            id: found.id,
            name: found.name.into(),
        });
    }
    way.reverse();
    Ok(way)
}

/// A task that panicked takes the picker with it; one that was ended is done.
fn not_a_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
