"""Drain gives a server weight 0 (it stays in the table, open connections live on); Resume gives its weight back."""

from __future__ import annotations

from lab import Lab, eventually

SERVER = "/service/web/server/web1"


def test(lab: Lab) -> None:
    lb1 = lab.directors["lb1"]
    load = lab.load()
    lb1.call(SERVER, "RealServer", "Drain")
    weights = {"10.0.0.21:80 direct": 0, "10.0.0.22:80 direct": 1}
    eventually(lambda: lab.table("lb1")["tcp 10.0.0.100:80 rr"] == weights, "web1 has weight 0")
    assert lb1.property(SERVER, "RealServer", "Drained") is True
    result = lab.get(20)
    assert set(result.by_server()) == {"web2"}, f"a drained server got new connections: {result}"

    lb1.control("resume", "web", "web1")
    eventually(lambda: lab.serving("lb1") == {"web1", "web2"}, "web1 is used again")
    result = load.stop()
    lab.note(str(result))
    assert not result.failed, f"draining lost requests: {result}"

    # The same by the operator's tool, and a server that does not exist.
    lb1.control("drain", "web", "web2")
    eventually(lambda: lab.serving("lb1") == {"web1"}, "web2 is drained")
    code = lab.hosts["lb1"].exit_code("fairwayctl", "drain", "web", "web3")
    assert code == 1, f"draining a server that does not exist ended with {code}"
