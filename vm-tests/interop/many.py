"""Ten thousand servers that fail at the same moment, and servers that misbehave in every way, behind directors at 100 ms."""
from __future__ import annotations

import re
import shutil
import signal
import subprocess
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


def director(bench: Bench, host, priority: int, services: str) -> Daemon:
    directory = bench.scratch / f"fairway-{host.name}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "topology.toml").write_text(topology(host, Router((VIP,), interval=0.1, priority=priority), directory))
    command([binary("fairway-gen"), "director", str(directory / "topology.toml"), "--host", host.name, "--out", str(directory / "tree")])
    text = (directory / "tree/etc/fairway/director.toml").read_text()
    (directory / "director.toml").write_text(text + services)
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
    master, backup = (director(bench, host, priority, config()) for host, priority in ((bench.a, 200), (bench.b, 100)))

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


# What a server does to who asks, at a port of its own: its name, and the code that runs once it has been asked.
HABITS = {
    "stalls": "time.sleep(60)",
    "drips": "[(talk.sendall(b'H'), time.sleep(1)) for _ in range(60)]",
    "floods": "talk.sendall(OK + b'\\r\\n'); [talk.sendall(bytes(1 << 20)) for _ in range(1024)]",
    "floods-headers": "talk.sendall(OK); [talk.sendall(b'X: y\\r\\n' * (1 << 17)) for _ in range(1024)]",
    "cuts": "talk.sendall(OK + b'Content-Le')",
    "sends-round": "talk.sendall(b'HTTP/1.1 302 Found\\r\\nLocation: /\\r\\nContent-Length: 0\\r\\n\\r\\n')",
    "babbles": "talk.sendall(os.urandom(5000))",
}
HOSTILE = """
import os, socket, threading, time
OK = b"HTTP/1.1 200 OK\\r\\n"
def serve(port, habit):
    listener = socket.create_server(("", port), backlog=512)
    def meet(talk):
        try:
            talk.recv(4096)
            exec(habit, {"talk": talk, "OK": OK, "time": time, "os": os})
        except OSError:
            pass
        talk.close()
    while True:
        threading.Thread(target=meet, args=(listener.accept()[0],), daemon=True).start()
for number, habit in enumerate(HABITS):
    threading.Thread(target=serve, args=(8000 + number, habit)).start()
"""
SAID = {
    "stalls": "timed out", "drips": "timed out", "floods": "does not match", "floods-headers": "header", "cuts": "closed",
    "sends-round": "status 302", "babbles": "",
}  # fmt: skip


def misbehaving_servers(bench: Bench) -> None:
    """100 servers that stall, drip, flood with a gigabyte, cut, send round or babble: each is down for its reason, said once; memory
    stays; and what is refused is down at once where fast-fail says so."""
    script = HOSTILE.replace("HABITS", repr(list(HABITS.values())))
    bench.a.spawn("python3", "-c", script)
    steady = bench.a.spawn("python3", "-c", LISTENER.replace(str(PORT), "9000"), stdout=subprocess.DEVNULL)
    wait("the servers", lambda: all(f":{port} " in bench.a.run("ss", "-lnt") for port in (8000, 8006, 9000)), 20)
    lines = [
        "[checks.http]", 'http = { path = "/", body = "needle" }', 'every = "1s"', 'timeout = "800ms"',
        "[checks.fast]", "tcp = {}", 'every = "1s"', "fall = 5", "fast-fail = true",
        "[checks.patient]", "tcp = {}", 'every = "1s"', "fall = 5",
    ]  # fmt: skip
    each = 14
    for number, name in enumerate(HABITS):
        servers = ", ".join(f'{{ name = "r{n}", address = "127.0.{number}.{n + 1}" }}' for n in range(each))
        lines += ["[[service]]", f'name = "{name}"', 'checks = ["http"]', 'forward = "nat"',
                  f'listen = {{ address = "10.100.0.1", port = {8000 + number}, protocol = "tcp" }}', f"real-servers = [{servers}]"]
    for number, name in enumerate(("fast", "patient")):
        lines += ["[[service]]", f'name = "{name}"', f'checks = ["{name}"]', 'forward = "nat"',
                  f'listen = {{ address = "10.100.0.2", port = {80 + number}, protocol = "tcp" }}',
                  'real-servers = [{ name = "one", address = "127.0.0.1", port = 9000 }]']
    daemon = director(bench, bench.a, 200, "\n".join(lines) + "\n")

    def down(name: str) -> list[str]:
        return [line for line in daemon.log().splitlines() if "real server is down" in line and f'service="{name}"' in line]

    for name in HABITS:
        wait(f"every server that {name} is down", lambda name=name: len(down(name)) >= each, 30, 0.2)
    before, elected = memory(daemon), elections(daemon)
    time.sleep(8)
    for name in HABITS:
        assert len(down(name)) == each, f"{name}: {len(down(name))} records for {each} servers"
        assert all(SAID[name] in line for line in down(name)), f"{name}: {down(name)[0]}"
    assert memory(daemon) - before < 8_000, f"{memory(daemon) - before} KiB more than {before} KiB"
    assert elections(daemon) == elected, elections(daemon)

    assert not down("fast") and not down("patient")
    began = time.monotonic()
    steady.kill()
    steady.wait()
    wait("the refused server is down", lambda: down("fast"), 3, 0.05)
    assert not down("patient"), "five failures in a row take longer"
    wait("the one that needs five failures is down", lambda: down("patient"), 15, 0.05)
    took = time.monotonic() - began
    assert took > 3.5, f"five failures at 1 s took {took:.1f} s"


CASES = [ten_thousand_failures, misbehaving_servers]
