"""`systemctl stop` on the master: the backup takes over and nothing stays behind; `start` brings it back."""

start_cluster()

lb1.succeed("systemctl stop fairway-director.service")
lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
lb1.fail(f"ip -o address show | grep -cF ' {VIP}/'")
lb1.fail("ipvsadm --list --numeric | grep -c ^TCP")
answers(f"http://{VIP}/", {"web1", "web2"})

lb1.succeed("systemctl start fairway-director.service")
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
lb2.wait_until_fails(holds(), timeout=PATIENCE)
