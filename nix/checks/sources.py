"""The text of what is written: Nix, shell and Python files, and Nix in documents."""

import ast
import json
import os
import re
import shutil
from pathlib import Path

from common import Failure, Results, expect, must, run

# Nodes of every VM test; the scripts use them as variables.
NODES = ("lb1", "lb2", "web1", "web2", "client")

# Parsing needs no store, and must not make one.
WITHOUT_STORE = {**os.environ, "NIX_REMOTE": "dummy://"}
RUFF = ("ruff", "check", "--quiet", "--no-cache", "--isolated")


def check(results: Results, root: Path, scratch: Path) -> None:
    files = tracked(root, "*.nix")
    results.run("every .nix file parses", lambda: parse(files))
    results.run("nixfmt", lambda: f"{len(files)} files" if not must(["nixfmt", "--check", *files]) else None)
    results.run("deadnix", lambda: must(["deadnix", "--fail", *files]) and None)
    results.run("the Nix in documents parses", lambda: documents(root, scratch))
    shell = [
        root / "nix/generate.sh",
        root / "nix/install-units.sh",
        root / "nix/setup.sh",
    ]
    results.run("shellcheck", lambda: must(["shellcheck", "-s", "bash", *shell]) and None)
    python = [root / "nix/check", root / "nix/merge-settings.py", *(root / "nix/checks").glob("*.py")]
    results.run("ruff: the scripts of nix/", lambda: must([*RUFF, "--target-version", "py310", *python]) and None)
    results.run("flake.lock holds nixpkgs and nothing else", lambda: lock(root))
    for test in tracked(root, "vm-tests/*.nix"):
        results.run(f"testScript of {test.stem}", lambda test=test: script(root, scratch, test.stem))
    results.run("every script belongs to a test", lambda: scripts(root))


def tracked(root: Path, pattern: str) -> list[Path]:
    """The files a user's flake sees."""
    listed = must(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern])
    found = [root / name for name in listed.split("\0") if name]
    if "/" in pattern:  # git's * crosses directories
        found = [path for path in found if path.parent == (root / pattern).parent]
    return [path for path in found if path.exists()]


def parse(files: list[Path]) -> str:
    expect(files, "there are none")
    must(["nix-instantiate", "--parse", *files], env=WITHOUT_STORE)
    return f"{len(files)} files"


def documents(root: Path, scratch: Path) -> str:
    count = 0
    for document in tracked(root, "*.md"):
        for block in re.findall(r"^```nix\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE):
            file = scratch / "block.nix"
            # What the text around it says is there.
            file.write_text("{ config, deploy-rs, fairway, nixpkgs, self, ... }:\n" + block)
            done = run(["nix-instantiate", "--parse", file], env=WITHOUT_STORE)
            if done.returncode != 0:
                raise Failure(f"{document.relative_to(root)}:\n{block}\n{done.stderr}")
            count += 1
    expect(count, "there is none")
    return f"{count} blocks"


def lock(root: Path) -> None:
    nodes = json.loads((root / "flake.lock").read_text())["nodes"]
    expect(set(nodes) == {"root", "nixpkgs"}, f"it has {', '.join(nodes)}")
    wanted = re.findall(
        r'^  inputs\.(\w+)\.url = "github:(\w+)/(\w+)/([\w.-]+)";$', (root / "flake.nix").read_text(), re.MULTILINE
    )
    original = nodes["nixpkgs"]["original"]
    expect(
        wanted == [("nixpkgs", original["owner"], original["repo"], original["ref"])],
        f"flake.nix has {wanted}, the lock {original}",
    )


def assembled(root: Path, name: str) -> str:
    """A script as the drivers run it: common.py first."""
    directory = root / "vm-tests/scripts"
    return "".join((directory / file).read_text() for file in ("common.py", f"{name}.py"))


def script(root: Path, scratch: Path, name: str) -> None:
    """Lints and type-checks a script against the part of the driver's API that both drivers have."""
    path = root / f"vm-tests/scripts/{name}.py"
    expect(path.exists(), f"{path.relative_to(root)} is missing")
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    expect(docstring, "the script must start with a sentence in quotes that says what must hold")
    shutil.copy(root / "nix/checks/driver.pyi", scratch / "driver.pyi")
    head = "from driver import *  # noqa: F403\nfrom driver import Machine\n"
    names = "from driver import start_all, subtest, retry\n"
    nodes = "".join(f"{node} = Machine()\n" for node in NODES)
    file = scratch / f"{name}.py"
    file.write_text(head.split("\n", 1)[1] + names + nodes + assembled(root, name))
    must([*RUFF, "--select", "F", "--ignore", "F401", file])
    must(["ty", "check", "--output-format", "concise", "--extra-search-path", scratch, file])


def scripts(root: Path) -> str:
    tests = {path.stem for path in tracked(root, "vm-tests/*.nix")}
    files = {path.stem for path in tracked(root, "vm-tests/scripts/*.py")} - {"common"}
    expect(
        tests == files,
        f"tests without script: {tests - files or 'none'}; scripts without test: {files - tests or 'none'}",
    )
    return f"{len(files)} scripts"
