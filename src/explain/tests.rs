//! Exact texts, for what support staff meet.

use std::fmt::Write as _;
use std::sync::Arc;

use super::naming::describe;
use super::near::near;
use super::words::{Verdict, conclusion, layout, sections, verdict};
use super::*;
use crate::model::{Document, DocumentId, DocumentKind, Entry, Folder, FolderId, Guid, Timestamp};
use crate::names;
use crate::store::listing::{Draft, Listing, Placeholders};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-03-01T12:00:00Z")
}

fn guid(number: u8) -> Guid {
    Guid::from_bytes([number; 16])
}

fn document(number: u8, file_name: &str) -> Document {
    Document {
        id: DocumentId(guid(number)),
        folder: Some(FolderId(guid(9))),
        name: format!("Document {number}"),
        file_name: Some(file_name.to_owned()),
        description: String::new(),
        version: "A".to_owned(),
        active: true,
        kind: DocumentKind::File,
        size: Some(1234),
        file_updated: Some(time("2026-02-01T08:00:00Z")),
        updated: Some(time("2026-02-02T08:00:00Z")),
        created: Some(Timestamp::from_second(i64::from(number)).unwrap()),
        state: Some("Issued".to_owned()),
        mime_type: None,
        etag: None,
    }
}

fn folder(number: u8, name: &str) -> Entry {
    Entry::Folder(Folder {
        id: FolderId(guid(number)),
        parent: Some(FolderId(guid(9))),
        name: name.to_owned(),
        description: String::new(),
        work_area: false,
        created: None,
        updated: None,
        etag: None,
    })
}

fn listing(entries: Vec<Entry>) -> Listing {
    Listing::build(Draft {
        place: names::Place::Folder,
        entries: entries.into_iter().map(Arc::new).collect(),
        previous: None,
        residue: None,
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Hide,
        now: now(),
        unlisted_mtime: now(),
        generation: 0,
    })
}

fn described(listing: &Listing, id: u8) -> EntryFacts {
    let entry = listing
        .entries()
        .find(|entry| entry.id().guid() == guid(id))
        .unwrap();
    let row = listing.find(entry.id());
    describe(Some(listing), names::Place::Folder, entry, row, None)
}

fn kept(age: u64) -> ListingFacts {
    ListingFacts {
        fetched_at: now() - jiff::SignedDuration::from_secs(i64::try_from(age).unwrap()),
        age,
        proof: "paged",
        shown: 12,
        hidden: 1,
    }
}

fn trouble(seconds: i64, text: &str, refused: bool) -> TroubleFacts {
    TroubleFacts {
        at: now() - jiff::SignedDuration::from_secs(seconds),
        text: text.to_owned(),
        refused,
    }
}

fn way() -> Vec<Place> {
    vec![
        Place {
            name: String::new(),
            guid: None,
            listing: Some(kept(240)),
            trouble: None,
        },
        Place {
            name: "03 Design".to_owned(),
            guid: Some(guid(9).to_string()),
            listing: Some(kept(180)),
            trouble: None,
        },
    ]
}

fn facts(asked: &str, found: Found) -> Facts {
    Facts {
        asked: asked.to_owned(),
        now: now(),
        mount: MountFacts {
            mountpoint: Some("/home/you/ProjectWise".to_owned()),
            profile: Some("default".to_owned()),
            login: Some("good".to_owned()),
            account: Some("you@example.com".to_owned()),
            datasource: Some("pw:ds at https://example.com".to_owned()),
            catalog: None,
            freshness: Some(Freshness {
                metadata_ttl: Some(300),
                max_stale: 604_800,
                permission_ttl: 300,
            }),
        },
        way: way(),
        found,
        history: Vec::new(),
        questions: Vec::new(),
    }
}

fn entry(entry: EntryFacts) -> Found {
    Found::Entry {
        entry: Box::new(entry),
        inside: None,
        elsewhere: Vec::new(),
    }
}

fn told(seconds: i64, what: What, path: &str, id: u8) -> Told {
    Told {
        at: now() - jiff::SignedDuration::from_secs(seconds),
        what,
        path: path.to_owned(),
        guid: guid(id).to_string(),
    }
}

/// The conclusion alone, one sentence on a line.
fn said(facts: &Facts) -> String {
    conclusion(facts).join("\n")
}

/// The whole text.
fn whole(facts: &Facts) -> String {
    let mut text = said(facts);
    for section in sections(facts) {
        write!(text, "\n\n{}", layout(&section, str::to_owned).join("\n")).unwrap();
    }
    text
}

/// Compares, and shows a difference as it would be read.
#[track_caller]
fn is(text: &str, expected: &str) {
    assert_eq!(text, expected, "\n--- it is ---\n{text}\n---");
}

#[test]
fn an_ordinary_file_is_explained_from_the_mount_to_the_next_question() {
    let listing = listing(vec![Entry::Document(document(1, "A-101.dgn"))]);
    let mut facts = facts("ProjectWise/03 Design/A-101.dgn", entry(described(&listing, 1)));
    facts.questions = vec![
        "GET Document?$filter=…".to_owned(),
        "GET Project?$filter=…".to_owned(),
    ];
    facts.history = vec![told(7200, What::Add { first: false }, "03 Design/A-101.dgn", 1)];
    assert_eq!(verdict(&facts), Verdict::Shown);
    is(
        &whole(&facts),
        "\
\"A-101.dgn\" is shown.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.
The journal says: added, 2 hours ago.

Mount
  at          /home/you/ProjectWise
  profile     default (good)
  account     you@example.com
  datasource  pw:ds at https://example.com

Way
  /          12 shown, 1 not shown; fetched 4 minutes ago at 2026-03-01 11:56:00Z; proved complete by its pages
  03 Design  folder 09090909-0909-0909-0909-090909090909; 12 shown, 1 not shown; fetched 3 minutes ago at \
2026-03-01 11:57:00Z; proved complete by its pages

Document
  GUID          01010101-0101-0101-0101-010101010101
  kind          document
  name          Document 1
  file name     A-101.dgn
  shown as      A-101.dgn
  version       A
  active        yes
  state         Issued
  size          1234 bytes
  content tag   1234@1769932800000000000#0
  file changed  2026-02-01 08:00:00Z
  changed       2026-02-02 08:00:00Z

Journal
  2026-03-01 10:00:00Z  03 Design/A-101.dgn: added

Next
  listed anew  with the first call in 2 minutes or later
  asks         GET Document?$filter=…
               GET Project?$filter=…",
    );
}

#[test]
fn an_encoded_name_is_explained_by_the_one_in_projectwise() {
    let listing = listing(vec![Entry::Document(document(1, "A/B.dgn"))]);
    let facts = facts("A／B.dgn", entry(described(&listing, 1)));
    is(
        &said(&facts),
        "\
\"A／B.dgn\" is shown.
Its name in ProjectWise is \"A/B.dgn\"; characters that no file name can have are shown as others.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.",
    );
}

#[test]
fn a_suffix_is_explained_by_who_has_the_plain_name() {
    let documents = || {
        vec![
            Entry::Document(document(1, "plan.pdf")),
            Entry::Document(document(2, "plan.pdf")),
        ]
    };
    let older = listing(documents());
    is(
        &said(&facts("", entry(described(&older, 2)))),
        "\
\"plan ~02020202.pdf\" is shown.
It has a suffix because the older document 01010101-0101-0101-0101-010101010101 is called \"plan.pdf\", too.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.",
    );
    is(
        &said(&facts("", entry(described(&older, 1)))),
        "\
\"plan.pdf\" is shown.
Others in this folder have the same name in ProjectWise: \"plan ~02020202.pdf\".
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.",
    );
    let mut entries = documents();
    entries.push(folder(3, "plan.pdf"));
    let with_folder = listing(entries);
    is(
        &said(&facts("", entry(described(&with_folder, 1)))),
        "\
\"plan ~01010101.pdf\" is shown.
It has a suffix because the folder 03030303-0303-0303-0303-030303030303 is called \"plan.pdf\", too; folders come first.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.",
    );
}

#[test]
fn a_name_that_was_cut_says_so_and_an_unknown_length_too() {
    let long = "x".repeat(300) + ".pdf";
    let cut = listing(vec![Entry::Document(Document {
        size: None,
        ..document(1, &long)
    })]);
    let text = said(&facts("", entry(described(&cut, 1))));
    assert!(
        text.contains("Its name was cut: it has 304 bytes, and Linux takes no more than 255."),
        "{text}"
    );
    assert!(text.contains("Its length is not in the listing"), "{text}");
}

#[test]
fn what_has_no_file_is_hidden_and_said_to_be() {
    let placeholder = Document {
        kind: DocumentKind::Placeholder,
        file_name: None,
        size: None,
        ..document(1, "")
    };
    let set = Document {
        kind: DocumentKind::Set,
        ..placeholder.clone()
    };
    for (hidden, what) in [
        (placeholder, "a document without a file"),
        (set, "a set of other documents, which has no file of its own"),
    ] {
        let listing = listing(vec![Entry::Document(hidden)]);
        let absent = Found::Absent {
            name: "Document 1".to_owned(),
            near: near(&listing, "Document 1", "Document 1"),
            hidden: vec![described(&listing, 1)],
        };
        let by_path = facts("Document 1", absent);
        assert_eq!(verdict(&by_path), Verdict::Hidden);
        let expected = format!(
            "\
\"Document 1\" is not shown: it is {what}.
A mount with --placeholders empty shows it as an empty file.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages."
        );
        is(&said(&by_path), &expected);
        let by_guid = facts("", entry(described(&listing, 1)));
        assert_eq!(verdict(&by_guid), Verdict::Hidden);
        is(&said(&by_guid), &expected);
    }
}

#[test]
fn a_denied_folder_is_told_in_the_server_s_words_and_never_as_absence() {
    let words = "the server denies access to the folder (status 403: NotEnoughRights)";
    let mut below = facts(
        "03 Design/A-101.dgn",
        Found::NotListed {
            name: "A-101.dgn".to_owned(),
        },
    );
    let last = below.way.last_mut().unwrap();
    last.listing = None;
    last.trouble = Some(trouble(60, words, true));
    assert_eq!(verdict(&below), Verdict::Troubled);
    is(
        &said(&below),
        "\
Nobody can say whether \"A-101.dgn\" is there: the server refuses \"03 Design\": the server denies access to the folder \
(status 403: NotEnoughRights). That was 1 minute ago.",
    );
    let lines = sections(&below).pop().unwrap().rows;
    assert_eq!(lines[0].1, "with the first call 5 minutes after a refusal");

    let listing = listing(vec![folder(3, "Closed")]);
    let mut itself = described(&listing, 3);
    itself.trouble = Some(trouble(60, words, true));
    let facts = facts("Closed", entry(itself));
    assert_eq!(verdict(&facts), Verdict::Troubled);
    assert!(said(&facts).starts_with("\"Closed\" is shown, and the server refuses it: "));
}

#[test]
fn an_older_listing_says_that_it_stands_in_and_until_when() {
    let listing = listing(vec![Entry::Document(document(1, "A-101.dgn"))]);
    let mut facts = facts("A-101.dgn", entry(described(&listing, 1)));
    let last = facts.way.last_mut().unwrap();
    last.listing = Some(kept(7200));
    last.trouble = Some(trouble(
        30,
        "the server cannot be reached: connection refused",
        false,
    ));
    is(
        &said(&facts),
        "\
\"A-101.dgn\" is shown.
It is in the listing of \"03 Design\", fetched 2 hours ago and proved complete by its pages.
\"03 Design\" could not be listed or read 30 seconds ago: the server cannot be reached: connection refused. The listing \
stands in until the server answers again.",
    );
    facts.way.last_mut().unwrap().listing = Some(kept(700_000));
    assert!(said(&facts).ends_with("The listing is too old to stand in: programs get an error."));
}

#[test]
fn an_absent_name_is_told_with_its_listing_and_what_was_perhaps_meant() {
    let listing = listing(vec![
        Entry::Document(document(1, "A-101.dgn")),
        Entry::Document(document(2, "a-110.DGN")),
        Entry::Document(document(3, "A/110.dgn")),
        Entry::Document(document(4, "something else.pdf")),
    ]);
    let ask = |name: &str, rest: &str| {
        facts(
            name,
            Found::Absent {
                name: rest.to_owned(),
                near: near(&listing, name, rest),
                hidden: Vec::new(),
            },
        )
    };
    let missing = ask("A-110.dgn", "A-110.dgn");
    assert_eq!(verdict(&missing), Verdict::Absent);
    is(
        &said(&missing),
        "\
\"A-110.dgn\" is not there.
The listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages, has no such name.
There is \"a-110.DGN\": upper and lower case are not the same.
There is \"A-101.dgn\".
There is \"A／110.dgn\".",
    );
    let by_raw = said(&ask("A", "A/110.dgn"));
    assert!(
        by_raw.contains("\"A／110.dgn\" is how that name is shown."),
        "{by_raw}"
    );
    let by_document = said(&ask("Document 4", "Document 4"));
    assert!(
        by_document.contains("\"something else.pdf\" is the file of the document of that name"),
        "{by_document}"
    );
    let mut gone = ask("B.dgn", "B.dgn");
    gone.history = vec![told(
        90,
        What::Move {
            old_path: "03 Design/B.dgn".to_owned(),
        },
        "04 Archive/B.dgn",
        7,
    )];
    is(
        &said(&gone),
        "\
\"B.dgn\" is not there.
The listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages, has no such name.
The journal says: moved from \"03 Design/B.dgn\" to \"04 Archive/B.dgn\", 1 minute ago.",
    );
}

#[test]
fn a_guid_is_found_where_it_moved_gone_with_its_reason_or_unknown() {
    let listing = listing(vec![Entry::Document(document(1, "A-101.dgn"))]);
    let mut moved = facts("guid", entry(described(&listing, 1)));
    moved.history = vec![told(
        3600,
        What::Move {
            old_path: "02 Old/A-101.dgn".to_owned(),
        },
        "03 Design/A-101.dgn",
        1,
    )];
    is(
        &said(&moved),
        "\
\"A-101.dgn\" is shown.
It is in the listing of \"03 Design\", fetched 3 minutes ago and proved complete by its pages.
The journal says: moved from \"02 Old/A-101.dgn\" to \"03 Design/A-101.dgn\", 1 hour ago.",
    );

    let unlisted = || Found::Unlisted {
        guid: guid(5).to_string(),
        trouble: None,
    };
    for (reason, words) in [
        ("deleted", "gone, because the server says that it does not exist"),
        ("denied", "gone, because the server refuses it"),
        ("moved", "moved to a folder that was never listed"),
        (
            "unknown",
            "gone; the server does not say whether it was deleted or hidden",
        ),
    ] {
        let mut gone = facts("guid", unlisted());
        gone.way.clear();
        gone.history = vec![told(600, What::Gone { reason }, "03 Design/A.dgn", 5)];
        assert_eq!(verdict(&gone), Verdict::Gone);
        is(
            &said(&gone),
            &format!(
                "05050505-0505-0505-0505-050505050505 is not listed any more.\nThe journal says: {words}, 10 minutes ago."
            ),
        );
    }

    let mut superseded = facts("guid", unlisted());
    superseded.history = vec![told(
        600,
        What::NewVersion {
            old_guid: guid(5).to_string(),
        },
        "03 Design/A.dgn",
        6,
    )];
    assert_eq!(verdict(&superseded), Verdict::Gone);
    is(
        &said(&superseded),
        "\
05050505-0505-0505-0505-050505050505 is a version that was superseded: the document is now \
06060606-0606-0606-0606-060606060606, \"03 Design/A.dgn\".
The journal says: a new version was made of 05050505-0505-0505-0505-050505050505, 10 minutes ago.",
    );
    let mut lost = facts("guid", unlisted());
    lost.history = vec![told(600, What::Add { first: true }, "03 Design/A.dgn", 5)];
    assert_eq!(verdict(&lost), Verdict::Unknown);
    is(
        &said(&lost),
        "\
No listing that is kept has 05050505-0505-0505-0505-050505050505.
It was \"03 Design/A.dgn\"; the listing of that folder is not kept any more.
The journal says: first seen when its folder was first listed, 10 minutes ago.",
    );

    let unknown = facts("guid", unlisted());
    assert_eq!(verdict(&unknown), Verdict::Unknown);
    is(
        &said(&unknown),
        "\
Nothing is known of 05050505-0505-0505-0505-050505050505.
No listing that is kept has it, and the journal never told of it. It may be in a folder that was never listed, or out of \
this account's sight.",
    );
}

#[test]
fn a_folder_that_was_never_listed_is_no_absence_and_a_document_no_folder() {
    let mut unlisted = facts("x", Found::NotListed { name: "x".to_owned() });
    unlisted.way.last_mut().unwrap().listing = None;
    assert_eq!(verdict(&unlisted), Verdict::Unknown);
    is(
        &said(&unlisted),
        "\
Nothing is known of \"x\": \"03 Design\" was never listed.
The next program that looks there has it listed.",
    );
    let listing = listing(vec![Entry::Document(document(1, "A-101.dgn"))]);
    let through = facts(
        "x",
        Found::NotAFolder {
            below: "x".to_owned(),
            entry: Box::new(described(&listing, 1)),
        },
    );
    assert!(said(&through).starts_with("\"x\" cannot be there: \"A-101.dgn\" is a document and no folder."));
}

#[test]
fn json_has_the_facts_under_stable_names() {
    let listing = listing(vec![Entry::Document(document(1, "A/B.dgn"))]);
    let mut facts = facts("A", entry(described(&listing, 1)));
    facts.history = vec![told(1, What::Gone { reason: "deleted" }, "A", 1)];
    let json = serde_json::to_value(&facts).unwrap();
    assert_eq!(json["found"]["what"], "entry");
    assert_eq!(json["found"]["entry"]["kind"], "document");
    assert_eq!(json["found"]["entry"]["naming"][0]["step"], "encoded");
    assert_eq!(json["way"][1]["listing"]["proof"], "paged");
    assert_eq!(json["history"][0]["event"], "gone");
    assert_eq!(json["history"][0]["reason"], "deleted");
    assert_eq!(json["mount"]["freshness"]["metadata_ttl"], 300);
}
