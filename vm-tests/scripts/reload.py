"""A changed topology reaches the director by reload: same process, virtual IP in place, new weight in the kernel."""

start_cluster()
before = lb1.succeed(pid())

lb1.succeed("/run/current-system/specialisation/heavier/bin/switch-to-configuration test")
lb1.wait_until_succeeds(f"{weights()} | grep -cx 'web1 3'", timeout=PATIENCE)
after = lb1.succeed(pid())
assert before == after, f"the director was restarted: process {before} became {after}"
lb1.succeed(holds())
lb2.fail(holds())
answers(f"http://{VIP}/", {"web1", "web2"})
