"""NAT: requests are balanced, replies come back through the VIP inside, and servers reach the world masqueraded."""

from __future__ import annotations

from lab import Lab
from load import get
from web import WebServer

TOPOLOGY = "nat"


def test(lab: Lab) -> None:
    inside = lab.virtual_ips["inside"]
    for name in lab.servers:
        routes = lab.hosts[name].run("ip", "route", "show", "default")
        assert routes.startswith(f"default via {inside} "), f"{name}'s default route is not the inside VIP: {routes}"

    result = lab.get(200)
    lab.note(str(result))
    assert not result.failed, f"some requests failed: {result}"
    assert result.by_server() == {"web1": 100, "web2": 100}, f"round robin is not even: {result}"
    client = "192.168.1.200"
    assert {request.client for request in result.requests} == {client}, "the servers did not see the client's own address"

    # What a server opens itself leaves with the director's address: the client has no route to the servers' network.
    outside = WebServer(lab.client)
    outside.start()
    outbound = get(lab.hosts["web1"], client, 20)
    lab.note(f"web1 to the outside: {outbound}")
    assert not outbound.failed, f"a server cannot reach the outside: {outbound}"
    seen = {request.client for request in outbound.requests}
    assert seen == {"192.168.1.11"}, f"the outside saw {seen}, not lb1's own address"
