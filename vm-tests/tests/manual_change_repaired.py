"""A server or service removed, or a weight changed, with ipvsadm behind the director's back is put right by the audit."""

from __future__ import annotations

from lab import Lab, eventually

START = False
PERIOD = 2.0


def test(lab: Lab) -> None:
    for name in lab.directors:
        config = lab.config(name)
        config.write_text(config.read_text() + f'\n[ipvs]\naudit-period = "{PERIOD:g}s"\n')
    lab.start()
    host, table = lab.hosts["lb1"], lab.table("lb1")
    bound = 2 * PERIOD + 3.0
    changes = {
        "a server removed": ["-d", "-t", "10.0.0.100:80", "-r", "10.0.0.21:80"],
        "a weight changed": ["-e", "-t", "10.0.0.100:80", "-r", "10.0.0.22:80", "-g", "-w", "9"],
        "a scheduler changed": ["-E", "-t", "10.0.0.100:80", "-s", "wlc"],
        "the service removed": ["-D", "-t", "10.0.0.100:80"],
        "a server added": ["-a", "-t", "10.0.0.100:80", "-r", "10.0.0.23:80", "-g"],
    }
    for what, command in changes.items():
        host.run("ipvsadm", *command)
        took = eventually(lambda: lab.table("lb1") == table, f"{what}: put right", bound, step=0.1)
        lab.note(f"{what}: put right after {took * 1000:.0f} ms")
    assert not lab.get(20).failed
