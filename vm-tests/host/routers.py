"""VRRP routers under test: our director and the machine's keepalived, started from one description."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lan import Host, now, run

CHECKOUT = Path(__file__).resolve().parents[2]


def binary(name: str) -> str:
    """Our binary, of the profile in FAIRWAY_PROFILE; building it is the caller's business."""
    profile = os.environ.get("FAIRWAY_PROFILE", "release")
    path = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")) / profile / name
    if not path.exists():
        raise SystemExit(f"{path} is missing: cargo build --profile {profile} --workspace")
    return str(path)


@dataclass(frozen=True)
class Router:
    """One virtual router as both implementations understand it."""

    vips: tuple[str, ...]
    priority: int = 100
    interval: float = 1.0
    version: int = 3
    vrid: int = 51
    checksum: str = "rfc5798"  # what keepalived sends and demands
    password: str | None = None
    auth: str = "pass"  # or "ah"
    preempt: bool = True
    delay: str | None = None  # of our preemption
    unicast: bool = False  # between the hosts a and b
    virtual_mac: bool = False
    from_base: bool = False  # with a virtual MAC: adverts leave from eth0
    second: str | None = None  # a VIP on eth1 that moves with the others; its VRID is the next one
    owner: bool = False  # our host owns the addresses
    extra: str = ""  # more of our topology

    def but(self, **changes) -> Router:
        return replace(self, **changes)

    @property
    def mac(self) -> str:
        """The virtual MAC."""
        return f"00:00:5e:00:0{2 if ':' in self.vips[0] else 1}:{self.vrid:02x}"

    @property
    def skew(self) -> float:
        return (256 - self.priority) / 256 * (self.interval if self.version == 3 else 1)

    @property
    def master_down(self) -> float:
        return 3 * self.interval + self.skew


@dataclass
class Daemon:
    """A started router."""

    host: Host
    directory: Path
    process: subprocess.Popen[str]
    argv: list[str] = field(default_factory=list)

    def pids(self) -> list[int]:
        out, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            out.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    queue += [int(p) for p in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
            except OSError:
                pass
        return out

    def kill(self) -> float:
        """SIGKILL without a goodbye, whole tree frozen first so that no parent reacts to a child's end."""
        pids, t = self.pids(), now()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        self.process.wait()
        return t

    def lose(self, router: Router) -> None:
        """The host loses its power: nothing runs there, and nothing of the router is left."""
        self.kill()
        _clean(self.host, router)

    def signal(self, number: int) -> float:
        t = now()
        self.process.send_signal(number)
        return t

    def stop(self, seconds: float = 20) -> float:
        """SIGTERM; returns the moment of the signal once the process is gone."""
        t = self.signal(signal.SIGTERM)
        self.process.wait(seconds)
        return t

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def log(self) -> str:
        return (self.directory / "log").read_text()


def launch(host: Host, directory: Path, argv: list[str], env: dict[str, str] | None = None) -> Daemon:
    log = open(directory / "log", "a")
    # `ip netns exec` execs the program, so the process is the program
    process = host.spawn(*argv, stdout=log, stderr=log, env={**os.environ, **(env or {})})
    return Daemon(host, directory, process, argv)


def _clean(host: Host, router: Router) -> None:
    """What a killed predecessor left."""
    for vip in (*router.vips, *filter(None, [router.second])):
        prefix = 128 if ":" in vip else 32
        for device in ("eth1" if vip == router.second else "eth0", "lo"):
            run(["ip", "-n", host.space, "addr", "del", f"{vip}/{prefix}", "dev", device], check=False)


def fairway(host: Host, router: Router, scratch: Path, bus: str | None = None, keep: bool = False, *arguments: str,
            within: Sequence[str] = (), also: dict[str, str] | None = None) -> Daemon:
    """Our director: description -> topology -> fairway-gen -> director; `within` a command that becomes it, and with more
    in its environment."""
    directory = scratch / f"fairway-{host.name}"
    if not keep:
        _clean(host, router)
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    write_fairway(directory, host, router)
    # a private, absent bus: no test may touch the machine's own
    env = {"DBUS_SYSTEM_BUS_ADDRESS": bus or f"unix:path={directory}/no-bus", **(also or {})}
    argv = [*within, binary("fairway-director"), "run", "--config", str(directory / "director.toml"), *arguments]
    return launch(host, directory, argv, env)


def write_fairway(directory: Path, host: Host, router: Router) -> None:
    """(Re)writes the configuration our director in `directory` reads."""
    (directory / "topology.toml").write_text(topology(host, router, directory))
    out = directory / "tree"
    run([binary("fairway-gen"), "director", str(directory / "topology.toml"), "--host", host.name, "--out", str(out)])
    text = (out / "etc/fairway/director.toml").read_text()
    if router.virtual_mac:
        mac = f'virtual-mac = {{ interface = "vmac{router.vrid}", transmit-from-base = {str(router.from_base).lower()} }}'
        text = text.replace("[[failover.instance]]\n", f"[[failover.instance]]\n{mac}\n")
    (directory / "director.toml").write_text(text)


ADDRESSES = {False: {"a": "10.9.0.1", "b": "10.9.0.2", "c": "10.9.0.3"}, True: {"a": "fd00:9::1", "b": "fd00:9::2", "c": "fd00:9::3"}}
SECOND = {"a": "10.8.0.1", "b": "10.8.0.2"}


def peers(host: Host, router: Router) -> dict[str, str]:
    """The addresses of both routers, this one's first."""
    known = ADDRESSES[":" in router.vips[0]]
    return {name: known[name] for name in (host.name, *"ab")}


def topology(host: Host, router: Router, directory: Path) -> str:
    v6 = ":" in router.vips[0]
    hosts = peers(host, router) if router.unicast else {host.name: ADDRESSES[v6][host.name]}
    others = [name for name in hosts if name != host.name]
    own = ", ".join(f'"{address}"' for address in router.vips) if router.owner else ""
    vips, vrid = list(router.vips), str(router.vrid)
    second = []
    if router.second:
        vips.append(router.second)
        vrid = f"{{ lan = {router.vrid}, other = {router.vrid + 1} }}"
        second = ['networks.other.subnets = ["10.8.0.0/24"]',
                  f'hosts.{host.name}.interfaces.eth1 = {{ network = "other", addresses = ["{SECOND[host.name]}"], manage = false }}']
    lines = [
        "version = 1", 'cluster.name = "interop"', *second, f'networks.lan.subnets = ["{"fd00:9::/64" if v6 else "10.9.0.0/24"}"]',
        *(f'hosts.{name}.interfaces.eth0 = {{ network = "lan", addresses = ["{address}"{", " + own if own and name == host.name else ""}], manage = false }}'
          for name, address in hosts.items()),
        "[virtual-ips]", *(f'v{n} = "{vip}"' for n, vip in enumerate(vips)),
        "[failover.edge]", f"virtual-ips = [{', '.join(repr(f'v{n}') for n in range(len(vips)))}]",
        "directors = { " + ", ".join(f"{name} = {number}" for name, number in
                                    {host.name: router.priority, **{o: 1 for o in others}}.items()) + " }",
        f"vrid = {vrid}", f"version = {router.version}",
        f'advert-interval = "{round(router.interval * 1000)}ms"',
        f'preempt = {{ after = "{router.delay}" }}' if router.delay else f"preempt = {str(router.preempt).lower()}",
    ]
    if router.version == 3 and not v6:
        lines.append(f'checksum = "{router.checksum}"')
    if router.owner:
        lines.append(f'owner = "{host.name}"')
    if router.unicast:
        lines.append('transport = "unicast"')
    if router.password:
        key = directory / "pass"
        key.write_text(router.password + "\n")
        key.chmod(0o600)
        lines.append(f'auth = {{ {router.auth} = {{ key-file = "{key}" }} }}')
    return "\n".join([*lines, router.extra]) + "\n"


def keepalived(host: Host, router: Router, scratch: Path) -> Daemon:
    """The machine's keepalived from the same description."""
    directory = scratch / f"keepalived-{host.name}"
    _clean(host, router)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    auth = ["authentication {", f"auth_type {router.auth.upper()}", f"auth_pass {router.password}", "}"] if router.password else []
    unicast = []
    if router.unicast:
        own, *others = peers(host, router).values()
        # over IPv6 it sends with hop limit 64 unless told otherwise
        unicast = [f"unicast_src_ip {own}", "unicast_ttl 255", "unicast_peer {", *others, "}"]
    networks = {"edge": ("eth0", router.vrid, router.vips)}
    group = []
    if router.second:
        networks["other"] = ("eth1", router.vrid + 1, (router.second,))
        group = ["vrrp_sync_group both {", "group {", *networks, "}", "}"]
    (directory / "conf").write_text("\n".join([
        "global_defs {", "router_id interop", "}", *group,
        *(line for name, (interface, vrid, vips) in networks.items() for line in (
            f"vrrp_instance {name} {{", "state BACKUP", f"interface {interface}",
            f"version {router.version}", f"virtual_router_id {vrid}", f"priority {router.priority}",
            f"advert_int {router.interval:g}", *([] if router.preempt else ["nopreempt"]), *auth,
            *(["use_vmac"] if router.virtual_mac else []), *(["vmac_xmit_base"] if router.from_base else []),
            *unicast, "virtual_ipaddress {", *vips, "}", "}")), ""]))
    argv = ["keepalived", "-n", "-l", "-P", "-f", f"{directory}/conf", "-p", f"{directory}/pid", "-r", f"{directory}/vrrp.pid"]
    return launch(host, directory, argv)


