"""A host that refuses what the director would like to have: capabilities, real-time priority, room on its disk."""
from __future__ import annotations

import subprocess
from functools import partial

from lan import wait
from restarts import Watch
from routers import Daemon, Router, binary, fairway

VIP = "10.9.0.100"
ROUTER = Router((VIP,), interval=0.1)
SLACK = 0.35


def without(*capabilities: str) -> list[str]:
    """A command that runs another one without these, root as it may be."""
    names = ",".join(f"-{name}" for name in capabilities)
    return ["setpriv", f"--inh-caps={names}", f"--bounding-set={names}"]


def complaints(daemon: Daemon, past: int = 0) -> list[str]:
    """What the log warns of, but for the bus and the IPVS that are missing on every host here."""
    lines = [line for line in daemon.log()[past:].splitlines() if " WARN " in line or " ERROR " in line]
    return [line for line in lines if "no D-Bus" not in line and "IPVS" not in line]


def no_real_time_permission(bench) -> None:
    """Without real-time priority and locked memory: one warning for each with the remedy, and elections in time."""
    within = ["prlimit", "--rtprio=0", "--memlock=65536", *without("sys_nice", "ipc_lock")]
    limited = partial(fairway, within=within)
    strong, weak = bench.up(limited, bench.a, ROUTER.but(priority=200)), bench.up(limited, bench.b, ROUTER)
    bench.alone(bench.a, bench.b, VIP, 20)
    for daemon in (strong, weak):
        said = complaints(daemon)
        assert len(said) == 2, said
        assert "no real-time priority" in said[0] and "LimitRTPRIO" in said[0], said
        assert "memory is not locked" in said[1] and "LimitMEMLOCK" in said[1], said
    t = strong.kill()
    bench.a.link("down")
    took = wait("the backup takes over", lambda: bench.b.holds(VIP), 20) - t
    assert took <= ROUTER.master_down + 2 * SLACK, f"after {took:.3f} s; bound {ROUTER.master_down:.3f} s"
    bench.a.link("up")
    bench.up(limited, bench.a, ROUTER.but(priority=200))
    bench.alone(bench.a, bench.b, VIP, 20)


def missing_capabilities(bench) -> None:
    """Without CAP_NET_RAW or CAP_NET_ADMIN our director ends with status 1 and one line, and takes nothing from anybody."""
    other = bench.up(fairway, bench.b, ROUTER)
    bench.alone(bench.b, bench.a, VIP, 20)
    for capability in ("net_raw", "net_admin"):
        for arguments in ((), ("--take-over",)):
            ours = fairway(bench.a, ROUTER.but(priority=200), bench.scratch, None, False, *arguments, within=without(capability))
            assert ours.process.wait(20) == 1
            assert len(ours.log().splitlines()) == 1 and f"needs CAP_{capability.upper()}" in ours.log(), ours.log()
    bench.alone(bench.b, bench.a, VIP, 1)
    assert "to=backup cause=10" not in other.log(), other.log()


SERVICE = """
[hosts.c]
interfaces.eth0 = { network = "lan", addresses = ["10.9.0.3"], manage = false }
[services.web]
listen = ["v0:80"]
forward = "direct"
checks = [{ tcp = {} }]
real-servers = { c = {} }
"""
# Becomes the rest of its arguments, with a state directory of its own without any room.
FULL = ["sh", "-ec", 'mount -t tmpfs -o size=16k tmpfs "$STATE_DIRECTORY"; cat /dev/zero >"$STATE_DIRECTORY/full" 2>/dev/null || true; exec "$@"', "sh"]
MUTE = ["sh", "-ec", 'exec "$@" >/dev/full 2>/dev/full', "sh"]


def full_disk(bench) -> None:
    """No room for state, then none for the log either: an order is in force and one line says that it is not stored; take-over
    by a new process, crash, restart and stop go their way."""
    state = bench.scratch / "state"
    state.mkdir()
    bus = f"unix:path={bench.scratch}/bus"
    bench.a.spawn("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}", stderr=subprocess.DEVNULL)
    wait("the bus is there", (bench.scratch / "bus").exists, 20)
    also, strong = {"STATE_DIRECTORY": str(state)}, ROUTER.but(priority=200, extra=SERVICE)

    def ctl(*arguments: str) -> str:
        return bench.a.run("env", f"DBUS_SYSTEM_BUS_ADDRESS={bus}", binary("fairwayctl"), *arguments)

    def answers() -> bool:
        try:
            return bool(ctl("status"))
        except RuntimeError:
            return False

    ours = fairway(bench.a, strong, bench.scratch, bus, within=FULL, also=also)
    bench.daemons.append(ours)
    bench.up(fairway, bench.b, ROUTER)
    bench.alone(bench.a, bench.b, VIP, 20)
    wait("it is on the bus", answers, 20, 0.1)
    ctl("disable", "web", "c")
    wait("the order is in force", lambda: '"disable"' in ctl("status", "--json"), 20, 0.1)
    said = [line for line in ours.log().splitlines() if "cannot be stored" in line]
    assert len(said) == 1 and "No space left" in said[0] and str(state) in said[0], ours.log()
    for order, holder, other in (("backup", bench.b, bench.a), ("auto", bench.a, bench.b)):
        ctl("force", "edge", order)
        bench.alone(holder, other, VIP, 20)

    mute = partial(fairway, within=[*FULL, *MUTE], also=also)
    taken = Watch(bench, bench.b)
    gone, ours = ours, mute(bench.a, strong, bench.scratch, bus, True, "--take-over")
    bench.daemons.append(ours)
    assert gone.process.wait(20) == 0
    assert "handing over" in gone.log(), gone.log()
    wait("the next process is on the bus", answers, 20, 0.1)
    bench.alone(bench.a, bench.b, VIP, 5)
    came = [line for line in taken.end(VIP) if "eth0" in line]  # it may still be parked on lo, from before
    assert not came, f"the other director took over: {came}"
    ctl("disable", "web", "c")
    ours.kill()
    bench.a.link("down")
    wait("the other director takes over", lambda: bench.b.holds(VIP), 20)
    bench.a.link("up")
    ours = bench.up(mute, bench.a, strong)
    bench.alone(bench.a, bench.b, VIP, 20)
    ours.stop()
    assert ours.process.returncode == 0
    bench.alone(bench.b, bench.a, VIP, 20)


CASES = [no_real_time_permission, missing_capabilities, full_disk]
