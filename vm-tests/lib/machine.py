"""Loads a generated etc/ tree with what a Debian machine loads it with, where `applier` imitates it: the programs are
systemd's own, so that a file which they refuse, or a key they do not know, is found.

No systemd runs in the guest. What is not covered: udev's renaming of interfaces, units and their order at boot.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import applier
import networkd
import unit
from host import Host, Process, eventually, ip

# networkd keeps its state in /run/systemd. Without udev it takes links at once, and it knows that from a read-only /sys.
NETWORKD = "mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; mount -o remount,ro,bind /sys; exec systemd-networkd"
# Complaints only: a key that is not known is a warning.
LOG = {"SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_LEVEL": "notice"}


class Machine:
    """A host whose files systemd's programs and nft load."""

    def __init__(self, name: str, tree: Path) -> None:
        self.host = Host(name)
        self.host.environment.update(LOG)
        self.etc = applier.install(self.host, tree)
        self._networkd: Process | None = None
        for interface in networkd.addresses_by_interface(self.etc):
            ip("-n", name, "link", "add", interface, "type", "dummy")

    def start(self) -> None:
        """Modules, and networkd, which works on while others start."""
        modules = self._files("modules-load.d/*.conf")
        said = self.host.run("systemd-modules-load", *modules).strip() if modules else ""
        assert not said, f"{self.host.name}: systemd-modules-load: {said}"
        self._networkd = self.host.spawn("networkd", "sh", "-ec", NETWORKD)

    def finish(self) -> None:
        """Waits for networkd's work, then sysctls (they name interfaces), the rules, and the UDP ports of tunnels."""
        assert self._networkd is not None
        expected = self._expected()
        eventually(lambda: not self._missing(expected), lambda: f"networkd sets {self._missing(expected)}: {self._networkd.output()[-600:]}", 60, 0.1)
        complaints = self._networkd.output().strip()
        assert not complaints, f"{self.host.name}: systemd-networkd: {complaints}"
        self._networkd.kill()
        sysctls, rules = self._sysctls(), "/etc/nftables.d/fairway.nft"
        batch = self.etc / "fairway/gue-open.batch"
        ports = re.findall(r"^fou add (port \d+ gue)$", batch.read_text(), re.MULTILINE) if batch.exists() else []
        # One command: in an emulated machine each costs its time.
        steps = [
            ["systemd-sysctl", *self._files("sysctl.d/*.conf")],
            ["sysctl", "-n", *(key for key, _ in sysctls)] if sysctls else ["true"],
            ["nft", "-I", "/etc/nftables.d", "-c", "-f", rules],
            unit.command("fairway-nftables.service"),
            ["nft", "list", "table", "inet", "fairway"],
            *([unit.command("fairway-gue.service"), ["ip", "fou", "show"]] if ports else []),
        ]
        said = self.host.run("sh", "-c", " && echo -- && ".join(map(shlex.join, steps))).split("--\n")
        loaded, values, checked, ruled, _, *opened = said
        complaints = "".join([loaded, checked, ruled, *opened[:-1]]).strip()
        assert not complaints, f"{self.host.name}: {complaints}"
        have = [" ".join(value.split()) for value in values.splitlines()]
        wrong = [f"{key} is {value}, not {want}" for (key, want), value in zip(sysctls, have) if value != want]
        assert len(have) == len(sysctls) and not wrong, f"{self.host.name}: sysctl.d: {wrong or values}"
        assert sorted(" ".join(opened[-1:]).split("\n")[:-1]) == sorted(ports), f"{self.host.name}: open is {opened}, the file has {ports}"

    def _files(self, pattern: str) -> list[str]:
        return [f"/etc/{file.relative_to(self.etc)}" for file in sorted(self.etc.glob(pattern))]

    def _expected(self) -> set[str]:
        """Every address, router and interface of the networkd files: "eth0 10.0.0.11/24", "eth0 via 10.0.0.1", "fairway0"."""
        netdevs, networks = networkd.read(self.etc)
        found = {section.get("Name") for sections in netdevs for section in sections if section.name == "NetDev"}
        for sections in networks:
            for name in next(section for section in sections if section.name == "Match").get("Name").split():
                for section in sections:
                    addresses = [section.get("Address")] if section.name == "Address" else section.all("Address") if section.name == "Network" else []
                    found |= {f"{name} {a if '/' in a else a + ('/128' if ':' in a else '/32')}" for a in addresses}
                    found |= {f"{name} via {gateway}" for gateway in section.all("Gateway")}
        return found

    def _missing(self, expected: set[str]) -> list[str]:
        said = ip("-j", "-n", self.host.namespace, "addr"), ip("-j", "-n", self.host.namespace, "route", "show", "table", "all", "default")
        links, routes = (json.loads(text or "[]") for text in said)
        there = {link["ifname"] for link in links if link}
        there |= {f"{link['ifname']} {info['local']}/{info['prefixlen']}" for link in links if link for info in link["addr_info"]}
        there |= {f"{route['dev']} via {route['gateway']}" for route in routes if "gateway" in route}
        return sorted(expected - there)

    def _sysctls(self) -> list[tuple[str, str]]:
        """Keys and values of the files, those left out that may be missing."""
        found = []
        for file in sorted((self.etc / "sysctl.d").glob("*.conf")):
            lines = [line.strip() for line in file.read_text().splitlines() if line.strip() and line[0] not in "#;-"]
            found += [(key.strip(), " ".join(value.split())) for key, _, value in (line.partition("=") for line in lines)]
        return found
