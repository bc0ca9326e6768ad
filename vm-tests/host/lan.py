"""A LAN of network namespaces on this machine's own kernel: one bridge, one veth (eth0) a host; a second one at need.

Everything is named after this process, so that runs do not meet, and removed at exit. Needs root.
"""
from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

now = time.monotonic


def run(argv: Sequence[str], check: bool = True, text: str | None = None) -> str:
    """Runs a command and returns its output; a failure carries the command's own words."""
    done = subprocess.run(list(argv), input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait(what: str, true: Callable[[], bool], seconds: float = 15, step: float = 0.01) -> float:
    """Waits until `true()`; returns the moment it was. Too late is an error that says what was awaited."""
    end = now() + seconds
    while now() < end:
        if true():
            return now()
        time.sleep(step)
    raise TimeoutError(f"not within {seconds:g} s: {what}")


class Host:
    """One namespace with eth0 on the LAN, and eth1 on the second one if there is one."""

    def __init__(self, lan: Lan, name: str, address: str) -> None:
        self.lan, self.name, self.address = lan, name, address.split("/")[0]
        self.space = lan.prefix + name
        self.ipv6: str | None = None

    def argv(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.space, *argv]

    def run(self, *argv: str, check: bool = True, text: str | None = None) -> str:
        return run(self.argv(argv), check=check, text=text)

    def spawn(self, *argv: str, **kw) -> subprocess.Popen[str]:
        kw.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(self.argv(argv), text=True, **kw)
        self.lan.processes.append(process)
        return process

    def link(self, state: str) -> None:
        run(["ip", "-n", self.space, "link", "set", "eth0", state])
        if self.ipv6 and state == "up":
            # what a network manager does: the kernel takes IPv6 addresses away when a link goes down
            run(["ip", "-n", self.space, "addr", "replace", self.ipv6, "dev", "eth0", "nodad"])

    def addresses(self, device: str = "eth0") -> list[str]:
        """Addresses on a device, without prefix lengths."""
        out = run(["ip", "-n", self.space, "-o", "addr", "show", "dev", device])
        return [line.split()[3].split("/")[0] for line in out.splitlines()]

    def mac(self) -> str:
        return run(["ip", "netns", "exec", self.space, "cat", "/sys/class/net/eth0/address"]).strip()

    def points_at(self, address: str, other: Host) -> None:
        """Makes this host's neighbour cache send what is for `address` to `other`."""
        run(["ip", "-n", self.space, "neigh", "replace", address, "lladdr", other.mac(), "dev", "eth0", "nud", "reachable"])

    def holds(self, address: str) -> bool:
        """Whether the network sees the address here."""
        return address in self.held()

    def held(self) -> set[str]:
        """The addresses that the network sees here: on any interface but lo, where they may be parked."""
        lines = run(["ip", "-n", self.space, "-o", "addr", "show"]).splitlines()
        return {line.split()[3].split("/")[0] for line in lines if line.split()[1] != "lo"}

    def neighbour(self, address: str) -> str | None:
        """The MAC address this host sends to for `address`."""
        words = run(["ip", "-n", self.space, "neigh", "show", address]).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else None


class Lan:
    """Hosts on one bridge. `hosts` is {name: "address/prefix"}."""

    def __init__(self, hosts: dict[str, str], ipv6: dict[str, str] | None = None) -> None:
        self.prefix = f"fw{os.getpid()}-"
        self.processes: list[subprocess.Popen[str]] = []
        self.spaces: list[str] = []
        atexit.register(self.close)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: sys.exit(130))
        self._space("sw")
        self.switch = self.prefix + "sw"
        run(["ip", "-n", self.switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])
        run(["ip", "-n", self.switch, "link", "set", "br0", "up"])
        self.hosts: dict[str, Host] = {}
        for name, address in hosts.items():
            self._space(name)
            host = self.hosts[name] = Host(self, name, address)
            self.plug(host)
            host.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv6.conf.eth0.accept_dad=0")
            host.ipv6 = (ipv6 or {}).get(name)
            host.link("up")
            run(["ip", "-n", host.space, "addr", "add", address, "dev", "eth0"])

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def _space(self, name: str) -> None:
        space = self.prefix + name
        run(["ip", "netns", "add", space])
        self.spaces.append(space)
        run(["ip", "-n", space, "link", "set", "lo", "up"])

    def plug(self, host: Host, device: str = "eth0") -> None:
        """Makes a host's interface; it is down."""
        port, bridge = self.port(host, device), "br" + device[-1]
        run(["ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", device, "netns", host.space])
        run(["ip", "-n", self.switch, "link", "set", port, "master", bridge, "up"])

    @staticmethod
    def port(host: Host, device: str = "eth0") -> str:
        """The switch's end of an interface."""
        return f"p{device[-1]}-{host.name}"

    def second(self, hosts: dict[str, str]) -> None:
        """A second network: another bridge, with eth1 of these hosts at it."""
        run(["ip", "-n", self.switch, "link", "add", "br1", "type", "bridge", "mcast_snooping", "0"])
        run(["ip", "-n", self.switch, "link", "set", "br1", "up"])
        for name, address in hosts.items():
            host = self.hosts[name]
            self.plug(host, "eth1")
            run(["ip", "-n", host.space, "link", "set", "eth1", "up"])
            run(["ip", "-n", host.space, "addr", "add", address, "dev", "eth1"])

    def cut(self, host: Host, cut: bool, device: str = "eth0") -> None:
        """Pulls the host's cable out of the switch, or puts it back."""
        run(["ip", "-n", self.switch, "link", "set", self.port(host, device), "down" if cut else "up"])

    def drop_vrrp(self, drop: bool) -> None:
        """Makes the switch drop every advert, or stop dropping them."""
        rules = "table bridge split\ndelete table bridge split\n"
        if drop:
            rules += ("table bridge split {\nchain forward {\ntype filter hook forward priority 0;\n"
                      "ip protocol { 51, 112 } drop\nip6 nexthdr 112 drop\n}\n}\n")
        run(["ip", "netns", "exec", self.switch, "nft", "-f", "-"], text=rules)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for space in self.spaces:
            for pid in run(["ip", "netns", "pids", space], check=False).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            run(["ip", "netns", "del", space], check=False)
        self.processes, self.spaces = [], []
