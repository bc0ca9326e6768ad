"""A machine that boots the appliance's disk becomes the director that its credentials say it is, and serves."""

start_all()
lb1.wait_for_unit("fairway-provision.service")
lb1.wait_for_unit("fairway-director.service")
lb1.succeed("findmnt --kernel --type tmpfs /")
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
lb2.wait_until_fails(holds(), timeout=PATIENCE)
for name in ("web1", "web2"):
    lb1.wait_until_succeeds(up(name), timeout=PATIENCE)
lb1.succeed("nft list table inet fairway | grep -cF 192.168.1.100")
answers(f"http://{VIP}/", {"web1", "web2"})
