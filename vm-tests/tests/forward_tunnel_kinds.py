"""GRE and GUE tunnels, IPv4 and IPv6 clients, GUE with remote checksums: requests and big transfers."""

from __future__ import annotations

import bulk
from lab import Lab

TOPOLOGY = "tunnel-kinds"


def test(lab: Lab) -> None:
    for server in lab.servers:
        bulk.serve(lab.hosts[server])
    for name, address in lab.virtual_ips.items():
        result = lab.get(20, address=address)
        lab.note(f"{name}: {result}")
        assert not result.failed, f"{name}: {result}"
        assert result.by_server() == {"web1": 10, "web2": 10}, f"{name}: round robin is not even: {result}"
        assert {request.client for request in result.requests} <= {"192.168.1.200", "fd00:1::c8"}, f"{name}: {result}"
        assert bulk.transfer(lab.client, address) == bulk.SIZE, f"{name}: a transfer ended early"
    table = lab.hosts["lb1"].run("ipvsadm", "-Sn")
    for kind in ("--tun-type gre", "--tun-type gue --tun-port 6080 --tun-remcsum"):
        assert kind in table, f"the kernel's table has no {kind}:\n{table}"
