"""Connection synchronisation: downloads through NAT and direct routing survive a planned switch; the daemons are kept running, and stop with the director."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

from lab import Lab, eventually, topology

TOPOLOGY = None
PORT = 7000
TICK = 0.05  # between two chunks of a download


def stream(stopped: Callable[[], bool]) -> int:
    """A server that sends every client numbered lines for as long as it takes them."""
    with socket.create_server(("", PORT)) as listener:
        listener.setblocking(False)
        clients: list[socket.socket] = []
        count = 0
        while not stopped():
            try:
                client, _ = listener.accept()
                client.setblocking(False)
                clients.append(client)
            except BlockingIOError:
                pass
            count += 1
            for client in list(clients):
                try:
                    client.send(b"%9d\n" % count)
                except OSError:
                    clients.remove(client)
            time.sleep(TICK)
        return count


def download(address: str) -> Callable[[Callable[[], bool]], dict[str, object]]:
    """A client that reads such a stream until told to stop."""

    def read(stopped: Callable[[], bool]) -> dict[str, object]:
        received, error = b"", ""
        with socket.create_connection((address, PORT), 5) as connection:
            connection.settimeout(0.2)
            while not stopped() and not error:
                try:
                    data = connection.recv(65536)
                    received += data
                    error = error or ("" if data else "closed")
                except TimeoutError:
                    pass
                except OSError as reason:
                    error = str(reason)
        lines = received.split(b"\n")[:-1]
        numbers = [int(line) for line in lines]
        return {"error": error, "count": len(numbers), "last": numbers[-1] if numbers else 0,
                "whole": numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False}

    return read


def daemons(lab: Lab, name: str) -> list[str]:
    lines = lab.hosts[name].run("ipvsadm", "-L", "--daemon").splitlines()
    return sorted(line.split()[0] for line in lines if "mcast=eth1" in line)


def test(note: Callable[[str], None]) -> None:
    lab = Lab(topology("connection-sync"), note)
    for director in lab.directors.values():
        director.start_bus()
        director.start(wait=False)
    eventually(lambda: lab.masters() == ["lb1"], "lb1 alone holds the VIPs", 30.0)
    both = ["backup", "master"]
    for name in lab.directors:
        eventually(lambda n=name: daemons(lab, n) == both, f"both daemons run on {name}", 20.0)

    # What somebody stops is started again.
    lab.hosts["lb2"].run("ipvsadm", "--stop-daemon", "backup")
    eventually(lambda: daemons(lab, "lb2") == both, "the stopped daemon is back", 20.0)

    servers = [lab.hosts[name].task(stream) for name in ("near", "behind")]
    time.sleep(0.5)
    vips = {name: lab.virtual_ips[name] for name in ("shop", "files")}
    clients = {name: lab.client.task(download(vip)) for name, vip in vips.items()}

    def known(name: str) -> set[str]:
        """The VIPs whose downloads a director has in its connection table."""
        text = lab.hosts[name].run("ipvsadm", "-Lcn")
        return {vip for vip in vips.values() if any(f"{vip}:{PORT}" in line and "ESTABLISHED" in line for line in text.splitlines())}

    eventually(lambda: known("lb1") == set(vips.values()), "lb1 forwards both downloads", 15.0)
    eventually(lambda: known("lb2") == set(vips.values()), "lb2 knows both downloads", 30.0)

    lab.directors["lb1"].signal(signal.SIGTERM)
    eventually(lambda: lab.masters() == ["lb2"], "lb2 holds the VIPs", 20.0)
    lab.directors["lb1"].stop()
    assert daemons(lab, "lb1") == [], f"the stopped director left {daemons(lab, 'lb1')}"
    time.sleep(3.0)
    results = {name: client.finish() for name, client in clients.items()}
    sent = [server.finish() for server in servers]
    note(f"downloads after the switch: {results}; servers sent {sent} lines")
    for name, result in results.items():
        assert not result["error"], f"{name} broke: {result}"
        assert result["whole"], f"{name} lost lines: {result}"
        assert result["last"] > min(sent) - 2.5 / TICK, f"{name} stood still after the switch: {result}, servers sent {sent}"
    lab.stop_leaves_nothing()
