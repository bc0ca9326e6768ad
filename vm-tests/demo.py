"""The story ./demo tells, inside the guest."""

from __future__ import annotations

import time
from pathlib import Path

from lab import Lab, Result, eventually, topology

PACE = 0.005


def title(text: str) -> None:
    print(f"\n== {text}\n", flush=True)


def show(text: str, indent: str = "    ") -> None:
    for line in text.rstrip().splitlines():
        print(f"{indent}{line}".rstrip(), flush=True)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def without_comments(text: str) -> str:
    """The lines that say something, sections apart."""
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(f"\n{line}" if line.startswith("[") and number else line for number, line in enumerate(kept))


def verdict(result: Result) -> str:
    text = f"{len(result.requests)} new connections, {len(result.lost)} lost"
    text += f", outage {milliseconds(result.outage())}" if result.lost else ""
    return text + (f"; interrupted, of those open already: {len(result.interrupted)}" if result.interrupted else "")


def main() -> None:
    text = topology("direct")
    title("One topology file: gen/examples/direct.toml")
    show(without_comments(text))

    lab = Lab(text)
    title("What `fairway-gen all` wrote for each host, and each host now applies")
    for tree in sorted(path for path in lab.trees.iterdir() if path.is_dir()):
        files = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
        print(f"    {tree.name:5} {files[0]}")
        for file in files[1:]:
            print(f"          {file}")
    print("\n    lb1's etc/fairway/director.toml:\n")
    show((lab.trees / "lb1/etc/fairway/director.toml").read_text(), "      ")

    title("The cluster starts: two directors, two web servers, a client, on one LAN")
    started = time.monotonic()
    lab.start()
    print(f"    lb1 elected and all servers checked after {milliseconds(time.monotonic() - started)}. On lb1, `fairwayctl status`:\n")
    show(lab.directors["lb1"].control("status"))
    print(f"\n    lb2 says {lab.directors['lb2'].state()}. The VIP {lab.vip} is on lb1 only.")

    title("400 new connections through the kernel's IPVS")
    result = lab.get(400, pace=PACE)
    print(f"    the client counted: {result}. On lb1, `ipvsadm -Ln --stats`:\n")
    time.sleep(2.5)  # the kernel adds its counters up every two seconds
    show(lab.hosts["lb1"].run("ipvsadm", "-Ln", "--stats"))

    web_server(lab)
    power_loss(lab)
    process_killed(lab)
    graceful_stop(lab)

    title("That was it")
    print("    Times are those of an emulated machine; docs/explanation/performance.md has figures from a real one. Connections that")
    print("    are open when the VIP moves break: this topology is without [connection-sync].\n")
    print("    by hand: vm-tests/run --shell        everything tested: vm-tests/run --list, ./test")


def web_server(lab: Lab) -> None:
    title("web1's server is stopped, while the client goes on")
    load = lab.load(pace=PACE)
    lab.servers["web1"].stop()
    out = eventually(lambda: lab.serving("lb1") == {"web2"}, "web1 is taken out")
    time.sleep(1.0)
    result = load.stop()
    print(f"    taken out after {milliseconds(out)} (checked every 1 s, two failures count): {len(result.requests)} requests,")
    print(f"    {len(result.failed)} of those meant for web1 failed, within {milliseconds(result.affected())}; web2 served all the time")
    print("\n    web1's server is started again")
    load = lab.load(pace=PACE)
    lab.servers["web1"].start()
    back = eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "web1 is back")
    time.sleep(1.0)
    result = load.stop()
    print(f"    back after {milliseconds(back)}; {verdict(result)}")


def power_loss(lab: Lab) -> None:
    title("lb1 loses its power: processes gone, links dead, no goodbye")
    load = lab.load(pace=PACE)
    lab.hosts["lb1"].cut_power()
    took = eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over")
    time.sleep(1.5)
    result = load.stop()
    print(f"    lb2 holds the VIP after {milliseconds(took)} (adverts every 250 ms, three may be lost); {verdict(result)}")
    show(lab.directors["lb2"].control("status"))
    print("\n    lb1 boots again and, being preferred, takes the VIP back")
    load = lab.load(pace=PACE)
    lab.power_on("lb1")
    lab.settle()
    time.sleep(1.0)
    print(f"    {verdict(load.stop())}")


def process_killed(lab: Lab) -> None:
    title("lb1's director process is killed (kill -9) and started again by its supervisor 100 ms later")
    load = lab.load(pace=PACE)
    lab.directors["lb1"].kill()
    time.sleep(0.1)
    lab.directors["lb1"].start()
    lab.settle()
    time.sleep(1.0)
    print(f"    the addresses and the table stayed, the new process took them over; {verdict(load.stop())}")


def graceful_stop(lab: Lab) -> None:
    title("lb1 is stopped in order (SIGTERM): it serves until lb2 has taken over")
    load = lab.load(pace=PACE)
    begun = time.monotonic()
    took = lab.directors["lb1"].stop()
    time.sleep(0.5)
    result = load.stop()
    gap = result.since(begun - 0.5).longest_gap()
    print(f"    {verdict(result)}; longest pause between two answers {milliseconds(gap)}; lb1's process took {took:.1f} s to end")
    left = [a["local"] for a in lab.hosts["lb1"].addresses() if a["local"] == lab.vip]
    print(f"    left on lb1: {'the VIP' if left else 'no VIP'}, {len(lab.table('lb1'))} IPVS services")


Path("/run/lab").mkdir(parents=True, exist_ok=True)
main()
