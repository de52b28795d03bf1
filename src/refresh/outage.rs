//! When the server is left alone: while it is away, or takes no login.

use std::time::Duration;

use crate::clock::Moment;
use crate::remote::RemoteError;
use crate::tree::TreeError;

/// So many failures in a row, and it is the server and not the folders.
const IN_A_ROW: u32 = 3;

/// How long it is left alone first, doubled by each failed look, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_mins(5);

/// What a failure says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nothing: this one folder is refused.
    Refused,
    /// Perhaps nothing.
    Folder,
    /// It is away, or takes no login.
    Server,
}

/// Whose fault it is.
pub(super) fn blame(error: &TreeError) -> Blame {
    match error {
        TreeError::Remote(error) => match error {
            RemoteError::Denied { .. } | RemoteError::NotFound { .. } => Blame::Refused,
            RemoteError::LoginRequired(_)
            | RemoteError::SecretRequired(_)
            | RemoteError::LockedOut(_)
            | RemoteError::Throttled { .. }
            | RemoteError::Unreachable(_) => Blame::Server,
            RemoteError::TimedOut(_) | RemoteError::Server(_) | RemoteError::Protocol(_) => Blame::Folder,
        },
        TreeError::TimedOut | TreeError::Unproved(_) | TreeError::Gone => Blame::Folder,
    }
}

/// Whether the server is left alone.
#[derive(Debug, Default)]
pub(super) struct Outage {
    in_a_row: u32,
    pause: Duration,
    began: Option<Moment>,
    until: Option<Moment>,
}

impl Outage {
    /// Until when nothing is asked; then one folder is, to see.
    pub(super) const fn until(&self) -> Option<Moment> {
        self.until
    }

    /// Since when; `None` while the server answers.
    pub(super) const fn began(&self) -> Option<Moment> {
        self.began
    }

    /// Something was listed. True where that ends the outage.
    pub(super) fn answered(&mut self) -> bool {
        let ended = self.until.is_some();
        *self = Self::default();
        ended
    }

    /// Something could not be listed. True where that begins the outage.
    pub(super) fn failed(&mut self, blame: Blame, now: Moment) -> bool {
        if blame == Blame::Refused {
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let begins = self.until.is_none();
        if blame == Blame::Folder && begins && self.in_a_row < IN_A_ROW {
            return false;
        }
        // What was under way when it began tells nothing new.
        if self.until.is_none_or(|until| until <= now) {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            self.until = Some(now.plus(self.pause));
            self.began = self.began.or(Some(now));
        }
        begins
    }

    /// The network or the login came back: it is looked at once, now.
    pub(super) fn look_now(&mut self, now: Moment) {
        if self.until.is_some() {
            self.pause = Duration::ZERO;
            self.until = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_server_that_is_away_is_asked_ever_more_seldom_and_at_once_when_the_network_comes() {
        let clock = Clock::manual();
        let mut outage = Outage::default();
        assert!(outage.failed(Blame::Server, clock.now()), "it begins");
        assert!(!outage.failed(Blame::Server, clock.now()), "what was under way");
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let pause = outage.until().unwrap().since(clock.now());
            clock.advance(pause);
            pauses.push(pause.as_secs());
            outage.failed(Blame::Server, clock.now());
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
        outage.look_now(clock.now());
        assert_eq!(outage.until(), Some(clock.now()));
        outage.failed(Blame::Server, clock.now());
        assert_eq!(outage.until(), Some(clock.now().plus(FIRST_PAUSE)));
        assert!(outage.answered());
        assert_eq!(outage.until(), None);
        assert!(!outage.answered());
    }

    #[test]
    fn folders_that_fail_one_by_one_are_no_outage_and_all_in_a_row_are() {
        let now = Clock::manual().now();
        let mut outage = Outage::default();
        for _ in 0..10 {
            assert!(!outage.failed(Blame::Folder, now));
            outage.answered();
            assert!(!outage.failed(Blame::Refused, now));
        }
        for _ in 1..IN_A_ROW {
            assert!(!outage.failed(Blame::Folder, now));
        }
        assert!(outage.failed(Blame::Folder, now));
    }
}
