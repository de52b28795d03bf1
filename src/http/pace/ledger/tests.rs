use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;
/// Far from the beginning of time, as real moments are.
const START: u64 = 1 << 50;

fn process(pid: u32, per_minute: Option<u32>) -> Process {
    Process {
        pid,
        per_minute,
        at_once: [8, 8],
        away_since: None,
        seen: 0,
    }
}

fn ledger() -> Ledger {
    Ledger::new("https://h", "boot", START)
}

/// Takes as many tokens as there are.
fn drain(ledger: &mut Ledger, now: u64, per_minute: Option<u32>, urgency: Urgency) -> u32 {
    let mut had = 0;
    while had < 10_000 && ledger.take(now, process(1, per_minute), urgency).is_ok() {
        had += 1;
    }
    had
}

#[test]
fn a_pace_is_a_burst_and_what_comes_in() {
    for (per_minute, burst) in [(100, 33), (400, 133), (600, 200)] {
        let mut ledger = ledger();
        let pace = Some(per_minute);
        assert_eq!(drain(&mut ledger, START, pace, Urgency::Interactive), burst);
        let minute = drain(&mut ledger, START + 60 * SECOND, pace, Urgency::Interactive);
        // The bucket holds no more, however long nobody comes.
        assert_eq!(minute, burst);
        let mut had = 0;
        for second in 61..=120 {
            had += drain(&mut ledger, START + second * SECOND, pace, Urgency::Interactive);
        }
        assert!((per_minute - 1..=per_minute + 1).contains(&had), "{had}");
    }
}

#[test]
fn the_wait_that_is_named_is_enough_and_no_longer_than_it_must_be() {
    for urgency in Urgency::ALL {
        let mut ledger = ledger();
        let mut now = START;
        drain(&mut ledger, now, Some(100), Urgency::Interactive);
        for _ in 0..50 {
            if let Err(wait) = ledger.clone().take(now, process(1, Some(100)), urgency) {
                let wait = micros(wait.least);
                let early = now + wait.saturating_sub(2000);
                assert!(
                    ledger
                        .clone()
                        .take(early, process(1, Some(100)), urgency)
                        .is_err()
                );
                now += wait;
            }
            assert_eq!(
                ledger.take(now, process(1, Some(100)), urgency),
                Ok(()),
                "{urgency:?}"
            );
        }
    }
}

#[test]
fn who_is_less_urgent_leaves_something_over() {
    let mut ledger = ledger();
    let mut take = |urgency| drain(&mut ledger, START, Some(600), urgency);
    assert_eq!(take(Urgency::Bulk), 50);
    assert_eq!(take(Urgency::Background), 30);
    assert_eq!(take(Urgency::Prefetch), 20);
    assert_eq!(take(Urgency::Interactive), 100);
}

/// Ten minutes at 100 a minute. In the background, ahead and in bulk as much is wanted as there is; somebody looks into a
/// folder every three seconds, and now and then into ten.
#[test]
fn the_background_gets_at_most_half_and_nobody_who_waits_waits_for_it() {
    let pace = Some(100);
    let mut ledger = ledger();
    let mut had = [0_u32; 4];
    let mut wanted: Vec<u64> = Vec::new();
    let mut longest = 0;
    for tick in 0..6000_u64 {
        let now = START + tick * SECOND / 10;
        if tick % 30 == 0 {
            wanted.push(now);
        }
        if tick % 600 == 0 {
            wanted.extend([now; 10]);
        }
        while let Some(since) = wanted.first() {
            if ledger.take(now, process(1, pace), Urgency::Interactive).is_err() {
                break;
            }
            longest = longest.max(now - since);
            had[0] += 1;
            wanted.remove(0);
        }
        for urgency in [Urgency::Bulk, Urgency::Background, Urgency::Prefetch] {
            had[urgency.rank()] += drain(&mut ledger, now, pace, urgency);
        }
    }
    assert!(longest <= 2 * SECOND, "{longest}");
    assert_eq!(had[0], 300);
    let shared = had[1] + had[2];
    // Half of ten minutes, and half a bucket it began with.
    assert!((480..=517).contains(&shared), "{had:?}");
    assert!(had[3] >= 150, "what is left over is used: {had:?}");
}

#[test]
fn the_strictest_pace_that_asks_holds_for_all_and_is_over_with_it() {
    let mut ledger = ledger();
    let minute = |now: u64, ledger: &Ledger| ledger.limit(now).map(|limit| limit.per_minute);
    ledger.note(process(1, None), START);
    assert_eq!(minute(START, &ledger), None);
    assert_eq!(drain(&mut ledger, START, None, Urgency::Bulk), 10_000);
    ledger.note(process(2, Some(600)), START);
    assert_eq!(minute(START, &ledger), Some(600.0));
    ledger.note(process(3, Some(100)), START);
    assert_eq!(minute(START, &ledger), Some(100.0));
    let later = START + 61 * SECOND;
    ledger.note(process(1, None), later);
    assert_eq!(minute(later, &ledger), None);
    assert_eq!(ledger.processes(later).count(), 1);
    for pid in 10..100 {
        ledger.note(process(pid, None), later);
    }
    assert!(ledger.is_sound());
}

#[test]
fn a_refusal_stops_everybody_and_lowers_the_rate_which_recovers_slowly() {
    let mut ledger = ledger();
    let pace = Some(600);
    for second in 0..60 {
        let now = START + second * SECOND;
        for _ in 0..10 {
            ledger.take(now, process(1, pace), Urgency::Interactive).unwrap();
        }
    }
    let refused = START + 60 * SECOND;
    // A storm of them is one lesson.
    for _ in 0..20 {
        ledger.refused(refused, Duration::from_secs(30));
    }
    // Four fifths of what was used, as far as slots of five seconds tell.
    let learned = ledger.learned(refused).unwrap();
    assert!((430.0..=480.0).contains(&learned), "{learned}");
    let wait = ledger
        .take(refused + 10 * SECOND, process(2, pace), Urgency::Interactive)
        .unwrap_err();
    assert_eq!(wait.held, Duration::from_secs(20));
    assert!(wait.least > wait.held);
    // Nothing came in meanwhile.
    let over = refused + 30 * SECOND;
    let wait = ledger
        .take(over, process(2, pace), Urgency::Interactive)
        .unwrap_err();
    assert!(
        wait.held.is_zero() && wait.least <= Duration::from_millis(140),
        "{wait:?}"
    );
    let per_minute = |minutes: u64| ledger.limit(refused + minutes * 60 * SECOND).unwrap().per_minute;
    for (minutes, faded) in [(4, 1.0), (5, 1.1), (9, 1.1), (10, 1.21)] {
        assert!((per_minute(minutes) - learned * faded).abs() < 0.1);
    }
    assert!((per_minute(60) - 600.0).abs() < 0.1);
}

#[test]
fn lessons_halve_at_most_and_end_at_ten_a_minute() {
    let mut ledger = ledger();
    let mut now = START;
    ledger.note(process(1, Some(600)), now);
    for expected in [300.0, 150.0, 75.0, 37.5, 18.75, 10.0, 10.0] {
        ledger.note(process(1, Some(600)), now);
        ledger.refused(now, Duration::ZERO);
        assert_eq!(ledger.learned(now), Some(expected));
        now += 11 * SECOND;
    }
    // Every urgency still gets its turn, in the end.
    for urgency in Urgency::ALL {
        let later = now + 60 * SECOND;
        assert!(ledger.clone().take(later, process(1, Some(600)), urgency).is_ok());
    }
    // Without a limit of our own, too; and it is forgotten one day.
    let mut ledger = super::tests::ledger();
    ledger.note(process(1, None), START);
    ledger.refused(START, Duration::from_secs(86_400));
    assert_eq!(ledger.held(START), LONGEST_HOLD);
    assert_eq!(ledger.learned(START), Some(300.0));
    let day = START + 86_400 * SECOND;
    ledger.note(process(1, None), day);
    assert_eq!(ledger.limit(day), None);
}

#[test]
fn use_is_told_for_the_last_minute_by_urgency() {
    let mut ledger = ledger();
    for urgency in [Urgency::Interactive, Urgency::Interactive, Urgency::Bulk] {
        ledger.take(START, process(1, None), urgency).unwrap();
    }
    assert_eq!(ledger.used(START + 50 * SECOND), [2, 0, 0, 1]);
    assert_eq!(ledger.used(START + 61 * SECOND), [0; 4]);
}

#[test]
fn a_clock_that_goes_back_or_far_ahead_gives_nothing_away() {
    let mut ledger = ledger();
    assert_eq!(drain(&mut ledger, START, Some(100), Urgency::Interactive), 33);
    assert_eq!(
        drain(
            &mut ledger,
            START - 3600 * SECOND,
            Some(100),
            Urgency::Interactive
        ),
        0
    );
    assert_eq!(drain(&mut ledger, u64::MAX, Some(100), Urgency::Interactive), 33);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whoever asks for whatever whenever: in no span of time more goes out than a burst and what came in.
    #[test]
    fn never_more_than_a_burst_and_what_comes_in(
        steps in prop::collection::vec((0_u64..5_000_000, 0_u32..4, 0_usize..4, 1_usize..40), 1..200)
    ) {
        let mut ledger = ledger();
        let mut now = START;
        let mut sent: Vec<(u64, Urgency)> = Vec::new();
        for (pause, pid, urgency, wanted) in steps {
            now += pause;
            let urgency = Urgency::ALL[urgency];
            for _ in 0..wanted {
                if ledger.take(now, process(pid, Some(100)), urgency).is_ok() {
                    sent.push((now, urgency));
                }
            }
        }
        let limit = Limit::of(100.0);
        let fits = |sent: &[u64], per_minute: f64, burst: f64| {
            sent.iter().enumerate().all(|(first, begin)| {
                sent[first..].iter().zip(1_u32..).all(|(end, count)| {
                    let minutes = Duration::from_micros(end - begin).as_secs_f64() / 60.0;
                    f64::from(count) <= burst + per_minute * minutes + 1e-6
                })
            })
        };
        let all: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
        prop_assert!(fits(&all, limit.per_minute, limit.burst));
        let shared: Vec<u64> = sent
            .iter()
            .filter(|(_, urgency)| matches!(urgency, Urgency::Prefetch | Urgency::Background))
            .map(|(at, _)| *at)
            .collect();
        prop_assert!(fits(&shared, limit.per_minute / 2.0, limit.burst / 2.0));
    }
}
