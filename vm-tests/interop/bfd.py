"""BFD with FRR's bfdd: a router that both directors could use, and that only the better one tracks."""
from __future__ import annotations

import signal

from frr import Frr
from lan import now, wait
from routers import Router, fairway, write_fairway
from service import service

VIP = "10.9.0.100"
# The neighbour is host c, by both address families.
PEERS = {"10.9.0.1": "10.9.0.3", "fd00:9::1": "fd00:9::3"}
DETECTION = 0.15


def bfdd(bench, milliseconds: int = 50) -> Frr:
    lines = ["bfd"]
    for peer, own in PEERS.items():
        lines += [f" peer {peer} local-address {own} interface eth0", f"  receive-interval {milliseconds}",
                  f"  transmit-interval {milliseconds}", "  detect-multiplier 3", "  no shutdown", " !"]
    router = Frr(bench.c, bench.scratch, "\n".join([*lines, "!", ""]), "bfdd")
    bench.daemons.append(router)
    return router


def tracking(milliseconds: int = 50) -> str:
    """Both sessions; without either the group is in fault."""
    common = f'min-tx = "{milliseconds}ms", min-rx = "{milliseconds}ms"'
    return "\n".join([
        "[failover.edge.track]",
        f'router4 = {{ bfd = {{ neighbour = "10.9.0.3", {common} }} }}',
        f'router6 = {{ bfd = {{ neighbour = "fd00:9::3", network = "lan", {common} }} }}', ""])


# A service whose server is the neighbour, too: tracker and check share the session.
SERVICE = """
[hosts.c]
interfaces.eth0 = { network = "lan", addresses = ["10.9.0.3"], manage = false }
[checks.path]
bfd = { min-tx = "50ms", min-rx = "50ms" }
[services.web]
listen = ["v0:80"]
forward = "direct"
checks = ["path"]
real-servers = { c = {} }
"""


def peers(router: Frr) -> dict[str, dict]:
    return {peer["peer"]: peer for peer in router.shown("bfdd", "show bfd peers json") or []}


def both(router: Frr, **expected) -> bool:
    """Whether FRR says this of both sessions."""
    found = peers(router)
    return all(all(found.get(peer, {}).get(key.replace("_", "-")) == value for key, value in expected.items()) for peer in PEERS)


def downs(router: Frr) -> int:
    counters = router.shown("bfdd", "show bfd peers counters json")
    return sum(peer["session-down"] for peer in counters)


def bfd_with_frr(bench) -> None:
    """FRR's bfdd over IPv4 and IPv6 at 50 ms: group and check follow its death and a cut link; new intervals; a planned stop."""
    router = bfdd(bench)
    plain = Router((VIP,), interval=0.1)
    ours = bench.up(fairway, bench.a, plain.but(priority=200, extra=tracking() + SERVICE))
    bench.up(fairway, bench.b, plain)
    wait("FRR sees both sessions up", lambda: both(router, status="up", remote_receive_interval=50, remote_detect_multiplier=3), 20, 0.1)
    bench.alone(bench.a, bench.b, VIP, 20)
    wait("the server is up", lambda: "real server is up" in ours.log(), 20, 0.1)

    router.kill("bfdd")
    t = now()
    took = wait("the group follows the death of bfdd", lambda: bench.b.holds(VIP), 20) - t
    # The group gives up with priority 0, so the other director waits for the skew time alone.
    bound = DETECTION + plain.skew + 2 * 0.35
    assert took <= bound, f"the other director had the virtual IP after {took:.3f} s, bound {bound:.3f} s"
    assert "is down: control detection time expired" in ours.log()
    wait("the server is down", lambda: "real server is down" in ours.log(), 20, 0.1)
    router.start("bfdd")
    bench.alone(bench.a, bench.b, VIP, 20)

    bench.lan.cut(bench.c, True)
    t = now()
    took = wait("the group follows the cut of the link", lambda: bench.b.holds(VIP), 20) - t
    assert took <= bound, f"the other director had the virtual IP after {took:.3f} s, bound {bound:.3f} s"
    bench.lan.cut(bench.c, False)
    bench.alone(bench.a, bench.b, VIP, 20)
    wait("FRR sees both sessions up again", lambda: both(router, status="up"), 20, 0.1)

    before, log = downs(router), len(ours.log())
    router.ask("bfdd", "configure terminal", "bfd", *(
        line for peer, own in PEERS.items()
        for line in (f"peer {peer} local-address {own} interface eth0", "transmit-interval 200", "receive-interval 200", "exit")))
    write_fairway(ours.directory, bench.a, plain.but(priority=200, extra=tracking(120)))
    ours.signal(signal.SIGHUP)
    wait("both sides know the other's new intervals",
         lambda: both(router, status="up", remote_transmit_interval=120, remote_receive_interval=120, transmit_interval=200), 20, 0.1)
    bench.alone(bench.a, bench.b, VIP, 20)
    assert downs(router) == before, f"sessions went down: {router.ask('bfdd', 'show bfd peers counters')}"
    assert "is down" not in ours.log()[log:], ours.log()[log:]

    ours.stop()
    wait("FRR knows that the end is planned",
         lambda: all(peer.get("remote-diagnostic") == "administratively down" for peer in peers(router).values()), 20, 0.1)


def bfd_outlives_a_restart(bench) -> None:
    """`systemctl restart` of our director: the neighbours' sessions at 50 ms stay up, and the group stays where it is."""
    router = bfdd(bench)
    plain = Router((VIP,), interval=0.25)
    ours = bench.up(service, bench.a, plain.but(priority=200, extra=tracking()))
    bench.up(fairway, bench.b, plain)
    wait("FRR sees both sessions up", lambda: both(router, status="up"), 30, 0.1)
    bench.alone(bench.a, bench.b, VIP, 20)
    before = downs(router)
    for turn in range(1, 3):
        ours.restart()
        wait("the next process goes on", lambda: ours.log().count("going on as master") == turn, 20)
        wait("it asks for the usual intervals again", lambda: both(router, status="up", remote_transmit_interval=50), 20, 0.1)
    assert downs(router) == before, f"sessions went down: {router.ask('bfdd', 'show bfd peers counters')}\n{ours.log()[-3000:]}"
    assert bench.a.holds(VIP) and not bench.b.holds(VIP)


FAR = "10.77.0.3"


def bfd_over_hops(bench) -> None:
    """A multihop session (RFC 5883) through the other director, which routes: hops within the limit and beyond it, and a route cut."""
    bench.b.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
    bench.a.run("ip", "route", "add", FAR, "via", bench.b.address)
    bench.b.run("ip", "route", "add", FAR, "via", bench.c.address)
    bench.c.run("ip", "address", "add", f"{FAR}/32", "dev", "lo")
    # Back the same way, so that what we get has passed a router, too.
    bench.c.run("ip", "route", "add", f"{bench.a.address}/32", "via", bench.b.address)
    router = Frr(bench.c, bench.scratch, "\n".join([
        "bfd", f" peer {bench.a.address} multihop local-address {FAR}", "  receive-interval 50", "  transmit-interval 50",
        "  detect-multiplier 3", "  minimum-ttl 250", "  no shutdown", " !", "!", ""]), "bfdd")
    bench.daemons.append(router)
    plain = Router((VIP,), interval=0.1)

    def tracked(hops: int) -> str:
        return ("[failover.edge.track]\n"
                f'far = {{ bfd = {{ neighbour = "{FAR}", hops = {hops}, min-tx = "50ms", min-rx = "50ms" }} }}\n')

    ours = bench.up(fairway, bench.a, plain.but(priority=200, extra=tracked(2)))
    bench.up(fairway, bench.b, plain)
    wait("FRR sees the session up", lambda: peers(router).get(bench.a.address, {}).get("status") == "up", 20, 0.1)
    bench.alone(bench.a, bench.b, VIP, 20)

    bench.b.run("ip", "route", "replace", "blackhole", FAR)
    wait("the group follows the loss of the route", lambda: bench.b.holds(VIP) and not bench.a.holds(VIP), 20)
    assert "BFD session with 10.77.0.3 is down" in ours.log()
    bench.b.run("ip", "route", "replace", FAR, "via", bench.c.address)
    bench.alone(bench.a, bench.b, VIP, 20)

    # One more router on the way back than is allowed: what comes with a lower TTL is not from this neighbour.
    bench.c.run("nft", "-f", "-", text=(
        "table ip far {\nchain out {\ntype filter hook postrouting priority 0;\n"
        f"ip saddr {FAR} ip ttl set 254\n}}\n}}\n"))
    wait("packets from too far away are not taken", lambda: bench.b.holds(VIP) and not bench.a.holds(VIP), 20)
    write_fairway(ours.directory, bench.a, plain.but(priority=200, extra=tracked(3)))
    ours.signal(signal.SIGHUP)
    bench.alone(bench.a, bench.b, VIP, 20)


CASES = [bfd_with_frr, bfd_over_hops, bfd_outlives_a_restart]
