"""FRR's daemons in a namespace of the LAN: zebra, and those of its protocols that a test names."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from lan import Host, run, wait

DAEMONS = Path("/usr/lib/frr")


class Frr:
    """FRR on one host. Everything it writes is below the scratch directory."""

    def __init__(self, host: Host, scratch: Path, config: str, *daemons: str) -> None:
        if not (DAEMONS / "zebra").exists():
            raise RuntimeError(f"{DAEMONS}/zebra is missing: install the package frr")
        self.host, self.directory = host, scratch / f"frr-{host.name}"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        # The daemons become the package's user before they open anything.
        scratch.chmod(0o711)
        shutil.chown(self.directory, "frr", "frr")
        self.processes: dict[str, subprocess.Popen[str]] = {}
        (self.directory / "conf").write_text(config)
        (self.directory / "zebra.conf").write_text("")
        for daemon in ("zebra", *daemons):
            self.start(daemon)

    def start(self, daemon: str) -> None:
        d = self.directory
        own = ["--bfdctl", f"{d}/bfdctl.sock"] if daemon == "bfdd" else []
        config = "zebra.conf" if daemon == "zebra" else "conf"
        argv = [str(DAEMONS / daemon), "-f", f"{d}/{config}", "-i", f"{d}/{daemon}.pid", "-z", f"{d}/zserv.api",
                "--vty_socket", str(d), "-P", "0", "--log", "stdout", *own]
        # A /var/run/frr of its own keeps it apart from an FRR of the machine's.
        private = 'mount --make-rprivate / && mkdir -p /var/run/frr && mount -t tmpfs tmpfs /var/run/frr && chown frr: /var/run/frr && exec "$@"'
        log = open(d / "log", "a")
        self.processes[daemon] = self.host.spawn("unshare", "--mount", "sh", "-ec", private, "sh", *argv, stdout=log, stderr=log)
        wait(f"{daemon} listens", lambda: (d / f"{daemon}.vty").exists(), 20)

    def kill(self, daemon: str) -> None:
        """SIGKILL: no goodbye."""
        process = self.processes.pop(daemon)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (self.directory / f"{daemon}.vty").unlink(missing_ok=True)

    def ask(self, daemon: str, *commands: str) -> str:
        words = [word for command in commands for word in ("-c", command)]
        return run(["vtysh", "--vty_socket", str(self.directory), "-d", daemon, *words])

    def shown(self, daemon: str, command: str):
        """What a command shows as JSON; nothing while the daemon has not got that far."""
        try:
            return json.loads(self.ask(daemon, command))
        except (json.JSONDecodeError, RuntimeError):
            return None

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
