use proptest::prelude::*;

use super::*;

fn pass() -> Outcome {
    Outcome::Pass("ok".into())
}

fn fail() -> Outcome {
    Outcome::Fail("no".into())
}

fn unclear() -> Outcome {
    Outcome::Inconclusive("busy".into())
}

#[test]
fn first_pass_is_a_verdict() {
    assert_eq!(Judge::new(5, 5).observe(&pass()), Health::Up);
}

#[test]
fn a_lost_probe_after_a_restart_is_no_verdict() {
    let mut judge = Judge::new(2, 2);
    assert_eq!(judge.observe(&fail()), Health::Unknown);
    assert_eq!(judge.observe(&pass()), Health::Up);
    let mut judge = Judge::new(2, 2);
    judge.observe(&fail());
    assert_eq!(judge.observe(&fail()), Health::Down);
}

#[test]
fn rise_and_fall_count_rows() {
    let mut judge = Judge::new(3, 2);
    let steps = [
        (pass(), Health::Up),
        (fail(), Health::Up),
        (pass(), Health::Up),
        (fail(), Health::Up),
        (unclear(), Health::Up),
        (fail(), Health::Down),
        (pass(), Health::Down),
        (pass(), Health::Down),
        (fail(), Health::Down),
        (pass(), Health::Down),
        (pass(), Health::Down),
        (unclear(), Health::Down),
        (pass(), Health::Up),
    ];
    for (index, (outcome, health)) in steps.iter().enumerate() {
        assert_eq!(judge.observe(outcome), *health, "step {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The rules of the type's documentation, restated over the history instead of a counter.
    #[test]
    fn verdicts_follow_from_the_history(
        rise in 1u32..5,
        fall in 1u32..5,
        probes in proptest::collection::vec(0u8..3, 0..60),
    ) {
        let mut judge = Judge::new(rise, fall);
        let mut conclusive: Vec<bool> = Vec::new();
        let mut before = Health::Unknown;
        for kind in probes {
            let outcome = [fail(), pass(), unclear()][usize::from(kind)].clone();
            let after = judge.observe(&outcome);
            prop_assert_eq!(after, judge.health());
            if kind == 2 {
                prop_assert_eq!(after, before);
                continue;
            }
            conclusive.push(kind == 1);
            let row = |passed: bool| conclusive.iter().rev().take_while(|p| **p == passed).count() as u32;
            let expected = match before {
                Health::Unknown if row(true) > 0 => Health::Up,
                Health::Unknown | Health::Up if row(false) >= fall => Health::Down,
                Health::Down if row(true) >= rise => Health::Up,
                unchanged => unchanged,
            };
            prop_assert_eq!(after, expected);
            before = after;
        }
    }

    /// Whatever came before, a lasting state of the server becomes the verdict within its threshold.
    #[test]
    fn verdicts_converge(
        rise in 1u32..6,
        fall in 1u32..6,
        noise in proptest::collection::vec(any::<bool>(), 0..40),
        settled in any::<bool>(),
    ) {
        let mut judge = Judge::new(rise, fall);
        for passed in noise {
            judge.observe(&if passed { pass() } else { fail() });
        }
        let (outcome, steps, health) =
            if settled { (pass(), rise, Health::Up) } else { (fail(), fall, Health::Down) };
        for _ in 0..steps {
            judge.observe(&outcome);
        }
        prop_assert_eq!(judge.health(), health);
    }
}
