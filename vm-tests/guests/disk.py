"""Disks for guests, made without privileges: a partition for /var, a labelled file system."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import uuid
import zlib
from pathlib import Path

from . import tools

SECTOR = 512
# Where the first partition begins, and how much the copy of the table takes at the end.
FIRST, LAST = 2048, 34
VAR_SIZE = 96 << 20
MEDIUM_SIZE = 8 << 20
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")


def var(path: Path, full: bool = False) -> None:
    """A disk whose only partition is what the appliance mounts at /var; `full`: somebody has filled it to the last block."""
    sectors = VAR_SIZE // SECTOR
    with path.open("wb") as file:
        file.truncate(VAR_SIZE)
        entry = LINUX.bytes_le + uuid.uuid4().bytes_le + struct.pack("<QQQ", FIRST, sectors - LAST - 1, 0)
        entry += "fairway-var".encode("utf-16-le").ljust(72, b"\0")
        entries = entry.ljust(128 * 128, b"\0")
        # A protective MBR, without which no GPT is believed; the table, and its copy.
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1))
        file.seek(510)
        file.write(b"\x55\xaa")
        identity = uuid.uuid4().bytes_le
        for own, other, at in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - LAST + 1)):
            file.seek(at * SECTOR)
            file.write(entries)
            file.seek(own * SECTOR)
            file.write(_header(own, other, at, sectors, identity, zlib.crc32(entries)))
    size = (sectors - LAST - FIRST) * SECTOR // 1024
    offset = f"offset={FIRST * SECTOR}"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", offset, path, f"{size}k"], check=True)
    if full:
        _fill(f"{path}?{offset}", size)


def _fill(file_system: str, size: int) -> None:
    with tempfile.NamedTemporaryFile(prefix="fairway-filler-") as filler:
        # No zeros, which would become holes. It says that there is no block left, and ends well.
        filler.write(b"\xff" * (size * 1024))
        filler.flush()
        write = ["debugfs", "-w", "-R", f"write {filler.name} filler", file_system]
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _header(own: int, other: int, at: int, sectors: int, identity: bytes, entries: int) -> bytes:
    def packed(crc: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, own, other, FIRST, sectors - LAST, identity, at, 128, 128, entries
        )

    return packed(zlib.crc32(packed(0)))


def labelled(path: Path, label: str, files: dict[str, str], size: int = MEDIUM_SIZE) -> None:
    """A disk that is one file system with these files."""
    with tempfile.TemporaryDirectory(prefix="fairway-medium-") as directory:
        for name, text in files.items():
            (Path(directory) / name).write_text(text)
        of_directory(path, label, Path(directory), size)


def stick(path: Path, label: str, files: dict[str, str]) -> None:
    """The same as sticks come: vfat."""
    with tempfile.TemporaryDirectory(prefix="fairway-medium-") as name:
        work = Path(name)
        for file, text in files.items():
            (work / file).write_text(text)
        tools.run(work, "mkfs.vfat", "-C", "-n", label, "/mnt/image", str(MEDIUM_SIZE // 1024))
        tools.run(work, "mcopy", "-i", "/mnt/image", *(f"/mnt/{file}" for file in files), "::")
        shutil.move(work / "image", path)


def of_directory(path: Path, label: str, directory: Path, size: int) -> None:
    """The same with what is in a directory."""
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, "-d", directory, path], check=True)
