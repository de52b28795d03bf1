//! Tables for what people see, properties for what must always hold.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::{DocumentId, FolderId, Guid};

fn guid(last: u8) -> Guid {
    Guid::from_bytes([0xab, 0xcd, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

#[expect(clippy::unnecessary_wraps, reason = "tables read better without Some")]
fn at(second: i64) -> Option<Timestamp> {
    Some(Timestamp::from_second(second).unwrap())
}

fn document(last: u8, raw: &str, created: Option<Timestamp>) -> Candidate<'_> {
    Candidate {
        id: ObjectId::Document(DocumentId(guid(last))),
        raw,
        created,
    }
}

fn folder(last: u8, raw: &str, created: Option<Timestamp>) -> Candidate<'_> {
    Candidate {
        id: ObjectId::Folder(FolderId(guid(last))),
        raw,
        created,
    }
}

#[track_caller]
fn check_assigned(candidates: &[Candidate<'_>], expected: &[&str]) {
    let names = assign_names(Place::Folder, candidates);
    let names: Vec<&str> = names.iter().map(FileName::as_str).collect();
    assert_eq!(names, expected);
}

#[test]
fn names_are_shown_by_the_convention_of_rclone() {
    for (raw, shown) in [
        ("plan.dgn", "plan.dgn"),
        ("a/b", "a／b"),
        ("a／b", "a‛／b"),
        ("tab\there", "tab␉here"),
        ("\0", "␀"),
        ("\u{7f}", "␡"),
        ("␉", "‛␉"),
        ("it‛s", "it‛‛s"),
        (".", "．"),
        ("..", "．．"),
        ("．", "‛．"),
        ("．．", "‛．．"),
        ("...", "..."),
        ("a．b", "a．b"),
        ("", "‛"),
        ("‛", "‛‛"),
        ("C:\\x|y*?", "C:\\x|y*?"),
        (".pw", ".pw"),
        ("．pw", "‛．pw"),
    ] {
        assert_eq!(encode(raw, Place::Folder), shown, "{raw:?}");
        assert_eq!(decode(shown), raw, "{shown:?}");
    }
}

#[test]
fn only_the_root_hides_its_own_directory_behind_a_fullwidth_dot() {
    assert_eq!(encode(".pw", Place::Root), "．pw");
    assert_eq!(decode("．pw"), ".pw");
    assert_eq!(encode(".pwx", Place::Root), ".pwx");
}

#[test]
fn the_oldest_document_keeps_the_plain_name() {
    check_assigned(
        &[
            document(1, "plan.dgn", None),
            document(2, "plan.dgn", at(20)),
            document(3, "plan.dgn", at(10)),
        ],
        // Both suffixes would begin with the same eight digits; the older one has them.
        &["plan ~abcd123400000000.dgn", "plan ~abcd1234.dgn", "plan.dgn"],
    );
}

#[test]
fn a_folder_claims_before_an_older_document_and_has_no_extension() {
    check_assigned(
        &[
            document(1, "v1.2", at(1)),
            folder(2, "v1.2", at(50)),
            folder(3, "v1.2", None),
        ],
        &["v1 ~abcd1234.2", "v1.2", "v1.2 ~abcd1234"],
    );
}

#[test]
fn a_suffix_that_is_somebody_s_own_name_gets_more_digits() {
    let long = "a ~abcd1234000000000000000000000009.txt";
    check_assigned(
        &[
            document(1, "a.txt", at(1)),
            document(2, "a ~abcd1234.txt", at(2)),
            document(3, "a ~abcd123400000000.txt", at(3)),
            document(4, long, at(4)),
            document(9, "a.txt", at(5)),
        ],
        &[
            "a.txt",
            "a ~abcd1234.txt",
            "a ~abcd123400000000.txt",
            long,
            "a ~abcd1234000000000000000000000009~2.txt",
        ],
    );
}

#[test]
fn a_sentence_with_a_full_stop_has_no_extension() {
    check_assigned(
        &[
            document(1, "Drawing no. 5 of 7", at(1)),
            document(2, "Drawing no. 5 of 7", at(2)),
            document(3, ".bashrc", at(3)),
            document(4, ".bashrc", at(4)),
        ],
        &[
            "Drawing no. 5 of 7",
            "Drawing no. 5 of 7 ~abcd1234",
            ".bashrc",
            ".bashrc ~abcd1234",
        ],
    );
}

#[test]
fn a_long_name_is_cut_at_a_character_and_keeps_its_extension() {
    let raw = format!("{}.dgn", "ö".repeat(200));
    let names = assign_names(Place::Folder, &[document(1, &raw, None)]);
    let expected = format!("{}~abcd1234.dgn", "ö".repeat(121));
    assert_eq!(names[0].as_str(), expected);
    assert_eq!(expected.len(), 255);
}

#[test]
fn a_file_name_is_checked_where_it_is_made() {
    for bad in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
        assert!(FileName::new(bad).is_err(), "{bad:?}");
    }
    let name = FileName::new("a\\b").unwrap();
    assert_eq!((name.as_str(), name.as_bytes()), ("a\\b", b"a\\b".as_slice()));
}

#[test]
fn a_hundred_thousand_documents_of_one_name_are_named_in_order_of_n_log_n() {
    let candidates: Vec<Candidate<'_>> = (0..100_000_u32)
        .map(|number| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
            Candidate {
                id: ObjectId::Document(DocumentId(Guid::from_bytes(bytes))),
                raw: "one name.dgn",
                created: at(i64::from(number % 7)),
            }
        })
        .collect();
    let started = std::time::Instant::now();
    let names: HashSet<FileName> = assign_names(Place::Folder, &candidates).into_iter().collect();
    assert_eq!(names.len(), candidates.len());
    // A quadratic algorithm takes minutes; this one 0.1 s without optimisation on one old core.
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

/// A tiny alphabet, so that clashes, quotes and substitutes meet all the time.
fn raw_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ab./\u{201B}\u{FF0E}\u{FF0F}\u{2400}\u{2421}\\x00\\x7f]{0,4}",
        2 => "[a-b]( ~0000000[0-1](00000000)?)?[.]c",
        1 => "(\\.|\u{FF0E})pw",
        1 => any::<String>(),
        1 => "[aö/]{120,300}([.][a-b]{1,20})?",
    ]
}

/// Few ids and few ages, for the same reason.
fn entries() -> impl Strategy<Value = Vec<(ObjectId, String, Option<Timestamp>)>> {
    let id = (any::<bool>(), 0_u8..2, 0_u8..=255).prop_map(|(is_folder, head, tail)| {
        let mut bytes = [0; 16];
        bytes[3] = head;
        bytes[15] = tail;
        let guid = Guid::from_bytes(bytes);
        if is_folder {
            ObjectId::Folder(FolderId(guid))
        } else {
            ObjectId::Document(DocumentId(guid))
        }
    });
    let created = prop_oneof![
        Just(None),
        (0_i64..3).prop_map(|second| Some(Timestamp::from_second(second).unwrap())),
    ];
    // By id: a listing never holds one object twice.
    prop::collection::hash_map(id, (raw_name(), created), 0..12).prop_map(|rows| {
        rows.into_iter()
            .map(|(id, (raw, created))| (id, raw, created))
            .collect()
    })
}

fn candidates(rows: &[(ObjectId, String, Option<Timestamp>)]) -> Vec<Candidate<'_>> {
    rows.iter()
        .map(|(id, raw, created)| Candidate {
            id: *id,
            raw,
            created: *created,
        })
        .collect()
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Root), Just(Place::Folder)]
}

proptest! {
    #[test]
    fn decoding_an_encoded_name_gives_the_raw_name(raw in raw_name(), place in place()) {
        let shown = encode(&raw, place);
        prop_assert!(!shown.is_empty() && !shown.contains(['/', '\0']) && shown != "." && shown != "..");
        prop_assert!(place == Place::Folder || shown != ".pw");
        prop_assert!(!shown.chars().any(|c| c.is_ascii_control()));
        prop_assert_eq!(decode(&shown), raw);
    }

    #[test]
    fn assigned_names_are_legal_and_all_differ(rows in entries(), place in place()) {
        let names = assign_names(place, &candidates(&rows));
        prop_assert_eq!(names.len(), rows.len());
        for name in &names {
            prop_assert_eq!(&FileName::new(name.as_str()).unwrap(), name);
            prop_assert!(place == Place::Folder || name.as_str() != ".pw");
        }
        let distinct: HashSet<&FileName> = names.iter().collect();
        prop_assert_eq!(distinct.len(), rows.len());
    }

    #[test]
    fn the_same_object_listed_twice_still_gets_two_names(rows in entries()) {
        let mut twice = rows.clone();
        twice.extend(rows.iter().cloned());
        let names = assign_names(Place::Folder, &candidates(&twice));
        let distinct: HashSet<&FileName> = names.iter().collect();
        prop_assert_eq!(distinct.len(), twice.len());
    }

    #[test]
    fn names_do_not_depend_on_the_order_of_the_listing(
        (rows, shuffled) in entries().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let by_id = |rows: &[(ObjectId, String, Option<Timestamp>)]| -> HashMap<ObjectId, FileName> {
            rows.iter().map(|row| row.0).zip(assign_names(Place::Folder, &candidates(rows))).collect()
        };
        prop_assert_eq!(by_id(&rows), by_id(&shuffled));
    }

    #[test]
    fn documents_made_later_change_no_name(rows in entries(), later in entries()) {
        let before = assign_names(Place::Folder, &candidates(&rows));
        let mut all: Vec<_> = rows.iter().map(|(id, raw, created)| {
            (*id, raw.clone(), created.or(Timestamp::from_second(5).ok()))
        }).collect();
        let known: HashSet<ObjectId> = rows.iter().map(|row| row.0).collect();
        all.extend(later.into_iter().filter(|row| !known.contains(&row.0)).filter_map(|(id, raw, created)| {
            // Made after every row above, or at an unknown time.
            let created = created.map(|time| Timestamp::from_second(time.as_second() + 10).unwrap());
            matches!(id, ObjectId::Document(_)).then_some((id, raw, created))
        }));
        let after = assign_names(Place::Folder, &candidates(&all));
        prop_assert_eq!(&before[..], &after[..before.len()]);
    }
}
