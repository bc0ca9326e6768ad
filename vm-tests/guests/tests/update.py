"""A signed update goes into the other slot; a version that does not boot is left for the one before; then it boots."""


VERSION = "sed -n s/^IMAGE_VERSION=//p /usr/lib/os-release | tr -d '\"'"


def kernels() -> list[str]:
    return lb1.succeed("ls /boot/EFI/Linux").split()


def next_boot() -> None:
    lb1.wait_for_shutdown()
    lb1.start()


lb1.start()
lb1.wait_for_unit("fairway-director.service")
assert lb1.succeed(VERSION).strip() == OLD

with subtest("an unsigned update is refused, and changes nothing"):
    lb1.succeed("mkdir -p /var/lib/fairway-update && tar -xf /dev/vdb -C /var/lib/fairway-update")
    lb1.succeed("mv /var/lib/fairway-update/SHA256SUMS.gpg /var/lib/kept")
    lb1.fail("/usr/lib/systemd/systemd-sysupdate update")
    assert kernels() == [f"fairway_{OLD}.efi"]

with subtest("a signed one goes into the other slot"):
    lb1.succeed("mv /var/lib/kept /var/lib/fairway-update/SHA256SUMS.gpg")
    lb1.succeed("/usr/lib/systemd/systemd-sysupdate update")
    assert sorted(kernels()) == [f"fairway_{OLD}.efi", f"fairway_{NEW}+3-0.efi"], f"{kernels()}"
    labels = lb1.succeed("lsblk --noheadings --raw --output PARTLABEL").split()
    assert {f"fairway_{OLD}", f"fairway_{NEW}"} <= set(labels), f"{labels}"

with subtest("a version that cannot be booted is left for the one before"):
    slot = f"/dev/disk/by-partlabel/fairway_{NEW}"
    lb1.succeed(f"dd if={slot} of=/var/lib/slot bs=1M count=1 status=none; dd if=/dev/zero of={slot} bs=1M count=1 conv=fsync status=none")
    # One attempt is enough here.
    lb1.succeed(f"mv /boot/EFI/Linux/fairway_{NEW}+3-0.efi /boot/EFI/Linux/fairway_{NEW}+1-0.efi; sync")
    lb1.reboot()
    next_boot()
    lb1.wait_for_unit("fairway-director.service")
    assert lb1.succeed(VERSION).strip() == OLD

with subtest("one that can is booted, and counted as good"):
    lb1.succeed(f"dd if=/var/lib/slot of={slot} bs=1M conv=fsync status=none")
    lb1.succeed(f"mv /boot/EFI/Linux/fairway_{NEW}+0-1.efi /boot/EFI/Linux/fairway_{NEW}+3-0.efi; sync")
    lb1.reboot()
    lb1.wait_for_unit("fairway-director.service")
    assert lb1.succeed(VERSION).strip() == NEW
    lb1.wait_for_unit("boot-complete.target")
    lb1.wait_until_succeeds(f"test -e /boot/EFI/Linux/fairway_{NEW}.efi", timeout=300)

with subtest("and back"):
    lb1.succeed(f"bootctl set-default fairway_{OLD}.efi")
    lb1.reboot()
    lb1.wait_for_unit("fairway-director.service")
    assert lb1.succeed(VERSION).strip() == OLD
