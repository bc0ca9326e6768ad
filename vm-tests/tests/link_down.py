"""The master's cable is pulled: it goes to fault with the cause, the backup takes over; plugged in, it takes over again."""

from __future__ import annotations

import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1 = lab.directors["lb1"]
    load = lab.load()
    lab.hosts["lb1"].cable("eth0", plugged=False)
    eventually(lambda: lb1.state() == "fault", "lb1 is in fault")
    assert "eth0" in lb1.property("/group/edge", "Group", "Cause")
    eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over", 3.0)
    time.sleep(1.0)
    lab.hosts["lb1"].cable("eth0", plugged=True)
    eventually(lambda: lab.masters() == ["lb1"], "lb1 took over again, lb2 gave the VIP back")
    time.sleep(0.5)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert result.outage() < 2.0, f"the outage was {result.outage():.3f} s"
    assert not lab.get(50).failed
