//! Follows a journal: looks, and looks again when it was written to, until its mount ends.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::{CliError, ErrorKind};
use super::wake::{Wake, Woken};
use crate::fuse::mountpoint::Mounted;

/// A look at the journal without having been told of a change: for what no watch tells, such as a file that took the
/// place of the journal.
const FALLBACK: Duration = Duration::from_secs(10);

/// What is written to the journal can be read once it was synced, of which nobody tells: so it is looked at again so soon
/// after a write, and then each time after a longer pause.
const VISIBLE: Duration = Duration::from_millis(20);
const LONGER: u32 = 4;

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// Everything there is was told.
    All,
    /// Nothing more is to be told: nobody listens, or there is nothing that can be.
    Done,
}

/// What follows a journal.
pub(super) struct Following {
    wake: Wake,
}

impl Following {
    /// Watches the journal from now on: what is looked at after this misses nothing. Blocks for a moment.
    pub(super) fn begin(journal: &Path, mounted: &Mounted) -> Result<Self, CliError> {
        let wake = Wake::new(journal, mounted).map_err(|error| {
            CliError::of(ErrorKind::Failure, &error).while_doing("the journal cannot be watched")
        })?;
        Ok(Self { wake })
    }

    /// Calls `look` now and whenever there may be more, until it is done; with `once` only now. Where `is_closed`
    /// says that nobody listens any more, this ends within seconds. Blocks.
    pub(super) fn follow(
        &mut self,
        once: bool,
        is_closed: &dyn Fn() -> bool,
        look: &mut dyn FnMut() -> Result<Looked, CliError>,
    ) -> Result<(), CliError> {
        let mut is_last = once;
        let mut pause = FALLBACK;
        loop {
            if look()? == Looked::Done || is_last {
                return Ok(());
            }
            match self.wake.wait(pause) {
                // What it wrote last is still told.
                Ok(Woken::Ended) => is_last = true,
                Ok(Woken::Nothing) if is_closed() => return Ok(()),
                Ok(Woken::Journal) => pause = VISIBLE,
                Ok(Woken::Nothing) => pause = pause.saturating_mul(LONGER).min(FALLBACK),
                Err(error) => {
                    return Err(CliError::of(ErrorKind::Failure, &error)
                        .while_doing("the journal cannot be watched any more"));
                }
            }
        }
    }
}

/// Shows what a thread says as it comes, until `saying` has ended and everything was shown, or a signal ends the command.
pub(super) async fn show<T>(
    mut said: mpsc::Receiver<T>,
    saying: impl Future<Output = Result<(), CliError>>,
    mut show: impl FnMut(T) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::of(ErrorKind::Failure, &error);
    super::interrupt::take_both();
    // Before the first line: a signal in between ends the command as well.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::pin!(saying);
    let mut outcome = None;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            line = said.recv() => match line {
                Some(line) => show(line)?,
                None => return match outcome {
                    Some(outcome) => outcome,
                    None => (&mut saying).await,
                },
            },
            ended = &mut saying, if outcome.is_none() => outcome = Some(ended),
        }
    }
}
