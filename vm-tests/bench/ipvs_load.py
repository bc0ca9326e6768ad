"""Loading many services into the kernel, beside keepalived and ipvsadm; runs inside the guest.

    vm-tests/run --exec vm-tests/bench/ipvs_load.py [SERVICESxSERVERS] [RUNS]

Measured in one boot, from the start of the program until /proc/net/ip_vs shows every service and server: `ipvsadm -R`,
keepalived, and fairway-director; then from SIGHUP until one server's changed weight is there, and from SIGTERM to the end of
each, and the entries left behind. The limit is what the kernel itself needs for the same entries: netlink messages that were built
before, sent by one socket. The topology was rendered before: fairway-gen runs when a cluster is deployed.

Each run has a network namespace of its own. The kernel keeps deleted servers on a list for two minutes and searches it for each
server that is added (ip_vs_trash_get_dest), so a table that somebody has just emptied loads more slowly, for every program.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from syscalls import enter_netns

SCRATCH = Path("/run/load")
now = time.monotonic


def vip(service: int) -> str:
    return f"10.1.{service // 250}.{1 + service % 250}"


def rip(service: int, server: int, servers: int) -> str:
    number = service * servers + server
    return f"10.2.{number // 250 % 256}.{1 + number % 250}"


def rules(services: int, servers: int) -> str:
    lines = []
    for s in range(services):
        lines.append(f"-A -t {vip(s)}:80 -s wrr")
        lines += [f"-a -t {vip(s)}:80 -r {rip(s, r, servers)}:80 -g -w 10" for r in range(servers)]
    return "\n".join(lines) + "\n"


def keepalived_conf(services: int, servers: int) -> str:
    lines = ["global_defs {", "  router_id load", "}"]
    for s in range(services):
        lines += [f"virtual_server {vip(s)} 80 {{", "  lb_algo wrr", "  lb_kind DR", "  protocol TCP"]
        for r in range(servers):
            lines += [f"  real_server {rip(s, r, servers)} 80 {{", "    weight 10", "  }"]
        lines.append("}")
    return "\n".join(lines) + "\n"


def topology(services: int, servers: int) -> str:
    lines = ["version = 1", "[cluster]", 'name = "load"', "[networks.lan]", 'subnets = ["10.0.0.0/8"]',
             "[hosts.lb1]", 'interfaces.eth0 = { network = "lan", manage = false }', "[virtual-ips]"]  # fmt: skip
    lines += [f'v{s} = "{vip(s)}"' for s in range(services)]
    for s in range(services):
        lines += [f"[services.s{s}]", f'listen = ["v{s}:80"]', 'protocol = "tcp"', 'scheduler = "wrr"', 'forward = "direct"',
                  'directors = ["lb1"]', f"[services.s{s}.real-servers]"]  # fmt: skip
        lines += [f'r{r} = {{ address = "{rip(s, r, servers)}", weight = 10, managed = false }}' for r in range(servers)]
    return "\n".join(lines) + "\n"


def entries() -> int:
    """Services and servers in the kernel: every line below the three of the head."""
    return max(0, Path("/proc/net/ip_vs").read_bytes().count(b"\n") - 3)


def until(count: int, start: float, limit: float = 60.0) -> float:
    """Milliseconds from `start` until the kernel holds `count` entries. Looking costs time too, so it rests between looks."""
    while now() - start < limit:
        looked = now()
        found = entries()
        if found == count:
            return (looked - start) * 1e3
        time.sleep(max(0.002, 4 * (now() - looked)))
    log = SCRATCH / "log"
    raise SystemExit(f"{entries()} of {count} entries after {limit:g} s; {log.read_text()[-2000:] if log.exists() else ''}")


def fresh() -> None:
    """Moves this process into a network namespace in which IPVS was never used. The one before is emptied first: with
    services in two namespaces, /proc/net/ip_vs skips some of them (its positions count the other's, too)."""
    subprocess.run(["ipvsadm", "-C"], check=True)
    fresh.number += 1
    name = f"load{fresh.number}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    enter_netns(name)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # without any route the kernel refuses every server


fresh.number = 0


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(family: int, command: int, payload: bytes, acknowledged: bool = False) -> bytes:
    """A generic netlink request (linux/genetlink.h)."""
    return struct.pack("IHHIIBBH", 20 + len(payload), family, 5 if acknowledged else 1, 1, 0, command, 1, 0) + payload


def limit(services: int, servers: int, emptied: bool = False) -> dict[str, float]:
    """The same entries, written by hand (linux/ip_vs.h, its netlink section); into a new table, or into one that has just
    been `emptied` of them."""
    if not emptied:
        fresh()
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)  # NETLINK_GENERIC
    netlink.bind((0, 0))
    netlink.send(message(16, 3, attribute(2, b"IPVS\0")))  # CTRL_CMD_GETFAMILY; attribute 1 of the answer is the family
    family = 0
    reply, at = netlink.recv(65536), 20
    while at < len(reply):
        length, kind = struct.unpack_from("HH", reply, at)
        if kind == 1:
            family = struct.unpack_from("H", reply, at + 4)[0]
        at += (length + 3) & ~3

    def key(s: int) -> bytes:
        address = socket.inet_aton(vip(s)) + bytes(12)
        return attribute(1, struct.pack("H", socket.AF_INET)) + attribute(2, struct.pack("H", 6)) + attribute(3, address) + attribute(4, struct.pack(">H", 80))

    number = lambda kind, value: attribute(kind, struct.pack("I", value))  # noqa: E731
    messages = []
    for s in range(services):
        settings = attribute(6, b"wrr\0") + attribute(7, struct.pack("II", 0, 0xFFFFFFFF)) + number(8, 0) + number(9, 0xFFFFFFFF)
        messages.append(message(family, 1, attribute(0x8001, key(s) + settings)))  # NEW_SERVICE
        for r in range(servers):
            server = attribute(1, socket.inet_aton(rip(s, r, servers)) + bytes(12)) + attribute(2, struct.pack(">H", 80))
            server += number(3, 3) + number(4, 10) + number(5, 0) + number(6, 0)
            messages.append(message(family, 5, attribute(0x8001, key(s)) + attribute(0x8002, server)))  # NEW_DEST
    batches = [b"".join(messages[n : n + 64]) for n in range(0, len(messages), 64)]
    start = now()
    for batch in batches:
        netlink.send(batch)
    took = (now() - start) * 1e3
    netlink.close()
    assert entries() == len(messages), f"{entries()} of {len(messages)} entries"
    start = now()
    subprocess.run(["ipvsadm", "-C"], check=True)
    return {"load_ms": took, "reload_ms": float("nan"), "stop_ms": (now() - start) * 1e3, "left": entries()}


def reweighed(start: float) -> float:
    """Milliseconds from `start` until one server has weight 11."""
    while now() - start < 60:
        looked = now()
        if any(line.split()[3:4] == ["11"] for line in Path("/proc/net/ip_vs").read_text().splitlines()[3:]):
            return (looked - start) * 1e3
        time.sleep(max(0.002, now() - looked))
    raise SystemExit("no server with the new weight after 60 s")


def daemon(argv: list[str], config: Path, count: int) -> dict[str, float]:
    fresh()
    with open(SCRATCH / "log", "ab") as log:
        start = now()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/load/no-bus"})  # fmt: skip
    load = until(count, start)
    time.sleep(2)
    before = config.read_text()
    config.write_text(before.replace("weight = 10", "weight = 11", 1).replace("    weight 10", "    weight 11", 1))
    start = now()
    process.send_signal(signal.SIGHUP)
    reload = reweighed(start)
    config.write_text(before)
    time.sleep(1)
    start = now()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
    return {"load_ms": load, "reload_ms": reload, "stop_ms": (now() - start) * 1e3, "left": entries()}


def restore(text: str, count: int) -> dict[str, float]:
    fresh()
    start = now()
    process = subprocess.Popen(["ipvsadm", "-R"], stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(text)
    process.stdin.close()
    load = until(count, start)
    process.wait()
    start = now()
    subprocess.run(["ipvsadm", "-C"], check=True)
    return {"load_ms": load, "reload_ms": float("nan"), "stop_ms": (now() - start) * 1e3, "left": entries()}


def main(size: str = "1000x10", runs: str = "3") -> None:
    services, servers = map(int, size.split("x"))
    count = services * (servers + 1)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    (SCRATCH / "keepalived.conf").write_text(keepalived_conf(services, servers))
    (SCRATCH / "topology.toml").write_text(topology(services, servers))
    start = now()
    tree = SCRATCH / "tree"
    subprocess.run(["fairway-gen", "director", str(SCRATCH / "topology.toml"), "--host", "lb1", "--out", str(tree)],
                   check=True, stdout=subprocess.DEVNULL)
    generated = (now() - start) * 1e3
    text = rules(services, servers)
    keepalived = ["keepalived", "-n", "-l", "-C", "-f", f"{SCRATCH}/keepalived.conf", "-p", f"{SCRATCH}/k.pid", "-c", f"{SCRATCH}/kc.pid"]
    fairway = ["fairway-director", "run", "--config", f"{tree}/etc/fairway/director.toml"]
    ways = {
        "the kernel's own limit": lambda: limit(services, servers),
        "the same, the table emptied before": lambda: limit(services, servers, emptied=True),
        "ipvsadm -R": lambda: restore(text, count),
        "keepalived": lambda: daemon(keepalived, SCRATCH / "keepalived.conf", count),
        "fairway": lambda: daemon(fairway, tree / "etc/fairway/director.toml", count),
    }
    got: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(int(runs)):  # in turn, so that what else the machine does falls on all alike
        for name, way in ways.items():
            got[name].append(way())
    print(f"| {services} services x {servers} servers | load, ms | one weight changed, ms | stop, ms | entries left |")
    print("|---|---|---|---|---|")
    for name, results in got.items():
        def span(key: str, results: list[dict[str, float]] = results) -> str:
            values = [result[key] for result in results]
            if values[0] != values[0]:  # not a number: nothing to measure
                return ""
            return f"{statistics.median(values):.0f} ({min(values):.0f}..{max(values):.0f})"
        print(f"| {name} | {span('load_ms')} | {span('reload_ms')} | {span('stop_ms')} | {max(r['left'] for r in results):.0f} |")
    print(f"\nfairway-gen rendered the director's files in {generated:.0f} ms.")
    print(json.dumps(got))


main(*sys.argv[1:])
