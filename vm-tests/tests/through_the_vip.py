"""Checks with via = "vip": on master and backup alike they find a server that lost its virtual IP, over both families."""

from __future__ import annotations

from host import ip
from lab import Lab, eventually

TOPOLOGY = "through-the-vip"
SHOP, SHOP6 = "tcp 10.0.0.100:80 rr", "tcp [fd00:10::100]:80 rr"
WEB1, WEB2 = "10.0.0.21:80 direct", "10.0.0.22:80 direct"
WEB1_6, WEB2_6 = "[fd00:10::21]:80 direct", "[fd00:10::22]:80 direct"


def test(lab: Lab) -> None:
    def expect(what: str, wanted: set[str], wanted6: set[str]) -> None:
        for director in lab.directors:
            for key, servers in ((SHOP, wanted), (SHOP6, wanted6)):
                # Two failed checks, and for one more the pause between two.
                eventually(lambda d=director, k=key, s=servers: set(lab.table(d)[k]) == s, f"{director}, {what}: {key} has {servers}")

    expect("all answer", {WEB1, WEB2}, {WEB1_6, WEB2_6})
    assert lab.masters() == ["lb1"]

    ip("-n", "web1", "addr", "del", "10.0.0.100/32", "dev", "fairway0")
    expect("web1 lost its virtual IP", {WEB2}, {WEB1_6, WEB2_6})
    for director in lab.directors.values():
        server = director.property("/service/web_2dshop_2d80/server/web1", "RealServer", "Detail")
        assert "while connecting" in server, f"{director.host.name} says {server}"
    result = lab.get(10)
    assert result.by_server() == {"web2": 10}, f"clients are sent to it still: {result}"

    ip("-n", "web1", "addr", "add", "10.0.0.100/32", "dev", "fairway0")
    ip("-n", "web2", "addr", "del", "fd00:10::100/128", "dev", "fairway0")
    expect("web2 lost its IPv6 one", {WEB1, WEB2}, {WEB1_6})
    ip("-n", "web2", "addr", "add", "fd00:10::100/128", "dev", "fairway0", "nodad")
    expect("all answer again", {WEB1, WEB2}, {WEB1_6, WEB2_6})

    # What probes need beside the services is gone with the director.
    lab.directors["lb2"].stop()
    left = lab.hosts["lb2"].run("ipvsadm", "-Sn")
    assert not left.strip(), f"lb2 leaves {left}"
