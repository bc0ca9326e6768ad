"""The builder of a host's files, run as Nix would run it but without Nix, and what comes out compared with fairway-gen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import Failure, Results, expect, must

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Where the module puts what fairway-gen names otherwise.
RENAMED = {"sysctl.d/60-fairway.conf": "sysctl.d/70-fairway.conf"}


class Builder:
    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        self.bin = Path(os.environ.get("FAIRWAY_BIN_DIR", target / "release"))
        self.runs = 0

    # ---- running it

    def generator(self) -> Path:
        path = self.bin / "fairway-gen"
        expect(path.exists(), f"{path} is missing: cargo build --release --bins, or set FAIRWAY_BIN_DIR")
        return path

    def generate(self, topology: Path, host: str, directory: Path) -> dict[str, str]:
        """What fairway-gen writes for a host, by path below /etc."""
        must([self.generator(), "host", topology, host, "--out", directory])
        return files(directory / "etc")

    def build(
        self,
        topology: Path,
        host: str,
        *,
        script: str | None = None,
        check: bool = False,
        settings: dict[str, object] | None = None,
        sysctls: str = "",
        nftables: str = "1",
    ) -> tuple[Path, subprocess.CompletedProcess[str]]:
        """Runs the builder's script; its output directory and how it ended."""
        self.runs += 1
        work = self.scratch / f"build{self.runs}"
        work.mkdir()
        out = work / "out"
        (work / "sysctls").write_text(sysctls)
        if settings is not None:
            (work / "settings").write_text(json.dumps(settings))
        environment = {
            "PATH": os.environ["PATH"],
            "generator": str(self.generator()),
            "director": str(self.bin / "fairway-director") if check else "",
            "topology": str(topology),
            "host": host,
            "settings": str(work / "settings") if settings is not None else "",
            "merge": str(self.root / "nix/merge-settings.py"),
            "sysctls": str(work / "sysctls"),
            "nftables": nftables,
            "out": str(out),
        }
        text = script if script is not None else (self.root / "nix/generate.sh").read_text()
        done = subprocess.run(
            ["bash", "-c", text], cwd=work, env=environment, text=True, capture_output=True, timeout=300, check=False
        )
        return out, done

    # ---- the checks that need no nixpkgs

    def topologies(self) -> list[Path]:
        golden = self.root.glob("gen/tests/golden/*/topology.toml")
        return sorted(
            {*self.root.glob("gen/examples/*.toml"), *golden, *self.root.glob("vm-tests/topologies/guests-*.toml")}
        )

    def hosts(self, topology: Path) -> list[str]:
        return sorted(tomllib.loads(topology.read_text())["hosts"])

    def check(self, results: Results) -> None:
        results.run("the builder keeps what fairway-gen writes", self.keeps)
        results.run("nft accepts the rules beside NixOS' own", self.loads)
        results.run("the director accepts what is built", self.accepted)
        results.run("the package's units", self.units)
        results.run("an image becomes the host it is told to be", self.provisions)
        results.run("settings are put over director.toml", self.merges)
        for name, (expected, options) in REFUSED.items():
            results.run(f"refused at build: {name}", lambda e=expected, o=options: self.refuses(e, **o))

    def each(self) -> list[tuple[Path, str]]:
        return [(topology, host) for topology in self.topologies() for host in self.hosts(topology)]

    def built(self, topology: Path, host: str, **options: object) -> Path:
        out, done = self.build(topology, host, **options)  # type: ignore[arg-type]
        if done.returncode != 0:
            raise Failure(f"{topology.relative_to(self.root)}, host {host}:\n{done.stderr}")
        return out

    def keeps(self) -> str:
        """All files are there byte for byte; nothing is added but remarks in empty directories."""
        for topology, host in self.each():
            out = self.built(topology, host)
            wanted = self.generate(topology, host, out.parent / "plain")
            have = {path: text for path, text in files(out / "etc").items() if not path.endswith("/README.fairway")}
            compare(have, wanted, f"{topology.relative_to(self.root)}, host {host}")
        return f"{len(self.each())} hosts of {len(self.topologies())} topologies"

    def loads(self) -> str:
        for topology, host in self.each():
            out = self.built(topology, host)
            check_rules(ruleset(out, f'include "{out}/etc/nftables.d/fairway.inner.nft"', NIXOS_FIREWALL), out.parent)
            # Each rule that lets something in here lets it in there.
            inner = (out / "etc/nftables.d/fairway.inner.nft").read_text()
            chain = inner.partition("chain input {\n")[2].partition("\n}\n")[0]
            accepting = [line for line in chain.splitlines() if line.endswith(" accept") and "#" not in line]
            have = (out / "nixos-fw/input.nft").read_text().splitlines()
            expect(have == accepting, f"{topology}, {host}: {have} instead of {accepting}")
        return f"{len(self.each())} rulesets"

    def accepted(self) -> str:
        for name in ("direct", "nat"):
            for host in ("lb1", "lb2", "web1"):
                self.built(self.root / f"gen/examples/{name}.toml", host, check=True)
        return "direct and nat"

    def units(self) -> str:
        """Nothing changes but the programs' paths."""
        out = self.scratch / "units"
        both = '. "$0"; install_units "$1" "$2"; install_appliance_units "$1" "$2"'
        must(["bash", "-euc", both, self.root / "nix/install-units.sh", self.root, out])
        have = files(out / "lib/systemd/system")
        source = self.root / "director/daemon/systemd"
        names = ["fairway-director.service", "fairway-release.service", "fairway-metrics.socket", "fairway-metrics@.service"]
        wanted = {name: (source / name).read_text() for name in names}
        wanted |= {unit.name: unit.read_text() for unit in (self.root / "images/provision/systemd").iterdir()}
        compare({name: text.replace(f"{out}/bin/", "/usr/bin/") for name, text in have.items()}, wanted, "units")
        for name, text in have.items():
            if name.endswith(".service"):
                expect(f"{out}/bin/fairway" in text, f"{name} does not start the package's program")
        policy = "org.fairway.Director1.conf"
        compare(files(out / "share/dbus-1/system.d"), {policy: (source / policy).read_text()}, "bus policy")
        return ", ".join(wanted)

    def provision(self, name: str, *, credentials: dict[str, str], medium: dict[str, str]) -> tuple[Path, str]:
        """Runs the images' program on a root of its own; its /run, and its messages when it fails."""
        work = self.scratch / f"provision-{name}"
        for directory, given in (("credentials", credentials), ("medium", medium)):
            (work / directory).mkdir(parents=True)
            for path, text in given.items():
                (work / directory / path).parent.mkdir(parents=True, exist_ok=True)
                (work / directory / path).write_text(text)
        program = self.bin / "fairway-provision"
        expect(program.exists(), f"{program} is missing: cargo build --release --bins, or set FAIRWAY_BIN_DIR")
        done = subprocess.run(
            [program, "boot", "--root", work, "--medium", work / "medium"],
            env={"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(work / "credentials")},
            text=True, capture_output=True, timeout=300, check=False,
        )  # fmt: skip
        return work / "run", "" if done.returncode == 0 else done.stderr or "no message"

    def provisions(self) -> str:
        topology = self.root / "gen/examples/direct.toml"
        text = topology.read_text()
        given = {
            "director by credentials": (
                "lb1",
                {"fairway.topology": text, "fairway.host": "lb1", "fairway.secret.edge": "x"},
                {},
            ),
            "real server by medium": ("web1", {}, {"topology.toml": text, "host": "web1\n", "secrets/edge": "x"}),
            "credentials before the medium": (
                "web2",
                {"fairway.host": "web2"},
                {"topology.toml": text, "host": "web1"},
            ),
        }
        for name, (host, credentials, medium) in given.items():
            run, message = self.provision(name.replace(" ", "-"), credentials=credentials, medium=medium)
            expect(not message, f"{name}: {message}")
            wanted = self.generate(topology, host, run / "plain")
            compare(files(run / "fairway/files/etc"), wanted, name)
            for place in ("modules-load.d", "sysctl.d", "systemd/network", "systemd/networkd.conf.d"):
                below = {path[len(place) + 1 :]: text for path, text in wanted.items() if path.startswith(f"{place}/")}
                have = files(run / place) if (run / place).exists() else {}
                compare(have, below, f"{name}: /run/{place}")
            if "secret" in str(credentials) + str(medium):
                expect((run / "fairway/secrets/edge").read_text() == "x", f"{name}: no secret")
        for name, (words, credentials) in {
            "nothing": ("there is no topology", {}),
            "stranger": ("the topology has no such host", {"fairway.topology": text, "fairway.host": "lb9"}),
        }.items():
            _, message = self.provision(name, credentials=credentials, medium={})
            expect(words in message, f"{name}: {message!r}")
        return ", ".join(given)

    def merges(self) -> None:
        settings = {
            "service": {"web": {"scheduler": "wrr"}},
            "checks": {"alive": {"fall": 5, "http": {"status": [200, 204]}}},
        }
        out = self.built(self.root / "gen/examples/direct.toml", "lb1", settings=settings, check=True)
        merged = tomllib.loads((out / "etc/fairway/director.toml").read_text())
        plain = tomllib.loads(
            self.generate(self.root / "gen/examples/direct.toml", "lb1", out.parent / "plain")["fairway/director.toml"]
        )
        plain["service"][0]["scheduler"] = "wrr"
        plain["checks"]["alive"]["fall"] = 5
        plain["checks"]["alive"]["http"]["status"] = [200, 204]
        expect(merged == plain, f"{merged}\ninstead of\n{plain}")

    def refuses(self, expected: list[str], host: str = "lb1", text: str | None = None, **options: object) -> None:
        topology = self.root / "gen/examples/direct.toml"
        if text is not None:
            topology = self.scratch / "refused.toml"
            topology.write_text((self.root / "gen/examples/direct.toml").read_text() + text)
        _, done = self.build(topology, host, check=True, **options)  # type: ignore[arg-type]
        expect(done.returncode != 0, "it was built")
        for words in expected:
            expect(words in done.stderr, f"the message lacks {words!r}:\n{done.stderr}")


# By name: words of the message, and what is wrong.
REFUSED: dict[str, tuple[list[str], dict[str, object]]] = {
    "a topology with a mistake": (["unknown-key", "colour"], {"text": '\n[firewall]\ncolour = "red"\n'}),
    "a virtual IP outside the networks": (
        ["nowhere"],
        {"text": '\n[failover.other]\nvirtual-ips = ["nowhere"]\ndirectors = ["lb1", "lb2"]\n'},
    ),
    "a host that is not there": (['no host "lb9"', "lb1, lb2, web1, web2"], {"host": "lb9"}),
    "sysctls that clash": (
        ["net.ipv4.ip_forward: boot.kernel.sysctl has 1, the topology needs 0", "lib.mkForce null"],
        {"sysctls": "net.ipv4.ip_forward = 1\nvm.swappiness = 10\n"},
    ),
    "sysctls that clash, written with slashes": (
        ["net.ipv4.conf.eth0.send_redirects"],
        {"sysctls": "net/ipv4/conf/eth0/send_redirects = 1\n"},
    ),
    "rules without nftables": (["networking.nftables.enable is false; set it to true"], {"nftables": ""}),
    "settings the director does not know": (
        ["colour", "the director refuses the configuration of lb1"],
        {"settings": {"colour": "red"}},
    ),
    "settings of a service that is not there": (
        ["service has no shop; there is web"],
        {"settings": {"service": {"shop": {}}}},
    ),
    "settings on a real server": (["web1 is not a director"], {"host": "web1", "settings": {"service": {}}}),
}

# The parts of NixOS' own table that ours are put before.
NIXOS_FIREWALL = """
include "@files@/nixos-fw/sets.nft"
chain input {
  type filter hook input priority filter; policy drop;
  include "@files@/nixos-fw/input.nft"
}
chain forward {
  type filter hook forward priority filter; policy drop;
  include "@files@/nixos-fw/forward.nft"
}
chain input {
  type filter hook input priority filter; policy drop;
  ct state vmap { invalid : drop, established : accept, related : accept, new : jump input-allow, untracked: jump input-allow }
}
chain input-allow {
  tcp dport { 22 } accept
}
"""


def ruleset(files_of_host: Path, fairway: str, nixos: str) -> str:
    """A ruleset as networking.nftables writes it."""
    tables = {"fairway": fairway, "nixos-fw": nixos}
    text = "".join(f"table inet {name}\ndelete table inet {name}\n" for name in tables)
    text += "".join(f"table inet {name} {{\n{content}\n}}\n" for name, content in tables.items() if content)
    return text.replace("@files@", str(files_of_host))


def check_rules(text: str, scratch: Path) -> None:
    """nft accepts the ruleset, in a network namespace of its own."""
    file = scratch / "ruleset.nft"
    file.write_text(text)
    namespace = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    must([*namespace, shutil.which("nft") or "/usr/sbin/nft", "-c", "-f", file])


def files(directory: Path) -> dict[str, str]:
    """Files below a directory, links to files included."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_text() for path in found}


def compare(have: dict[str, str], wanted: dict[str, str], where: str) -> None:
    for path in sorted({*have, *wanted}):
        if path not in have:
            raise Failure(f"{where}: {path} is missing")
        if path not in wanted:
            raise Failure(f"{where}: {path} is not to be there")
        expect(have[path] == wanted[path], f"{where}: {path} differs:\n{have[path]}\ninstead of\n{wanted[path]}")
