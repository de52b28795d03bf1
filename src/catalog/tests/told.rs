//! What the journal tells, rule by rule.

use super::*;

fn labelled(number: u8, name: &str, version: &str) -> Entry {
    Entry::Document(Document {
        version: version.into(),
        ..file(number, name)
    })
}

fn plain(number: u8, name: &str) -> Entry {
    Entry::Document(file(number, name))
}

#[test]
fn a_new_version_is_one_event_whether_or_not_the_document_keeps_its_guid() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![labelled(2, "a", "A"), labelled(3, "b", "A")], &[]);
    let superseded = [(file_id(3), Departure::Superseded)];
    bench.list(
        dir(1),
        vec![labelled(2, "a", "B"), labelled(4, "b", "B")],
        &superseded,
    );
    assert_eq!(bench.told(2), ["1/4 b version of 3", "1/2 a version of 2"]);
    // Superseded, and nothing came in its place.
    bench.list(
        dir(1),
        vec![labelled(2, "a", "B")],
        &[(file_id(4), Departure::Superseded)],
    );
    assert_eq!(bench.told(4), ["1/4 b gone unknown"]);
}

#[test]
fn what_moved_away_is_not_the_version_before_of_what_takes_its_name() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    bench.list(
        dir(1),
        vec![plain(3, "a")],
        &[(file_id(2), Departure::Moved(Some(folder_id(8))))],
    );
    assert_eq!(bench.told(1), ["1/2 a gone moved", "1/3 a add"]);
}

#[test]
fn what_is_hidden_is_not_the_version_before_of_what_takes_its_name() {
    for departure in [Departure::Denied, Departure::Unknown] {
        let mut bench = Bench::new();
        bench.list(dir(1), vec![plain(2, "a")], &[]);
        bench.list(dir(1), vec![plain(3, "a")], &[(file_id(2), departure)]);
        let told = bench.told(1);
        assert!(told[0].starts_with("1/2 a gone "), "{told:?}");
        assert_eq!(told[1..], ["1/3 a add"]);
        // It is shown again, as what it always was.
        bench.list(dir(1), vec![plain(2, "b"), plain(3, "a")], &[]);
        assert_eq!(bench.told(3), ["1/2 b add"]);
    }
}

#[test]
fn a_server_may_forget_the_version_before() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![labelled(2, "a", "A")], &[]);
    let deleted = [(file_id(2), Departure::Deleted)];
    bench.list(dir(1), vec![labelled(3, "a", "B")], &deleted);
    assert_eq!(bench.told(1), ["1/3 a version of 2"]);
}

#[test]
fn what_takes_a_name_with_an_earlier_label_is_another_document() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![labelled(2, "a", "B")], &[]);
    let superseded = [(file_id(2), Departure::Superseded)];
    // The version after it went away by another name.
    bench.list(dir(1), vec![labelled(3, "a", "A")], &superseded);
    assert_eq!(bench.told(1), ["1/2 a gone unknown", "1/3 a add"]);
}

#[test]
fn a_rename_moves_the_servers_tag_and_is_still_one_event() {
    let mut bench = Bench::new();
    let tagged = |name: &str, etag: &str, description: &str| {
        vec![Entry::Document(Document {
            etag: Some(etag.into()),
            description: description.into(),
            ..file(2, name)
        })]
    };
    bench.list(dir(1), tagged("a", "1", ""), &[]);
    bench.list(dir(1), tagged("b", "2", ""), &[]);
    assert_eq!(bench.told(1), ["1/2 b was a"]);
    bench.list(dir(1), tagged("b", "3", ""), &[]);
    assert_eq!(
        bench.told(2),
        ["1/2 b modify properties"],
        "of what is not listed"
    );
    bench.list(dir(1), tagged("c", "4", "x"), &[]);
    assert_eq!(bench.told(3), ["1/2 c was b", "1/2 c modify properties"]);
}

#[test]
fn a_document_of_two_folders_is_told_in_both_and_does_not_flap() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    bench.list(dir(3), vec![plain(2, "a")], &[]);
    // It may have moved: nobody has asked for the other folder since.
    assert_eq!(bench.told(1), ["3/2 a from 1 as a"]);
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert_eq!(bench.told(2), ["1/2 a add"]);
    for _ in 0..3 {
        bench.list(dir(3), vec![plain(2, "a")], &[]);
        bench.list(dir(1), vec![plain(2, "a")], &[]);
    }
    assert_eq!(bench.told(3), [""; 0]);
    bench.list(
        dir(1),
        vec![],
        &[(file_id(2), Departure::Moved(Some(folder_id(3))))],
    );
    assert_eq!(bench.told(3), ["1/2 a gone moved"]);
}

#[test]
fn a_document_that_left_two_folders_for_a_third_arrives_once() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.list(dir(1), vec![plain(2, "a")], &[]);
        bench.list(dir(3), vec![plain(2, "a")], &[]);
    }
    bench.list(dir(4), vec![], &[]);
    let told = bench.events().len();
    let departed = [(file_id(2), Departure::Moved(Some(folder_id(4))))];
    bench.list(dir(1), vec![], &departed);
    bench.list(dir(3), vec![], &departed);
    bench.list(dir(4), vec![plain(2, "a")], &[]);
    assert_eq!(bench.told(told), ["4/2 a from 1 as a", "3/2 a gone moved"]);
    assert_eq!(bench.catalog.expected(folder_id(4)).unwrap(), []);
}

#[test]
fn an_answer_that_took_long_does_not_take_back_a_move() {
    let mut bench = Bench::new();
    let early = bench.now();
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    // Asked for before, landing after: folder 3 had it once.
    bench.list_at(early, dir(3), vec![plain(2, "a")], &[]);
    assert_eq!(bench.told(1), [""; 0]);
    bench.list(dir(3), vec![], &[]);
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert_eq!(bench.told(1), [""; 0]);
}

#[test]
fn what_is_on_its_way_ends_where_the_server_says() {
    let on_its_way = || {
        let mut bench = Bench::new();
        bench.list(dir(1), vec![plain(2, "a")], &[]);
        bench.list(dir(3), vec![], &[]);
        bench.list(
            dir(1),
            vec![],
            &[(file_id(2), Departure::Moved(Some(folder_id(3))))],
        );
        assert_eq!(bench.told(1), [""; 0]);
        bench
    };
    // Deleted before it was seen there.
    let mut bench = on_its_way();
    bench.list(dir(3), vec![], &[(file_id(2), Departure::Deleted)]);
    assert_eq!(bench.told(1), ["1/2 a gone deleted"]);
    // Moved on, to a folder that nobody lists.
    let mut bench = on_its_way();
    bench.list(
        dir(3),
        vec![],
        &[(file_id(2), Departure::Moved(Some(folder_id(9))))],
    );
    assert_eq!(bench.told(1), ["1/2 a gone moved"]);
    // Moved back.
    let mut bench = on_its_way();
    let replaced = bench.list(
        dir(3),
        vec![],
        &[(file_id(2), Departure::Moved(Some(folder_id(1))))],
    );
    assert_eq!(look(&replaced), [folder_id(1)]);
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    assert_eq!(bench.told(1), [""; 0], "it is where it was");
    // Replaced there by a new version.
    let mut bench = on_its_way();
    bench.list(
        dir(3),
        vec![plain(4, "a")],
        &[(file_id(2), Departure::Superseded)],
    );
    assert_eq!(bench.told(1), ["3/2 a from 1 as a", "3/4 a version of 2"]);
    // Nobody looked yet: the listing of the former folder says again where to look.
    let mut bench = on_its_way();
    bench.reopen();
    let replaced = bench.list(dir(1), vec![], &[]);
    assert_eq!(look(&replaced), [folder_id(3)]);
}

#[test]
fn what_moves_into_a_refused_folder_is_told_as_denied() {
    let refusal = Trouble {
        at: stamp(1).wall,
        text: "403".into(),
        refused: true,
    };
    let moved = |number| {
        let to = Departure::Moved(Some(folder_id(8)));
        [(file_id(number), to)]
    };
    let root = || vec![Entry::Folder(folder(8, "secret"))];
    let mut bench = Bench::new();
    bench.list(DirKey::ROOTS, root(), &[]);
    bench.list(dir(8), vec![], &[]);
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b")], &[]);
    // It is on its way when the folder is found to be refused.
    bench.list(dir(1), vec![plain(3, "b")], &moved(2));
    assert_eq!(bench.told(3), [""; 0]);
    bench.catalog.note_trouble(dir(8).guid(), Some(&refusal)).unwrap();
    assert_eq!(bench.told(3), ["0/8 secret readable false", "1/2 a gone denied"]);
    // The folder is known to be refused.
    bench.list(dir(1), vec![], &moved(3));
    assert_eq!(bench.told(5), ["1/3 b gone denied"]);
    assert_eq!(bench.catalog.expected(folder_id(8)).unwrap(), []);
    // Everything is told once it is seen.
    bench.catalog.note_trouble(dir(8).guid(), None).unwrap();
    bench.list(dir(8), vec![plain(2, "a"), plain(3, "b")], &[]);
    assert_eq!(
        bench.told(6),
        ["0/8 secret readable true", "8/2 a add", "8/3 b add"]
    );
}

#[test]
fn what_moves_into_a_folder_that_nobody_told_of_and_is_refused_is_told_as_denied() {
    let refusal = Trouble {
        at: stamp(1).wall,
        text: "403".into(),
        refused: true,
    };
    let mut bench = Bench::new();
    // A mount's own choice, of which the journal has no row.
    bench.list(dir(8), vec![], &[]);
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    bench.list(
        dir(1),
        vec![],
        &[(file_id(2), Departure::Moved(Some(folder_id(8))))],
    );
    for _ in 0..2 {
        bench.catalog.note_trouble(dir(8).guid(), Some(&refusal)).unwrap();
        assert_eq!(bench.told(1), ["1/2 a gone denied"]);
    }
}

#[test]
fn a_folder_that_comes_back_is_told_with_all_that_is_in_it() {
    let mut bench = Bench::new();
    let sub = || Entry::Folder(folder(5, "sub"));
    bench.list(dir(1), vec![sub()], &[]);
    let Replaced::Kept { commit, .. } = bench.list(dir(5), vec![plain(2, "a")], &[]) else {
        panic!("kept")
    };
    bench.list(dir(1), vec![], &[(sub().id(), Departure::Denied)]);
    assert_eq!(bench.told(2), ["1/5 sub gone denied"]);
    bench.list(dir(1), vec![sub()], &[]);
    assert_eq!(bench.told(3), ["1/5 sub add"]);
    // Even where the server says that nothing has changed in it.
    let now = bench.now();
    assert!(bench.catalog.unchanged(dir(5), commit, now).unwrap());
    assert_eq!(bench.told(4), ["5/2 a first"]);
    let now = bench.now();
    assert!(bench.catalog.unchanged(dir(5), commit, now).unwrap());
    assert_eq!(bench.told(5), [""; 0]);
}

#[test]
fn a_choice_of_folders_is_kept_and_not_told() {
    let mut bench = Bench::new();
    let root = DirKey::chosen(&[(folder_id(5), "alias")]);
    bench.list(root, vec![Entry::Folder(folder(5, "alias"))], &[]);
    assert_eq!(bench.told(0), [""; 0]);
    assert!(bench.catalog.load(root).unwrap().is_some());
    assert_eq!(bench.catalog.oldest(9).unwrap(), [], "it is no folder");
}

#[test]
fn what_a_download_learnt_is_told_as_another_content_and_nothing_else_is() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![plain(2, "a"), plain(3, "b")], &[]);
    let commit = bench
        .catalog
        .rebuild(dir(1), &mut |saved| {
            let entries = saved.listing.entries().cloned().collect();
            Arc::new(Listing::build(Draft {
                place: Place::Folder,
                entries,
                previous: Some(&saved.listing),
                residue: None,
                tag: &|document| document.content_tag(u32::from(document.id.0 == guid(2))),
                placeholders: Placeholders::Hide,
                now: Timestamp::UNIX_EPOCH,
                unlisted_mtime: Timestamp::UNIX_EPOCH,
                generation: 2,
            }))
        })
        .unwrap();
    let saved = bench.catalog.load(dir(1)).unwrap().unwrap();
    assert_eq!(Some(saved.commit), commit);
    assert_eq!(saved.fetched, stamp(1001), "it was not asked for anew");
    assert_eq!(bench.told(2), ["1/2 a modify content"]);
    assert_eq!(
        bench
            .catalog
            .rebuild(dir(9), &mut |_| panic!("no listing"))
            .unwrap(),
        None
    );
}

#[test]
fn a_refusal_is_told_once_and_so_is_its_end() {
    let mut bench = Bench::new();
    let refusal = Trouble {
        at: stamp(1).wall,
        text: "403".into(),
        refused: true,
    };
    let outage = Trouble {
        refused: false,
        text: "no route".into(),
        ..refusal.clone()
    };
    bench.catalog.note_trouble(guid(2), Some(&refusal)).unwrap();
    assert_eq!(bench.told(0), [""; 0], "nobody knows the document");
    bench.list(dir(1), vec![plain(2, "a")], &[]);
    for trouble in [&refusal, &outage, &refusal] {
        bench.catalog.note_trouble(guid(2), Some(trouble)).unwrap();
        assert_eq!(bench.catalog.trouble(guid(2)).unwrap().as_ref(), Some(trouble));
    }
    assert_eq!(bench.told(1), ["1/2 a readable false"]);
    for _ in 0..2 {
        bench.catalog.note_trouble(guid(2), None).unwrap();
    }
    assert_eq!(bench.told(2), ["1/2 a readable true"]);
    assert_eq!(bench.catalog.trouble(guid(2)).unwrap(), None);
}

#[test]
fn a_document_without_a_file_is_told_and_showing_it_is_no_change() {
    let mut bench = Bench::new();
    let note = Entry::Document(Document {
        kind: DocumentKind::Placeholder,
        file_name: None,
        ..file(2, "note")
    });
    bench.list(dir(1), vec![note.clone()], &[]);
    let event = bench.events().remove(0);
    assert_eq!((event.name.as_str(), event.tag), ("note", None));
    let fetched = Fetched {
        dir: dir(1),
        fetched: bench.now(),
        proof: Proof::Paged,
        validator: None,
        departed: &[],
        first: false,
    };
    let shown = Arc::new(Listing::build(Draft {
        place: Place::Folder,
        entries: vec![Arc::new(note)],
        previous: None,
        residue: None,
        tag: &|document| document.content_tag(0),
        placeholders: Placeholders::Empty,
        now: Timestamp::UNIX_EPOCH,
        unlisted_mtime: Timestamp::UNIX_EPOCH,
        generation: 1,
    }));
    bench
        .catalog
        .replace(&fetched, None, &mut |_| shown.clone())
        .unwrap();
    assert_eq!(bench.told(1), [""; 0]);
    // It gets a file.
    bench.list(dir(1), vec![plain(2, "note")], &[]);
    assert_eq!(bench.told(1), ["1/2 note modify content"]);
}
