"""Stopping both directors removes every VIP and every service of theirs from the kernel."""

from __future__ import annotations

from lab import Lab


def test(lab: Lab) -> None:
    for name in ("lb2", "lb1"):
        took = lab.directors[name].stop()
        lab.note(f"{name} stopped in {took:.1f} s")
    lab.stop_leaves_nothing()
    result = lab.get(5)
    assert len(result.failed) == 5, f"somebody still answers: {result}"
