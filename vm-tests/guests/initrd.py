"""A small initramfs that mounts the appliance's root partition: firmware, boot loader and the image's own initrd take a
minute of emulated time, this one a second. It also carries what only tests need, to /run/guest."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from pathlib import Path

from runner.cpio import Archive
from runner.errors import SetupError

# Loaded in the order of what depends on what. The first is asked for by name, which modules.dep does not tell.
WANTED = ("crc32c_generic", "virtio_blk", "erofs", "overlay")

INIT = """#!/bin/busybox sh
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
for module in {modules}; do busybox insmod /modules/$module || echo "initramfs: $module cannot be loaded"; done
busybox mount -t tmpfs -o mode=0755 run /run
busybox cp -a /guest /run/
busybox mkdir -p /run/overlay /root
busybox mount -t tmpfs -o mode=0755 overlay /run/overlay
busybox mkdir /run/overlay/lower /run/overlay/upper /run/overlay/work
tries=0
until busybox mount -t erofs -o ro /dev/vda /run/overlay/lower; do
    tries=$((tries + 1))
    [ $tries -lt 20 ] || busybox poweroff -f
    busybox sleep 0.5
done
busybox mount -t overlay -o lowerdir=/run/overlay/lower,upperdir=/run/overlay/upper,workdir=/run/overlay/work root /root
busybox mount --move /run /root/run
for place in dev proc sys; do busybox mount --move /$place /root/$place; done
exec busybox switch_root /root /usr/lib/systemd/systemd
"""


def build(modules: Path, out: Path, files: dict[str, str]) -> None:
    """Writes it. `modules` is the image's tar of kernel modules, `files` are texts below /run/guest."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SetupError("this machine lacks packages: apt-get install busybox-static")
    with out.open("wb") as stream:
        archive = Archive(stream)
        for directory in ("dev", "proc", "sys", "run", "root", "guest"):
            archive.directory(directory)
        archive.character_device("dev/console", 5, 1)
        archive.file("bin/busybox", busybox)
        archive.link("bin/sh", "busybox")
        archive.file("guest/busybox", busybox)
        for path, text in files.items():
            archive.data(f"guest/{path}", text)
        names = _modules(modules, archive)
        archive.data("init", INIT.format(modules=" ".join(names)), 0o755)
        archive.close()


def _modules(tar: Path, archive: Archive) -> list[str]:
    """Unpacks the modules that are wanted and what they need, and returns them in the order of loading."""
    needs: dict[str, list[str]] = {}
    content: dict[str, bytes] = {}
    with tarfile.open(tar) as members:
        for member in members:
            file = members.extractfile(member)
            if file is None:
                continue
            if member.name.endswith("/modules.dep"):
                for line in file.read().decode().splitlines():
                    path, _, dependencies = line.partition(":")
                    needs[_name(path)] = [_name(other) for other in dependencies.split()]
            else:
                data = file.read()
                content[_name(member.name)] = lzma.decompress(data) if member.name.endswith(".xz") else data
    order: list[str] = []
    for name in WANTED:
        # modules.dep lists the deepest dependency last. What is not there is part of the kernel.
        for module in (*reversed(needs.get(name, [])), name):
            if module in content and module not in order:
                order.append(module)
                archive.data(f"modules/{module}", content[module])
    return order


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")
