"""How soon a refused server leaves the table, what the audit of 10,000 servers costs, and how soon it repairs one; runs
inside the guest.

    vm-tests/run --exec vm-tests/bench/repair.py [TRIALS]

A server that refuses connections is found at the next check, which is half an interval away in the mean. The audit walks the
whole table in its period, a minute here.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRATCH = Path("/run/repair")
now = time.monotonic
HEAD = 'version = 1\ncluster = "bench"\nhost = "lb1"\n'
EVERY = 1.0
PERIOD = 60


def table() -> list[str]:
    return Path("/proc/net/ip_vs").read_text().splitlines()[3:]


def until(what: str, is_so, limit: float, pause: float) -> float:
    start = now()
    while now() - start < limit:
        if is_so():
            return now() - start
        time.sleep(pause)
    raise SystemExit(f"not within {limit:g} s: {what}; {(SCRATCH / 'log').read_text()[-2000:]}")


def director(config: str) -> subprocess.Popen[bytes]:
    (SCRATCH / "director.toml").write_text(HEAD + config)
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/repair/no-bus"}
    with open(SCRATCH / "log", "ab") as log:
        return subprocess.Popen(["fairway-director", "run", "--config", str(SCRATCH / "director.toml")], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, env=environment)  # fmt: skip


def processor(process: subprocess.Popen[bytes]) -> float:
    """Seconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def refused(trials: int) -> dict[str, float]:
    """From the end of a listener to a table without it, in ms."""
    process = director(
        f'[checks.alive]\ntcp = {{}}\nevery = "{EVERY:g}s"\nfast-fail = true\nrise = 1\n'
        '[[service]]\nname = "web"\nforward = "nat"\nchecks = ["alive"]\n'
        'listen = { address = "10.1.0.1", port = 80, protocol = "tcp" }\n'
        'real-servers = [{ name = "one", address = "127.0.0.2", port = 8000 }]\n'
    )
    took = []
    for _ in range(trials):
        listener = socket.create_server(("127.0.0.2", 8000), backlog=64)
        until("the server is in the table", lambda: len(table()) == 2, 20, 0.01)
        time.sleep(random.uniform(0, EVERY))
        listener.close()
        took.append(until("it has left", lambda: len(table()) == 1, 20, 0.001) * 1e3)
    end(process)
    return {"median_ms": statistics.median(took), "longest_ms": max(took)}


def audit(services: int, servers: int) -> dict[str, float]:
    """Processor time while nothing happens, as part of a core, and the time until a server somebody deleted is back."""
    lines = [f'[ipvs]\naudit-period = "{PERIOD}s"\n']
    for s in range(services):
        listen = f'{{ address = "10.1.{s // 250}.{1 + s % 250}", port = 80, protocol = "tcp" }}'
        lines.append(f'[[service]]\nname = "s{s}"\nforward = "direct"\nlisten = {listen}\n')
        for n in range(s * servers, (s + 1) * servers):
            lines.append(f'[[service.real-servers]]\nname = "r{n}"\naddress = "10.2.{n // 250}.{1 + n % 250}"\n')
    process = director("".join(lines))
    until("all is in the table", lambda: len(table()) == services * (servers + 1), 60, 0.2)
    time.sleep(15)  # past what a start does
    before = processor(process)
    time.sleep(PERIOD)
    cost = (processor(process) - before) / PERIOD
    back = []
    for service in (0, services // 2, services - 1):
        vip, victim = f"10.1.{service // 250}.{1 + service % 250}", service * servers
        subprocess.run(["ipvsadm", "-d", "-t", f"{vip}:80", "-r", f"10.2.{victim // 250}.{1 + victim % 250}:80"], check=True)
        back.append(until("it is back", lambda: len(table()) == services * (servers + 1), PERIOD + 10, 0.2))
    end(process)
    return {"percent_of_a_core": cost * 100, "longest_repair_s": max(back)}


def main(trials: str = "25") -> None:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_wlc"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    gone, audited = refused(int(trials)), audit(1000, 10)
    print(f"a refused server has left the table after {gone['median_ms']:.0f} ms (median of {trials}, longest {gone['longest_ms']:.0f}), "
          f"checked every {EVERY * 1e3:.0f} ms")  # fmt: skip
    print(f"the audit of 10,000 servers takes {audited['percent_of_a_core']:.2f} % of a core; what somebody deleted was back after at most "
          f"{audited['longest_repair_s']:.1f} s, of a period of {PERIOD}")  # fmt: skip
    print(json.dumps({"refused": gone, "audit": audited}))


main(*sys.argv[1:])
