"""Without a D-Bus the director elects, balances, fails over and stops all the same."""

from __future__ import annotations

from lab import Lab, eventually

START = False


def test(lab: Lab) -> None:
    for server in lab.servers.values():
        server.start()
    for name, director in lab.directors.items():
        lab.hosts[name].environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path=/run/lab/{name}/no-bus"
        director.start(wait=False)
    lab.settle()
    assert not lab.get(20).failed
    lab.hosts["lb1"].cut_power()
    eventually(lambda: lab.hosts["lb2"].holds(lab.vip), "lb2 takes over", 3.0)
    assert not lab.get(20).failed
    lab.directors["lb2"].stop()
    assert lab.table("lb2") == {}

    # A bus that comes later is used from then on.
    director = lab.directors["lb2"]
    lab.hosts["lb2"].environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/run/lab/lb2/bus"
    director.start()
    director.start_bus()
    eventually(lambda: director.state() == "master", "lb2 is on the bus that appeared", 30.0, step=0.2)
