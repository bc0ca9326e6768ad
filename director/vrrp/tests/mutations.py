#!/usr/bin/env python3
"""Breaks the state machine on purpose, one place at a time, and expects the tests to notice.

Each mutation replaces a piece of text, which must occur exactly once, in a copy of the sources; nothing of this is
ever part of a build that ships. A mutation that still compiles but turns no test red is a failure, and so is one
that no longer applies: then the list below needs an update.

    director/vrrp/tests/mutations.py            all of them, some minutes on two cores
    director/vrrp/tests/mutations.py tie skew   those whose name contains one of the words
    director/vrrp/tests/mutations.py --simulation
                                                only the simulated networks may notice

The last line is "N passed, N failed". The copies are built below $CARGO_TARGET_DIR (default: target/).
"""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CRATE = Path(__file__).resolve().parent.parent
ROOT = CRATE.parent.parent
CPU = 120  # seconds of processor time of a process; a mutated machine may never come to rest
TIMEOUT = 1200  # seconds; far more than that takes beside other work
MEMORY = 4 << 30  # bytes of address space for the compiler or the tests
AT_ONCE = 2  # mutations

TIMING, PACKET, GROUP = "timing.rs", "packet.rs", "group.rs"
ELECTION, HANDOVER, RECONFIGURE = "group/election.rs", "group/handover.rs", "group/reconfigure.rs"
ROUTER, PEERS, ANNOUNCER = "group/router.rs", "group/peers.rs", "group/announcer.rs"
HEADER, TRAILER, ADOPT = "auth/header.rs", "auth/trailer.rs", "group/adopt.rs"

# name, file below src/, text, replacement
MUTATIONS = [
    ("drop the skew", TIMING, "base * (256 - u32::from(priority)) / 256", "base * u32::from(priority) * 0"),
    ("v2 skew follows the interval", TIMING, "VrrpVersion::V2 => Duration::from_secs(1)", "VrrpVersion::V2 => interval"),
    ("two intervals to master-down", TIMING, "u32::from(patience.adverts) * interval + skew", "2 * interval + skew"),
    ("repeated goodbyes push the take-over out", TIMING, "self.cut.is_none_or(|(before, _)| at < before)", "at > self.from"),
    ("ignore the tie-break", GROUP, "rank > (self.priority(), source)", "rank.0 > self.priority()"),
    ("lose every tie", GROUP, "rank > (self.priority(), source)", "rank.0 >= self.priority()"),
    ("each network decides a tie for itself", ELECTION, "(!self.wins_tie_before(now, instance)).then_some((instance, *peer))", "Some((instance, *peer))"),
    ("a tie is lost to a router that is silent", ELECTION, "filter(|peer| !peer.down.is_late(now))", "filter(|_| true)"),
    ("a tie on a later network counts at once", ELECTION, "} else if instance == 0 {\n            self.step_down", "} else if instance < 9 {\n            self.step_down"),
    ("skip priority 0", ELECTION, "self.heard_resignation(now, instance, source);", "let _ = source;"),
    ("priority 0 of anybody counts", ELECTION, "others |= peer.down.until(patience, priority) > now;", "peer.down.cut(now + crate::timing::skew(patience.version, priority, peer.down.interval()), source);"),
    ("priority 0 takes effect at once", ELECTION, "peer.down.cut(now + skew, source);", "peer.down.cut(now + skew * 0, source);"),
    ("priority 0 says nothing about other networks", ELECTION, "self.resigned_elsewhere(now, instance, source, priority);", "let _ = priority;"),
    ("ignore higher priority as master", ELECTION, "Phase::Master if outranks => {", "Phase::Master if outranks && false => {"),
    ("ignore higher priority as backup", ELECTION, "if peer.priority >= self.priority() {", "if peer.priority > 254 {"),
    ("ignore equal priority as backup", ELECTION, "if peer.priority >= self.priority() {", "if peer.priority > self.priority() {"),
    ("no re-announcement", ELECTION, "router.announcer.restart_after_lower(now, &announce);", "let _ = announce;"),
    ("no advert to a lower master", ELECTION, "            self.send(now, instance, priority);\n        }\n        for router in &mut self.routers {\n            let announce", "            let _ = priority;\n        }\n        for router in &mut self.routers {\n            let announce"),
    ("each advert of a queue is answered", ELECTION, "now >= then + router.own_interval() / 10", "now >= then"),
    ("no last advert when yielding", ELECTION, "        for instance in 0..self.routers.len() {\n            self.send(now, instance, priority);\n        }\n        self.lower_since", "        let _ = priority;\n        self.lower_since"),
    ("the last advert sounds better than the master", ELECTION, "if to_lower { 0 } else { self.priority() }", "self.priority()"),
    ("keep the VIPs when yielding", ELECTION, "        self.place_all(Place::Lo);\n        self.parked_until", "        self.parked_until"),
    ("keep our own interval", PEERS, "DownTimer::new(now, interval)", "DownTimer::new(now, Duration::from_millis(100).max(interval * 0))"),
    ("adopt the interval of a master to be replaced", ELECTION, "            !self.preempts(now)\n        };", "            true\n        };"),
    ("forget better masters that are lower than the last", PEERS, "other.source != source && other.rank() > peer.rank()", "other.source != source && other.rank() > (255, peer.source)"),
    ("remember masters that yielded", PEERS, "other.source != source && other.rank() > peer.rank()", "other.source != source"),
    ("preempt although told not to", GROUP, "(Preempt::Never, _) | (Preempt::After(_), None) => Some(gone),", "(Preempt::Never, _) | (Preempt::After(_), None) => None,"),
    ("never preempt", GROUP, "(Preempt::Always, _) => None,", "(Preempt::Always, _) => Some(gone),"),
    ("preempt without the delay", GROUP, "Some(gone.min(since + delay.get()))", "Some(gone.min(since + delay.get() * 0))"),
    ("a better master does not restart the delay", ELECTION, "            self.lower_since = None;\n            true", "            true"),
    ("the owner waits", ELECTION, "let owner = self.priority() == OWNER && !self.hold_off;", "let owner = false;"),
    ("one silent network is enough", ELECTION, "chain(self.delayed_until).chain(self.entered).max()", "chain(self.delayed_until).chain(self.entered).min()"),
    ("one link is enough", GROUP, "self.routers.iter().all(VirtualRouter::is_up)", "self.routers.iter().any(VirtualRouter::is_up)"),
    ("no goodbye on a fault", ELECTION, "            self.resign(now);\n        }\n        let router", "            self.silence();\n        }\n        let router"),
    ("nothing is said from an address that is gone", ELECTION, "if !problem.is_of_addresses() {", "if problem != LinkProblem::Missing || self.is_stopping() {"),
    ("the cause of a fault stays what it was first", ELECTION, "        if let Some(cause) = self.link_fault() {\n            self.cause = cause;", "        if let Some(cause) = self.link_fault() {\n            let _ = cause;"),
    ("forget what a link that came back must listen for", ELECTION, "        router.listen_from(now);\n        match self.phase {", "        match self.phase {"),
    ("adverts drift", ROUTER, "if due + interval > now { due + interval } else { now + interval }", "if due > now { due } else { now + interval }"),
    ("no hold on stop", HANDOVER, "            Phase::Master | Phase::Listening { fresh: false, .. } => self.hand_over(now, Purpose::Stop),\n", "            Phase::Master => {\n                self.resign(now);\n                self.leave(now);\n            }\n"),
    ("one goodbye only", HANDOVER, "router.is_up().then(|| now + router.own_interval());\n        }\n        // The slowest", "None;\n        }\n        // The slowest"),
    ("give up before the slowest peer", HANDOVER, "master_down(r.patience(), 1, r.own_interval())", "master_down(r.patience(), 255, r.own_interval())"),
    ("no parking on lo", HANDOVER, "            self.place(instance, Place::Lo);\n", "            self.place(instance, Place::Nowhere);\n"),
    ("stay parked", GROUP, "self.place(instance, Place::Nowhere);\n            }\n        }\n        if self.phase == Phase::Leaving", "let _ = instance;\n            }\n        }\n        if self.phase == Phase::Leaving"),
    ("a failover is preempted straight back", HANDOVER, "self.hold_off = purpose == Purpose::Failover;", "self.hold_off = false;"),
    ("a failover without successor lets go", HANDOVER, "} else if purpose == Purpose::Failover {", "} else if purpose == Purpose::Failover && since > now {"),
    ("a restarted master lets go", ELECTION, "let holding = holding && self.all_links_up()", "let holding = false && self.all_links_up()"),
    ("a restarted master does not listen", ELECTION, "            let until = now + self.longest_interval();\n            self.enter(now, Phase::Listening { until, fresh: true }", "            let until = now;\n            self.enter(now, Phase::Listening { until, fresh: true }"),
    ("a stalled master goes on as if nothing happened", ELECTION, "                self.silence();\n                self.outputs.push(Output::Event(Event::Stalled));", "                return self.outputs.push(Output::Event(Event::Stalled));"),
    ("a stalled backup takes over at once", ELECTION, "self.not_before = grace.map(|grace| now + grace);", "self.not_before = grace.map(|_| now);"),
    ("a stalled master fights its successor", ELECTION, "if self.routers[instance].is_overdue(now) && !self.preempts(now) {", "if false {"),
    ("timers expire on packets", GROUP, "Input::Packet { instance, packet } => self.packet(now, instance, &packet),", "Input::Packet { instance, packet } => {\n                self.timer(now);\n                self.packet(now, instance, &packet);\n            }"),
    ("reconfiguration starts afresh", ROUTER, "identity(&self.config) == identity(other)", "identity(&self.config) == identity(other) && self.priority == 0"),
    ("force does not raise the priority", GROUP, "        if self.force == Force::Master {\n            return OWNER;\n        }\n", ""),
    ("one announcement instead of a burst", ANNOUNCER, "(left > 1).then(", "(left > 99).then("),
    ("no second burst", ANNOUNCER, "second_burst: after(delay).map(|due| (repeat, due)),", "second_burst: after(delay).map(|due| (repeat, due)).filter(|_| false),"),
    ("no refresh", ANNOUNCER, "            refresh: after(config.refresh),", "            refresh: None,"),
    ("a flood of announcements", ANNOUNCER, "if self.restarted.is_none_or(|last| last + config.interval.get() <= now) {", "if now >= self.restarted.unwrap_or(now) {"),
    ("accept any TTL", ROUTER, "if packet.ttl != 255 {", "if packet.ttl == 0 {"),
    ("accept any destination", ROUTER, "if !self.is_for_us(packet.destination) || ", "if "),
    ("accept any source by unicast", ROUTER, "if self.is_unicast() && !self.config", "if false && !self.config"),
    ("the first peer only", ROUTER, "destinations.iter().map(encode)", "destinations.iter().take(1).map(encode)"),
    ("take our own advert for another's", ROUTER, "if self.source() == Some(source) {", "if source.is_unspecified() {"),
    ("accept any virtual router", ROUTER, "if advert.vrid != self.config.vrid.get() {", "if advert.vrid == 0 {"),
    ("accept any password", PACKET, "if difference == 0 { Ok(()) }", "if difference <= u8::MAX { Ok(()) }"),
    ("accept any authentication header", HEADER, "mac.verify_truncated_left(value).map_err(|_| PacketError::BadSeal)?;", "let _ = (mac, value);"),
    ("accept a header again", HEADER, "self.senders.last(source.into()).is_some_and(|last| number <= last)", "false"),
    ("accept any trailer", TRAILER, "mac.verify_truncated_left(&trailer[FIXED..]).map_err(|_| PacketError::BadSeal)?;", "let _ = mac;"),
    ("accept a trailer again", TRAILER, "last.is_some_and(|last| !is_after(sequence, last))", "last.is_some_and(|_| false)"),
    ("accept a trailer of yesterday", TRAILER, "if !self.is_fresh(sequence, context.clock) {", "if false {"),
    ("accept another v2 interval", ROUTER, "VrrpVersion::V2 && advert.interval != ours {", "VrrpVersion::V2 && advert.interval > ours * 99 {"),
    ("one form of the checksum only", PACKET, "(VrrpVersion::V3, _) if fold(covered) == VALID => Ok(Checksum::Rfc5798),", ""),
    ("send the other form of the checksum", PACKET, "checksum == Checksum::Rfc5798);", "checksum == Checksum::Rfc9568);"),
    ("a pause that nobody is told of", ADOPT, "own.max(pause * 3 / u32::from(few)).min(LONGEST_INTERVAL)", "own + pause * 0 * u32::from(few)"),
    ("who waits for few adverts is told the usual pause", ADOPT, "pause * 3 / u32::from(few)", "pause + pause * 0 / u32::from(few)"),
    ("no delay after the start", ELECTION, ".chain(self.delayed_until)", ""),
    ("a successor that asserts itself after too long a pause", ADOPT, "SavedPhase::Master if self.routers.iter().any(|router| router.kept_waiting(now)) => {", "SavedPhase::Master if self.routers.is_empty() => {"),
    ("a successor waits before its first advert", ADOPT, "router.advert_due = router.is_up().then_some(now);", "router.advert_due = router.is_up().then_some(listen_until);"),
    ("a successor takes over from a master it has not listened for", ADOPT, "self.not_before = grace.map(|grace| now + grace);", "self.not_before = grace.map(|_| now);"),
    ("an order dies with the process", ADOPT, "        self.force = saved.force;\n", ""),
    ("a successor uses numbers again", ADOPT, "self.seal.adopt(seal);", "let _ = seal;"),
    ("drop adverts with another list of VIPs", ELECTION, "            self.routers[instance].counters.vip_mismatch += 1;\n            self.report(now, instance, event);\n", "            self.routers[instance].counters.vip_mismatch += 1;\n            return self.report(now, instance, event);\n"),
]


def prepare(copy):
    """A workspace of just the crate and the one it depends on."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    manifest = (ROOT / "Cargo.toml").read_text()
    manifest = re.sub(r"members = \[.*?\]", 'members = ["director/config", "director/vrrp"]', manifest, flags=re.S)
    (copy / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", copy)
    for crate in ("config", "vrrp"):
        # With the time of now, or cargo takes what the last run built from a mutation for the build of these.
        shutil.copytree(ROOT / "director" / crate, copy / "director" / crate, copy_function=shutil.copy)


def cargo(copy, target, *arguments):
    """Exit status and output; None for a run that did not end in time."""
    # No more memory and time than a runaway needs to be noticed.
    command = ["prlimit", f"--as={MEMORY}", f"--cpu={CPU}", "cargo", "test", "--quiet", "-p", "fairway-vrrp", "--test", "suite", *arguments]
    # Unoptimised, and a mistake shows in few schedules.
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_PROFILE_DEV_DEBUG="false", RUST_BACKTRACE="0", FAIRWAY_SCHEDULES="300")
    run = subprocess.Popen(
        command, cwd=copy, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        output, _ = run.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return None, "does not come to an end"
    return run.returncode, output


def red_tests(copy, target, stages):
    """Names of the tests that fail, from the first stage in which any does."""
    for stage in stages:
        status, output = cargo(copy, target, "--", *stage)
        if status is None:
            return [output]
        if status != 0:
            return re.findall(r"^    (\S+::\S+)$", output, flags=re.M) or [output.strip()[-200:]]
    return []


def verdict(copy, target, stages, file, old, new):
    path = copy / "director" / "vrrp" / "src" / file
    original = path.read_text()
    if original.count(old) != 1:
        return False, f"does not apply: its text occurs {original.count(old)} times in {file}"
    try:
        path.write_text(original.replace(old, new))
        status, output = cargo(copy, target, "--no-run")
        if status != 0:
            return False, "does not compile:\n" + output[-1500:]
        red = sorted(set(red_tests(copy, target, stages)))
    finally:
        path.write_text(original)
    if not red:
        return False, "no test noticed"
    return True, f"{len(red)} red: {', '.join(red[:3])}" + (", ..." if len(red) > 3 else "")


def main():
    words = [word for word in sys.argv[1:] if word != "--simulation"]
    quick, simulated = ["--skip", "simulation", "--skip", "operations"], ["simulation"]
    stages = [simulated] if "--simulation" in sys.argv[1:] else [quick, simulated]
    # Always the same places, so that a second run finds its builds; their own builds, for cargo takes the copy for
    # the original.
    directory = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "mutations"
    benches = queue.SimpleQueue()

    def equip(number):
        copy, target = directory / f"source-{number}", directory / f"build-{number}"
        prepare(copy)
        benches.put((copy, target))
        return cargo(copy, target)

    def examine(mutation):
        name, *change = mutation
        copy, target = bench = benches.get()
        try:
            noticed, detail = verdict(copy, target, stages, *change)
        finally:
            benches.put(bench)
        print("ok    " if noticed else "FAILED", f"{name}: {detail}", flush=True)
        return noticed

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for status, output in pool.map(equip, range(AT_ONCE)):
            if status != 0:
                print(output, "the tests fail without any mutation", "0 passed, 1 failed", sep="\n")
                return 1
        chosen = [mutation for mutation in MUTATIONS if not words or any(word in mutation[0] for word in words)]
        noticed = list(pool.map(examine, chosen))
    passed, failed = noticed.count(True), noticed.count(False)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
