"""The tools that made the image: a root directory of their own, with programs that this machine need not have."""

from __future__ import annotations

import subprocess
from pathlib import Path

from runner.errors import SetupError

TOOLS = Path(__file__).resolve().parents[2] / "images/.cache/tools"
INSIDE = 'mount --bind "$1" "$0/mnt" && mount -t proc proc "$0/proc" && exec chroot "$0" "${@:2}"'


def run(work: Path, *command: str) -> str:
    """Runs a program of theirs with `work` as its /mnt, and returns what it says."""
    if not (TOOLS / "mnt").is_dir():
        raise SetupError(f"{TOOLS} is missing: run images/build")
    argv = ["unshare", "--mount", "bash", "-c", INSIDE, str(TOOLS), str(work), *command]
    done = subprocess.run(argv, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise SetupError(f"{command[0]}: {done.stderr.strip()[-1000:]}")
    return done.stdout
