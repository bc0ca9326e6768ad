"""`systemctl restart` hands the virtual IP on to the next process; the backup stays one."""

start_cluster()
before = lb1.succeed(pid())
transitions = lb2.succeed("fairwayctl status --json | jq '.groups[0].since_usec'")

lb1.succeed("systemctl restart fairway-director.service")
lb1.wait_for_unit("fairway-director.service")
lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"master\"'", timeout=PATIENCE)
after = lb1.succeed(pid())
assert before != after, "the process is the same"
lb1.succeed(holds())
lb2.fail(holds())
now = lb2.succeed("fairwayctl status --json | jq '.groups[0].since_usec'")
assert now == transitions, "the backup has changed its state"
answers(f"http://{VIP}/", {"web1", "web2"})
