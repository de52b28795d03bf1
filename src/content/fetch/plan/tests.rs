//! Plans against a model of the network: what is asked for arrives, in pieces and in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

/// A file, its streams, and what is here of it.
struct World {
    plan: Plan,
    total: u64,
    ranges: bool,
    flows: Vec<Flow>,
    here: BTreeSet<u64>,
    /// Bytes from the start that are here besides.
    head: u64,
    started: Vec<Start>,
    fetched: u64,
}

impl World {
    fn new(total: u64, ranges: bool) -> Self {
        Self {
            plan: Plan::new(total),
            total,
            ranges,
            flows: Vec::new(),
            here: BTreeSet::new(),
            head: 0,
            started: Vec::new(),
            fetched: 0,
        }
    }

    fn has(&self, bytes: &Range<u64>) -> bool {
        bytes.end <= self.head || blocks_of(bytes).all(|block| self.here.contains(&block.0))
    }

    /// A read; checks what it leads to.
    fn read(&mut self, range: Range<u64>) {
        let range = range.start.min(self.total - 1)..range.end.min(self.total);
        let want = self.plan.note(&range);
        let steps = {
            let has = |bytes: &Range<u64>| self.has(bytes);
            self.plan.steps(&want, &self.flows, self.ranges, &has)
        };
        for step in steps {
            match step {
                Step::Start(start) => {
                    assert!(start.range.start < start.limit && start.limit <= start.range.end);
                    assert!(start.range.end <= self.total);
                    assert_eq!(start.range.start % BLOCK_SIZE, 0);
                    assert!(
                        start.limit.is_multiple_of(BLOCK_SIZE)
                            || start.limit == self.total
                            || start.limit == PROBE
                    );
                    assert!(!start.open || start.range.end == self.total);
                    let first = BlockIndex(start.range.start / BLOCK_SIZE).bytes(self.total);
                    let first = first.start..first.end.min(start.limit);
                    assert!(!self.has(&first), "it is here: {start:?}");
                    assert!(
                        !self
                            .flows
                            .iter()
                            .any(|flow| flow.position <= first.start && first.end <= flow.limit)
                    );
                    self.flows.push(Flow {
                        id: self.started.len() as u64,
                        position: start.range.start,
                        limit: start.limit,
                        end: start.range.end,
                        open: start.open,
                        prefetch: start.prefetch,
                    });
                    self.started.push(start);
                }
                Step::Extend { id, limit } => {
                    let flow = *self.flow(id);
                    assert!(limit > flow.limit && limit <= flow.end, "{flow:?} to {limit}");
                    for block in blocks_of(&(flow.position.max(flow.limit)..limit)) {
                        let own = block.bytes(self.total);
                        let comes = |other: &Flow| {
                            other.id != id && other.position < own.end && other.limit > own.start
                        };
                        // One that both are in the middle of came to both already.
                        let is_whole = own.start >= flow.limit;
                        assert!(
                            !is_whole || !self.has(&own),
                            "{own:?} is here: {flow:?} to {limit}"
                        );
                        let twice = is_whole && self.flows.iter().any(comes);
                        assert!(!twice, "{own:?} comes: {flow:?} to {limit}");
                    }
                    self.flow(id).limit = limit;
                }
                Step::Cut { id } => {
                    let flow = self.flow(id);
                    flow.end = flow.limit;
                    flow.open = false;
                }
            }
        }
        for block in blocks_of(&range) {
            let bytes = block.bytes(self.total);
            let asked = bytes.start.max(range.start)..bytes.end.min(range.end);
            let comes = self.flows.iter().any(|flow| {
                flow.position < bytes.end
                    && flow.limit >= asked.end
                    && (flow.position <= bytes.start || flow.position / BLOCK_SIZE == block.0)
            });
            assert!(
                self.has(&asked) || comes,
                "{asked:?} is not on its way: {:?}",
                self.flows
            );
        }
    }

    fn flow(&mut self, id: u64) -> &mut Flow {
        self.flows.iter_mut().find(|flow| flow.id == id).unwrap()
    }

    /// Lets a stream bring `bytes`; it leaves at its end.
    fn arrive(&mut self, at: usize, bytes: u64) {
        let flow = &mut self.flows[at];
        let before = flow.position;
        flow.position = (flow.position + bytes).min(flow.limit);
        self.fetched += flow.position - before;
        let flow = *flow;
        for block in before / BLOCK_SIZE..block_count(self.total) {
            let bytes = BlockIndex(block).bytes(self.total);
            if bytes.start >= before / BLOCK_SIZE * BLOCK_SIZE && bytes.end <= flow.position {
                self.here.insert(block);
            }
        }
        if flow.position == flow.end {
            self.flows.remove(at);
        }
    }

    fn arrive_all(&mut self) {
        while let Some(at) = self.flows.iter().position(|flow| flow.position < flow.limit) {
            self.arrive(at, u64::MAX / 2);
        }
    }

    /// Nobody reads on: streams that may not go on are ended, and the head they brought stays.
    fn idle(&mut self) {
        for flow in std::mem::take(&mut self.flows) {
            if flow.position < BLOCK_SIZE {
                self.head = self.head.max(flow.position);
            }
        }
    }

    fn copy(&mut self, from: u64) {
        let mut at = from;
        while at < self.total {
            self.read(at..at + 131_072);
            self.arrive_all();
            at += 131_072;
        }
    }
}

#[test]
fn a_look_at_the_start_is_one_request_of_256_kib_and_looking_again_none() {
    let mut world = World::new(100 * MIB, true);
    world.read(0..512);
    world.arrive_all();
    assert_eq!((world.started.len(), world.fetched), (1, PROBE));
    assert!(world.started[0].open);
    world.read(4096..131_072);
    world.read(131_072..PROBE);
    world.arrive_all();
    assert_eq!((world.started.len(), world.fetched), (1, PROBE));
    world.idle();
    world.read(0..4096);
    assert_eq!(world.started.len(), 1);
}

#[test]
fn a_copy_is_one_request_where_ranges_are_not_proved_or_the_file_is_not_large() {
    for (total, ranges) in [
        (300 * MIB + 7, false),
        (15 * MIB, true),
        (PROBE + 1, true),
        (2 * MIB, false),
    ] {
        let mut world = World::new(total, ranges);
        world.copy(0);
        assert_eq!((world.started.len(), world.fetched), (1, total));
    }
}

#[test]
fn a_copy_of_a_large_file_is_one_request_and_parts_that_grow_in_number() {
    let total = 300 * MIB + 7;
    let mut world = World::new(total, true);
    let mut most = 0;
    let mut at = 0;
    while at < total {
        world.read(at..at + 131_072);
        most = most.max(world.flows.len());
        world.arrive_all();
        at += 131_072;
    }
    assert_eq!(world.fetched, total);
    let parts = usize::try_from(total.div_ceil(PART)).unwrap();
    assert!(
        world.started.len() <= 1 + parts,
        "{} requests",
        world.started.len()
    );
    assert!(
        world
            .started
            .iter()
            .skip(1)
            .all(|start| !start.open && start.range.end - start.range.start <= PART)
    );
    assert!((4..=16).contains(&most), "{most} at once");
}

#[test]
fn a_stream_runs_ahead_of_its_reader_by_a_window_that_doubles() {
    let mut world = World::new(1000 * MIB, false);
    let mut ahead = Vec::new();
    let mut at = 0;
    while at < 200 * MIB {
        world.read(at..at + 131_072);
        world.arrive_all();
        at += 131_072;
        ahead.push(world.flows[0].position - at);
    }
    assert!(ahead[0] < PROBE && ahead[1] < PROBE);
    assert!(ahead[2] >= MIB && ahead[2] < 3 * MIB);
    assert!(ahead.iter().all(|&ahead| ahead <= 33 * MIB));
    assert!(*ahead.last().unwrap() >= 32 * MIB);
    assert_eq!(world.started.len(), 1);
}

#[test]
fn small_seeks_end_no_stream_and_far_ones_start_another() {
    let mut world = World::new(500 * MIB, false);
    for at in 0..80 {
        world.read(at * 131_072..(at + 1) * 131_072);
        world.arrive_all();
    }
    let place = 80 * 131_072;
    world.read(place - MIB..place - MIB + 4096);
    world.read(place + 3 * MIB..place + 3 * MIB + 4096);
    world.arrive_all();
    assert_eq!(world.started.len(), 1);
    world.read(400 * MIB..400 * MIB + 4096);
    assert_eq!(world.started.len(), 2);
    assert_eq!(world.started[1].range, 400 * MIB..401 * MIB);
    assert!(!world.started[1].open);
}

#[test]
fn head_tail_and_index_of_a_large_file_are_a_few_blocks() {
    let total = 500 * MIB + 12_345;
    let mut world = World::new(total, true);
    for range in [
        0..4096,
        total - 22..total,
        total - 65_557..total,
        300 * MIB..300 * MIB + 100_000,
    ] {
        world.read(range);
        world.arrive_all();
        world.idle();
    }
    assert!(world.fetched * 20 < total, "{}", world.fetched);
    // The end of the file lies in two blocks.
    assert_eq!(world.started.len(), 4);
}

#[test]
fn random_reads_fetch_their_blocks_and_the_rest_follows_when_most_is_here() {
    let total = 60 * MIB;
    let mut world = World::new(total, true);
    // Every third block, twice over, so that no read is near one before.
    for round in 0..2 {
        for number in 0..60_u64 {
            let block = number * 23 % 60;
            if block % 3 == round {
                world.read(block * MIB + 1000..block * MIB + 65_000);
                world.arrive_all();
            }
        }
    }
    let has = |world: &World, block: BlockIndex| world.here.contains(&block.0);
    assert!(world.here.len() <= 48, "{}", world.here.len());
    let fill = world.plan.fill(&[], &|block| has(&world, block));
    let fill = fill.expect("two thirds are here");
    assert!(fill.prefetch && !fill.open);
    assert!(!world.here.contains(&(fill.range.start / MIB)));
}

#[test]
fn adjacent_blocks_are_one_range() {
    let mut world = World::new(500 * MIB, true);
    world.read(0..4096);
    world.read(100 * MIB + 5..103 * MIB);
    assert_eq!(world.started[1].range, 100 * MIB..103 * MIB);
    // What is on its way is not asked for again.
    world.read(101 * MIB..102 * MIB);
    assert_eq!(world.started.len(), 2);
}

fn any_reads() -> impl Strategy<Value = Vec<(u64, u64, u8, u16)>> {
    // A place, a length, whether it goes on from the last read, and what arrives before.
    prop::collection::vec(
        (0_u64..64 * MIB, 1_u64..2 * MIB, any::<u8>(), any::<u16>()),
        1..120,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_read_comes_and_nothing_is_asked_for_twice(
        reads in any_reads(), total in 1_u64..64 * MIB, ranges in any::<bool>(),
    ) {
        let mut world = World::new(total, ranges);
        let mut last = 0;
        for (place, length, goes_on, arrives) in reads {
            let start = if goes_on % 3 > 0 { last } else { place } % total;
            let end = (start + length).min(total);
            last = end % total;
            for _ in 0..arrives % 4 {
                if !world.flows.is_empty() {
                    let at = usize::from(arrives) % world.flows.len();
                    world.arrive(at, u64::from(arrives) << 6);
                }
            }
            if goes_on == 0 {
                world.idle();
            }
            world.read(start..end);
        }
        world.arrive_all();
        // Only streams that go on over what is here bring a byte twice.
        prop_assert!(world.fetched <= 3 * total + 64 * MIB);
    }
}
