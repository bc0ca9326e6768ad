"""`fairway-director release` removes what a killed director left behind, and nothing else."""

from __future__ import annotations

import unit
from lab import Lab


def test(lab: Lab) -> None:
    host = lab.hosts["lb1"]
    host.run("ipvsadm", "-A", "-t", "10.0.0.11:8443", "-s", "rr")
    host.run("ip", "addr", "add", "10.0.0.99/32", "dev", "eth0")
    host.run("ip", "route", "add", "10.77.0.0/16", "dev", "eth0", "proto", "112")
    host.run("ip", "route", "add", "10.78.0.0/16", "dev", "eth0")
    host.run("ip", "rule", "add", "to", "10.77.0.0/16", "table", "77", "priority", "77", "protocol", "112")
    lab.directors["lb1"].kill()
    assert host.holds(lab.vip)
    host.run(*unit.command("fairway-release.service"))
    routes = host.run("ip", "route", "show") + host.run("ip", "rule", "show")
    assert "10.77.0.0" not in routes, f"routes or rules with our tag are left: {routes}"
    assert "10.78.0.0" in routes, f"a route that is not ours went: {routes}"
    left = {info["local"] for info in host.addresses()}
    assert lab.vip not in left, "the VIP is still there"
    assert {"10.0.0.11", "10.0.0.99"} <= left, f"an address that is not ours went: {left}"
    assert lab.table("lb1") == {"tcp 10.0.0.11:8443 rr": {}}, f"not exactly our services went: {lab.table('lb1')}"
