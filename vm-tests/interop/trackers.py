"""What a group depends on besides its own interface: scripts, an address that answers, another interface."""
from __future__ import annotations

from pathlib import Path

from lan import run, wait
from routers import Daemon, Router, fairway

VIP = "10.9.0.100"
ROUTER = Router((VIP,), interval=0.1)
# Notes who it is, and then does what it is told by its argument's contents.
SCRIPT = """#!/bin/sh
grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):' /proc/self/status >"$1/status.new" && mv "$1/status.new" "$1/status"
case $(cat "$1/order") in
pass) exit 0 ;;
fail) exit 3 ;;
hang) echo $$ >"$1/hanging"; exec sleep 1000 ;;
esac
"""


def failed(daemon: Daemon, tracker: str) -> int:
    return daemon.log().count(f"tracker {tracker} fails")


def tracked_script(bench) -> None:
    """A script has no capability, no way to any and is not root; its failure, and that it hangs, is a fault, and the process goes."""
    room = bench.scratch / "script"
    room.mkdir()
    # It is nobody's: others may look through the scratch directory, and write here.
    bench.scratch.chmod(0o711)
    room.chmod(0o777)
    script, order = room / "look", room / "order"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    order.write_text("pass\n")
    order.chmod(0o644)
    track = f'[failover.edge.track]\nlook = {{ script = {{ command = ["{script}", "{room}"] }}, every = "200ms", timeout = "1s" }}\n'
    ours = bench.up(fairway, bench.a, ROUTER.but(priority=200, extra=track))
    bench.up(fairway, bench.b, ROUTER)
    bench.alone(bench.a, bench.b, VIP, 20)
    status = dict(line.split(":\t") for line in (room / "status").read_text().splitlines())
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, status
    assert status["NoNewPrivs"] == "1" and not status["Groups"].strip(), status
    assert "0" not in status["Uid"].split() + status["Gid"].split(), status

    for number, word in enumerate(("fail", "hang"), 1):
        order.write_text(word)
        bench.alone(bench.b, bench.a, VIP, 20)
        wait("the log says why", lambda: failed(ours, "look") == number, 20, 0.05)
        order.write_text("pass")
        bench.alone(bench.a, bench.b, VIP, 20)
    pid = (room / "hanging").read_text().strip()
    wait("what hung is gone", lambda: not Path(f"/proc/{pid}").exists(), 20, 0.05)


def tracked_ping_and_network(bench) -> None:
    """A host that answers pings no more, and another interface that is down or whose cable is cut: the group moves, and returns."""
    bench.lan.second({"a": "10.8.0.1/24"})
    track = """[failover.edge.track]
gateway = { ping = "10.9.0.3", every = "200ms", timeout = "500ms" }
uplink = { network = "uplink" }
[networks.uplink]
subnets = ["10.8.0.0/24"]
[hosts.a.interfaces.eth1]
network = "uplink"
addresses = ["10.8.0.1"]
manage = false
"""
    ours = bench.up(fairway, bench.a, ROUTER.but(priority=200, extra=track))
    bench.up(fairway, bench.b, ROUTER)
    bench.alone(bench.a, bench.b, VIP, 20)
    eth1 = ["ip", "-n", bench.a.space, "link", "set", "eth1"]
    troubles = [
        ("gateway", lambda cut: bench.lan.cut(bench.c, cut)),
        ("uplink", lambda cut: bench.lan.cut(bench.a, cut, "eth1")),
        ("uplink", lambda cut: run([*eth1, "down" if cut else "up"])),
    ]
    for number, (tracker, trouble) in enumerate(troubles):
        trouble(True)
        bench.alone(bench.b, bench.a, VIP, 20)
        expected = number if tracker == "uplink" else 1
        wait("the log says why", lambda: failed(ours, tracker) == expected, 20, 0.05)
        trouble(False)
        bench.alone(bench.a, bench.b, VIP, 20)


CASES = [tracked_script, tracked_ping_and_network]
