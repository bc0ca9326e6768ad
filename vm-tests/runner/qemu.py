"""Boots the guest under QEMU's emulation (TCG): works on any machine, needs no privileges, times are its own."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import image

# Mitigations cost emulated time and guard nothing here; panic=-1 with -no-reboot turns a panic into an exit.
KERNEL_ARGUMENTS = "console=ttyS0 quiet mitigations=off nokaslr nopti panic=-1 oops=panic tsc=reliable"
# What Debian needs and little more: with larger page tables and registers to save, whole guests take a sixth more of the processor to boot.
PROCESSOR = "Nehalem"
MEMORY_MB = 1536


class Guest:
    """One boot. `lines()` are what the harness inside says on the second serial port."""

    def __init__(self, job: dict[str, Any], binaries: Path, interactive: bool = False) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="fairway-vm-")
        self.directory = Path(self._directory.name)
        self.console = self.directory / "console.log"
        initramfs = self.directory / "initramfs"
        kernel = image.build(job, binaries, initramfs)
        self._argv = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", "2", "-m", str(MEMORY_MB),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-net", "none",
            "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", KERNEL_ARGUMENTS,
            "-serial", f"file:{self.console}", "-chardev", "stdio,id=harness,signal=off", "-serial", "chardev:harness",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        if not interactive:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )

    def interact(self) -> int:
        """Runs it with the second serial port on this terminal, until it powers off."""
        return subprocess.run(self._argv, check=False).returncode

    def lines(self, silence: float) -> Iterator[str]:
        """Lines from the guest until it ends. Raises TimeoutError when it says nothing for `silence` seconds."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            last = time.monotonic()
            while True:
                if not selector.select(timeout=1.0):
                    if time.monotonic() - last > silence:
                        raise TimeoutError(f"the guest said nothing for {silence:.0f} s")
                    continue
                chunk = os.read(pipe.fileno(), 1 << 16)
                if not chunk:
                    break
                last = time.monotonic()
                *complete, pending = (pending + chunk).split(b"\n")
                for line in complete:
                    yield line.decode(errors="replace").rstrip("\r")
        if pending:
            yield pending.decode(errors="replace")

    def console_text(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def close(self) -> None:
        """Ends it, however it is."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
