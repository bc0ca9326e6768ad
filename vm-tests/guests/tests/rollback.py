"""A power cut while a new version's kernel is written; a version whose director does not answer: three attempts, then the one before."""

from guests import update

VERSION = "sed -n s/^IMAGE_VERSION=//p /usr/lib/os-release | tr -d '\"'"
SERVICE = "systemd-sysupdate.service"
KERNELS = "/boot/EFI/Linux"
PATIENCE = 600

lb1.plan.medium = lb1.directory / "update"
OLD, NEW = update.build(image, lb1.plan.medium, {"usr/bin/fairway-director": "#!/bin/sh\nexit 1\n"})


def serves() -> None:
    """It is master in the old version, and has the update at hand."""
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"master\"'", timeout=PATIENCE)
    assert lb1.succeed(VERSION).strip() == OLD
    lb1.succeed("mkdir -p /var/lib/fairway-update && mount -o ro /dev/disk/by-label/update /var/lib/fairway-update")
    lb1.succeed("cp /var/lib/fairway-update/key.gpg /etc/systemd/import-pubring.gpg")


def kernels() -> list[str]:
    # Its shell answers before that is mounted.
    lb1.wait_for_file(KERNELS, timeout=PATIENCE)
    return sorted(lb1.succeed(f"ls {KERNELS}").split())


lb1.start()
serves()

with subtest("its power goes while the kernel is written, the last of the update: it boots as before"):
    lb1.succeed(f"systemctl start --no-block {SERVICE}")
    lb1.succeed(f"until ls -A {KERNELS} | grep -q '^[.]'; do sleep 0.05; done", timeout=PATIENCE)
    lb1.crash()
    lb1.start()
    serves()
    assert kernels() == [f"fairway_{OLD}.efi"], f"{kernels()}"

with subtest("the same update once more"):
    lb1.succeed(f"systemctl start --wait {SERVICE}")
    assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+3-0.efi"], f"{kernels()}"

for attempt in (1, 2, 3):
    with subtest(f"attempt {attempt} at the new version"):
        if attempt == 1:
            lb1.reboot()
        else:
            lb1.wait_for_shutdown()
            lb1.start()
        assert lb1.succeed(VERSION).strip() == NEW
        assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+{3 - attempt}-{attempt}.efi"], f"{kernels()}"

with subtest("the version before serves again"):
    lb1.wait_for_shutdown()
    lb1.start()
    serves()
    assert kernels() == [f"fairway_{OLD}.efi", f"fairway_{NEW}+0-3.efi"], f"{kernels()}"
