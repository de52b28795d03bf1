//! What `status` shows of a server: how fast it is asked, by whom, and what it thinks of that.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::failure::CliError;
use super::super::output::{Printer, escape};
use crate::http::pace::{PaceStatus, ProcessStatus, Urgency};

/// A server, as `--json` shows it. Times are seconds.
#[derive(Debug, Serialize)]
pub(super) struct ServerRow {
    server: String,
    /// Nobody asked it in the last minute; then nobody's pace is in force.
    idle: bool,
    /// The most requests a minute of all processes together; null for no limit.
    per_minute: Option<u64>,
    /// How many may be sent at once now; null for any number.
    at_hand: Option<u64>,
    /// The limit the server taught; null where it taught none that is stricter.
    learned_per_minute: Option<u64>,
    /// How long it wants to be left alone.
    held_for: Option<u64>,
    /// How long ago it asked for fewer requests.
    refused_ago: Option<u64>,
    used_in_last_minute: Used,
    processes: Vec<ProcessRow>,
}

/// Requests by who waited for them.
#[derive(Debug, Serialize)]
struct Used {
    interactive: u32,
    prefetch: u32,
    background: u32,
    bulk: u32,
}

#[derive(Debug, Serialize)]
struct ProcessRow {
    pid: u32,
    per_minute: Option<u32>,
    metadata_at_once: usize,
    content_at_once: usize,
    /// For how long it has not reached the server; null where it does.
    away_for: Option<u64>,
}

/// Part of a request makes none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cut to what fits, and never negative"
)]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

impl ServerRow {
    pub(super) fn new(status: &PaceStatus) -> Self {
        let used = |urgency: Urgency| {
            let at = Urgency::ALL.iter().position(|other| *other == urgency);
            at.map_or(0, |at| status.used[at])
        };
        Self {
            server: status.server.clone(),
            idle: status.processes.is_empty(),
            per_minute: status.per_minute.map(whole),
            at_hand: status.at_hand.map(whole),
            learned_per_minute: status.learned.map(whole),
            held_for: status.held.map(|held| held.as_secs().max(1)),
            refused_ago: status.refused.map(|ago| ago.as_secs()),
            used_in_last_minute: Used {
                interactive: used(Urgency::Interactive),
                prefetch: used(Urgency::Prefetch),
                background: used(Urgency::Background),
                bulk: used(Urgency::Bulk),
            },
            processes: status.processes.iter().map(ProcessRow::new).collect(),
        }
    }

    pub(super) fn show(&self, printer: &Printer) -> Result<(), CliError> {
        printer.line(&escape(&self.server))?;
        for (name, value) in self.lines() {
            printer.line(&format!("  {name:<8} {value}"))?;
        }
        Ok(())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let pace = match (self.per_minute, self.at_hand) {
            _ if self.idle => "nobody asked it in the last minute".to_owned(),
            (Some(most), Some(now)) => format!("at most {most} requests a minute, {now} of them at once now"),
            (Some(most), None) => format!("at most {most} requests a minute"),
            (None, _) => "no limit".to_owned(),
        };
        lines.push(("pace", pace));
        let used = &self.used_in_last_minute;
        let all = used.interactive + used.prefetch + used.background + used.bulk;
        if all > 0 {
            lines.push((
                "asked",
                format!(
                    "{all} in the last minute: {} that somebody waited for, {} ahead, {} in the background, {} in bulk",
                    used.interactive, used.prefetch, used.background, used.bulk
                ),
            ));
        }
        if let (Some(ago), true) = (
            self.refused_ago,
            self.learned_per_minute.is_some() || self.held_for.is_some(),
        ) {
            let ago = words(ago);
            let mut text = format!("it asked for fewer requests {ago} ago");
            if let Some(learned) = self.learned_per_minute {
                // Writing to a String cannot fail.
                let _ = write!(text, "; at most {learned} a minute, until that is forgotten");
            }
            if let Some(held) = self.held_for {
                let _ = write!(text, "; none for another {}", words(held));
            }
            lines.push(("refused", text));
        }
        for process in &self.processes {
            lines.push(("process", process.text()));
        }
        lines
    }
}

impl ProcessRow {
    fn new(process: &ProcessStatus) -> Self {
        let [metadata_at_once, content_at_once] = process.at_once;
        Self {
            pid: process.pid,
            per_minute: process.per_minute,
            metadata_at_once,
            content_at_once,
            away_for: process.away.map(|away| away.as_secs()),
        }
    }

    fn text(&self) -> String {
        let pace = match self.per_minute {
            Some(most) => format!("{most} a minute"),
            None => "no limit".to_owned(),
        };
        let mut text = format!(
            "{}: {pace}; up to {} answers and {} files at once that nobody waits for",
            self.pid, self.metadata_at_once, self.content_at_once
        );
        if let Some(away) = self.away_for {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "; has not reached the server for {}, and tries again when somebody asks",
                words(away)
            );
        }
        text
    }
}

/// A time as people say it.
fn words(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn status() -> PaceStatus {
        PaceStatus {
            server: "https://pw.example.com".to_owned(),
            per_minute: Some(480.4),
            at_hand: Some(159.9),
            learned: Some(480.4),
            held: Some(Duration::from_millis(11_500)),
            refused: Some(Duration::from_secs(200)),
            used: [52, 0, 32, 1],
            processes: vec![ProcessStatus {
                pid: 4711,
                per_minute: Some(600),
                at_once: [9, 8],
                away: Some(Duration::from_secs(40)),
            }],
        }
    }

    fn text(status: &PaceStatus) -> String {
        let lines = ServerRow::new(status).lines();
        let lines: Vec<String> = lines
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_server_is_shown_with_its_pace_its_use_and_its_troubles() {
        assert_eq!(
            text(&status()),
            "pace: at most 480 requests a minute, 159 of them at once now\n\
             asked: 85 in the last minute: 52 that somebody waited for, 0 ahead, 32 in the background, 1 in bulk\n\
             refused: it asked for fewer requests 3 min ago; at most 480 a minute, until that is forgotten; none for another 11 s\n\
             process: 4711: 600 a minute; up to 9 answers and 8 files at once that nobody waits for; \
             has not reached the server for 40 s, and tries again when somebody asks"
        );
        let json = serde_json::to_value(ServerRow::new(&status())).unwrap();
        assert_eq!(json["per_minute"], 480);
        assert_eq!(json["used_in_last_minute"]["background"], 32);
        assert_eq!(json["processes"][0]["away_for"], 40);
    }

    #[test]
    fn what_does_not_hold_is_not_shown() {
        let idle = PaceStatus {
            per_minute: None,
            at_hand: None,
            learned: None,
            held: None,
            used: [0; 4],
            processes: Vec::new(),
            ..status()
        };
        // A refusal that is forgotten is no news.
        assert_eq!(text(&idle), "pace: nobody asked it in the last minute");
        let fast = PaceStatus {
            processes: vec![ProcessStatus {
                pid: 1,
                per_minute: None,
                at_once: [8, 8],
                away: None,
            }],
            ..idle
        };
        assert_eq!(
            text(&fast),
            "pace: no limit\nprocess: 1: no limit; up to 8 answers and 8 files at once that nobody waits for"
        );
    }
}
