"""Without its quorum a service is answered by its sorry server; orders of the operator; probes on demand."""

from __future__ import annotations

import json

from lab import Lab, eventually

SERVICE = "/service/web"
SERVER = "/service/web/server/web1"
KEY = "tcp 10.0.0.100:80 rr"
WEB1, WEB2 = "10.0.0.21:80 direct", "10.0.0.22:80 direct"

WEB = """
[[service]]
name = "web"
scheduler = "rr"
checks = ["alive"]
quorum = 2
on-failure = "weight-zero"
listen = { address = "10.0.0.100", port = 80, protocol = "tcp" }
sorry-server = { address = "10.0.0.22", forward = "direct", inhibit = true }
real-servers = [{ name = "web1", address = "10.0.0.21", forward = "direct", weight = 3 }]
"""


def test(lab: Lab) -> None:
    lb1, config = lab.directors["lb1"], lab.config("lb1")
    config.write_text(config.read_text().split("[[service]]")[0] + WEB)
    lb1.control("reload")

    def expect(what: str, web1: int | None, web2: int | None) -> None:
        wanted = {name: weight for name, weight in ((WEB1, web1), (WEB2, web2)) if weight is not None}
        eventually(lambda: lab.table("lb1").get(KEY) == wanted, f"{what}: {wanted}")

    expect("the sorry server is inhibited", 3, 0)
    assert lb1.property(SERVICE, "VirtualService", "Quorum") == "up"
    assert lab.get(10).by_server() == {"web1": 10}
    seen = lb1.control("probe", "web", "web1", "alive")
    assert "pass" in seen and "status 200" in seen, f"the probe sees {seen}"

    lab.servers["web1"].stop()
    expect("the quorum is lost", 0, 1)
    eventually(lambda: lb1.property(SERVICE, "VirtualService", "Sorry") is True, "the bus says so")
    assert lb1.property(SERVICE, "VirtualService", "Quorum") == "down"
    result = lab.get(10)
    assert not result.failed and result.by_server() == {"web2": 10}, f"the sorry server does not answer: {result}"
    assert lab.hosts["lb1"].exit_code("fairwayctl", "probe", "web", "web1") == 1, "a failing probe is no success"

    lab.servers["web1"].start()
    expect("the quorum is back", 3, 0)
    assert lab.get(10).by_server() == {"web1": 10}

    # Orders: they take their place in the quorum, hold over a reload, and end by themselves.
    lb1.control("weight", "web", "web1", "7")
    expect("the operator's weight", 7, 0)
    lb1.control("reload")
    expect("a reload keeps it", 7, 0)
    lb1.control("disable", "web", "web1")
    expect("disabled", None, 1)
    server = lb1.status()["services"][0]["servers"][0]
    assert server["order"] == "disable", f"the status hides the order: {json.dumps(server)}"
    lb1.control("disable", "web", "web1", "--for", "2s")
    expect("the order has ended by itself", 3, 0)
    lb1.control("drain", "web", "web1", "--deadline", "2s")
    eventually(lambda: lb1.property(SERVER, "RealServer", "Order") == "drained", "drained at the deadline")
    expect("drained", None, 1)
    lb1.control("enable", "web", "web1")
    expect("enabled", 3, 0)

    # The kernel adds its counters up every two seconds.
    count = lambda: lb1.statistics(SERVICE, "VirtualService")["connections"]  # noqa: E731
    eventually(lambda: count() >= 30, "the kernel counted 30")
    lb1.control("statistics", "--zero", "web")
    assert count() < 30, "the counters were not set to zero"
