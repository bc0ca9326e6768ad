"""Two machines that are director and real server at once: both answer, nothing goes round, whoever is master."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from lab import Lab, eventually
from load import get

TOPOLOGY = "director-servers"
VIPS = ("10.0.0.100", "2001:db8:5::100")
COUNT = 20
# A request takes about ten frames from each side, another ten where one director hands it to the other; each frame
# that goes round is counted about sixty times.
FRAMES = 20


def received(lab: Lab) -> int:
    statistics = "/sys/class/net/eth0/statistics/rx_packets"
    return sum(int(lab.hosts[name].run("cat", statistics)) for name in lab.directors)


def both_answer(lab: Lab, when: str) -> None:
    for vip in VIPS:
        before = received(lab)
        result = lab.get(COUNT, vip)
        assert not result.failed, f"{when}: requests to {vip} failed: {result}"
        assert result.by_server() == {"lb1": COUNT / 2, "lb2": COUNT / 2}, f"{when}: {vip} is not shared: {result}"
        frames = (received(lab) - before) / COUNT
        lab.note(f"{when}: {vip}: {frames:.0f} frames for a request")
        assert frames < FRAMES, f"{when}: {frames:.0f} frames for each request to {vip}"


def late(stopped: Callable[[], bool]) -> list[str]:
    """A connection to each server that is opened now and used when told to stop: who answers, or why nobody does."""
    connections = [socket.create_connection((VIPS[0], 80), 5) for _ in ("lb1", "lb2")]
    while not stopped():
        time.sleep(0.05)
    answers = []
    for connection in connections:
        connection.settimeout(5)
        try:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            answers.append(connection.recv(4096).decode().split("\r\n\r\n")[1].split()[0])
        except OSError as error:
            answers.append(type(error).__name__)
    return answers


def test(lab: Lab) -> None:
    lb1, lb2 = lab.directors["lb1"], lab.directors["lb2"]
    both_answer(lab, "lb1 is master")
    clients = {request.client for request in lab.get(10).requests}
    assert clients == {"10.0.0.200"}, f"the servers saw {clients} instead of the client"
    other_port = get(lab.client, VIPS[0], 10, port=81)
    assert other_port.by_server() == {"lb1": 5, "lb2": 5}, f"full NAT is not shared: {other_port}"

    # New rules forget who the others are: the next advert or probe tells again.
    lab.reload(lab.text)
    known = ("nft", "list", "set", "inet", "fairway", "directors")
    for name in lab.directors:
        eventually(lambda h=lab.hosts[name]: "expires" in h.run(*known), f"{name} knows the other director again")
    both_answer(lab, "after a reload")

    lab.servers["lb2"].stop()
    eventually(lambda: lab.get(4).by_server() == {"lb1": 4}, "lb2's web server is out")
    lab.servers["lb2"].start()
    eventually(lambda: lab.serving("lb1") == {"lb1", "lb2"} == lab.serving("lb2"), "lb2's web server is back")

    # What the next master answers as a server goes on when it takes over; what the former one answered itself ends.
    open_connections = lab.client.task(late)
    time.sleep(1.0)
    lb1.control("failover", "edge")
    eventually(lambda: lab.masters() == ["lb2"], "lb2 holds the VIPs")
    eventually(lambda: not any(lab.hosts["lb1"].holds(vip) for vip in VIPS), "lb1 holds none of them")
    answers = open_connections.finish()
    lab.note(f"connections opened before the switch: {answers}")
    assert "lb2" in answers and "lb1" not in answers, f"connections opened before the switch: {answers}"
    both_answer(lab, "lb2 is master")

    # Both are master and say so: connections may break when the client hears it, but nothing goes round.
    lab.in_switch("nft", "add table netdev cut")
    for name in lab.directors:
        port = lab.hosts[name].cables["eth0"]
        lab.in_switch("nft", f"add chain netdev cut {port} {{ type filter hook ingress device {port} priority 0; }}")
        lab.in_switch("nft", f"add rule netdev cut {port} meta l4proto 112 drop")
    eventually(lambda: lb1.state() == lb2.state() == "master", "both are master while the switch drops VRRP", 15.0)
    before = received(lab)
    result = lab.get(2 * COUNT)
    frames = (received(lab) - before) / (2 * COUNT)
    lab.note(f"both are master: {frames:.0f} frames for a request; {result}")
    assert frames < FRAMES, f"both are master: {frames:.0f} frames for each request"
    assert set(result.by_server()) == {"lb1", "lb2"}, f"both are master: {result}"
    lab.in_switch("nft", "delete table netdev cut")
