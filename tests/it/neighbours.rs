//! What is fetched before anybody asks for it: the next documents of whoever reads them in order, and nothing else.

use pwfs::demo::{Effect, Fault, RequestKind};
use pwfs::fs::Attr;
use pwfs::fs::activity::Activity;
use pwfs::tree::inodes::ROOT;

use crate::harness::{Bench, bytes_of, doc_name, until};

/// Longer than what the kernel reads of a document whose head is looked at.
const HEAD: u32 = 1000;

struct Shelf {
    bench: Bench,
    documents: Vec<Attr>,
}

impl Shelf {
    async fn new(count: usize) -> Self {
        let bench = Bench::new().await;
        let (folder, _, _) = bench.stock("Shelf", count).await;
        let listed = bench.list(folder.ino).await.unwrap();
        let documents = (0..count).map(|number| listed[&doc_name(number)]).collect();
        bench.server.reset_counters();
        Self { bench, documents }
    }

    async fn read(&self, number: usize) {
        let read = self.bench.read(&self.documents[number]).await.unwrap();
        assert!(read == bytes_of(number, 0), "{number}");
    }

    fn files_asked(&self) -> u64 {
        self.bench.asked(RequestKind::File)
    }

    fn activity(&self) -> Activity {
        activity(&self.bench)
    }
}

fn activity(bench: &Bench) -> Activity {
    let told = bench.xattr(ROOT, "user.projectwise.activity").unwrap();
    serde_json::from_str(&told).unwrap()
}

#[tokio::test]
async fn who_reads_documents_in_order_has_the_next_ones_fetched_and_each_of_them_once() {
    let shelf = Shelf::new(30).await;
    for number in 0..3 {
        shelf.read(number).await;
    }
    until(|| shelf.activity().fetched_ahead == 2).await;
    assert_eq!(shelf.files_asked(), 5);
    // A reader that stops here has cost two documents more than it read.
    let waited = shelf.activity().reads_waited;
    shelf.read(3).await;
    shelf.read(4).await;
    assert_eq!(shelf.activity().reads_waited, waited, "they were here");
    for number in 5..30 {
        shelf.read(number).await;
    }
    until(|| shelf.activity().in_flight == 0).await;
    let told = shelf.activity();
    assert_eq!(shelf.files_asked(), 30, "each of them once");
    assert_eq!(told.downloads, 30);
    assert!(
        told.used_ahead >= 2 && told.used_ahead <= told.fetched_ahead,
        "{told:?}"
    );
    assert!(told.bytes_ahead > 0 && told.waiting == 0, "{told:?}");
}

#[tokio::test]
async fn who_looks_at_heads_or_reads_here_and_there_has_nothing_fetched() {
    let shelf = Shelf::new(60).await;
    for attr in &shelf.documents[..10] {
        shelf.bench.fs.read(attr.ino, 0, HEAD).await.unwrap();
    }
    assert_eq!(shelf.files_asked(), 10);
    for number in [58, 40, 20, 57] {
        shelf.read(number).await;
    }
    // Whatever was begun would have been begun by now.
    until(|| shelf.activity().in_flight == 0).await;
    assert_eq!(shelf.files_asked(), 14);
    assert_eq!(shelf.activity().fetched_ahead, 0);
}

#[tokio::test]
async fn a_reader_waits_for_nothing_that_is_fetched_ahead_and_a_failure_ends_it() {
    let shelf = Shelf::new(30).await;
    let three = shelf.bench.guid(&shelf.documents[3]);
    let hang = Fault::on(RequestKind::File, Effect::HangAfterAccept).about(three);
    let hang = shelf.bench.server.inject(hang);
    for number in 0..3 {
        shelf.read(number).await;
    }
    // The fourth hangs, and nobody waits for it: neither who reads on, nor the fetching of others.
    shelf.bench.server.wait_for(RequestKind::File, 5).await;
    let told = shelf.activity();
    assert_eq!((told.waiting, told.in_flight > 0), (0, true), "{told:?}");
    for number in 4..12 {
        shelf.read(number).await;
    }
    shelf.bench.server.clear_fault(hang);
    shelf.read(3).await;
    until(|| shelf.activity().in_flight == 0).await;
    let of_it = shelf.bench.server.request_log();
    let of_it = of_it
        .iter()
        .filter(|asked| asked.kind == RequestKind::File && asked.subject == Some(three));
    assert_eq!(of_it.count(), 1, "one download for both");
}

#[tokio::test]
async fn what_is_refused_is_not_fetched_ahead_again_and_again() {
    let shelf = Shelf::new(30).await;
    let world = shelf.bench.world();
    for number in 3..6 {
        world.revoke(shelf.bench.guid(&shelf.documents[number])).unwrap();
    }
    for number in 0..3 {
        shelf.read(number).await;
    }
    until(|| shelf.activity().in_flight == 0).await;
    for number in 6..12 {
        shelf.read(number).await;
    }
    until(|| shelf.activity().in_flight == 0).await;
    let log = shelf.bench.server.request_log();
    for number in 3..6 {
        let guid = shelf.bench.guid(&shelf.documents[number]);
        let asked = log
            .iter()
            .filter(|asked| asked.kind == RequestKind::File && asked.subject == Some(guid))
            .count();
        assert!(
            asked <= 2,
            "once, and once more with a new token; {number}: {asked}"
        );
    }
}
