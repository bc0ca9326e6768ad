"""The doctor finds nothing in a healthy cluster, before and after a failover, and each of the faults that are put into one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from host import ip
from lab import Lab, eventually

TIMEOUT = 300


def test(lab: Lab) -> None:
    lb1 = lab.hosts["lb1"]

    def examine(director: str) -> list[dict[str, str]]:
        text = lab.hosts[director].run("fairwayctl", "doctor", "--json", check=False, timeout=60)
        found = json.JSONDecoder().raw_decode(text)[0]["findings"]
        assert text.rstrip().endswith("findings" if len(found) > 1 else "1 finding" if found else "}"), text
        assert all(finding["problem"] and finding["remedy"] for finding in found), found
        return found

    def both() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        with ThreadPoolExecutor() as pool:
            first, second = pool.map(examine, ("lb1", "lb2"))
        return first, second

    def about(found: list[dict[str, str]]) -> set[tuple[str, str]]:
        return {(finding["check"], finding["about"]) for finding in found}

    healthy = both()
    assert healthy == ([], []), f"at the start: {healthy}"

    lab.directors["lb1"].control("force", "edge", "backup")
    eventually(lambda: lab.masters() == ["lb2"], "lb2 takes over")
    eventually(lambda: lab.directors["lb1"].state() == "backup", "lb1 is backup")
    first, second = both()
    assert about(first) == {("group-forced", "edge")}, f"lb1 is backup, as was asked for, and nothing else: {first}"
    assert second == [], f"lb2 is master: {second}"
    lab.directors["lb1"].control("force", "edge", "auto")
    eventually(lambda: lab.masters() == ["lb1"], "lb1 takes back")
    eventually(lambda: lab.directors["lb2"].state() == "backup", "lb2 is backup")

    # Several at once, each on a part of its own: on servers, in the director's kernel, beside the director.
    ip("-n", "web1", "addr", "add", f"{lab.vip}/32", "dev", "eth0")
    lab.hosts["web1"].run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.eth0.arp_ignore=0")
    ip("-n", "web2", "addr", "del", f"{lab.vip}/32", "dev", "fairway0")
    lb1.run("sysctl", "-qw", "net.ipv4.conf.all.send_redirects=1")
    ip("-n", "lb1", "link", "set", "eth0", "mtu", "1400")
    lb1.run("ipvsadm", "-A", "-t", "10.0.0.11:8080", "-s", "rr")
    lb1.run("nft", "add table ip manual; add chain ip manual input { type filter hook input priority 5; }; add rule ip manual input tcp dport 80 drop")
    # Deaf, lb2 becomes a second master.
    lab.hosts["lb2"].run("nft", "add table ip deaf; add chain ip deaf input { type filter hook input priority -200; }; add rule ip deaf input ip protocol 112 drop")
    eventually(lambda: lab.directors["lb2"].state() == "master", "lb2 hears nobody")
    first, second = both()
    arp, server = ("arp-responder", f"{lab.vip} on eth0"), ("server-without-vip", "web2 of web")
    assert about(first) == {
        arp,
        server,
        ("sysctl", "net.ipv4.conf.all.send_redirects"),
        ("mtu", "eth0"),
        ("ipvs-foreign", "10.0.0.11:8080/tcp"),
        ("firewall", f"tcp {lab.vip} port 80"),
        ("two-masters", "edge-lan on eth0"),
    }, f"lb1 finds {first}"
    assert about(second) == {arp, server, ("firewall", "VRRP on eth0")}, f"lb2 finds {second}"
    for found in (first, second):
        # The other master answers, too.
        problems = [finding["problem"] for finding in found if finding["check"] == "arp-responder"]
        assert len(problems) == 2 and sum("real server web1" in problem for problem in problems) == 1, problems
