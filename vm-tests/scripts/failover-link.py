"""The master's cable is pulled: the backup takes over. The cable returns: one master, the preferred one."""

start_cluster()

lb1.block()
lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"fault\"'", timeout=PATIENCE)
answers(f"http://{VIP}/", {"web1", "web2"})

lb1.unblock()
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
lb2.wait_until_fails(holds(), timeout=PATIENCE)
answers(f"http://{VIP}/", {"web1", "web2"})
