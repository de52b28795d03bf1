//! How requests to a server go, for people.

use std::path::Path;
use std::time::Duration;

use super::ledger::Ledger;
use super::shared;
use super::time::Time;
use crate::clock::Clock;

/// The requests of one user to one server, of all processes.
#[derive(Debug, Clone, PartialEq)]
pub struct PaceStatus {
    /// The server's address.
    pub server: String,
    /// The most requests a minute that all together send now; `None` for no limit.
    pub per_minute: Option<f64>,
    /// How many could be sent at once now; `None` for any number.
    pub at_hand: Option<f64>,
    /// The limit this server taught by refusals, while it is the stricter one.
    pub learned: Option<f64>,
    /// How long the server still wants to be left alone.
    pub held: Option<Duration>,
    /// How long ago it asked for fewer requests last.
    pub refused: Option<Duration>,
    /// Requests of the last minute, in the order of [`super::Urgency::ALL`].
    pub used: [u32; 4],
    /// Those that asked in the last minute.
    pub processes: Vec<ProcessStatus>,
}

/// One process that asks a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    /// Its id.
    pub pid: u32,
    /// The most it asks for in a minute; `None` for no limit.
    pub per_minute: Option<u32>,
    /// How many small answers, and how many files, that nobody waits for it has on the way at most.
    pub at_once: [usize; 2],
    /// For how long it has not reached the server.
    pub away: Option<Duration>,
}

/// How requests of this process to one server go.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerState {
    /// The server's address.
    pub server: String,
    /// What all processes of the user do together; `None` where requests are not counted.
    pub pace: Option<PaceStatus>,
    /// Small answers.
    pub metadata: LaneStatus,
    /// Files.
    pub content: LaneStatus,
}

/// How one kind of requests of this process to one server goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// How many are on the way.
    pub on_the_way: usize,
    /// How many there may be that nobody waits for.
    pub at_once: usize,
    /// For how long the server has not been reached, and why: while it is so, only probes are sent.
    pub away: Option<(Duration, String)>,
}

impl PaceStatus {
    pub(super) fn of(ledger: &Ledger, now: u64) -> Self {
        let processes = ledger.processes(now).map(|process| ProcessStatus {
            pid: process.pid,
            per_minute: process.per_minute,
            at_once: process.at_once,
            away: process
                .away_since
                .map(|since| Duration::from_micros(now.saturating_sub(since))),
        });
        Self {
            server: ledger.server.clone(),
            per_minute: ledger.limit(now).map(|limit| limit.per_minute),
            at_hand: ledger.at_hand(now),
            learned: ledger.learned(now),
            held: Some(ledger.held(now)).filter(|held| !held.is_zero()),
            refused: ledger.refused_ago(now),
            used: ledger.used(now),
            processes: processes.collect(),
        }
    }

    /// The servers that processes of the user asked since the machine was started, as `dir` knows them.
    pub fn all(dir: &Path) -> Vec<Self> {
        let time = Time::Clock(Clock::default());
        let now = time.now();
        let ledgers = shared::all(dir, &time.boot());
        ledgers.iter().map(|ledger| Self::of(ledger, now)).collect()
    }
}
