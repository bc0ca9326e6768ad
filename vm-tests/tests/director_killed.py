"""kill -9 of the master's process: its addresses stay and the backup takes over; after a restart one master remains."""

from __future__ import annotations

import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    load = lab.load()
    lb1.kill()
    took = eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over", 2.0 + 1.0)
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"lb2 has the VIP after {took * 1000:.0f} ms; outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"the VIP stays on lb1, yet new connections were lost: {result}"
    assert lab.hosts["lb1"].holds(lab.vip), "kill -9 leaves the VIP where it was"

    load = lab.load()
    lb1.start()
    eventually(lambda: lb1.state() == "master" and lb2.state() == "backup", "lb1 is master again, lb2 backup")
    eventually(lambda: lab.masters() == ["lb1"], "only lb1 holds the VIP")
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"after the restart: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"taking over again lost new connections: {result}"
