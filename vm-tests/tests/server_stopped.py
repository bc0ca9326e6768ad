"""A web server that stops is taken out of the table while the others go on, and comes back when it answers again."""

from __future__ import annotations

import time

from lab import Lab, eventually

# The example checks every 1 s with a 500 ms timeout; two failures take a server out, two passes bring it back.
BOUND = 2 * 1.0 + 0.5
SLACK = 2.0


def test(lab: Lab) -> None:
    load = lab.load()
    lab.servers["web1"].stop()
    took = eventually(lambda: lab.serving("lb1") == {"web2"}, "web1 is taken out", BOUND + SLACK)
    out = time.monotonic()
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"taken out after {took * 1000:.0f} ms; {result}")
    assert result.by_server()["web2"] > 0
    late = result.since(out + 0.1)
    assert not late.failed, f"requests failed after web1 was taken out: {late}"
    assert late.by_server().keys() == {"web2"}, f"somebody else answered: {late}"

    load = lab.load()
    lab.servers["web1"].start()
    took = eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "web1 is back", BOUND + SLACK)
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"back after {took * 1000:.0f} ms; {result}")
    assert not result.failed, f"bringing a server back lost requests: {result}"
    assert result.by_server()["web1"] > 0, f"web1 got nothing: {result}"
    assert lab.masters() == ["lb1"], "a server's health moved the VIP"
