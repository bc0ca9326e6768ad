"""Direct routing: requests to the VIP are spread evenly by the kernel's IPVS, and the servers see the client itself."""

from __future__ import annotations

from lab import Lab


def test(lab: Lab) -> None:
    result = lab.get(200)
    lab.note(str(result))
    assert not result.failed, f"some requests failed: {result}"
    assert result.by_server() == {"web1": 100, "web2": 100}, f"round robin is not even: {result}"
    clients = {request.client for request in result.requests}
    assert clients == {"10.0.0.200"}, f"the servers saw {clients} instead of the client"
