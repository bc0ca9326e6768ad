"""The client: a network namespace of this machine at one of the guests' networks, so that it runs at full speed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import SetupError

from .commands import Commands


@dataclass
class Load:
    """What became of the requests: answers by server; descriptions of connections that could not be opened, and of
    those that were open and broke; the longest time between two answers, in seconds."""

    answers: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    pause: float = 0.0


class Client(Commands):
    """Interface eth1 is its end of the network."""

    def __init__(self, name: str, socket: Path, addresses: list[str]) -> None:
        self.name = name
        self._children: list[subprocess.Popen[bytes]] = []
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], **quiet)
        self._children.append(self._holder)
        own = Path("/proc/self/ns/net").readlink()
        self._until(lambda: self._namespace() not in (None, own), "network namespace (is this root?)")
        self._children.append(
            subprocess.Popen([*self.inside(), "vde_plug2tap", "--sock", str(socket), "eth1"], **quiet)
        )
        self._until(lambda: self.run("ip link show eth1", 10)[0] == 0, "tap device")
        self.succeed("ip link set lo up", "ip link set eth1 up")
        for address in addresses:
            self.succeed(f"ip address add {address} dev eth1{' nodad' if ':' in address else ''}")

    def inside(self) -> list[str]:
        """The words before a command that is to run there."""
        return ["nsenter", "--net", "--target", str(self._holder.pid)]

    def run(self, command: str, timeout: float) -> tuple[int, str, str]:
        argv = [*self.inside(), "timeout", str(int(timeout)), "bash", "-c", f"set -euo pipefail; {command}"]
        done = subprocess.run(argv, check=False, text=True, errors="replace", capture_output=True, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def start(self) -> None:
        """It is up from the beginning."""

    @contextlib.contextmanager
    def load(self, url: str, pace: float = 0.1) -> Iterator[Load]:
        """Requests while the block runs; what became of them is known after it."""
        argv = [*self.inside(), sys.executable, str(Path(__file__).with_name("load.py")), url, str(pace)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        result = Load()
        try:
            process.stdout.readline()
            yield result
            process.terminate()
            # A request that is under way may take its time.
            told = json.loads(process.communicate(timeout=60)[0])
            for name, value in told.items():
                setattr(result, name, value)
        finally:
            process.kill()
            process.wait()

    def _namespace(self) -> Path | None:
        try:
            return Path(f"/proc/{self._holder.pid}/ns/net").readlink()
        except OSError:
            return None

    @staticmethod
    def _until(true: object, what: str) -> None:
        end = time.monotonic() + 30
        while not true():  # type: ignore[operator]
            if time.monotonic() > end:
                raise SetupError(f"the client's {what} cannot be made")
            time.sleep(0.05)

    def close(self) -> None:
        for child in reversed(self._children):
            child.kill()
            child.wait()
