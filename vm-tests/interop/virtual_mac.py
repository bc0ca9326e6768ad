"""Virtual MACs: the client's neighbour cache never changes, whoever is master, and adverts carry the MAC as source."""
from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from lan import Host, now, run, wait
from restarts import Watch
from routers import Router, fairway, keepalived, write_fairway

VIP, VIP6 = "10.9.0.100", "fd00:9::100"
ROUTER = Router((VIP,), version=3, interval=0.1, virtual_mac=True)
SLACK = 0.35
WIRE = Path(__file__).resolve().parents[1] / "host/wire.py"


class Neighbours:
    """Every MAC address that a host learns for an address: by the kernel's own news, so that nothing is missed."""

    def __init__(self, bench, host: Host, address: str) -> None:
        self.path, self.address = bench.scratch / f"neighbours-{now():.6f}", address
        self.process = host.spawn("ip", "monitor", "neigh", stdout=open(self.path, "w"))
        time.sleep(0.3)  # until it has subscribed

    def end(self) -> set[str]:
        time.sleep(0.1)
        self.process.kill()
        self.process.wait()
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return {words[words.index("lladdr") + 1] for words in lines if self.address in words and "lladdr" in words}


def answers(bench, vip: str, host: Host) -> None:
    """The client reaches the VIP, and it is `host` that answers."""

    def reached() -> bool:
        report = bench.c.run("python3", str(WIRE), "probe", vip, "7000", "10000", "100")
        return list(json.loads(report)["by"]) == [host.name]

    wait(f"{host.name} answers for {vip}", reached, 5, 0.05)


def sources(bench, milliseconds: int) -> dict[str, set[str]]:
    """The source MACs of adverts, by the router's address."""
    argv = ["ip", "netns", "exec", bench.lan.switch, "python3", str(WIRE), "adverts", str(milliseconds)]
    watch = run(argv)
    found: dict[str, set[str]] = {}
    for _, source, _, _, mac in json.loads(watch.splitlines()[-1]):
        found.setdefault(source, set()).add(mac)
    return found


def both_masters(bench, router: Router, first, second) -> None:
    """Election, power loss and preempting return; the client keeps one MAC address for the VIP all the time."""
    vip = router.vips[0]
    strong, weak = router.but(priority=200), router.but(priority=100)
    bench.c.run("ip", "neigh", "flush", "all")
    # keepalived's hosts ask for the client with the VIP as sender and the interface's own MAC, unless told not to
    {fairway: bench.b, keepalived: bench.a}[first].run("sysctl", "-qw", "net.ipv4.conf.all.arp_announce=2")
    learned = Neighbours(bench, bench.c, vip)
    first_up, second_up = bench.up(first, bench.a, strong), bench.up(second, bench.b, weak)
    bench.alone(bench.a, bench.b, vip, router.master_down + 5)
    answers(bench, vip, bench.a)
    sent = sources(bench, 600)
    expected = bench.a.mac() if router.from_base else router.mac
    assert list(sent.values()) == [{expected}], f"adverts came from {sent}, expected {expected}"
    t = first_up.kill()
    bench.a.link("down")
    took = wait("the backup takes over", lambda: bench.b.holds(vip), weak.master_down + 2) - t
    assert took <= weak.master_down + SLACK, f"{second.__name__} took over after {took:.3f} s; bound {weak.master_down:.3f} s"
    answers(bench, vip, bench.b)
    for device in links(bench.a).keys() - {"eth0", "lo"}:  # what the killed router left
        run(["ip", "-n", bench.a.space, "link", "del", device])
    bench.a.link("up")
    first_up = bench.up(first, bench.a, strong)
    bench.alone(bench.a, bench.b, vip, strong.master_down + 5)
    answers(bench, vip, bench.a)
    assert bench.c.neighbour(vip) == router.mac, bench.c.neighbour(vip)
    macs = learned.end()
    owners = {bench.a.mac(): "a", bench.b.mac(): "b", router.mac: "virtual"}
    assert macs == {router.mac}, f"the client learned {[owners.get(mac, mac) for mac in macs]} for {vip}"
    for daemon in (first_up, second_up):
        daemon.stop()
    for host in (bench.a, bench.b):
        assert not host.holds(vip), f"{host.name} still holds {vip} after a stop"


def virtual_mac_beside_keepalived(bench) -> None:
    """keepalived's use_vmac and ours, both roles: power loss, preempting return, one MAC address for the client."""
    bench.echo(VIP)
    for first, second in ((fairway, keepalived), (keepalived, fairway)):
        both_masters(bench, ROUTER, first, second)


def virtual_mac_over_ipv6(bench) -> None:
    """The same over IPv6, ours in front."""
    bench.echo(VIP6)
    both_masters(bench, ROUTER.but(vips=(VIP6,)), fairway, keepalived)


def virtual_mac_with_adverts_from_the_base(bench) -> None:
    """keepalived with vmac_xmit_base, we with transmit-from-base: adverts have the interface's own MAC address."""
    bench.echo(VIP)
    both_masters(bench, ROUTER.but(from_base=True), fairway, keepalived)


def virtual_mac_is_kept(bench) -> None:
    """Our virtual MAC through deletion by others, a change of process, reloads that switch it off and on, and a stop."""
    ours, device = bench.up(fairway, bench.a, ROUTER.but(priority=200)), "vmac51"
    bench.up(fairway, bench.b, ROUTER.but(priority=100))
    bench.echo(VIP)
    bench.alone(bench.a, bench.b, VIP, 10)
    answers(bench, VIP, bench.a)
    taken = Watch(bench, bench.b)

    run(["ip", "-n", bench.a.space, "link", "del", device])
    wait("it is made again", lambda: VIP in bench.a.addresses(device) if device in links(bench.a) else False)
    answers(bench, VIP, bench.a)
    assert "it is as it was again" in ours.log(), ours.log()[-2000:]
    run(["ip", "-n", bench.a.space, "link", "set", device, "down"])
    wait("it is up again", lambda: "UP" in links(bench.a)[device])

    before, held = links(bench.a)[device], Watch(bench, bench.a)
    gone, ours = ours, fairway(bench.a, ROUTER.but(priority=200), bench.scratch, None, True, "--take-over")
    bench.daemons.append(ours)
    assert gone.process.wait(10) == 0
    wait("the next process goes on", lambda: "going on as master" in ours.log())
    time.sleep(0.5)
    assert links(bench.a)[device] == before, f"another interface: {links(bench.a)[device]}, before {before}"
    moved = held.end(VIP)
    assert not moved, moved

    for on in (False, True):
        write_fairway(ours.directory, bench.a, ROUTER.but(priority=200, virtual_mac=on))
        ours.signal(signal.SIGHUP)
        wait("the reload is in force", lambda: (device in links(bench.a)) == on, 5)
        assert VIP in bench.a.addresses(device if on else "eth0")
        expected = ROUTER.mac if on else bench.a.mac()
        wait("the client is told", lambda: bench.c.neighbour(VIP) == expected, 5)
        answers(bench, VIP, bench.a)
    came = taken.end(VIP)
    assert not came, f"the other router took over: {came}; our log: {ours.log()[-3000:]}"

    learned = Neighbours(bench, bench.c, VIP)
    ours.stop()
    bench.alone(bench.b, bench.a, VIP, 10)
    answers(bench, VIP, bench.b)
    assert learned.end() <= {ROUTER.mac}
    assert device not in links(bench.a), "the interface is there after the stop"


def virtual_mac_moves_without_a_gap(bench) -> None:
    """Planned switches with a virtual MAC: not a datagram is lost, and no frame of the old master takes the MAC address back to its port."""
    inside = ["ip", "netns", "exec", bench.lan.switch]
    for own in ("10.9.0.99/24", "fd00:9::99/64"):
        run(["ip", "-n", bench.lan.switch, "addr", "add", own, "dev", "br0", *(["nodad"] if ":" in own else [])])
    for vip in (VIP, VIP6):
        router = ROUTER.but(vips=(vip,))
        bench.echo(vip)
        ours = bench.up(fairway, bench.a, router.but(priority=200))
        other = bench.up(fairway, bench.b, router.but(priority=100))
        bench.alone(bench.a, bench.b, vip, 10)
        answers(bench, vip, bench.a)
        device = next(iter(links(bench.a).keys() - {"eth0", "lo"}))

        def switch(act, master: Host) -> None:
            """`act` moves the virtual IP to `master`."""
            ports = bench.scratch / f"ports-{now():.6f}"
            monitor = subprocess.Popen(["bridge", "-n", bench.lan.switch, "monitor", "fdb"], stdout=open(ports, "w"), text=True)
            asked = bench.probe(vip, 3000)
            time.sleep(0.5)
            act()
            for _ in range(40):  # somebody else asks all the time where the address is: the one that is parked does not say
                run(["ip", "-n", bench.lan.switch, "neigh", "flush", "dev", "br0"])
                run([*inside, "bash", "-c", f"echo >/dev/udp/{vip}/9"], check=False)
                time.sleep(0.03)
            report = json.loads(asked.communicate()[0])
            monitor.kill()
            monitor.wait()
            moves = [line.split()[2] for line in ports.read_text().splitlines() if line.startswith(router.mac) and " dev " in line]
            assert report["lost"] == 0 and len(report["switches"]) == 2, f"{vip} to {master.name}: {report}"
            assert moves and len(set(moves)) == 1, f"{vip} to {master.name}: the switch took {router.mac} to {moves}"

        switch(lambda: ours.signal(signal.SIGTERM), bench.b)
        assert ours.process.wait(10) == 0
        ours = None

        def back() -> None:
            nonlocal ours
            ours = bench.up(fairway, bench.a, router.but(priority=200))

        switch(back, bench.a)
        wait("the old one is down, and itself again", lambda: "UP" not in links(bench.b)[device] and "192.0.0.8" not in bench.b.addresses(device), 5)
        shown = run(["ip", "-n", bench.b.space, "-o", "link", "show", device])
        assert "blackhole" not in shown, shown
        ours.stop()
        other.stop()


def links(host: Host) -> dict[str, str]:
    """Names of a host's interfaces, with what `ip -o link` says up to the MTU: index and flags."""
    lines = run(["ip", "-n", host.space, "-o", "link", "show"]).splitlines()
    return {line.split()[1].rstrip(":").split("@")[0]: line.split(" mtu ")[0] for line in lines}


CASES = [virtual_mac_beside_keepalived, virtual_mac_over_ipv6, virtual_mac_with_adverts_from_the_base, virtual_mac_is_kept, virtual_mac_moves_without_a_gap]
