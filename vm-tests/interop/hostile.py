"""Noise on the wire, from the address of the other router: it is counted and told, and believed by nobody."""
from __future__ import annotations

import ipaddress
from pathlib import Path

from lan import wait
from restarts import Watch
from routers import Router, fairway

VIP, VIP6 = "10.9.0.100", "fd00:9::100"
WIRE = str(Path(__file__).resolve().parents[1] / "host/wire.py")
PACKETS = 1000
# Of priority 255 each, and but for its checksum as it should be.
V3 = bytes([0x31, 51, 255, 1, 0, 10, 0, 0])
V2 = bytes([0x21, 51, 255, 1, 2, 1, 0, 0]) + ipaddress.ip_address(VIP).packed + bytes(8)
# An authentication header around it: next header, length, SPI, sequence number, digest.
AH = bytes([112, 4, 0, 0]) + ipaddress.ip_address("10.9.0.2").packed + bytes([0, 0, 255, 0]) + bytes(12) + V2


def noisy(bench, router: Router, destination: str, protocol: int, template: bytes) -> None:
    vip = router.vips[0]
    daemons = ours, other = bench.up(fairway, bench.a, router.but(priority=200)), bench.up(fairway, bench.b, router)
    bench.alone(bench.a, bench.b, vip, 20)

    # where their adverts come from
    sources = [daemon.log().split("adverts come from ")[1].split()[0] for daemon in daemons]
    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    logs = [(daemon, len(daemon.log())) for daemon in daemons]
    senders = []
    for sender, source, other_source in ((bench.b, *reversed(sources)), (bench.a, *sources)):
        target = other_source if router.unicast else destination
        senders.append(sender.spawn("python3", WIRE, "noise", source, target, str(protocol), str(PACKETS), template.hex()))
    for sender in senders:
        assert sender.wait(60) == 0
    for daemon, size in logs:
        wait("it is told", lambda: "dropped a packet from" in daemon.log()[size:], 20, 0.05)
    bench.alone(bench.a, bench.b, vip, 5)
    gone, came = held.end(vip), taken.end(vip)
    assert not gone and not came, f"left our director: {gone}; taken over: {came}; its log: {ours.log()[-3000:]}"
    for daemon, size in logs:
        said = daemon.log()[size:].splitlines()
        assert not any(" from=" in line for line in said), f"a transition: {said}"
        assert len(said) <= 40, f"{len(said)} lines for {PACKETS} packets: {said[:60]}"
    for daemon in daemons:
        assert daemon.process.poll() is None, daemon.log()
        daemon.lose(router)


def noise_on_the_wire(bench) -> None:
    """A thousand random and damaged adverts from each side, by IPv4, IPv6, unicast and with an authentication header: a few log lines, no transition."""
    v3 = Router((VIP,), interval=0.1, checksum="rfc9568")
    noisy(bench, v3, "224.0.0.18", 112, V3 + ipaddress.ip_address(VIP).packed)
    noisy(bench, v3.but(vips=(VIP6,)), "ff02::12", 112, V3 + ipaddress.ip_address(VIP6).packed)
    noisy(bench, v3.but(unicast=True), "", 112, V3 + ipaddress.ip_address(VIP).packed)
    noisy(bench, Router((VIP,), version=2, password="s3cret", auth="ah"), "224.0.0.18", 51, AH)


CASES = [noise_on_the_wire]
