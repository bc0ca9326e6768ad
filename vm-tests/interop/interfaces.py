"""Interfaces that go and come back, and the host's own address."""
from __future__ import annotations

import time

from lan import Host, run, wait
from routers import Router, fairway

VIP = "10.9.0.100"


def recreate(bench, host: Host, at_once: bool) -> None:
    """Deletes a host's veth and makes it again, as a driver that is loaded anew does; `at_once`: in one batch of netlink
    requests, so that nobody sees the host without it."""
    port = bench.lan.port(host)
    lines = [f"link del {port}", f"link add {port} type veth peer name eth0 netns {host.space}", f"link set {port} master br0 up"]
    inside = ["link set eth0 up", f"addr add {host.address}/24 dev eth0"]
    if at_once:
        run(["ip", "-n", bench.lan.switch, "-batch", "-"], text="\n".join(lines) + "\n")
        run(["ip", "-n", host.space, "-batch", "-"], text="\n".join(inside) + "\n")
        return
    for space, requests in ((bench.lan.switch, lines), (host.space, inside)):
        for request in requests:
            run(["ip", "-n", space, *request.split()])
            time.sleep(0.3)


def recreated(bench, router: Router) -> None:
    strong, weak = router.but(priority=200), router
    ours, other = bench.up(fairway, bench.a, strong), bench.up(fairway, bench.b, weak)
    bench.alone(bench.a, bench.b, VIP, 20)
    for at_once in (False, True):
        log = len(other.log())
        recreate(bench, bench.b, at_once)
        wait("the backup sees its interface come back", lambda: "eth0 is ready" in other.log()[log:], 20, 0.05)
        time.sleep(2 * weak.master_down)
        bench.alone(bench.a, bench.b, VIP, 20)
        assert "to=master" not in other.log()[log:], f"the backup became master: {other.log()[log:]}"

        log = len(ours.log())
        recreate(bench, bench.a, at_once)
        wait("the master sees its interface come back", lambda: "eth0 is ready" in ours.log()[log:], 20, 0.05)
        bench.alone(bench.a, bench.b, VIP, 20)
    # Both still hear and are heard.
    ours.stop()
    bench.alone(bench.b, bench.a, VIP, 20)
    other.stop()


def interface_recreated(bench) -> None:
    """The interface is deleted and made again on backup and master, slowly and at once: the group goes on without a restart."""
    recreated(bench, Router((VIP,), interval=0.1))


def interface_recreated_below_a_virtual_mac(bench) -> None:
    """The same with a virtual MAC, whose interface goes with the one below it."""
    recreated(bench, Router((VIP,), interval=0.1, virtual_mac=True))


CASES = [interface_recreated, interface_recreated_below_a_virtual_mac]
