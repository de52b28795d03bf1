//! A pace for one connection: so many bytes a second, smoothly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Bytes are granted for so much time at once: shorter is smoother, longer wakes up less often.
const STRIDE: Duration = Duration::from_millis(50);

/// Grants bytes no faster than a rate that may change at any time.
#[derive(Default)]
pub(super) struct Pacer {
    /// When all that was sent is paid for.
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pacer {
    /// Waits until something may be sent, and tells how much of `wanted` bytes: at least one.
    pub(super) fn poll_grant(&mut self, context: &mut Context<'_>, rate: u64, wanted: usize) -> Poll<usize> {
        let now = Instant::now();
        if let Some(due) = self.due.filter(|due| *due > now) {
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(context));
        }
        let stride = u128::from(rate) * STRIDE.as_millis() / 1000;
        Poll::Ready(
            usize::try_from(stride)
                .unwrap_or(usize::MAX)
                .clamp(1, wanted.max(1)),
        )
    }

    /// Counts what was sent.
    pub(super) fn spent(&mut self, bytes: usize, rate: u64) {
        let cost = time_for(u64::try_from(bytes).unwrap_or(u64::MAX), rate);
        let now = Instant::now();
        // A wake-up that came late is made up for, an idle hour is not.
        let from = match self.due {
            Some(due) if due + STRIDE > now => due,
            Some(_) | None => now,
        };
        self.due = Some(from + cost);
    }
}

/// How long so many bytes take.
pub(super) fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn send(pacer: &mut Pacer, mut bytes: usize, rate: u64) -> usize {
        let mut grants = 0;
        while bytes > 0 {
            let grant = poll_fn(|context| pacer.poll_grant(context, rate, bytes)).await;
            pacer.spent(grant, rate);
            bytes -= grant;
            grants += 1;
        }
        grants
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_take_the_time_of_their_rate_in_small_strides() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        let grants = send(&mut pacer, 100_000, 10_000).await;
        let seconds = start.elapsed().as_secs_f64();
        assert!((9.8..10.2).contains(&seconds), "{seconds}");
        assert_eq!(grants, 200);
        // Another rate holds at once.
        let start = Instant::now();
        send(&mut pacer, 5, 1).await;
        let seconds = start.elapsed().as_secs_f64();
        assert!((3.9..5.1).contains(&seconds), "{seconds}");
    }
}
