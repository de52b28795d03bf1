//! Proofs against a server that says whatever it is told to, in simulated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::model::{ByteRange, Datasource, Document, DocumentId, DocumentKind, Folder, Guid, Timestamp};
use crate::names::Place;
use crate::remote::{Capabilities, Content};
use crate::store::listing::{Draft, Placeholders};

const FOLDER: FolderId = FolderId(Guid::from_bytes([9; 16]));
const OTHER: FolderId = FolderId(Guid::from_bytes([8; 16]));
const DIR: DirId = DirId::Folder(FOLDER);
const CONFIRM: Duration = Duration::from_secs(5);

/// What the server says of one object.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a handful, written by hand")]
enum Said {
    Known(Entry),
    Deleted,
    Denied,
}

/// A server whose every word is scripted.
#[derive(Default)]
struct Scripted {
    /// What the folder answers, in turn; the last one for ever. `None`: unchanged.
    lists: Mutex<Vec<Option<Vec<Entry>>>>,
    said: Mutex<Vec<(ObjectId, Said)>>,
    /// Listings asked for, and how many of those with a validator.
    listed: AtomicUsize,
    conditional: AtomicUsize,
    looked_at: AtomicUsize,
    /// Where set, the whereabouts of nothing can be learnt.
    silent: Mutex<bool>,
}

impl Scripted {
    fn new(lists: Vec<Option<Vec<Entry>>>) -> Self {
        Self {
            lists: Mutex::new(lists),
            ..Self::default()
        }
    }

    fn say(self, id: ObjectId, said: Said) -> Self {
        self.said.lock().push((id, said));
        self
    }

    fn lists(&self) -> usize {
        self.listed.load(Ordering::SeqCst)
    }

    async fn prove(&self, dir: DirId, known: Known<'_>) -> Result<ProvedAnswer, ProofError> {
        prove(self, dir, known, CONFIRM, &Progress::new()).await
    }

    async fn rows(&self, dir: DirId, known: Known<'_>) -> Proved {
        match self.prove(dir, known).await.unwrap() {
            ProvedAnswer::Rows(proved) => proved,
            ProvedAnswer::Unchanged => panic!("rows were expected"),
        }
    }

    fn next(&self) -> Option<Vec<Entry>> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        let mut lists = self.lists.lock();
        if lists.len() > 1 {
            lists.remove(0)
        } else {
            lists[0].clone()
        }
    }
}

fn outage() -> RemoteError {
    RemoteError::Unreachable("refused".into())
}

#[async_trait::async_trait]
impl Remote for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn account(&self) -> Result<String, RemoteError> {
        Err(outage())
    }
    async fn datasources(&self) -> Result<Vec<Datasource>, RemoteError> {
        Err(outage())
    }
    async fn roots(&self, _progress: &Progress) -> Result<Vec<Folder>, RemoteError> {
        let entries = self.next().unwrap_or_default().into_iter();
        let folder = |entry| match entry {
            Entry::Folder(folder) => Some(folder),
            Entry::Document(_) => None,
        };
        Ok(entries.filter_map(folder).collect())
    }
    async fn list(&self, _folder: FolderId, _progress: &Progress) -> Result<Vec<Entry>, RemoteError> {
        Err(outage())
    }
    async fn list_if_changed(
        &self,
        _folder: FolderId,
        seen: Option<&Validator>,
        _progress: &Progress,
    ) -> Result<Answer, RemoteError> {
        if seen.is_some() {
            self.conditional.fetch_add(1, Ordering::SeqCst);
        }
        Ok(match self.next() {
            Some(entries) => Answer::Rows {
                validator: Some(Validator(entries.len().to_string())),
                entries,
            },
            None => Answer::Unchanged,
        })
    }
    async fn whereabouts(&self, ids: &[ObjectId]) -> Result<Vec<(ObjectId, Whereabouts)>, RemoteError> {
        if *self.silent.lock() {
            return Err(outage());
        }
        let said = self.said.lock();
        let one = |id: &ObjectId| {
            let found = said.iter().find(|(known, _)| known == id);
            let whereabouts = match found.map(|(_, said)| said.clone()) {
                Some(Said::Known(entry)) => Whereabouts::Known(Box::new(entry)),
                Some(Said::Deleted) => Whereabouts::Deleted,
                Some(Said::Denied) => Whereabouts::Denied,
                None => Whereabouts::Unanswered,
            };
            (*id, whereabouts)
        };
        Ok(ids.iter().map(one).collect())
    }
    async fn folder(&self, folder: FolderId) -> Result<Folder, RemoteError> {
        self.looked_at.fetch_add(1, Ordering::SeqCst);
        match entry_of(self::folder(9, None)) {
            Entry::Folder(known) if known.id == folder => Ok(known),
            _ => Err(outage()),
        }
    }
    async fn document(&self, _document: DocumentId) -> Result<Document, RemoteError> {
        Err(outage())
    }
    async fn find(&self, ids: &[ObjectId]) -> Result<Vec<Entry>, RemoteError> {
        let said = self.said.lock();
        let known = said.iter().filter_map(|(id, said)| match said {
            Said::Known(entry) if ids.contains(id) => Some(entry.clone()),
            Said::Known(_) | Said::Deleted | Said::Denied => None,
        });
        Ok(known.collect())
    }
    async fn read(
        &self,
        _document: DocumentId,
        _range: ByteRange,
        _if_range: Option<&str>,
    ) -> Result<Content, RemoteError> {
        Err(outage())
    }
}

fn entry_of(folder: Folder) -> Entry {
    Entry::Folder(folder)
}

fn folder(number: u8, parent: Option<FolderId>) -> Folder {
    Folder {
        id: FolderId(Guid::from_bytes([number; 16])),
        parent,
        name: number.to_string(),
        description: String::new(),
        work_area: false,
        created: None,
        updated: None,
        etag: None,
    }
}

fn document(number: u8, parent: Option<FolderId>, active: bool) -> Entry {
    Entry::Document(Document {
        id: DocumentId(Guid::from_bytes([number; 16])),
        folder: parent,
        name: number.to_string(),
        file_name: Some(format!("{number}.pdf")),
        description: String::new(),
        version: String::new(),
        active,
        kind: DocumentKind::File,
        size: Some(1),
        file_updated: None,
        updated: None,
        created: None,
        state: None,
        mime_type: None,
        etag: None,
    })
}

fn here(number: u8) -> Entry {
    document(number, Some(FOLDER), true)
}

fn there(number: u8) -> Entry {
    document(number, Some(OTHER), true)
}

fn documents(numbers: std::ops::Range<u8>) -> Vec<Entry> {
    numbers.map(here).collect()
}

fn listing(entries: Vec<Entry>) -> Listing {
    Listing::build(Draft {
        place: Place::Folder,
        entries: entries.into_iter().map(Arc::new).collect(),
        previous: None,
        residue: None,
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Hide,
        now: Timestamp::UNIX_EPOCH,
        unlisted_mtime: Timestamp::UNIX_EPOCH,
        generation: 1,
    })
}

const fn held(held: &Listing) -> Known<'_> {
    Known {
        held: Some(held),
        expected: &[],
        seen: None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_proof_says_how_far_it_goes() {
    let server = Scripted::new(vec![Some(documents(1..4))]);
    let first = server.rows(DIR, Known::default()).await;
    assert_eq!((first.proof, first.entries.len()), (Proof::Paged, 3));
    assert_eq!(first.validator, Some(Validator("3".to_owned())));
    let held_listing = listing(first.entries);
    assert_eq!(server.rows(DIR, held(&held_listing)).await.proof, Proof::Compared);
    let emptied = Scripted::new(vec![Some(Vec::new())]);
    let proved = emptied.rows(DIR, held(&held_listing)).await;
    assert_eq!(proved.proof, Proof::Confirmed);
    assert_eq!(proved.departed.len(), 3);
    assert_eq!(emptied.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_departure_has_the_reason_the_server_gave() {
    let before = listing(documents(1..8));
    let id = |number| here(number).id();
    let server = Scripted::new(vec![Some(documents(1..2))])
        .say(id(2), Said::Known(there(2)))
        .say(id(3), Said::Known(document(3, Some(FOLDER), false)))
        .say(id(4), Said::Deleted)
        .say(id(5), Said::Denied)
        .say(id(7), Said::Known(document(7, Some(OTHER), false)));
    let mut departed = server.rows(DIR, held(&before)).await.departed;
    departed.sort_by_key(|(id, _)| *id);
    let expected = [
        (id(2), Departure::Moved(Some(OTHER))),
        (id(3), Departure::Superseded),
        (id(4), Departure::Deleted),
        (id(5), Departure::Denied),
        (id(6), Departure::Unknown),
        (id(7), Departure::Moved(Some(OTHER))),
    ];
    assert_eq!(departed, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_counts_as_having_been_there() {
    let before = listing(documents(1..3));
    let expected = [here(3).id()];
    let known = Known {
        expected: &expected,
        ..held(&before)
    };
    let short = Scripted::new(vec![Some(documents(1..3))]).say(expected[0], Said::Known(here(3)));
    assert!(matches!(short.prove(DIR, known).await, Err(ProofError::Short(_))));
    assert_eq!(short.lists(), ATTEMPTS);
    let late = Scripted::new(vec![Some(documents(1..3)), Some(documents(1..4))])
        .say(expected[0], Said::Known(here(3)));
    assert_eq!(late.rows(DIR, known).await.entries.len(), 3);
    // It went on meanwhile: whoever waits for it here must hear where it is.
    let gone = Scripted::new(vec![Some(documents(1..3))]).say(expected[0], Said::Known(there(3)));
    let departed = gone.rows(DIR, known).await.departed;
    assert_eq!(departed, [(expected[0], Departure::Moved(Some(OTHER)))]);
    let first = Known { held: None, ..known };
    assert!(matches!(short.prove(DIR, first).await, Err(ProofError::Short(_))));
}

#[tokio::test(start_paused = true)]
async fn unchanged_is_believed_only_where_it_can_be_the_whole_truth() {
    let before = listing(documents(1..3));
    let validator = Validator("2".to_owned());
    let asked = Known {
        seen: Some(&validator),
        ..held(&before)
    };
    let server = Scripted::new(vec![None]);
    assert!(matches!(
        server.prove(DIR, asked).await,
        Ok(ProvedAnswer::Unchanged)
    ));

    let moved_in = [here(3).id()];
    for known in [
        Known {
            expected: &moved_in,
            ..asked
        },
        Known { held: None, ..asked },
    ] {
        let server = Scripted::new(vec![Some(documents(1..4))]);
        assert_eq!(server.rows(DIR, known).await.entries.len(), 3);
        assert_eq!(server.conditional.load(Ordering::SeqCst), 0);
    }
    // What is expected and held is no reason to ask for everything.
    let was_there = [here(2).id()];
    let known = Known {
        expected: &was_there,
        ..asked
    };
    assert!(matches!(
        server.prove(DIR, known).await,
        Ok(ProvedAnswer::Unchanged)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_unchanged_out_of_turn_is_not_believed() {
    let before = listing(documents(1..3));
    let server = Scripted::new(vec![None]);
    assert!(matches!(
        server.prove(DIR, held(&before)).await,
        Err(ProofError::Short(_))
    ));
    // The second question after an emptied answer has no condition either.
    let validator = Validator("2".to_owned());
    let asked = Known {
        seen: Some(&validator),
        ..held(&before)
    };
    let server = Scripted::new(vec![Some(Vec::new()), None]);
    assert!(matches!(
        server.prove(DIR, asked).await,
        Err(ProofError::Short(_))
    ));
    assert_eq!(server.conditional.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_listing_is_asked_for_whole() {
    let before = listing(documents(1..3));
    let validator = Validator("2".to_owned());
    let asked = Known {
        seen: Some(&validator),
        ..held(&before)
    };
    let server = Scripted::new(vec![Some(documents(1..2)), Some(documents(1..3))])
        .say(here(2).id(), Said::Known(here(2)));
    assert_eq!(server.rows(DIR, asked).await.entries.len(), 2);
    assert_eq!(
        (server.lists(), server.conditional.load(Ordering::SeqCst)),
        (2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_before_the_second_question_is_seen_by_who_waits() {
    let server = Scripted::new(vec![Some(Vec::new())]);
    let progress = Progress::new();
    let mut seen = progress.subscribe();
    let begun = Instant::now();
    let known = Known::default();
    let proving = prove(&server, DIR, known, CONFIRM, &progress);
    let watching = async {
        let mut longest = Duration::ZERO;
        let mut last = Instant::now();
        while seen.changed().await.is_ok() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    };
    let longest = tokio::select! {
        answer = proving => {
            assert!(matches!(answer, Ok(ProvedAnswer::Rows(_))));
            None
        }
        longest = watching => Some(longest),
    };
    assert_eq!(longest, None, "the proof ends first");
    assert!(begun.elapsed() >= CONFIRM);
    assert_eq!(
        server.looked_at.load(Ordering::SeqCst),
        1,
        "the folder itself was asked"
    );
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_never_silent_for_long() {
    let progress = Progress::new();
    let mut seen = progress.subscribe();
    let waiting = pause(Duration::from_millis(4500), &progress);
    tokio::pin!(waiting);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            biased;
            Ok(()) = seen.changed() => {
                assert!(last.elapsed() <= TICK);
                last = Instant::now();
            }
            () = &mut waiting => break,
        }
    }
    assert!(last.elapsed() <= TICK);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_about_has_not_departed() {
    let before = listing(documents(1..3));
    let server = Scripted::new(vec![Some(documents(1..2))]);
    *server.silent.lock() = true;
    assert!(matches!(
        server.prove(DIR, held(&before)).await,
        Err(ProofError::Remote(RemoteError::Unreachable(_)))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_root_folder_has_moved_only_to_where_somebody_can_find_it() {
    let before = listing(vec![entry_of(folder(1, None)), entry_of(folder(2, None))]);
    let shorter = || Scripted::new(vec![Some(vec![entry_of(folder(1, None))])]);
    let moved = entry_of(folder(2, Some(OTHER)));
    let orphaned = shorter().say(moved.id(), Said::Known(moved.clone()));
    assert!(matches!(
        orphaned.prove(DirId::Root, held(&before)).await,
        Err(ProofError::Short(_))
    ));
    let found = shorter()
        .say(moved.id(), Said::Known(moved.clone()))
        .say(ObjectId::Folder(OTHER), Said::Known(entry_of(folder(8, None))));
    let departed = found.rows(DirId::Root, held(&before)).await.departed;
    assert_eq!(departed, [(moved.id(), Departure::Moved(Some(OTHER)))]);
    let kept = shorter().say(moved.id(), Said::Known(entry_of(folder(2, None))));
    assert!(matches!(
        kept.prove(DirId::Root, held(&before)).await,
        Err(ProofError::Short(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn one_listing_in_many_that_shrinks_by_half_must_be_given_twice() {
    let before = listing(documents(1..60));
    let hiccup = Scripted::new(vec![Some(documents(1..20)), Some(documents(1..60))]);
    let proved = hiccup.rows(DIR, held(&before)).await;
    assert_eq!((proved.entries.len(), proved.proof), (59, Proof::Compared));
    let real = Scripted::new(vec![Some(documents(1..20))]);
    let proved = real.rows(DIR, held(&before)).await;
    assert_eq!((proved.entries.len(), proved.proof), (19, Proof::Confirmed));
    assert_eq!(proved.departed.len(), 40);
}
