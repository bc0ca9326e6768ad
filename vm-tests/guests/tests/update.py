"""A signed update into the other slot, also after a power cut in its midst; it boots; and back, also when it cannot boot."""

import subprocess

from guests import update

VERSION = "sed -n s/^IMAGE_VERSION=//p /usr/lib/os-release | tr -d '\"'"
SERVICE = "systemd-sysupdate.service"
UPDATE = f"systemctl start --wait {SERVICE}"

lb1.plan.medium = lb1.directory / "update"
OLD, NEW = update.build(image, lb1.plan.medium)


def booted(version: str) -> None:
    """It is master in this version, and has the update at hand."""
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"master\"'", timeout=60)
    assert lb1.succeed(VERSION).strip() == version
    lb1.succeed("mkdir -p /var/lib/fairway-update && mount -o ro /dev/disk/by-label/update /var/lib/fairway-update")


def trust() -> None:
    """What would be in the image, or comes with its provisioning."""
    lb1.succeed("cp /var/lib/fairway-update/key.gpg /etc/systemd/import-pubring.gpg")


def kernels() -> list[str]:
    return sorted(lb1.succeed("ls /boot/EFI/Linux").split())


def labels() -> list[str]:
    return lb1.succeed("lsblk --noheadings --raw --output PARTLABEL").split()


keys = {}
for name in ("given", "other"):
    keys[name] = lb1.directory / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys[name]], check=True)
lb1.plan.credentials["ssh.authorized_keys.root"] = (lb1.directory / "given.pub").read_text()
SSH = f"ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={lb1.directory}/known -i"

lb1.start()
booted(OLD)
slot = lb1.succeed("lsblk --noheadings --raw --bytes --output PATH,PARTLABEL,SIZE | awk '$2 == \"_empty\" && $3 > 100e6 { print $1 }'").strip()
assert len(slot.split()) == 1, f"no second slot: {slot}"

with subtest("by SSH, with the key that it was given: a topology is looked at before it is applied"):
    address = lb1.succeed("ip -4 -json address show eth1 | jq -r '.[0].addr_info[0].local'").strip()
    client.wait_until_succeeds(f"{SSH} {keys['given']} root@{address} fairwayctl provision")
    changed = lb1.succeed("sed 's/scheduler = \"rr\"/scheduler = \"wlc\"/' /etc/fairway/topology.toml")
    (lb1.directory / "changed.toml").write_text(changed)
    plan = client.succeed(f"{SSH} {keys['given']} root@{address} fairwayctl apply --dry-run - <{lb1.directory}/changed.toml")
    assert "lb1" in plan and "lb2" in plan, f"the plan: {plan}"
    lb1.succeed("grep -c 'scheduler = \"rr\"' /etc/fairway/topology.toml")
    client.fail(f"{SSH} {keys['other']} root@{address} true")

with subtest("an update that nobody trusts is refused, and changes nothing"):
    lb1.fail(UPDATE)
    trust()
    lb1.succeed("mount --bind /dev/null /var/lib/fairway-update/SHA256SUMS.gpg")
    lb1.fail(UPDATE)
    lb1.succeed("umount /var/lib/fairway-update/SHA256SUMS.gpg")
    assert kernels() == [f"fairway_{OLD}.efi"]

with subtest("its power goes while the slot is written: it boots as before"):
    lb1.succeed(f"systemctl start {SERVICE}")
    lb1.succeed(f"while cmp --quiet --bytes 65536 {slot} /dev/zero; do systemctl is-active --quiet {SERVICE}; sleep 0.1; done", timeout=300)
    lb1.succeed(f"systemctl is-active {SERVICE}")
    lb1.crash()
    lb1.start()
    booted(OLD)
    assert kernels() == [f"fairway_{OLD}.efi"] and f"fairway_{NEW}" not in labels(), f"{kernels()}, {labels()}"

with subtest("the same update once more goes into the other slot"):
    trust()
    lb1.succeed(UPDATE)
    assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+3-0.efi"], f"{kernels()}"
    assert {f"fairway_{OLD}", f"fairway_{NEW}"} <= set(labels()), f"{labels()}"

with subtest("it is booted, after a shutdown in order, and counted as good"):
    lb1.shutdown()
    assert "FAILED" not in lb1.console_text(), f"{lb1.console_text()}"
    lb1.start()
    booted(NEW)
    lb1.wait_for_unit("boot-complete.target")
    lb1.wait_until_succeeds(f"test -e /boot/EFI/Linux/fairway_{NEW}.efi", timeout=300)

with subtest("and back"):
    lb1.succeed(f"bootctl set-default fairway_{OLD}.efi")
    lb1.reboot()
    assert lb1.succeed(VERSION).strip() == OLD
    lb1.wait_for_unit("local-fs.target")

with subtest("a version that cannot be booted is left for the one before"):
    # As after an update, but for what is in the slot, and with one attempt only.
    lb1.succeed("bootctl set-default ''")
    lb1.succeed(f"mv /boot/EFI/Linux/fairway_{NEW}.efi /boot/EFI/Linux/fairway_{NEW}+1-0.efi")
    lb1.succeed(f"dd if=/dev/zero of={slot} bs=1M count=1 conv=fsync status=none; sync")
    lb1.reboot()
    lb1.wait_for_shutdown()
    lb1.start()
    booted(OLD)
    assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+0-1.efi"], f"{kernels()}"
