"""A director whose interface does not exist runs, says so, serves its table, and joins the election when it appears."""

from __future__ import annotations

from host import ip
from lab import Lab, eventually

START = False


def test(lab: Lab) -> None:
    for server in lab.servers.values():
        server.start()
    for director in lab.directors.values():
        director.start_bus()
    ip("-n", "lb1", "link", "set", "eth0", "down")
    ip("-n", "lb1", "link", "set", "eth0", "name", "spare0")
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    lb1.start()
    lb2.start()
    eventually(lambda: lb1.state() == "fault", "lb1 is in fault")
    cause = lb1.property("/group/edge", "Group", "Cause")
    assert "eth0" in cause, f"the cause does not name the interface: {cause}"
    eventually(lambda: lab.masters() == ["lb2"], "lb2 is master")
    assert not lab.get(20).failed

    ip("-n", "lb1", "link", "set", "spare0", "name", "eth0")
    ip("-n", "lb1", "link", "set", "eth0", "up")
    eventually(lambda: lab.masters() == ["lb1"], "lb1 takes over once its interface is there")
    lab.settle()
    assert not lab.get(50).failed
