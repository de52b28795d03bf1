//! What the program runs with.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

pub(crate) use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Where tasks run: a runtime.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Handle);

impl Tasks {
    /// Those of a runtime.
    pub(crate) const fn of(runtime: Handle) -> Self {
        Self(runtime)
    }

    /// Runs a task, which belongs to nobody.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Runs work that blocks, whether its end is awaited or not. Fails only where the runtime stops first.
    pub(crate) fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.spawn_blocking(work)
    }
}
