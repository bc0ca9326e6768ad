"""The measuring client: a new TCP connection and HTTP GET at a fixed pace, whatever happens to earlier ones.

A request that is not answered within the timeout has failed. The timeout is below the kernel's first SYN retransmission
(1 s), so that a single lost packet of a handshake is a failure and cannot hide as a slow answer.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import Any

from host import Host, Task

TIMEOUT = 0.9
PACE = 0.01


@dataclass
class Request:
    """One request, times in seconds of the monotonic clock (the same in every process of the guest)."""

    start: float
    end: float
    server: str = ""
    client: str = ""  # the address the server saw
    error: str = ""
    opened: bool = False  # the connection was established

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass
class Result:
    """All requests of a run, in the order they were started."""

    requests: list[Request]

    @property
    def failed(self) -> list[Request]:
        return [request for request in self.requests if request.error]

    @property
    def lost(self) -> list[Request]:
        """New connections that could not be opened."""
        return [request for request in self.failed if not request.opened]

    @property
    def interrupted(self) -> list[Request]:
        """Connections that were open and broke: those that change directors do, unless the directors share them."""
        return [request for request in self.failed if request.opened]

    def by_server(self) -> Counter[str]:
        """Answers per server."""
        return Counter(request.server for request in self.requests if request.ok)

    def errors(self) -> Counter[str]:
        """Failures per kind."""
        return Counter(request.error for request in self.failed)

    def since(self, moment: float) -> Result:
        """Only the requests started after a moment."""
        return Result([request for request in self.requests if request.start >= moment])

    def outage(self) -> float:
        """The longest time for which no request succeeded: from the start of the first failed one of a row to the
        start of the next good one, in seconds; 0 when none failed. Exact to within the pace."""
        longest, began = 0.0, None
        for request in self.requests:
            if request.ok and began is not None:
                longest, began = max(longest, request.start - began), None
            elif not request.ok and began is None:
                began = request.start
        return max(longest, self.requests[-1].end - began) if began is not None else longest

    def affected(self) -> float:
        """From the start of the first failed request to the end of the last one, in seconds; 0 when none failed."""
        return max(request.end for request in self.failed) - self.failed[0].start if self.failed else 0.0

    def longest_gap(self) -> float:
        """The longest time without any answer arriving, in seconds."""
        ends = sorted(request.end for request in self.requests if request.ok)
        return max((later - earlier for earlier, later in zip(ends, ends[1:], strict=False)), default=float("inf"))

    def slowest(self) -> float:
        """The longest time a good request took, in seconds."""
        return max((request.end - request.start for request in self.requests if request.ok), default=float("inf"))

    def __str__(self) -> str:
        servers = ", ".join(f"{name} {count}" for name, count in sorted(self.by_server().items()))
        text = f"{len(self.requests)} requests: {servers or 'no answer'}"
        if not self.failed:
            return f"{text}; none failed"
        errors = ", ".join(f"{count} {error}" for error, count in sorted(self.errors().items()))
        return f"{text}; {len(self.lost)} lost, {len(self.interrupted)} interrupted ({errors})"


class Load:
    """A running client."""

    def __init__(self, host: Host, address: str, port: int = 80, pace: float = PACE, count: int | None = None,
                 timeout: float = TIMEOUT, source: str | None = None) -> None:  # fmt: skip
        self._task: Task = host.task(lambda stopped: _run(address, port, pace, count, timeout, source, stopped))

    def stop(self) -> Result:
        """Lets the requests under way end (or time out) and returns everything."""
        return _result(self._task.finish())

    def wait(self) -> Result:
        """With `count` the client ends by itself; this waits for it."""
        return _result(self._task.wait())


def _result(requests: list[list[Any]]) -> Result:
    return Result([Request(*fields) for fields in requests])


def get(host: Host, address: str, count: int, port: int = 80, pace: float = PACE, timeout: float = TIMEOUT) -> Result:
    """`count` requests, one every `pace` seconds."""
    return Load(host, address, port, pace, count, timeout).wait()


@dataclass
class _Open:
    request: Request
    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    done: bool = False


def _run(address: str, port: int, pace: float, count: int | None, timeout: float, source: str | None,
         stopped: Callable[[], bool]) -> list[Any]:  # fmt: skip
    return _Client(address, port, timeout, source).run(pace, count, stopped)


class _Client:
    def __init__(self, address: str, port: int, timeout: float, source: str | None) -> None:
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.target, self.timeout, self.source = (address, port), timeout, source
        host = f"[{address}]" if ":" in address else address
        self.message = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self.requests: list[Request] = []
        self.open: deque[_Open] = deque()  # oldest first: all have the same timeout
        self.selector = selectors.DefaultSelector()

    def run(self, pace: float, count: int | None, stopped: Callable[[], bool]) -> list[Any]:
        due = time.monotonic()
        while not stopped():
            now = time.monotonic()
            if now >= due:
                if count is not None and len(self.requests) >= count:
                    break
                self._begin(now)
                # A client that was away does not send what it missed in one burst.
                due = max(due + pace, now)
                continue
            self._turn(due - now)
        while self.open:
            self._turn(0.05)
        return [list(astuple(request)) for request in self.requests]

    def _begin(self, now: float) -> None:
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        entry = _Open(Request(now, now), connection)
        self.requests.append(entry.request)
        if self.source:
            connection.bind((self.source, 0))
        code = connection.connect_ex(self.target)
        if code not in (0, errno.EINPROGRESS):
            self._end(entry, errno.errorcode[code], registered=False)
            return
        self.open.append(entry)
        self.selector.register(connection, selectors.EVENT_WRITE, entry)

    def _turn(self, wait: float) -> None:
        for key, _ in self.selector.select(max(0.0, wait)):
            entry: _Open = key.data
            try:
                if not entry.request.opened:
                    self._send(entry)
                else:
                    self._receive(entry)
            except OSError as error:
                self._end(entry, errno.errorcode.get(error.errno or 0, str(error)))
        now = time.monotonic()
        while self.open and (self.open[0].done or now - self.open[0].request.start > self.timeout):
            entry = self.open.popleft()
            if not entry.done:
                self._end(entry, "answer timed out" if entry.request.opened else "connection timed out")

    def _send(self, entry: _Open) -> None:
        code = entry.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # A reset, other than a refusal, comes to a connection that was open already, before we looked.
        entry.request.opened = code in (0, errno.ECONNRESET)
        if code:
            raise OSError(code, "connect")
        entry.connection.sendall(self.message)
        self.selector.modify(entry.connection, selectors.EVENT_READ, entry)

    def _receive(self, entry: _Open) -> None:
        chunk = entry.connection.recv(4096)
        if chunk:
            entry.received += chunk
            return
        head, _, body = bytes(entry.received).partition(b"\r\n\r\n")
        words = body.decode(errors="replace").split()
        if not head.startswith(b"HTTP/1.1 200 ") or len(words) != 2:
            self._end(entry, "bad answer" if entry.received else "closed without answer")
            return
        entry.request.server, entry.request.client = words
        self._end(entry)

    def _end(self, entry: _Open, error: str = "", registered: bool = True) -> None:
        entry.done = True
        entry.request.end, entry.request.error = time.monotonic(), error
        if registered:
            self.selector.unregister(entry.connection)
        entry.connection.close()
