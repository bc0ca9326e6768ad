"""Elected units of more than one network, several of them, and more than two routers."""
from __future__ import annotations

import time

from lan import run, wait
from routers import CHECKOUT, Daemon, Router, binary, fairway, keepalived, launch

VIP, OTHER = "10.9.0.100", "10.8.0.100"
SECOND = {"a": "10.8.0.1/24", "b": "10.8.0.2/24"}


def settle(bench, places: dict[str, str], seconds: float = 25, hosts: str = "ab") -> None:
    """Waits until each VIP is where it should be and nowhere else, and checks that it stays there."""

    def found() -> dict[str, str]:
        held = {name: bench.lan[name].held() for name in hosts}
        return {vip: "".join(name for name in hosts if vip in held[name]) for vip in places}

    wait(f"{places}", lambda: found() == places, seconds, 0.05)
    for _ in range(3):
        time.sleep(0.1)
        now = found()
        assert now == places, f"it was {places} and then became {now}"


def sync_group_with_keepalived(bench) -> None:
    """A group of two networks and keepalived's vrrp_sync_group, both ways: with one side cut, both VIPs move, and return together."""
    bench.lan.second(SECOND)
    router = Router((VIP,), interval=0.1, second=OTHER)
    for first, second in ((fairway, keepalived), (keepalived, fairway)):
        d1, d2 = bench.up(first, bench.a, router.but(priority=200)), bench.up(second, bench.b, router)
        settle(bench, {VIP: "a", OTHER: "a"})
        for device in ("eth1", "eth0"):
            bench.lan.cut(bench.a, True, device)
            settle(bench, {VIP: "b", OTHER: "b"})
            bench.lan.cut(bench.a, False, device)
            settle(bench, {VIP: "a", OTHER: "a"})
        for daemon in (d1, d2):
            daemon.lose(router)


def three_routers(bench) -> None:
    """Fairway 200, keepalived 150, Fairway 100, and the mirror: killed from the best on and started again from the worst on, each
    time exactly one is master."""
    router = Router((VIP,), interval=0.1)
    for kinds in ((fairway, keepalived, fairway), (keepalived, fairway, keepalived)):
        ranks = list(zip(kinds, (bench.a, bench.b, bench.c), (200, 150, 100), strict=True))

        def start(rank: int) -> Daemon:
            kind, host, priority = ranks[rank]
            return bench.up(kind, host, router.but(priority=priority))

        daemons = [start(rank) for rank in range(3)]
        settle(bench, {VIP: "a"}, hosts="abc")
        for rank, successor in ((0, "b"), (1, "c")):
            daemons[rank].lose(router)
            settle(bench, {VIP: successor}, hosts="abc")
        for rank, best in ((1, "b"), (0, "a")):
            daemons[rank] = start(rank)
            settle(bench, {VIP: best}, hosts="abc")
        for daemon in daemons:
            daemon.lose(router)


# Of gen/examples/routers-ah.toml: the hosts of both networks, and what each group has in them.
HOSTS = {"lvs1": "a", "lvs2": "b"}
FIRST = ("192.168.200.10", "192.168.200.11", "192.168.100.10")
SECOND_GROUP = ("192.168.200.12", "192.168.200.13", "192.168.100.11")


def both_at_work(bench) -> None:
    """The example routers-ah: each director holds its group's VIPs in both networks; with one killed the other holds all, and it
    takes its own back. At each change the groups stay whole."""
    bench.lan.second({"a": "192.168.100.5/24", "b": "192.168.100.6/24"})
    for name, address in (("a", "192.168.200.5/24"), ("b", "192.168.200.6/24")):
        bench.lan[name].run("ip", "addr", "add", address, "dev", "eth0")
    text = (CHECKOUT / "gen/examples/routers-ah.toml").read_text()
    for group in ("first", "second"):
        key = bench.scratch / group
        key.touch(0o600)
        key.write_text(f"{group[:1]}@l!ve1\n")
        assert f'"/etc/fairway/secrets/{group}"' in text
        text = text.replace(f"/etc/fairway/secrets/{group}", str(key))
    (bench.scratch / "topology.toml").write_text(text)

    def start(name: str) -> Daemon:
        host, directory = bench.lan[HOSTS[name]], bench.scratch / name
        run([binary("fairway-gen"), "director", str(bench.scratch / "topology.toml"), "--host", name, "--out", str(directory)])
        argv = [binary("fairway-director"), "run", "--config", str(directory / "etc/fairway/director.toml")]
        daemon = launch(host, directory, argv, {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={directory}/no-bus"})
        bench.daemons.append(daemon)
        return daemon

    def places(first: str, second: str) -> dict[str, str]:
        return {**dict.fromkeys(FIRST, first), **dict.fromkeys(SECOND_GROUP, second)}

    one, _ = start("lvs1"), start("lvs2")
    settle(bench, places("a", "b"))
    one.kill()
    for vip in FIRST:  # a host without power has no address either
        run(["ip", "-n", bench.a.space, "addr", "del", f"{vip}/32", "dev", "eth1" if ".100." in vip else "eth0"])
    settle(bench, places("b", "b"))
    one = start("lvs1")
    settle(bench, places("a", "b"))
    assert "password" not in one.log() and "dropped" not in one.log(), one.log()


CASES = [sync_group_with_keepalived, three_routers, both_at_work]
