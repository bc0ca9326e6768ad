"""What a group depends on fails: by its weight, or as a fault, the other director takes over, and gives back afterwards."""

from __future__ import annotations

from shutil import which

from lab import Lab, eventually

TRACK = """
[failover.track.maintenance]
every = "200ms"
file = { path = "/run/lb1-maintenance", expect = "absent" }

[failover.track.beacon]
every = "200ms"
weight = -50
process = { name = "beacon-of-lb1" }

"""


def test(lab: Lab) -> None:
    lb1, config = lab.directors["lb1"], lab.config("lb1")
    # All hosts of the guest have one file system and one list of processes, so lb1 alone watches these.
    # Any program that goes on by itself will do; sleep is one of many names of one here.
    lab.hosts["lb1"].run("cp", which("ip") or "", "/run/beacon-of-lb1")
    beacon = lab.hosts["lb1"].spawn("beacon", "/run/beacon-of-lb1", "monitor", "link")
    config.write_text(config.read_text().replace("[[service]]", TRACK + "[[service]]", 1))
    lb1.control("reload")
    assert lab.masters() == ["lb1"], "a reload that adds trackers is no reason for a failover"

    def master(name: str, why: str) -> None:
        eventually(lambda: lab.masters() == [name] and lab.hosts[name].holds(lab.vip), f"{why}: {name} is master")
        result = lab.get(10)
        assert not result.failed, f"{why}: {result}"

    lab.hosts["lb1"].run("touch", "/run/lb1-maintenance")
    master("lb2", "maintenance of lb1")
    assert lb1.state() == "fault", lb1.state()
    shown = {tracker["name"]: tracker for tracker in lb1.status()["groups"][0]["trackers"]}
    assert shown["maintenance"]["state"] == "failing" and shown["beacon"]["state"] == "passing", shown
    lab.hosts["lb1"].run("rm", "/run/lb1-maintenance")
    master("lb1", "the maintenance is over")

    beacon.kill()
    master("lb2", "the process of lb1 has ended")
    assert lb1.state() == "backup", lb1.state()
    lab.hosts["lb1"].spawn("beacon", "/run/beacon-of-lb1", "monitor", "link")
    master("lb1", "the process runs again")
