//! Two sessions and the network between them, on a clock of their own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::packet::LENGTH;

/// A packet under way: when it arrives, a number that keeps the order, for whom, and what.
type UnderWay = (Instant, u64, usize, [u8; LENGTH]);

struct Pair {
    now: Instant,
    began: Instant,
    sessions: [Session; 2],
    wire: BinaryHeap<Reverse<UnderWay>>,
    number: u64,
    delay: Duration,
    /// Packets to this side are lost.
    deaf: [bool; 2],
    /// Every so many packets one is lost; 0: none.
    lossy: u64,
    changes: Vec<(Duration, usize, State)>,
    bridged: [bool; 2],
    traffic: u64,
}

impl Pair {
    fn new(configs: [Config; 2], seed: u64) -> Self {
        let now = origin();
        let [first, second] = configs;
        Self {
            now,
            began: now,
            sessions: [Session::new(now, first, 1, seed), Session::new(now, second, 2, seed.wrapping_add(1))],
            wire: BinaryHeap::new(),
            number: 0,
            delay: 2 * MS,
            deaf: [false; 2],
            lossy: 0,
            changes: Vec::new(),
            bridged: [false; 2],
            traffic: 0,
        }
    }

    fn feed(&mut self, side: usize, input: Input) {
        for output in self.sessions[side].handle(self.now, input) {
            match output {
                Output::Send(packet) => {
                    self.number += 1;
                    self.traffic += 1;
                    let lost = self.lossy != 0 && self.number.is_multiple_of(self.lossy);
                    if !self.deaf[1 - side] && !lost {
                        let arrival = (self.now + self.delay, self.number, 1 - side, packet.encode());
                        self.wire.push(Reverse(arrival));
                    }
                }
                Output::Changed { to, .. } => self.changes.push((self.now - self.began, side, to)),
                Output::Bridged => self.bridged[side] = true,
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.wire.peek().map(|Reverse((at, ..))| *at);
            let timers = self.sessions.iter().filter_map(Session::next_deadline);
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some(Reverse((_, _, side, bytes))) = self.wire.pop() else { unreachable!() };
                let packet = Packet::decode(&bytes).unwrap();
                assert!([0, self.sessions[side].discriminator()].contains(&packet.your_discriminator));
                self.feed(side, Input::Packet(packet));
            } else {
                self.feed(0, Input::Timer);
                self.feed(1, Input::Timer);
            }
        }
        self.now = end;
    }

    fn states(&self) -> [State; 2] {
        [self.sessions[0].state(), self.sessions[1].state()]
    }
}

const UP: [State; 2] = [State::Up, State::Up];

#[test]
fn two_come_up_within_two_slow_intervals_and_stay_up() {
    for seed in 0..200 {
        let mut pair = Pair::new([config(), config()], seed);
        pair.run(2 * SLOW);
        assert_eq!(pair.states(), UP, "seed {seed}");
        pair.changes.clear();
        pair.traffic = 0;
        pair.run(10 * SLOW);
        assert_eq!(pair.changes, [], "seed {seed}");
        // 50 ms less 12.5 % on average, both ways.
        assert!((400..=540).contains(&pair.traffic), "{} packets in 10 s", pair.traffic);
    }
}

#[test]
fn a_cut_is_detected_by_both_within_three_intervals() {
    for seed in 0..200 {
        let mut pair = Pair::new([config(), config()], seed);
        pair.run(5 * SLOW);
        let cut = pair.now - pair.began;
        pair.deaf = [true; 2];
        pair.changes.clear();
        pair.run(SLOW);
        let [(first, _, State::Down), (second, _, State::Down)] = pair.changes[..] else {
            panic!("{:?}", pair.changes)
        };
        for at in [first, second] {
            // From the last packet, which was at most one interval before.
            assert!((100 * MS..=152 * MS).contains(&(at - cut)), "{:?}", at - cut);
        }
        pair.deaf = [false; 2];
        pair.run(3 * SLOW);
        assert_eq!(pair.states(), UP);
    }
}

/// RFC 5880 section 6.2: the one who hears says that it is not heard.
#[test]
fn a_one_way_failure_takes_both_down() {
    let mut pair = Pair::new([config(), config()], 1);
    pair.run(5 * SLOW);
    pair.deaf = [false, true];
    pair.run(200 * MS);
    assert_eq!(pair.states(), [State::Down, State::Down]);
    assert_eq!(pair.sessions[0].diagnostic(), Diagnostic::NEIGHBOUR_DOWN);
    assert_eq!(pair.sessions[1].diagnostic(), Diagnostic::EXPIRED);
    pair.run(2 * SLOW);
    assert_eq!(pair.states(), [State::Init, State::Down], "one hears, and is not heard");
}

#[test]
fn single_losses_are_no_failure() {
    let mut pair = Pair::new([config(), config()], 1);
    pair.run(5 * SLOW);
    pair.lossy = 5;
    pair.changes.clear();
    pair.run(60 * SLOW);
    assert_eq!(pair.changes, []);
}

#[test]
fn timers_are_renegotiated_without_a_flap() {
    for seed in 0..50 {
        let mut pair = Pair::new([config(), config()], seed);
        pair.lossy = 7;
        pair.run(5 * SLOW);
        pair.changes.clear();
        let slow = Config { min_tx: 700 * MS, min_rx: 600 * MS, multiplier: 2, passive: false };
        for config in [slow, config(), slow] {
            pair.lossy = 0;
            pair.feed(0, Input::Reconfigure(config));
            pair.run(5 * SLOW);
        }
        assert_eq!(pair.changes, [], "seed {seed}");
        let [first, second] = &pair.sessions;
        assert_eq!((first.transmit_interval(), first.detection_time()), (700 * MS, 3 * 600 * MS));
        assert_eq!((second.transmit_interval(), second.detection_time()), (600 * MS, 2 * 700 * MS));
    }
}

#[test]
fn a_passive_one_is_woken_by_an_active_one_and_two_passive_ones_never() {
    let passive = Config { passive: true, ..config() };
    let mut pair = Pair::new([config(), passive], 1);
    pair.run(3 * SLOW);
    assert_eq!(pair.states(), UP);
    let mut pair = Pair::new([passive, passive], 1);
    pair.run(10 * SLOW);
    assert_eq!((pair.states(), pair.traffic), ([State::Down; 2], 0));
}

#[test]
fn an_order_is_told_apart_from_a_failure() {
    let mut pair = Pair::new([config(), config()], 1);
    pair.run(5 * SLOW);
    pair.feed(0, Input::Disable);
    pair.run(10 * MS);
    assert!(pair.sessions[0].is_end_known());
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    assert_eq!(pair.sessions[1].remote().state, State::AdminDown);
    pair.feed(0, Input::Enable);
    pair.run(3 * SLOW);
    assert_eq!(pair.states(), UP);
}

/// A restart of a second, with a detection time of 150 ms.
#[test]
fn the_neighbour_of_a_process_that_is_replaced_notices_nothing() {
    for seed in 0..100 {
        let mut pair = Pair::new([config(), config()], seed);
        pair.run(5 * SLOW);
        pair.changes.clear();
        pair.feed(0, Input::Bridge);
        pair.run(100 * MS);
        assert!(pair.bridged[0]);
        let saved = pair.sessions[0].save();
        // Nobody is there: its timers are not looked at, and what comes is lost.
        pair.deaf = [true, false];
        pair.wire.retain(|Reverse((_, _, side, _))| *side != 0);
        pair.sessions[0] = Session::new(pair.now, Config { passive: true, ..config() }, 1, seed);
        pair.run(SLOW);
        pair.deaf = [false; 2];
        pair.sessions[0] = Session::adopt(pair.now, config(), &saved, seed);
        pair.run(5 * SLOW);
        assert_eq!(pair.changes, [], "seed {seed}");
        assert_eq!(pair.sessions[1].detection_time(), 150 * MS, "the shorter interval is back");
    }
}
