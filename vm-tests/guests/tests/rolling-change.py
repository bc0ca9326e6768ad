"""`fairwayctl apply`, the backup first, under load: the new weight is in both kernels, and not one request fails."""

start_cluster()
given = "/run/fairway/topology.toml"
for director in directors:
    director.succeed(f"cp {given} /run/before.toml; sed 's/web1 = {{}}/web1 = {{ weight = 3 }}/' {given} >/run/after.toml")
    director.succeed("grep -c 'weight = 3' /run/after.toml")

with subtest("there and back, without a failed request"):
    with client.load(f"http://{VIP}/") as load:
        for file, weight in (("/run/after.toml", 3), ("/run/before.toml", 1)):
            for director in (lb2, lb1):
                director.succeed(f"fairwayctl apply --yes {file}")
                director.wait_until_succeeds(f"{weights()} | grep -cx 'web1 {weight}'", timeout=PATIENCE)
    assert not load.lost and not load.interrupted, f"requests failed: {load}"
    lb1.succeed(holds())
    lb2.fail(holds())

with subtest("a wrong one is refused, and changes nothing"):
    lb1.succeed("sed 's/192.168.1.100/10.9.9.9/' /run/before.toml >/run/wrong.toml")
    lb1.fail("fairwayctl apply --yes /run/wrong.toml")
    lb1.succeed(f"cmp {given} /run/before.toml", holds())
    answers(f"http://{VIP}/", {"web1", "web2"})
