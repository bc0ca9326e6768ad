"""Every scheduler, flag and forwarding method, marks, persistence, thresholds and timeouts, as ipvsadm reads them from the kernel."""

from __future__ import annotations

import subprocess

from lab import Lab, eventually

# twos is in the kernel's source, but not in Debian's and Ubuntu's builds.
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq")
MISSING = "twos"
FLAGS = ("sh-port", "sh-fallback", "mh-port", "mh-fallback")

SERVICES = """
[ipvs]
timeouts = { tcp = "15m", tcp-fin = "1m", udp = "4m" }

[[service]]
name = "marked"
scheduler = "mh"
scheduler-flags = ["mh-port", "mh-fallback"]
listen = { fwmark = 7, family = "ipv4" }
persistence = { timeout = "5m", prefix = 24 }
real-servers = [
  { name = "a", address = "10.0.0.21", forward = "direct" },
  { name = "b", address = "10.0.0.22", forward = "nat", weight = 5, upper-threshold = 100, lower-threshold = 50 },
]

[[service]]
name = "marked6"
listen = { fwmark = 7, family = "ipv6" }
real-servers = [{ name = "a", address = "fd00::21", forward = "direct" }]

[[service]]
name = "dns"
scheduler = "sh"
scheduler-flags = ["sh-port", "sh-fallback"]
one-packet = true
listen = { address = "10.0.0.100", port = 53, protocol = "udp" }
real-servers = [{ name = "a", address = "10.0.0.21", forward = "nat" }]

[[service]]
name = "diameter"
scheduler = "wlc"
listen = { address = "10.0.0.100", port = 3868, protocol = "sctp" }
real-servers = [{ name = "a", address = "10.0.0.21", forward = "nat" }]

[[service]]
name = "calls"
scheduler = "rr"
listen = { address = "10.0.0.100", port = 5060, protocol = "udp" }
persistence = { timeout = "1m", engine = "sip" }
real-servers = [{ name = "a", address = "10.0.0.21", forward = "nat" }]

[[service]]
name = "network6"
scheduler = "wlc"
listen = { address = "fd00::100", port = 443, protocol = "tcp" }
persistence = { timeout = "1h", prefix = 64 }
real-servers = [{ name = "a", address = "fd00::21", forward = "direct" }]

[[service]]
name = "far"
scheduler = "rr"
listen = { address = "10.0.0.100", port = 443, protocol = "tcp" }
real-servers = [
  { name = "ipip", address = "10.9.0.1", forward = "tunnel" },
  { name = "gre", address = "10.9.0.2", forward = "tunnel", tunnel = { type = "gre", checksum = "full" } },
  { name = "gue", address = "10.9.0.3", forward = "tunnel", tunnel = { type = "gue", port = 6080, checksum = "remote" } },
]
"""

# As ipvsadm saves them: one line a service, then its servers.
WANTED = {
    "-A -f 7 -s mh -p 300 -M 255.255.255.0 -b mh-fallback,mh-port",
    "-a -f 7 -r 10.0.0.21:0 -g -w 1",
    "-a -f 7 -r 10.0.0.22:0 -m -w 5 -x 100 -y 50",
    "-A -f 7 -6 -s wlc",
    "-a -f 7 -6 -r [fd00::21]:0 -g -w 1",
    "-A -u 10.0.0.100:53 -s sh -o -b sh-fallback,sh-port",
    "-a -u 10.0.0.100:53 -r 10.0.0.21:53 -m -w 1",
    "-A --sctp-service 10.0.0.100:3868 -s wlc",
    "-a --sctp-service 10.0.0.100:3868 -r 10.0.0.21:3868 -m -w 1",
    "-A -u 10.0.0.100:5060 -s rr -p 60 --pe sip",
    "-a -u 10.0.0.100:5060 -r 10.0.0.21:5060 -m -w 1",
    "-A -t [fd00::100]:443 -s wlc -p 3600 -M 64",
    "-a -t [fd00::100]:443 -r [fd00::21]:443 -g -w 1",
    "-A -t 10.0.0.100:443 -s rr",
    "-a -t 10.0.0.100:443 -r 10.9.0.1:443 -i -w 1 --tun-type ipip",
    "-a -t 10.0.0.100:443 -r 10.9.0.2:443 -i -w 1 --tun-type gre --tun-csum",
    "-a -t 10.0.0.100:443 -r 10.9.0.3:443 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
}


# Each scheduler at a port of its own, and each flag alone at another.
PORTS = {name: 1000 + number for number, name in enumerate((*SCHEDULERS, MISSING, *FLAGS))}
for name, port in PORTS.items():
    scheduler, flags = (name[:2], f'scheduler-flags = ["{name}"]') if name in FLAGS else (name, "")
    SERVICES += f"""
[[service]]
name = "{name.replace('-', '')}"
scheduler = "{scheduler}"
{flags}
listen = {{ address = "10.0.0.100", port = {port}, protocol = "tcp" }}
real-servers = [{{ name = "a", address = "10.0.0.21", forward = "direct", weight = 3 }}]
"""
    if name != MISSING:
        WANTED |= {f"-A -t 10.0.0.100:{port} -s {scheduler}" + (f" -b {name}" if flags else ""),
                   f"-a -t 10.0.0.100:{port} -r 10.0.0.21:{port} -g -w 3"}  # fmt: skip


def test(lab: Lab) -> None:
    lb1, host, config = lab.directors["lb1"], lab.hosts["lb1"], lab.config("lb1")
    subprocess.run(["modprobe", "-a", "ip_vs_pe_sip", *(f"ip_vs_{name}" for name in SCHEDULERS)], check=True)
    config.write_text(config.read_text().split("[[service]]")[0] + SERVICES)
    lb1.control("reload")
    saved: set[str] = set()

    def settled() -> bool:
        saved.clear()
        saved.update(" ".join(line.split()) for line in host.run("ipvsadm", "-Sn").splitlines())
        return len(saved) == len(WANTED)

    eventually(settled, "all services and servers are in the kernel")
    # ipvsadm -S leaves thresholds out; they are in its list.
    lists = host.run("ipvsadm", "-Ln", "--thresholds")
    assert any("10.0.0.22:0" in line and line.split()[1:3] == ["100", "50"] for line in lists.replace("->", "").splitlines()), lists
    plain = {line.replace(" -x 100 -y 50", "") for line in WANTED}
    assert saved == plain, f"too much: {sorted(saved - plain)}, missing: {sorted(plain - saved)}"
    timeouts = host.run("ipvsadm", "-Ln", "--timeout")
    assert timeouts.split(":")[-1].split() == ["900", "60", "240"], timeouts
    for name in ("marked", "marked6", "dns", "diameter", "calls", "network6", "far", *SCHEDULERS, *FLAGS):
        error = lb1.property(f"/service/{name.replace('-', '')}", "VirtualService", "KernelError")
        assert error == "", f"{name}: {error}"
    # One that the kernel does not have hurts no other service, and says what is missing.
    error = lb1.property(f"/service/{MISSING}", "VirtualService", "KernelError")
    assert f"ip_vs_{MISSING}" in error, error
    # A second reload of the same changes nothing, and a stop leaves nothing.
    lb1.control("reload")
    assert settled() and saved == plain
    lb1.stop()
    assert not host.run("ipvsadm", "-Sn").strip()
