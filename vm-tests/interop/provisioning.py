"""An appliance's programs under a real systemd: a topology comes into force at boot, and others are applied."""
from __future__ import annotations

import json
import subprocess

from lan import Host, run, wait
from routers import Router, binary
from service import Service

VIP, SECOND, THIRD = "10.9.0.100", "10.9.0.101", "10.9.0.102"
TOPOLOGY = """version = 1
cluster.name = "appliances"
networks.lan.subnets = ["10.9.0.0/24"]
hosts.a.interfaces.eth0 = { network = "lan", addresses = ["10.9.0.1"], manage = false }
hosts.b.interfaces.eth0 = { network = "lan", addresses = ["10.9.0.2"], manage = false }
virtual-ips = { VIPS }
failover.edge = { virtual-ips = [NAMES], directors = ["a", "b"], advert-interval = "250ms" }
"""


def topology(*vips: str) -> str:
    names = {f"vip{number}": vip for number, vip in enumerate(vips)}
    entries = ", ".join(f'{name} = "{vip}"' for name, vip in names.items())
    return TOPOLOGY.replace("VIPS", entries).replace("NAMES", ", ".join(f'"{name}"' for name in names))


class Appliance(Service):
    """A machine with a /run and /var/lib of its own, whose director reads what provisioning has written."""

    def __init__(self, host: Host, router: Router, scratch) -> None:
        super().__init__(host, router, scratch)
        self.medium, shims = self.directory / "medium", self.directory / "shims"
        self.medium.mkdir()
        shims.mkdir()
        # This systemd is a user's.
        (shims / "systemctl").write_text('#!/bin/sh\nexec /bin/systemctl --user "$@"\n')
        (shims / "systemctl").chmod(0o755)
        for name in ("fairway-director", "fairwayctl", "fairway-provision"):
            (shims / name).symlink_to(binary(name))
        self.path = f"{shims}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.inside("mount", "-t", "tmpfs", "tmpfs", "/var/lib")

    def _unit(self) -> str:
        return super()._unit().replace(f"{self.directory}/director.toml", "/run/fairway/files/etc/fairway/director.toml")

    def try_inside(self, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self._shell()}", "--mount", "--pid", "--uts", "--cgroup", "--net"]
        environment = [f"XDG_RUNTIME_DIR={self.directory}/runtime", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.directory}/runtime/bus",
                       f"PATH={self.path}"]  # fmt: skip
        return subprocess.run([*enter, "env", "-u", "CREDENTIALS_DIRECTORY", *environment, *argv], input=text, text=True, capture_output=True, timeout=60)

    def inside(self, *argv: str, text: str = "") -> str:
        done = self.try_inside(*argv, text=text)
        assert done.returncode == 0, f"{argv}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def boot(self) -> None:
        self.inside("fairway-provision", "boot", "--medium", str(self.medium))

    def record(self) -> dict:
        return json.loads(self.try_inside("fairwayctl", "provision", "--json").stdout)


def topologies_are_applied(bench) -> None:
    """Boot from a disk's topology; apply another: the director takes it; a wrong one and a failing reload change nothing."""
    ours = bench.up(Appliance, bench.a, Router((VIP,)))
    (ours.medium / "topology.toml").write_text(topology(VIP))
    (ours.medium / "host").write_text("a\n")
    ours.boot()
    ours.start_bus()
    ours.control("start", Service.name)
    wait("the master has the VIP", lambda: bench.a.holds(VIP), 20)
    pid = ours.property("MainPID")

    # Standard input, as over SSH.
    plan = ours.inside("fairwayctl", "apply", "-", "--dry-run", text=topology(VIP, SECOND))
    assert "a  director, this host" in plan and "b  director\n" in plan and "etc/fairway/director.toml" in plan, plan
    assert not bench.a.holds(SECOND)
    said = ours.inside("fairwayctl", "apply", "-", text=topology(VIP, SECOND))
    assert said.startswith(plan.rstrip()) and "now on the others, in this order: b" in said, said
    wait("the new VIP is there", lambda: bench.a.holds(SECOND), 10)
    assert bench.a.holds(VIP) and ours.property("MainPID") == pid, "the director was reloaded, not restarted"
    record = ours.record()
    assert (record["state"], record["source"], record["host"]) == ("ok", "applied", "a"), record

    refused = ours.try_inside("fairwayctl", "apply", "-", text=topology(VIP).replace("250ms", "soon"))
    assert refused.returncode == 1 and "standard input:7: failover.edge.advert-interval:" in refused.stderr, refused.stderr
    assert "nothing was changed" in refused.stderr, refused.stderr

    # The director cannot be told: what was in force stays, files and all.
    ours.control("stop", "dbus.socket", "dbus.service")
    failed = ours.try_inside("fairwayctl", "apply", "-", text=topology(VIP, SECOND, THIRD))
    assert failed.returncode == 1, failed.stdout
    for words in ("`fairwayctl reload`", "cannot reach the bus", "the files of the topology before are back"):
        assert words in failed.stderr, failed.stderr
    assert ours.inside("cat", "/run/fairway/topology.toml") == topology(VIP, SECOND)
    assert THIRD not in ours.inside("cat", "/run/fairway/files/etc/fairway/director.toml")
    assert bench.a.holds(VIP) and bench.a.holds(SECOND) and not bench.a.holds(THIRD)

    # The next boot: the disk is as it was, so what was applied counts; another disk counts again, if it is right.
    def reboot(text: str) -> tuple[str, str, str]:
        (ours.medium / "topology.toml").write_text(text)
        ours.inside("rm", "-r", "/run/fairway")
        ours.boot()
        record = ours.record()
        return record["state"], record["source"], ours.inside("cat", "/run/fairway/topology.toml")

    assert reboot(topology(VIP)) == ("ok", "applied", topology(VIP, SECOND))
    assert reboot(topology(THIRD)) == ("ok", "disk", topology(THIRD))
    screen = ours.inside("fairwayctl", "console", "--once")
    assert "a, director of cluster appliances" in screen and "director: cannot reach the bus" in screen, screen


# A /dev of its own with the devices that are needed.
MACHINE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir /run/dev /run/drawer
cp -a /dev/null /dev/zero /dev/urandom {device} /run/dev/
cp -a {broken} /run/drawer/
touch /run/dev/console
mount --bind /run/dev /dev
boot() {{ hostname unnamed; {program} boot 2>>{log} || echo "exit $?" >>{log}; cp /run/fairway/provision.json {scratch}/$1.json; uname -n >{scratch}/$1.name; grep -c /run/fairway/medium /proc/mounts >{scratch}/$1.mounts || true; }}
boot first
cp /run/fairway/secrets/key {scratch}/key
rm {device}
boot without
cp -a /run/drawer/* /dev/
boot broken
cp /dev/console {scratch}/console
"""


def a_labelled_disk_is_mounted(bench) -> None:
    """A real file system labelled FAIRWAY: read and let go; without it, and with one that is broken, the last good copy."""
    scratch = bench.scratch / "disk"
    (scratch / "content/secrets").mkdir(parents=True)
    (scratch / "content/topology.toml").write_text(topology(VIP))
    (scratch / "content/host").write_text("b")
    (scratch / "content/secrets/key").write_text("secret")
    log = scratch / "log"
    devices = []
    try:
        for name in ("image", "broken"):
            image = scratch / name
            with image.open("wb") as file:
                file.truncate(8 << 20)
            run(["mkfs.ext4", "-q", "-b", "1024", "-L", "FAIRWAY", "-d", str(scratch / "content"), str(image)])
            if name == "broken":
                with image.open("r+b") as file:
                    file.seek(2048)  # the group descriptors, behind the superblock with the label
                    file.write(b"\xff" * 1024)
            devices.append(run(["losetup", "--find", "--show", "--read-only", str(image)]).strip())
        device, broken = devices
        script = MACHINE.format(device=device, broken=broken, program=binary("fairway-provision"), scratch=scratch, log=log)
        run(["unshare", "--mount", "--uts", "timeout", "120", "env", "-u", "CREDENTIALS_DIRECTORY", "sh", "-ec", script])
    finally:
        for device in devices:
            run(["losetup", "--detach", device])
    records = {name: json.loads((scratch / f"{name}.json").read_text()) for name in ("first", "without", "broken")}
    seen = {name: (record["state"], record["source"], record["host"]) for name, record in records.items()}
    assert seen == {"first": ("ok", "disk", "b"), "without": ("ok", "kept", "b"), "broken": ("refused", "kept", "b")}, (records, log.read_text())
    assert [(scratch / f"{name}.name").read_text().strip() for name in records] == ["b"] * 3, "it is not called what it is"
    assert [(scratch / f"{name}.mounts").read_text().strip() for name in records] == ["0"] * 3, "it stays mounted"
    assert (scratch / "key").read_text() == "secret"
    for told in (records["broken"]["errors"][0], (scratch / "console").read_text()):
        assert "the file system labelled FAIRWAY cannot be mounted" in told, told


CASES = [topologies_are_applied, a_labelled_disk_is_mounted]
