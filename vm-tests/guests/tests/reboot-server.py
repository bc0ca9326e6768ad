"""A drained real server reboots under load: nothing is lost, and it gets its share when it is back."""

start_cluster()
with client.load(f"http://{VIP}/") as load:
    for director in directors:
        director.succeed("fairwayctl drain web web2")
    for director in directors:
        director.wait_until_fails(up("web2"), timeout=PATIENCE)
    # What was under way when it was drained.
    lb1.wait_until_succeeds("ipvsadm --list --numeric | grep -cE '192.168.1.5:80 +Route +0 +0 '", timeout=PATIENCE)
    web2.reboot()
    web2.wait_for_open_port(80)
    for director in directors:
        director.succeed("fairwayctl resume web web2")
        director.wait_until_succeeds(up("web2"), timeout=PATIENCE)
    client.wait_until_succeeds(f"{get(f'http://{VIP}/')} | grep -cx web2", timeout=PATIENCE)
assert not load.lost and not load.interrupted, f"requests failed: {load}"
