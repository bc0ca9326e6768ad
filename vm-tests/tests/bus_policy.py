"""Everybody may read the director's state on the bus; only root and the group fairway may change anything."""

from __future__ import annotations

from director import BUS_NAME, ROOT
from lab import Lab

GROUP = f"{ROOT}/group/edge"


def test(lab: Lab) -> None:
    host = lab.hosts["lb1"]
    bus = f"--address={host.environment['DBUS_SYSTEM_BUS_ADDRESS']}"
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "busctl", bus]
    operator = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=fairway", "busctl", bus]

    read = host.run(*nobody, "get-property", BUS_NAME, GROUP, f"{BUS_NAME}.Group", "State")
    assert read.strip() == 's "master"', f"nobody read {read}"
    refused = host.run(*nobody, "call", BUS_NAME, GROUP, f"{BUS_NAME}.Group", "ForceState", "s", "backup", check=False)
    assert "Access denied" in refused or "AccessDenied" in refused, f"nobody could force a state: {refused}"
    assert lab.directors["lb1"].state() == "master"
    host.run(*operator, "call", BUS_NAME, GROUP, f"{BUS_NAME}.Group", "ForceState", "s", "master")
    assert lab.directors["lb1"].property("/group/edge", "Group", "Forced") == "master"
