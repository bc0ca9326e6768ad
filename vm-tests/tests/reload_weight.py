"""A reload with a changed weight reaches the kernel's table; no failover, no lost request, no other change."""

from __future__ import annotations

import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1 = lab.directors["lb1"]
    # The kernel refuses connections for a moment while a service changes its scheduler, so that is done first, unloaded.
    weighted = lab.text.replace('scheduler = "rr"', 'scheduler = "wrr"')
    assert weighted != lab.text
    lab.reload(weighted)
    for name in lab.directors:
        eventually(lambda n=name: set(lab.table(n)) == {"tcp 10.0.0.100:80 wrr"}, f"{name} has the other scheduler")

    since = lb1.property("/group/edge", "Group", "Since")
    generation = lb1.property("", "Manager", "Generation")
    load = lab.load()
    lab.reload(weighted.replace("web1 = {}", "web1 = { weight = 3 }"))
    want = {"tcp 10.0.0.100:80 wrr": {"10.0.0.21:80 direct": 3, "10.0.0.22:80 direct": 1}}
    for name in lab.directors:
        eventually(lambda n=name: lab.table(n) == want, f"the table of {name} is {want}")
    time.sleep(0.5)
    result = load.stop()
    lab.note(str(result))
    assert not result.failed, f"the reload lost requests: {result}"
    assert lb1.property("/group/edge", "Group", "Since") == since, "the reload made a transition"
    assert lb1.property("", "Manager", "Generation") == generation + 1
    assert lab.masters() == ["lb1"]
    result = lab.get(80)
    assert result.by_server() == {"web1": 60, "web2": 20}, f"the weights do not show in the traffic: {result}"
