"""IPVS services made by others are left alone: at start, at a reload, by repairs and at stop."""

from __future__ import annotations

from lab import Lab, eventually

START = False
FOREIGN = {"tcp 10.0.0.11:8443 wlc": {"10.0.0.22:8443 direct": 7}}


def test(lab: Lab) -> None:
    host = lab.hosts["lb1"]
    host.run("ipvsadm", "-A", "-t", "10.0.0.11:8443", "-s", "wlc")
    host.run("ipvsadm", "-a", "-t", "10.0.0.11:8443", "-r", "10.0.0.22:8443", "-g", "-w", "7")

    def foreign() -> dict[str, dict[str, int]]:
        return {key: value for key, value in lab.table("lb1").items() if key in FOREIGN}

    for server in lab.servers.values():
        server.start()
    director = lab.directors["lb1"]
    director.start_bus()
    director.start()
    own = "tcp 10.0.0.100:80 rr"
    eventually(lambda: len(lab.table("lb1").get(own, {})) == 2, "our own service is there")
    assert foreign() == FOREIGN, f"the start changed {foreign()}"
    lab.reload(lab.text.replace("web1 = {}", "web1 = { weight = 5 }"), "lb1")
    eventually(lambda: lab.table("lb1")[own].get("10.0.0.21:80 direct") == 5, "the reload is in the table")
    assert foreign() == FOREIGN, f"the reload changed {foreign()}"
    director.stop()
    assert lab.table("lb1") == FOREIGN, f"after the stop the table is {lab.table('lb1')}"
