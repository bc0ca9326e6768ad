"""Elections against FRR's vrrpd, VRRPv3 over IPv4 and IPv6, and what tshark thinks of our packets."""
from __future__ import annotations

import subprocess
import time

from frr import Frr
from lan import now, run, wait
from routers import Router, fairway

VIP, VIP6 = "10.9.0.100", "fd00:9::100"
SLACK = 0.35


def vrrpd(bench, router: Router) -> Frr:
    """vrrpd on host b. It wants a macvlan with the virtual router's MAC address and the virtual IP, and takes it up and
    down with its role."""
    vip, host = router.vips[0], bench.b
    six = ":" in vip
    mac = f"00:00:5e:00:0{2 if six else 1}:{router.vrid:02x}"
    host.run("ip", "link", "del", "vr", check=False)
    host.run("ip", "link", "add", "vr", "link", "eth0", "type", "macvlan", "mode", "bridge")
    host.run("ip", "link", "set", "vr", "address", mac)
    host.run("sysctl", "-qw", "net.ipv6.conf.vr.accept_dad=0")
    host.run("ip", "addr", "add", f"{vip}/{64 if six else 24}", "dev", "vr", *(["nodad"] if six else []))
    host.run("ip", "link", "set", "vr", "up")
    kind = "ipv6" if six else "ip"
    config = "\n".join([
        "interface eth0", f" vrrp {router.vrid} version 3", f" vrrp {router.vrid} priority {router.priority}",
        f" vrrp {router.vrid} advertisement-interval {round(router.interval * 1000)}", f" vrrp {router.vrid} {kind} {vip}", "!", ""])
    frr = Frr(host, bench.scratch, config, "vrrpd")
    bench.daemons.append(frr)
    return frr


def state(frr: Frr, vip: str) -> str | None:
    for router in frr.shown("vrrpd", "show vrrp json") or []:
        return router["v6" if ":" in vip else "v4"]["status"]
    return None


def both_roles(bench, router: Router) -> None:
    """Election, take-over after a power loss and preempting return, with ours in front and then theirs."""
    vip = router.vips[0]
    strong, weak = router.but(priority=200), router.but(priority=100)
    theirs = vrrpd(bench, weak)
    ours = bench.up(fairway, bench.a, strong)
    wait("ours leads", lambda: bench.a.holds(vip) and state(theirs, vip) == "Backup", 20, 0.05)
    t = ours.kill()
    bench.a.link("down")
    took = wait("vrrpd takes over", lambda: state(theirs, vip) == "Master", weak.master_down + 5, 0.02) - t
    # vtysh takes its time to answer
    assert took <= weak.master_down + 1, f"vrrpd took over after {took:.3f} s; bound {weak.master_down:.3f} s"
    bench.a.link("up")
    ours = bench.up(fairway, bench.a, strong)
    wait("ours leads again", lambda: bench.a.holds(vip) and state(theirs, vip) == "Backup", 20, 0.05)
    ours.stop()
    wait("vrrpd is handed over to", lambda: state(theirs, vip) == "Master", 20, 0.05)
    theirs.end()

    theirs = vrrpd(bench, strong)
    wait("vrrpd leads", lambda: state(theirs, vip) == "Master", 20, 0.05)
    ours = bench.up(fairway, bench.a, weak)
    time.sleep(4 * weak.master_down)
    assert not bench.a.holds(vip) and state(theirs, vip) == "Master", f"vrrpd is better, and is {state(theirs, vip)}: {ours.log()[-2000:]}"
    t = now()
    theirs.kill("vrrpd")
    bench.b.run("ip", "link", "del", "vr")
    took = wait("ours takes over", lambda: bench.a.holds(vip), weak.master_down + 5) - t
    assert took <= weak.master_down + SLACK, f"ours took over after {took:.3f} s; bound {weak.master_down:.3f} s"
    theirs.end()
    theirs = vrrpd(bench, strong)
    wait("vrrpd leads again", lambda: not bench.a.holds(vip) and state(theirs, vip) == "Master", 20, 0.05)


def v3_with_frr(bench) -> None:
    """VRRPv3 over IPv4 at 100 ms with FRR's vrrpd: both roles, power loss, preempting return, planned stop."""
    both_roles(bench, Router((VIP,), interval=0.1))


def v3_ipv6_with_frr(bench) -> None:
    """VRRPv3 over IPv6 at 100 ms with FRR's vrrpd: both roles, power loss, preempting return, planned stop."""
    both_roles(bench, Router((VIP6,), interval=0.1))


def tshark_has_no_complaint(bench) -> None:
    """tshark decodes our adverts of every form, our announcements and our BFD packets, without a complaint."""
    bfd = '[failover.edge.track]\nc = { bfd = { neighbour = "10.9.0.3", min-tx = "50ms" }, weight = -1, initial = "pass" }\n'
    v2 = Router((VIP,), version=2, password="s3cret")
    # Those in one turn run at the same time, on hosts of their own, and are told apart by their VRIDs.
    turns = [
        [Router((VIP,), vrid=1, interval=0.1, checksum="rfc9568", extra=bfd), Router(("10.9.0.101",), vrid=2, interval=0.1)],
        [Router((VIP6,), vrid=3, interval=0.1)],
        [v2.but(vrid=4), v2.but(vrid=5, vips=("10.9.0.101",), auth="ah")],
    ]
    capture = bench.scratch / "capture"
    tcpdump = bench.c.spawn("tcpdump", "-Z", "root", "-U", "-i", "eth0", "-w", str(capture), stderr=subprocess.DEVNULL)
    wait("tcpdump captures", capture.exists, 10)
    for turn in turns:
        hosts = [bench.a, bench.b][:len(turn)]
        ours = [bench.up(fairway, host, router) for host, router in zip(hosts, turn)]
        for host, router in zip(hosts, turn):
            wait("ours leads", lambda: host.holds(router.vips[0]), 20)
        time.sleep(3 * turn[0].interval)
        for daemon in ours:
            daemon.kill()
    tcpdump.terminate()
    tcpdump.wait(10)

    def complaints(rfc9568: bool) -> dict[str, set[str]]:
        """What tshark says of the packets of each VRID, of BFD, and of announcements: ARP and neighbour advertisements."""
        announced = f"arp.isgratuitous == 1 || (icmpv6.type == 136 && icmpv6.nd.na.target_address == {VIP6})"
        argv = ["tshark", "-n", "-r", str(capture), "-o", f"vrrp.v3_checksum_as_in_v2:{rfc9568}",
                "-Y", f"((vrrp || bfd) && !icmp) || {announced}", "-T", "fields", "-e", "vrrp.virt_rtr_id", "-e", "arp.opcode",
                "-e", "icmpv6.type", "-e", "_ws.expert.message"]  # fmt: skip
        found: dict[str, set[str]] = {}
        for line in run(argv).splitlines():
            vrid, operation, kind, text = line.split("\t")
            name = vrid or (f"arp {operation}" if operation else "na" if kind else "bfd")
            found.setdefault(name, set()).update({text} - {""})
        return found

    plain, rfc9568 = complaints(False), complaints(True)
    # The check of checksums is one that fails: read as the other form they are bad.
    assert plain.pop("1"), "tshark does not look at checksums"
    assert plain == {"2": set(), "3": set(), "4": set(), "5": set(), "bfd": set(), "arp 1": set(), "arp 2": set(),
                     "na": set()}, f"tshark complains, or lacks packets: {plain}"
    assert rfc9568["1"] == set(), f"tshark complains: {rfc9568}"


CASES = [v3_with_frr, v3_ipv6_with_frr, tshark_has_no_complaint]
