"""Routes, rules and unadvertised addresses are on the master only, are put back when somebody deletes them, and never replace others'."""

from __future__ import annotations

import json
import time

from host import Host, ip
from lab import Lab, eventually

TOPOLOGY = "routes"
TIMEOUT = 400
TAG = "112"
PATIENCE = 60.0  # each look is several commands in an emulated machine


def held(host: Host) -> set[str]:
    """What the kernel has with our tag."""
    found = set()
    for family in ("-4", "-6"):
        for route in json.loads(ip("-j", "-n", host.namespace, family, "route", "show", "table", "all", "proto", TAG) or "[]"):
            found.add(f"{route['dst']} {route.get('table', 'main')} {route['gateway']} {route.get('prefsrc', '')}")
        for rule in json.loads(ip("-j", "-n", host.namespace, family, "rule", "show") or "[]"):
            if str(rule.get("protocol")) == TAG:
                found.add(f"rule {family} {rule['priority']} {rule['table']}")
    return found


EVERYTHING = {
    "10.9.0.0/16 main 10.0.0.200 10.0.0.100",
    "default 70000 10.0.0.200 10.0.0.101",
    "fd09::/16 main fd00:10::c8 fd00:10::100",
    "rule -4 1000 70000",
    "rule -4 1001 70000",
    "rule -6 1001 70000",
}


def missing(lab: Lab, name: str) -> list[str]:
    return lab.directors[name].property("/group/edge", "Group", "MissingRoutes")


def test(lab: Lab) -> None:
    lb1, lb2 = lab.hosts["lb1"], lab.hosts["lb2"]
    eventually(lambda: held(lb1) == EVERYTHING, "the master has all routes and rules", PATIENCE)
    assert held(lb2) == set(), f"the backup has {held(lb2)}"
    assert len(lab.directors["lb2"].property("/group/edge", "Group", "Routes")) == len(EVERYTHING)
    assert missing(lab, "lb1") == []
    assert "mtu 1400" in lb1.run("ip", "route", "get", "10.9.0.1")

    # Somebody deletes one of each kind, an address that a route needs, and the whole link's routes.
    since = lab.directors["lb2"].property("/group/edge", "Group", "Since")
    for command in (
        ("route", "del", "10.9.0.0/16"),
        ("rule", "del", "priority", "1000"),
        ("-6", "route", "del", "fd09::/16"),
        ("addr", "del", "10.0.0.101/32", "dev", "eth0"),
        ("-6", "addr", "del", "fd00:10::100/128", "dev", "eth0"),
    ):
        ip("-n", "lb1", *command)
    eventually(lambda: held(lb1) == EVERYTHING, "they are back", PATIENCE)
    eventually(lambda: lab.masters() == ["lb1"], "lb1 has all addresses again", PATIENCE)
    assert lab.directors["lb1"].statistics("/group/edge", "Group")["routes_restored"] >= 3
    assert lab.directors["lb2"].property("/group/edge", "Group", "Since") == since, "lb2 took over meanwhile"

    # A route of the administrator's in the backup's way stays, also when the backup becomes master and backup again.
    lb2.run("ip", "route", "add", "10.9.0.0/16", "via", "10.0.0.11")
    lab.directors["lb1"].control("failover", "edge")
    foreign = EVERYTHING - {"10.9.0.0/16 main 10.0.0.200 10.0.0.100"}
    eventually(lambda: held(lb2) == foreign, "lb2 has the routes that nobody else has", PATIENCE)
    eventually(lambda: held(lb1) == set(), "lb1 has given them up", PATIENCE)
    eventually(lambda: len(missing(lab, "lb2")) == 1, "lb2 says which one it lacks", PATIENCE)
    lb2.run("ip", "route", "del", "10.9.0.0/16")
    eventually(lambda: held(lb2) == EVERYTHING and missing(lab, "lb2") == [], "with the other gone, ours comes", PATIENCE)
    lab.directors["lb2"].control("failover", "edge")
    eventually(lambda: held(lb1) == EVERYTHING and held(lb2) == set(), "and back", PATIENCE)

    # What a killed director leaves is taken over by its successor.
    lab.directors["lb1"].kill()
    assert held(lb1) == EVERYTHING
    lb1.run("ip", "route", "add", "10.77.0.0/16", "via", "10.0.0.200", "proto", TAG)
    lab.directors["lb1"].start()
    eventually(lambda: lab.directors["lb1"].state() == "master", "lb1 is master again", PATIENCE)
    eventually(lambda: held(lb1) == EVERYTHING, "exactly the configured ones are there", PATIENCE)
    time.sleep(1.5)
    assert held(lb1) == EVERYTHING

    # And a graceful stop leaves nothing.
    lab.directors["lb1"].stop(PATIENCE)
    assert held(lb1) == set()
    eventually(lambda: held(lb2) == EVERYTHING, "lb2 has them", PATIENCE)
