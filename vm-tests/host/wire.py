#!/usr/bin/env python3
"""Measuring programs that run inside a namespace of the lab.

    wire.py echo ADDRESS PORT NAME          answers every UDP datagram to ADDRESS with NAME and its number
    wire.py probe ADDRESS PORT STEP_US MS   sends a datagram every STEP_US microseconds for MS; JSON report
    wire.py adverts MS                      every VRRP advert seen on br0 for MS; JSON list of [time, source, VRID, priority, source MAC]
    wire.py announcements                   every gratuitous ARP packet and unsolicited neighbour advertisement seen on br0, until it is
                                            killed; a JSON line each: [time, "request", "reply" or "advertisement", address, source MAC]
    wire.py send FROM TO PROTOCOL HEX...    one IP packet for each, with a TTL or hop limit of 255
    wire.py noise FROM TO PROTOCOL N HEX    N IP packets: by turns random bytes and HEX with a few bytes changed, the same ones each time

All times are of the machine's monotonic clock, in seconds, so reports from different namespaces compare.
"""
from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable
from random import Random

now = time.monotonic
IP_FREEBIND = 15


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def echo(address: str, port: int, name: str) -> None:
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    # the address comes and goes with mastership; IP_FREEBIND covers IPv6 sockets too
    sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    sock.bind((address, port))
    while True:
        data, client = sock.recvfrom(64)
        try:
            sock.sendto(data[:8] + name.encode(), client)
        except OSError:
            pass  # the address left between the question and the answer: the client counts it as lost


def probe(address: str, port: int, step_us: int, duration_ms: int) -> None:
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect((address, port))
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    step, start = step_us / 1e6, now()
    end, sent_at, answered = start + duration_ms / 1e3, [], {}
    worst_gap, grace = 0.0, end + 0.3
    while now() < grace:
        t = now()
        due = start + len(sent_at) * step
        if t < end and t >= due:
            try:
                sock.send(struct.pack(">Q", len(sent_at)))
            except OSError:
                pass  # no route or neighbour just now: lost, like any other
            if sent_at:
                worst_gap = max(worst_gap, t - sent_at[-1])
            sent_at.append(t)
            continue
        if poll.poll(max(0.0, min(due if t < end else grace, grace) - t) * 1e3):
            while True:
                try:
                    data = sock.recv(64)
                except (BlockingIOError, ConnectionRefusedError, OSError):
                    break
                answered.setdefault(struct.unpack(">Q", data[:8])[0], (now(), data[8:].decode()))
    gaps, by, switches, open_at = [], {}, [], None
    for number, sent in enumerate(sent_at):
        got = answered.get(number)
        if got is None:
            open_at = sent if open_at is None else open_at
            continue
        if open_at is not None:
            gaps.append([open_at, sent])
            open_at = None
        by[got[1]] = by.get(got[1], 0) + 1
        if not switches or switches[-1][1] != got[1]:
            switches.append([got[0], got[1]])
    if open_at is not None:
        gaps.append([open_at, None])
    print(json.dumps({"sent": len(sent_at), "lost": len(sent_at) - len(answered), "gaps": gaps, "by": by,
                      "switches": switches, "end": now(), "worst_send_gap_ms": worst_gap * 1e3}))


def tap() -> socket.socket:
    """What passes the bridge."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind(("br0", 0))
    # promiscuous: the bridge does not hand its own interface what is multicast between two ports otherwise
    mreq = struct.pack("iHH8s", socket.if_nametoindex("br0"), 1, 0, b"")
    sock.setsockopt(263, 1, mreq)
    print("ready", flush=True)
    return sock


def adverts(duration_ms: int) -> None:
    sock = tap()
    end, seen = now() + duration_ms / 1e3, []
    while (left := end - now()) > 0:
        sock.settimeout(left)
        try:
            frame = sock.recv(2048)
        except TimeoutError:
            break
        t, kind = now(), struct.unpack_from(">H", frame, 12)[0]
        if kind == 0x0800 and frame[23] == 112:
            body = 14 + 4 * (frame[14] & 15)
            source = socket.inet_ntop(socket.AF_INET, frame[26:30])
        elif kind == 0x86DD and frame[20] == 112:
            body, source = 54, socket.inet_ntop(socket.AF_INET6, frame[22:38])
        else:
            continue
        seen.append([t, source, frame[body + 1], frame[body + 2], frame[6:12].hex(":")])
    print(json.dumps(seen))


def announcements() -> None:
    sock = tap()
    while True:
        frame = sock.recv(2048)
        t, kind = now(), struct.unpack_from(">H", frame, 12)[0]
        if kind == 0x0806 and frame[28:32] == frame[38:42]:  # sender and target are the same
            name = {1: "request", 2: "reply"}[frame[21]]
            address = socket.inet_ntop(socket.AF_INET, frame[28:32])
        elif kind == 0x86DD and frame[20] == 58 and frame[54] == 136 and frame[38] == 0xFF:  # to a multicast address
            name, address = "advertisement", socket.inet_ntop(socket.AF_INET6, frame[62:78])
        else:
            continue
        print(json.dumps([t, name, address, frame[6:12].hex(":")]), flush=True)


def raw(source: str, destination: str, protocol: int, payloads: Iterable[bytes]) -> None:
    with socket.socket(family(source), socket.SOCK_RAW, protocol) as sock:
        index = socket.if_nametoindex("eth0")
        if family(source) == socket.AF_INET:
            for option in (socket.IP_TTL, socket.IP_MULTICAST_TTL):
                sock.setsockopt(socket.IPPROTO_IP, option, 255)
            sock.bind((source, 0))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
            target: tuple = (destination, 0)
        else:
            for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
                sock.setsockopt(socket.IPPROTO_IPV6, option, 255)
            sock.bind((source, 0, 0, index))
            target = (destination, 0, 0, index)
        for payload in payloads:
            sock.sendto(payload, target)


def noise(count: int, template: bytes) -> Iterable[bytes]:
    random = Random(1)
    for number in range(count):
        if number % 2:
            yield random.randbytes(random.randrange(200))
            continue
        changed = bytearray(template)
        for _ in range(random.randrange(1, 4)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        yield bytes(changed[:random.randrange(len(changed) + 1)] if number % 8 == 0 else changed)
        if number % 100 == 0:
            time.sleep(0.02)  # what a receiver cannot take in is dropped by the kernel


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["echo", address, port, name]:
            echo(address, int(port), name)
        case ["probe", address, port, step, duration]:
            probe(address, int(port), int(step), int(duration))
        case ["adverts", duration]:
            adverts(int(duration))
        case ["announcements"]:
            announcements()
        case ["send", source, destination, protocol, *payloads]:
            raw(source, destination, int(protocol), map(bytes.fromhex, payloads))
        case ["noise", source, destination, protocol, count, template]:
            raw(source, destination, int(protocol), noise(int(count), bytes.fromhex(template)))
        case _:
            sys.exit(__doc__)
