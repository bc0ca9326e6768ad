"""VRRP is cut between the directors (both become master), then heals: one master remains and the client is served."""

from __future__ import annotations

import time

from lab import Lab, eventually

INTERVAL = 0.25


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    lab.in_switch("nft", "add table netdev cut")
    for name in lab.directors:
        port = lab.hosts[name].cables["eth0"]
        lab.in_switch("nft", f"add chain netdev cut {port} {{ type filter hook ingress device {port} priority 0; }}")
        lab.in_switch("nft", f"add rule netdev cut {port} ip protocol 112 drop")
    eventually(lambda: lb1.state() == lb2.state() == "master", "both are master while the switch drops VRRP")
    time.sleep(3 * INTERVAL)
    load = lab.load()
    lab.in_switch("nft", "delete table netdev cut")
    healed = time.monotonic()
    took = eventually(lambda: lab.masters() == ["lb1"], "lb1 alone holds the VIP", 5.0)
    time.sleep(2.0)
    result = load.stop().since(healed - 0.5)
    lab.note(f"one master after {took * 1000:.0f} ms; outage {result.outage() * 1000:.0f} ms; {result}")
    assert result.outage() <= INTERVAL + 0.3, f"the client was cut off for {result.outage():.3f} s after the heal"
    assert lb1.state() == "master" and lb2.state() == "backup"
