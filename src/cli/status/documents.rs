//! What `status` tells of a mount's documents: what was read, fetched and saved, who waits for what, and who was refused.

use std::path::Path;

use serde::Serialize;

use super::catalog::size;
use crate::daemon::health::probe;
use crate::fs::activity::{ACTIVITY, Activity};

/// What a mount does with documents, as `--json` shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DocumentsRow {
    #[serde(flatten)]
    told: Activity,
    bytes_saved: u64,
    /// Of all reads, those that need not wait.
    hit_percent: Option<u64>,
}

/// Asks the mount; `None` where it does not tell. Blocks for at most about two seconds.
pub(super) fn look(mountpoint: &Path) -> Option<DocumentsRow> {
    let [told] = probe::attributes(mountpoint, [ACTIVITY]).ok()?;
    match serde_json::from_str(&told?) {
        Ok(told) => Some(DocumentsRow::new(told)),
        Err(error) => {
            tracing::info!(%error, path = %mountpoint.display(), "the mount tells of its documents in other words");
            None
        }
    }
}

impl DocumentsRow {
    fn new(told: Activity) -> Self {
        Self {
            bytes_saved: told.bytes_saved(),
            hit_percent: told.hit_percent(),
            told,
        }
    }

    /// As lines of text: names and values. What there is nothing to say of has none.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let told = &self.told;
        let mut lines = Vec::new();
        if let Some(percent) = self.hit_percent {
            let reads = format!(
                "{} read, {} fetched, {} saved; {percent}% of {} reads answered at once",
                size(told.bytes_read),
                size(told.bytes_fetched),
                size(self.bytes_saved),
                told.reads_at_once + told.reads_waited
            );
            lines.push(("reads", reads));
        }
        if told.in_flight > 0 || told.waiting > 0 {
            let mut waiting = format!(
                "{} downloads under way at {} a second, {} reads waiting",
                told.in_flight,
                size(told.rate),
                told.waiting
            );
            if let Some(longest) = &told.longest_wait {
                let (since, name, guid) = (&longest.since, &longest.name, &longest.guid);
                waiting = format!("{waiting}; the longest since {since} for {name} ({guid})");
            }
            lines.push(("waiting", waiting));
        }
        if told.uncached > 0 {
            let bypassed = format!("{} reads, because the disk did not take them", told.uncached);
            lines.push(("uncached", bypassed));
        }
        if told.fetched_ahead > 0 {
            let ahead = format!(
                "{} documents ({}) fetched before they were asked for, {} of them read since",
                told.fetched_ahead,
                size(told.bytes_ahead),
                told.used_ahead
            );
            lines.push(("ahead", ahead));
        }
        if !told.refused.is_empty() {
            let refused = told
                .refused
                .iter()
                .map(|(program, reads)| format!("{program} {reads}"));
            let refused: Vec<String> = refused.collect();
            lines.push((
                "refused",
                format!("{} (reads of programs that never download)", refused.join(", ")),
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fs::activity::LongestWait;

    #[test]
    fn what_there_is_to_say_is_said_in_a_line_each() {
        assert_eq!(DocumentsRow::new(Activity::default()).lines(), []);
        let busy = DocumentsRow::new(Activity {
            reads_at_once: 3,
            reads_waited: 1,
            bytes_read: 10 << 20,
            bytes_fetched: 4 << 20,
            rate: 3 << 20,
            buffered: 0,
            downloads: 2,
            in_flight: 1,
            waiting: 5,
            longest_wait: Some(LongestWait {
                name: "deck.pdf".to_owned(),
                guid: "g".to_owned(),
                since: "2026-11-27T00:00:00Z".to_owned(),
                seconds: 7,
            }),
            uncached: 2,
            refused: BTreeMap::from([("tumblerd".to_owned(), 12), ("updatedb".to_owned(), 3)]),
            fetched_ahead: 9,
            bytes_ahead: 2048,
            used_ahead: 8,
        });
        let lines: Vec<String> = busy
            .lines()
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "reads: 10 MiB read, 4 MiB fetched, 6 MiB saved; 75% of 4 reads answered at once",
                "waiting: 1 downloads under way at 3 MiB a second, 5 reads waiting; the longest since 2026-11-27T00:00:00Z for deck.pdf (g)",
                "uncached: 2 reads, because the disk did not take them",
                "ahead: 9 documents (2 KiB) fetched before they were asked for, 8 of them read since",
                "refused: tumblerd 12, updatedb 3 (reads of programs that never download)",
            ]
        );
        let json = serde_json::to_value(&busy).unwrap();
        assert_eq!(
            (&json["waiting"], &json["bytes_saved"], &json["hit_percent"]),
            (&5.into(), &(6 << 20).into(), &75.into())
        );
    }
}
