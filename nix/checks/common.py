"""Counting, and running commands."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path


class Failure(Exception):
    """A check that did not hold; the message is for people."""


class Results:
    """What passed and failed."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = words
        self.passed = 0
        self.failed = 0

    def run(self, name: str, check: Callable[[], str | None]) -> None:
        """Runs a check, which raises Failure or returns a remark, if its name has one of the words asked for."""
        if self.words and not any(word in name for word in self.words):
            return
        try:
            remark = check()
        except Failure as failure:
            self.failed += 1
            print(f"FAIL {name}\n{failure}", flush=True)
            return
        self.passed += 1
        print(f"ok   {name}{f': {remark}' if remark else ''}", flush=True)


def run(command: Sequence[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, at most half an hour: evaluating all images takes long on a busy machine."""
    return subprocess.run(
        [str(word) for word in command], text=True, capture_output=True, timeout=1800, check=False, **options
    )  # type: ignore[call-overload]


def must(command: Sequence[str | Path], **options: object) -> str:
    """What a command prints; a Failure with its messages unless it succeeds."""
    done = run(command, **options)
    if done.returncode != 0:
        shown = " ".join(str(word) for word in command)
        raise Failure(f"{shown}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(truth: object, message: str) -> None:
    """A Failure unless it is true."""
    if not truth:
        raise Failure(message)
