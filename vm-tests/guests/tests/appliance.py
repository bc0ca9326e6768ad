"""A disk booted by UEFI: a root that cannot change, a second slot and a /var that systemd-repart made; then it serves."""

start_cluster()

with subtest("the root is checked, and only memory is written to"):
    lb2.succeed("grep -c 'roothash=[0-9a-f]' /proc/cmdline")
    lb2.succeed("findmnt --kernel --type overlay /")
    lb2.succeed("grep -cx 'CRYPT-VERITY-.*-root' /sys/block/dm-0/dm/uuid")
    lb2.succeed("bootctl status | grep -cF 'Product: systemd-boot'")

with subtest("nobody changes the kernel's command line at the boot menu"):
    lb2.succeed("grep -cx 'editor no' /boot/loader/loader.conf")

with subtest("the disk has been partitioned"):
    labels = lb2.succeed("lsblk --noheadings --output PARTLABEL --raw").split()
    assert labels.count("_empty") == 2, f"no second slot: {labels}"
    lb2.succeed("test $(findmnt --noheadings --output SOURCE /var) = $(realpath /dev/disk/by-partlabel/fairway-var)")

with subtest("it is the host that its credentials say"):
    assert lb2.succeed("uname -n").strip() == "lb2"
    lb2.succeed("cmp /etc/fairway/topology.toml /run/credentials/@system/fairway.topology")
    # The firmware's, so that it is the same at each boot.
    assert lb2.succeed("cat /etc/machine-id") == lb2.succeed("tr -d - </sys/class/dmi/id/product_uuid")
