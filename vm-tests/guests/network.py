"""The networks between guests: a hub of VDE for each, which needs no privileges and no bridge of this machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from runner.errors import SetupError


class Network:
    """One Ethernet segment. `socket` is where QEMU's `-netdev vde` and vde_plug2tap connect."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.socket = directory / f"vde-{name}"
        # A hub, no switch: virtual IPs move between ports, and every frame can be captured anywhere.
        self._process = subprocess.Popen(
            ["vde_switch", "--sock", str(self.socket), "--hub", "--dirmode", "0700"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 30
        while not (self.socket / "ctl").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise SetupError(f"vde_switch for network {name} did not start")
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
