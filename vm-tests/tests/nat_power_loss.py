"""NAT: both VIPs move together when the master loses its power, and traffic goes on both ways."""

from __future__ import annotations

import time

from lab import Lab, eventually
from load import get
from web import WebServer

TOPOLOGY = "nat"


def test(lab: Lab) -> None:
    load = lab.load()
    lab.hosts["lb1"].cut_power()
    for vip in lab.virtual_ips.values():
        eventually(lambda v=vip: lab.hosts["lb2"].holds(v), f"lb2 has {vip}", 3.0)
    time.sleep(1.5)
    result = load.stop()
    lab.note(f"outage {result.outage() * 1000:.0f} ms; {result}")
    assert 0 < result.outage() < 2.0, f"the outage was {result.outage():.3f} s"
    after = lab.get(50)
    assert not after.failed and set(after.by_server()) == {"web1", "web2"}, f"after the take-over: {after}"

    outside = WebServer(lab.client)
    outside.start()
    outbound = get(lab.hosts["web2"], "192.168.1.200", 10)
    assert not outbound.failed, f"a server cannot reach the outside: {outbound}"
    assert {request.client for request in outbound.requests} == {"192.168.1.12"}, "not masqueraded by lb2"
