"""What test scripts can do with any machine, guest or client: the driver's functions that only run commands."""

from __future__ import annotations

import time
from collections.abc import Callable

# A check is tried once a second, as by NixOS' driver.
PERIOD = 1.0


class Failed(AssertionError):
    """A command did not do what the script says that it does."""


def retry(fn: Callable[[bool], bool], timeout_seconds: int = 900) -> None:
    """Calls until it returns true; the last time, with an argument of true, it may say why not."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if fn(False):
            return
        time.sleep(PERIOD)
    if not fn(True):
        raise Failed(f"not so within {timeout_seconds} s")


class Commands:
    """Everything that is made of `run`."""

    name: str

    def run(self, command: str, timeout: float) -> tuple[int, str, str]:
        """Exit code, output, errors of a command under `set -euo pipefail`; exit code 124 when it takes longer."""
        raise NotImplementedError

    def execute(self, command: str, check_return: bool = True, timeout: int | None = 900) -> tuple[int, str]:
        """Exit code (-1 where it is not asked for) and output."""
        code, output, _ = self.run(command, timeout or 900)
        return (code if check_return else -1), output

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        output = ""
        for command in commands:
            code, out, errors = self.run(command, timeout or 900)
            if code != 0:
                raise Failed(f"{self.name}: `{command}` ended with exit code {code}: {_both(out, errors)}")
            output += out
        return output

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        output = ""
        for command in commands:
            code, out, errors = self.run(command, timeout or 900)
            if code == 0:
                raise Failed(f"{self.name}: `{command}` succeeded: {_both(out, errors)}")
            output += out
        return output

    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str:
        return self._wait(command, timeout, wanted=True)

    def wait_until_fails(self, command: str, timeout: int = 900) -> str:
        return self._wait(command, timeout, wanted=False)

    def _wait(self, command: str, timeout: int, wanted: bool) -> str:
        end = time.monotonic() + timeout
        while True:
            code, out, errors = self.run(command, timeout)
            if (code == 0) == wanted:
                return out
            if time.monotonic() > end:
                what = "did not succeed" if wanted else "did not fail"
                raise Failed(f"{self.name}: `{command}` {what} within {timeout} s; at last: {_both(out, errors)}")
            time.sleep(PERIOD)

    def systemctl(self, q: str) -> tuple[int, str]:
        return self.execute(f"systemctl {q}")

    def wait_for_unit(self, unit: str, timeout: int = 900) -> None:
        end = time.monotonic() + timeout
        while True:
            state = self._state(unit)
            if state == "active":
                return
            if state == "failed" or time.monotonic() > end:
                told = self.execute(f"systemctl status --lines 20 --no-pager {unit}")[1]
                raise Failed(f"{self.name}: {unit} is {state}: {told}")
            time.sleep(PERIOD)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        state = self._state(unit)
        if state != require_state:
            raise Failed(f"{self.name}: {unit} is {state}, not {require_state}")

    def _state(self, unit: str) -> str:
        return self.succeed(f"systemctl show --property ActiveState --value {unit}").strip()

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None:
        self.wait_until_succeeds(_connect(port, addr), timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: int = 900) -> None:
        self.wait_until_fails(_connect(port, addr), timeout)

    def wait_for_file(self, filename: str, timeout: int = 900) -> None:
        self.wait_until_succeeds(f"test -e {filename}", timeout)

    def sleep(self, secs: int) -> None:
        time.sleep(secs)


def _connect(port: int, addr: str) -> str:
    return f"timeout 3 bash -c '</dev/tcp/{addr}/{port}'"


def _both(output: str, errors: str) -> str:
    return " | ".join(text for text in (output.strip()[-2000:], errors.strip()[-2000:]) if text) or "(no output)"
