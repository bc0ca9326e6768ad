"""Hooks are told of failovers and servers in order, without the director's rights; one that hangs is killed; a stop is told, too."""

from __future__ import annotations

from pathlib import Path

from lab import Lab, eventually

TOLD = Path("/run/told")
# What the kernel says of the hook itself: its user and its capabilities.
HOOK = """#!/bin/sh
caps=$(sed -n 's/^Cap\\(Eff\\|Amb\\|Prm\\):[[:space:]]*//p' /proc/self/status | tr -d '0\\n')
echo "$FAIRWAY_HOST $FAIRWAY_EVENT ${FAIRWAY_GROUP-}${FAIRWAY_SERVER-} ${FAIRWAY_FROM-}-${FAIRWAY_TO-} uid=$(id -u) caps=$caps" >> /run/told/log
"""
HANG = """#!/bin/sh
sleep 1000 &
echo $! > /run/told/child
wait
"""
NOTIFY = """
[notify.told]
hook = { command = ["/run/told/hook"] }

[notify.stuck]
events = ["server-down"]
timeout = "5s"
hook = { command = ["/run/told/hang"] }
"""


def lines(host: str) -> list[str]:
    log = TOLD / "log"
    return [line for line in log.read_text().splitlines() if line.startswith(host)] if log.exists() else []


def test(lab: Lab) -> None:
    lb1, lb2, config = lab.directors["lb1"], lab.directors["lb2"], lab.config("lb1")
    TOLD.mkdir()
    TOLD.chmod(0o1777)
    for name, text in (("hook", HOOK), ("hang", HANG)):
        (TOLD / name).write_text(text)
        (TOLD / name).chmod(0o755)
    config.write_text(config.read_text() + NOTIFY)
    lb1.control("reload")
    eventually(lambda: any(" reloaded " in line for line in lines("lb1")), "the hook is told of the reload that brings it")
    line = lines("lb1")[0]
    assert "caps=" in line and line.split("caps=")[1] == "", f"a hook has capabilities: {line}"
    assert "uid=0" not in line, line

    lab.servers["web1"].stop()
    eventually(lambda: any("server-down web1" in line for line in lines("lb1")), lambda: f"web1 is told: {lines('lb1')}")

    def receiver(name: str) -> dict:
        return next(told for told in lb1.status()["notifications"] if told["name"] == name)

    eventually(lambda: receiver("stuck")["failed"] == 1, "the hook that hangs is given up")
    assert receiver("stuck")["error"] == "not done within 5s", receiver("stuck")
    child = Path("/proc", (TOLD / "child").read_text().strip(), "stat")
    eventually(lambda: not child.exists() or ") Z " in child.read_text(), "what it has started is gone")
    lab.servers["web1"].start()
    eventually(lambda: any("server-up web1" in line for line in lines("lb1")), "web1 is back, and told")

    lb1.control("failover", "edge")
    eventually(lambda: lab.masters() == ["lb2"], "lb2 takes over")
    eventually(lambda: lb1.state() == "backup", "lb1 is backup")
    lb2.control("failover", "edge")
    eventually(lambda: lab.masters() == ["lb1"], "lb1 takes back")
    lb1.stop()
    events = [line.split()[1:4] for line in lines("lb1") if "group-" in line]
    moves = [[event, change] for event, _, change in events]
    assert moves[:2] == [["group-backup", "master-backup"], ["group-master", "backup-master"]], moves
    assert any("stopping" in line for line in lines("lb1")), "the stop is told before the director ends"
