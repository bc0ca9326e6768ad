"""A Fairway master and a keepalived backup: keepalived takes over from a crash, and yields when the master is back."""

start_all()
lb1.wait_for_unit("fairway-director.service")
lb2.wait_until_succeeds("systemctl is-active keepalived.service", timeout=PATIENCE)
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
lb2.wait_until_fails(holds(), timeout=PATIENCE)
client.wait_until_succeeds(f"ping -c 1 -W 2 {VIP}", timeout=PATIENCE)

lb1.crash()
lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
client.wait_until_succeeds(f"ping -c 1 -W 2 {VIP}", timeout=PATIENCE)

lb1.start()
lb1.wait_for_unit("fairway-director.service")
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
lb2.wait_until_fails(holds(), timeout=PATIENCE)
