"""Runs test scripts with NixOS' own test driver, unmodified, on machines that boot the appliance.

The driver needs Python 3.13, which the tools that made the image have, and packages from PyPI.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from runner.errors import SetupError

from . import initrd
from .cluster import CLIENT_ADDRESSES, CLIENT_NETWORK, Image, credentials
from .commands import Failed
from .machine import Direct, Machine, Plan
from .tools import TOOLS

CACHE = Path(__file__).resolve().parents[1] / ".cache/nixos-driver"
PACKAGES = (
    "colorama==0.4.6",
    "ipython==9.18.1",
    "junit-xml==1.9",
    "ptpython==3.0.32",
    "pydantic==2.14.3",
    "remote-pdb==2.1.0",
)
TIMEOUT = 3600

# As NixOS' own backdoor does it: the line tells the driver that the shell, which is bash on that terminal, is there.
SHELL_UNIT = """[Unit]
Description=Root shell of the tests
ConditionPathExists=!/etc/initrd-release
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
[Service]
ExecStartPre=/bin/chmod +x /run/guest/nc
ExecStart=/bin/bash -c 'until [ -c /dev/hvc0 ]; do sleep 0.2; done; exec </dev/hvc0 >/dev/hvc0 2>/dev/ttyS0; stty raw -echo; echo Spawning backdoor root shell...; PS1= exec bash --norc /dev/hvc0'
Environment=HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin:/run/guest
KillMode=process
IgnoreSIGPIPE=no
"""

# All that the driver does with it, to see whether a port is open.
NC = """#!/bin/bash
[ $# = 3 ] && [ "$1" = -z ] && exec 3<>"/dev/tcp/$2/$3"
"""


class NixosDriver:
    def __init__(self, source: Path) -> None:
        """`source`: nixos/lib/test-driver/src of nixpkgs."""
        if not (source / "test_driver/__init__.py").exists():
            raise SetupError(f"{source} has no test_driver: it is nixos/lib/test-driver/src of nixpkgs")
        self._path = os.pathsep.join([str(source), str(packages())])

    def run(self, script: str, image: Image, topology: Path, work: Path) -> None:
        """Runs a script on the machines of the topology and a client, all of them guests. What the driver says is in
        work/log."""
        (work / "script.py").write_text(script)
        (work / "driver.json").write_text(json.dumps(configuration(image, topology, work)))
        runtime = work / "runtime"
        runtime.mkdir(mode=0o700)
        environment = {**os.environ, "PYTHONPATH": self._path, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(work)}
        # Taps are made for the networks. As on NixOS sh is bash, which becomes the only command that it is given: the
        # driver ends a machine by ending the shell that it has started it with.
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", 'mount --bind "$(type -P bash)" /bin/sh && exec "$@"', "driver"]
        argv += [*interpreter(), "-c", "import test_driver; test_driver.main()", "-c", str(work / "driver.json"), "-o", str(work)]
        with (work / "log").open("wb") as log:
            done = subprocess.run(argv, check=False, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            lines = (work / "log").read_text(errors="replace").splitlines()
            raise Failed("\n".join([f"the driver ended with exit code {done.returncode}", *lines[-40:]]))


def configuration(image: Image, topology: Path, work: Path) -> dict[str, object]:
    """The driver's, as Nix would write it: a script for each machine that starts it, to which the driver adds its own
    ports."""
    parsed = tomllib.loads(topology.read_text())
    networks = {name: Path(f"@{number}@") for number, name in enumerate(parsed["networks"], 1)}
    small = work / "initrd"
    initrd.build(image.modules, small, {"nc": NC})
    boot = Direct(image.kernel, small, image.root)
    addresses = "".join(f"Address={address}\n" for address in CLIENT_ADDRESSES)
    client: dict[str, str | Path] = {"network.network.10-eth1": f"[Match]\nName=eth1\n[Network]\n{addresses}"}
    plans = [Plan("client", 1, boot, [networks[CLIENT_NETWORK]], client)]
    for number, (name, host) in enumerate(parsed["hosts"].items(), 2):
        joined = [networks[interface["network"]] for interface in host["interfaces"].values()]
        plans.append(Plan(name, number, boot, joined, credentials(topology, name)))
    nodes = {}
    for plan in plans:
        plan.credentials["systemd.extra-unit.test-shell.service"] = SHELL_UNIT
        start = work / f"start-{plan.name}"
        command = " ".join(quoted(argument) for argument in Machine(plan, work).qemu())
        start.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        start.chmod(0o755)
        nodes[plan.name] = {"name": plan.name, "start_script": str(start)}
    return {
        "vms": nodes,
        "containers": {},
        "vlans": list(range(1, len(networks) + 1)),
        "global_timeout": TIMEOUT,
        "enable_ssh_backdoor": False,
        "test_script": str(work / "script.py"),
    }


def quoted(argument: str) -> str:
    """For a shell; the networks are where the driver says."""
    before, at, rest = argument.partition("sock=@")
    if not at:
        return shlex.quote(argument)
    number, _, after = rest.partition("@")
    return f'{shlex.quote(before)}sock="$QEMU_VDE_SOCKET_{number}"{shlex.quote(after) if after else ""}'


def interpreter() -> list[str]:
    """A Python that the driver runs on."""
    if sys.version_info >= (3, 13):
        return [sys.executable]
    # The tools' own, with their own loader and libraries; what it starts is this machine's.
    library = TOOLS / "usr/lib/x86_64-linux-gnu"
    python = TOOLS / "usr/bin/python3.13"
    if not python.exists():
        raise SetupError(f"{python} is missing: run images/build")
    return ["env", f"PYTHONHOME={TOOLS / 'usr'}", str(library / "ld-linux-x86-64.so.2"), "--library-path", str(library), str(python)]


def packages() -> Path:
    """What the driver imports, unpacked once."""
    done = CACHE / "done"
    if not done.exists() or done.read_text() != "\n".join(PACKAGES):
        target, environment = CACHE / "packages", CACHE / "pip"
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(environment)],
            [
                str(environment / "bin/pip"), "install", "--quiet", "--upgrade", "--target", str(target),
                "--python-version", "3.13", "--only-binary", ":all:", *PACKAGES,
            ],
        ):  # fmt: skip
            result = subprocess.run(command, check=False, capture_output=True, text=True)
            if result.returncode != 0:
                raise SetupError(f"{command[0]}: {result.stderr.strip()[-1000:]} (python3-venv is needed)")
        done.write_text("\n".join(PACKAGES))
    return CACHE / "packages"
