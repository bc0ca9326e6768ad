"""`systemctl restart` of the director three times under load: not one request fails."""

start_cluster()
with client.load(f"http://{VIP}/") as load:
    for _ in range(3):
        before = lb1.succeed(pid())
        lb1.succeed("systemctl restart fairway-director.service")
        lb1.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"master\"'", timeout=PATIENCE)
        after = lb1.succeed(pid())
        assert before != after, "the process is the same"
assert not load.lost and not load.interrupted, f"requests failed: {load}"
assert set(load.answers) == {"web1", "web2"}, f"answers: {load}"
lb2.fail(holds())
