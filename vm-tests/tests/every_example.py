"""Every example is loaded by systemd's own programs, nft and the directors, and the kernel has what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rules
from director import Director
from host import RUN, ip, eventually
from machine import Machine

TOPOLOGY = None
TIMEOUT = 600

EXAMPLES = Path("/fairway/examples")

# For checks that verify TLS: any certificate is one that can be read.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIUNnxY77dfrueTrYkHdvFk5veFDaEwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZXhhbXBsZTAgFw0yNjExMjExNTIzNDJaGA8yMTI2MTAyODE1
MjM0MlowEjEQMA4GA1UEAwwHZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABJJ1BNkeZtUGIfh+XA3S0K4Z3Qogr8Fx1i8TBh0//qXsq0O1nNM/f62sJjDl
qSxRqLlq+3vqjO04BVetRywiEkGjUzBRMB0GA1UdDgQWBBQ/cvUx3BU6Bua/1Vl4
E5SoaZ5ttzAfBgNVHSMEGDAWgBQ/cvUx3BU6Bua/1Vl4E5SoaZ5ttzAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAGsS3FGCwmjuVLxYTKhMdsq4Qtl
uJ2pM6KZlD7xdMmnAiBFLbRn2YJovLdPuQHYmqcjntD1egLLb0b35+tiOYIewQ==
-----END CERTIFICATE-----
"""


def test(note: Callable[[str], None]) -> None:
    examples = sorted(EXAMPLES.glob("*.toml"))
    assert len(examples) >= 13, f"only {len(examples)} examples"
    hosts = directors = lines = 0
    pool = ThreadPoolExecutor(4)
    for example in examples:
        trees = RUN / "trees"
        shutil.rmtree(trees, ignore_errors=True)
        subprocess.run(["fairway-gen", "all", str(example), "--out", str(trees)], check=True, stdout=subprocess.DEVNULL)
        machines = {tree.name: Machine(tree.name, tree) for tree in distinct(trees)}
        try:
            list(pool.map(Machine.start, machines.values()))
            list(pool.map(Machine.finish, machines.values()))
            balancing = [machine for machine in machines.values() if (machine.etc / "fairway/director.toml").exists()]
            found = list(pool.map(in_kernel, balancing))
        except AssertionError as error:
            raise AssertionError(f"{example.name}: {error}") from error
        for machine in machines.values():
            machine.host.kill_all()
            ip("netns", "del", machine.host.namespace)
        assert found, f"{example.name} has no director"
        hosts, directors, lines = hosts + len(machines), directors + len(found), lines + sum(found)
    note(f"{len(examples)} examples: {hosts} kinds of hosts, {directors} of directors, {lines} services and servers in the kernel")


def distinct(trees: Path) -> list[Path]:
    """The hosts' trees, one of those that differ in nothing but their name, their addresses and their priority."""
    found: dict[str, Path] = {}
    texts = {}
    for tree in sorted(trees.iterdir()):
        files = [file for file in sorted(tree.rglob("*")) if file.is_file()]
        texts[tree] = "".join(f"{file.relative_to(tree)}\n{file.read_text()}" for file in files)
    links = [tree / "etc/systemd/network" for tree in texts]
    managed = "".join(file.read_text() for link in links for file in link.glob("10-fairway-*.network"))
    addresses = {re.escape(address.partition("/")[0]) for address in re.findall(r"^Address=(\S+)$", managed, re.MULTILINE)}
    address = re.compile(rf"(?<![\w.:])({'|'.join(addresses)})(?![\w.:])")
    for tree, text in texts.items():
        text = re.sub(rf'\bhost (= ")?{re.escape(tree.name)}\b', "host NAME", address.sub("ADDRESS", text))
        found.setdefault(re.sub(r"^priority = \d+$", "", text, flags=re.MULTILINE), tree)
    return list(found.values())


def in_kernel(machine: Machine) -> int:
    """Starts a director and waits until the kernel's table is what its file says. How many lines that are."""
    host, config = machine.host, machine.etc / "fairway/director.toml"
    text = config.read_text()
    secrets(machine, text)
    host.run("fairway-director", "check")
    # No server answers here: without checks all of them are up.
    config.write_text(re.sub(r"^checks = .*\n", "", text, flags=re.MULTILINE))
    director, wanted = Director(host), rules.expected(text)
    director.start(wait=False)

    def difference() -> str:
        have = {" ".join(line.split()) for line in host.run("ipvsadm", "-Sn").splitlines()}
        return f"too much {sorted(have - wanted)}, missing {sorted(wanted - have)}" if have != wanted else ""

    eventually(lambda: not difference(), lambda: f"{host.name}'s table: {difference()}", 60, 0.1)
    director.kill()
    return len(wanted)


def secrets(machine: Machine, text: str) -> None:
    """The files with passwords, keys and certificates that a configuration names, which nothing generates."""
    for file in re.findall(r'^ca-file = "(/etc/fairway/[^"]+)"', text, re.MULTILINE):
        (machine.etc / Path(file).relative_to("/etc")).write_text(CERTIFICATE)
    for section, file in re.findall(r'^\[+(failover\.instance\.auth[\w.-]*)\]+\n(?:(?!\[).*\n)*?[\w-]+ = "(/etc/fairway/[^"]+)"', text, re.MULTILINE):
        path = machine.etc / Path(file).relative_to("/etc")
        path.parent.mkdir(exist_ok=True)
        path.write_text("0123456789abcdef" * 2 + "\n" if "hmac" in section else "fairway\n")
        path.chmod(0o640)
        shutil.chown(path, "root", "fairway")
