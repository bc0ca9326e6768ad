"""NAT: losing the servers' side alone moves the public VIP too, because replies need the same director."""

from __future__ import annotations

import time

from lab import Lab, eventually

TOPOLOGY = "nat"
CHECKS = 2 * 1.0  # seconds; two in a row bring a server back


def test(lab: Lab) -> None:
    load = lab.load()
    lab.hosts["lb1"].cable("eth1", plugged=False)
    eventually(lambda: lab.directors["lb1"].state() == "fault", "lb1 is in fault")
    eventually(lambda: lab.masters() == ["lb2"], "lb2 alone has both VIPs")
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert not lab.get(50).failed
    cause = lab.directors["lb1"].property("/group/edge", "Group", "Cause")
    assert "eth1" in cause, f"the cause does not name the interface: {cause}"

    # On the way back lb1 may be master before two checks of each server have passed over the link that was dead.
    load = lab.load()
    lab.hosts["lb1"].cable("eth1", plugged=True)
    eventually(lambda: lab.masters() == ["lb1"], "lb1 took both VIPs back")
    eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "lb1 sees its servers again")
    time.sleep(0.5)
    result = load.stop()
    lab.note(f"plugged in again: outage {result.outage() * 1000:.0f} ms; {result}")
    assert result.outage() < CHECKS + 1.0, f"the outage was {result.outage():.3f} s"
    assert not lab.get(50).failed
