"""The next version of an image, as a signed update: its files under another version, so that it takes seconds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from runner.errors import SetupError

from . import disk, tools
from .cluster import Image

ROOT = """[Partition]
Type=root
Format=erofs
Compression=lz4
CopyFiles=/mnt/tree:/
Minimize=best
Verity=data
VerityMatchKey=root
SplitName=root
"""
HASHES = """[Partition]
Type=root-verity
Verity=hash
VerityMatchKey=root
Minimize=best
SplitName=verity
"""


def version(image: Image) -> str:
    """What an image calls itself."""
    text = image.kernel_image.read_bytes()
    at = text.index(b"\nIMAGE_VERSION=") + len(b"\nIMAGE_VERSION=")
    return text[at : text.index(b"\n", at)].decode().strip('"')


def following(old: str) -> str:
    """Another version of the same length: what is longer would not fit where it is put."""
    return old[:-1] + str((int(old[-1]) + 1) % 10)


def build(image: Image, medium: Path, programs: dict[str, str] | None = None) -> tuple[str, str]:
    """Makes the update a file system, with the key that it is signed with. Returns both versions. `programs`: scripts
    that are in the place of programs, by path."""
    old = version(image)
    new = following(old)
    with tempfile.TemporaryDirectory(prefix="fairway-update-") as name:
        work = Path(name)
        _root(image, work, old, new, programs or {})
        definitions = work / "definitions"
        definitions.mkdir()
        (definitions / "10-root.conf").write_text(ROOT)
        (definitions / "20-hashes.conf").write_text(HASHES)
        parts = json.loads(
            tools.run(
                work, "systemd-repart", "--empty=create", "--size=auto", "--dry-run=no", "--offline=yes", "--split=yes",
                "--json=short", "--no-pager", "--definitions=/mnt/definitions", "/mnt/new.raw",
            )
        )  # fmt: skip
        hashes = {part["roothash"] for part in parts if part.get("roothash")}
        if len(hashes) != 1:
            raise SetupError(f"systemd-repart does not tell the root's hash: {parts}")
        root_hash = hashes.pop()
        update = work / "update"
        update.mkdir()
        (work / "new.root.raw").rename(update / f"fairway_{new}_{root_hash[:32]}.root.raw")
        (work / "new.verity.raw").rename(update / f"fairway_{new}_{root_hash[32:]}.verity.raw")
        (update / f"fairway_{new}.efi").write_bytes(_kernel(image.kernel_image.read_bytes(), old, new, root_hash))
        sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(update.iterdir())]
        (update / "SHA256SUMS").write_text("".join(sums))
        _sign(update)
        size = sum(file.stat().st_size for file in update.iterdir())
        disk.of_directory(medium, "update", update, size * 5 // 4)
    return old, new


def _root(image: Image, work: Path, old: str, new: str, programs: dict[str, str]) -> None:
    """The files of the image, with another version, and with these programs."""
    shutil.copy(image.root, work / "old.raw")
    tools.run(work, "fsck.erofs", "--extract=/mnt/tree", "/mnt/old.raw")
    release = work / "tree/usr/lib/os-release"
    text = release.read_text()
    if f"IMAGE_VERSION={old}" not in text.replace('"', ""):
        raise SetupError(f"the image's os-release does not say that it is {old}")
    release.write_text(text.replace(old, new))
    for path, script in programs.items():
        (work / "tree" / path).write_text(script)


def _kernel(kernel: bytes, old: str, new: str, root_hash: str) -> bytes:
    """The kernel file of the image, for another root."""
    text = kernel.decode("latin-1")
    text, versions = re.subn(rf'(\nIMAGE_VERSION="?){re.escape(old)}', rf"\g<1>{new}", text)
    text, hashes = re.subn(r"\broothash=[0-9a-f]{64}\b", f"roothash={root_hash}", text)
    if not versions or not hashes:
        raise SetupError(f"the image's kernel file names {versions} versions and {hashes} root hashes")
    return text.encode("latin-1")


def _sign(update: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fairway-gpg-") as home:

        def gpg(*arguments: str | Path) -> None:
            done = subprocess.run(
                ["gpg", "--batch", "--quiet", "--passphrase", "", *arguments],
                check=False, text=True, capture_output=True, env={**os.environ, "GNUPGHOME": home},
            )  # fmt: skip
            if done.returncode != 0:
                raise SetupError(f"gpg {' '.join(map(str, arguments))}: {done.stderr.strip()}")

        gpg("--quick-gen-key", "updates@example.org", "ed25519", "sign", "never")
        gpg("--output", update / "key.gpg", "--export", "updates@example.org")
        gpg("--output", update / "SHA256SUMS.gpg", "--detach-sign", update / "SHA256SUMS")
        subprocess.run(["gpgconf", "--kill", "all"], check=False, env={**os.environ, "GNUPGHOME": home})


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
