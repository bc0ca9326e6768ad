"""Two versions of the image, the second as a signed update to the first."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from runner.errors import SetupError

BUILD = Path(__file__).resolve().parents[2] / "images/build"
OLD, NEW = "0.0.1", "0.0.2"


def build(options: list[str], into: Path) -> tuple[Path, dict[str, str]]:
    """Builds both below a directory. Returns the directory of the older one, in which `update.tar` is the newer one's
    files with the signature, and what the script is told of the versions."""
    old, new = into / "old", into / "new"
    with tempfile.TemporaryDirectory(prefix="fairway-gpg-") as home:
        environment = {**os.environ, "GNUPGHOME": home}
        key = Path(home) / "key.gpg"

        def gpg(*arguments: str | Path) -> None:
            done = subprocess.run(
                ["gpg", "--batch", "--quiet", "--passphrase", "", *arguments],
                check=False, text=True, capture_output=True, env=environment,
            )  # fmt: skip
            if done.returncode != 0:
                raise SetupError(f"gpg {' '.join(map(str, arguments))}: {done.stderr.strip()}")

        gpg("--quick-gen-key", "updates@example.org", "ed25519", "sign", "never")
        gpg("--output", key, "--export", "updates@example.org")
        for version, out in ((NEW, new), (OLD, old)):
            command = [BUILD, *options, "--version", version, "--update-key", key, "--out", out]
            subprocess.run(command, check=True)
        update = new / "update-vm"
        gpg("--output", update / "SHA256SUMS.gpg", "--detach-sign", update / "SHA256SUMS")
    with tarfile.open(old / "update.tar", "w") as archive:
        for file in sorted(update.iterdir()):
            archive.add(file, file.name)
    return old, {"OLD": OLD, "NEW": NEW}
