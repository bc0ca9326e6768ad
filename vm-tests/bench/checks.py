"""What health checks cost, beside keepalived and a bare loop of connects; runs inside the guest.

    gcc -O2 -static -o target/check-limit vm-tests/bench/check_limit.c
    vm-tests/run --with target/check-limit --exec vm-tests/bench/checks.py [SERVERS] [SECONDS] [RUNS]

SERVERS servers in services of 100, one check a second each, over TCP and then over HTTP. Measured in one boot, in turn: the
limit (check_limit.c), fairway-director, keepalived: the checks that arrived at the server each second, the processor time of a
check, and the memory (proportional set size, all processes of an implementation) after SECONDS of checks.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRATCH = Path("/run/checks")
LIMIT = str(Path(__file__).resolve().parent / "check-limit")
TICK = os.sysconf("SC_CLK_TCK")
GROUP = 100  # servers of a service
SETTLE = 8.0


def rip(number: int) -> str:
    return f"10.20.{(number + 1) // 256}.{(number + 1) % 256}"


def groups(servers: int) -> list[range]:
    return [range(first, min(servers, first + GROUP)) for first in range(0, servers, GROUP)]


def keepalived_conf(servers: int, kind: str) -> str:
    check = {"tcp": "TCP_CHECK {\n connect_timeout 1\n retry 0\n }",
             "http": "HTTP_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 1\n retry 0\n }"}[kind]  # fmt: skip
    lines = ["global_defs {", " router_id checks", "}"]
    for number, group in enumerate(groups(servers)):
        lines += [f"virtual_server 10.30.0.{number + 1} 80 {{", " lb_algo rr", " lb_kind DR", " protocol TCP", " delay_loop 1"]
        lines += [f" real_server {rip(n)} 80 {{\n weight 1\n {check}\n }}" for n in group] + ["}"]
    return "\n".join(lines) + "\n"


def topology(servers: int, kind: str) -> str:
    probe = {"tcp": "tcp = {}", "http": 'http = { path = "/", status = [200] }'}[kind]
    lines = ["version = 1", "[cluster]", 'name = "checks"', "[networks.lan]", 'subnets = ["10.0.0.0/8"]',
             "[hosts.lb1]", 'interfaces.eth0 = { network = "lan", manage = false }',
             "[checks.alive]", probe, 'every = "1s"', 'timeout = "1s"', "rise = 1", "fall = 1", "[virtual-ips]"]  # fmt: skip
    lines += [f'v{number} = "10.30.0.{number + 1}"' for number in range(len(groups(servers)))]
    for number, group in enumerate(groups(servers)):
        lines += [f"[services.s{number}]", f'listen = ["v{number}:80"]', 'protocol = "tcp"', 'scheduler = "rr"', 'forward = "direct"',
                  'directors = ["lb1"]', 'checks = ["alive"]', f"[services.s{number}.real-servers]"]  # fmt: skip
        lines += [f'r{n} = {{ address = "{rip(n)}", managed = false }}' for n in group]
    return "\n".join(lines) + "\n"


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def used(pid: int) -> float:
    """Processor time in seconds."""
    fields = [Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split() for one in family(pid)]
    return sum(int(stat[11]) + int(stat[12]) for stat in fields) / TICK


def memory(pid: int, key: str) -> float:
    """In MB."""
    texts = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in family(pid)]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith(key + ":")) / 1024


class Server:
    """Answers at every address, and counts."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([LIMIT, "serve", "80"], stdout=subprocess.PIPE, text=True)
        self.line()

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def served(self) -> int:
        self.process.send_signal(signal.SIGUSR1)
        return int(self.line())


def daemon(argv: list[str], server: Server, seconds: int) -> dict[str, float]:
    with open(SCRATCH / "log", "wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/run/checks/no-bus"})  # fmt: skip
    time.sleep(SETTLE)
    before, served, start = used(process.pid), server.served(), time.monotonic()
    time.sleep(seconds)
    count, took = server.served() - served, time.monotonic() - start
    result = {"rate": count / took, "cpu_us": (used(process.pid) - before) / max(1, count) * 1e6,
              "pss_mb": memory(process.pid, "Pss"), "rss_mb": memory(process.pid, "Rss")}  # fmt: skip
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    subprocess.run(["ipvsadm", "-C"], check=True)
    return result


def limit(servers: int, kind: str, seconds: int) -> dict[str, float]:
    argv = [LIMIT, rip(0), str(servers), "80", kind, str(seconds)]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    count = max(1, found["passed"])
    return {"rate": count / seconds, "cpu_us": found["cpu_s"] / count * 1e6, "pss_mb": found["rss_kb"] / 1024, "rss_mb": found["rss_kb"] / 1024}


def main(servers: str = "1000", seconds: str = "15", runs: str = "2") -> None:
    count, duration = int(servers), int(seconds)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ip", "addr", "add", "10.20.0.1/16", "dev", "lo"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_rr"], check=True)
    server = Server()
    print("| kind | implementation | checks a second | processor time a check, us | of the limit | PSS, MB | RSS, MB |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("tcp", "http"):
        keepalived, tree = SCRATCH / f"{kind}.conf", SCRATCH / kind
        keepalived.write_text(keepalived_conf(count, kind))
        (SCRATCH / "topology.toml").write_text(topology(count, kind))
        subprocess.run(["fairway-gen", "director", str(SCRATCH / "topology.toml"), "--host", "lb1", "--out", str(tree)],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        ways = {
            "limit": lambda kind=kind: limit(count, kind, duration),
            "fairway": lambda tree=tree: daemon(["fairway-director", "run", "--config", f"{tree}/etc/fairway/director.toml"], server, duration),
            "keepalived": lambda conf=keepalived: daemon(["keepalived", "-n", "-l", "-C", "-f", str(conf), "-p", f"{SCRATCH}/k.pid", "-c", f"{SCRATCH}/kc.pid"], server, duration),
        }
        got: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for _ in range(int(runs)):
            for name, way in ways.items():
                got[name].append(way())
        middle = {name: {key: statistics.median(one[key] for one in all_of) for key in all_of[0]} for name, all_of in got.items()}
        for name, of in middle.items():
            share = of["cpu_us"] / middle["limit"]["cpu_us"]
            print(f"| {kind} | {name} | {of['rate']:.0f} | {of['cpu_us']:.0f} | {share:.2f} | {of['pss_mb']:.1f} | {of['rss_mb']:.1f} |", flush=True)
    server.process.kill()


main(*sys.argv[1:])
