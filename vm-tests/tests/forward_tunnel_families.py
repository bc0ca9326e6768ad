"""Tunnels between address families: IPv6 clients to a server over IPv4, IPv4 clients to a server over IPv6."""

from __future__ import annotations

import bulk
from lab import Lab

TOPOLOGY = "tunnel-families"


def test(lab: Lab) -> None:
    for server in lab.servers:
        bulk.serve(lab.hosts[server])
    for name, address in lab.virtual_ips.items():
        result = lab.get(40, address=address)
        lab.note(f"{name}: {result}")
        assert not result.failed, f"{name}: {result}"
        assert result.by_server() == {"web1": 20, "web2": 20}, f"{name}: round robin is not even: {result}"
        for _ in lab.servers:
            assert bulk.transfer(lab.client, address) == bulk.SIZE, f"{name}: a transfer ended early"
