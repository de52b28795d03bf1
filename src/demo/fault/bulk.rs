//! A listing of any length that is never in memory: instances that look real, of one width each.

use bytes::Bytes;

const HEAD: &[u8] = b"{\"instances\":[";
const TAIL: &[u8] = b"]}";

/// A stretch of a huge listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) struct Bulk {
    rows: u64,
    start: u64,
    end: u64,
}

/// One row; every one has the same length.
fn row(number: u64) -> String {
    let comma = if number == 0 { ' ' } else { ',' };
    format!(
        "{comma}{{\"instanceId\":\"b0100000-0000-4000-8000-{number:012x}\",\"schemaName\":\"PW_WSG\",\
         \"className\":\"Document\",\"properties\":{{\"Name\":\"Bulk {number:012x}\",\
         \"FileName\":\"bulk-{number:012x}.txt\",\"Description\":\"\",\"FileSize\":0}},\
         \"eTag\":\"\\\"{number:016x}\\\"\"}}"
    )
}

impl Bulk {
    /// At least so many MiB, and less than a row more.
    pub(in crate::demo) fn new(mib: u32) -> Self {
        let width = length(row(0).as_bytes());
        let rows = (u64::from(mib) << 20).div_ceil(width);
        Self {
            rows,
            start: 0,
            end: length(HEAD) + rows * width + length(TAIL),
        }
    }

    pub(in crate::demo) fn len(self) -> u64 {
        self.end - self.start
    }

    /// From `start` up to `end` of it, which must lie inside.
    #[must_use]
    pub(in crate::demo) fn part(self, start: u64, end: u64) -> Self {
        Self {
            start: self.start + start,
            end: self.start + end,
            ..self
        }
    }

    pub(in crate::demo) fn bytes(self) -> Bytes {
        let width = length(row(0).as_bytes());
        let rows_start = length(HEAD);
        let first = self.start.saturating_sub(rows_start) / width;
        let mut out = Vec::new();
        // Where `out` starts in the whole.
        let origin = if self.start < rows_start {
            out.extend_from_slice(HEAD);
            0
        } else {
            rows_start + first * width
        };
        let mut number = first;
        while origin + length(&out) < self.end && number < self.rows {
            out.extend_from_slice(row(number).as_bytes());
            number += 1;
        }
        out.extend_from_slice(TAIL);
        let place = |at: u64| usize::try_from(at - origin).unwrap_or(usize::MAX).min(out.len());
        let range = place(self.start)..place(self.end);
        Bytes::from(out).slice(range)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_is_json_and_its_parts_are_those_of_the_whole() {
        let bulk = Bulk::new(1);
        let whole = bulk.bytes();
        assert_eq!(length(&whole), bulk.len());
        assert!(bulk.len() >= 1 << 20);
        let json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        assert!(json["instances"].as_array().unwrap().len() > 1000);
        let end = bulk.len();
        for (start, end) in [
            (0, 3),
            (5, 20),
            (14, 15),
            (1000, 70_000),
            (end - 300, end),
            (end, end),
        ] {
            let place = |at: u64| usize::try_from(at).unwrap();
            assert_eq!(bulk.part(start, end).bytes(), whole[place(start)..place(end)]);
        }
    }
}
