"""Elected units of more than one network, several of them, and more than two routers."""
from __future__ import annotations

import time

from lan import wait
from routers import Daemon, Router, _clean, fairway, keepalived

VIP, OTHER = "10.9.0.100", "10.8.0.100"
SECOND = {"a": "10.8.0.1/24", "b": "10.8.0.2/24"}


def where(bench, vip: str, hosts: str = "ab") -> str:
    """The names of the hosts that have a VIP."""
    return "".join(name for name in hosts if bench.lan[name].holds(vip))


def settle(bench, places: dict[str, str], seconds: float = 25, hosts: str = "ab") -> None:
    """Waits until each VIP is where it should be and nowhere else, and checks that it stays there."""
    wait(f"{places}", lambda: all(where(bench, vip, hosts) == place for vip, place in places.items()), seconds, 0.05)
    for _ in range(3):
        time.sleep(0.1)
        found = {vip: where(bench, vip, hosts) for vip in places}
        assert found == places, f"it was {places} and then became {found}"


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
            daemon.stop()
        settle(bench, {VIP: "", OTHER: ""}, 5)


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
            daemons[rank].kill()
            _clean(ranks[rank][1], router)  # a host without power has no address either
            settle(bench, {VIP: successor}, hosts="abc")
        for rank, best in ((1, "b"), (0, "a")):
            daemons[rank] = start(rank)
            settle(bench, {VIP: best}, hosts="abc")
        for daemon, successor in zip(daemons, ("b", "c", ""), strict=True):
            daemon.stop()
            settle(bench, {VIP: successor}, hosts="abc")


CASES = [sync_group_with_keepalived, three_routers]
