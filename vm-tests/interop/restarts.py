"""Restart and crash of our director under a real systemd, beside another router on the LAN."""
from __future__ import annotations

import time

from lan import Host, now, wait
from routers import Router, fairway, keepalived
from service import Service, service

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
    if not kill_is_seen:
        time.sleep(router.master_down)  # by then a backup that does not hear the next process has taken over
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


def restart_by_systemd_at_10ms_and_by_unicast(bench) -> None:
    """systemctl restart under a real systemd, v3 at 10 ms by multicast and at 100 ms by unicast: the VIP stays, no takeover."""
    for router in (Router((VIP,), interval=0.01), Router((VIP,), interval=0.1, unicast=True)):
        ours, other = bench.up(service, bench.a, router.but(priority=200)), bench.up(fairway, bench.b, router)
        bench.alone(bench.a, bench.b, VIP, 20)
        held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
        for turn in range(1, 4):
            ours.restart()
            wait("the next process goes on", lambda: ours.log().count("going on as master") == turn, 20)
        time.sleep(0.5)
        gone, came = held.end(VIP), taken.end(VIP)
        assert not gone and not came, f"left our director: {gone}; taken over: {came}; our log: {ours.log()[-3000:]}"
        ours.stop()
        bench.alone(bench.b, bench.a, VIP, 20)
        other.lose(router)
        ours.end()


def restart_beside_keepalived_at_100ms(bench) -> None:
    """systemctl restart, v3 at 100 ms, keepalived as backup: it follows the longer interval and does not take over."""
    restarts(bench, Router((VIP,), version=3, interval=0.1), keepalived, kill_is_seen=True)


def restart_beside_keepalived_with_v2(bench) -> None:
    """systemctl restart and kill -9, v2 with AH at 1 s, keepalived as backup: the VIP stays, and it does not take over."""
    restarts(bench, Router((VIP,), version=2, interval=1, password="s3cret", auth="ah"), keepalived, kill_is_seen=False)


def take_over_without_systemd(bench) -> None:
    """fairway-director run --take-over, v3 at 100 ms beside ourselves: the running one ends, the VIP stays, no takeover."""
    router = Router((VIP,), version=3, interval=0.1)
    ours = bench.up(fairway, bench.a, router.but(priority=200))
    bench.up(fairway, bench.b, router.but(priority=100))
    bench.alone(bench.a, bench.b, VIP, router.master_down + 10)
    time.sleep(2 * router.interval)
    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    for turn in range(1, 3):
        before = ours
        ours = fairway(bench.a, router.but(priority=200), bench.scratch, None, True, "--take-over")
        bench.daemons.append(ours)
        assert before.process.wait(10) == 0
        wait("the next process goes on", lambda: ours.log().count("going on as master") == turn, 10)
        time.sleep(1)
    gone, came = held.end(VIP), taken.end(VIP)
    assert not gone and not came, f"left our director: {gone}; taken over: {came}; our log: {ours.log()[-3000:]}"
    ours.stop()
    bench.alone(bench.b, bench.a, VIP, router.master_down + 10)


def shutdown_stops_the_director_first(bench) -> None:
    """A shutdown stops our director, with a hand-over, before the network, the packet filter and D-Bus, as the unit file orders."""
    router = Router((VIP,), version=3, interval=0.25)
    ours = bench.up(service, bench.a, router.but(priority=200))
    bench.up(fairway, bench.b, router.but(priority=100))
    bench.alone(bench.a, bench.b, VIP, router.master_down + 10)
    # They stand for the units of those names, and note at their own stop whether the director had stopped.
    names = ["systemd-networkd.service", "nftables.service", "fairway-nftables.service", "dbus.service"]
    ours.add_unit("network.target", "[Unit]\nDescription=Network\n")
    for name in names:
        note = f"grep -q 'run: stopped' {ours.directory}/log && echo after >{ours.directory}/{name} || echo before >{ours.directory}/{name}"
        ours.add_unit(name, "[Unit]\nBefore=network.target\nWants=network.target\n" if name == "systemd-networkd.service" else "",
                      f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\nExecStop=/bin/sh -c \"{note}\"\n")  # fmt: skip
    ours.control("start", *names)
    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    ours.control("exit")  # what poweroff and reboot are to the system: exit.target, and with it shutdown.target
    paths = [ours.directory / name for name in names]
    wait("everything has stopped", lambda: all(path.exists() and path.read_text() for path in paths), 20, 0.1)
    assert {path.name: path.read_text().strip() for path in paths} == dict.fromkeys(names, "after")
    gone, came = held.end(VIP), taken.end(VIP)
    assert came, f"nobody took over: {ours.log()[-3000:]}"
    assert gone, f"the stopped director kept the VIP: {ours.log()[-3000:]}"
    bench.alone(bench.b, bench.a, VIP, router.master_down + 10)


def tracked_unit(bench) -> None:
    """A tracked unit of a real systemd: the group follows its stop and its start at once; a bus that goes is no failover."""
    plain = Router((VIP,), version=3, interval=0.25)
    # looked at by itself this rarely, so that what is seen is what systemd has told
    track = '[failover.edge.track]\nworker = { unit = "worker.service", every = "1h" }\n'
    ours = Service(bench.a, plain.but(priority=200, extra=track), bench.scratch)
    bench.daemons.append(ours)
    ours.add_unit("worker.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    ours.start_bus()
    ours.control("start", "worker.service", Service.name)
    bench.up(fairway, bench.b, plain)
    bench.alone(bench.a, bench.b, VIP, 20)
    ours.control("stop", "worker.service")
    bench.alone(bench.b, bench.a, VIP, 20)
    wait("the log says why", lambda: "tracker worker fails, which is a fault: worker.service is " in ours.log(), 5, 0.1)
    ours.control("start", "worker.service")
    bench.alone(bench.a, bench.b, VIP, 20)
    ours.control("stop", "dbus.socket", "dbus.service")
    bench.alone(bench.a, bench.b, VIP, 5)
    assert ours.log().count("tracker worker fails") == 1, ours.log()


CASES = [restart_by_systemd_at_100ms, restart_by_systemd_at_250ms_over_ipv6, restart_by_systemd_at_1s,
         restart_by_systemd_at_10ms_and_by_unicast,
         restart_beside_keepalived_at_100ms, restart_beside_keepalived_with_v2, tracked_unit,
         take_over_without_systemd, shutdown_stops_the_director_first]  # fmt: skip
