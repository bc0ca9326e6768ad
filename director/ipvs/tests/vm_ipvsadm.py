#!/usr/bin/env python3
"""The crate against ipvsadm, on a kernel with IPVS: what we write ipvsadm reads, what it writes we read.

Runs as root in a guest with python3, iproute2, ipvsadm and the example binary ipvs-table on PATH and the
ip_vs modules at hand. Every case has a network namespace of its own, so IPVS starts empty. Prints one line a
case, `ok NAME` or `FAIL NAME why`; exit code 0 if all are ok, else 1.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import subprocess
import sys
import time

NAMESPACE = f"ipvs-{os.getpid()}"
CASES = []


class Failed(Exception):
    """A case does not hold."""


def case(function):
    """Registers a case under its function's name."""
    CASES.append((function.__name__.replace("_", "-"), function))
    return function


def table_case(name, *lines):
    """A table that goes both ways, in the form of `ipvsadm -Sn` with thresholds (-x, -y), which -Sn leaves out."""
    CASES.append((name, lambda: both_ways(lines)))


def run(*command, stdin=None, check=True, prepare=None):
    """Runs a command in the case's namespace; returns its output, or without `check` all there is to know."""
    result = subprocess.run(["ip", "netns", "exec", NAMESPACE, *command], input=stdin, text=True,
                            capture_output=True, timeout=120, check=False, preexec_fn=prepare)
    if check and result.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit {result.returncode}: {result.stderr.strip()}")
    return result.stdout if check else result


def text(lines):
    return "".join(line + "\n" for line in lines)


def same(what, actual, expected):
    """Both are sets of lines; the order of services and servers is the kernel's business."""
    actual, expected = sorted(filter(None, actual)), sorted(filter(None, expected))
    if actual != expected:
        missing = [line for line in expected if line not in actual]
        surplus = [line for line in actual if line not in expected]
        raise Failed(f"{what}: missing {missing}, surplus {surplus}")


def saved():
    return [line.strip() for line in run("ipvsadm", "-Sn").splitlines()]


def dumped():
    return run("ipvs-table", "dump").splitlines()


def without_thresholds(line):
    return re.sub(r" -x \d+ -y \d+", "", line)


def thresholds():
    """{server: (upper, lower)} as ipvsadm lists them, where there are any."""
    found = {}
    for line in run("ipvsadm", "-Ln", "--thresholds").splitlines():
        match = re.match(r"\s+-> (\S+)\s+(\d+)\s+(\d+)\s", line)
        if match and (match[2], match[3]) != ("0", "0"):
            found[match[1]] = (int(match[2]), int(match[3]))
    return found


def clear():
    run("ipvsadm", "-C")
    same("after clearing", dumped(), [])


def both_ways(lines):
    """Ours to ipvsadm, then ipvsadm's to us."""
    wanted = {m[1]: (int(m[2]), int(m[3])) for m in
              (re.search(r"-r (\S+) .*-x (\d+) -y (\d+)", line) for line in lines) if m}

    run("ipvs-table", "apply", "--all", stdin=text(lines))
    same("ipvsadm reads what we wrote", saved(), [without_thresholds(line) for line in lines])
    same("we read what we wrote", dumped(), lines)
    if thresholds() != wanted:
        raise Failed(f"ipvsadm reads thresholds {thresholds()}, we wrote {wanted}")
    same("nothing left to do", run("ipvs-table", "plan", "--all", stdin=text(lines)).splitlines(), [])

    clear()
    run("ipvsadm", "-R", stdin=text(lines))
    same("we read what ipvsadm wrote", dumped(), lines)
    same("nothing to do after ipvsadm", run("ipvs-table", "plan", "--all", stdin=text(lines)).splitlines(), [])

    run("ipvs-table", "apply", "--all", stdin="")
    same("ipvsadm sees our deletion", saved(), [])


# What Linux 6.1 has; the kernel loads them itself where it finds modprobe, which a small guest may not give it.
SCHEDULERS = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq"]
for scheduler in SCHEDULERS:
    table_case(f"scheduler-{scheduler}",
               f"-A -t 10.0.0.1:80 -s {scheduler}",
               "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1",
               "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 3")

table_case("flags-sh", "-A -t 10.0.0.1:80 -s sh -b sh-fallback,sh-port")
table_case("flags-sh-port-only", "-A -t 10.0.0.1:80 -s sh -b sh-port")
table_case("flags-mh", "-A -t 10.0.0.1:80 -s mh -b mh-fallback,mh-port")
table_case("flags-mh-fallback-only", "-A -t 10.0.0.1:80 -s mh -b mh-fallback")
table_case("flags-plain", "-A -t 10.0.0.1:80 -s rr -b flag-1,flag-2,flag-3")
table_case("one-packet", "-A -u 10.0.0.1:53 -s rr -o", "-a -u 10.0.0.1:53 -r 10.1.0.1:53 -m -w 1")
table_case("one-packet-and-flags", "-A -u 10.0.0.1:53 -s sh -o -b sh-port")

table_case("persistence", "-A -t 10.0.0.1:80 -s wrr -p 300")
table_case("persistence-netmask", "-A -t 10.0.0.1:80 -s wrr -p 300 -M 255.255.255.0")
table_case("persistence-ipv6", "-A -t [fd00::10]:80 -s wrr -p 3600")
table_case("persistence-ipv6-prefix", "-A -t [fd00::10]:80 -s wrr -p 3600 -M 64")
table_case("persistence-every-port", "-A -t 10.0.0.1:0 -s wlc -p 360", "-a -t 10.0.0.1:0 -r 10.1.0.1:0 -g -w 1")
table_case("persistence-and-flags", "-A -t 10.0.0.1:80 -s sh -p 60 -M 255.255.0.0 -b sh-fallback")

table_case("protocols-one-address",
           "-A -t 10.0.0.1:53 -s rr", "-a -t 10.0.0.1:53 -r 10.1.0.1:53 -m -w 1",
           "-A -u 10.0.0.1:53 -s rr", "-a -u 10.0.0.1:53 -r 10.1.0.2:53 -m -w 1",
           "-A --sctp-service 10.0.0.1:53 -s rr", "-a --sctp-service 10.0.0.1:53 -r 10.1.0.3:53 -m -w 1")
table_case("ipv6",
           "-A -t [fd00::10]:443 -s wlc", "-a -t [fd00::10]:443 -r [fd01::1]:443 -g -w 1",
           "-A -u [fd00::10]:443 -s rr", "-a -u [fd00::10]:443 -r [fd01::2]:8443 -m -w 7",
           "-A --sctp-service [fd00::10]:443 -s rr", "-a --sctp-service [fd00::10]:443 -r [fd01::3]:443 -m -w 1")
table_case("fwmark",
           "-A -f 7 -s rr -p 300", "-a -f 7 -r 10.1.0.1:0 -g -w 1", "-a -f 7 -r 10.1.0.2:8080 -m -w 2",
           "-A -f 2147483647 -s rr")
table_case("fwmark-both-families",
           "-A -f 7 -s rr", "-a -f 7 -r 10.1.0.1:80 -g -w 1",
           "-A -f 7 -6 -s wrr -p 60 -M 64", "-a -f 7 -6 -r [fd01::1]:80 -g -w 1")
table_case("fwmark-one-server-two-ports",
           "-A -f 7 -s rr", "-a -f 7 -r 10.1.0.1:80 -m -w 1", "-a -f 7 -r 10.1.0.1:81 -m -w 2")

table_case("forward-all",
           "-A -t 10.0.0.1:80 -s wrr",
           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1",
           "-a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 2",
           "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 3 --tun-type ipip")
table_case("forward-tunnels",
           "-A -t 10.0.0.1:80 -s wrr",
           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
           "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum",
           "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type gue --tun-port 6082 --tun-remcsum",
           "-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gre --tun-nocsum",
           "-a -t 10.0.0.1:80 -r 10.1.0.5:80 -i -w 1 --tun-type gre --tun-csum")
table_case("forward-other-family",
           "-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r [fd01::1]:80 -i -w 1 --tun-type ipip",
           "-A -t [fd00::10]:80 -s rr", "-a -t [fd00::10]:80 -r 10.1.0.1:80 -i -w 1 --tun-type ipip")
table_case("thresholds",
           "-A -t 10.0.0.1:80 -s wlc",
           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1 -x 1000 -y 800",
           "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 1 -x 5 -y 0",
           "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -g -w 1")
table_case("weights",
           "-A -t 10.0.0.1:80 -s wrr",
           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 0",
           "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 65535",
           "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -m -w 0")


@case
def persistence_engine():
    both_ways(["-A -u 10.0.0.1:5060 -s rr -p 30 --pe sip", "-a -u 10.0.0.1:5060 -r 10.1.0.1:5060 -m -w 1"])


@case
def edits_in_place():
    before = ["-A -t 10.0.0.1:80 -s rr -p 300",
              "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1",
              "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 1",
              "-A -t 10.0.0.2:80 -s rr",
              "-A -t [fd00::10]:80 -s rr -p 300 -M 64"]
    after = ["-A -t 10.0.0.1:80 -s sh -b sh-port",
             "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0 -x 9 -y 3",
             "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 5 --tun-type gue --tun-port 99 --tun-csum",
             "-A -t 10.0.0.3:80 -s rr",
             "-A -t [fd00::10]:80 -s wlc -p 60"]
    run("ipvsadm", "-R", stdin=text(before))
    same("the plan", run("ipvs-table", "plan", "--all", stdin=text(after)).splitlines(),
         ["change service 10.0.0.1:80/tcp",
          "change server 10.1.0.1:80 of 10.0.0.1:80/tcp",
          "add server 10.1.0.3:80 to 10.0.0.1:80/tcp",
          "delete server 10.1.0.2:80 from 10.0.0.1:80/tcp",
          "add service 10.0.0.3:80/tcp",
          "delete service 10.0.0.2:80/tcp",
          "change service [fd00::10]:80/tcp"])
    run("ipvs-table", "apply", "--all", stdin=text(after))
    same("ipvsadm reads the change", saved(), [without_thresholds(line) for line in after])
    same("we read the change", dumped(), after)


@case
def foreign_services_stay():
    foreign = ["-A -t 10.0.0.9:80 -s rr", "-a -t 10.0.0.9:80 -r 10.1.0.9:80 -g -w 9"]
    ours = ["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1"]
    run("ipvsadm", "-R", stdin=text(foreign))
    run("ipvs-table", "apply", stdin=text(ours))
    same("both are there", saved(), foreign + ours)
    run("ipvs-table", "apply", stdin="")
    same("nothing is flushed", saved(), foreign + ours)


@case
def timeouts_both_ways():
    run("ipvs-table", "timeouts", "901", "121", "301")
    listed = run("ipvsadm", "-Ln", "--timeout").split(":")[-1].split()
    if listed != ["901", "121", "301"]:
        raise Failed(f"ipvsadm reads {listed}")
    run("ipvsadm", "--set", "800", "0", "200")
    ours = run("ipvs-table", "timeouts").split()
    if ours != ["800", "121", "200"]:
        raise Failed(f"we read {ours}")
    run("ipvs-table", "timeouts", "0", "100", "0")
    ours = run("ipvs-table", "timeouts").split()
    if ours != ["800", "100", "200"]:
        raise Failed(f"we read {ours} after changing one")


@case
def version():
    ours = run("ipvs-table", "info").strip()
    listed = re.search(r"version ([\d.]+) \(size=(\d+)\)", run("ipvsadm", "-Ln"))
    if ours != f"IPVS {listed[1]} (connection table {listed[2]})":
        raise Failed(f"we read {ours!r}, ipvsadm {listed[0]!r}")


def refused(lines, *words):
    """Applying must fail, and its errors must say all of `words`."""
    result = run("ipvs-table", "apply", "--all", stdin=text(lines), check=False)
    if result.returncode != 1:
        raise Failed(f"exit {result.returncode}, expected 1; {result.stdout}{result.stderr}")
    for word in words:
        if word not in result.stderr:
            raise Failed(f"{word!r} is not in: {result.stderr.strip()}")


@case
def refused_unknown_scheduler():
    good = ["-A -t 10.0.0.2:80 -s rr", "-a -t 10.0.0.2:80 -r 10.1.0.1:80 -g -w 1"]
    refused(["-A -t 10.0.0.1:80 -s nosuch", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1", *good],
            "10.0.0.1:80/tcp", "nosuch", "ip_vs_nosuch")
    same("the rest is carried out", saved(), good)


@case
def refused_many():
    """More errors than fit the socket's buffer at once; none may be lost."""
    lines = [f"-A -t 10.0.{i // 250}.{1 + i % 250}:80 -s nosuch" for i in range(1000)]
    modprobe = pathlib.Path("/proc/sys/kernel/modprobe")
    usual = modprobe.read_text(encoding="utf-8")
    try:
        # Else the kernel runs a program for each of them, which takes most of a minute.
        modprobe.write_text("\n", encoding="utf-8")
        result = run("ipvs-table", "apply", stdin=text(lines), check=False)
    finally:
        modprobe.write_text(usual, encoding="utf-8")
    if result.stdout.strip() != "1000 operations, 1000 refused" or result.stderr.count("\n") != 1000:
        raise Failed(f"{result.stdout.strip()}; {result.stderr.count(chr(10))} errors; {result.stderr[:200]}")


@case
def refused_multicast_server():
    refused(["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 224.0.0.1:80 -g -w 1"], "224.0.0.1:80", "unicast")


@case
def refused_thresholds():
    refused(["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1 -x 5 -y 6"], "threshold")


@case
def refused_weight():
    refused(["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 2147483648"], "2147483647")


@case
def refused_other_family():
    refused(["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r [fd01::1]:80 -g -w 1"], "tunnel")


@case
def refused_without_privilege():
    pr_capbset_drop, cap_net_admin = 24, 12
    result = run("ipvs-table", "dump", check=False,
                 prepare=lambda: ctypes.CDLL(None).prctl(pr_capbset_drop, cap_net_admin, 0, 0, 0))
    if result.returncode != 1 or "CAP_NET_ADMIN" not in result.stderr:
        raise Failed(f"exit {result.returncode}: {result.stderr.strip()}")


@case
def statistics_count():
    run("ip", "address", "add", "10.0.0.1/32", "dev", "lo")
    run("ip", "address", "add", "10.1.0.1/32", "dev", "lo")
    run("ipvs-table", "apply", stdin=text(["-A -u 10.0.0.1:7 -s rr -o", "-a -u 10.0.0.1:7 -r 10.1.0.1:7 -m -w 1"]))
    send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" \
           "for i in range(5): s.sendto(b'x' * 72, ('10.0.0.1', 7))"
    run("python3", "-c", send)
    # The kernel adds up its counters every two seconds.
    deadline = time.monotonic() + 30
    while True:
        lines = run("ipvs-table", "statistics").splitlines()
        counted = [line for line in lines
                   if all(counter in line for counter in ("connections: 5", "packets_in: 5", "bytes_in: 500"))]
        if len(counted) == 2 and any("-> 10.1.0.1:7 " in line for line in counted):
            return
        if time.monotonic() > deadline:
            raise Failed(f"5 packets of 100 bytes to the service and its server are not in {lines}")
        time.sleep(0.5)


@case
def a_large_table():
    """1000 services with 10 servers each: right, and in a fraction of ipvsadm's time."""
    lines = []
    for i in range(1000):
        vip = f"10.0.{i // 250}.{1 + i % 250}:80"
        lines.append(f"-A -t {vip} -s wrr")
        lines += [f"-a -t {vip} -r 10.{2 + k // 62500}.{k // 250 % 250}.{1 + k % 250}:80 -g -w 1"
                  for k in range(i * 10, i * 10 + 10)]
    started = time.monotonic()
    run("ipvs-table", "apply", stdin=text(lines))
    ours = time.monotonic() - started
    same("ipvsadm reads all of it", saved(), lines)
    same("we read all of it", dumped(), lines)
    run("ipvs-table", "apply", "--all", stdin="")
    same("all of it is deleted", saved(), [])
    fresh_namespace()
    started = time.monotonic()
    run("ipvsadm", "-R", stdin=text(lines))
    theirs = time.monotonic() - started
    same("we read all ipvsadm wrote", dumped(), lines)
    print(f"# 11000 rules: ipvs-table {ours * 1e3:.0f} ms, ipvsadm -R {theirs * 1e3:.0f} ms", flush=True)
    if ours > theirs / 3:
        raise Failed(f"loading took {ours:.2f} s, ipvsadm -R {theirs:.2f} s: more than a third")


def fresh_namespace():
    remove_namespace()
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    # Without an interface that is up the kernel takes no address for a unicast one.
    subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)


def remove_namespace():
    subprocess.run(["ip", "netns", "delete", NAMESPACE], stderr=subprocess.DEVNULL, check=False)


def main():
    wanted = sys.argv[1:]
    failed = 0
    for module in ["ip_vs", "ip_vs_pe_sip", *(f"ip_vs_{name}" for name in SCHEDULERS)]:
        # One that cannot be had fails the cases that need it.
        subprocess.run(["modprobe", module], check=False)
    with contextlib.ExitStack() as stack:
        stack.callback(remove_namespace)
        for name, function in CASES:
            if wanted and name not in wanted:
                continue
            fresh_namespace()
            try:
                function()
            except (Failed, subprocess.SubprocessError, OSError) as error:
                failed += 1
                print(f"FAIL {name} {' '.join(str(error).split())}", flush=True)
            else:
                print(f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
