"""SIGUSR1 (how systemd restarts it): it exits in order and leaves addresses and table to the next start; nothing is lost."""

from __future__ import annotations

import signal
import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1 = lab.directors["lb1"]
    table = lab.table("lb1")
    load = lab.load()
    lb1.signal(signal.SIGUSR1)
    assert lb1.process is not None
    code = lb1.process.wait(5.0)
    assert code == 0, f"it ended with {code}"
    assert lab.table("lb1") == table, f"it changed the table: {table} -> {lab.table('lb1')}"
    assert lab.hosts["lb1"].holds(lab.vip), "the VIP went with the process"
    lb1.start()
    eventually(lambda: lb1.state() == "master", "the new process is master")
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"the restart lost new connections: {result}"
    assert lab.masters() == ["lb1"]
    eventually(lambda: lab.table("lb1") == table, f"the table is {table} again")
