"""SIGTERM to the master under load: the backup takes over and not one new connection is lost; nothing stays behind."""

from __future__ import annotations

import signal
import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    load = lab.load(pace=0.005)
    begun = time.monotonic()
    lab.directors["lb1"].signal(signal.SIGTERM)
    eventually(lambda: not lab.hosts["lb1"].holds(lab.vip), "lb1 gave up the VIP")
    moved = time.monotonic()
    took = lab.directors["lb1"].stop()
    time.sleep(1.0)
    result = load.stop()
    pause = result.since(begun - 0.3).longest_gap()
    lab.note(f"ended {took:.1f} s after the hand-over; longest pause between answers {pause * 1000:.0f} ms; {result}")
    assert not result.lost, f"a graceful stop lost new connections: {result}"
    assert not result.since(moved).failed, f"requests failed after the hand-over: {result}"
    assert lab.masters() == ["lb2"]
    eventually(lambda: lab.directors["lb2"].state() == "master", "lb2 says so too")
    left = [info for info in lab.hosts["lb1"].addresses() if info["local"] == lab.vip]
    assert not left, f"the VIP is still on lb1: {left}"
    assert lab.table("lb1") == {}, f"lb1 still has {lab.table('lb1')}"

    # The way back: lb1 is preferred and takes over again once it runs.
    load = lab.load()
    lab.directors["lb1"].start()
    lab.settle()
    time.sleep(0.5)
    result = load.stop()
    lab.note(f"lb1 took over again: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"preempting lost new connections: {result}"
