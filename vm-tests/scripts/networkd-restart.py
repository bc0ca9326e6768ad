"""systemd-networkd is restarted and reloaded on the master, nftables reloaded: the virtual IP and the rules stay."""

start_cluster()

for command in (
    "systemctl restart systemd-networkd.service",
    "networkctl reload",
    "networkctl reconfigure eth1",
    "systemctl reload nftables.service",
):
    with subtest(command):
        lb1.succeed(command)
        lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
        lb1.succeed("nft list table inet fairway | grep -cF 192.168.1.100")
        answers(f"http://{VIP}/", {"web1", "web2"})
lb2.fail(holds())
