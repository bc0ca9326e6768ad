"""The IPVS crate against ipvsadm: what one writes into the kernel the other reads, case by case."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

TOPOLOGY = None
TIMEOUT = 600  # it loads 11,000 rules, several times


def test(note: Callable[[str], None]) -> None:
    done = subprocess.run(["python3", "/fairway/ipvs/vm_ipvsadm.py"], check=False, text=True, capture_output=True)
    print(done.stdout, done.stderr)
    lines = done.stdout.splitlines()
    passed = [line for line in lines if line.startswith("ok ")]
    failed = [line for line in lines if line.startswith("FAIL ")]
    note(f"{len(passed)} cases hold")
    assert not failed, "; ".join(failed)
    assert done.returncode == 0 and passed, f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
