"""Malformed and hostile VRRP packets from a peer's address are counted by kind and ignored; strangers meet the firewall."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time

from lab import Host, Lab, eventually

GROUP = "224.0.0.18"


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def advert(vrid: int, priority: int, vip: str, *, version: int = 3, kind: int = 1, count: int = 1, interval: int = 25,
           good: bool = True, tail: bytes = b"") -> bytes:  # fmt: skip
    """A VRRPv3 advertisement (RFC 9568 section 5.1) with the checksum over the message alone."""
    body = ipaddress.ip_address(vip).packed + tail
    head = struct.pack("!BBBBH", version << 4 | kind, vrid, priority, count, interval)
    return head + struct.pack("!H", checksum(head + b"\0\0" + body) ^ (0 if good else 0x55AA)) + body


def send(host: Host, payloads: list[bytes], ttl: int = 255) -> None:
    def run(_stopped: object) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, 112) as raw:
            source = socket.inet_aton(next(info["local"] for info in addresses if info["family"] == "inet"))
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, source)
            for payload in payloads:
                raw.sendto(payload, (GROUP, 0))
        return len(payloads)

    addresses = host.addresses("eth0")
    assert host.task(run).wait() == len(payloads)


def test(lab: Lab) -> None:
    lb1 = lab.directors["lb1"]
    instance = lb1.property("/group/edge", "Group", "Instances")[0].removeprefix("/org/fairway/Director1")
    vrid = lb1.property(instance, "Instance", "Vrid")
    since = lb1.property("/group/edge", "Group", "Since")
    load = lab.load()
    owner = {"vrid": vrid, "priority": 255, "vip": lab.vip}  # each would win the election if it were believed
    hostile = {
        "bad_length": [b"", b"\x31", bytes([0x31, vrid, 255]), advert(**owner)[:10], advert(**owner, count=255), advert(**owner, count=0)],
        "bad_version": [advert(**owner, version=7), advert(**owner, version=0)],
        "bad_type": [advert(**owner, kind=2), advert(**owner, kind=15)],
        "bad_checksum": [advert(**owner, good=False)],
        "bad_interval": [advert(**owner, interval=0)],
        "foreign_vrid": [advert(vrid % 255 + 1, 255, lab.vip)],
    }
    before = lb1.statistics(instance, "Instance")
    for payloads in hostile.values():
        send(lab.hosts["lb2"], payloads)
    send(lab.hosts["lb2"], [advert(**owner)], ttl=64)

    def grown() -> dict[str, int]:
        now = lb1.statistics(instance, "Instance")
        return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}

    total = sum(len(payloads) for payloads in hostile.values()) + 1
    eventually(lambda: sum(grown().get(name, 0) for name in (*hostile, "bad_ttl")) >= total, "all of them are counted", 5.0)
    counted = grown()
    lab.note(f"counted: { {name: count for name, count in counted.items() if name in hostile or name == 'bad_ttl'} }")
    for name, payloads in {**hostile, "bad_ttl": [b""]}.items():
        assert counted.get(name, 0) >= len(payloads), f"{name} was counted {counted.get(name, 0)} times, not {len(payloads)}"

    # From an address that is no peer's, even a perfect advert does not reach the director: the firewall drops it.
    received = lb1.statistics(instance, "Instance")["adverts_received"]
    send(lab.client, [advert(**owner)] * 5)
    time.sleep(1.0)
    assert lb1.statistics(instance, "Instance")["adverts_received"] == received, "a stranger's advert got through"
    result = load.stop()
    assert not result.failed, f"hostile packets lost requests: {result}"
    assert lab.masters() == ["lb1"] and lb1.property("/group/edge", "Group", "Since") == since, "there was a transition"
