"""Without preemption a director that comes back stays backup, until the operator or a failure decides otherwise."""

# Whoever is there first is master, and stays it.
lb1.start()
lb1.wait_for_unit("fairway-director.service")
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
start_cluster()

with subtest("a director that comes back stays backup"):
    lb1.succeed("systemctl stop fairway-director.service")
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb1.succeed("systemctl start fairway-director.service")
    lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"backup\"'", timeout=PATIENCE)
    # Several advert intervals of a second, in which a preempting director would have taken over.
    lb1.succeed("sleep 10")
    lb1.fail(holds())
    lb2.succeed(holds())

with subtest("the operator moves it"):
    lb2.succeed("fairwayctl failover edge")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1", "web2"})
