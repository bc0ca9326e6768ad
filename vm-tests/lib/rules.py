"""The kernel's table that a director.toml asks for, in the words of `ipvsadm -Sn`."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

SERVICE = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
FORWARD = {"direct": "-g", "nat": "-m", "tunnel": "-i"}
CHECKSUM = {"none": " --tun-nocsum", "full": " --tun-csum", "remote": " --tun-remcsum"}


def read(text: str) -> dict[str, Any]:
    """Reads TOML as fairway-gen writes it: tables, tables in lists, and values that are JSON too."""
    root: dict[str, Any] = {}
    table = root
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        header = re.fullmatch(r"(\[\[?)([\w.-]+)\]\]?", line)
        if header is None:
            key, _, value = line.partition(" = ")
            table[key] = json.loads(value)
            continue
        *above, name = header.group(2).split(".")
        table = root
        for key in above:
            below = table.setdefault(key, {})
            table = below[-1] if isinstance(below, list) else below
        if header.group(1) == "[[":
            table.setdefault(name, []).append({})
            table = table[name][-1]
        else:
            table = table.setdefault(name, {})
    return root


def expected(director: str) -> set[str]:
    """What the kernel has when every server is up: one line a service and one a server, options in ipvsadm's order."""
    lines = set()
    for service in read(director).get("service", []):
        listen = service["listen"]
        if "fwmark" in listen:
            key = f"-f {listen['fwmark']}" + (" -6" if listen.get("family") == "ipv6" else "")
            port = 0
        else:
            port = listen["port"]
            key = f"{SERVICE[listen['protocol']]} {_place(listen['address'], port)}"
        flags = service.get("scheduler-flags", [])
        persistence = service.get("persistence", {})
        line = f"-A {key} -s {service['scheduler']}"
        if persistence:
            line += f" -p {_seconds(persistence['timeout'])}"
            if "prefix" in persistence:
                ipv6 = ":" in listen.get("address", "") or listen.get("family") == "ipv6"
                # A mask for IPv4, a length for IPv6.
                line += f" -M {persistence['prefix'] if ipv6 else ipaddress.ip_network((0, persistence['prefix'])).netmask}"
            if "engine" in persistence:
                line += f" --pe {persistence['engine']}"
        if flags:
            line += f" -b {','.join(sorted(flags))}"
        lines.add(line + (" -o" if service.get("one-packet") else ""))
        for server in service["real-servers"]:
            kind = server.get("forward", service.get("forward"))
            tunnel = server.get("tunnel", service.get("tunnel", {})) if kind == "tunnel" else {}
            wrapped = ""
            if kind == "tunnel":
                wrapped = f" --tun-type {tunnel.get('type', 'ipip')}"
                wrapped += f" --tun-port {tunnel['port']}" if "port" in tunnel else ""
                wrapped += CHECKSUM[tunnel.get("checksum", "none")] if tunnel.get("type") in ("gre", "gue") else ""
            place = _place(server["address"], server.get("port", port))
            lines.add(f"-a {key} -r {place} {FORWARD[kind]} -w {server.get('weight', 1)}{wrapped}")
    return lines


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _seconds(text: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", text))
