"""SYN proxy before NAT and full NAT, IPv4 and IPv6: clients are served, and forged SYNs never reach IPVS."""

from __future__ import annotations

from flood import send_syns
from lab import Lab
from load import get

TOPOLOGY = "syn-proxy"
FORGED = 100


def connections(lab: Lab) -> int:
    """Entries of the director's IPVS connection table."""
    return len(lab.hosts["lb1"].run("cat", "/proc/net/ip_vs_conn").splitlines()) - 1


def test(lab: Lab) -> None:
    shop, shop6 = lab.virtual_ips["shop"], lab.virtual_ips["shop6"]
    cases = {
        (shop, 80): "192.168.1.200", (shop6, 80): "fd00:1::c8",  # NAT: the client
        (shop, 8080): lab.virtual_ips["inside"], (shop6, 8080): lab.virtual_ips["inside6"],  # full NAT: the director
    }  # fmt: skip
    for (address, port), seen in cases.items():
        result = get(lab.client, address, 20, port=port)
        lab.note(f"{address} port {port}: {result}")
        assert not result.failed, f"{address} port {port}: {result}"
        assert result.by_server() == {"web1": 10, "web2": 10}, f"{address} port {port}: {result}"
        clients = {request.client for request in result.requests}
        assert clients == {seen}, f"{address} port {port}: the servers saw {clients}, not {seen}"

    before = connections(lab)
    assert before >= 80, f"the table has {before} connections only: it is not what is looked at"
    send_syns(lab.client, shop, 80, [f"192.168.1.{number}" for number in range(100, 100 + FORGED) if number not in (100, 200)])
    send_syns(lab.client, shop6, 8080, [f"fd00:1::f:{number:x}" for number in range(1, FORGED)])
    after = connections(lab)
    lab.note(f"{before} connections before {2 * FORGED - 3} forged SYNs, {after} after them")
    assert after <= before, f"forged SYNs are in the table: {before} connections before, {after} after"
    counted = lab.hosts["lb1"].run("cat", "/proc/net/stat/synproxy").splitlines()
    received = sum(int(line.split()[1], 16) for line in counted[1:])
    assert received >= 80 + FORGED, f"the SYN proxy saw {received} SYNs only"

    # The same SYNs without it, so that the count above means something.
    lab.hosts["lb1"].run("nft", "flush", "chain", "inet", "fairway", "syn_proxy")
    lab.hosts["lb1"].run("nft", "flush", "chain", "inet", "fairway", "input")
    send_syns(lab.client, shop, 80, [f"192.168.1.{number}" for number in range(101, 151)])
    flooded = connections(lab)
    assert flooded >= after + 50, f"without the proxy they are not there either: {flooded}"
