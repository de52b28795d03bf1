//! The same for unit tests, and a checker of schedules: [`check`].
//!
//! A checked test runs on one thread. Its tasks take turns, and change at locks, at atomics and where they wait; who goes on
//! is drawn from a seed. Each lock here is one of the program's behind one of the checker's, so that what nobody checks is as it is
//! in the program. What waits by wakers (tokio's channels) is checked as it is: who is never woken is found, for then
//! nobody can go on. Time stands still unless the test lets it pass ([`Time`]), so no time-out hides that.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

thread_local! {
    static IS_CHECKED: Cell<bool> = const { Cell::new(false) };
    static TIME: RefCell<Option<Arc<tokio::runtime::Runtime>>> = const { RefCell::new(None) };
}

/// How many moments each of the other schedules has at which somebody must let everybody else go first: most races need one,
/// some two. (The scheduler counts the begin as well.)
const MOMENTS: [usize; 2] = [2, 3];

/// True inside of [`check`].
pub(crate) fn is_checked() -> bool {
    IS_CHECKED.get()
}

/// Runs `test` under `schedules` schedules, which follow from `seed`: a quarter of them at random, the others with few preemptions.
///
/// Fails where `test` does, or where it does not end because nobody can go on.
pub(crate) fn check(seed: u64, schedules: usize, test: impl Fn() + Send + Sync + 'static) {
    schedule(seed, schedules, None, test);
}

/// As [`check`], for so long and with a seed that nobody has chosen.
pub(crate) fn check_for(time: Duration, test: impl Fn() + Send + Sync + 'static) {
    schedule(fastrand::u64(..), usize::MAX, Some(time / 3), test);
}

fn schedule(seed: u64, schedules: usize, each: Option<Duration>, test: impl Fn() + Send + Sync + 'static) {
    let time = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime for its clock");
    let time = Arc::new(time);
    let _entered = time.enter();
    let _checked = Checked::begin(time.clone());
    let test = Arc::new(test);
    let at_random = schedules.div_ceil(4);
    let few = (schedules - at_random) / MOMENTS.len();
    run(
        RandomScheduler::new_from_seed(seed, at_random),
        each,
        test.clone(),
    );
    for moments in MOMENTS {
        run(
            PctScheduler::new_from_seed(seed, moments, few),
            each,
            test.clone(),
        );
    }
}

fn run(
    scheduler: impl Scheduler + 'static,
    time: Option<Duration>,
    test: Arc<impl Fn() + Send + Sync + 'static>,
) {
    let mut config = shuttle::Config::new();
    // SQLite needs more than a few pages.
    config.stack_size = 1 << 20;
    config.silence_warnings = true;
    config.max_time = time;
    shuttle::Runner::new(scheduler, config).run(move || test());
}

/// While it lives, this thread is checked.
struct Checked;

impl Checked {
    fn begin(time: Arc<tokio::runtime::Runtime>) -> Self {
        IS_CHECKED.set(true);
        TIME.set(Some(time));
        Self
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        IS_CHECKED.set(false);
        TIME.take();
    }
}

/// The time of a checked test.
pub(crate) struct Time;

impl Time {
    /// Lets `time` pass: who waited until then goes on.
    pub(crate) fn pass(time: Duration) {
        let runtime = TIME.with_borrow(Clone::clone).expect("only where it is checked");
        runtime.block_on(tokio::time::advance(time));
        turn();
    }
}

/// Waits for nothing: where it is checked, anybody may go on first.
pub(crate) async fn anybody() {
    let mut has_waited = !is_checked();
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets somebody else go on, perhaps.
fn turn() {
    // A lock that nobody has is a moment to choose, and nothing else.
    drop(shuttle::sync::Mutex::new(()).lock());
}

/// A lock.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    gate: shuttle::sync::Mutex<()>,
    inner: parking_lot::Mutex<T>,
}

/// A lock that is held.
pub(crate) struct Guard<'a, T> {
    // In this order they are given up.
    inner: parking_lot::MutexGuard<'a, T>,
    _gate: Option<shuttle::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            gate: shuttle::sync::Mutex::new(()),
            inner: parking_lot::Mutex::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let gate = is_checked().then(|| self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        Guard {
            inner: self.inner.lock(),
            _gate: gate,
        }
    }

    /// A checked one is tried a few times: nobody knows how much happens in a while.
    pub(crate) fn try_lock_for(&self, patience: Duration) -> Option<Guard<'_, T>> {
        const TRIES: usize = 4;
        if !is_checked() {
            let inner = self.inner.try_lock_for(patience)?;
            return Some(Guard { inner, _gate: None });
        }
        for _ in 0..TRIES {
            let gate = match self.gate.try_lock() {
                Ok(gate) => gate,
                Err(TryLockError::Poisoned(gate)) => gate.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    shuttle::thread::yield_now();
                    continue;
                }
            };
            return Some(Guard {
                inner: self.inner.lock(),
                _gate: Some(gate),
            });
        }
        None
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A lock that many may share.
#[derive(Default)]
pub(crate) struct RwLock<T> {
    gate: shuttle::sync::RwLock<()>,
    inner: parking_lot::RwLock<T>,
}

/// A lock that is shared.
pub(crate) struct ReadGuard<'a, T> {
    inner: parking_lot::RwLockReadGuard<'a, T>,
    _gate: Option<shuttle::sync::RwLockReadGuard<'a, ()>>,
}

/// A lock that is held alone.
pub(crate) struct WriteGuard<'a, T> {
    inner: parking_lot::RwLockWriteGuard<'a, T>,
    _gate: Option<shuttle::sync::RwLockWriteGuard<'a, ()>>,
}

impl<T> RwLock<T> {
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        let gate = is_checked().then(|| self.gate.read().unwrap_or_else(PoisonError::into_inner));
        ReadGuard {
            inner: self.inner.read(),
            _gate: gate,
        }
    }

    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        let gate = is_checked().then(|| self.gate.write().unwrap_or_else(PoisonError::into_inner));
        WriteGuard {
            inner: self.inner.write(),
            _gate: gate,
        }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A truth that threads share.
#[derive(Debug)]
pub(crate) struct AtomicBool(std::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> Self {
        Self(std::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        moment();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        moment();
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        moment();
        self.0.swap(value, order)
    }
}

/// A number that threads share.
#[derive(Debug)]
pub(crate) struct AtomicU64(std::sync::atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(std::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u64 {
        moment();
        self.0.load(order)
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        moment();
        self.0.fetch_add(value, order)
    }
}

fn moment() {
    if is_checked() {
        turn();
    }
}

/// Where tasks run: a runtime, or the checker.
#[derive(Debug, Clone)]
pub(crate) struct Tasks(Option<Handle>);

/// Work whose end can be awaited.
pub(crate) enum Work<T> {
    OfRuntime(JoinHandle<T>),
    Checked(shuttle::future::JoinHandle<T>),
}

/// The runtime stopped before the work was done.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Tasks {
    pub(crate) const fn of(runtime: Handle) -> Self {
        Self(Some(runtime))
    }

    /// Those of the check this is called in.
    pub(crate) const fn checked() -> Self {
        Self(None)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(runtime) => drop(runtime.spawn(task)),
            None => drop(shuttle::future::spawn(task)),
        }
    }

    pub(crate) fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Work<T> {
        match &self.0 {
            Some(runtime) => Work::OfRuntime(runtime.spawn_blocking(work)),
            None => Work::Checked(shuttle::future::spawn(async move { work() })),
        }
    }
}

impl<T> Future for Work<T> {
    type Output = Result<T, Stopped>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::OfRuntime(handle) => Pin::new(handle).poll(context).map_err(|_| Stopped),
            Self::Checked(handle) => Pin::new(handle).poll(context).map_err(|_| Stopped),
        }
    }
}
