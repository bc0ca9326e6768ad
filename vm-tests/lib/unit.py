"""Runs programs with the user, capabilities and limits that the project's systemd units give them.

systemd itself does not run in the guest; its sandboxing (namespaces, system call filters) is not reproduced.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import networkd

UNITS = Path("/fairway/systemd")


def command(name: str) -> list[str]:
    """The command line of a unit's ExecStart, wrapped in what gives it the unit's identity and limits."""
    sections = networkd.parse(UNITS / name)
    service = next(section for section in sections if section.name == "Service")
    limits = [
        f"--{option}={'unlimited' if value == 'infinity' else value}"
        for key, option in (("LimitRTPRIO", "rtprio"), ("LimitMEMLOCK", "memlock"), ("LimitNOFILE", "nofile"))
        if (value := service.get(key))
    ]
    identity = ["--no-new-privs"] if service.get("NoNewPrivileges") == "yes" else []
    if user := service.get("User"):
        identity += [f"--reuid={user}", f"--regid={service.get('Group') or user}", "--init-groups"]
        ambient = _capabilities(service.get("AmbientCapabilities"))
        identity += [f"--inh-caps={ambient}", f"--ambient-caps={ambient}"]
    if service.get("CapabilityBoundingSet"):
        identity.append(f"--bounding-set={_capabilities(service.get('CapabilityBoundingSet'))}")
    wrapper = (["prlimit", *limits] if limits else []) + (["setpriv", *identity] if identity else [])
    return [*wrapper, *shlex.split(service.get("ExecStart"))]


def _capabilities(names: str) -> str:
    """systemd's list as setpriv writes it: none but these."""
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names.split())])
