//! Many listings at once: they are put in place together, and one that cannot be kept stands alone.

use pwfs::catalog::DirKey;
use pwfs::demo::RequestKind;
use pwfs::model::FolderId;
use pwfs::tree::TreeConfig;

use crate::harness::{Bench, bytes_of, doc_name, small};

#[tokio::test]
async fn of_listings_that_arrive_together_one_that_cannot_be_kept_is_served_all_the_same() {
    let bench = Bench::with(small(), TreeConfig::default()).await;
    let mut folders = Vec::new();
    for number in 0..20 {
        let (attr, guid, documents) = bench.stock(&format!("Folder {number:02}"), 2).await;
        folders.push((attr, DirKey::folder(FolderId(guid)), documents));
    }
    let catalog = bench.fs.tree().catalog().unwrap().clone();
    let database = rusqlite::Connection::open(catalog.dir().join("catalog.sqlite")).unwrap();
    // As a broken row would.
    let poisoned = folders[7].2[1];
    database
        .execute_batch(&format!(
            "CREATE TRIGGER poison BEFORE INSERT ON entries WHEN hex(NEW.guid) = '{}'
                BEGIN SELECT RAISE(ABORT, 'poison'); END;
             BEGIN IMMEDIATE",
            poisoned.to_string().replace('-', "").to_uppercase()
        ))
        .unwrap();

    // All have been answered before the first can be put in place.
    let listing = folders.iter().map(|(attr, ..)| bench.list(attr.ino));
    let listed = futures_util::future::join_all(listing);
    let let_go = async {
        crate::harness::until(|| bench.asked(RequestKind::ListDocuments) >= 20).await;
        database.execute_batch("COMMIT").unwrap();
    };
    bench.server.reset_counters();
    let (listed, ()) = tokio::join!(listed, let_go);
    for (listed, (_, dir, _)) in listed.into_iter().zip(&folders) {
        let listed = listed.unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(bench.read(&listed[&doc_name(1)]).await.unwrap(), bytes_of(1, 0));
        assert_eq!(catalog.keeps(*dir).unwrap(), *dir != folders[7].1);
    }

    database.execute_batch("DROP TRIGGER poison").unwrap();
    bench.expire();
    bench.list(folders[7].0.ino).await.unwrap();
    assert!(
        catalog.keeps(folders[7].1).unwrap(),
        "it is kept as soon as it can be"
    );
}
