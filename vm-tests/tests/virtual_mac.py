"""Virtual MAC addresses: the virtual IPs keep theirs when the master changes, for clients and for the NAT servers."""

from __future__ import annotations

import re

from lab import Host, Lab, eventually

TOPOLOGY = "virtual-mac"
VIP, VIP6, GATEWAY, GATEWAY6 = "192.168.1.100", "2001:db8:1::100", "10.1.0.254", "2001:db8:a::fe"


def mac(host: Host, address: str) -> str:
    """What a host takes for an address's MAC address."""
    found = re.search(r"lladdr ([0-9a-f:]+)", host.run("ip", "neigh", "show", "to", address))
    assert found, f"{host.name} has no neighbour {address}: {host.run('ip', 'neigh')}"
    return found.group(1)


def test(lab: Lab) -> None:
    lb1, lb2, web1 = lab.directors["lb1"], lab.directors["lb2"], lab.hosts["web1"]
    vrids = dict(re.findall(r'name = "edge-(public|servers)"\n(?:.+\n)*?vrid = (\d+)', lab.config("lb1").read_text()))
    wanted = {
        (lab.client, VIP): f"00:00:5e:00:01:{int(vrids['public']):02x}",
        (lab.client, VIP6): f"00:00:5e:00:02:{int(vrids['public']):02x}",
        (web1, GATEWAY): f"00:00:5e:00:01:{int(vrids['servers']):02x}",
        (web1, GATEWAY6): f"00:00:5e:00:02:{int(vrids['servers']):02x}",
    }

    def check(when: str) -> None:
        for vip in (VIP, VIP6):
            result = lab.get(20, vip)
            assert not result.failed, f"{when}: requests to {vip} failed: {result}"
            assert result.by_server() == {"web1": 10, "web2": 10}, f"{when}: {result}"
        for (host, address), expected in wanted.items():
            assert mac(host, address) == expected, f"{when}: {host.name} has {address} at {mac(host, address)}"

    check("lb1 is master")
    for name in lab.directors:
        # Runs for some seconds, and fails on any finding.
        lab.hosts[name].run("fairwayctl", "doctor", timeout=60)
    # Longer than TCP's first repetition: with NAT the two networks move one after the other, and what a server answers
    # in between goes to the master that does not know it.
    load = lab.load(timeout=3.5)
    lb1.control("failover", "edge")
    eventually(lambda: lab.masters() == ["lb2"], "lb2 holds the VIPs")
    result = load.stop()
    lab.note(f"failover: outage {result.outage() * 1000:.0f} ms; {result}")
    assert not result.lost, f"the planned switch lost new connections: {result}"
    assert result.outage() < 0.5, f"the planned switch took {result.outage():.3f} s"
    check("lb2 is master")

    lab.hosts["lb2"].run("ip", "link", "del", f"vrrp4-{vrids['public']}")
    eventually(lambda: lab.masters() == ["lb2"] and lab.hosts["lb2"].holds(VIP), "the interface is made again")
    check("after somebody removed an interface")

    lb2.stop()
    eventually(lambda: lab.masters() == ["lb1"], "lb1 holds the VIPs")
    left = lab.hosts["lb2"].run("ip", "-o", "link")
    assert "vrrp" not in left, f"lb2 stopped, and leaves an interface: {left}"
    check("lb2 has stopped")
