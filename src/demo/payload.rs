//! A body that need not be in memory: bytes at hand, or a stretch of a file that is made while it is sent.

use bytes::Bytes;

use super::fault::Bulk;
use super::oracle::Origin;

/// What is made at once while it is sent, in bytes: large enough to cost little, small enough to pace.
const PIECE: u64 = 128 << 10;

/// The bytes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// At hand.
    Bytes(Bytes),
    /// From `start` up to `end` of a file that is made as it goes.
    Made { origin: Origin, start: u64, end: u64 },
    /// A listing without end.
    Bulk(Bulk),
}

impl Payload {
    /// The length in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Made { start, end, .. } => end - start,
            Self::Bulk(bulk) => bulk.len(),
        }
    }

    /// From `start` up to `end` of it; what lies beyond its own end is left out.
    #[must_use]
    pub(super) fn part(&self, start: u64, end: u64) -> Self {
        let end = end.min(self.len());
        let start = start.min(end);
        match self {
            Self::Bytes(bytes) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Self::Bytes(bytes.slice(place(start)..place(end)))
            }
            Self::Made {
                origin, start: first, ..
            } => Self::Made {
                origin: *origin,
                start: first + start,
                end: first + end,
            },
            Self::Bulk(bulk) => Self::Bulk(bulk.part(start, end)),
        }
    }

    /// The next piece to send, and what comes after it; `None` at the end.
    pub(super) fn next(self) -> Option<(Bytes, Self)> {
        self.next_of(PIECE)
    }

    /// The next piece of at most so many bytes, and what comes after it; `None` at the end.
    pub(super) fn next_of(self, most: u64) -> Option<(Bytes, Self)> {
        if self.len() == 0 {
            return None;
        }
        let most = most.min(PIECE);
        let rest = self.part(most, u64::MAX);
        let piece = match self.part(0, most) {
            Self::Bytes(bytes) => bytes,
            Self::Made { origin, start, end } => origin.bytes(start, end),
            Self::Bulk(bulk) => bulk.bytes(),
        };
        Some((piece, rest))
    }

    /// All of it in memory.
    pub(super) fn whole(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Made { origin, start, end } => origin.bytes(*start, *end),
            Self::Bulk(bulk) => bulk.bytes(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Bytes(Bytes::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_whole() {
        let origin = Origin {
            document: [1, 2, 3],
            version: 4,
        };
        let made = Payload::Made {
            origin,
            start: 5,
            end: 300_001,
        };
        for payload in [Payload::Bytes(made.whole()), made] {
            let truth = payload.whole();
            let mut rest = payload;
            let mut seen = Vec::new();
            while let Some((piece, next)) = rest.next() {
                seen.extend_from_slice(&piece);
                rest = next;
            }
            assert_eq!(seen, truth);
        }
    }

    #[test]
    fn a_part_beyond_the_end_is_cut() {
        let payload = Payload::Bytes(Bytes::from_static(b"abcdef"));
        assert_eq!(payload.part(4, 10).whole(), Bytes::from_static(b"ef"));
        assert_eq!(payload.part(9, 10).len(), 0);
    }
}
