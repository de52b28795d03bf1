//! One stream on its way, as those see it who wait for its bytes.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::plan::Flow;
use crate::content::cache::BlockIndex;
use crate::remote::UrgencyHandle;

/// What a stream is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::content) struct Orders {
    /// How far it may go for now.
    pub(super) limit: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// Whether it is only a look, which nobody has followed yet.
    pub(super) probes: bool,
    /// Whether a download of the whole goes on with its bytes.
    pub(super) hand_over: bool,
    /// Whether nobody wants it any more.
    pub(super) cancelled: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) flow: Flow,
    pub(super) orders: watch::Sender<Orders>,
    pub(super) urgency: UrgencyHandle,
    /// Whether it asks for a range, and no answer has come yet.
    pub(super) tries_range: bool,
    /// The block that arrives, as far as it is here.
    arriving: Option<(BlockIndex, BytesMut)>,
    /// The block that is being written.
    writing: Option<(BlockIndex, Bytes)>,
}

impl Lane {
    pub(super) const fn new(flow: Flow, orders: watch::Sender<Orders>, urgency: UrgencyHandle) -> Self {
        Self {
            flow,
            orders,
            urgency,
            tries_range: flow.position > 0 || !flow.open,
            arriving: None,
            writing: None,
        }
    }

    /// Takes bytes that came, all of `block`, which is `own` in the file; `room` is how many will come of it for now.
    pub(super) fn push(&mut self, block: BlockIndex, room: u64, bytes: &[u8]) {
        let (_, buffer) = self.arriving.get_or_insert_with(|| {
            let capacity = usize::try_from(room).unwrap_or(0);
            (block, BytesMut::with_capacity(capacity))
        });
        buffer.extend_from_slice(bytes);
        self.flow.position += bytes.len() as u64;
    }

    /// Takes the block that arrived to be written; it can be read meanwhile.
    pub(super) fn begin_writing(&mut self) -> Option<(BlockIndex, Bytes)> {
        let (block, buffer) = self.arriving.take()?;
        self.writing = Some((block, buffer.freeze()));
        self.writing.clone()
    }

    /// The block is on disk, or will not be.
    pub(super) fn end_writing(&mut self) {
        self.writing = None;
    }

    /// As [`Lane::begin_writing`], of a first block that is not complete; of another one it is forgotten.
    pub(super) fn begin_writing_head(&mut self) -> Option<Bytes> {
        let (_, bytes) = self.begin_writing().filter(|(block, _)| block.0 == 0)?;
        Some(bytes)
    }

    /// What is here of the block that arrives.
    pub(super) fn take_arriving(&mut self) -> Option<(BlockIndex, Bytes)> {
        self.arriving
            .take()
            .map(|(block, buffer)| (block, buffer.freeze()))
    }

    /// True where all of `piece` of `block` is in memory.
    pub(super) fn has(&self, block: BlockIndex, piece: &Range<u64>) -> bool {
        self.found(block, piece).is_some()
    }

    /// The bytes of `piece` of `block`, where all of them are in memory.
    pub(super) fn bytes(&self, block: BlockIndex, piece: &Range<u64>) -> Option<Bytes> {
        self.found(block, piece).map(Bytes::copy_from_slice)
    }

    fn found(&self, block: BlockIndex, piece: &Range<u64>) -> Option<&[u8]> {
        let start = block.bytes(u64::MAX).start;
        let at = |position: u64| usize::try_from(position - start).ok();
        let range = at(piece.start)?..at(piece.end)?;
        let arriving = self.arriving.as_ref().map(|(of, buffer)| (of, &buffer[..]));
        let writing = self.writing.as_ref().map(|(of, buffer)| (of, &buffer[..]));
        let mut held = arriving.into_iter().chain(writing);
        held.find_map(|(of, buffer)| (*of == block).then(|| buffer.get(range.clone())).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Urgency;

    #[test]
    fn what_arrived_can_be_read_until_it_is_on_disk() {
        let orders = Orders {
            limit: 0,
            end: 0,
            probes: false,
            hand_over: false,
            cancelled: false,
        };
        let flow = Flow {
            id: 0,
            position: 1 << 20,
            limit: 2 << 20,
            end: 2 << 20,
            open: false,
            prefetch: false,
        };
        let urgency = UrgencyHandle::new(Urgency::Interactive);
        let mut lane = Lane::new(flow, watch::channel(orders).0, urgency);
        let (block, start) = (BlockIndex(1), 1 << 20);
        lane.push(block, 10, b"abc");
        lane.push(block, 10, b"def");
        assert_eq!(lane.flow.position, start + 6);
        assert_eq!(lane.bytes(block, &(start + 2..start + 5)).unwrap(), "cde");
        assert!(!lane.has(block, &(start + 2..start + 7)));
        assert!(!lane.has(BlockIndex(0), &(2..5)));
        lane.begin_writing().unwrap();
        lane.push(BlockIndex(2), 10, b"xyz");
        assert_eq!(lane.bytes(block, &(start..start + 6)).unwrap(), "abcdef");
        assert_eq!(
            lane.bytes(BlockIndex(2), &(2 * start..2 * start + 3)).unwrap(),
            "xyz"
        );
        lane.end_writing();
        assert!(!lane.has(block, &(start..start + 6)));
    }
}
