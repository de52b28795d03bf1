//! Signals that end a command which does not take them itself: not in the middle of a login's renewal.
//!
//! A refresh token works once. Whoever ends between the answer and its place in the store has lost the login, and so has
//! every mount of the profile.

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::auth::renewals;

/// An identity provider that answers does so in a second or two; one that is silent must not hold up the end for the 30 s
/// a request may take.
const LAST_RENEWAL: Duration = Duration::from_secs(10);

/// As many others take them.
static INTERRUPT_IS_TAKEN: AtomicUsize = AtomicUsize::new(0);
static TERMINATE_IS_TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The command takes both signals from now on, to its end.
pub(super) fn take_both() {
    INTERRUPT_IS_TAKEN.fetch_add(1, Ordering::Relaxed);
    TERMINATE_IS_TAKEN.fetch_add(1, Ordering::Relaxed);
}

/// The command takes Ctrl+C while this lives.
#[must_use]
pub(super) struct Taken(());

/// The command takes Ctrl+C from now on.
pub(super) fn take_interrupt() -> Taken {
    INTERRUPT_IS_TAKEN.fetch_add(1, Ordering::Relaxed);
    Taken(())
}

impl Drop for Taken {
    fn drop(&mut self) {
        INTERRUPT_IS_TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits, not for long, until a renewal that is under way was stored.
pub(super) async fn let_renewals_end() {
    if tokio::time::timeout(LAST_RENEWAL, renewals::settled())
        .await
        .is_err()
    {
        tracing::warn!("the login's renewal got no answer in time; the next command may need a new login");
    }
}

/// Ends the process by the signals that nobody else takes, as if nobody did. Needs a runtime.
pub(super) fn guard() {
    let all = [
        (SignalKind::interrupt(), SIGINT, &INTERRUPT_IS_TAKEN),
        (SignalKind::terminate(), SIGTERM, &TERMINATE_IS_TAKEN),
    ];
    for (kind, number, taken) in all {
        // Where it cannot be waited for, it ends the process at once.
        if let Ok(signal) = signal(kind) {
            drop(Handle::current().spawn(end_by(signal, number, taken)));
        }
    }
}

async fn end_by(mut signal: Signal, number: c_int, taken: &AtomicUsize) {
    while signal.recv().await.is_some() {
        if taken.load(Ordering::Relaxed) == 0 {
            let_renewals_end().await;
            // Returns only where it failed, and then the next one tries again.
            drop(signal_hook::low_level::emulate_default_handler(number));
        }
    }
}
