"""The director for a quarter of an hour with servers that flap; runs inside the guest.

    gcc -O2 -static -o target/check-limit vm-tests/bench/check_limit.c
    vm-tests/run --with target/check-limit --exec vm-tests/bench/soak.py [MINUTES] [SERVERS]

Every second some of the servers become unreachable, or reachable again, and now and then somebody deletes or reweighs entries by
hand or reloads the director. Once a minute they are left alone: the kernel's table must become exactly what the servers are, and
memory and descriptors are written down. Fails where the table does not, or where either has grown since the second minute.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRATCH = Path("/run/soak")
LIMIT = str(Path(__file__).resolve().parent / "check-limit")
GROUP = 50  # servers of a service
GROWTH_MB = 2.0  # that an allocator's caches may take


def rip(number: int) -> str:
    return f"10.20.{(number + 1) // 256}.{(number + 1) % 256}"


def config(servers: int) -> str:
    lines = ["version = 1", 'cluster = "soak"', 'host = "lb1"', "[ipvs]", 'audit-period = "5s"', "[checks.alive]",
             'every = "1s"', 'timeout = "800ms"', "rise = 1", "fall = 1", "fast-fail = true", 'http = { path = "/" }']  # fmt: skip
    for first in range(0, servers, GROUP):
        lines += ["[[service]]", f'name = "s{first}"', f'listen = {{ address = "10.30.0.{first // GROUP + 1}", port = 80, protocol = "tcp" }}',
                  'scheduler = "wrr"', 'checks = ["alive"]', "real-servers = ["]  # fmt: skip
        lines += [f'  {{ name = "r{n}", address = "{rip(n)}", forward = "direct", weight = 5 }},' for n in range(first, min(servers, first + GROUP))]
        lines.append("]")
    return "\n".join(lines) + "\n"


def reach(verb: str, servers: set[int]) -> None:
    """Adds or deletes routes that say that servers are unreachable."""
    lines = "".join(f"route {verb} unreachable {rip(n)}/32 table local\n" for n in sorted(servers))
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)


def table() -> dict[str, int]:
    """The servers in the kernel, and their weights."""
    found = {}
    for line in Path("/proc/net/ip_vs").read_text().splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            address = ".".join(str(int(words[1][k : k + 2], 16)) for k in range(0, 8, 2))
            found[address] = int(words[3])
    return found


def state(pid: int) -> tuple[float, int, int]:
    """Memory of its own in MB, descriptors, threads."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])


def main(minutes: str = "15", servers: str = "400") -> None:
    count, ends = int(servers), int(minutes)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    file = SCRATCH / "director.toml"
    file.write_text(config(count))
    subprocess.run(["ip", "addr", "add", "10.20.255.254/16", "dev", "lo"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_wrr"], check=True)
    server = subprocess.Popen([LIMIT, "serve", "80"], stdout=subprocess.DEVNULL)
    with open(SCRATCH / "log", "wb") as log:
        director = subprocess.Popen(["fairway-director", "run", "--config", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/soak/no-bus"})  # fmt: skip
    down: set[int] = set()
    choose, flaps, first = random.Random(1), 0, None
    print("| minute | flaps | memory, MB | descriptors | threads | until the table was right, s |\n|---|---|---|---|---|---|", flush=True)
    for minute in range(1, ends + 1):
        until = time.monotonic() + 60
        while time.monotonic() < until - 15:
            some = {choose.randrange(count) for _ in range(choose.choice((1, 5, count // 4)))}
            fall, rise = some - down, some & down
            reach("add", fall)
            reach("delete", rise)
            down, flaps = down ^ some, flaps + len(some)
            if choose.random() < 0.1:  # somebody's hand; what it meant to change may be gone already
                n = choose.randrange(count)
                subprocess.run(["ipvsadm", "-d", "-t", f"10.30.0.{n // GROUP + 1}:80", "-r", f"{rip(n)}:80"], check=False, stderr=subprocess.DEVNULL)
            if choose.random() < 0.05:
                director.send_signal(signal.SIGHUP)
            time.sleep(1)
        left_alone = time.monotonic()
        wanted = {rip(n): 5 for n in range(count) if n not in down}
        while (found := table()) != wanted:
            assert director.poll() is None, f"the director has ended: {(SCRATCH / 'log').read_text()[-3000:]}"
            if time.monotonic() > left_alone + 60:
                raise SystemExit(f"minute {minute}: too much {found.items() - wanted.items()}, missing {wanted.items() - found.items()}")
            time.sleep(0.2)
        took = time.monotonic() - left_alone
        time.sleep(max(0.0, until - time.monotonic()))
        memory, descriptors, threads = state(director.pid)
        print(f"| {minute} | {flaps} | {memory:.1f} | {descriptors} | {threads} | {took:.1f} |", flush=True)
        if minute == 2:
            first = memory, descriptors, threads
        if first:
            assert memory <= first[0] + GROWTH_MB, f"{memory:.1f} MB, and {first[0]:.1f} in the second minute"
            assert descriptors <= first[1] + 4 and threads <= first[2], f"{descriptors} descriptors and {threads} threads, in the second minute {first}"
    director.send_signal(signal.SIGTERM)
    director.wait(30)
    assert not table(), "a stop leaves nothing"
    server.kill()
    print(f"{ends} minutes, {flaps} flaps of {count} servers: nothing has grown, every table was right")


main(*sys.argv[1:])
