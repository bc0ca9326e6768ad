"""The image for hardware, with a SATA disk and an Intel network card: a stick makes it director, then its boot partition does."""

PROVISION = "fairwayctl provision --json | jq -r '\"\\(.state) \\(.source) \\(.host)\"'"


def serves(source: str) -> None:
    """It is lb1 by this source, and the virtual IP's master."""
    start_cluster()
    assert lb1.succeed(PROVISION).strip() == f"ok {source} lb1"
    answers(f"http://{VIP}/", {"web1", "web2"})


with subtest("a stick labelled FAIRWAY"):
    topology = lb1.plan.credentials.pop("fairway.topology").read_text()
    # It knows itself by the card's address.
    del lb1.plan.credentials["fairway.host"]
    lb1.plan.credentials["system.hostname"] = "unnamed"
    known = topology.replace("[hosts.lb1]", f'[hosts.lb1]\nmac = "{lb1.mac(1)}"')
    assert known != topology
    lb1.insert_stick({"topology.toml": known, "topology.toml.sha256": lb1.sha256(known)})
    serves("disk")
    assert lb1.succeed("uname -n").strip() == "lb1"
    lb1.succeed("realpath /sys/class/net/eth1/device/driver | grep -c /e1000e$")
    lb1.succeed("realpath /sys/block/sda | grep -c /ata")
    lb1.succeed("realpath /dev/disk/by-label/FAIRWAY | xargs -i udevadm info --query property --property ID_BUS --value {} | grep -cx usb")
    lb1.wait_until_succeeds("systemctl is-system-running", timeout=PATIENCE)

with subtest("the topology on the boot partition, as systemd-creds writes it; the stick is gone, and so is the copy"):
    place = "/boot/loader/credentials"
    lb1.succeed(
        f"mkdir -p {place}",
        f"systemd-creds encrypt --with-key=null --name=fairway.topology /run/fairway/topology.toml {place}/fairway.topology.cred",
        f"echo -n lb1 | systemd-creds encrypt --with-key=null --name=fairway.host - {place}/fairway.host.cred",
        "rm -r /var/lib/fairway-provision/*",
    )
    lb1.plan.medium = None
    lb1.reboot()
    serves("credential")
