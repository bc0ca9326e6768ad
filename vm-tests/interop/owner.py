"""The owner of the virtual IPs, whose own addresses they are, and Accept_Mode (RFC 9568 sections 1.7 and 6.1)."""
from __future__ import annotations

import json
import time
from pathlib import Path

from lan import run, wait
from routers import Router, fairway, keepalived

WIRE = Path(__file__).resolve().parents[1] / "host/wire.py"
VIP, VIP6 = "10.9.0.100", "fd00:9::100"
# Addresses that a is to have for itself, beside those that its adverts come from.
OWN, OWN6 = "10.9.0.50", "fd00:9::50"


def count(host, own: str) -> int:
    """How often the host has the address, on any interface."""
    lines = run(["ip", "-n", host.space, "-o", "addr", "show"]).splitlines()
    return sum(line.split()[3].split("/")[0] == own for line in lines)


def have(host, own: str) -> None:
    """What networkd does with such an address: an IPv6 one is gone when its interface goes down."""
    run(["ip", "-n", host.space, "addr", "replace", f"{own}/64" if ":" in own else f"{own}/24", "dev", "eth0", "nodad"])


def lose(host, own: str) -> None:
    run(["ip", "-n", host.space, "addr", "del", f"{own}/64" if ":" in own else f"{own}/24", "dev", "eth0"])


def stands_in(bench, own: str) -> None:
    have(bench.a, own)
    router = Router((own,), interval=0.1)
    backup = bench.up(keepalived, bench.b, router)
    wait("keepalived stands in", lambda: bench.b.holds(own), 20)
    ours = bench.up(fairway, bench.a, router.but(owner=True))
    wait("it yields to the owner", lambda: not bench.b.holds(own), 20)
    wait("the owner is master", lambda: "to=master" in ours.log(), 20, 0.05)
    assert "priority 255 owns the addresses" in ours.log(), ours.log()
    time.sleep(2 * router.master_down)
    assert not bench.b.holds(own) and count(bench.a, own) == 1, bench.a.addresses()

    # Power loss and return; then a stop, which leaves the host its address.
    ours.kill()
    bench.a.link("down")
    wait("keepalived stands in again", lambda: bench.b.holds(own), 20)
    bench.a.link("up")
    have(bench.a, own)
    ours = bench.up(fairway, bench.a, router.but(owner=True))
    wait("it yields again", lambda: not bench.b.holds(own), 20)
    lose(bench.a, own)
    wait("an owner without its address is none", lambda: bench.b.holds(own), 20)
    assert f"eth0 does not have {own}" in ours.log() and count(bench.a, own) == 0, ours.log()
    backup.stop()
    have(bench.a, own)
    wait("it is master again", lambda: ours.log().count("to=master") == 2, 20, 0.05)
    ours.stop()
    assert count(bench.a, own) == 1, bench.a.addresses()
    lose(bench.a, own)


def owner_of_the_address(bench) -> None:
    """The owner is master at once and its address stays its own whatever happens, with keepalived as the one that stands in for it; and the other way round."""
    for own in (OWN, OWN6):
        stands_in(bench, own)

    # keepalived as the owner: it adds what it does not find with its own prefix length, and we stand in.
    have(bench.a, OWN)
    router = Router((OWN,), interval=0.1)
    backup = bench.up(fairway, bench.b, router)
    wait("we stand in", lambda: bench.b.holds(OWN), 20)
    theirs = bench.up(keepalived, bench.a, router.but(priority=255))
    wait("we yield to it", lambda: not bench.b.holds(OWN), 20)
    time.sleep(2 * router.master_down)
    assert not bench.b.holds(OWN), backup.log()
    theirs.kill()
    bench.a.link("down")
    wait("we stand in again", lambda: bench.b.holds(OWN), 20)


def nothing_is_accepted(bench) -> None:
    """accept-mode = false: neighbours find the master at the virtual IPs, and it answers nothing there."""

    def answers(address: str) -> bool:
        report = bench.c.run("python3", str(WIRE), "probe", address, "7000", "10000", "200")
        return bool(json.loads(report)["by"])

    for vip in (VIP, VIP6):
        own = bench.a.ipv6.split("/")[0] if vip == VIP6 else bench.a.address
        for address in (vip, own):
            bench.echo(address)
        ours = bench.up(fairway, bench.a, Router((vip,), interval=0.1, extra="accept-mode = false"))
        wait("it leads", lambda: bench.a.holds(vip), 20)
        wait("it answers without the rules", lambda: answers(vip), 20)
        rules = ours.directory / "tree/etc/nftables.d/fairway.nft"
        bench.a.run("nft", "-I", str(rules.parent), "-f", str(rules))
        run(["ip", "-n", bench.c.space, "neigh", "flush", "dev", "eth0"])
        assert not answers(vip), "the master accepts what is for its virtual IP"
        assert bench.c.neighbour(vip), "its neighbours do not find it"
        wait("its own address answers", lambda: answers(own), 20)
        bench.a.run("nft", "flush", "ruleset")
        ours.stop()


CASES = [owner_of_the_address, nothing_is_accepted]
