"""Applies a generated etc/ tree to a host, as a booting Debian machine would."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import networkd
import unit
from host import Host

# Everything fairway-gen writes; a file of another kind must not stay unnoticed.
APPLIED = ("sysctl.d", "modules-load.d", "systemd", "nftables.d", "fairway")


class NotApplied(AssertionError):
    """A file the applier does not know how to apply."""


def install(host: Host, tree: Path) -> Path:
    """Copies the tree's etc to where `ip netns exec` puts it over /etc for every command of this host. Directories
    stay the ones they are: running programs see them through a mount."""
    source, etc = tree / "etc", Path("/etc/netns") / host.namespace
    for entry in source.iterdir():
        if entry.name not in APPLIED:
            raise NotApplied(f"{entry}: nothing applies it")
    for old in sorted(etc.rglob("*")):
        if old.is_file() and not (source / old.relative_to(etc)).exists():
            old.unlink()
    shutil.copytree(source, etc, dirs_exist_ok=True)
    return etc


def apply(host: Host, etc: Path) -> None:
    """Modules, then devices and addresses, then sysctls (they name interfaces), then the firewall."""
    for file in sorted((etc / "modules-load.d").glob("*.conf")):
        modules = [line.strip() for line in file.read_text().splitlines() if line.strip() and line[0] not in "#;"]
        if not modules:
            continue
        loaded = subprocess.run(["modprobe", "-a", *modules], check=False, text=True, capture_output=True)
        if loaded.returncode != 0:
            raise NotApplied(f"{file}: {loaded.stderr.strip()}")
    networkd.apply(host, etc)
    for file in sorted((etc / "sysctl.d").glob("*.conf")):
        apply_sysctls(host, file)
    if (etc / "nftables.d/fairway.nft").exists():
        apply_firewall(host)
    if (etc / "fairway/gue-open.batch").exists():
        host.run(*unit.command("fairway-gue.service"))


def apply_sysctls(host: Host, file: Path) -> None:
    """sysctl.d(5): `key = value` in either spelling; a key with a leading "-" may fail; globs are not expanded."""
    settings: list[str] = []
    for number, raw in enumerate(file.read_text().splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or "*" in key:
            raise NotApplied(f"{file}:{number}: not understood: {line}")
        # Dots inside an interface's name are written as slashes and the other way round, as sysctl(8) reads it.
        if key.startswith("-"):
            host.run("sysctl", "-qw", f"{key[1:]}={value.strip()}", check=False)
        else:
            settings.append(f"{key}={value.strip()}")
    if settings:
        # All at once: a program takes a tenth of a second here. The error of each is told.
        host.run("sysctl", "-qw", *settings)


def apply_firewall(host: Host) -> None:
    """What fairway-nftables.service does."""
    host.run(*unit.command("fairway-nftables.service"))
