use std::path::Path;

use super::super::ledger::VERSION;
use super::super::urgency::with_urgency;
use super::*;

fn gate(per_minute: Option<u32>, dir: Option<&Path>) -> Arc<Gate> {
    let time = Time::Runtime(Instant::now());
    let ledger = Shared::new(dir, "https://h", &time.boot(), time.now());
    Arc::new(Gate::new("https://h".to_owned(), per_minute, Some(ledger), time))
}

fn uncounted() -> Arc<Gate> {
    let time = Time::Runtime(Instant::now());
    Arc::new(Gate::new("http://127.0.0.1:1".to_owned(), None, None, time))
}

fn patience() -> Patience {
    Patience {
        deadline: Instant::now() + Duration::from_secs(120),
        total: Duration::from_secs(120),
        longest_hold: Duration::from_secs(30),
    }
}

async fn admit(gate: &Arc<Gate>, lane: Lane) -> Result<Pass, HttpError> {
    let admitted = gate.admit(lane, patience()).await?;
    Ok(admitted.expect("it is no login").0)
}

/// One request that is answered after `takes`; says how long it waited for its turn.
async fn ask(gate: &Arc<Gate>, takes: Duration) -> Result<Duration, HttpError> {
    let begun = Instant::now();
    let pass = admit(gate, Lane::Metadata).await?;
    let waited = begun.elapsed();
    tokio::time::sleep(takes).await;
    pass.answered(200, None);
    Ok(waited)
}

fn unreachable() -> HttpError {
    HttpError::Unreachable("h: the connection was refused".to_owned())
}

async fn as_urgent<F: Future>(urgency: Urgency, future: F) -> F::Output {
    with_urgency(UrgencyHandle::new(urgency), future).await
}

const QUICK: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn without_a_pace_nothing_waits_and_logins_never_do() {
    let gate = uncounted();
    for _ in 0..1000 {
        assert_eq!(ask(&gate, Duration::ZERO).await.unwrap(), Duration::ZERO);
    }
    assert!(gate.admit(Lane::Login, patience()).await.unwrap().is_none());
    // Nor does anybody who waits behind thousand others on the way.
    let mut held = Vec::new();
    for _ in 0..1000 {
        held.push(admit(&gate, Lane::Content).await.unwrap());
    }
    assert_eq!(held.len(), 1000);
}

/// Two processes at the gentlest pace, both with as much to do in the background as goes, for ten minutes; and somebody
/// who looks into a folder every two seconds.
#[tokio::test(start_paused = true)]
async fn an_interactive_request_never_waits_two_seconds_for_the_background() {
    let dir = tempfile::tempdir().unwrap();
    // One clock for both, as for processes of one machine.
    let one = gate(Some(100), Some(dir.path()));
    let other = gate(Some(100), Some(dir.path()));
    let begun = Instant::now();
    let end = begun + Duration::from_secs(600);
    let sent = Arc::new(Mutex::new(0_u32));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60 {
        let gate = if number % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        let sent = sent.clone();
        tasks.spawn(as_urgent(Urgency::Background, async move {
            while Instant::now() < end {
                ask(&gate, QUICK).await.unwrap();
                if Instant::now() < end {
                    *sent.lock() += 1;
                }
            }
        }));
    }
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        longest = longest.max(ask(&one, QUICK).await.unwrap());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    tasks.abort_all();
    let sent = *sent.lock();
    assert!(longest <= Duration::from_secs(2), "{longest:?}");
    // Half of ten minutes at 100 a minute, and half a bucket it began with.
    assert!((450..=517).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_somebody_waits_for_now_goes_first() {
    let gate = gate(Some(100), None);
    // All that the background may have at once.
    for _ in 0..14 {
        as_urgent(Urgency::Background, ask(&gate, Duration::ZERO))
            .await
            .unwrap();
    }
    let handle = UrgencyHandle::new(Urgency::Background);
    let waiting = with_urgency(handle.clone(), ask(&gate, Duration::ZERO));
    tokio::pin!(waiting);
    let soon = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(soon.is_err());
    handle.raise(Urgency::Interactive);
    let waited = waiting.await.unwrap();
    assert_eq!(waited.as_millis() / 10, 30, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_background_waits_for_room_and_is_let_in_in_order() {
    let gate = uncounted();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(
            as_urgent(Urgency::Bulk, admit(&gate, Lane::Metadata))
                .await
                .unwrap(),
        );
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for urgency in [Urgency::Bulk, Urgency::Background, Urgency::Prefetch] {
        let (gate, order) = (gate.clone(), order.clone());
        tasks.spawn(as_urgent(urgency, async move {
            let pass = admit(&gate, Lane::Metadata).await.unwrap();
            order.lock().push(urgency);
            pass
        }));
    }
    tokio::time::sleep(QUICK).await;
    assert!(order.lock().is_empty());
    // Files have room of their own; and whoever waits needs none.
    drop(
        as_urgent(Urgency::Bulk, admit(&gate, Lane::Content))
            .await
            .unwrap(),
    );
    drop(admit(&gate, Lane::Metadata).await.unwrap());
    let mut passes = Vec::new();
    for _ in 0..3 {
        held.pop();
        passes.push(tasks.join_next().await.unwrap().unwrap());
    }
    assert_eq!(
        *order.lock(),
        [Urgency::Prefetch, Urgency::Background, Urgency::Bulk]
    );
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_holds_up_nobody() {
    let gate = gate(Some(100), None);
    for _ in 0..33 {
        ask(&gate, Duration::ZERO).await.unwrap();
    }
    let first = admit(&gate, Lane::Metadata);
    let second = admit(&gate, Lane::Metadata);
    tokio::pin!(second);
    {
        tokio::pin!(first);
        let late = tokio::time::timeout(Duration::from_millis(100), async {
            tokio::select! { _ = &mut first => {}, _ = &mut second => {} }
        });
        assert!(late.await.is_err());
    }
    let waited = Instant::now();
    second.await.unwrap();
    assert!(
        waited.elapsed() <= Duration::from_millis(600),
        "{:?}",
        waited.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_up_all_processes_and_a_long_one_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (
        gate(Some(600), Some(dir.path())),
        gate(Some(600), Some(dir.path())),
    );
    let refuse = async |wait: u64| {
        let pass = admit(&one, Lane::Metadata).await.unwrap();
        pass.answered(429, Some(Duration::from_secs(wait)));
    };
    refuse(20).await;
    let waited = ask(&other, Duration::ZERO).await.unwrap();
    assert!((20..21).contains(&waited.as_secs()), "{waited:?}");
    refuse(40).await;
    let begun = Instant::now();
    let error = ask(&other, Duration::ZERO).await.unwrap_err();
    let HttpError::Paced { words, retry_after } = error else {
        panic!("{error}")
    };
    assert!(words.contains("https://h") && words.contains("40 s"), "{words}");
    assert!((40..42).contains(&retry_after.as_secs()) && begun.elapsed().is_zero());
    tokio::time::sleep(retry_after).await;
    ask(&other, Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_ends_with_the_call() {
    let gate = gate(Some(100), None);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let gate = gate.clone();
        calls.spawn(async move { ask(&gate, Duration::ZERO).await });
    }
    let (mut sent, mut late) = (0, 0);
    for outcome in calls.join_all().await {
        match outcome {
            Ok(_) => sent += 1,
            Err(HttpError::Paced { words, .. }) => {
                assert!(
                    words.contains("within 120 s") && words.contains("nothing was sent"),
                    "{words}"
                );
                late += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((232..=234).contains(&sent) && sent + late == 300, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_probed_and_not_run_against() {
    let gate = uncounted();
    let fail = async || {
        let pass = admit(&gate, Lane::Metadata).await?;
        pass.failed(&unreachable());
        Ok::<_, HttpError>(())
    };
    for _ in 0..5 {
        fail().await.unwrap();
    }
    // Nobody waits for these: they fail at once, with what is known.
    let error = as_urgent(Urgency::Background, admit(&gate, Lane::Metadata))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("refused"), "{error}");
    // Of 200 calls within ten seconds a handful reach out.
    let mut probes = 0;
    for _ in 0..200 {
        probes += u32::from(fail().await.is_ok());
        tokio::time::sleep(QUICK).await;
    }
    assert!((9..=11).contains(&probes), "{probes}");
    // Files are known by themselves.
    drop(admit(&gate, Lane::Content).await.unwrap());
    // It is back: the next probe finds out, and all go through.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(&gate, QUICK).await.unwrap();
    as_urgent(Urgency::Bulk, ask(&gate, QUICK)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiters_of_a_server_that_goes_away_are_told_and_another_network_is_tried() {
    let gate = uncounted();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(
            as_urgent(Urgency::Bulk, admit(&gate, Lane::Metadata))
                .await
                .unwrap(),
        );
    }
    let waiting = tokio::runtime::Handle::current().spawn({
        let gate = gate.clone();
        async move {
            as_urgent(Urgency::Background, admit(&gate, Lane::Metadata))
                .await
                .err()
        }
    });
    tokio::time::sleep(QUICK).await;
    for pass in &held {
        pass.failed(&HttpError::TimedOut("h: silence".to_owned()));
    }
    assert!(matches!(waiting.await.unwrap(), Some(HttpError::TimedOut(_))));
    drop(held);
    assert!(
        as_urgent(Urgency::Bulk, admit(&gate, Lane::Metadata))
            .await
            .is_err()
    );
    gate.wake();
    drop(
        as_urgent(Urgency::Bulk, admit(&gate, Lane::Metadata))
            .await
            .unwrap(),
    );
}

#[tokio::test(start_paused = true)]
async fn what_others_see_of_it_is_in_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(Some(600), Some(dir.path()));
    for _ in 0..5 {
        let pass = admit(&gate, Lane::Metadata).await.unwrap();
        tokio::time::sleep(QUICK).await;
        pass.failed(&unreachable());
    }
    let seen = |gate: &Gate| {
        gate.show(|_, ledger| {
            let (ledger, now) = ledger.unwrap();
            assert_eq!(ledger.version, VERSION);
            let process = ledger.processes(now).next().unwrap();
            (process.away_since.is_some(), process.at_once)
        })
    };
    assert_eq!(seen(&gate), (true, [8, 8]));
    ask(&gate, QUICK).await.unwrap();
    ask(&gate, QUICK).await.unwrap();
    assert_eq!(seen(&gate), (false, [8, 8]));
}
