"""A master that stands still (SIGSTOP) longer than the backup waits: two masters become one again; alone it goes on."""

from __future__ import annotations

import signal
import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    load = lab.load()
    lb1.signal(signal.SIGSTOP)
    eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over")
    assert lab.hosts["lb1"].holds(lab.vip), "nobody takes the VIP from a process that stands still"
    time.sleep(1.0)  # the sockets fill with adverts of lb2
    lb1.signal(signal.SIGCONT)
    eventually(lambda: lab.masters() == ["lb1"], "the better router alone holds the VIP again")
    eventually(lambda: lb1.state() == "master" and lb2.state() == "backup", "and both say so")
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"with a backup: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"both directors forward all the time, yet new connections were lost: {result}"
    assert lb1.statistics("/group/edge", "Group")["stalls"] >= 1, "it counts that it was away"

    # Nobody took over: it listens for an interval, and goes on without having let go.
    lb2.stop()
    before = lb1.statistics("/group/edge", "Group")
    since = lb1.property("/group/edge", "Group", "Since")
    lb1.signal(signal.SIGSTOP)
    time.sleep(3.0)  # master-down intervals of the default are below one second
    lb1.signal(signal.SIGCONT)
    eventually(lambda: lb1.statistics("/group/edge", "Group")["stalls"] > before["stalls"], "it notices")
    eventually(lambda: lb1.statistics("/group/edge", "Group")["announcements"] > before["announcements"], "it announces itself")
    assert lb1.property("/group/edge", "Group", "Since") == since, "it has been master all the time"
    assert lab.masters() == ["lb1"]
    assert "was stalled" in lb1.log()
