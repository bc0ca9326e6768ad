"""IP-in-IP tunnels to servers behind a router, IPv4 and IPv6: big packets pass without ICMP, and a failover."""

from __future__ import annotations

import time

import bulk
from lab import Lab, eventually

TOPOLOGY = "tunnel"


def test(lab: Lab) -> None:
    for server in lab.servers:
        # The strictest a distribution sets; the generated value for the tunnel's interface is the larger one.
        lab.hosts[server].run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
        bulk.serve(lab.hosts[server])
    # A client behind a firewall that drops every ICMP error: without the servers' clamp its uploads would hang.
    lab.client.run("nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; "
                   "add rule inet t in icmp type destination-unreachable drop; "
                   "add rule inet t in icmpv6 type packet-too-big drop")  # fmt: skip
    seen = {"shop": "192.168.1.200", "shop6": "fd00:1::c8"}
    for name, client in seen.items():
        result = lab.get(40, address=lab.virtual_ips[name])
        lab.note(f"{name}: {result}")
        assert not result.failed, f"{name}: {result}"
        assert result.by_server() == {"web1": 20, "web2": 20}, f"{name}: round robin is not even: {result}"
        assert {request.client for request in result.requests} == {client}, f"{name}: the servers did not see the client"
        for _ in lab.servers:
            assert bulk.transfer(lab.client, lab.virtual_ips[name]) == bulk.SIZE, f"{name}: a transfer ended early"

    lab.hosts["lb1"].cut_power()
    for address in lab.virtual_ips.values():
        eventually(lambda a=address: lab.hosts["lb2"].holds(a), f"lb2 has {address}", 10.0)
    time.sleep(1.0)
    for name in seen:
        result = lab.get(20, address=lab.virtual_ips[name])
        lab.note(f"{name} by lb2: {result}")
        assert not result.failed and set(result.by_server()) == {"web1", "web2"}, f"{name} after the take-over: {result}"
