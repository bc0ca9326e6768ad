"""`fairway-director release` removes what a killed director left behind, and nothing else."""

from __future__ import annotations

import unit
from lab import Lab


def test(lab: Lab) -> None:
    host = lab.hosts["lb1"]
    host.run("ipvsadm", "-A", "-t", "10.0.0.11:8443", "-s", "rr")
    host.run("ip", "addr", "add", "10.0.0.99/32", "dev", "eth0")
    lab.directors["lb1"].kill()
    assert host.holds(lab.vip)
    host.run(*unit.command("fairway-release.service"))
    left = {info["local"] for info in host.addresses()}
    assert lab.vip not in left, "the VIP is still there"
    assert {"10.0.0.11", "10.0.0.99"} <= left, f"an address that is not ours went: {left}"
    assert lab.table("lb1") == {"tcp 10.0.0.11:8443 rr": {}}, f"not exactly our services went: {lab.table('lb1')}"
