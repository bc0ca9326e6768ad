"""The harness inside the guest: runs each test in namespaces of its own and reports on the second serial port.

One line a report: `start NAME`, `note NAME TEXT`, `ok NAME SECONDS`, `FAIL NAME REASON`, `log TEXT`, and `end` last.
"""

from __future__ import annotations

import faulthandler
import fcntl
import importlib.util
import json
import os
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import host
import syscalls
from lab import Lab, topology

PORT = "/dev/ttyS1"
TEST_LOG = host.RUN / "test.log"
LOG_LINES = 40


def main() -> None:
    job = json.loads(Path("/fairway/job.json").read_text())
    mode = job["mode"]
    if mode == "shell":
        shell(job)
        return
    with open(PORT, "w", encoding="utf-8") as report:
        if mode == "tests":
            for test in job["tests"]:
                run_test(test["name"], test["timeout"], report)
            say(report, "end")
        else:
            run_script(job, report)


def say(report: TextIO, line: str) -> None:
    report.write(line + "\n")
    report.flush()


# --- tests


def run_test(name: str, timeout: float, report: TextIO) -> None:
    say(report, f"start {name}")
    started = time.monotonic()
    shutil.rmtree(host.RUN, ignore_errors=True)
    host.RUN.mkdir(parents=True)
    reason = isolated(lambda: one_test(name, report), timeout)
    if reason is None:
        say(report, f"ok {name} {time.monotonic() - started:.1f}")
        return
    say(report, f"FAIL {name} {reason}")
    text = TEST_LOG.read_text(errors="replace").splitlines()
    for line in text[-LOG_LINES:]:
        say(report, f"log {line}")
    for directory in sorted(path for path in host.RUN.iterdir() if path.is_dir()):
        for log in sorted(directory.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            for line in [f"--- {directory.name}: {log.name}", *lines[-LOG_LINES:]] if lines else []:
                say(report, f"log {line}")


def isolated(function: Callable[[], str | None], timeout: float) -> str | None:
    """Runs a function as process 1 of its own PID namespace, so that nothing it started outlives it; the network
    namespaces go with its mounts. Returns its reason for failing, or None."""
    results, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        code = 1
        try:
            os.close(results)
            syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
            inner = os.fork()
            if inner == 0:
                _inside(function, writer)
            os.close(writer)
            signal.signal(signal.SIGTERM, lambda *_: _end_hung(inner))
            os.waitpid(inner, 0)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + timeout
    while os.waitpid(middle, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(middle, signal.SIGTERM)
            os.waitpid(middle, 0)
            os.close(results)
            return f"still running after {timeout:g} s"
        time.sleep(0.02)
    with os.fdopen(results) as source:
        text = source.read()
    if not text:
        return "the test's process died"
    return json.loads(text)["reason"]


def _inside(function: Callable[[], str | None], writer: int) -> None:
    try:
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount("proc", "/proc", "proc")
        os.makedirs("/run/netns", exist_ok=True)
        syscalls.mount("netns", "/run/netns", "tmpfs")
        log = os.open(TEST_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        reason = function()
        with os.fdopen(writer, "w") as out:
            json.dump({"reason": reason}, out)
    finally:
        os._exit(0)


def _end_hung(inner: int) -> None:
    """Lets the hung test say where it is, then ends it with everything it started."""
    os.kill(inner, signal.SIGUSR1)
    time.sleep(0.5)
    os.kill(inner, signal.SIGKILL)


def load_test(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"test_{name.replace('-', '_')}", f"/fairway/tests/{name.replace('-', '_')}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_test(name: str, report: TextIO) -> str | None:
    """A test module has `test(lab)` and may set TOPOLOGY (a file's name) and START (False: nothing runs yet). With
    TOPOLOGY = None it has no cluster, and `test(note)` gets just the means to say something."""

    def note(text: str) -> None:
        say(report, f"note {name} {text}")

    try:
        module = load_test(name)
        chosen: str | None = getattr(module, "TOPOLOGY", "direct")
        if chosen is None:
            module.test(note)
        else:
            lab = Lab(topology(chosen), note)
            if getattr(module, "START", True):
                lab.start()
            module.test(lab)
    except BaseException as error:  # noqa: BLE001 (a test may fail in any way)
        traceback.print_exc()
        return summary(error)
    return None


def summary(error: BaseException) -> str:
    """One line for the report: an assertion's own text, or the source line of one that has none."""
    text = (str(error).strip().splitlines() or [""])[0]
    if not isinstance(error, AssertionError):
        return f"{type(error).__name__}: {text}"
    return text or traceback.extract_tb(error.__traceback__)[-1].line or "assertion failed"


# --- scripts and the shell


def run_script(job: dict[str, Any], report: TextIO) -> None:
    """A Python script with the harness importable, its output on the serial port, `exit CODE` as the last line."""
    os.dup2(report.fileno(), 1)
    os.dup2(report.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [job["script"], *job["arguments"]]
    code: Any = 0
    try:
        runpy.run_path(job["script"], run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code)
    say(report, f"exit {code if isinstance(code, int) else 0 if code is None else 1}")


def shell(job: dict[str, Any]) -> None:
    """The topology up and running, and a prompt; every host's name is a command that runs others in it."""
    os.setsid()
    descriptor = os.open(PORT, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(descriptor, number)
    if job["interactive"]:
        fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", job["rows"], job["columns"], 0, 0))
        subprocess.run(["stty", "sane"], check=False)
    host.RUN.mkdir(parents=True, exist_ok=True)
    print(f"starting the {job['topology']} topology ...", flush=True)
    try:
        lab = Lab(topology(job["topology"]))
        lab.start()
    except BaseException:  # noqa: BLE001 (the prompt is there to look into it)
        traceback.print_exc()
    else:
        for name, machine in lab.hosts.items():
            environment = " ".join(f"{key}={value}" for key, value in machine.environment.items())
            command = Path("/usr/bin") / name
            command.write_text(f'#!/bin/sh\n[ $# -gt 0 ] || set -- bash\nexec env {environment} ip netns exec {name} "$@"\n')
            command.chmod(0o755)
        print(f"hosts: {' '.join(lab.hosts)}; VIP {lab.vip}. A host's name runs a command in it:")
        print("  lb1 ipvsadm -Ln    lb1 fairwayctl status    lb2 ip addr    client curl -s http://" + lab.vip)
        print("logs are in /run/lab/HOST/, generated files in /run/lab/trees/; `exit` ends the guest", flush=True)
    if job["interactive"]:
        subprocess.run(["bash", "-i"], check=False)
    else:
        subprocess.run(["bash"], input=job["script"], text=True, check=False)


if __name__ == "__main__":
    main()
