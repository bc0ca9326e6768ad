"""SYNs from addresses that do not exist, as a flood sends them."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import subprocess
import time

from host import Host


def send_syns(host: Host, target: str, port: int, sources: list[str], device: str = "eth0") -> None:
    """One SYN from each source, out of a packet socket: the kernel would not send for an address it does not have."""
    host.task(lambda _: _send(device, target, port, sources)).wait()


def _send(device: str, target: str, port: int, sources: list[str]) -> int:
    ipv6 = ":" in target
    # Lets the kernel find the neighbour; what comes of it does not matter.
    probe = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    probe.sendto(b"", (target, 9))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD if ipv6 else 0x0800))
    hardware = _neighbour(target, device)
    for number, source in enumerate(sources):
        packet = _syn(source, target, 20000 + number, port)
        raw.sendto(packet, (device, 0x86DD if ipv6 else 0x0800, 0, 0, hardware))
    return len(sources)


def _neighbour(address: str, device: str) -> bytes:
    for _ in range(100):
        command = ["ip", "-j", "neigh", "show", address, "dev", device]
        text = subprocess.run(command, check=True, text=True, capture_output=True).stdout
        for entry in json.loads(text or "[]"):
            if "lladdr" in entry:
                return bytes.fromhex(entry["lladdr"].replace(":", ""))
        time.sleep(0.05)
    raise AssertionError(f"{address} has no neighbour entry on {device}")


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _syn(source: str, target: str, source_port: int, port: int) -> bytes:
    """An IP packet with a SYN (RFC 9293) and its maximum segment size."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    options = struct.pack("!BBH", 2, 4, 1400)

    def tcp(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", source_port, port, 1000, 0, 6 << 4, 0x02, 64240, checksum, 0) + options

    pseudo = addresses + struct.pack("!HH", 6, len(tcp(0)))
    segment = tcp(_checksum(pseudo + tcp(0)))
    if ":" in target:
        return struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + addresses + segment

    def header(checksum: int) -> bytes:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, checksum) + addresses

    return header(_checksum(header(0))) + segment
