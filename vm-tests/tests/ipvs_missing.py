"""Without ip_vs in the kernel the director elects and says what is missing; once it is loaded, it goes on by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab import Lab, eventually

START = False
AUTOLOADER = Path("/proc/sys/kernel/modprobe")


def unload() -> None:
    """Removes ip_vs and all that sits on it, and keeps the kernel from loading it again."""
    for _ in range(3):
        loaded = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
        wanted = [name for name in loaded if name.startswith("ip_vs")]
        if not wanted:
            return
        subprocess.run(["rmmod", *sorted(wanted, key=len, reverse=True)], check=False, capture_output=True)
    raise AssertionError(f"cannot unload {wanted}")


def test(lab: Lab) -> None:
    autoloader = AUTOLOADER.read_text()
    AUTOLOADER.write_text("/nowhere\n")
    try:
        unload()
        for server in lab.servers.values():
            server.start()
        for director in lab.directors.values():
            director.start_bus()
            director.start()
        lb1 = lab.directors["lb1"]
        eventually(lambda: lab.masters() == ["lb1"] and lb1.state() == "master", "lb1 is elected all the same")
        eventually(lambda: lb1.property("/service/web", "VirtualService", "KernelError") != "", "the service says what is wrong")
        error = lb1.property("/service/web", "VirtualService", "KernelError")
        lab.note(error)
        assert "ip_vs" in error, f"the error does not name the module: {error}"
    finally:
        AUTOLOADER.write_text(autoloader)
        subprocess.run(["modprobe", "-a", "ip_vs", "ip_vs_rr"], check=True)
    lab.settle()
    assert lb1.property("/service/web", "VirtualService", "KernelError") == ""
    assert not lab.get(20).failed
