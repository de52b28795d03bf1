//! What to request for a read: pure decisions, no I/O and no clock.
//!
//! Simple until you consider that:
//! 1. a program that looks at the first bytes of a thousand files must not download them, and a copy must cost one
//!    request all the same;
//! 2. the kernel reads ahead by itself, several reads at once and in any order;
//! 3. one file has several readers, at different places;
//! 4. what is on its way must not be asked for again, and what is here neither.
//!
//! A [`Plan`] remembers up to [`CURSORS`] places where somebody reads (3). A place is only a probe (1) until a read
//! follows that goes on behind what was fetched for it; from then on a window is kept ahead of it, which doubles as the
//! reader advances. A read is of a place if it is near it (2). What is missing is covered block by block: by a stream
//! that passes there anyway, else by a new one (4).

use std::ops::Range;

use crate::content::cache::{BLOCK_SIZE, BlockIndex, block_count, blocks_of};

/// What a first look at the start of a file fetches, in bytes: more than any sniffer of file types reads.
pub(in crate::content) const PROBE: u64 = 256 << 10;

/// How far behind its place a reader may go back without being another one, in bytes.
const BACK: u64 = 1 << 20;

/// How far a reader may skip ahead and be the same one, in bytes; a stream reads on over such a gap, which costs less
/// than another request.
const FORWARD: u64 = 4 << 20;

/// What is kept ahead of a reader that goes on, in bytes: at first, and at most.
const WINDOWS: Range<u64> = (1 << 20)..(32 << 20);

/// Places that are remembered. Viewers read from two or three at once; more look like random reads.
const CURSORS: usize = 4;

/// From this length on, in bytes, a file is fetched by several ranges at once.
const PARALLEL_TOTAL: u64 = 16 << 20;

/// From this window on: a reader that has gone on for a MiB will go on.
const PARALLEL_WINDOW: u64 = 2 << 20;

/// The length of one of several ranges, in bytes. Each costs the server a request of its budget, so they are not small.
const PART: u64 = 4 << 20;

/// How many of them are on their way at once, by the window.
const PARTS: Range<u64> = 4..16;

/// After so many reads in no order, and …
const RANDOM_READS: u64 = 32;

/// … with so much of the file here (in thirds), the rest is likely to be wanted, and costs less at once.
const FILL_THIRDS: u64 = 2;

/// The longest range that is fetched though nobody waits for it, in blocks.
const FILL_BLOCKS: u64 = 8;

/// A stream on its way, as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::content) struct Flow {
    /// Names it.
    pub(in crate::content) id: u64,
    /// The next byte that will arrive.
    pub(in crate::content) position: u64,
    /// How far it may go for now; block aligned, or a probe's end, or the file's.
    pub(in crate::content) limit: u64,
    /// How far it can go.
    pub(in crate::content) end: u64,
    /// Whether its end is the file's.
    pub(in crate::content) open: bool,
    /// Whether nobody asked for it yet.
    pub(in crate::content) prefetch: bool,
}

/// A stream to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::content) struct Start {
    /// From a block's start to a block's end, or the file's.
    pub(in crate::content) range: Range<u64>,
    /// Whether to ask without an end.
    pub(in crate::content) open: bool,
    /// How far it may go for now.
    pub(in crate::content) limit: u64,
    /// Whether nobody waits for it.
    pub(in crate::content) prefetch: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::content) enum Step {
    /// Request something.
    Start(Start),
    /// Let a stream go on.
    Extend {
        /// Which.
        id: u64,
        /// To where.
        limit: u64,
    },
    /// Let a stream end where it may go now.
    Cut {
        /// Which.
        id: u64,
    },
}

/// How a read stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    First,
    Sequential,
    Random,
}

/// What a read makes worth fetching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::content) struct Want {
    /// What was read.
    pub(in crate::content) range: Range<u64>,
    /// Up to where to fetch by one stream.
    until: u64,
    /// What is kept ahead of this reader; 0 while it only looks.
    window: u64,
    manner: Manner,
}

impl Want {
    /// Whether its reader goes on, and does not only look.
    pub(in crate::content) const fn goes_on(&self) -> bool {
        self.window > 0
    }

    /// Whether it is in no order with those before it.
    pub(in crate::content) fn is_random(&self) -> bool {
        self.manner == Manner::Random
    }
}

/// A place where somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    /// The end of what was read.
    next: u64,
    /// What was fetched for its first read ends here.
    probed: u64,
    window: u64,
    /// Where the window last grew.
    grown_at: u64,
    used: u64,
}

/// The reads of one file so far.
#[derive(Debug, Clone)]
pub(in crate::content) struct Plan {
    total: u64,
    cursors: Vec<Cursor>,
    reads: u64,
    random: u64,
}

impl Plan {
    /// Of a file of `total` bytes that nobody has read yet.
    pub(in crate::content) const fn new(total: u64) -> Self {
        Self {
            total,
            cursors: Vec::new(),
            reads: 0,
            random: 0,
        }
    }

    /// Takes note of a read, which lies within the file.
    pub(in crate::content) fn note(&mut self, range: &Range<u64>) -> Want {
        self.reads += 1;
        let reads = self.reads;
        let near = |cursor: &&mut Cursor| {
            let ahead = if cursor.window == 0 { PROBE } else { FORWARD };
            range.start <= cursor.next.saturating_add(ahead)
                && range.start.saturating_add(BACK) >= cursor.next
        };
        let closest = |cursor: &&mut Cursor| cursor.next.abs_diff(range.start);
        if let Some(cursor) = self.cursors.iter_mut().filter(near).min_by_key(closest) {
            cursor.used = reads;
            cursor.advance(range.end);
            let until = match cursor.window {
                0 => probe_end(range, self.total).max(cursor.probed.min(self.total)),
                window => ceiling(cursor.next.saturating_add(window), self.total),
            };
            return Want {
                range: range.clone(),
                until,
                window: cursor.window,
                manner: Manner::Sequential,
            };
        }
        // Whoever begins at the start may well go on to the end.
        let manner = if self.cursors.is_empty() || range.start == 0 {
            Manner::First
        } else {
            self.random += 1;
            Manner::Random
        };
        let until = probe_end(range, self.total);
        if self.cursors.len() >= CURSORS
            && let Some(oldest) = (0..self.cursors.len()).min_by_key(|&at| self.cursors[at].used)
        {
            self.cursors.swap_remove(oldest);
        }
        self.cursors.push(Cursor {
            next: range.end,
            probed: until,
            window: 0,
            grown_at: range.end,
            used: reads,
        });
        Want {
            range: range.clone(),
            until,
            window: 0,
            manner,
        }
    }

    /// What to do for a read, with these streams on their way. `ranges` where the server proved that it serves them;
    /// `has` tells whether bytes of one block are here.
    pub(in crate::content) fn steps(
        &self,
        want: &Want,
        flows: &[Flow],
        ranges: bool,
        has: &dyn Fn(&Range<u64>) -> bool,
    ) -> Vec<Step> {
        let parallel = ranges && self.total >= PARALLEL_TOTAL && want.window >= PARALLEL_WINDOW;
        let parts = (want.window / PARALLEL_WINDOW).clamp(PARTS.start, PARTS.end);
        let until = if parallel {
            ((want.range.end / PART + parts) * PART)
                .min(self.total)
                .max(want.until)
        } else {
            want.until
        };
        let mut draft = Draft::of(flows, self.total);
        if parallel {
            draft.cut_open();
        }
        for block in blocks_of(&(want.range.start..until.max(want.range.end))) {
            let bytes = block.bytes(self.total);
            let asked = bytes.start.max(want.range.start)..bytes.end.min(want.range.end);
            let waited_for = !asked.is_empty();
            let piece = match want.window {
                // A look takes no more than it must: what is here of the block may do.
                0 if waited_for => asked,
                _ => bytes.start..bytes.end.min(until.max(want.range.end)),
            };
            if piece.is_empty() || has(&piece) || draft.covers(&bytes, piece.end) {
                continue;
            }
            let to = bytes.end.min(until.max(piece.end));
            if draft.extend(&bytes, to, has) {
                continue;
            }
            if parallel && !waited_for && draft.running() >= parts {
                break;
            }
            let end = match (parallel, want.window, want.manner) {
                (true, ..) => End::At(((bytes.start / PART + 1) * PART).min(self.total)),
                (false, 1.., _) | (false, 0, Manner::First | Manner::Sequential) => End::Open,
                (false, 0, Manner::Random) => End::Grows,
            };
            draft.start(bytes.start, to, end);
        }
        draft.steps()
    }

    /// A range that nobody asked for and that is likely to be wanted: the first gap, where most is here. `on_the_way` are
    /// the streams.
    pub(in crate::content) fn fill(&self, flows: &[Flow], has: &dyn Fn(BlockIndex) -> bool) -> Option<Start> {
        if self.random < RANDOM_READS || flows.iter().any(|flow| flow.prefetch) {
            return None;
        }
        let blocks = block_count(self.total);
        let present = (0..blocks).filter(|&block| has(BlockIndex(block))).count() as u64;
        if present * 3 < blocks * FILL_THIRDS {
            return None;
        }
        let draft = Draft::of(flows, self.total);
        let gap = |&block: &u64| {
            let bytes = BlockIndex(block).bytes(self.total);
            !has(BlockIndex(block)) && !draft.covers(&bytes, bytes.end)
        };
        let first = (0..blocks).find(gap)?;
        let last = (first..blocks.min(first + FILL_BLOCKS)).take_while(gap).last()?;
        let range = BlockIndex(first).bytes(self.total).start..BlockIndex(last).bytes(self.total).end;
        Some(Start {
            limit: range.end,
            range,
            open: false,
            prefetch: true,
        })
    }
}

/// The end of the block that `at` is in, or the file's.
fn ceiling(at: u64, total: u64) -> u64 {
    at.div_ceil(BLOCK_SIZE).saturating_mul(BLOCK_SIZE).min(total)
}

impl Cursor {
    fn advance(&mut self, end: u64) {
        if end <= self.next {
            return;
        }
        self.next = end;
        if self.window == 0 {
            if end > self.probed {
                self.window = WINDOWS.start;
                self.grown_at = end;
            }
            return;
        }
        while self.window < WINDOWS.end && end - self.grown_at >= self.window {
            self.grown_at += self.window;
            self.window *= 2;
        }
    }
}

/// What is fetched for a first look at `range`: whole blocks, which can be kept; of the first block its head.
fn probe_end(range: &Range<u64>, total: u64) -> u64 {
    if range.end <= PROBE {
        PROBE.min(total)
    } else {
        ceiling(range.end, total)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The file's.
    Open,
    /// This one.
    At(u64),
    /// That of the last block that is wanted.
    Grows,
}

/// The streams as they will be.
struct Draft {
    total: u64,
    flows: Vec<Drafted>,
}

struct Drafted {
    flow: Flow,
    was: u64,
    cut: bool,
    grows: bool,
    is_new: bool,
    first: u64,
}

impl Draft {
    fn of(flows: &[Flow], total: u64) -> Self {
        let drafted = |flow: &Flow| Drafted {
            flow: *flow,
            was: flow.limit,
            cut: false,
            grows: false,
            is_new: false,
            first: flow.position,
        };
        Self {
            total,
            flows: flows.iter().map(drafted).collect(),
        }
    }

    /// Lets those that go to the end of the file end where they may go now: others go on from there.
    fn cut_open(&mut self) {
        for drafted in &mut self.flows {
            let flow = &mut drafted.flow;
            if flow.open && flow.limit < self.total {
                flow.limit = (flow.limit.div_ceil(BLOCK_SIZE) * BLOCK_SIZE).min(self.total);
                flow.end = flow.limit;
                flow.open = false;
                drafted.cut = true;
            }
        }
    }

    /// True where `block` will have come up to `end`.
    fn covers(&self, block: &Range<u64>, end: u64) -> bool {
        self.flows.iter().any(|Drafted { flow, .. }| {
            flow.position < block.end && flow.limit >= end && flow.limit > block.start
        })
    }

    /// Lets a stream that passes near fetch `block` up to `to`; false where there is none. None is led over what is here,
    /// as `has` tells, or comes by another one: that would be fetched a second time.
    fn extend(&mut self, block: &Range<u64>, to: u64, has: &dyn Fn(&Range<u64>) -> bool) -> bool {
        let passes = |&at: &usize| {
            let Drafted { flow, grows, .. } = &self.flows[at];
            let can = flow.end >= to || *grows && flow.end == block.start;
            let reached = flow.position.max(flow.limit);
            let is_near = block.start.saturating_sub(reached) <= FORWARD;
            flow.position < block.end && can && is_near && self.is_clear(at, reached..block.start, has)
        };
        let nearest = |&at: &usize| self.flows[at].flow.limit;
        let Some(at) = (0..self.flows.len()).filter(passes).max_by_key(nearest) else {
            return false;
        };
        let drafted = &mut self.flows[at];
        drafted.flow.limit = drafted.flow.limit.max(to);
        if drafted.grows {
            drafted.flow.end = drafted.flow.limit;
        }
        true
    }

    /// True where the stream `at` would fetch nothing twice if it went on over `gap`.
    fn is_clear(&self, at: usize, gap: Range<u64>, has: &dyn Fn(&Range<u64>) -> bool) -> bool {
        blocks_of(&gap).all(|block| {
            let own = block.bytes(self.total);
            let comes = |(other, drafted): (usize, &Drafted)| {
                let flow = &drafted.flow;
                other != at && flow.position < own.end && flow.limit > own.start
            };
            !has(&own) && !self.flows.iter().enumerate().any(comes)
        })
    }

    fn running(&self) -> u64 {
        self.flows.len() as u64
    }

    fn start(&mut self, from: u64, to: u64, end: End) {
        let (end_at, grows) = match end {
            End::Open => (self.total, false),
            End::At(end) => (end, false),
            End::Grows => (to, true),
        };
        self.flows.push(Drafted {
            flow: Flow {
                id: 0,
                position: from,
                limit: to,
                end: end_at,
                open: end == End::Open,
                prefetch: false,
            },
            was: to,
            cut: false,
            grows,
            is_new: true,
            first: from,
        });
    }

    fn steps(self) -> Vec<Step> {
        let step = |drafted: Drafted| {
            let Drafted { flow, first, .. } = drafted;
            if drafted.is_new {
                return vec![Step::Start(Start {
                    range: first..flow.end,
                    open: flow.open,
                    limit: flow.limit,
                    prefetch: false,
                })];
            }
            let extended = (flow.limit > drafted.was).then_some(Step::Extend {
                id: flow.id,
                limit: flow.limit,
            });
            let cut = drafted.cut.then_some(Step::Cut { id: flow.id });
            extended.into_iter().chain(cut).collect()
        };
        self.flows.into_iter().flat_map(step).collect()
    }
}

#[cfg(test)]
mod tests;
