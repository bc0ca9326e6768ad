"""A host: a network namespace that sees its own generated /etc, and the processes started in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import syscalls

RUN = Path("/run/lab")


class CommandFailed(AssertionError):
    """A command inside a host ended with an error; the text has all of its output."""


class Process:
    """A program running in a host, with its output in a log file."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen, self.log = popen, log

    @property
    def pid(self) -> int:
        return self.popen.pid

    def running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to it and its children, without letting any of them say goodbye."""
        family = [self.pid, *descendants(self.pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in family:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        self.popen.wait()

    def wait(self, timeout: float) -> int:
        """Its exit code."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.popen.args} still runs after {timeout} s") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Task:
    """A Python function running in a host, in a forked process; it returns a JSON value when told to stop."""

    def __init__(self, host: Host, function: Callable[[Callable[[], bool]], Any]) -> None:
        self._results, results = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._results)
                told: list[int] = []
                signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
                syscalls.enter_netns(host.namespace)
                # Clients and servers stand for machines of their own: what the emulated processors do for others,
                # such as starting a daemon, must not look like an outage. Below the directors' VRRP threads.
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
                value = function(lambda: bool(told))
                with os.fdopen(results, "w") as out:
                    json.dump(value, out)
                code = 0
            except BaseException as error:  # noqa: BLE001 (the process ends here, whatever it was)
                print(f"task in {host.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        os.close(results)

    def finish(self) -> Any:
        """Tells it to stop and returns its value."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> Any:
        """Waits until it ends by itself and returns its value."""
        with os.fdopen(self._results) as source:
            text = source.read()
        _, status = os.waitpid(self.pid, 0)
        if status != 0:
            raise AssertionError(f"a task ended with status {status}")
        return json.loads(text)

    def kill(self) -> None:
        """Ends it without asking for its value."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._results)


class Host:
    """One host of the lab."""

    def __init__(self, name: str) -> None:
        self.name = self.namespace = name
        self.run_directory = RUN / name
        self.run_directory.mkdir(parents=True, exist_ok=True)
        self.environment: dict[str, str] = {}
        self.processes: list[Process] = []
        # Interface -> (the switch's namespace is "switch") the port at the other end of its cable.
        self.cables: dict[str, str] = {}
        self.create()

    def create(self) -> None:
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")

    def argv(self, command: Sequence[str]) -> list[str]:
        """The command, run in this host: its network, and /etc/netns/NAME/* over /etc."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(self, *command: str, check: bool = True, timeout: float = 30.0, stdin: str | None = None) -> str:
        """Runs a command to its end and returns its output (stdout and stderr)."""
        done = subprocess.run(
            self.argv(command), check=False, text=True, input=stdin if stdin is not None else "", timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **self.environment},
        )  # fmt: skip
        if check and done.returncode != 0:
            raise CommandFailed(f"{self.name}: {' '.join(command)}: exit code {done.returncode}: {done.stdout.strip()}")
        return done.stdout

    def exit_code(self, *command: str, timeout: float = 30.0) -> int:
        """Runs a command to its end and returns its exit code."""
        return subprocess.run(
            self.argv(command), check=False, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, **self.environment},
        ).returncode  # fmt: skip

    def spawn(self, name: str, *command: str, pass_fds: Sequence[int] = (), **environment: str) -> Process:
        """Starts a program; its output goes to NAME.log."""
        log = self.run_directory / f"{name}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(
                self.argv(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **self.environment, **environment}, start_new_session=True, pass_fds=pass_fds,
            )  # fmt: skip
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def task(self, function: Callable[[Callable[[], bool]], Any]) -> Task:
        """Runs `function(stopped)` in this host; it should poll `stopped()` and return a JSON value."""
        return Task(self, function)

    def addresses(self, interface: str | None = None) -> list[dict[str, Any]]:
        """`ip -j addr`: one entry per address, with its interface as "dev"."""
        selection = ["dev", interface] if interface else []
        text = ip("-j", "-n", self.namespace, "addr", "show", *selection)
        return [{**info, "dev": link["ifname"]} for link in json.loads(text) if link for info in link["addr_info"]]

    def holds(self, address: str) -> bool:
        """Whether an address is on an interface (not parked on lo)."""
        return any(info["local"] == address and info["dev"] != "lo" for info in self.addresses())

    def cable(self, interface: str, plugged: bool) -> None:
        """Pulls or plugs the cable: the interface loses or gets its carrier."""
        ip("-n", "switch", "link", "set", self.cables[interface], "up" if plugged else "down")

    def cut_power(self) -> None:
        """Nothing leaves this host any more, and all its processes are gone without a word."""
        for interface in self.cables:
            self.cable(interface, plugged=False)
        self.kill_all()

    def kill_all(self) -> None:
        for process in self.processes:
            if process.running():
                process.kill()
        self.processes.clear()

    def log_tail(self, lines: int = 25) -> list[str]:
        """The last lines of each of its logs, for a failure's report."""
        report = []
        for log in sorted(self.run_directory.glob("*.log")):
            text = log.read_text(errors="replace").splitlines()
            report += [f"--- {self.name}: {log.name}", *text[-lines:]] if text else []
        return report


def ip(*arguments: str, stdin: str = "") -> str:
    """iproute2's ip, outside any host."""
    done = subprocess.run(["ip", *arguments], check=False, text=True, capture_output=True, input=stdin)
    if done.returncode != 0:
        raise CommandFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def descendants(pid: int) -> list[int]:
    """Children, grandchildren and so on, as /proc tells."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found: list[int] = []
    queue = [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found


def eventually(condition: Callable[[], Any], what: str | Callable[[], str], timeout: float = 20.0, step: float = 0.02) -> float:
    """Waits until the condition holds and returns how long that took, in seconds."""
    start = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - start
        if time.monotonic() - start > timeout:
            raise AssertionError(f"not within {timeout:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(step)
