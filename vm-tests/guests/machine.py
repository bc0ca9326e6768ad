"""One guest: QEMU's emulation with the appliance in it, a root shell on a virtio serial port, power and cables by QMP.

The shell is a unit that a system credential brings, so that the image has none of it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import SetupError
from runner.qemu import PROCESSOR

from . import disk
from .commands import Commands, Failed, retry

# Until the shell answers. Five machines that boot at once on two processors that do other things as well need minutes.
BOOT = 600.0
MEMORY_MB = 448

# QEMU's emulation now and then loses its way where the kernel changes its own code, which it does before it starts its
# first process and soon after: there is a breakpoint where another processor has just changed an instruction (int3). Such a
# machine is switched on once more; what comes later is the appliance's own.
EMULATION = re.compile(
    r"Comm: swapper/0 (?s:.*)Kernel panic - not syncing: Attempted to kill the idle task|Oops: int3: (?s:.*)Kernel panic - not syncing"
)
ATTEMPTS = 3

# QEMU's longest name of a file of fw_cfg, less what systemd wants before a credential's own. Longer ones go through
# SMBIOS, which has room for some tens of kilobytes in all.
FW_CFG_NAME = 55 - len("opt/io.systemd.credentials/")

# The check of the timer fails, and the kernel panics, where the emulation stands still for a moment.
# Mitigations cost emulated time and guard nothing here.
EMULATED = "no_timer_check mitigations=off"
KERNEL_ARGUMENTS = f"console=ttyS0 quiet panic=-1 {EMULATED} systemd.firstboot=off systemd.show_status=no net.ifnames=0"

SHELL_UNIT = """[Unit]
Description=Root shell of the tests
# The image's own initrd sees the same credentials, and would take the port along when it ends.
ConditionPathExists=!/etc/initrd-release
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
ExecStart=/bin/bash -c 'until [ -e /dev/virtio-ports/test.shell ]; do sleep 0.2; done; exec <>/dev/virtio-ports/test.shell >&0 2>/dev/null; echo ready; exec /bin/bash --norc'
Environment=HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
Restart=always
# What a test starts is not ended with the shell, and this is no service to be sandboxed.
KillMode=process
IgnoreSIGPIPE=no
"""


@dataclass(frozen=True)
class Direct:
    """Boot without firmware: the image's kernel, the tests' initramfs, and the root partition."""

    kernel: Path
    initrd: Path
    root: Path


@dataclass(frozen=True)
class Firmware:
    """Boot a disk by UEFI. `disk` is written to; `variables` are the firmware's own, written to too. `metal`: with a
    SATA disk, an Intel network card and a USB stick, as machines of metal have, instead of the devices of virtual ones."""

    code: Path
    variables: Path
    disk: Path
    metal: bool = False


@dataclass
class Plan:
    """What a guest is made of; what is changed counts from the next start on. Networks are VDE sockets; the first is
    eth1, the next eth2."""

    name: str
    number: int
    boot: Direct | Firmware
    networks: list[Path]
    credentials: dict[str, str | Path] = field(default_factory=dict)
    # More disks.
    var: Path | None = None
    var_read_only: bool = False
    medium: Path | None = None
    # What the clock says at the start, in UTC.
    clock: str | None = None
    # Whether the cable of eth1 is plugged in.
    cable: bool = True


class Machine(Commands):
    """A guest, by the functions of the NixOS test driver."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.name = plan.name
        self.plan = plan
        self.directory = directory / plan.name
        self.directory.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._shell: socket.socket | None = None
        self._pending = b""
        self._sequence = 0

    # Power

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Switches it on; no effect where it is on."""
        if self.running:
            return
        self._reap()
        for leftover in ("shell", "qmp", "console"):
            (self.directory / leftover).unlink(missing_ok=True)
        console = self.directory / "console.log"
        with (self.directory / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.qemu(), *self._ports(console)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        # At once: what the guest says before somebody listens is lost.
        self._shell = self._open("shell")
        if not self.plan.cable:
            self.block()

    def crash(self) -> None:
        """Takes its power away."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def shutdown(self) -> None:
        """Powers it off in order, and waits for that."""
        self._end("poweroff")

    def reboot(self) -> None:
        """Restarts it in order; the disk and the firmware's variables stay."""
        self._end("reboot")
        self.start()

    def _end(self, how: str) -> None:
        # It may be gone before its answer; whether it ends is what counts.
        with contextlib.suppress(Failed):
            self.execute(f"systemctl --no-block {how}")
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(BOOT)
            except subprocess.TimeoutExpired as error:
                raise Failed(f"{self.name}: still on {BOOT:.0f} s after it was told to end") from error
        self._reap()

    def block(self) -> None:
        """Pulls the cable of eth1."""
        self._set_link(False)

    def unblock(self) -> None:
        """Plugs it in again."""
        self._set_link(True)

    def close(self) -> None:
        self.crash()

    def insert(self, files: dict[str, str]) -> None:
        """From the next start on there is a disk labelled FAIRWAY with these files."""
        self.plan.medium = self.directory / "medium"
        disk.labelled(self.plan.medium, "FAIRWAY", files)

    def insert_stick(self, files: dict[str, str]) -> None:
        """The same as a stick with vfat on it."""
        self.plan.medium = self.directory / "medium"
        disk.stick(self.plan.medium, "FAIRWAY", files)

    def fill_var(self) -> None:
        """From the next start on nothing fits on the disk for /var any more."""
        assert self.plan.var is not None, "it has no such disk"
        disk.var(self.plan.var, full=True)

    def mac(self, index: int) -> str:
        """The address of its card at the network of this number, from one on."""
        return _mac(self.plan.number, index)

    @staticmethod
    def sha256(text: str) -> str:
        """In hexadecimal digits, as sha256sum prints it."""
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, path: str, text: str) -> None:
        """Writes a file of its own."""
        self.succeed(f"base64 -d >{path} <<<{base64.b64encode(text.encode()).decode()}")

    def console_text(self) -> str:
        """What it has said on its serial console since it was last switched on."""
        file = self.directory / "console.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def send_console(self, chars: str) -> None:
        """Types on its serial console."""
        with self._open("console") as channel, contextlib.suppress(TimeoutError):
            channel.sendall(chars.encode())
            # What the port has not taken when this ends is lost: its queue has sixteen bytes. So until it has echoed all.
            channel.settimeout(5)
            while channel.recv(4096):
                pass

    def wait_for_console_text(self, regex: str, timeout: int = 900) -> None:
        """Until its serial console has said that, since it was last switched on."""
        retry(lambda _: re.search(regex, self.console_text()) is not None, timeout)

    def _last_words(self) -> str:
        log = (self.directory / "qemu.log").read_text(errors="replace")
        return f"{self.console_text()[-1500:]}{log[-500:]}"

    # Commands

    def run(self, command: str, timeout: float) -> tuple[int, str, str]:
        """The answer carries a number and the lengths, so that a lost byte cannot pass for an answer."""
        self._connect()
        self._sequence += 1
        script = f"set -euo pipefail; {command}"
        files = f"/run/test-shell.{self._sequence % 2}"
        line = (
            f"timeout {int(timeout)} bash -c {shlex.quote(script)} </dev/null >{files}.out 2>{files}.err; "
            f'echo "end {self._sequence} $? $(base64 -w 0 <{files}.out). $(base64 -w 0 <{files}.err). '
            f'$(stat -c %s {files}.out) $(stat -c %s {files}.err)"\n'
        )
        assert self._shell is not None
        self._shell.sendall(line.encode())
        wanted = f"end {self._sequence} ".encode()
        end = time.monotonic() + timeout + 120
        while True:
            reply = self._line(end)
            if reply.startswith(wanted):
                break
            if reply == b"ready":
                raise Failed(f"{self.name}: its shell was started anew during `{command}`")
        fields = reply.decode().split(" ")
        output, errors = (base64.b64decode(text.rstrip(".")) for text in fields[3:5])
        if (len(output), len(errors)) != (int(fields[5]), int(fields[6])):
            raise Failed(f"{self.name}: the answer to `{command}` has lost bytes on its way")
        return int(fields[2]), output.decode(errors="replace"), errors.decode(errors="replace")

    def _connect(self) -> None:
        """Waits until the shell is there."""
        if self._sequence == 0 and self._process is not None:
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._ready()
                except Failed:
                    # Its shell ends a moment before it does.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(10)
                    if self.running or not EMULATION.search(self.console_text()):
                        raise
                    print(f"         {self.name}: the emulation broke the kernel while it started; once more", flush=True)
                    self.start()
            self._ready()
        elif not self.running:
            raise Failed(f"{self.name} is switched off, or has ended: {self._last_words()}")

    def _ready(self) -> None:
        end = time.monotonic() + BOOT
        while self._line(end) != b"ready":
            pass

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._pending:
            assert self._shell is not None
            self._shell.settimeout(1.0)
            try:
                data = self._shell.recv(1 << 16)
            except TimeoutError:
                data = None
            except ConnectionError:
                data = b""
            if data == b"":
                raise Failed(f"{self.name} has ended: {self._last_words()}")
            if data:
                self._pending += data
            elif time.monotonic() > end:
                raise Failed(f"{self.name}: its shell does not answer; its console: {self.console_text()[-3000:]}")
        line, self._pending = self._pending.split(b"\n", 1)
        return line.rstrip(b"\r")

    # QEMU

    def qemu(self) -> list[str]:
        """QEMU's arguments for the machine, without the ports at which somebody listens."""
        plan = self.plan
        metal = isinstance(plan.boot, Firmware) and plan.boot.metal
        argv = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=128", "-cpu", PROCESSOR, "-m", str(MEMORY_MB),
            "-machine", f"q35,sata={'on' if metal else 'off'},smbus=off,usb=off,vmport=off,hpet=off,i8042=off",
            "-smp", "2",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
            "-uuid", f"f41a7a9e-5d0b-4d4d-8a3d-{plan.number:012x}",
        ]  # fmt: skip
        if isinstance(plan.boot, Firmware):
            argv += [
                "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={plan.boot.code}",
                "-drive", f"if=pflash,unit=1,format=raw,file={plan.boot.variables}",
                "-drive", f"if=none,id=disk,file={plan.boot.disk},format=raw,cache=unsafe",
                "-device", f"{'ide-hd,bus=ide.0' if metal else 'virtio-blk-pci'},drive=disk,bootindex=1",
                "-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={EMULATED}",
            ]  # fmt: skip
        else:
            argv += [
                "-kernel", str(plan.boot.kernel), "-initrd", str(plan.boot.initrd),
                "-append", KERNEL_ARGUMENTS,
                "-drive", f"if=none,id=disk,file={plan.boot.root},format=raw,read-only=on,file.locking=off",
                "-device", "virtio-blk-pci,drive=disk",
            ]  # fmt: skip
        for name, file, read_only in (("var", plan.var, plan.var_read_only), ("medium", plan.medium, True)):
            if file is not None:
                options = "read-only=on" if read_only else "cache=unsafe"
                argv += ["-drive", f"if=none,id={name},file={file},format=raw,{options}"]
                argv += ["-device", f"virtio-blk-pci,drive={name}"] if not metal else ["-device", "qemu-xhci", "-device", f"usb-storage,drive={name}"]
        if plan.clock is not None:
            argv += ["-rtc", f"base={plan.clock}"]
        # The last one first: where the kernel numbers them itself it is eth0, and nobody is called what another is to
        # be called. The rest have their names from the start.
        numbered = list(enumerate(plan.networks, 1))
        for index, network in numbered[-1:] + numbered[:-1]:
            argv += [
                "-netdev", f"vde,id=net{index},sock={network}",
                "-device",
                f"{'e1000e' if metal else 'virtio-net-pci'},id=virtio-net-pci.{index},netdev=net{index},mac={_mac(plan.number, index)},romfile=",
            ]  # fmt: skip
        for name, file in self._write_credentials().items():
            if len(name) <= FW_CFG_NAME:
                argv += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={file}"]
            else:
                strings = file.with_suffix(".smbios")
                content = base64.b64encode(file.read_bytes()).decode()
                strings.write_text(f"io.systemd.credential.binary:{name}={content}")
                argv += ["-smbios", f"type=11,path={strings}"]
        return argv

    def _ports(self, console: Path) -> list[str]:
        return [
            "-chardev", f"socket,id=console,path={self.directory}/console,server=on,wait=off,logfile={console}",
            "-serial", "chardev:console",
            "-qmp", f"unix:{self.directory}/qmp,server=on,wait=off",
            "-chardev", f"socket,id=shell,path={self.directory}/shell,server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=shell,name=test.shell",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip

    def _write_credentials(self) -> dict[str, Path]:
        plan = self.plan
        texts: dict[str, str | Path] = {
            "system.hostname": plan.name,
            "systemd.extra-unit.test-shell.service": SHELL_UNIT,
            "systemd.unit-dropin.sysinit.target~test-shell": "[Unit]\nWants=test-shell.service\n",
            **plan.credentials,
        }
        for index in range(1, len(plan.networks) + 1):
            texts[f"network.link.10-eth{index}"] = (
                f"[Match]\nMACAddress={_mac(plan.number, index)}\n[Link]\nNamePolicy=\nName=eth{index}\n"
            )
        files = {}
        for name, value in texts.items():
            if isinstance(value, Path):
                files[name] = value
                continue
            files[name] = self.directory / f"credential-{len(files)}"
            files[name].write_text(value)
        return files

    def _set_link(self, up: bool) -> None:
        channel = self._open("qmp")
        with channel, channel.makefile("rwb") as stream:
            for command in (
                {"execute": "qmp_capabilities"},
                {"execute": "set_link", "arguments": {"name": "virtio-net-pci.1", "up": up}},
            ):
                stream.write(json.dumps(command).encode() + b"\n")
                stream.flush()
                while True:
                    answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise Failed(f"{self.name}: QEMU refuses {command}: {answer['error']}")
                    if "return" in answer:
                        break

    def _open(self, name: str) -> socket.socket:
        end = time.monotonic() + 60
        while True:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(str(self.directory / name))
                return channel
            except OSError:
                channel.close()
                if not self.running or time.monotonic() > end:
                    log = (self.directory / "qemu.log").read_text(errors="replace")
                    raise SetupError(f"QEMU for {self.name} did not start: {log[-1000:]}") from None
                time.sleep(0.05)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        self._pending = b""
        self._sequence = 0


def _mac(number: int, index: int) -> str:
    return f"52:54:00:12:{index:02x}:{number:02x}"
