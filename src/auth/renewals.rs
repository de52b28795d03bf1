//! Which renewals are under way, so that a process does not end in the middle of one.
//!
//! A refresh token works once: an answer that nobody is left to store is a login lost. The count is the process's and not
//! a source's, because only the end of the process cuts a renewal off, and who ends it knows no sources.

use std::sync::LazyLock;

use tokio::sync::watch;

static COUNT: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// Counts as a renewal until dropped.
pub(super) struct UnderWay(());

impl UnderWay {
    pub(super) fn begin() -> Self {
        COUNT.send_modify(|count| *count += 1);
        Self(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        COUNT.send_modify(|count| *count -= 1);
    }
}

/// Waits until no renewal is under way in this process; whoever calls bounds the wait.
pub async fn settled() {
    // The sender is never dropped, hence no error.
    let _ = COUNT.subscribe().wait_for(|count| *count == 0).await;
}
