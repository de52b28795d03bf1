//! How many requests are on the way to a server at once: more while it answers as quickly as ever, half as many when it
//! does not keep up.
//!
//! Only what nobody waits for is held back by it. Who waits counts, so that the others make room, and never waits here.

use std::time::Duration;

use tokio::time::Instant;

/// Where it begins: what a browser opens to one host, and a little more.
const START: usize = 8;
/// Nobody learns anything from no request at all.
const LEAST: usize = 1;
/// As quick as ever: at most twice as long as the quickest, …
const HOLDS: u32 = 2;
/// … and what a scheduler or a radio adds to an answer that takes no time is not the server's doing.
const SLACK: Duration = Duration::from_millis(25);
/// The quickest answer is that of the last minute or two: a route may change.
const WINDOW: Duration = Duration::from_secs(60);

/// The requests of one kind to one server.
#[derive(Debug)]
pub(super) struct Flow {
    limit: usize,
    most: usize,
    on_the_way: usize,
    /// The quickest answer of this window and of the one before.
    quickest: [Option<Duration>; 2],
    window: Instant,
    /// Answers since the last change that came as quickly as ever while the room was used.
    quick: usize,
    /// When it was cut last: requests from before say nothing new.
    cut: Option<Instant>,
}

impl Flow {
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            limit: START,
            most,
            on_the_way: 0,
            quickest: [None; 2],
            window: now,
            quick: 0,
            cut: None,
        }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) const fn on_the_way(&self) -> usize {
        self.on_the_way
    }

    /// True where one more fits that nobody waits for.
    pub(super) const fn has_room(&self) -> bool {
        self.on_the_way < self.limit
    }

    pub(super) const fn begin(&mut self) {
        self.on_the_way += 1;
    }

    pub(super) const fn end(&mut self) {
        self.on_the_way = self.on_the_way.saturating_sub(1);
    }

    /// An answer came, so long after its request.
    pub(super) fn answered(&mut self, took: Duration, now: Instant) {
        if now.duration_since(self.window) >= WINDOW {
            self.quickest = [None, self.quickest[0]];
            self.window = now;
        }
        let quickest = &mut self.quickest[0];
        *quickest = Some(quickest.map_or(took, |known| known.min(took)));
        let best = self.quickest.iter().flatten().min().copied().unwrap_or(took);
        if took > best * HOLDS + SLACK {
            self.quick = 0;
        } else if self.on_the_way * 2 >= self.limit {
            // What was not used says nothing of what would happen if more were.
            self.quick += 1;
            if self.quick >= self.limit && self.limit < self.most {
                self.limit += 1;
                self.quick = 0;
            }
        }
    }

    /// The server did not keep up with a request that was sent at `begun`.
    pub(super) fn strained(&mut self, begun: Instant, now: Instant) {
        if self.cut.is_some_and(|cut| begun < cut) {
            return;
        }
        self.limit = (self.limit / 2).max(LEAST);
        self.quick = 0;
        self.cut = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(100);

    fn full_round(flow: &mut Flow, took: Duration, now: Instant) {
        let limit = flow.limit();
        for _ in 0..limit {
            flow.begin();
        }
        for _ in 0..limit {
            flow.answered(took, now);
        }
        for _ in 0..limit {
            flow.end();
        }
    }

    #[test]
    fn it_grows_by_one_a_round_while_answers_are_quick_and_is_used() {
        let now = Instant::now();
        let mut flow = Flow::new(32, now);
        for round in 0..100 {
            full_round(&mut flow, QUICK, now);
            assert_eq!(flow.limit(), (9 + round).min(32));
        }
        let mut idle = Flow::new(32, now);
        for _ in 0..100 {
            idle.begin();
            idle.answered(QUICK, now);
            idle.end();
        }
        assert_eq!(idle.limit(), 8);
        let mut slow = Flow::new(32, now);
        full_round(&mut slow, QUICK, now);
        for _ in 0..20 {
            full_round(&mut slow, QUICK * 3, now);
        }
        assert_eq!(slow.limit(), 9);
        // A new way is measured by itself.
        let later = now + WINDOW * 3;
        slow.answered(QUICK * 3, now + WINDOW);
        slow.answered(QUICK * 3, later);
        full_round(&mut slow, QUICK * 3, later);
        assert_eq!(slow.limit(), 10);
    }

    #[test]
    fn one_storm_halves_it_once_and_never_to_nothing() {
        let begun = Instant::now();
        let mut flow = Flow::new(32, begun);
        let later = begun + Duration::from_secs(1);
        for _ in 0..8 {
            flow.strained(begun, later);
        }
        assert_eq!(flow.limit(), 4);
        for second in 2..10 {
            let now = begun + Duration::from_secs(second);
            flow.strained(now, now);
        }
        assert_eq!(flow.limit(), 1);
        assert!(flow.has_room());
    }
}
