//! What is loaded is what was kept, whatever a server says.

use proptest::option;
use proptest::prelude::*;

use super::*;

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        any::<i64>().prop_map(|nanoseconds| Timestamp::from_nanosecond(nanoseconds.into()).unwrap()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(String::new()),
        Just("a\0b'; DROP TABLE entries; --".to_owned()),
        Just("../..\u{202E}\u{FEFF}".to_owned()),
        Just("x".repeat(5000)),
        Just("123".to_owned()),
    ]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(u64::MAX), Just(i64::MAX as u64 + 1), 0_u64..9]
}

prop_compose! {
    fn a_document()(
        (number, folder) in (1_u8..9, option::of(any::<[u8; 16]>())),
        (name, file_name, description, version) in (text(), option::of(text()), text(), text()),
        (active, kind) in (any::<bool>(), prop_oneof![
            Just(DocumentKind::File), Just(DocumentKind::Placeholder), Just(DocumentKind::Set),
        ]),
        (size, file_updated, updated, created) in
            (option::of(size()), option::of(time()), option::of(time()), option::of(time())),
        (state, mime_type, etag) in (option::of(text()), option::of(text()), option::of(text())),
    ) -> Entry {
        Entry::Document(Document {
            id: DocumentId(guid(number)),
            folder: folder.map(|bytes| FolderId(Guid::from_bytes(bytes))),
            name, file_name, description, version, active, kind, size, file_updated, updated, created,
            state, mime_type, etag,
        })
    }
}

prop_compose! {
    fn a_folder()(
        number in 9_u8..15,
        parent in option::of(any::<[u8; 16]>()),
        (name, description, work_area) in (text(), text(), any::<bool>()),
        (created, updated, etag) in (option::of(time()), option::of(time()), option::of(text())),
    ) -> Entry {
        Entry::Folder(Folder {
            id: folder_id(number),
            parent: parent.map(|bytes| FolderId(Guid::from_bytes(bytes))),
            name, description, work_area, created, updated, etag,
        })
    }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(prop_oneof![3 => a_document(), 1 => a_folder()], 0..9).prop_map(|mut entries| {
        entries.sort_by_key(|entry| entry.id().guid());
        entries.dedup_by_key(|entry| entry.id());
        entries
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_was_kept(
        versions in prop::collection::vec((entries(), any::<u32>(), option::of(text()), time()), 1..5),
    ) {
        let mut bench = Bench::new();
        let mut previous: Option<Arc<Listing>> = None;
        for (entries, revision, validator, changed) in versions {
            let built = Arc::new(Listing::build(Draft {
                place: Place::Folder,
                entries: entries.into_iter().map(Arc::new).collect(),
                previous: previous.as_deref(),
                residue: None,
                tag: &|document| ContentTag {
                    // Some as listed, some not.
                    size: if revision.is_multiple_of(2) { document.size } else { Some(7) },
                    ..document.content_tag(revision)
                },
                placeholders: Placeholders::Hide,
                now: changed,
                unlisted_mtime: changed,
                generation: 65535,
            }));
            let fetched = Fetched {
                dir: dir(99),
                fetched: bench.now(),
                proof: Proof::Confirmed,
                validator: validator.as_deref(),
                departed: &[],
                first: false,
            };
            bench.catalog.replace(&fetched, None, &mut |_| built.clone()).unwrap();
            let saved = bench.catalog.load(dir(99)).unwrap().unwrap();
            prop_assert_eq!(saved.listing.rows(), built.rows());
            let mut hidden = built.hidden().to_vec();
            hidden.sort_by_key(|entry| entry.id().guid());
            prop_assert_eq!(saved.listing.hidden(), &hidden);
            prop_assert_eq!(saved.listing.residue(), built.residue());
            prop_assert_eq!(saved.listing.generation, built.generation);
            prop_assert_eq!(saved.validator, validator);
            prop_assert_eq!(bench.catalog.totals(), (built.bytes(), built.len() as u64));
            bench.events();
            for entry in built.entries() {
                let found = bench.catalog.find(entry.id().guid()).unwrap();
                prop_assert!(found.iter().any(|sighting| sighting.entry == *entry));
            }
            previous = Some(built);
        }
    }
}
