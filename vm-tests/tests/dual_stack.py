"""IPv4 and IPv6 side by side with direct routing: both are balanced and fail over together; the doctor sees both."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from host import ip
from lab import Lab, eventually

TOPOLOGY = "dual-stack"


def test(lab: Lab) -> None:
    for vip in lab.virtual_ips.values():
        result = lab.get(100, address=vip)
        lab.note(f"{vip}: {result}")
        assert not result.failed, f"{vip}: {result}"
        assert result.by_server() == {"web1": 50, "web2": 50}, f"{vip}: round robin is not even: {result}"
    clients = {request.client for request in result.requests}
    assert clients == {"fd00:10::c8"}, f"the servers saw {clients} instead of the client"
    # The director's own connections must not use the VIP as their source: it is there, but deprecated.
    vip6 = lab.virtual_ips["shop6"]
    own = next(info for info in lab.hosts["lb1"].addresses() if info["local"] == vip6)
    assert own.get("deprecated") is True, f"the IPv6 VIP is not deprecated: {own}"

    load = lab.load(address=vip6)
    lab.hosts["lb1"].cut_power()
    eventually(lambda: lab.masters()[-1:] == ["lb2"], "lb2 has both VIPs", 3.0)
    time.sleep(1.5)
    result = load.stop()
    lab.note(f"power loss, IPv6: outage {result.outage() * 1000:.0f} ms; {result}")
    assert 0 < result.outage() < 2.0
    for vip in lab.virtual_ips.values():
        assert not lab.get(20, address=vip).failed

    lab.power_on("lb1")
    lab.settle()
    load = lab.load(address=vip6)
    lab.directors["lb1"].stop()
    time.sleep(1.0)
    result = load.stop()
    lab.note(f"graceful stop, IPv6: {result}")
    assert not result.lost, f"a graceful stop lost new IPv6 connections: {result}"

    # The doctor asks for IPv6 addresses, too, on the master and on the backup.
    lab.power_on("lb1")
    lab.settle()
    healthy = diagnoses(lab)
    assert healthy == [set(), set()], f"the doctors of a healthy cluster find {healthy}"
    # What it begins with servers it ends: one that still waits would repeat its answer, until somebody takes it for
    # another's. The directors' kernels do not end it, they drop answers from a virtual IP.
    half_open = {server: waiting_for_doctors(lab, server) for server in ("web1", "web2")}
    assert half_open == {"web1": [], "web2": []}, f"the doctors left {half_open}"
    ip("-6", "-n", "web1", "addr", "add", f"{vip6}/128", "dev", "eth0", "nodad")
    ip("-6", "-n", "web2", "addr", "del", f"{vip6}/128", "dev", "fairway0")
    wanted = {("nd-responder", f"{vip6} on eth0"), ("server-without-vip", "web2 of web-shop6-80")}
    found = diagnoses(lab)
    assert found == [wanted, wanted], f"the doctors of lb1 and lb2 find {found}"


def waiting_for_doctors(lab: Lab, server: str) -> list[str]:
    lines = lab.hosts[server].run("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    ends = [(line.split()[2].rpartition(":")[2], line.split()[3]) for line in lines if "sl" not in line]
    syn_recv = "03"  # include/net/tcp_states.h
    return [port for port, state in ends if state == syn_recv and int(port, 16) >= 61000]


def diagnoses(lab: Lab) -> list[set[tuple[str, str]]]:
    def diagnosis(director: str) -> set[tuple[str, str]]:
        text = lab.hosts[director].run("fairwayctl", "doctor", "--json", check=False, timeout=60)
        findings = json.JSONDecoder().raw_decode(text)[0]["findings"]
        return {(finding["check"], finding["about"]) for finding in findings}

    with ThreadPoolExecutor() as pool:
        return list(pool.map(diagnosis, ("lb1", "lb2")))
