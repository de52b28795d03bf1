//! The way to a file that its server has shown already.

use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::Link;

/// How long a link is used that does not say how long it is good.
const UNTOLD: Duration = Duration::from_secs(60);

/// So much before its end a link is not used any more: what is asked now arrives later, and clocks differ.
const BEFORE_END: Duration = Duration::from_secs(5);

/// Kept by who fetches parts of one content, as long as that takes: further parts come the same way, and cost the server
/// nothing. What is kept is a secret.
#[derive(Debug, Default)]
pub struct Shortcut(Mutex<Option<Shown>>);

#[derive(Debug)]
struct Shown {
    link: Link,
    until: Instant,
}

impl Shortcut {
    /// The way, while it is good.
    pub(super) fn link(&self) -> Option<Link> {
        let shown = self.0.lock();
        let shown = shown.as_ref().filter(|shown| Instant::now() < shown.until);
        shown.map(|shown| shown.link.clone())
    }

    /// Keeps a way.
    pub(super) fn show(&self, link: Link) {
        let good = good_for(link.end(), Timestamp::now());
        *self.0.lock() = Some(Shown {
            link,
            until: Instant::now() + good,
        });
    }

    /// Forgets a way that leads nowhere, unless another one was shown meanwhile.
    pub(super) fn forget(&self, link: &Link) {
        self.0.lock().take_if(|shown| shown.link.is(link));
    }
}

/// How long a link may be used that ends then.
fn good_for(end: Option<Timestamp>, now: Timestamp) -> Duration {
    match end {
        None => UNTOLD,
        Some(end) => Duration::try_from(end.duration_since(now))
            .unwrap_or_default()
            .saturating_sub(BEFORE_END),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_used_until_shortly_before_its_end_or_for_a_minute() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!(good_for(None, now), UNTOLD);
        assert_eq!(good_for(after(3600), now), Duration::from_secs(3595));
        assert_eq!(good_for(after(4), now), Duration::ZERO);
        let past = Some(now - Duration::from_secs(100));
        assert_eq!(good_for(past, now), Duration::ZERO);
    }
}
