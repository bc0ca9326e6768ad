"""Evaluates everything against a nixpkgs. Nothing is built; the hosts' builder is run as Nix would run it."""

import json
import os
from pathlib import Path
from typing import Any

import sources
from builder import RENAMED, Builder, check_rules, compare, files, ruleset
from common import Failure, Results, expect, must, run


class Nix:
    def __init__(self, root: Path, nixpkgs: str) -> None:
        self.root = root
        self.command = [
            os.environ.get("FAIRWAY_NIX", "nix-instantiate"),
            "--eval", "--strict", "--json", "--read-write-mode", "--option", "allow-import-from-derivation", "false",
            "-I", f"nixpkgs={nixpkgs}",
        ]  # fmt: skip

    def expression(self, text: str) -> list[str]:
        return [*self.command, "-E", f"with import {self.root}/nix/check.nix; {text}"]

    def evaluate(self, text: str) -> Any:
        return json.loads(must(self.expression(text)))

    def refusal(self, text: str) -> str:
        done = run(self.expression(text))
        expect(done.returncode != 0, f"it evaluates to {done.stdout}")
        return done.stderr


def check(results: Results, root: Path, scratch: Path, nixpkgs: str, builder: Builder, bless: bool) -> None:
    # What git tracks, as users' flakes see it.
    export = scratch / "export"
    export.mkdir()
    tree = must(["git", "-C", root, "stash", "create"]).strip() or "HEAD"
    must(["bash", "-euc", 'git -C "$0" archive "$1" | tar -x -C "$2"', root, tree, export])
    nix = Nix(export, nixpkgs)

    for topology in builder.topologies():
        name = str(topology.relative_to(root))
        results.run(f"hosts of {name}", lambda name=name: hosts(nix, builder, export / name))
    results.run("filtered forwarding", lambda: filtered(nix, builder, export))
    results.run("metrics", lambda: metrics(nix, export))
    for name, case in sorted(nix.evaluate("bad").items()):
        results.run(f"refused at evaluation: {name}", lambda case=case: refused(case))
    results.run("importing from a derivation is refused", lambda: imports(nix))
    results.run("the option reference is current", lambda: document(nix, root, bless))
    for name in ("toplevels", "template", "packages", "images"):
        results.run(name, lambda name=name: derivations(nix.evaluate(name)))
    results.run("shell", lambda: derivations({"shell": nix.evaluate("shell")}))
    for name in nix.evaluate("builtins.attrNames tests"):
        results.run(f"VM test {name}", lambda name=name: test(nix, root, name))


def hosts(nix: Nix, builder: Builder, topology: Path) -> str:
    evaluated = nix.evaluate(f"hosts {{ topology = {topology}; }}")
    for name, host in evaluated.items():
        replay(builder, topology, name, host)
    return ", ".join(evaluated)


def replay(builder: Builder, topology: Path, name: str, host: dict[str, Any]) -> None:
    """Runs the builder with what was evaluated, links /etc as NixOS does, and compares with fairway-gen."""
    expect(not host["refused"], f"{name} is refused: {host['refused']}")
    expect(not host["warnings"], f"{name} is warned: {host['warnings']}")
    given = host["builder"]
    expect(given["topology"] == topology.read_text(), f"{name}: the builder gets another topology")
    expect(given["host"] == name, f"{name}: the builder makes the files of {given['host']}")
    out, done = builder.build(
        topology, name, script=given["script"], sysctls=given["sysctls"], nftables=given["nftables"]
    )
    if done.returncode != 0:
        raise Failure(f"{name}: the builder fails:\n{done.stderr}")
    etc = out.parent / "etc"
    for entry in host["etc"]:
        link(etc, entry["target"], entry["source"].replace("@files@", str(out)))
    have = {path: text for path, text in files(etc).items() if not path.endswith("/README.fairway")}
    wanted = builder.generate(topology, name, out.parent / "plain")
    # The body of the table is included, and NixOS writes the rest.
    inner = wanted.pop("nftables.d/fairway.inner.nft")
    del wanted["nftables.d/fairway.nft"]
    compare(have, {RENAMED.get(path, path): text for path, text in wanted.items()}, f"{topology.name}, host {name}")
    expect(
        host["tables"]["fairway"].strip() == 'include "@files@/etc/nftables.d/fairway.inner.nft"',
        f"{name}: {host['tables']}",
    )
    expect((out / "etc/nftables.d/fairway.inner.nft").read_text() == inner, f"{name}: the table's body differs")
    expect(not host["flushRuleset"], f"{name}: a reload of nftables would flush the tables of others")
    check_rules(ruleset(out, host["tables"]["fairway"], host["tables"]["nixos-fw"]), out.parent)
    triggers(name, host)


def link(etc: Path, target: str, source: str) -> None:
    """What NixOS' builder of /etc does."""
    if source.endswith("/*"):
        (etc / target).mkdir(parents=True, exist_ok=True)
        found = sorted(Path(source[:-2]).iterdir())
        expect(found, f"nothing matches {source}: the link would dangle")
        for path in found:
            (etc / target / path.name).symlink_to(path)
    else:
        (etc / target).parent.mkdir(parents=True, exist_ok=True)
        (etc / target).symlink_to(source)


def triggers(name: str, host: dict[str, Any]) -> None:
    """A change of the files reaches the units that read them."""
    wanted = {"systemd-sysctl.service": "X-Restart-Triggers=", "systemd-networkd.service": "X-Reload-Triggers="}
    if host["director"]:
        wanted["fairway-director.service"] = "X-Reload-Triggers="
    for unit, key in wanted.items():
        expect(key in host["units"][unit], f"{name}: {unit} has no {key}:\n{host['units'][unit]}")
    director = host["units"]["fairway-director.service"]
    expect(bool(director) == host["director"], f"{name}: the director's unit: {director!r}")
    expect("ExecStart=" not in director, f"{name}: the unit is not the package's own:\n{director}")


def filtered(nix: Nix, builder: Builder, export: Path) -> None:
    topology = export / "gen/examples/nat.toml"
    host = nix.evaluate(f'filtered {{ topology = {topology}; name = "lb1"; }}')
    expect("nixos-fw/forward.nft" in host["tables"]["nixos-fw"], host["tables"]["nixos-fw"])
    replay(builder, topology, "lb1", host)


def metrics(nix: Nix, export: Path) -> None:
    found = nix.evaluate(f'metrics {{ topology = {export}/gen/examples/direct.toml; name = "lb1"; }}')
    expect(not found["refused"], f"refused: {found['refused']}")
    listens = [line for line in found["socket"].splitlines() if line.startswith("ListenStream=")]
    # The first takes back the package's own.
    expect(listens == ["ListenStream=", "ListenStream=[::]:9798"], f"the socket: {found['socket']}")
    expect(found["wantedBy"] == ["sockets.target"], f"nothing starts the socket: {found['wantedBy']}")
    expect(9798 in found["ports"], f"the firewall lets in {found['ports']}")


def refused(case: dict[str, Any]) -> None:
    for words in case["expected"]:
        expect(any(words in message for message in case["refused"]), f"no message has {words!r}: {case['refused']}")


def imports(nix: Nix) -> None:
    words = "import-from-derivation"
    message = nix.refusal("importFromDerivation")
    expect(words in message or "cannot build" in message, message)


def document(nix: Nix, root: Path, bless: bool) -> None:
    path = root / "docs/reference/nixos-options.md"
    text = nix.evaluate("optionsDocument")
    if bless:
        path.write_text(text)
    expect(
        path.read_text() == text,
        f"{path.relative_to(root)} is not what nix/modules/options.nix says: nix/check --bless",
    )


def derivations(found: dict[str, str]) -> str:
    expect(found, "there are none")
    for name, path in found.items():
        expect(path.startswith("/nix/store/") and path.endswith(".drv"), f"{name}: {path}")
    return ", ".join(found)


def test(nix: Nix, root: Path, name: str) -> str:
    found = nix.evaluate(f"tests.{name}")
    expect(not found["refused"], f"a node is refused or warned: {found['refused']}")
    expect(found["script"] == sources.assembled(root, name), "the script is not that of vm-tests/scripts")
    expect(
        set(found["nodes"]) <= set(sources.NODES),
        f"it has the nodes {found['nodes']}, scripts are checked for {sources.NODES}",
    )
    derivations({name: found["driver"]})
    return ", ".join(found["nodes"])
