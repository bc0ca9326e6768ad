"""A web server whose link is dead (nothing is refused, packets vanish) is taken out too."""

from __future__ import annotations

import time

from lab import Lab, eventually

BOUND = 2 * 1.0 + 0.5
SLACK = 2.0


def test(lab: Lab) -> None:
    load = lab.load()
    lab.hosts["web1"].cable("eth0", plugged=False)
    took = eventually(lambda: lab.serving("lb1") == {"web2"}, "web1 is taken out", BOUND + SLACK)
    out = time.monotonic()
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"taken out after {took * 1000:.0f} ms; {result}")
    late = result.since(out + 0.1)
    assert not late.failed, f"requests failed after web1 was taken out: {late}"

    lab.hosts["web1"].cable("eth0", plugged=True)
    eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "web1 is back", BOUND + SLACK)
    result = lab.get(50)
    assert not result.failed, f"requests failed after web1 came back: {result}"
    assert set(result.by_server()) == {"web1", "web2"}
