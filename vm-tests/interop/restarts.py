"""Restart and crash of our director under a real systemd, beside another router on the LAN."""
from __future__ import annotations

import time

from lan import Host, now, wait
from routers import Router, fairway, keepalived
from service import service

VIP, VIP6 = "10.9.0.100", "fd00:9::100"


class Watch:
    """Whether a virtual IP comes or goes on a host: by the kernel's own news, so that nothing is missed."""

    def __init__(self, bench, host: Host) -> None:
        self.path = bench.scratch / f"watch-{host.name}-{now():.6f}"
        self.process = host.spawn("ip", "monitor", "address", stdout=open(self.path, "w"))
        time.sleep(0.3)  # until it has subscribed

    def end(self, vip: str) -> list[str]:
        time.sleep(0.1)
        self.process.kill()
        self.process.wait()
        return [line for line in self.path.read_text().splitlines() if f" {vip}/" in line]


def restarts(bench, router: Router, peer, kill_is_seen: bool) -> None:
    """`systemctl restart` of our master, three times: the VIP stays, and the other router does not take over. Then
    kill -9: the same, unless `kill_is_seen` because the other router may be faster than the restart."""
    vip = router.vips[0]
    ours = bench.up(service, bench.a, router.but(priority=200))
    bench.up(peer, bench.b, router.but(priority=100))
    bench.alone(bench.a, bench.b, vip, router.master_down + 10)
    time.sleep(2 * router.interval)  # the backup has heard it
    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    sockets = []
    for turn in range(1, 4):
        before = ours.property("MainPID")
        ours.restart()
        assert ours.property("MainPID") != before
        wait("the next process goes on", lambda: ours.log().count("going on as master") == turn, 10)
        wait("systemd keeps nothing any more", lambda: ours.property("NFileDescriptorStore") == "0", 10, 0.1)
        time.sleep(router.interval)
        sockets.append(ours.raw_sockets())
    gone, came = held.end(vip), taken.end(vip)
    assert not gone and not came, f"left our director: {gone}; taken over: {came}; our log: {ours.log()[-3000:]}"
    assert sockets[0] == sockets[1] == sockets[2] > 0, f"raw sockets after each restart: {sockets}"

    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    ours.kill()
    wait("systemd starts it again", lambda: (ours.property("NRestarts"), ours.property("SubState")) == ("1", "running"), 20, 0.1)
    bench.alone(bench.a, bench.b, vip, router.master_down + 10)
    gone, came = held.end(vip), taken.end(vip)
    assert kill_is_seen or (not gone and not came), f"kill -9: left our director: {gone}; taken over: {came}; our log: {ours.log()[-3000:]}"
    ours.stop()
    bench.alone(bench.b, bench.a, vip, router.master_down + 10)


def restart_by_systemd_at_100ms(bench) -> None:
    """systemctl restart under a real systemd, v3 at 100 ms: the VIP stays, no takeover; after kill -9 one master."""
    restarts(bench, Router((VIP,), version=3, interval=0.1), fairway, kill_is_seen=True)


def restart_by_systemd_at_250ms_over_ipv6(bench) -> None:
    """systemctl restart under a real systemd, IPv6 at 250 ms: the VIP stays, no takeover; after kill -9 one master."""
    restarts(bench, Router((VIP6,), version=3, interval=0.25), fairway, kill_is_seen=True)


def restart_by_systemd_at_1s(bench) -> None:
    """systemctl restart and kill -9 under a real systemd, v3 at 1 s: the VIP stays, and nobody takes over."""
    restarts(bench, Router((VIP,), version=3, interval=1), fairway, kill_is_seen=False)


def restart_beside_keepalived_at_100ms(bench) -> None:
    """systemctl restart, v3 at 100 ms, keepalived as backup: it follows the longer interval and does not take over."""
    restarts(bench, Router((VIP,), version=3, interval=0.1), keepalived, kill_is_seen=True)


def restart_beside_keepalived_with_v2(bench) -> None:
    """systemctl restart and kill -9, v2 with AH at 1 s, keepalived as backup: the VIP stays, and it does not take over."""
    restarts(bench, Router((VIP,), version=2, interval=1, password="s3cret", auth="ah"), keepalived, kill_is_seen=False)


CASES = [restart_by_systemd_at_100ms, restart_by_systemd_at_250ms_over_ipv6, restart_by_systemd_at_1s,
         restart_beside_keepalived_at_100ms, restart_beside_keepalived_with_v2]  # fmt: skip
