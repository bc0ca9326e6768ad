use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn one_probe_a_second_is_one_a_second() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, SECOND, 0.3);
    schedule.advance(start + MS * 40, true, false);
    let first = schedule.next();
    for n in 1..=100u32 {
        let due = schedule.next();
        schedule.advance(due + MS * 137, true, false);
        assert_eq!(schedule.next(), first + SECOND * n);
    }
}

#[test]
fn undecided_checks_hurry() {
    let start = Instant::now();
    for (every, retry) in
        [(SECOND * 2, MS * 400), (SECOND * 60, SECOND), (MS * 500, MS * 200), (MS * 50, MS * 50)]
    {
        let mut schedule = Schedule::new(start, every, 0.9);
        schedule.advance(start + MS, false, false);
        assert_eq!(schedule.next(), start + retry, "every {every:?}");
    }
}

#[test]
fn a_probe_longer_than_the_interval_skips_and_stays_on_the_grid() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, SECOND, 0.0);
    schedule.advance(start, true, false);
    let due = schedule.next();
    schedule.advance(due + MS * 3500, true, false);
    assert_eq!(schedule.next(), due + SECOND * 4);
}

#[test]
fn first_probes_come_soon_but_not_together() {
    assert_eq!(first_delay(0, 1, SECOND), Duration::ZERO);
    assert!(first_delay(3, 4, SECOND * 60) < MS * 4, "a small cluster starts at once");
    let delays: Vec<_> = (0..10_000).map(|n| first_delay(n, 10_000, SECOND * 2)).collect();
    assert!(delays.iter().all(|d| *d < SECOND));
    assert!(delays.windows(10).all(|w| w[9] - w[0] <= MS), "at most ten start in one millisecond");
    assert!(first_delay(9_999, 10_000, MS * 100) < MS * 100);
}

#[test]
fn phases_spread_any_number_of_checks() {
    for count in [10u64, 1000, 10_000] {
        let mut tenths = [0u64; 10];
        for n in 1..=count {
            tenths[(phase(n) * 10.0) as usize] += 1;
        }
        let fair = count / 10;
        assert!(tenths.iter().all(|t| t.abs_diff(fair) <= 1 + fair / 10), "{count}: {tenths:?}");
    }
}

#[test]
fn doubt_is_settled_at_its_own_pace() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, SECOND * 10, 0.0).retry_every(Some(SECOND));
    schedule.advance(start, true, false);
    let due = schedule.next();
    schedule.advance(due + MS * 10, true, true);
    assert_eq!(schedule.next(), due + SECOND, "a failure is followed up");
    schedule.advance(due + SECOND, true, true);
    assert_eq!(schedule.next(), due + SECOND * 2);
    schedule.advance(due + SECOND * 2, true, false);
    assert_eq!(schedule.next(), due + SECOND * 20, "and then back to the grid");
}

#[test]
fn jitter_delays_but_does_not_add_up() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, SECOND, 0.5).jitter(MS * 500);
    let mut delays = Vec::new();
    for n in 1..200u32 {
        schedule.advance(schedule.next(), true, false);
        let since = schedule.next() - start;
        let grid = MS * 500 + SECOND * (since.as_millis() as u32 / 1000);
        let delay = since.checked_sub(grid).expect("never before its time");
        assert!(delay < MS * 500 && since < SECOND * (n + 1), "probe {n} after {since:?}");
        delays.push(delay);
    }
    assert!(delays.iter().any(|delay| *delay < MS * 50) && delays.iter().any(|delay| *delay > MS * 450));
}

#[test]
fn checks_share_ticks_and_keep_their_pace() {
    let start = Instant::now();
    let clock = Clock { origin: start, tick: MS * 10 };
    let mut due = std::collections::BTreeMap::<_, usize>::new();
    for n in 0..1000 {
        let first = start + first_delay(n, 1000, SECOND);
        let mut schedule = Schedule::new(first, SECOND, phase(n as u64)).clock(clock);
        assert!(schedule.next() >= first && schedule.next() - first < MS * 10);
        schedule.advance(schedule.next() + MS, true, false);
        let second = schedule.next();
        schedule.advance(second + MS * 3, true, false);
        assert_eq!(schedule.next(), second + SECOND, "an interval of whole ticks is kept to the nanosecond");
        *due.entry(schedule.next() - start).or_default() += 1;
    }
    assert!(due.keys().all(|at| at.as_nanos() % 10_000_000 == 0), "{due:?}");
    assert!(due.values().all(|together| *together < 30), "and yet they are spread: {due:?}");
}

#[test]
fn frequent_checks_have_finer_ticks() {
    let start = Instant::now();
    let clock = Clock { origin: start, tick: MS * 10 };
    let late = |every, at| Schedule::new(start + at, every, 0.0).clock(clock).next() - start;
    assert_eq!(late(MS * 200, Duration::from_micros(2500)), MS * 4);
    assert_eq!(late(MS * 20, Duration::from_micros(2500)), MS * 3);
    assert_eq!(late(SECOND * 60, Duration::from_micros(2500)), MS * 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn never_early_never_lost(
        every_ms in 10u64..20_000,
        phase in 0.0f64..1.0,
        probes in proptest::collection::vec((0u64..30_000, any::<bool>()), 1..40),
    ) {
        let start = Instant::now();
        let every = Duration::from_millis(every_ms);
        let mut schedule = Schedule::new(start, every, phase);
        let mut decided = false;
        for (took, verdict) in probes {
            let due = schedule.next();
            let ended = due + Duration::from_millis(took);
            let was = decided;
            decided |= verdict;
            schedule.advance(ended, decided, false);
            let next = schedule.next();
            prop_assert!(next >= ended);
            // Joining the grid costs up to half an interval more, once.
            let most = if was { every } else { every * 3 / 2 };
            prop_assert!(next - ended <= most);
            if was {
                prop_assert!(next - due >= every, "never more often than configured");
                prop_assert_eq!((next - due).as_nanos() % every.as_nanos(), 0, "start to start");
            } else {
                prop_assert!(next - due >= (every / 2).min(Duration::from_millis(200)));
            }
        }
    }
}
