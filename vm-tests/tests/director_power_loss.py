"""The master loses its power: the backup takes over within the protocol's time, and the old master takes it back later."""

from __future__ import annotations

import time

from lab import Lab, eventually

INTERVAL = 0.25
BOUND = 3 * INTERVAL + INTERVAL  # three adverts and at most one interval of skew
SLACK = 1.0


def test(lab: Lab) -> None:
    load = lab.load()
    lab.hosts["lb1"].cut_power()
    took = eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over", BOUND + SLACK)
    time.sleep(1.5)
    result = load.stop()
    lab.note(f"lb2 has the VIP after {took * 1000:.0f} ms; outage {result.outage() * 1000:.0f} ms; {result}")
    assert 0 < result.outage() < BOUND + SLACK, f"the outage was {result.outage():.3f} s"
    assert lab.directors["lb2"].state() == "master"
    assert set(result.since(result.failed[-1].start + 0.5).by_server()) == {"web1", "web2"}

    load = lab.load()
    lab.power_on("lb1")
    lab.settle()
    time.sleep(0.5)
    result = load.stop()
    lab.note(f"lb1 came back and took over: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"taking the VIP back lost new connections: {result}"
    assert lab.directors["lb2"].state() == "backup"
