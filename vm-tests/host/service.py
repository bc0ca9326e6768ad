"""Our director as a service of a real systemd: a user manager in namespaces of its own, inside a host of the LAN."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from lan import Host, run, wait
from routers import CHECKOUT, Router, _clean, binary, write_fairway

UNIT = CHECKOUT / "director/daemon/systemd/fairway-director.service"
# What of the unit file a user manager can do as it stands: no users, capabilities or sandboxes.
KEPT = {"Type", "ExecReload", "RestartKillSignal", "FileDescriptorStoreMax", "Restart", "RestartSec", "RestartMode",
        "RestartPreventExitStatus", "WatchdogSec", "TimeoutStopSec", "LimitRTPRIO", "LimitMEMLOCK", "LimitNOFILE"}  # fmt: skip

# The shell stays process 1 of the new process namespace: with it everything in there ends. A user manager runs only
# where systemd runs the system, which it tells by /run/systemd/system; it needs a control group of its own.
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
/lib/systemd/systemd --user --unit=default.target --log-target=console &
wait
"""
# A control group for the manager alone, whatever this test runs in.
ENTER = """
set -e
mkdir -p {cgroups}
mount --make-rprivate /
mount -t cgroup2 cgroup2 {cgroups}
mkdir {cgroups}/{name}
echo $$ >{cgroups}/{name}/cgroup.procs
exec unshare --cgroup --mount --pid --uts --fork --kill-child sh -c "$1"
"""
LEAVE = """
mount --make-rprivate /
mount -t cgroup2 cgroup2 {cgroups}
for attempt in 1 2 3 4 5 6 7 8 9 10; do # the processes in it have been killed, and take a moment to go
    find {cgroups}/{name} -depth -type d -exec rmdir {{}} + 2>/dev/null && exit
    sleep 0.2
done
"""


class Service:
    """A started service; stands in for a `Daemon`."""

    name = "fairway-director.service"

    def __init__(self, host: Host, router: Router, scratch: Path) -> None:
        self.host, self.router = host, router
        self.directory = directory = scratch / f"service-{host.name}"
        self.cgroup = {"cgroups": directory / "cgroups", "name": f"{host.space}-{time.monotonic_ns()}"}
        _clean(host, router)
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "units").mkdir(parents=True)
        (directory / "runtime/systemd").mkdir(parents=True, mode=0o700)
        write_fairway(directory, host, router)
        (directory / "units/default.target").write_text("[Unit]\nDescription=Nothing more\n")
        (directory / "units" / self.name).write_text(self._unit())
        environment = {"XDG_RUNTIME_DIR": str(directory / "runtime"), "HOME": str(directory),
                       "SYSTEMD_UNIT_PATH": f"{directory}/units:", "PATH": os.environ["PATH"]}  # fmt: skip
        log = open(directory / "systemd.log", "a")
        self.process = host.spawn("unshare", "--mount", "sh", "-c", ENTER.format(**self.cgroup), "enter", BOOT,
                                  env=environment, stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        wait("the user manager answers", lambda: self._asks("show", "--property=Version"), 30, 0.1)

    def start_bus(self) -> None:
        """A bus on which this systemd answers, and which the director takes for the system's."""
        self.add_unit("dbus.socket", "[Socket]\nListenStream=%t/bus\n")
        self.add_unit("dbus.service", "[Unit]\nRequires=dbus.socket\n[Service]\nExecStart=/usr/bin/dbus-daemon --session "
                      "--address=systemd: --nofork --nopidfile --systemd-activation\n")
        self.add_unit(f"{self.name}.d/bus.conf", f"[Service]\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.directory}/runtime/bus\n")
        self.control("start", "dbus.service")

    def _unit(self) -> str:
        """The project's unit file, for this manager and this configuration."""
        lines, section = [], ""
        for line in UNIT.read_text().splitlines():
            section = line if line.startswith("[") else section
            key = line.split("=", 1)[0]
            if line.startswith("ExecStart="):
                line = f"ExecStart={binary('fairway-director')} run --config {self.directory}/director.toml"
            elif section == "[Service]" and "=" in line and key not in KEPT:
                continue
            lines.append(line)
            if line == "[Service]":
                # a private, absent bus: no test may touch the machine's own
                lines += [f"Environment=DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.directory}/no-bus",
                          f"StandardOutput=append:{self.directory}/log", f"StandardError=append:{self.directory}/log"]
        return "\n".join(lines) + "\n"

    def _command(self, *arguments: str) -> list[str]:
        # systemctl talks to managers of its own process namespace only
        enter = ["nsenter", f"--target={self._shell()}", "--mount", "--pid", "--cgroup"]
        return [*enter, "env", f"XDG_RUNTIME_DIR={self.directory}/runtime", "systemctl", "--user", *arguments]

    def _shell(self) -> str:
        """Process 1 of the service's namespace; empty as long as there is none."""
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def _asks(self, *arguments: str) -> bool:
        return subprocess.run(self._command(*arguments), capture_output=True).returncode == 0

    def control(self, *arguments: str) -> str:
        return run(self._command(*arguments))

    def property(self, name: str) -> str:
        return self.control("show", self.name, f"--property={name}", "--value").strip()

    def add_unit(self, name: str, *sections: str) -> None:
        path = self.directory / "units" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(sections))
        self.control("daemon-reload")

    def restart(self) -> None:
        self.control("restart", self.name)

    def kill(self) -> None:
        """kill -9 of the director; systemd stays."""
        self.control("kill", "--kill-whom=main", "--signal=KILL", self.name)

    def raw_sockets(self) -> int:
        """How many sockets for adverts are open on the host, in whatever process."""
        return sum(len(self.host.run("ss", "--no-header", "--raw", "--all", family).splitlines()) for family in ("-4", "-6"))

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        self.control("stop", self.name)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        run(["unshare", "--mount", "sh", "-c", LEAVE.format(**self.cgroup)], check=False)


def service(host: Host, router: Router, scratch: Path) -> Service:
    """Our director, started by systemd."""
    started = Service(host, router, scratch)
    started.control("start", Service.name)
    return started
