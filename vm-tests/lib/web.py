"""A small web server for real servers: answers its host's name and the client's address, and can misbehave."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

from host import Host, Task

PORTS = (80, 8080)


class WebServer:
    """Serves / and /healthz on PORTS of a host, IPv4 and IPv6."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._task: Task | None = None

    def start(self, health_status: int = 200) -> None:
        """Listens. With another `health_status` /healthz answers that, and / goes on as ever."""
        assert self._task is None
        name = self.host.name
        # Bound here, before the task is forked, so that it answers as soon as this returns.
        self._task = self.host.task(lambda stopped: serve(name, health_status, stopped))
        ready = self.host.run_directory / "web.ready"
        while not ready.exists():
            time.sleep(0.01)
        ready.unlink()

    def stop(self) -> None:
        """Gone at once, as a crashed server: connections are reset, new ones refused."""
        if self._task is not None:
            self._task.kill()
            self._task = None


def serve(name: str, health_status: int, stopped: Callable[[], bool]) -> int:
    """The server's loop: one thread, every connection answered and closed. Returns the number of requests."""
    served = 0
    with selectors.DefaultSelector() as selector:
        for port in PORTS:
            listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
            listener.listen(512)
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ, "listener")
        with open(f"/run/lab/{name}/web.ready", "w"):
            pass
        while not stopped():
            for key, _ in selector.select(0.25):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    if key.data == "listener":
                        connection, _ = key.fileobj.accept()
                        connection.setblocking(False)
                        selector.register(connection, selectors.EVENT_READ, "connection")
                    else:
                        selector.unregister(key.fileobj)
                        with key.fileobj as connection:
                            served += _answer(name, health_status, connection)
                except OSError:
                    pass  # a client that went away
    return served


def _answer(name: str, health_status: int, connection: socket.socket) -> int:
    request = connection.recv(4096)
    if not request:
        return 0
    path = request.split(b" ", 2)[1] if request.count(b" ") >= 2 else b"/"
    client = connection.getpeername()[0].removeprefix("::ffff:")
    status, body = (health_status, "healthy\n") if path == b"/healthz" else (200, f"{name} {client}\n")
    head = f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    connection.sendall((head + body).encode())
    return 1
