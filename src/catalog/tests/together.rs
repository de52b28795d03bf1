//! Listings that are kept together.

use super::*;

fn answer(dir: DirKey, fetched: Stamp) -> (Fetched<'static>, Option<u64>) {
    let fetched = Fetched {
        dir,
        fetched,
        proof: Proof::Paged,
        validator: None,
        departed: &[],
        first: false,
    };
    (fetched, None)
}

fn one_file(number: u8) -> Arc<Listing> {
    listing(
        vec![Entry::Document(file(number, &format!("{number}.pdf")))],
        None,
    )
}

#[test]
fn listings_kept_together_are_kept_and_told_at_one_moment() {
    let mut bench = Bench::new();
    let other = open(bench.dir.path()).catalog;
    let answers: Vec<_> = (1..=5).map(|number| answer(dir(number), bench.now())).collect();
    let mut built = Vec::new();
    let replaced = bench
        .catalog
        .replace_all(&answers, &mut |index, saved| {
            assert!(saved.is_none());
            for (earlier, _) in &answers {
                assert!(!other.keeps(earlier.dir).unwrap(), "nobody else sees half of it");
            }
            assert_eq!(other.journal().head().unwrap().sequence, 0);
            built.push(index);
            one_file(u8::try_from(index).unwrap() + 10)
        })
        .unwrap();
    assert_eq!(built, [0, 1, 2, 3, 4]);
    let commits: Vec<u64> = replaced
        .iter()
        .map(|replaced| match replaced {
            Replaced::Kept { commit, .. } => *commit,
            Replaced::Superseded(_) => panic!("there was none before"),
        })
        .collect();
    assert!(commits.is_sorted_by(|one, next| one < next), "{commits:?}");
    for (number, (answer, _)) in (10..).zip(&answers) {
        let saved = other.load(answer.dir).unwrap().unwrap();
        assert!(saved.listing.get(&format!("{number}.pdf")).is_some());
    }
    let told: Vec<_> = bench.events().iter().map(|event| event.parent).collect();
    assert_eq!(told, (1..=5).map(dir).collect::<Vec<_>>());
}

#[test]
fn a_move_between_listings_kept_together_is_told_at_once_whichever_was_asked_for_first() {
    for arrives_first in [true, false] {
        let mut bench = Bench::new();
        bench.list(dir(1), vec![Entry::Document(file(10, "10.pdf"))], &[]);
        bench.list(dir(2), vec![], &[]);
        let moved = [(
            ObjectId::Document(DocumentId(guid(10))),
            Departure::Moved(Some(folder_id(2))),
        )];
        let (early, late) = (bench.now(), bench.now());
        let (arrival, departure) = if arrives_first {
            (early, late)
        } else {
            (late, early)
        };
        let left = Fetched {
            departed: &moved,
            ..answer(dir(1), departure).0
        };
        let mut answers = [(answer(dir(2), arrival).0, None), (left, None)];
        if !arrives_first {
            answers.reverse();
        }
        let dirs: Vec<DirKey> = answers.iter().map(|(answer, _)| answer.dir).collect();
        bench
            .catalog
            .replace_all(&answers, &mut |index, _| {
                if dirs[index] == dir(2) {
                    one_file(10)
                } else {
                    listing(vec![], None)
                }
            })
            .unwrap();
        assert_eq!(bench.told(1), ["2/10 10.pdf from 1 as 10.pdf"]);
    }
}

#[test]
fn of_listings_kept_together_an_older_one_is_superseded_and_the_others_are_kept() {
    let mut bench = Bench::new();
    let old = bench.now();
    bench.list(dir(2), vec![Entry::Document(file(20, "newer.pdf"))], &[]);
    let new = bench.now();
    let answers = [answer(dir(1), new), answer(dir(2), old), answer(dir(3), new)];
    let replaced = bench
        .catalog
        .replace_all(&answers, &mut |index, _| {
            one_file(u8::try_from(index).unwrap() + 10)
        })
        .unwrap();
    match &replaced[..] {
        [
            Replaced::Kept { .. },
            Replaced::Superseded(saved),
            Replaced::Kept { .. },
        ] => {
            assert!(saved.listing.get("newer.pdf").is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_listings_kept_together_none_is_kept_or_told_where_one_cannot_be() {
    let mut bench = Bench::new();
    // As a full disk or a broken row would.
    let database = rusqlite::Connection::open(super::super::place::catalog_in(bench.catalog.dir())).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON entries WHEN NEW.name = '11.pdf'
                BEGIN SELECT RAISE(ABORT, 'poison'); END",
        )
        .unwrap();
    let answers: Vec<_> = (1..=3).map(|number| answer(dir(number), bench.now())).collect();
    let mut build = |index: usize, _: Option<&SavedListing>| one_file(u8::try_from(index).unwrap() + 10);
    bench.catalog.replace_all(&answers, &mut build).unwrap_err();
    for (answer, _) in &answers {
        assert!(!bench.catalog.keeps(answer.dir).unwrap());
    }
    assert_eq!(bench.events(), []);
    database.execute_batch("DROP TRIGGER poison").unwrap();
    bench.catalog.replace_all(&answers, &mut build).unwrap();
    assert_eq!(bench.events().len(), 3);
}
