"""Transfers that fill packets: what small requests do not show about packet sizes."""

from __future__ import annotations

import socket
from collections.abc import Callable

from host import Host, Task, eventually

PORT = 9000
SIZE = 60_000


def serve(host: Host) -> Task:
    """Takes everything a client sends, then sends SIZE bytes back. Listens before this returns."""
    ready = host.run_directory / "bulk.ready"
    task = host.task(lambda stopped: _serve(str(ready), stopped))
    eventually(ready.exists, f"{host.name} takes transfers")
    return task


def _serve(ready: str, stopped: Callable[[], bool]) -> int:
    served = 0
    with socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0.25)
        open(ready, "w").close()
        while not stopped():
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5.0)
                    while connection.recv(1 << 16):
                        pass
                    connection.sendall(bytes(SIZE))
                    served += 1
            except OSError:
                pass  # nobody came, or went away
    return served


def transfer(client: Host, address: str) -> int:
    """SIZE bytes up and then down; the bytes that came back."""
    return client.task(lambda _: _transfer(address)).wait()


def _transfer(address: str) -> int:
    received = 0
    with socket.create_connection((address, PORT), timeout=8.0) as connection:
        connection.sendall(bytes(SIZE))
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(1 << 16):
            received += len(chunk)
    return received
