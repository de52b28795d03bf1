use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::super::ledger::Process;
use super::super::urgency::Urgency;
use super::*;

const START: u64 = 1 << 50;
const SECOND: u64 = 1_000_000;
const SERVER: &str = "https://pw.example.com";

fn process(pid: u32) -> Process {
    Process {
        pid,
        per_minute: Some(100),
        at_once: [8, 8],
        away_since: None,
        seen: 0,
    }
}

fn shared(dir: &Path) -> Shared {
    Shared::new(Some(dir), SERVER, "boot", START)
}

fn take(shared: &mut Shared, now: u64, pid: u32) -> bool {
    shared
        .with(now, |ledger| ledger.take(now, process(pid), Urgency::Interactive))
        .unwrap()
        .is_ok()
}

fn drain(shared: &mut Shared, now: u64) -> usize {
    (0..1000).take_while(|_| take(shared, now, 1)).count()
}

#[test]
fn processes_share_one_bucket_in_a_file_for_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let (mut one, mut other) = (shared(&run), shared(&run));
    assert_eq!(drain(&mut one, START), 33);
    assert_eq!(drain(&mut other, START), 0);
    assert_eq!(drain(&mut other, START + 6 * SECOND), 10);
    assert_eq!(drain(&mut one, START + 6 * SECOND), 0);
    // Another server has its own.
    let mut else_where = Shared::new(Some(&run), "https://other.example.com", "boot", START);
    assert_eq!(drain(&mut else_where, START), 33);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&run), 0o700);
    assert_eq!(mode(&run.join(file_name(SERVER))), 0o600);
    let servers: Vec<String> = all(&run, "boot")
        .into_iter()
        .map(|ledger| ledger.server)
        .collect();
    assert_eq!(servers, ["https://other.example.com", SERVER]);
    assert!(all(&run, "another boot").is_empty());
}

#[test]
fn a_ledger_of_an_earlier_run_of_the_machine_is_over() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(drain(&mut shared(dir.path()), START), 33);
    let mut rebooted = Shared::new(Some(dir.path()), SERVER, "next boot", SECOND);
    assert_eq!(drain(&mut rebooted, SECOND), 33);
}

#[test]
fn a_damaged_file_is_mended_and_gives_nothing_away() {
    for damage in ["", "{", "{\"version\": 1}", "\0\0\0", "[]"] {
        let dir = tempfile::tempdir().unwrap();
        let mut one = shared(dir.path());
        assert_eq!(drain(&mut one, START), 33);
        std::fs::write(dir.path().join(file_name(SERVER)), damage).unwrap();
        let mut other = shared(dir.path());
        // An empty file is a new one, whoever made it.
        let spare = if damage.is_empty() { 33 } else { 0 };
        assert_eq!(drain(&mut other, START), spare, "{damage:?}");
        assert_eq!(drain(&mut one, START), 0);
        assert_eq!(drain(&mut one, START + 6 * SECOND), 10);
        assert_eq!(all(dir.path(), "boot").len(), 1);
    }
}

#[test]
fn where_there_can_be_no_file_each_counts_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let no_dir = dir.path().join("file");
    std::fs::write(&no_dir, "").unwrap();
    let (mut one, mut other) = (shared(&no_dir), shared(&no_dir));
    assert_eq!((drain(&mut one, START), drain(&mut other, START)), (33, 33));
    // A later version's is left as it is.
    let path = dir.path().join(file_name(SERVER));
    std::fs::write(&path, "{\"version\": 2, \"more\": true}").unwrap();
    assert_eq!(drain(&mut shared(dir.path()), START), 33);
    assert!(std::fs::read_to_string(&path).unwrap().contains("more"));
    // A link is not followed.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&no_dir, &path).unwrap();
    assert_eq!(drain(&mut shared(dir.path()), START), 33);
    assert_eq!(std::fs::read(&no_dir).unwrap(), b"");
}

#[test]
fn a_deleted_file_is_made_again_and_shared_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (shared(dir.path()), shared(dir.path()));
    assert!(take(&mut one, START, 1) && take(&mut other, START, 2));
    std::fs::remove_file(dir.path().join(file_name(SERVER))).unwrap();
    assert_eq!(drain(&mut one, START), 33);
    assert_eq!(drain(&mut other, START), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_not_waited_for_and_one_that_is_never_released_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = shared(dir.path());
    assert!(take(&mut one, START, 1));
    let holder = open(&dir.path().join(file_name(SERVER))).unwrap();
    flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
    let busy = |one: &mut Shared| one.with(START, |_| ()).is_err();
    assert!(busy(&mut one));
    tokio::time::advance(PATIENCE.saturating_sub(Duration::from_millis(1))).await;
    assert!(busy(&mut one));
    tokio::time::advance(Duration::from_millis(1)).await;
    // It goes on from what it knew.
    assert_eq!(drain(&mut one, START), 32);
    flock(&holder, FlockOperation::Unlock).unwrap();
    tokio::time::advance(LOOK_AGAIN).await;
    assert_eq!(drain(&mut one, START), 32);
    assert_eq!(drain(&mut shared(dir.path()), START), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// The same promise as of one ledger, for processes that come and go and share a file.
    #[test]
    fn processes_together_never_send_more_than_a_burst_and_what_comes_in(
        steps in prop::collection::vec((0_u64..4_000_000, 0_usize..5, 1_usize..30, any::<bool>()), 1..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut processes: Vec<Shared> = (0..5).map(|_| shared(dir.path())).collect();
        let mut now = START;
        let mut sent = Vec::new();
        for (pause, who, wanted, restarts) in steps {
            now += pause;
            if restarts {
                processes[who] = shared(dir.path());
            }
            for _ in 0..wanted {
                if take(&mut processes[who], now, u32::try_from(who).unwrap()) {
                    sent.push(now);
                }
            }
        }
        for (first, begin) in sent.iter().enumerate() {
            for (end, count) in sent[first..].iter().zip(1_u32..) {
                let minutes = Duration::from_micros(end - begin).as_secs_f64() / 60.0;
                prop_assert!(f64::from(count) <= 100.0 / 3.0 + 100.0 * minutes + 1e-6);
            }
        }
    }
}
