"""The machines of a topology, and a client, with networks between them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from runner.errors import SetupError

from . import disk, initrd
from .client import Client
from .machine import Direct, Firmware, Machine, Plan
from .network import Network

# The client is where the virtual IPs are.
CLIENT_NETWORK = "outside"
CLIENT_ADDRESSES = ["192.168.1.1/24", "fd00:1::1/64"]
FIRMWARE = Path("/usr/share/OVMF")
# Room for the second slot and for /var; sparse.
DISK_SIZE = 1 << 30

# A real server's own service. The name is that of NixOS' in the same scripts.
WEB_SERVER = """[Unit]
Description=Web server of the tests
After=network.target
[Service]
ExecStart=/run/guest/busybox httpd -f -p 80 -h /run/www
ExecStartPre=/bin/sh -c 'mkdir -p /run/www; uname -n >/run/www/index.html; echo ok >/run/www/healthz'
"""


class Image:
    """What images/build has made."""

    def __init__(self, directory: Path, profile: str = "vm") -> None:
        name = f"fairway-{profile}"
        self.kernel = directory / f"{name}.vmlinuz"
        self.root = directory / f"{name}.root.raw"
        self.disk = directory / f"{name}.raw"
        self.modules = directory / f"{name}.modules.tar"
        self.kernel_image = directory / f"{name}.efi"
        self.metal = profile == "hardware"
        for file in (self.kernel, self.root, self.disk, self.modules, self.kernel_image):
            if not file.exists():
                raise SetupError(f"{file} is missing: run images/build --profile {profile}")


class Cluster:
    """Everything is there once it is made, switched off."""

    def __init__(
        self, image: Image, topology: Path, firmware: frozenset[str], hosts: frozenset[str] | None = None, stays: bool = False
    ) -> None:
        """`firmware`: the hosts that boot a disk by UEFI; `hosts`: those that there are (all, where not said); `stays`:
        the others have a disk for /var too."""
        self._scratch = tempfile.TemporaryDirectory(prefix="fairway-guests-")
        self.directory = Path(self._scratch.name)
        self.image = image
        self._parts: list[Any] = []
        parsed = tomllib.loads(topology.read_text())
        try:
            networks = {name: self._keep(Network(name, self.directory)) for name in parsed["networks"]}
            small = self.directory / "initrd"
            initrd.build(image.modules, small, {})
            self.machines: dict[str, Machine] = {}
            for number, (name, host) in enumerate(parsed["hosts"].items(), 2):
                if hosts is not None and name not in hosts:
                    continue
                sockets = [networks[interface["network"]].socket for interface in host["interfaces"].values()]
                boot = (
                    firmware_boot(image, self.directory / f"{name}-disk")
                    if name in firmware
                    else Direct(image.kernel, small, image.root)
                )
                plan = Plan(name, number, boot, sockets, credentials(topology, name))
                if stays and name not in firmware:
                    plan.var = self.directory / f"{name}-var"
                    disk.var(plan.var)
                self.machines[name] = self._keep(Machine(plan, self.directory))
            self.client = self._keep(Client("client", networks[CLIENT_NETWORK].socket, CLIENT_ADDRESSES))
        except BaseException:
            self.close()
            raise

    def nodes(self) -> dict[str, Any]:
        return {**self.machines, "client": self.client}

    def start_all(self) -> None:
        for machine in self.machines.values():
            machine.start()

    def _keep(self, part: Any) -> Any:
        self._parts.append(part)
        return part

    def close(self) -> None:
        for part in reversed(self._parts):
            part.close()
        self._scratch.cleanup()


def credentials(topology: Path, name: str) -> dict[str, str | Path]:
    """What makes a machine this host of the topology, and its own service, if it is a real server."""
    given: dict[str, str | Path] = {"fairway.topology": topology, "fairway.host": name}
    if name.startswith("web"):
        given["systemd.extra-unit.nginx.service"] = WEB_SERVER
        given["systemd.unit-dropin.multi-user.target~nginx"] = "[Unit]\nWants=nginx.service\n"
    return given


def firmware_boot(image: Image, directory: Path) -> Firmware:
    """A disk with the image at its beginning and room behind it, and fresh variables of the firmware."""
    directory.mkdir()
    code = next((FIRMWARE / name for name in ("OVMF_CODE_4M.fd", "OVMF_CODE.fd") if (FIRMWARE / name).exists()), None)
    if code is None:
        raise SetupError("this machine lacks packages: apt-get install ovmf")
    variables = directory / "variables"
    shutil.copy(code.with_name(code.name.replace("CODE", "VARS")), variables)
    copy = directory / "disk"
    subprocess.run(["cp", "--sparse=always", image.disk, copy], check=True)
    with copy.open("r+b") as file:
        file.truncate(DISK_SIZE)
    return Firmware(code, variables, copy, image.metal)
