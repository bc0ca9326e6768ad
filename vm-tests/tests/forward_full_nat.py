"""Full NAT, IPv4 and IPv6: servers without any route to the client answer it, and see the director's address."""

from __future__ import annotations

import time

from lab import Lab, eventually

TOPOLOGY = "full-nat"


def test(lab: Lab) -> None:
    for server in lab.servers:
        for family in ("-4", "-6"):
            routes = lab.hosts[server].run("ip", family, "route", "show", "default")
            assert not routes, f"{server} has a default route, and the test proves nothing: {routes}"
    seen = {"shop": lab.virtual_ips["pool"], "shop6": lab.virtual_ips["pool6"]}
    for name, source in seen.items():
        result = lab.get(60, address=lab.virtual_ips[name])
        lab.note(f"{name}: {result}")
        assert not result.failed, f"{name}: {result}"
        assert result.by_server() == {"web1": 30, "web2": 30}, f"{name}: round robin is not even: {result}"
        clients = {request.client for request in result.requests}
        assert clients == {source}, f"{name}: the servers saw {clients}, not the pool's address"

    lab.hosts["lb1"].cut_power()
    for address in lab.virtual_ips.values():
        eventually(lambda a=address: lab.hosts["lb2"].holds(a), f"lb2 has {address}", 10.0)
    time.sleep(1.0)
    for name, source in seen.items():
        result = lab.get(20, address=lab.virtual_ips[name])
        lab.note(f"{name} by lb2: {result}")
        assert not result.failed and set(result.by_server()) == {"web1", "web2"}, f"{name} after the take-over: {result}"
        assert {request.client for request in result.requests} == {source}, f"{name}: the source changed with the director"
