"""A whole cluster out of one topology file: namespaces, cables, generated configuration applied, daemons started."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import applier
import networkd
from director import Director
from host import RUN, Host, Process, Task, eventually, ip
from load import PACE, TIMEOUT, Load, Result, get
from web import WebServer

__all__ = ["Host", "Lab", "Load", "Process", "Result", "Task", "eventually", "topology"]

TOPOLOGIES = Path("/fairway/topologies")
SWITCH = "switch"
CLIENT = "client"
ROUTER = "router"
CLIENT_NUMBER = 200  # the client's host number in every subnet it is on


def topology(name: str) -> str:
    """The text of a topology file."""
    return (TOPOLOGIES / f"{name}.toml").read_text()


# Of director/config/src/lib.rs.
PROBE_MARK, PROBE_MARK_MASK = 0xFA00_0000, 0xFF00_0000


class Lab:
    """Built from a topology's text; nothing runs before `start()`."""

    def __init__(self, text: str, note: Callable[[str], None] = print) -> None:
        self.text = text
        self.note = note  # says something a reader of the test's result wants to know, such as a measured time
        self.trees = RUN / "trees"
        self.generate(text)
        self.hosts: dict[str, Host] = {}
        self.directors: dict[str, Director] = {}
        self.servers: dict[str, WebServer] = {}
        self._bridges = 0
        self._bridge_of: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
        self._ports = 0
        self._cards: dict[tuple[str, str], int] = {}
        self._routers: list[str] = []
        self.virtual_ips = _virtual_ips(text)
        self.vip = next(iter(self.virtual_ips.values()))
        self._build()

    # --- construction

    def generate(self, text: str) -> None:
        """Runs fairway-gen; its error is the failure's text."""
        self.text = text
        file = RUN / "topology.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        shutil.rmtree(self.trees, ignore_errors=True)
        command = ["fairway-gen", "all", str(file), "--out", str(self.trees)]
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout.strip()}"

    def _build(self) -> None:
        ip("netns", "add", SWITCH)
        for tree in sorted(path for path in self.trees.iterdir() if path.is_dir()):
            host = self.hosts[tree.name] = Host(tree.name)
            self._boot(host)
            if (tree / "etc/fairway/director.toml").exists():
                self.directors[tree.name] = Director(host)
            if self._serves(tree.name):
                self.servers[tree.name] = WebServer(host)
        self._add_router()
        self.client = self.hosts[CLIENT] = Host(CLIENT)
        networks = [network for network in self._bridge_of if ipaddress.ip_address(self.vip) in network]
        assert networks, f"no host has an address in the network of {self.vip}"
        bridge = self._bridge_of[networks[0]]
        self._cable(self.client, "eth0", bridge)
        ip("-n", CLIENT, "link", "set", "eth0", "up")
        for network in (network for network, name in self._bridge_of.items() if name == bridge):
            address = f"{network.network_address + CLIENT_NUMBER}/{network.prefixlen}"
            ip("-n", CLIENT, "addr", "add", address, "dev", "eth0", *(["nodad"] if network.version == 6 else []))
            for gateway in (gateway for gateway in self._routers if ipaddress.ip_address(gateway) in network):
                ip("-n", CLIENT, "route", "add", "default", "via", gateway, "dev", "eth0")

    def _add_router(self) -> None:
        """The routers that hosts have besides the directors are one, which connects all networks that name it."""
        named = {gateway for name in self.hosts for gateway in networkd.gateways(self.trees / name / "etc")}
        self._routers = sorted(named - set(self.virtual_ips.values()))
        if not self._routers:
            return
        router = self.hosts[ROUTER] = Host(ROUTER)
        for gateway in self._routers:
            network = next(network for network in self._bridge_of if ipaddress.ip_address(gateway) in network)
            bridge = self._bridge_of[network]
            if bridge not in router.cables:
                self._cable(router, bridge, bridge)
                ip("-n", ROUTER, "link", "set", bridge, "up")
            ip("-n", ROUTER, "addr", "add", f"{gateway}/{network.prefixlen}", "dev", bridge, *(["nodad"] if network.version == 6 else []))
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _boot(self, host: Host) -> None:
        """Plugs a fresh host in and applies its tree."""
        tree = self.trees / host.name
        for interface, addresses in networkd.addresses_by_interface(tree / "etc").items():
            networks = [ipaddress.ip_interface(address).network for address in addresses]
            self._cable(host, interface, self._bridge(networks))
        applier.apply(host, applier.install(host, tree))

    def _bridge(self, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str:
        """The bridge of these subnets: interfaces that share a subnet are on one LAN."""
        name = next((self._bridge_of[network] for network in networks if network in self._bridge_of), None)
        if name is None:
            name = f"net{self._bridges}"
            self._bridges += 1
            ip("-n", SWITCH, "link", "add", name, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
            ip("-n", SWITCH, "link", "set", name, "up")
        for network in networks:
            self._bridge_of.setdefault(network, name)
        return name

    def _cable(self, host: Host, interface: str, bridge: str) -> None:
        port = f"port{self._ports}"
        self._ports += 1
        # As with a real card its address stays the same when the power comes back: neighbours remember it.
        number = self._cards.setdefault((host.name, interface), len(self._cards) + 1)
        peer = ["peer", "name", interface, "address", f"02:00:00:00:00:{number:02x}", "netns", host.namespace]
        ip("-n", SWITCH, "link", "add", port, "up", "master", bridge, "type", "veth", *peer)
        host.cables[interface] = port

    # --- running

    def start(self) -> None:
        """Starts everything and waits until the cluster serves."""
        for server in self.servers.values():
            server.start()
        for director in self.directors.values():
            director.start_bus()
        for director in self.directors.values():
            director.start(wait=False)
        self.settle()

    def settle(self, timeout: float = 30.0) -> None:
        """Waits until the first director holds every VIP and all directors have all servers in their tables."""
        first = next(iter(self.directors))
        for name, director in self.directors.items():
            eventually(lambda d=director: d.notified("READY") == "1", f"{name} is ready", timeout)
        eventually(lambda: self.masters() == [first], f"{first} alone holds the VIPs", timeout)
        for name, director in self.directors.items():
            want = "master" if name == first else "backup"
            if director.has_bus:
                eventually(lambda d=director, w=want: d.state() == w, f"{name} says on its bus that it is {want}", timeout)
            eventually(lambda n=name: self.serving(n) == set(self.servers), f"{name} has all servers in its table", timeout)

    def masters(self) -> list[str]:
        """The directors that hold all VIPs; a director that holds only some of them is a failure."""
        found = []
        for name in self.directors:
            held = [vip for vip in self.virtual_ips.values() if self.hosts[name].holds(vip)]
            if held and len(held) == len(self.virtual_ips):
                found.append(name)
        return found

    @property
    def master(self) -> Director:
        """The one director that holds the VIPs."""
        names = self.masters()
        assert len(names) == 1, f"expected one master, the VIPs are on {names or 'no director'}"
        return self.directors[names[0]]

    @property
    def backup(self) -> Director:
        """The first director that does not hold them."""
        return next(director for name, director in self.directors.items() if name not in self.masters())

    def table(self, director: str) -> dict[str, dict[str, int]]:
        """The kernel's table as ipvsadm reads it: "tcp 10.0.0.100:80 rr" -> {"10.0.0.21:80 direct": weight}.

        Without the director's own services for probes of virtual IPs.
        """
        services: dict[str, dict[str, int]] = {}
        for line in self.hosts[director].run("ipvsadm", "-Sn").splitlines():
            words = [word for word in line.split() if word != "-6"]
            if words[1] == "-f" and int(words[2]) & PROBE_MARK_MASK == PROBE_MARK:
                continue
            protocol = {"-t": "tcp", "-u": "udp", "-f": "mark", "--sctp-service": "sctp"}[words[1]]
            if words[0] == "-A":
                services[f"{protocol} {words[2]} {words[words.index('-s') + 1]}"] = {}
            else:
                service = next(name for name in services if name.startswith(f"{protocol} {words[2]} "))
                forward = {"-g": "direct", "-m": "nat", "-i": "tunnel"}[words[5]]
                services[service][f"{words[4]} {forward}"] = int(words[words.index("-w") + 1])
        return services

    def serving(self, director: str) -> set[str]:
        """The servers that get new connections in every service: in the table with a weight above zero."""
        services = self.table(director).values()
        found = set()
        for name in self.servers:
            own = {str(ipaddress.ip_interface(address).ip) for address in self._addresses(name)}
            hits = [any(weight > 0 and _address_of(key) in own for key, weight in reals.items()) for reals in services]
            if hits and all(hits):
                found.add(name)
        return found

    def _serves(self, host: str) -> bool:
        """Whether a host is a real server: a director is one if its own services name its address."""
        director = self.trees / host / "etc/fairway/director.toml"
        if not director.exists():
            return True
        services = director.read_text().partition("[[service]]")[2]
        return any(f'address = "{ipaddress.ip_interface(address).ip}"' in services for address in self._addresses(host))

    def _addresses(self, host: str) -> list[str]:
        return [a for addresses in networkd.addresses_by_interface(self.trees / host / "etc").values() for a in addresses]

    def get(self, count: int, address: str | None = None, pace: float = PACE, timeout: float = TIMEOUT) -> Result:
        """Requests from the client to the VIP, to their end."""
        return get(self.client, address or self.vip, count, pace=pace, timeout=timeout)

    def load(self, address: str | None = None, pace: float = PACE, timeout: float = TIMEOUT) -> Load:
        """Requests from the client to the VIP until stopped. Only returns once the load runs well."""
        load = Load(self.client, address or self.vip, pace=pace, timeout=timeout)
        time.sleep(0.5)
        return load

    def reload(self, text: str, *directors: str) -> None:
        """Generates from a changed topology and reloads the directors (all unless named)."""
        self.generate(text)
        for name in directors or self.directors:
            applier.install(self.hosts[name], self.trees / name)
            applier.apply_firewall(self.hosts[name])
            self.directors[name].control("reload")

    def in_switch(self, *command: str) -> str:
        """Runs a command where the cables meet."""
        done = subprocess.run(["ip", "netns", "exec", SWITCH, *command], check=False, text=True, capture_output=True)
        assert done.returncode == 0, f"switch: {' '.join(command)}: {done.stderr.strip()}"
        return done.stdout

    def config(self, director: str) -> Path:
        """The director.toml this director reads."""
        return Path("/etc/netns") / director / "fairway/director.toml"

    def power_on(self, name: str) -> None:
        """Boots a host that lost its power: nothing of its former life is left."""
        host = self.hosts[name]
        host.cut_power()
        if name in self.servers:
            self.servers[name].stop()
        ip("netns", "del", host.namespace)
        host.create()
        host.cables.clear()
        self._boot(host)
        if name in self.directors:
            self.directors[name].start_bus()
            self.directors[name].start()
        if name in self.servers:
            self.servers[name].start()

    def stop_leaves_nothing(self) -> None:
        """Stops all directors and checks that no VIP and no service of theirs is left anywhere."""
        for name, director in self.directors.items():
            if director.process is not None and director.process.running():
                director.stop()
            left = [info for info in self.hosts[name].addresses() if info["local"] in self.virtual_ips.values()]
            assert not left, f"{name} still has {left}"
            assert not self.table(name), f"{name} still has {self.table(name)}"


def _address_of(key: str) -> str:
    """The address in "10.0.0.21:80 direct" or "[fd00::21]:80 direct"."""
    return key.split()[0].rpartition(":")[0].strip("[]")


def _virtual_ips(text: str) -> dict[str, str]:
    """The [virtual-ips] table, in the file's order (Python learnt TOML only in 3.11)."""
    section = re.search(r"^\[virtual-ips\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "the topology has no [virtual-ips]"
    return dict(re.findall(r'^([\w-]+)\s*=\s*"([^"]+)"', section.group(1), re.MULTILINE))
