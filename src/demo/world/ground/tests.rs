use std::collections::HashSet;

use super::*;

fn present() -> Timestamp {
    "2026-06-01T06:00:00Z".parse().unwrap()
}

#[test]
fn every_row_is_where_its_folder_lists_it() {
    let ground = Ground::tree(5, 300, 4_000, present());
    let mut seen = HashSet::new();
    for folder in 0..ground.folder_count() {
        let guid = ground.folder_guid(folder);
        assert_eq!(ground.folder_index(guid), Some(folder));
        let mut names = HashSet::new();
        for index in ground.documents_in(guid) {
            let row = ground.document_row(index);
            assert_eq!((row.folder, row.active), (guid, index < 4_000));
            assert_eq!(ground.document_index(row.guid), Some(index));
            assert!(seen.insert(index), "row {index} is listed twice");
            // Versions share their name, and nothing else does.
            assert!(names.insert((row.file_name.clone(), row.sequence)));
            assert_eq!(row.content.origin().unwrap().document, row.guid.as_bytes()[..3]);
            assert!(row.updated < present());
        }
        let mut siblings = HashSet::new();
        for child in ground.folders_in(Some(guid)) {
            let row = ground.folder_row(child);
            assert_eq!(row.parent, Some(guid));
            assert!(siblings.insert(row.name));
        }
    }
    assert_eq!(seen.len(), ground.document_count() as usize);
    let listed: Vec<_> = ground.documents().collect();
    assert_eq!(listed.len(), seen.len());
}

#[test]
fn versions_of_a_document_share_name_and_original_and_no_bytes() {
    let ground = Ground::tree(5, 10, 50, present());
    let rows: Vec<_> = ground
        .documents()
        .map(|index| ground.document_row(index))
        .collect();
    let last = rows.iter().find(|row| row.active && row.sequence == 3).unwrap();
    let all: Vec<_> = rows.iter().filter(|row| row.original == last.original).collect();
    let labels: Vec<_> = all.iter().map(|row| row.version.as_str()).collect();
    assert_eq!(labels, ["", "A", "B", "C"]);
    assert!(all.iter().all(|row| row.file_name == last.file_name));
    let origins: HashSet<_> = all.iter().map(|row| row.content.origin()).collect();
    assert_eq!(origins.len(), 4);
    assert!(all.is_sorted_by_key(|row| row.file_updated));
    assert_eq!(all[0].guid, last.original);
}

#[test]
fn sizes_spread_from_nothing_to_gibibytes() {
    let ground = Ground::tree(1, 50, 5_000, present());
    let sizes: Vec<_> = (0..5_000)
        .map(|index| ground.document_row(index).content.size())
        .collect();
    let within = |low: u64, high: u64| sizes.iter().filter(|size| (low..high).contains(size)).count();
    assert!(within(0, 1) > 5);
    for doubling in 0..DOUBLINGS {
        let count = within(SMALLEST << doubling, SMALLEST << (doubling + 1));
        assert!(count > 100, "{count} files of magnitude {doubling}");
    }
    assert_eq!(within(GIB, 5 * GIB), 1);
}

#[test]
fn sixteen_million_documents_begin_differently_and_more_are_left_out() {
    let ground = Ground::tree(1, 10, usize::MAX, present());
    assert_eq!(ground.document_count(), MOST_ROWS);
    assert_eq!(ground.document_guid(MOST_ROWS), None);
    let last = ground.document_row(MOST_ROWS - 1);
    assert_eq!(ground.document_index(last.guid), Some(MOST_ROWS - 1));
}
