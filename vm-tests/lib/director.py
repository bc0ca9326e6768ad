"""A director's daemons: fairway-director and a system bus of its own, as its units would start them."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from typing import Any

import unit
from host import CommandFailed, Host, Process, eventually

BUS_NAME = "org.fairway.Director1"
ROOT = "/org/fairway/Director1"

# As restrictive as the distributions' own system bus: what the project's policy does not allow is refused.
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={directory}/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""
# Becomes the command after `--`, with the descriptors numbered as sd_listen_fds(3) has them.
PASS_STORED = """
import fcntl, os, sys
end = sys.argv.index("--")
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 500) for number in sys.argv[2:end]]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=sys.argv[1])
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
"""
POLICY = unit.UNITS / "org.fairway.Director1.conf"


class Director:
    """Starts, signals and asks the director of one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.process: Process | None = None
        self._notify: socket.socket | None = None
        self.has_bus = False
        self.told: dict[str, str] = {}  # the last value of each sd_notify key
        self.stored: list[tuple[str, int]] = []  # what it gave into the file-descriptor store, by name

    # --- the bus

    def start_bus(self) -> None:
        directory = self.host.run_directory
        config = directory / "bus.conf"
        config.write_text(BUS_CONFIG.format(directory=directory, policy=POLICY))
        (directory / "bus").unlink(missing_ok=True)
        self.host.spawn("bus", "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--nosyslog")
        eventually((directory / "bus").exists, f"{self.host.name}'s bus listens")
        self.host.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={directory}/bus"
        self.has_bus = True

    def busctl(self, *arguments: str, check: bool = True) -> str:
        """busctl on this director's bus."""
        address = self.host.environment["DBUS_SYSTEM_BUS_ADDRESS"]
        return self.host.run("busctl", f"--address={address}", *arguments, check=check)

    def property(self, path: str, interface: str, name: str) -> Any:
        """A property of one of its objects; `path` is relative to the root object."""
        text = self.busctl("--json=short", "get-property", BUS_NAME, ROOT + path, f"{BUS_NAME}.{interface}", name)
        return json.loads(text)["data"]

    def call(self, path: str, interface: str, method: str, *arguments: str) -> str:
        """Calls a method; string arguments only."""
        signature = ["s" * len(arguments), *arguments] if arguments else []
        return self.busctl("call", BUS_NAME, ROOT + path, f"{BUS_NAME}.{interface}", method, *signature)

    def statistics(self, path: str, interface: str) -> dict[str, int]:
        """What an object's GetStatistics counts."""
        text = self.busctl("--json=short", "call", BUS_NAME, ROOT + path, f"{BUS_NAME}.{interface}", "GetStatistics")
        return json.loads(text)["data"][0]

    def control(self, *arguments: str) -> str:
        """fairwayctl."""
        return self.host.run("fairwayctl", *arguments)

    def status(self) -> dict[str, Any]:
        return json.loads(self.control("status", "--json"))

    def state(self, group: str = "edge") -> str:
        """The group's state over D-Bus; empty while nobody answers."""
        try:
            return str(self.property(f"/group/{group}", "Group", "State"))
        except CommandFailed:
            return ""

    # --- the daemon

    def start(self, wait: bool = True) -> None:
        """Starts it; with `wait`, until it says READY=1."""
        path = self.host.run_directory / "notify"
        path.unlink(missing_ok=True)
        if self._notify is not None:
            self._take_in()
            self._notify.close()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(path))
        self._notify.setblocking(False)
        path.chmod(0o777)
        self.told = {}
        kept = [number for _, number in self.stored]
        wrapper = ["python3", "-c", PASS_STORED, ":".join(name for name, _ in self.stored), *map(str, kept), "--"] if kept else []
        self.process = self.host.spawn(
            "director", *wrapper, *unit.command("fairway-director.service"), pass_fds=kept, NOTIFY_SOCKET=str(path)
        )  # fmt: skip
        if wait:
            eventually(lambda: self.notified("READY") == "1", f"{self.host.name}'s director is ready")

    def notified(self, key: str) -> str | None:
        """The last value it sent for an sd_notify key."""
        assert self._notify is not None and self.process is not None
        if not self.process.running():
            raise AssertionError(f"{self.host.name}'s director has ended: {self.process.output().strip()[-500:]}")
        self._take_in()
        return self.told.get(key)

    def _take_in(self) -> None:
        """Reads what it has said so far; keeps and drops descriptors as systemd does."""
        assert self._notify is not None
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._notify, 4096, 8)
            except BlockingIOError:
                return
            told = dict(line.split("=", 1) for line in message.decode().splitlines() if "=" in line)
            self.told.update(told)
            name = told.get("FDNAME", "stored")
            if told.get("FDSTORE") == "1":
                self.stored += [(name, number) for number in descriptors]
            if told.get("FDSTOREREMOVE") == "1":
                for dropped in [number for kept, number in self.stored if kept == name]:
                    os.close(dropped)
                self.stored = [(kept, number) for kept, number in self.stored if kept != name]

    def signal(self, number: int) -> None:
        assert self.process is not None
        # Everything before it replaced itself, so this is the director's own process id.
        self.process.signal(number)

    def kill(self) -> None:
        """kill -9: the process is gone, what it configured stays."""
        assert self.process is not None
        self.process.kill()

    def stop(self, timeout: float = 20.0) -> float:
        """SIGTERM; checks the exit code and returns how long it took, in seconds."""
        assert self.process is not None
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        assert code == 0, f"{self.host.name}'s director ended with {code} after SIGTERM"
        return time.monotonic() - start

    def log(self) -> str:
        return (self.host.run_directory / "director.log").read_text(errors="replace")
