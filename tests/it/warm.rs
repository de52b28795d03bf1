//! `warm`, and what is left of a crawl or a refresh that was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use pwfs::catalog::{Catalog, CatalogId, DirKey, Places};
use pwfs::demo::knobs::Ancestor;
use pwfs::demo::{Access, LoggedRequest, RequestKind};
use pwfs::model::{FolderId, Guid};
use pwfs::remote::Remote;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{connect, small};
use crate::mount::fuse_is_here;
use crate::program::{Running, Stage, until};

/// A folder `Warm` of shelves, with everything that was ever in each of them.
struct Shelves {
    stage: Stage,
    top: Guid,
    history: BTreeMap<Guid, Vec<BTreeSet<String>>>,
    made: usize,
}

impl Shelves {
    fn new(count: usize) -> Self {
        let stage = Stage::signed_in(small());
        let world = stage.server.world();
        let top = world.add_folder(None, "Warm").unwrap();
        let mut shelves = Self {
            stage,
            top,
            history: BTreeMap::new(),
            made: 0,
        };
        for number in 0..count {
            let shelf = world
                .add_folder(Some(top), &format!("shelf-{number:02}"))
                .unwrap();
            shelves.history.insert(shelf, vec![BTreeSet::new()]);
        }
        for shelf in shelves.all() {
            shelves.add(shelf);
        }
        // An empty shelf takes five seconds to be believed.
        for states in shelves.history.values_mut() {
            states.remove(0);
        }
        shelves
    }

    fn all(&self) -> Vec<Guid> {
        self.history.keys().copied().collect()
    }

    fn add(&mut self, shelf: Guid) {
        self.made += 1;
        let name = format!("doc-{}.txt", self.made);
        let states = self.history.get_mut(&shelf).unwrap();
        let mut next = states.last().unwrap().clone();
        next.insert(name.clone());
        // Before it is so: whoever is killed in between has seen one or the other.
        states.push(next);
        self.stage
            .server
            .world()
            .add_document(shelf, &name, name.clone())
            .unwrap();
    }

    fn warm(&self) -> Value {
        serde_json::from_str(&self.stage.run(&["warm", "Warm", "--json"]).succeeds()).unwrap()
    }

    /// Looks into the catalog the program left: how many shelves are listed. Each is as it was at some moment.
    fn check(&self, id: &CatalogId) -> usize {
        let home = self.stage.home.path();
        let places = Places {
            cache: home.join(".cache/pwfs"),
            state: home.join(".local/state/pwfs"),
        };
        let opened = Catalog::open(&places, id).unwrap();
        assert!(opened.set_aside.is_empty(), "nothing is damaged");
        let mut listed = 0;
        for (shelf, states) in &self.history {
            let saved = opened.catalog.load(DirKey::folder(FolderId(*shelf))).unwrap();
            let Some(saved) = saved else { continue };
            let names: BTreeSet<String> = saved
                .listing
                .rows()
                .iter()
                .map(|row| row.name.to_string())
                .collect();
            assert!(states.contains(&names), "{names:?} was never in {shelf}");
            listed += 1;
        }
        if let Some(top) = opened.catalog.load(DirKey::folder(FolderId(self.top))).unwrap() {
            assert_eq!(top.listing.rows().len(), self.history.len());
        }
        listed
    }

    /// Whose catalog it is.
    fn id(&self) -> CatalogId {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (account, datasource) = runtime.block_on(async {
            let remote = connect(&self.stage.server, dir.path()).await;
            (remote.account().await.unwrap(), remote.name().to_owned())
        });
        let id = CatalogId {
            issuer: self.stage.server.issuer(),
            account,
            datasource,
        };
        let catalogs = self.stage.home.path().join(".cache/pwfs/catalog-v1");
        let is_there = |path: &Path| path.exists();
        assert!(
            !is_there(&catalogs) || is_there(&catalogs.join(id.digest())),
            "it is another one"
        );
        id
    }
}

#[test]
fn a_folder_is_listed_whole_and_the_second_time_nothing_of_it_is() {
    let shelves = Shelves::new(12);
    let report = shelves.warm();
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(report["folders"], 13);
    assert_eq!(report["documents"], 12);
    assert_eq!(report["listed"], 13);
    assert_eq!(shelves.check(&shelves.id()), 12);

    shelves.stage.server.reset_counters();
    let report = shelves.warm();
    assert_eq!(
        (&report["listed"], &report["fresh"]),
        (&0.into(), &13.into()),
        "{report}"
    );
    let asked = shelves.stage.server.request_log();
    for folder in shelves.all().into_iter().chain([shelves.top]) {
        let lists = |request: &LoggedRequest| {
            let kind = [RequestKind::ListDocuments, RequestKind::ListProjects].contains(&request.kind);
            kind && request.target.contains(&folder.to_string())
        };
        assert!(!asked.iter().any(lists), "{asked:#?}");
    }
}

#[test]
fn a_folder_that_may_not_be_seen_is_named_and_everything_else_listed() {
    let shelves = Shelves::new(4);
    let all = shelves.all();
    let world = shelves.stage.server.world();
    world.set_access(all[2], Access::SeeOnly).unwrap();
    let finished = shelves.stage.run(&["warm", "Warm"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let words = finished.stderr;
    assert!(words.contains("1 of the folders could not be listed"), "{words}");
    assert!(words.contains("Warm/shelf-"), "{words}");
    assert_eq!(shelves.check(&shelves.id()), 3);
}

#[test]
fn a_mount_warms_a_directory_of_its_own_and_the_command_sends_nothing() {
    if !fuse_is_here() {
        return;
    }
    let shelves = Shelves::new(6);
    fs::create_dir(shelves.stage.home.path().join("m")).unwrap();
    let mut mount = shelves.stage.start(&["mount", "m"]);
    mount.wait_for_line(|line| line.starts_with("Press Ctrl-C"));
    for path in ["m/Warm", "m/Warm/"] {
        let report: Value =
            serde_json::from_str(&shelves.stage.run(&["warm", path, "--json"]).succeeds()).unwrap();
        assert_eq!(report["complete"], true, "{report}");
        assert_eq!((&report["folders"], &report["documents"]), (&7.into(), &6.into()));
    }
    shelves.stage.server.reset_counters();
    let listed = fs::read_dir(shelves.stage.home.path().join("m/Warm"))
        .unwrap()
        .count();
    assert_eq!(listed, 6);
    assert_eq!(shelves.stage.server.requests().total, 0, "it is all there");
    let file = fs::read_dir(shelves.stage.home.path().join("m/Warm/shelf-00"))
        .unwrap()
        .next();
    let file = file.unwrap().unwrap().path();
    shelves.stage.run(&["warm", file.to_str().unwrap()]).fails(2);
    mount.signal(Signal::TERM);
    mount.finish();
}

fn kill_crawls(times: u64, ancestor: Ancestor) {
    const COUNT: usize = 60;
    let shelves = Shelves::new(COUNT);
    shelves.stage.server.turn(|knobs| {
        knobs.latency = Duration::from_millis(15);
        knobs.ancestor = ancestor;
    });
    // Listed one by one, or with the fourth question for documents: the folder's own, where there is nothing, one
    // shelf to compare with, and all of them.
    let last = match ancestor {
        Ancestor::Refused => 11,
        _ => 4,
    };
    let id = shelves.id();
    let mut most = 0;
    for time in 0..times {
        let server = &shelves.stage.server;
        server.reset_counters();
        let running = shelves.stage.start(&["warm", "Warm"]);
        // Somewhere between its first listing and its last.
        let enough = 1 + (time * 7) % last;
        until("it lists", || {
            std::thread::sleep(Duration::from_millis(1));
            server.requests().of(RequestKind::ListDocuments) >= enough || has_ended(&running)
        });
        running.signal(Signal::KILL);
        running.finish();
        let listed = shelves.check(&id);
        if listed == COUNT {
            // Once more from the beginning.
            fs::remove_dir_all(shelves.stage.home.path().join(".cache/pwfs")).unwrap();
            most = 0;
            continue;
        }
        assert!(
            listed >= most,
            "what was listed stays listed: {listed} after {most}"
        );
        most = listed;
    }
    let report = shelves.warm();
    assert_eq!(report["complete"], true, "{report}");
    assert!(report["fresh"].as_u64() >= Some(most as u64), "{report}");
    assert_eq!(shelves.check(&id), COUNT);
}

/// True for a process that has ended and was not waited for yet (proc(5): the state follows the name).
fn has_ended(running: &Running) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", running.id())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.trim_start().starts_with('Z') || rest.is_empty())
}

#[test]
fn a_crawl_that_is_killed_ten_times_leaves_whole_listings_and_goes_on() {
    kill_crawls(10, Ancestor::Refused);
}

#[test]
fn a_crawl_of_everything_at_once_that_is_killed_ten_times_leaves_whole_listings_and_goes_on() {
    kill_crawls(10, Ancestor::Both);
}

#[test]
#[ignore = "the same a hundred times; takes longer"]
fn a_crawl_that_is_killed_a_hundred_times_leaves_whole_listings_and_goes_on() {
    kill_crawls(50, Ancestor::Refused);
    kill_crawls(50, Ancestor::Both);
}

fn kill_refreshes(times: usize) {
    let mut shelves = Shelves::new(8);
    let id = shelves.id();
    let all = shelves.all();
    fs::create_dir(shelves.stage.home.path().join("m")).unwrap();
    for time in 0..times {
        let mut mount = shelves.stage.start(&["mount", "--refresh-interval", "60ms", "m"]);
        mount.wait_for_line(|line| line.starts_with("Press Ctrl-C"));
        let top = shelves.stage.home.path().join("m/Warm");
        for shelf in fs::read_dir(&top).unwrap() {
            assert!(fs::read_dir(shelf.unwrap().path()).unwrap().count() > 0);
        }
        for change in 0..6 {
            shelves.add(all[(time + change * 3) % all.len()]);
            std::thread::sleep(Duration::from_millis(5 + (time as u64 * 7) % 20));
        }
        mount.signal(Signal::KILL);
        mount.finish();
        assert_eq!(shelves.check(&id), all.len());
    }
    shelves.stage.run(&["unmount", "m"]).succeeds();
}

#[test]
fn a_refresh_that_is_killed_ten_times_leaves_whole_listings() {
    if fuse_is_here() {
        kill_refreshes(10);
    }
}

#[test]
#[ignore = "the same a hundred times; takes longer"]
fn a_refresh_that_is_killed_a_hundred_times_leaves_whole_listings() {
    if fuse_is_here() {
        kill_refreshes(100);
    }
}
