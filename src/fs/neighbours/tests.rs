use proptest::prelude::*;

use super::*;
use crate::model::{FolderId, Guid};

/// Documents 0 … `count` of one length; by name they go the other way round.
struct Numbers {
    count: u32,
    bytes: u64,
}

fn document(number: u32) -> DocumentId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    DocumentId(Guid::from_bytes(bytes))
}

fn number(document: DocumentId) -> u32 {
    u32::from_be_bytes(document.0.as_bytes()[..4].try_into().unwrap())
}

fn dir(number: u8) -> DirId {
    DirId::Folder(FolderId(Guid::from_bytes([number; 16])))
}

impl Numbers {
    fn place(&self, order: Order, document: DocumentId) -> u32 {
        match order {
            Order::Slot => number(document),
            Order::Name => self.count - 1 - number(document),
            // All over the place, and each place once.
            Order::Inode => number(document) * 7 % self.count,
        }
    }
}

impl Shelf for Numbers {
    fn between(&self, order: Order, first: DocumentId, second: DocumentId) -> Option<usize> {
        let distance = self.place(order, second).checked_sub(self.place(order, first))?;
        usize::try_from(distance).unwrap().checked_sub(1)
    }

    fn after(&self, order: Order, document_: DocumentId, count: usize) -> Vec<Candidate> {
        let from = self.place(order, document_);
        let mut after: Vec<DocumentId> = (0..self.count).map(document).collect();
        after.retain(|document| self.place(order, *document) > from);
        after.sort_by_key(|document| self.place(order, *document));
        let after = after.into_iter().take(count);
        after
            .map(|document| Candidate {
                document,
                bytes: self.bytes,
            })
            .collect()
    }
}

/// A folder of a thousand documents, and whoever reads them.
struct Stage {
    neighbours: Neighbours,
    shelf: Numbers,
}

impl Stage {
    fn new(bytes: u64) -> Self {
        Self {
            neighbours: Neighbours::default(),
            shelf: Numbers { count: 1000, bytes },
        }
    }

    /// Reads one to its end; returns what is fetched then, each of which lands at once.
    fn read(&mut self, read: u32) -> Vec<u32> {
        if !self.neighbours.finished(dir(1), document(read), &self.shelf) {
            assert_eq!(self.neighbours.next(dir(1), &self.shelf), None);
            return Vec::new();
        }
        let mut fetched = Vec::new();
        while let Some(candidate) = self.neighbours.next(dir(1), &self.shelf) {
            self.neighbours.landed(dir(1), candidate, Landed::Fetched);
            fetched.push(number(candidate.document));
        }
        fetched
    }

    fn read_all(&mut self, read: &[u32]) -> Vec<Vec<u32>> {
        read.iter().map(|number| self.read(*number)).collect()
    }
}

#[test]
fn the_fourth_and_fifth_are_fetched_when_three_were_read_and_more_as_they_are_used() {
    let mut stage = Stage::new(5000);
    assert_eq!(stage.read_all(&[10, 11, 12]), [vec![], vec![], vec![13, 14]]);
    // One of the two was used.
    assert_eq!(stage.read(13), [15, 16, 17]);
    let mut most = 0;
    for next in 14..200 {
        stage.read(next);
        most = most.max(stage.neighbours.run(dir(1)).unwrap().ahead.len());
    }
    assert_eq!(most, LAST_WINDOW);
    let Tally { fetched, used, bytes } = stage.neighbours.tally();
    assert_eq!((fetched, used), (187 + 64, 187));
    assert_eq!(bytes, fetched * 5000);
}

#[test]
fn by_name_is_an_order_too() {
    let mut stage = Stage::new(5000);
    let fetched = stage.read_all(&[500, 499, 498]);
    assert_eq!(fetched[2], [497, 496]);
}

#[test]
fn by_inode_number_is_an_order_too() {
    let mut stage = Stage::new(5000);
    // Their places: 7, 8, 9, and then 10 and 11.
    let fetched = stage.read_all(&[1, 144, 287]);
    assert_eq!(fetched[2], [430, 573]);
}

#[test]
fn two_documents_one_again_and_others_here_and_there_are_no_run() {
    let mut stage = Stage::new(5000);
    for read in [1, 2, 1, 2, 2, 1, 300, 700, 100, 900, 500] {
        assert_eq!(stage.read(read), [0; 0], "{read}");
    }
}

#[test]
fn sixteen_readers_at_once_are_one_run_in_whatever_order_they_end() {
    let mut stage = Stage::new(5000);
    let mut fetched = Vec::new();
    for group in 0..4 {
        for place in [7, 3, 15, 0, 9, 1, 2, 14, 4, 12, 5, 6, 8, 10, 11, 13] {
            fetched.extend(stage.read(group * 16 + place));
        }
    }
    let mut once = fetched.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), fetched.len(), "nothing twice");
    assert!(fetched.len() >= 32, "{fetched:?}");
}

#[test]
fn a_reader_that_stops_has_two_documents_more_than_it_read_and_one_that_leaves_them_out_few() {
    let mut stage = Stage::new(5000);
    stage.read_all(&[1, 2, 3]);
    assert_eq!(stage.neighbours.tally().fetched, 2);
    // Every fifteenth: what is between is fetched in vain, and seldom.
    let mut stage = Stage::new(5000);
    for step in 0..60 {
        stage.read(step * 15);
        let run = stage.neighbours.run(dir(1)).unwrap();
        assert_eq!(run.window, FIRST_WINDOW);
    }
    assert!(stage.neighbours.tally().fetched <= 120);
}

#[test]
fn large_documents_are_passed_over_and_bytes_are_bounded() {
    let mut stage = Stage::new(LARGEST + 1);
    assert_eq!(stage.read_all(&[1, 2, 3, 4, 5]).concat(), [0; 0]);
    let mut stage = Stage::new(LARGEST);
    for read in 0..40 {
        stage.read(read);
        assert!(stage.neighbours.run(dir(1)).unwrap().unread() <= MOST_UNREAD);
    }
    // Under way: two of them, and no third.
    let mut stage = Stage::new(LARGEST);
    for read in [1, 2, 3] {
        stage.neighbours.finished(dir(1), document(read), &stage.shelf);
    }
    let run = stage.neighbours.run(dir(1)).unwrap();
    run.window = 8;
    let next = |stage: &mut Stage| stage.neighbours.next(dir(1), &stage.shelf);
    let first = next(&mut stage).unwrap();
    next(&mut stage).unwrap();
    assert_eq!(next(&mut stage), None);
    stage.neighbours.landed(dir(1), first, Landed::Needless);
    assert!(next(&mut stage).is_some());
}

#[test]
fn a_failure_ends_the_run_and_what_is_here_costs_nothing() {
    let mut stage = Stage::new(5000);
    for read in [1, 2, 3] {
        stage.neighbours.finished(dir(1), document(read), &stage.shelf);
    }
    let first = stage.neighbours.next(dir(1), &stage.shelf).unwrap();
    stage.neighbours.landed(dir(1), first, Landed::Needless);
    assert_eq!(stage.neighbours.tally().fetched, 0);
    let second = stage.neighbours.next(dir(1), &stage.shelf).unwrap();
    assert_eq!(number(second.document), 5);
    stage.neighbours.landed(dir(1), second, Landed::Failed);
    assert_eq!(stage.neighbours.next(dir(1), &stage.shelf), None);
    assert_eq!(stage.read_all(&[4, 5, 6]), [vec![], vec![], vec![7, 8]]);
}

#[test]
fn a_document_is_at_its_end_when_its_bytes_were_read_and_not_its_head_and_tail() {
    let mut ends = Ends::default();
    let piece = 128 << 10;
    let length = 10 * piece + 5;
    // A viewer: the head, then the table at the end.
    assert!(!ends.note(document(1), 0, piece, length));
    assert!(!ends.note(document(1), 10 * piece, 5, length));
    // A copy, whose last pieces come first.
    for at in (0..10).rev() {
        let more = if at == 9 { 5 } else { 0 };
        let end = ends.note(document(2), at * piece, piece + more, length);
        assert_eq!(end, at == 2, "all but the head, at {at}");
        if end {
            break;
        }
    }
    // A small one is read at once, and its head alone is not its end.
    assert!(ends.note(document(3), 0, 5000, 5000));
    assert!(!ends.note(document(4), 0, 16_384, 200_000));
    for number in 5..5000 {
        ends.note(document(number), 0, 1, 1 << 30);
    }
    assert!(ends.read.len() <= MOST_READ && ends.order.len() <= MOST_READ);
}

proptest! {
    /// Whatever is read in whatever order: the bounds hold, nothing is fetched twice while it is unread, and the books balance.
    #[test]
    fn bounds_hold_whatever_is_read(
        acts in proptest::collection::vec((0u8..4, 0u32..120, 0u8..4), 1..400),
        bytes in prop_oneof![Just(1u64), Just(5000), Just(LARGEST)],
    ) {
        let shelf = Numbers { count: 120, bytes };
        let mut neighbours = Neighbours::default();
        let mut flying: Vec<(DirId, Candidate)> = Vec::new();
        for (folder, read, act) in acts {
            let dir = dir(folder);
            match act {
                0 => if let Some((dir, candidate)) = flying.pop() {
                    neighbours.landed(dir, candidate, Landed::Fetched);
                },
                1 => if !flying.is_empty() {
                    let (dir, candidate) = flying.remove(0);
                    let landed = if read % 2 == 0 { Landed::Failed } else { Landed::Needless };
                    neighbours.landed(dir, candidate, landed);
                },
                _ => {
                    neighbours.finished(dir, document(read), &shelf);
                }
            }
            while let Some(candidate) = neighbours.next(dir, &shelf) {
                prop_assert!(candidate.bytes <= LARGEST);
                flying.push((dir, candidate));
            }
            let under_way: u64 = flying.iter().map(|(_, candidate)| candidate.bytes).sum();
            prop_assert_eq!(neighbours.under_way, under_way);
            prop_assert!(under_way <= MOST_UNDER_WAY);
            for (_, run) in &neighbours.runs {
                prop_assert!(run.ahead.len() <= LAST_WINDOW && run.window <= LAST_WINDOW);
                prop_assert!(run.unread() <= MOST_UNREAD);
            }
            let tally = neighbours.tally();
            prop_assert!(tally.used <= tally.fetched + flying.len() as u64 + 120);
        }
        for (dir, candidate) in flying {
            neighbours.landed(dir, candidate, Landed::Fetched);
        }
        prop_assert_eq!(neighbours.under_way, 0);
    }
}
