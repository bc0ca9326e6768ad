"""Interfaces and addresses that go and come back, and a take-over that waits."""
from __future__ import annotations

import signal
import subprocess
import time

from lan import Host, now, run, wait
from routers import Router, fairway, keepalived

VIP, VIP6 = "10.9.0.100", "fd00:9::100"


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
            time.sleep(0.2)


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


def interface_recreated(bench) -> None:
    """The interface is deleted and made again on backup and master, slowly and at once: the group goes on without a restart."""
    recreated(bench, Router((VIP,), interval=0.1))


def interface_recreated_below_a_virtual_mac(bench) -> None:
    """The same with a virtual MAC, whose interface goes with the one below it."""
    recreated(bench, Router((VIP,), interval=0.1, virtual_mac=True))


def own_address_deleted(bench) -> None:
    """The host's own address is deleted while its link is up: it says goodbye from that address and why, is not elected, and comes back with it."""
    for vip, link_local in ((VIP6, True), (VIP, False)):
        router = Router((vip,), interval=0.1)
        ours, other = bench.up(fairway, bench.a, router.but(priority=200)), bench.up(keepalived, bench.b, router)
        bench.alone(bench.a, bench.b, vip, 20)
        source = ours.log().split("adverts come from ")[1].split()[0]
        seen = bench.scratch / "seen"
        with seen.open("w") as out:
            tcpdump = bench.c.spawn("tcpdump", "-Z", "root", "-l", "-n", "-v", "-i", "eth0", "proto 112 or ip6 proto 112", stdout=out, stderr=subprocess.STDOUT)
        wait("tcpdump listens", lambda: "listening on" in seen.read_text(), 10)
        run(["ip", "-n", bench.a.space, "addr", "del", f"{source}/{64 if link_local else 24}", "dev", "eth0"])
        wait("the other one takes over", lambda: bench.b.holds(vip) and not bench.a.holds(vip), 20)
        wait("the goodbye is heard", lambda: any(source in line and "prio 0" in line for line in seen.read_text().replace("\n    ", " ").splitlines()), 5)
        tcpdump.terminate()
        problem = "eth0 has no IPv6 link-local address of its own" if link_local else f"eth0 does not have the configured source {source}"
        wait("the log says why", lambda: problem in ours.log(), 20, 0.05)
        if link_local:
            ours.stop()
            other.stop()
            run(["ip", "-n", bench.a.space, "addr", "add", f"{source}/64", "dev", "eth0"])
    address = ["ip", "-n", bench.a.space, "addr"]
    other.kill()
    time.sleep(2 * router.master_down)
    assert not bench.a.holds(VIP), f"a router without an address is master: {ours.log()}"
    run([*address, "add", f"{bench.a.address}/24", "dev", "eth0"])
    wait("it leads again", lambda: bench.a.holds(VIP), 20)


def news_is_lost(bench) -> None:
    """So much happens to addresses while the director does not run that the kernel drops news of it: it finds out how things are."""
    router = Router((VIP,), interval=0.1)
    ours, other = bench.up(fairway, bench.a, router.but(priority=200)), bench.up(fairway, bench.b, router)
    bench.alone(bench.a, bench.b, VIP, 20)
    own = f"{bench.a.address}/24"
    log = len(ours.log())
    ours.signal(signal.SIGSTOP)
    # What the director first hears is that its address is gone, and not that it is back.
    noise = [f"addr {what} 10.77.{n >> 8}.{n & 255}/32 dev lo" for n in range(6000) for what in ("add", "del")]
    lines = [f"addr del {own} dev eth0", *noise, f"addr add {own} dev eth0"]
    run(["ip", "-n", bench.a.space, "-batch", "-"], text="\n".join(lines) + "\n")
    ours.signal(signal.SIGCONT)
    wait("news was lost", lambda: "dropped news of links and addresses" in ours.log()[log:], 20, 0.05)
    bench.alone(bench.a, bench.b, VIP, 20)
    other.kill()


def preemption_after_a_while(bench) -> None:
    """preempt = { after = "2s" }: a better director waits that long for a working master, and not at all for one that is gone."""
    router = Router((VIP,), interval=0.1, delay="2s")
    other = bench.up(fairway, bench.b, router)
    bench.alone(bench.b, bench.a, VIP, 20)
    t = now()
    ours = bench.up(fairway, bench.a, router.but(priority=200))
    took = wait("the better one takes over", lambda: bench.a.holds(VIP), 30) - t
    assert took >= 2, f"it took over after {took:.3f} s"
    bench.alone(bench.a, bench.b, VIP, 20)
    # Who waits for its turn stands in at once for a master that goes.
    ours.stop()
    bench.alone(bench.b, bench.a, VIP, 20)
    ours = bench.up(fairway, bench.a, router.but(priority=200))
    wait("it waits", lambda: "to=backup" in ours.log(), 20)
    other.kill()
    bench.b.link("down")
    wait("it takes over", lambda: bench.a.holds(VIP), 20)
    wait("the log says why", lambda: "no master heard" in ours.log(), 20, 0.05)


def membership_is_told_again(bench) -> None:
    """A link that comes back may end at a switch that has forgotten who wants the adverts: IGMP and MLD tell it, though the kernel would not."""
    seen = bench.scratch / "memberships"
    with seen.open("w") as out:
        tcpdump = bench.c.spawn("tcpdump", "-Z", "root", "-l", "-n", "-v", "-i", "eth0", "igmp or ip6", stdout=out, stderr=subprocess.STDOUT)
    wait("tcpdump listens", lambda: "listening on" in seen.read_text(), 10)
    bench.up(fairway, bench.a, Router((VIP,), vrid=1, interval=0.1))
    bench.up(fairway, bench.b, Router((VIP6,), vrid=2, interval=0.1))
    wait("both lead", lambda: bench.a.holds(VIP) and bench.b.holds(VIP6), 20)
    time.sleep(3)  # past the kernel's repetitions of the first reports
    for host, group in ((bench.a, "224.0.0.18"), (bench.b, "ff02::12")):
        before = seen.read_text().count(f"gaddr {group}")
        assert before, f"no report of {group} at the start: {seen.read_text()[-2000:]}"
        bench.lan.cut(host, True)
        time.sleep(0.5)
        bench.lan.cut(host, False)
        wait(f"{group} is reported again", lambda: seen.read_text().count(f"gaddr {group}") > before, 20, 0.1)
    tcpdump.terminate()


CASES = [membership_is_told_again, interface_recreated, interface_recreated_below_a_virtual_mac, own_address_deleted, news_is_lost, preemption_after_a_while]
