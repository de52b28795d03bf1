//! How fast a server is asked, and by whom first.
//!
//! Nobody publishes how many requests a ProjectWise server bears, and it is other people's server, too. So:
//! 1. all processes of a user together keep to a pace, by a token bucket they share (`pace/ledger.rs`, `pace/shared.rs`);
//! 2. who waits goes first, and always finds something left (`pace/urgency.rs`, `pace/gate.rs`);
//! 3. what a server says by 429 and `Retry-After` is remembered by all of them;
//! 4. as many requests are on the way at once as the server answers as quickly as ever (`pace/flow.rs`);
//! 5. a server that cannot be reached is probed, not run against (`pace/breaker.rs`).
//!
//! A crate such as governor has a bucket for 1, but within one process only, and without 2 and 3, which are decided over the
//! same numbers. This machine's own simulator has no pace unless one is given. Logins are not counted: they are few, go to
//! another server, and must never wait.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use url::Url;

mod breaker;
mod flow;
mod gate;
mod ledger;
mod shared;
mod status;
mod time;
mod urgency;

use gate::{Gate, LaneState};
pub(super) use gate::{Pass, Patience};
use shared::Shared;
pub use status::{LaneStatus, PaceStatus, ProcessStatus, ServerState};
use time::Time;
pub use urgency::{Urgency, UrgencyHandle, with_urgency};

use super::{HttpError, Lane, is_loopback};
use crate::clock::Clock;

/// How fast servers are asked. Each server has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// 100 requests a minute.
    Gentle,
    /// 600 requests a minute, 200 of them at once; for the iTwin Platform, whose limits are Bentley's for all, 400.
    Normal,
    /// As fast as the server answers, until it asks for less.
    Fast,
}

/// There is no pace of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pace is gentle, normal or fast")]
pub struct UnknownPace;

impl Pace {
    /// Each with the word people write.
    pub const ALL: [(&'static str, Self); 3] = [
        ("gentle", Self::Gentle),
        ("normal", Self::Normal),
        ("fast", Self::Fast),
    ];

    /// The most requests a minute to the server of `url`.
    fn per_minute(self, url: &Url) -> Option<u32> {
        match self {
            Self::Gentle => Some(100),
            Self::Normal if is_platform(url) => Some(400),
            Self::Normal => Some(600),
            Self::Fast => None,
        }
    }
}

impl FromStr for Pace {
    type Err = UnknownPace;

    fn from_str(text: &str) -> Result<Self, UnknownPace> {
        let found = Self::ALL.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, pace)| pace).ok_or(UnknownPace)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gentle => "gentle",
            Self::Normal => "normal",
            Self::Fast => "fast",
        })
    }
}

/// The iTwin Platform, and Bentley's two for tests.
fn is_platform(url: &Url) -> bool {
    matches!(
        url.host_str(),
        Some("api.bentley.com" | "qa-api.bentley.com" | "dev-api.bentley.com")
    )
}

/// Every gate of this process that is in use, for who looks after the network, and for who wants to know.
static GATES: Mutex<Vec<Weak<Gate>>> = Mutex::new(Vec::new());

fn gates() -> Vec<Arc<Gate>> {
    let mut gates = GATES.lock();
    gates.retain(|gate| gate.strong_count() > 0);
    gates.iter().filter_map(Weak::upgrade).collect()
}

/// Says that the network is back, or another one: every server is worth a request again.
pub fn wake() {
    for gate in gates() {
        gate.wake();
    }
}

/// How the requests of this process go, for each server.
pub fn state() -> Vec<ServerState> {
    let lane = |lane: &LaneState| LaneStatus {
        on_the_way: lane.flow.on_the_way(),
        at_once: lane.flow.limit(),
        away: lane
            .breaker
            .open()
            .map(|(since, error)| (since.elapsed(), error.to_string())),
    };
    let state = |gate: &Arc<Gate>| {
        gate.show(|[metadata, content], ledger| ServerState {
            server: gate.server.clone(),
            pace: ledger.map(|(ledger, now)| PaceStatus::of(ledger, now)),
            metadata: lane(metadata),
            content: lane(content),
        })
    };
    gates().iter().map(state).collect()
}

/// The gates of one client.
pub(super) struct Gates {
    /// The pace that was asked for.
    pace: Option<Pace>,
    /// Where processes meet.
    dir: Option<PathBuf>,
    time: Time,
    /// By the server's address.
    known: Mutex<HashMap<String, Arc<Gate>>>,
}

impl Gates {
    pub(super) fn new(pace: Option<Pace>, dir: Option<PathBuf>) -> Self {
        Self {
            pace,
            dir,
            time: Time::Clock(Clock::default()),
            known: Mutex::new(HashMap::new()),
        }
    }

    /// Waits until a request may be sent to `url`, and says by how much that may lengthen its call. `None` for what does
    /// not wait.
    pub(super) async fn admit(
        &self,
        lane: Lane,
        url: &Url,
        patience: Patience,
    ) -> Result<Option<(Pass, std::time::Duration)>, HttpError> {
        if lane == Lane::Login {
            return Ok(None);
        }
        self.gate(url).admit(lane, patience).await
    }

    /// Room for a request that another server answers in the place of that of `url`, to which it costs nothing; `None` where
    /// there is none for what nobody waits for.
    pub(super) fn beside(&self, lane: Lane, url: &Url) -> Option<Pass> {
        self.gate(url).beside(lane)
    }

    fn gate(&self, url: &Url) -> Arc<Gate> {
        let server = url.origin().ascii_serialization();
        let mut known = self.known.lock();
        if let Some(gate) = known.get(&server) {
            return gate.clone();
        }
        // What listens on this machine is a simulator, or what somebody else paces.
        let is_paced = self.pace.is_some() || !is_loopback(url);
        let ledger =
            is_paced.then(|| Shared::new(self.dir.as_deref(), &server, &self.time.boot(), self.time.now()));
        let per_minute = self.pace.unwrap_or(Pace::Normal).per_minute(url);
        let gate = Arc::new(Gate::new(server.clone(), per_minute, ledger, self.time.clone()));
        let mut gates = GATES.lock();
        gates.retain(|gate| gate.strong_count() > 0);
        gates.push(Arc::downgrade(&gate));
        drop(gates);
        known.insert(server, gate.clone());
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_word_and_a_number_of_requests() {
        for (word, pace) in Pace::ALL {
            assert_eq!(word.parse(), Ok(pace));
            assert_eq!(pace.to_string(), word);
        }
        assert_eq!("Fast".parse::<Pace>(), Err(UnknownPace));
        let of = |pace: Pace, url: &str| pace.per_minute(&Url::parse(url).unwrap());
        assert_eq!(of(Pace::Gentle, "https://api.bentley.com/itwins"), Some(100));
        assert_eq!(of(Pace::Normal, "https://api.bentley.com/itwins"), Some(400));
        assert_eq!(of(Pace::Normal, "https://qa-api.bentley.com/"), Some(400));
        assert_eq!(of(Pace::Normal, "https://pw.example.com/ws"), Some(600));
        assert_eq!(of(Pace::Fast, "https://pw.example.com/ws"), None);
    }

    #[test]
    fn only_this_machine_is_asked_without_a_pace_unless_one_is_given() {
        let counts = |pace: Option<Pace>, url: &str| {
            let gate = Gates::new(pace, None).gate(&Url::parse(url).unwrap());
            gate.show(|_, ledger| ledger.is_some())
        };
        assert!(!counts(None, "http://127.0.0.1:1/"));
        assert!(counts(Some(Pace::Gentle), "http://127.0.0.1:1/"));
        assert!(counts(Some(Pace::Fast), "http://127.0.0.1:1/"));
        assert!(counts(None, "https://pw.example.com/"));
    }
}
