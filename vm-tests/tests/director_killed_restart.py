"""kill -9 of the master's process and a restart at once: addresses and table stay, and not one new connection is lost."""

from __future__ import annotations

import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    since = lb2.property("/group/edge", "Group", "Since")
    table = lab.table("lb1")
    load = lab.load()
    lb1.kill()
    lb1.start()
    assert lab.hosts["lb1"].holds(lab.vip), "the VIP went with the process"
    eventually(lambda: lb1.state() == "master", "the restarted director is master again")
    time.sleep(1.5)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"the restart lost new connections: {result}"
    assert lab.masters() == ["lb1"]
    eventually(lambda: lab.table("lb1") == table, f"the table is {table} again")
    lab.note("lb2 took over meanwhile" if lb2.property("/group/edge", "Group", "Since") != since else "lb2 stayed backup")
