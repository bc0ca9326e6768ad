"""Ten thousand servers that fail at the same moment, behind a pair of directors at 100 ms."""
from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lan import wait
from routers import Daemon, Router, binary, launch, topology
from routers import run as command

if TYPE_CHECKING:
    from run import Bench

VIP = "10.9.0.100"
SERVICES, SERVERS, PORT = 1000, 10, 8080
EVERY = 4  # seconds between two checks of a server
# One socket is all servers; it counts who has come.
LISTENER = f"""
import socket, sys
listener = socket.create_server(("", {PORT}), backlog=4096)
count = 0
while True:
    listener.accept()[0].close()
    count += 1
    if count % 500 == 0:
        print(count, flush=True)
"""


def config() -> str:
    lines = ["[checks.alive]", "tcp = {}", f'every = "{EVERY}s"', 'timeout = "3s"', "fall = 1"]
    for service in range(SERVICES):
        high, low = divmod(service, 250)
        servers = ", ".join(f'{{ name = "r{n}", address = "127.{high}.{low}.{n}" }}' for n in range(1, SERVERS + 1))
        lines += ["[[service]]", f'name = "s{service}"', 'checks = ["alive"]', 'forward = "nat"',
                  f'listen = {{ address = "10.{100 + high}.{low}.1", port = {PORT}, protocol = "tcp" }}', f"real-servers = [{servers}]"]
    return "\n".join(lines) + "\n"


def director(bench: Bench, host, priority: int) -> Daemon:
    directory = bench.scratch / f"fairway-{host.name}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "topology.toml").write_text(topology(host, Router((VIP,), interval=0.1, priority=priority), directory))
    command([binary("fairway-gen"), "director", str(directory / "topology.toml"), "--host", host.name, "--out", str(directory / "tree")])
    text = (directory / "tree/etc/fairway/director.toml").read_text()
    (directory / "director.toml").write_text(text + config())
    daemon = launch(host, directory, [binary("fairway-director"), "run", "--config", str(directory / "director.toml")],
                    {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory}/no-bus"})  # fmt: skip
    bench.daemons.append(daemon)
    return daemon


def memory(daemon: Daemon) -> int:
    """Resident, in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{daemon.process.pid}/status").read_text())[1])


def elections(daemon: Daemon) -> list[str]:
    return [line for line in daemon.log().splitlines() if "group-master" in line or "group-backup" in line]


def ten_thousand_failures(bench: Bench) -> None:
    """10,000 servers fail at once: the log is not flooded, memory stays, and nobody loses mastership."""
    counts = bench.scratch / "counts"
    with open(counts, "w") as out:
        listener = bench.a.spawn("python3", "-c", LISTENER, stdout=out)
    wait("the servers", lambda: f":{PORT} " in bench.a.run("ss", "-lnt"), 20)
    master, backup = director(bench, bench.a, 200), director(bench, bench.b, 100)

    def checked() -> int:
        return int((counts.read_text().split() or ["0"])[-1])

    wait("every server has been checked", lambda: checked() >= SERVICES * SERVERS, 60, 0.1)
    bench.alone(bench.a, bench.b, VIP, 20)
    time.sleep(EVERY / 2)
    before, said = memory(master), (len(master.log()), elections(master), elections(backup))

    listener.send_signal(signal.SIGKILL)
    listener.wait()

    def gone() -> int:
        return master.log()[said[0]:].count("real server is down")

    wait("the first failures", lambda: gone() > 0, 20)
    time.sleep(EVERY + 3)
    log = master.log()[said[0]:]
    # At most 250 of one kind a second, and the log says that it leaves the others out.
    assert 250 <= gone() <= 250 * (EVERY + 6), f"{gone()} records of failures"
    assert "the others are left out" in log, log[-2000:]
    assert len(log) < 2_000_000, f"{len(log)} bytes of log"
    assert "log records lost" not in log, "the log was not read fast enough"
    assert (elections(master), elections(backup)) == said[1:], f"an election: {elections(master)} {elections(backup)}"
    assert bench.a.holds(VIP) and not bench.b.holds(VIP), "the virtual IP has moved"
    grown = memory(master) - before
    assert grown < 20_000, f"{grown} KiB more than {before} KiB"


CASES = [ten_thousand_failures]
