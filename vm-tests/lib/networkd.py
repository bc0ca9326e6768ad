"""A small systemd-networkd: does what the generated .netdev and .network files say, in a namespace without systemd.

Every section and key it meets must be in the tables below, with what it does here. An unknown one is an error: a test
must not pass because the applier looked away.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from host import Host, ip


class UnknownKey(AssertionError):
    """A section, key or value this applier does not implement."""


@dataclass
class Section:
    """One section of a unit file; keys may repeat, sections too."""

    name: str
    file: Path
    entries: list[tuple[int, str, str]] = field(default_factory=list)

    def get(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        return next((value for _, name, value in reversed(self.entries) if name == key), default)

    def all(self, key: str) -> list[str]:
        """Every value of a key; an empty one resets the list, as in systemd."""
        values: list[str] = []
        for _, name, value in self.entries:
            if name == key:
                values = [*values, value] if value else []
        return values


def parse(file: Path) -> list[Section]:
    """Reads a unit file (systemd.syntax(7)); the order of sections is kept."""
    sections: list[Section] = []
    continued = ""
    for number, raw in enumerate(file.read_text().splitlines(), 1):
        line = continued + raw.strip()
        continued = ""
        if not line or line[0] in "#;":
            continue
        if line.endswith("\\"):
            continued = line[:-1] + " "
        elif line.startswith("[") and line.endswith("]"):
            sections.append(Section(line[1:-1], file))
        elif "=" in line and sections:
            key, _, value = line.partition("=")
            sections[-1].entries.append((number, key.strip(), value.strip()))
        else:
            raise UnknownKey(f"{file}:{number}: neither a section nor a key: {line!r}")
    return sections


FALSE = frozenset({"no", "false", "off", "0"})
ANY: frozenset[str] = frozenset()

# Section -> key -> values accepted (ANY: whatever the code below makes of it).
NETDEV: dict[str, dict[str, frozenset[str]]] = {
    "NetDev": {"Name": ANY, "Kind": frozenset({"dummy", "ipip", "sit", "gre", "ip6tnl", "ip6gre"})},
    "Tunnel": {"Local": ANY, "Remote": frozenset({"any"}), "Independent": frozenset({"yes"}), "Mode": frozenset({"any"})},
}
NETWORK: dict[str, dict[str, frozenset[str]]] = {
    "Match": {"Name": ANY},
    # The second: nobody waits for anything here.
    "Link": {"MTUBytes": ANY, "RequiredForOnline": frozenset({"no"}), "Unmanaged": frozenset({"yes"})},
    "Address": {"Address": ANY, "DuplicateAddressDetection": frozenset({"none"}), "PreferredLifetime": frozenset({"0"})},
    "Network": {
        "Address": ANY,
        "Gateway": ANY,
        "IPv6AcceptRA": FALSE,
        "LinkLocalAddressing": frozenset({"no", "ipv6"}),
        "KeepConfiguration": frozenset({"yes"}),  # nothing to do: nobody here removes what others added
    },
}
# nothing to do: no networkd runs that could remove what it does not know.
NETWORKD_CONF: dict[str, dict[str, frozenset[str]]] = {
    "Network": {"ManageForeignRoutes": FALSE, "ManageForeignRoutingPolicyRules": FALSE},
}


def check(sections: list[Section], known: dict[str, dict[str, frozenset[str]]]) -> list[Section]:
    """Refuses what the tables do not have."""
    for section in sections:
        if section.name not in known:
            raise UnknownKey(f"{section.file}: unknown section [{section.name}]")
        for number, key, value in section.entries:
            allowed = known[section.name].get(key)
            if allowed is None:
                raise UnknownKey(f"{section.file}:{number}: unknown key {key}= in [{section.name}]")
            if allowed and value.lower() not in allowed:
                raise UnknownKey(f"{section.file}:{number}: {key}={value} is not implemented")
    return sections


def read(etc: Path) -> tuple[list[list[Section]], list[list[Section]]]:
    """The checked .netdev and .network files of a tree, in networkd's order."""
    directory = etc / "systemd/network"
    for file in sorted(directory.glob("*")):
        if file.suffix not in (".netdev", ".network"):
            raise UnknownKey(f"{file}: not a .netdev or .network file")
    for file in sorted((etc / "systemd/networkd.conf.d").glob("*")):
        check(parse(file), NETWORKD_CONF)
    for extra in (etc / "systemd").iterdir() if (etc / "systemd").is_dir() else ():
        if extra.name not in ("network", "networkd.conf.d"):
            raise UnknownKey(f"{extra}: not applied by this applier")
    netdevs = [check(parse(file), NETDEV) for file in sorted(directory.glob("*.netdev"))]
    networks = [check(parse(file), NETWORK) for file in sorted(directory.glob("*.network"))]
    return netdevs, networks


def addresses_by_interface(etc: Path) -> dict[str, list[str]]:
    """Interface name -> addresses with prefix, of the interfaces that exist without us (not our own netdevs)."""
    netdevs, networks = read(etc)
    ours = {section.get("Name") for sections in netdevs for section in sections if section.name == "NetDev"}
    found: dict[str, list[str]] = {}
    for sections in networks:
        unmanaged = _one(sections, "Link").get("Unmanaged")  # made by somebody else, later
        for name in _one(sections, "Match").get("Name").split():
            if name not in ours and not unmanaged:
                found.setdefault(name, []).extend(_addresses(sections))
    return found


def gateways(etc: Path) -> list[str]:
    """The routers that the files name."""
    return [gateway for sections in read(etc)[1] for gateway in _one(sections, "Network").all("Gateway")]


def _one(sections: list[Section], name: str) -> Section:
    merged = Section(name, sections[0].file if sections else Path())
    for section in sections:
        if section.name == name:
            merged.entries += section.entries
    return merged


def _addresses(sections: list[Section]) -> list[str]:
    return _one(sections, "Network").all("Address")


def apply(host: Host, etc: Path) -> None:
    """Creates the devices and configures every interface that exists; networkd, too, waits for the others."""
    netdevs, networks = read(etc)
    for sections in netdevs:
        _create(host, sections)
    interfaces = host.run("ls", "/sys/class/net").split()
    configured: set[str] = set()
    for sections in networks:
        patterns = _one(sections, "Match").get("Name").split()
        for interface in interfaces:
            # The first file that matches an interface is the one that counts.
            if interface not in configured and any(fnmatch.fnmatch(interface, pattern) for pattern in patterns):
                configured.add(interface)
                if not _one(sections, "Link").get("Unmanaged"):
                    _configure(host, interface, sections)


def _create(host: Host, sections: list[Section]) -> None:
    device, tunnel = _one(sections, "NetDev"), _one(sections, "Tunnel")
    name, kind = device.get("Name"), device.get("Kind")
    options = []
    if tunnel.entries:
        # Without Independent=yes networkd waits for a link that names the tunnel; an ip6tnl without Mode= is refused.
        if not (tunnel.get("Local") and tunnel.get("Independent") and bool(tunnel.get("Mode")) == (kind == "ip6tnl")):
            raise UnknownKey(f"{tunnel.file}: networkd would not create {name}")
        options = ["local", tunnel.get("Local"), "remote", "::" if ":" in tunnel.get("Local") else "any"]
        options += ["mode", "any"] if kind == "ip6tnl" else []
    ip("-n", host.namespace, "link", "add", "name", name, "type", kind, *options)


def _configure(host: Host, interface: str, sections: list[Section]) -> None:
    link, network = _one(sections, "Link"), _one(sections, "Network")
    # networkd handles router advertisements itself, never the kernel; here nobody sends any.
    sysctls = [f"net/ipv6/conf/{interface}/accept_ra=0"]
    if network.get("LinkLocalAddressing") == "no":
        # Some versions of networkd then turn IPv6 off altogether.
        sysctls.append(f"net/ipv6/conf/{interface}/disable_ipv6=1")
    host.run("sysctl", "-qw", *sysctls)
    commands = [f"link set {interface} mtu {mtu}"] if (mtu := link.get("MTUBytes")) else []
    commands.append(f"link set {interface} up")
    for address in network.all("Address"):
        full = address if "/" in address else address + ("/128" if ":" in address else "/32")
        commands.append(f"addr add {full} dev {interface}")
    for section in (section for section in sections if section.name == "Address"):
        flags = " nodad" if section.get("DuplicateAddressDetection") == "none" else ""
        flags += " preferred_lft 0" if section.get("PreferredLifetime") == "0" else ""
        commands.append(f"addr add {section.get('Address')} dev {interface}{flags}")
    commands += [f"route add default via {gateway} dev {interface}" for gateway in network.all("Gateway")]
    ip("-n", host.namespace, "-batch", "-", stdin="".join(f"{command}\n" for command in commands))
