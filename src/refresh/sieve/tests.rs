//! Which question pays.

use proptest::prelude::*;

use super::*;
use crate::model::Guid;

fn id(number: usize) -> FolderId {
    FolderId(Guid::from_bytes((number as u128).to_be_bytes()))
}

/// Folders by number: the number of each one's parent, and how many documents it has.
fn held(tree: &[(usize, usize)]) -> Vec<HeldFolder> {
    let inside = |of: usize| {
        let all = tree.iter().enumerate().skip(1);
        let inside = all.filter(|(_, (parent, _))| *parent == of);
        inside.map(|(number, _)| id(number)).collect()
    };
    let one = |(number, (_, documents)): (usize, &(usize, usize))| HeldFolder {
        id: id(number),
        folders: inside(number),
        documents: *documents,
    };
    tree.iter().enumerate().map(one).collect()
}

fn all(numbers: impl IntoIterator<Item = usize>) -> HashSet<FolderId> {
    numbers.into_iter().map(id).collect()
}

/// Folder 0 with 1 and 2, 3 to 12 in 1, and 13 to 22 in 2.
fn two_shelves(documents: usize) -> Vec<HeldFolder> {
    let mut tree = vec![(0, documents); 3];
    tree.extend([(1, documents); 10]);
    tree.extend([(2, documents); 10]);
    held(&tree)
}

#[test]
fn the_folder_is_asked_below_which_saves_most() {
    let held = two_shelves(5);
    let none = HashSet::new();
    let plan = best(&held, &all(3..=22), &[id(1), id(99)], &none).unwrap();
    assert_eq!((plan.top, plan.due), (id(0), 20));
    let asked: HashSet<FolderId> = plan.folders.iter().copied().collect();
    assert_eq!(asked, all((3..=22).chain([1])), "and what will be due soon");
    assert_eq!(plan.most, MOST_ROWS.min(18 * PAGE));
    // What is due lies below one of them alone, and the other one only costs.
    let plan = best(&two_shelves(150), &all(3..=12), &[], &none).unwrap();
    assert_eq!((plan.top, plan.due), (id(1), 10));
    let plan = best(&held, &all(3..=22), &[], &all([0])).unwrap();
    assert_ne!(plan.top, id(0), "it is spared");
}

#[test]
fn what_costs_more_than_half_of_single_looks_is_not_asked() {
    let none = HashSet::new();
    // Its own listing, a page of folders, twice, and one of documents.
    assert_eq!(best(&two_shelves(5), &all(3..=6), &[], &none), None, "four");
    assert!(best(&two_shelves(5), &all(3..=7), &[], &none).is_some(), "five");
    assert_eq!(
        best(&two_shelves(5000), &all(3..=22), &[], &none),
        None,
        "too many rows"
    );
    assert_eq!(best(&[], &all(0..50), &[], &none), None);
}

proptest! {
    /// In a tree of any form, circles included, a question costs no more than half of the looks it is for, and all it is
    /// for lies below its top.
    #[test]
    fn a_question_pays(
        tree in proptest::collection::vec((0_usize..40, 0_usize..400), 1..40),
        due in proptest::collection::hash_set(0_usize..45, 0..40),
        spared in proptest::collection::hash_set(0_usize..45, 0..4),
    ) {
        let (held, due, spared) = (held(&tree), all(due), all(spared));
        if let Some(plan) = best(&held, &due, &[], &spared) {
            prop_assert!(!spared.contains(&plan.top));
            let known: HashMap<FolderId, &HeldFolder> = held.iter().map(|folder| (folder.id, folder)).collect();
            let (mut below, mut queue) = (HashSet::new(), vec![plan.top]);
            while let Some(folder) = queue.pop() {
                if below.insert(folder) {
                    queue.extend(known.get(&folder).map(|held| held.folders.clone()).unwrap_or_default());
                }
            }
            prop_assert!(plan.folders.iter().all(|folder| below.contains(folder) && due.contains(folder)));
            let asked: HashSet<&FolderId> = plan.folders.iter().collect();
            prop_assert_eq!(asked.len(), plan.due);
            let known_below = below.iter().filter_map(|folder| known.get(folder));
            let rows: usize = known_below.map(|held| held.documents).sum();
            prop_assert!(SINGLE + 2 + rows.div_ceil(PAGE) <= plan.due, "{rows} rows for {}", plan.due);
            prop_assert!(plan.most >= rows);
        }
    }
}
