"""A director is replaced by another machine, with another MAC address and a fresh disk: no request fails, and it can take over."""

from guests.cluster import firmware_boot

start_cluster()
old = lb2.succeed("cat /sys/class/net/eth1/address").strip()
lb2.succeed("touch /var/lib/fairway/left-behind")

with subtest("the old one goes, the new one comes: it is backup, and no request fails"):
    with client.load(f"http://{VIP}/") as load:
        lb2.crash()
        lb2.plan.number = 20
        lb2.plan.boot = firmware_boot(image, lb2.directory / "replacement")
        lb2.start()
        lb2.wait_for_unit("fairway-director.service")
        lb2.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"backup\"'", timeout=PATIENCE)
        for name in ("web1", "web2"):
            lb2.wait_until_succeeds(up(name), timeout=PATIENCE)
    assert load.answers and not load.lost and not load.interrupted, f"{load}"
    assert lb2.succeed("cat /sys/class/net/eth1/address").strip() != old
    lb2.fail("test -e /var/lib/fairway/left-behind")

with subtest("it takes over when the other one loses its power, and gives back"):
    lb1.crash()
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1", "web2"})
    lb1.start()
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
