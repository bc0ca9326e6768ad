"""What our director tells the neighbours of a take-over, as it is on the wire."""
from __future__ import annotations

import ipaddress
import json
import time
from collections import Counter
from pathlib import Path

from lan import wait
from routers import Router, fairway

WIRE = str(Path(__file__).resolve().parents[1] / "host/wire.py")
BURST, LOWER, REFRESH = 3, 4, 2
# As TOML. The second burst, and what comes every while from then on, are far enough apart to be told from the first.
ANNOUNCE = f'announce = {{ repeat = {BURST}, interval = "20ms", delay = "2s", refresh = "4s", refresh-repeat = {REFRESH} }}\n'
# One announcement, then nothing but what another master is answered with.
ANSWER = f'announce = {{ repeat = 1, delay = "1h", refresh = "1h", lower-priority-repeat = {LOWER}, lower-priority-delay = "1s" }}\n'


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(int.from_bytes(data[n:n + 2], "big") for n in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Announcements:
    """Every announcement on the LAN from now on."""

    def __init__(self, bench) -> None:
        self.path = bench.scratch / f"announcements-{time.monotonic_ns()}"
        space = bench.lan.switch
        self.process = bench.c.spawn("ip", "netns", "exec", space, "python3", WIRE, "announcements", stdout=open(self.path, "w"))
        wait("the wire is listened to", lambda: self.path.read_text().startswith("ready"), 20)

    def of(self, address: str) -> list[tuple[float, str, str]]:
        """Time, kind and source of those of an address."""
        lines = [json.loads(line) for line in self.path.read_text().split("\n")[1:-1]]
        return [(t, kind, mac) for t, kind, found, mac in lines if found == address]


def announced(bench, vip: str, excluded: str, kinds: tuple[str, ...], forged: tuple[str, str, bytes]) -> None:
    extra = f'excluded = ["more"]\n{{}}[virtual-ips.more]\naddress = "{excluded}"\n'
    wire = Announcements(bench)
    router = Router((vip,), interval=0.1)
    ours = bench.up(fairway, bench.a, router.but(extra=extra.format(ANNOUNCE)))
    mac = bench.a.mac()

    def whole(address: str) -> bool:
        return len(wire.of(address)) >= (2 * BURST + REFRESH) * len(kinds)

    wait("two bursts and a refresh", lambda: whole(vip) and whole(excluded), 40, 0.05)
    time.sleep(0.5)
    ours.lose(router.but(vips=(vip, excluded)))
    for address in (vip, excluded):
        seen = wire.of(address)
        for kind in kinds:
            times = [t for t, found, _ in seen if found == kind]
            # Late they may be, on a busy machine, but not early: what has come within a second of the pauses is the burst.
            pauses = [number + 1 for number, (one, two) in enumerate(zip(times, times[1:])) if two - one >= 1]
            assert pauses == [BURST, 2 * BURST] and len(times) == 2 * BURST + REFRESH, f"{kind}s for {address} at {times}"
        assert {source for *_, source in seen} == {mac}, f"{address} was announced at {seen}, not {mac}"

    wire = Announcements(bench)
    ours = bench.up(fairway, bench.a, router.but(extra=extra.format(ANSWER)))
    wait("it leads", lambda: len(wire.of(vip)) >= len(kinds), 20, 0.05)
    time.sleep(0.5)
    assert Counter(kind for _, kind, _ in wire.of(vip)) == dict.fromkeys(kinds, 1), wire.of(vip)
    source, group, advert = forged
    bench.c.run("python3", WIRE, "send", source, group, "112", advert.hex())
    for address in (vip, excluded):
        wait("another master is answered, twice", lambda: len(wire.of(address)) >= (1 + 2 * LOWER) * len(kinds), 20, 0.05)
    time.sleep(0.5)
    for address in (vip, excluded):
        assert Counter(kind for _, kind, _ in wire.of(address)) == dict.fromkeys(kinds, 1 + 2 * LOWER), wire.of(address)
    assert "priority 50 is master too" in ours.log(), ours.log()


def announcements_by_arp(bench) -> None:
    """Gratuitous ARP on the wire: requests and replies after a take-over, a second burst, refresh, the answer to a lower master;
    the same for an excluded address."""
    head = bytes([0x31, 51, 50, 1, 0, 10])
    vip = bytes([10, 9, 0, 100])
    advert = head + checksum(head + b"\0\0" + vip).to_bytes(2, "big") + vip
    announced(bench, "10.9.0.100", "10.9.0.101", ("request", "reply"), ("10.9.0.3", "224.0.0.18", advert))


def announcements_by_neighbour_advertisements(bench) -> None:
    """Unsolicited neighbour advertisements on the wire: bursts, refresh, the answer to a lower master, an excluded address."""
    wait("c has a link-local address", lambda: any(a.startswith("fe80") for a in bench.c.addresses()), 20)
    source = next(a for a in bench.c.addresses() if a.startswith("fe80"))
    head = bytes([0x31, 51, 50, 1, 0, 10])
    vip = ipaddress.ip_address("fd00:9::100").packed
    pseudo = ipaddress.ip_address(source).packed + ipaddress.ip_address("ff02::12").packed + bytes([0, 0, 0, 24, 0, 0, 0, 112])
    advert = head + checksum(pseudo + head + b"\0\0" + vip).to_bytes(2, "big") + vip
    announced(bench, "fd00:9::100", "fd00:9::101", ("advertisement",), (source, "ff02::12", advert))


CASES = [announcements_by_arp, announcements_by_neighbour_advertisements]
