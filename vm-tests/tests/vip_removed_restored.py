"""A VIP that somebody else deletes from the master's interface is put back at once; the backup does not take over."""

from __future__ import annotations

import time

from host import ip
from lab import Lab, eventually


def test(lab: Lab) -> None:
    since = lab.directors["lb2"].property("/group/edge", "Group", "Since")
    load = lab.load()
    prefix = next(info["prefixlen"] for info in lab.hosts["lb1"].addresses() if info["local"] == lab.vip)
    ip("-n", "lb1", "addr", "del", f"{lab.vip}/{prefix}", "dev", "eth0")
    took = eventually(lambda: lab.hosts["lb1"].holds(lab.vip), "the VIP is back", 5.0)
    time.sleep(0.5)
    result = load.stop()
    lab.note(f"back after {took * 1000:.0f} ms; outage {result.outage() * 1000:.0f} ms; {result}")
    assert result.outage() < 1.0
    assert lab.masters() == ["lb1"]
    assert lab.directors["lb2"].property("/group/edge", "Group", "Since") == since, "lb2 took over meanwhile"
