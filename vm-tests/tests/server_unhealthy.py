"""A web server that answers its health check with 503 gets no new connections, and nobody notices: nothing is lost."""

from __future__ import annotations

import time

from lab import Lab, eventually


def test(lab: Lab) -> None:
    lab.servers["web1"].stop()
    lab.servers["web1"].start(health_status=503)
    eventually(lambda: lab.serving("lb1") == {"web2"}, "web1 is taken out")
    result = lab.get(50)
    assert not result.failed and set(result.by_server()) == {"web2"}, f"web1 is still used: {result}"
    health = lab.directors["lb1"].property("/service/web/server/web1", "RealServer", "Health")
    detail = lab.directors["lb1"].property("/service/web/server/web1", "RealServer", "Detail")
    assert health == "down" and "503" in detail, f"the reason is not told: {health}, {detail}"

    # From unhealthy to healthy under load; the server itself never stopped answering.
    lab.servers["web1"].stop()
    load = lab.load()
    lab.servers["web1"].start()
    eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "web1 is back")
    time.sleep(0.5)
    result = load.stop()
    assert not result.failed, f"requests were lost: {result}"
