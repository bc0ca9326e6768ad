"""The applier of these tests refuses what it does not implement, so that nothing generated goes untested unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import applier
import networkd
from host import RUN, Host

TOPOLOGY = None

REFUSED = {
    "systemd/network/10-eth0.network": [
        "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
        "[Match]\nName=eth0\n[Bridge]\nCost=1\n",
        "[Match]\nName=eth0\n[Network]\nIPv6AcceptRA=yes\n",
        "Name=eth0\n",
    ],
    "systemd/network/10-tun0.netdev": ["[NetDev]\nName=tun0\nKind=tun\n"],
    "systemd/network/10-eth0.link": ["[Match]\nName=eth0\n"],
    "systemd/networkd.conf.d/10-x.conf": ["[Network]\nSpeedMeter=no\n"],
    "systemd/resolved.conf.d/10-x.conf": ["[Resolve]\n"],
    "modprobe.d/x.conf": ["blacklist ip_vs\n"],
    "sysctl.d/60-x.conf": ["net.ipv4.conf.*.arp_ignore = 1\n", "net.ipv4.ip_forward\n"],
    "modules-load.d/x.conf": ["no_such_module\n"],
}


def test(note: Callable[[str], None]) -> None:
    tried = 0
    for number, (path, texts) in enumerate(REFUSED.items()):
        for text in texts:
            tried += 1
            tree = RUN / "trees" / f"t{number}-{tried}"
            file: Path = tree / "etc" / path
            file.parent.mkdir(parents=True)
            file.write_text(text)
            host = Host(f"t{tried}")
            try:
                applier.apply(host, applier.install(host, tree))
            except (networkd.UnknownKey, applier.NotApplied):
                continue
            raise AssertionError(f"{path} was accepted: {text!r}")
    note(f"{tried} refused")
