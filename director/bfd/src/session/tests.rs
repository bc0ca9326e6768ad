//! One session by itself; `pair` has two that talk to each other.

mod pair;

use proptest::prelude::*;

use super::*;
use crate::packet::tests::any_packet;

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "an origin, never compared with the real clock")]
fn origin() -> Instant {
    Instant::now()
}

fn config() -> Config {
    Config { min_tx: 50 * MS, min_rx: 50 * MS, multiplier: 3, passive: false }
}

fn session(now: Instant) -> Session {
    Session::new(now, config(), 7, 1)
}

/// A packet of a neighbour that wants 100 ms both ways.
fn heard(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 4,
        my_discriminator: 99,
        your_discriminator: 7,
        desired_min_tx: 100 * MS,
        required_min_rx: 100 * MS,
        required_min_echo_rx: Duration::ZERO,
    }
}

fn sent(outputs: &[Output]) -> Vec<Packet> {
    let packet = |output: &Output| if let Output::Send(packet) = output { Some(*packet) } else { None };
    outputs.iter().filter_map(packet).collect()
}

/// A session that is up, with its poll sequence answered.
fn up(now: Instant) -> Session {
    let mut session = session(now);
    session.handle(now, Input::Packet(heard(State::Down)));
    session.handle(now, Input::Packet(heard(State::Up)));
    session.handle(now, Input::Packet(Packet { is_final: true, ..heard(State::Up) }));
    assert_eq!(session.state(), State::Up);
    assert_eq!(session.poll, Poll::Idle);
    session
}

/// In this state, after `heard` packets.
fn in_state(now: Instant, state: State) -> Session {
    let mut session = session(now);
    match state {
        State::Down => {}
        State::AdminDown => drop(session.handle(now, Input::Disable)),
        State::Init => drop(session.handle(now, Input::Packet(heard(State::Down)))),
        State::Up => return up(now),
    }
    assert_eq!(session.state(), state);
    session
}

/// The whole table of RFC 5880 section 6.8.6, and the diagnostics that belong to it.
#[test]
fn every_state_answers_every_state_as_the_rfc_says() {
    use State::{AdminDown, Down, Init, Up};
    let neighbour = Diagnostic::NEIGHBOUR_DOWN;
    let table = [
        (Down, [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Down)]),
        (Init, [(AdminDown, Down), (Down, Init), (Init, Up), (Up, Up)]),
        (Up, [(AdminDown, Down), (Down, Down), (Init, Up), (Up, Up)]),
        (AdminDown, [(AdminDown, AdminDown), (Down, AdminDown), (Init, AdminDown), (Up, AdminDown)]),
    ];
    let now = origin();
    for (from, row) in table {
        for (says, to) in row {
            let mut session = in_state(now, from);
            let outputs = session.handle(now, Input::Packet(heard(says)));
            assert_eq!(session.state(), to, "{from} hears {says}");
            let diagnostic = if to == Down { neighbour } else { Diagnostic::NONE };
            let change = (from != to).then_some(Output::Changed { from, to, diagnostic });
            assert_eq!(outputs.first().copied(), change, "{from} hears {says}");
            // A change is told at once, in the new state.
            let states: Vec<_> = sent(&outputs).iter().map(|packet| packet.state).collect();
            assert_eq!(states, change.map(|_| to).into_iter().collect::<Vec<_>>(), "{from} hears {says}");
        }
    }
}

#[test]
fn a_silent_neighbour_is_detected_after_its_multiple_of_the_slower_interval() {
    let now = origin();
    let mut session = up(now);
    assert_eq!(session.detection_time(), 400 * MS, "4 of its 100 ms, which are longer than our 50");
    let outputs = session.handle(now + 399 * MS, Input::Timer);
    assert!(outputs.iter().all(|output| matches!(output, Output::Send(_))));
    let outputs = session.handle(now + 400 * MS, Input::Timer);
    let (from, to, diagnostic) = (State::Up, State::Down, Diagnostic::EXPIRED);
    assert_eq!(outputs[0], Output::Changed { from, to, diagnostic });
    let [packet] = sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((packet.state, packet.diagnostic), (State::Down, Diagnostic::EXPIRED));
    assert_eq!(packet.your_discriminator, 0, "RFC 5880 section 6.8.1: it is not known any more");
    assert_eq!(session.counters().expirations, 1);
    assert_eq!(session.counters().downs, 1);
}

#[test]
fn packets_are_slow_until_the_session_is_up() {
    let now = origin();
    let mut session = Session::new(now, config(), 7, 1);
    assert_eq!(session.next_deadline(), Some(now));
    let [first] = sent(&session.handle(now, Input::Timer))[..] else { panic!("one packet") };
    assert_eq!(first.desired_min_tx, SLOW);
    assert_eq!(session.transmit_interval(), SLOW);
    let outputs = session.handle(now, Input::Packet(heard(State::Init)));
    let [first] = sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((first.desired_min_tx, first.poll), (50 * MS, true), "the change is polled");
    assert_eq!(session.transmit_interval(), 100 * MS, "the neighbour bears no less");
}

#[test]
fn intervals_are_shortened_at_random_by_at_most_a_quarter() {
    let now = origin();
    for (multiplier, most) in [(3, 1000), (1, 900)] {
        let mut session = up(now);
        session.handle(now, Input::Reconfigure(Config { multiplier, ..config() }));
        session.handle(now + 100 * MS, Input::Timer);
        let mut last = now + 100 * MS;
        let mut gaps = Vec::new();
        while gaps.len() < 500 {
            let at = session.next_deadline().unwrap();
            session.handle(at, Input::Packet(heard(State::Up)));
            if !sent(&session.handle(at, Input::Timer)).is_empty() {
                gaps.push((at - last).as_micros());
                last = at;
            }
        }
        let (shortest, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!((75_000..77_000).contains(shortest), "{shortest} us");
        assert!((98 * most..=100 * most).contains(longest), "{longest} us");
    }
}

#[test]
fn a_poll_is_answered_at_once_whatever_the_interval() {
    let now = origin();
    let mut session = up(now);
    let before = session.send_at;
    let outputs = session.handle(now + MS, Input::Packet(Packet { poll: true, ..heard(State::Up) }));
    let [answer] = sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(answer.is_final && !answer.poll);
    assert_eq!(session.send_at, before, "the next periodic packet is as late as before");
}

/// RFC 5880 section 6.8.3.
#[test]
fn slower_sending_and_faster_detection_wait_for_the_answer() {
    let now = origin();
    let mut session = up(now);
    let slower = Config { min_tx: 400 * MS, ..config() };
    session.handle(now, Input::Reconfigure(slower));
    assert_eq!(session.transmit_interval(), 100 * MS);
    let [packet] = sent(&session.handle(now + 100 * MS, Input::Timer))[..] else { panic!("one packet") };
    assert_eq!((packet.poll, packet.desired_min_tx), (true, 400 * MS));
    session.handle(now + 101 * MS, Input::Packet(Packet { is_final: true, ..heard(State::Up) }));
    assert_eq!(session.transmit_interval(), 400 * MS);

    let mut session = up(now);
    session.handle(now, Input::Reconfigure(Config { min_rx: 500 * MS, ..config() }));
    assert_eq!(session.detection_time(), 2000 * MS, "slower detection at once");
    session.handle(now, Input::Packet(Packet { is_final: true, ..heard(State::Up) }));
    session.handle(now, Input::Reconfigure(config()));
    assert_eq!(session.detection_time(), 2000 * MS, "faster detection not before the neighbour knows");
    session.handle(now, Input::Packet(Packet { is_final: true, ..heard(State::Up) }));
    assert_eq!(session.detection_time(), 400 * MS);
}

#[test]
fn an_answer_to_an_earlier_poll_does_not_end_the_next() {
    let now = origin();
    let mut session = up(now);
    session.handle(now, Input::Reconfigure(Config { min_tx: 300 * MS, ..config() }));
    session.handle(now, Input::Reconfigure(Config { min_tx: 600 * MS, ..config() }));
    let answer = Packet { is_final: true, ..heard(State::Up) };
    session.handle(now, Input::Packet(answer));
    assert_eq!(session.transmit_interval(), 100 * MS);
    session.handle(now, Input::Packet(answer));
    assert_eq!(session.transmit_interval(), 600 * MS);
}

/// RFC 5880 section 6.8.3: "the local system MUST honor the new interval immediately".
#[test]
fn a_neighbour_that_bears_more_gets_it_at_once() {
    let now = origin();
    let mut session = up(now);
    let slow = Packet { required_min_rx: 10 * SLOW, ..heard(State::Up) };
    session.handle(now + MS, Input::Packet(slow));
    assert!(session.send_at.unwrap() >= now + 7 * SLOW);
    session.handle(now + 300 * MS, Input::Packet(heard(State::Up)));
    assert!(session.send_at.unwrap() <= now + 300 * MS, "it is due already");
}

#[test]
fn a_neighbour_that_wants_no_packets_gets_none_but_answers() {
    let now = origin();
    for quiet in [
        Packet { required_min_rx: Duration::ZERO, ..heard(State::Up) },
        Packet { demand: true, ..heard(State::Up) },
    ] {
        let mut session = up(now);
        session.handle(now, Input::Packet(quiet));
        assert_eq!(session.send_at, None);
        assert!(session.next_deadline().is_some(), "its silence is still detected");
        let outputs = session.handle(now, Input::Packet(Packet { poll: true, ..quiet }));
        assert!(sent(&outputs)[0].is_final);
    }
}

#[test]
fn a_passive_session_speaks_when_spoken_to() {
    let now = origin();
    let mut session = Session::new(now, Config { passive: true, ..config() }, 7, 1);
    assert_eq!(session.next_deadline(), None);
    assert!(session.handle(now + SLOW, Input::Timer).is_empty());
    let outputs = session.handle(now + SLOW, Input::Packet(heard(State::Down)));
    assert_eq!(sent(&outputs)[0].state, State::Init);
    // The neighbour is gone: silence again.
    let outputs = session.handle(now + 10 * SLOW, Input::Timer);
    assert_eq!(session.state(), State::Down);
    assert!(sent(&outputs).is_empty());
    assert_eq!(session.next_deadline(), None);
}

#[test]
fn an_end_by_order_is_told_until_it_is_known() {
    let now = origin();
    let mut session = up(now);
    let outputs = session.handle(now, Input::Disable);
    let [packet] = sent(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((packet.state, packet.diagnostic), (State::AdminDown, Diagnostic::ADMINISTRATIVE));
    assert!(!session.is_end_known());
    assert!(session.next_deadline().unwrap() <= now + SLOW, "told again");
    session.handle(now, Input::Packet(heard(State::Down)));
    assert!(session.is_end_known());
    assert_eq!(session.state(), State::AdminDown);
    assert_eq!(session.counters().downs, 0);

    let mut session = up(now);
    session.handle(now, Input::Disable);
    session.handle(now + 400 * MS, Input::Timer);
    assert!(session.is_end_known(), "there is nobody left to know it");
    session.handle(now + SLOW, Input::Enable);
    assert_eq!(session.state(), State::Down);
}

#[test]
fn a_neighbour_is_made_to_wait_before_another_process_goes_on() {
    let now = origin();
    let mut session = up(now);
    assert_eq!(session.handle(now, Input::Bridge), []);
    let [packet] = sent(&session.handle(now + 100 * MS, Input::Timer))[..] else { panic!("one packet") };
    assert_eq!((packet.poll, packet.desired_min_tx), (true, SLOW));
    let outputs =
        session.handle(now + 101 * MS, Input::Packet(Packet { is_final: true, ..heard(State::Up) }));
    assert_eq!(outputs, [Output::Bridged]);
    let text = serde_json::to_string(&session.save()).unwrap();

    let later = now + 900 * MS;
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let mut next = Session::adopt(later, config(), &saved, 2);
    assert_eq!((next.state(), next.discriminator()), (State::Up, 7));
    assert_eq!(next.detection_time(), 400 * MS);
    assert_eq!(next.next_deadline(), Some(later), "heard from at once");
    let [packet] = sent(&next.handle(later, Input::Timer))[..] else { panic!("one packet") };
    assert_eq!((packet.your_discriminator, packet.poll, packet.desired_min_tx), (99, true, 50 * MS));
    next.handle(later + 400 * MS, Input::Timer);
    assert_eq!(next.state(), State::Down, "who does not come back is detected as ever");
}

#[test]
fn a_session_that_is_not_up_is_passed_on_at_once() {
    let now = origin();
    for state in [State::Down, State::Init, State::AdminDown] {
        let mut session = in_state(now, state);
        assert_eq!(session.handle(now, Input::Bridge), [Output::Bridged], "{state}");
        assert_eq!(Session::adopt(now, config(), &session.save(), 2).state(), state);
    }
}

/// What an older release has written, and one that adds fields.
#[test]
fn saved_sessions_of_other_releases_are_read() {
    let text = r#"{"discriminator":7,"state":"up","diagnostic":0,"remote-discriminator":99,"remote-state":"up",
        "remote-min-tx":100000,"remote-min-rx":100000,"remote-multiplier":4,"desired-min-tx":1000000,
        "required-min-rx":50000,"of-a-later-release":true}"#;
    let saved: Saved = serde_json::from_str(text).unwrap();
    assert_eq!(Session::adopt(origin(), config(), &saved, 2).detection_time(), 400 * MS);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u32),
    Do(Input),
}

fn any_step() -> impl Strategy<Value = Step> {
    let config =
        (10_u32..3000, 10_u32..3000, 1_u8..6, any::<bool>()).prop_map(|(tx, rx, multiplier, passive)| {
            Config { min_tx: MS * tx, min_rx: MS * rx, multiplier, passive }
        });
    prop_oneof![
        4 => (0_u32..5000).prop_map(Step::Wait),
        6 => any_packet().prop_map(|packet| Step::Do(Input::Packet(packet))),
        4 => Just(Step::Do(Input::Timer)),
        1 => config.prop_map(|config| Step::Do(Input::Reconfigure(config))),
        1 => Just(Step::Do(Input::Disable)),
        1 => Just(Step::Do(Input::Enable)),
        1 => Just(Step::Do(Input::Bridge)),
    ]
}

proptest! {
    /// Whatever comes in whatever order: what is sent is valid, changes are told as they happen, nothing is due for
    /// ever, and a session that is up has heard its neighbour.
    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(steps in prop::collection::vec(any_step(), 1..200)) {
        let mut now = origin();
        let mut session = session(now);
        for step in steps {
            let input = match step {
                Step::Wait(millis) => {
                    now += MS * millis;
                    continue;
                }
                Step::Do(input) => input,
            };
            let mut state = session.state();
            for output in session.handle(now, input) {
                match output {
                    Output::Send(packet) => {
                        prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
                        prop_assert!(!(packet.poll && packet.is_final));
                        prop_assert!(packet.state == State::Up || packet.desired_min_tx >= SLOW);
                        prop_assert_eq!(packet.state, state);
                    }
                    Output::Changed { from, to, .. } => {
                        prop_assert_eq!(from, state);
                        prop_assert_ne!(from, to);
                        state = to;
                    }
                    Output::Bridged => {}
                }
            }
            prop_assert_eq!(session.state(), state);
            if matches!(state, State::Up | State::Init) {
                prop_assert_ne!(session.remote().discriminator, 0);
                prop_assert!(session.detection_deadline().is_some());
            }
            if matches!(input, Input::Timer) {
                prop_assert!(session.next_deadline().is_none_or(|at| at > now || session.transmit_interval().is_zero()));
            }
            let saved = session.save();
            let text = serde_json::to_string(&saved).unwrap();
            let read: Saved = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &saved);
            prop_assert_eq!(Session::adopt(now, config(), &read, 3).state(), state);
        }
    }
}
