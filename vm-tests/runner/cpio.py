"""Writes "newc" cpio archives, the format of an initramfs, without needing root or the cpio tool.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO


class Archive:
    """An archive being written. Directories above an entry are created on demand; a path is written once."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._next_inode = 1
        self._written: set[str] = set()

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        encoded = name.encode() + b"\0"
        fields = (self._next_inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._next_inode += 1
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._out.write(_padded(header + encoded))
        self._out.write(_padded(data))

    def has(self, path: str) -> bool:
        """Whether this path (relative to the root, no leading slash) was written already."""
        return path in self._written

    def directory(self, path: str, mode: int = 0o755) -> None:
        path = path.strip("/")
        if not path or path in self._written:
            return
        self.directory(os.path.dirname(path))
        self._written.add(path)
        self._entry(path, stat.S_IFDIR | mode)

    def data(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        path = path.strip("/")
        if path in self._written:
            return
        self.directory(os.path.dirname(path))
        self._written.add(path)
        self._entry(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def file(self, path: str, source: Path | str) -> None:
        """A copy of a file of this machine, symbolic links followed, with its permission bits."""
        source = Path(source)
        self.data(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode) & 0o755)

    def link(self, path: str, target: str) -> None:
        path = path.strip("/")
        if path in self._written:
            return
        self.directory(os.path.dirname(path))
        self._written.add(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        path = path.strip("/")
        self.directory(os.path.dirname(path))
        self._written.add(path)
        self._entry(path, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, path: str, source: Path, skip: frozenset[str] = frozenset({"__pycache__", ".cache"})) -> None:
        """Every file below a directory of this machine."""
        for entry in sorted(source.iterdir()):
            if entry.name in skip:
                continue
            if entry.is_dir():
                self.tree(f"{path}/{entry.name}", entry, skip)
            elif entry.is_file():
                self.file(f"{path}/{entry.name}", entry)

    def close(self) -> None:
        """Writes the end mark; another archive may follow it in the same initramfs."""
        self._entry("TRAILER!!!", 0)
        self._out.write(b"\0" * (-self._out.tell() % 512))


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
