"""ForceState and Failover over D-Bus move mastership without losing requests; "auto" gives it back to the election."""

from __future__ import annotations

import time

from host import CommandFailed
from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    load = lab.load()
    lb1.call("/group/edge", "Group", "ForceState", "backup")
    eventually(lambda: lb1.state() == "backup" and lb2.state() == "master", "lb1 backup, lb2 master")
    eventually(lambda: lab.masters() == ["lb2"], "the VIP is on lb2 alone")
    assert lb1.property("/group/edge", "Group", "Forced") == "backup"
    time.sleep(1.5)
    assert lab.masters() == ["lb2"], "a forced backup preempted"
    lb1.call("/group/edge", "Group", "ForceState", "auto")
    eventually(lambda: lab.masters() == ["lb1"], "lb1 took over again")
    result = load.stop()
    lab.note(f"forced to backup and back: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"forcing lost new connections: {result}"

    lb2.call("/group/edge", "Group", "ForceState", "master")
    eventually(lambda: lab.masters() == ["lb2"] and lb2.state() == "master", "lb2 is forced to master")
    lb2.call("/group/edge", "Group", "ForceState", "auto")
    eventually(lambda: lab.masters() == ["lb1"], "lb1, which is preferred, took over again")

    load = lab.load()
    lb1.call("/group/edge", "Group", "Failover")
    eventually(lambda: lab.masters() == ["lb2"], "Failover moved the VIP to lb2")
    time.sleep(1.5)
    assert lab.masters() == ["lb2"], "lb1 preempted straight after Failover"
    result = load.stop()
    lab.note(f"Failover: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"Failover lost new connections: {result}"

    try:
        lb1.call("/group/edge", "Group", "ForceState", "primary")
    except CommandFailed as refusal:
        assert "primary" in str(refusal), f"the refusal does not name the value: {refusal}"
    else:
        raise AssertionError("ForceState took a word it does not know")
