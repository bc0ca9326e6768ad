"""SIGUSR1 (how systemd restarts it): the next process takes its sockets and state; nothing is lost, nobody takes over."""

from __future__ import annotations

import re
import signal
import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    since = {name: director.property("/group/edge", "Group", "Since") for name, director in lab.directors.items()}
    table = lab.table("lb1")
    load = lab.load()
    for look in (False, True):
        lb1.signal(signal.SIGUSR1)
        assert lb1.process is not None
        code = lb1.process.wait(30.0)
        assert code == 0, f"it ended with {code}"
        if look:  # a look takes longer than a start, and the backup waits for three seconds
            assert lab.table("lb1") == table, f"it changed the table: {table} -> {lab.table('lb1')}"
            assert lab.hosts["lb1"].holds(lab.vip), "the VIP went with the process"
        lb1.start()
        lab.note(f"gap: {', '.join(re.findall('gap_ms=[0-9]+', lb1.log()))}")
        eventually(lambda: lb1.state() == "master", "the new process is master")
        # On a machine that stands still the store may not take it in time; then it says so, and starts as after a crash.
        kept, went_on = (lb1.log().count(words) for words in ("keeps the VRRP state", "going on as master where"))
        assert kept == went_on, f"{kept} times kept, {went_on} times used: {lb1.log()[-3000:]}"
        lb1.notified("READY")
        assert not lb1.stored, f"still in the store after the start: {lb1.stored}"
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"the restarts lost new connections: {result}"
    assert lab.masters() == ["lb1"]
    eventually(lambda: lab.table("lb1") == table, f"the table is {table} again")
    took_over = lb2.property("/group/edge", "Group", "Since") != since["lb2"]
    lab.note("lb2 took over meanwhile" if took_over else "lb2 stayed backup")
    if not took_over:
        assert lb1.property("/group/edge", "Group", "Since") == since["lb1"], "it has been master all the time"
