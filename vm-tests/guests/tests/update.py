"""A signed update into the other slot, also after a power cut in its midst; it boots; and back, also when it cannot boot."""

from guests import update

VERSION = "sed -n s/^IMAGE_VERSION=//p /usr/lib/os-release | tr -d '\"'"
UPDATE = "/usr/lib/systemd/systemd-sysupdate update"

lb1.plan.medium = lb1.directory / "update"
OLD, NEW = update.build(image, lb1.plan.medium)


def booted(version: str) -> None:
    """It serves in this version, and has the update at hand."""
    lb1.wait_for_unit("fairway-director.service")
    assert lb1.succeed(VERSION).strip() == version
    lb1.succeed("mkdir -p /var/lib/fairway-update && mount -o ro /dev/disk/by-label/update /var/lib/fairway-update")


def trust() -> None:
    """What would be in the image, or comes with its provisioning."""
    lb1.succeed("cp /var/lib/fairway-update/key.gpg /etc/systemd/import-pubring.gpg")


def kernels() -> list[str]:
    return sorted(lb1.succeed("ls /boot/EFI/Linux").split())


def labels() -> list[str]:
    return lb1.succeed("lsblk --noheadings --raw --output PARTLABEL").split()


lb1.start()
booted(OLD)
slot = lb1.succeed("lsblk --noheadings --raw --bytes --output PATH,PARTLABEL,SIZE | awk '$2 == \"_empty\" && $3 > 100e6 { print $1 }'").strip()
assert len(slot.split()) == 1, f"no second slot: {slot}"

with subtest("an update that nobody trusts is refused, and changes nothing"):
    lb1.fail(UPDATE)
    trust()
    lb1.succeed("mount --bind /dev/null /var/lib/fairway-update/SHA256SUMS.gpg")
    lb1.fail(UPDATE)
    lb1.succeed("umount /var/lib/fairway-update/SHA256SUMS.gpg")
    assert kernels() == [f"fairway_{OLD}.efi"]

with subtest("its power goes while the slot is written: it boots as before"):
    lb1.succeed(f"systemd-run --unit cut {UPDATE}")
    lb1.succeed(f"while cmp --quiet --bytes 65536 {slot} /dev/zero; do systemctl is-active --quiet cut; sleep 0.1; done", timeout=300)
    lb1.succeed("systemctl is-active cut")
    lb1.crash()
    lb1.start()
    booted(OLD)
    assert kernels() == [f"fairway_{OLD}.efi"] and f"fairway_{NEW}" not in labels(), f"{kernels()}, {labels()}"

with subtest("the same update once more goes into the other slot"):
    trust()
    lb1.succeed(UPDATE)
    assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+3-0.efi"], f"{kernels()}"
    assert {f"fairway_{OLD}", f"fairway_{NEW}"} <= set(labels()), f"{labels()}"

with subtest("it is booted, and counted as good"):
    lb1.reboot()
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
