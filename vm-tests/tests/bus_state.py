"""busctl reads every object's state, and the object tree is what ObjectManager and introspection promise."""

from __future__ import annotations

from director import BUS_NAME, ROOT
from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    tree = lb1.busctl("--list", "tree", BUS_NAME).split()
    for path in ("", "/group/edge", "/service/web", "/service/web/server/web1", "/service/web/server/web2"):
        assert ROOT + path in tree, f"{ROOT + path} is not in {tree}"
    assert lb1.property("", "Manager", "Cluster") == "direct"
    assert lb1.property("", "Manager", "Host") == "lb1"
    assert lb1.state() == "master" and lb2.state() == "backup"

    instances = lb1.property("/group/edge", "Group", "Instances")
    assert len(instances) == 1, f"one network, one family, one instance: {instances}"
    instance = instances[0].removeprefix(ROOT)
    for name, value in {"State": "master", "Interface": "eth0", "Family": "ipv4", "Version": 3, "Priority": 200,
                        "AdvertInterval": 250_000, "MasterAddress": "10.0.0.11", "VirtualAddresses": [lab.vip]}.items():  # fmt: skip
        got = lb1.property(instance, "Instance", name)
        assert got == value, f"{instance} {name} is {got!r}, not {value!r}"
    eventually(lambda: lb2.property(instance, "Instance", "MasterAddress") == "10.0.0.11", "lb2 names lb1 as master")
    assert lb1.property(instance, "Instance", "Vrid") == lb2.property(instance, "Instance", "Vrid")

    for name, value in {"Address": lab.vip, "Port": 80, "Protocol": "tcp", "Scheduler": "rr", "KernelError": ""}.items():
        assert lb1.property("/service/web", "VirtualService", name) == value
    for name, value in {"Address": "10.0.0.21", "Port": 80, "Forward": "direct", "Weight": 1, "EffectiveWeight": 1,
                        "InTable": True, "Health": "up", "Drained": False}.items():  # fmt: skip
        got = lb1.property("/service/web/server/web1", "RealServer", name)
        assert got == value, f"web1's {name} is {got!r}, not {value!r}"

    lab.get(40)
    # The kernel adds its counters up every two seconds.
    eventually(lambda: lb1.statistics("/service/web", "VirtualService")["connections"] >= 40, "the kernel counted 40", 6.0)
    introspection = lb1.busctl("introspect", BUS_NAME, f"{ROOT}/group/edge")
    for member in (".ForceState", ".Failover", ".GetStatistics", ".State", ".Cause", ".Since", ".Forced", ".Instances"):
        assert member in introspection, f"{member} is not introspected:\n{introspection}"
