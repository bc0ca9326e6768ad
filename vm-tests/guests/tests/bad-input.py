"""Boots with everything that can be wrong: each machine says so on console, screen, in the journal, to fairwayctl, and serves what it served."""

import json

machines = [*directors, *servers]
given = lb1.plan.credentials["fairway.topology"].read_text()
# Another good one.
changed = given.replace('scheduler = "rr"', 'scheduler = "wlc"')
assert changed != given
topology = {"fairway.topology": lb1.plan.credentials["fairway.topology"]}


def told(machine, *words: str) -> dict:
    """What `fairwayctl provision --json` says, with these words in it and in the journal."""
    machine.wait_for_file("/run/fairway/provision.json")
    record = json.loads(machine.execute("fairwayctl provision --json")[1])
    said = " ".join(record["errors"] + record["warnings"])
    journal = machine.succeed("journalctl --boot --identifier fairway-provision --priority warning --output cat")
    for word in words:
        assert word in said, f"{machine.name}: {word!r} is not in {record}"
        assert word in journal, f"{machine.name}: {word!r} is not in the journal: {journal}"
    return record


def shown(machine, *words: str) -> None:
    """These words are on the screen; lines are as long as it is wide."""
    for word in words:
        machine.wait_until_succeeds(f"fold --width 80 /dev/vcs1 | tr -s ' \\n' ' ' | grep -cF '{word}'", timeout=PATIENCE)


def power_cut() -> None:
    """All at once, and back with what their plans have now."""
    for machine in machines:
        machine.crash()
    start_all()


def serve(names: set[str]) -> None:
    lb1.wait_for_unit("fairway-director.service")
    for name in names:
        {"web1": web1, "web2": web2}[name].wait_for_open_port(80)
    for name in ("web1", "web2"):
        wait = lb1.wait_until_succeeds if name in names else lb1.wait_until_fails
        wait(up(name), timeout=PATIENCE)
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", names)


with subtest("a machine without a topology waits for one"):
    del lb2.plan.credentials["fairway.topology"]
    start_all()
    record = told(lb2)
    assert (record["state"], record["source"]) == ("none", None), f"{record}"
    lb2.fail("fairwayctl provision")
    assert "there is no topology" in lb2.console_text()
    shown(lb2, "there is no topology", "fairwayctl apply")
    serve({"web1", "web2"})
    lb2.write("/run/new.toml", given)
    lb2.succeed("fairwayctl apply --yes /run/new.toml")
    lb2.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"backup\"'", timeout=PATIENCE)

with subtest("wrong topologies: what was served is served"):
    # The first half, with the hash of the whole; in the year 2035.
    lb1.plan.credentials |= {"fairway.topology": given[: len(given) // 2], "fairway.topology.sha256": lb1.sha256(given)}
    lb1.plan.clock = "2035-01-01T00:00:00"
    lb2.plan.credentials["fairway.topology"] = given.replace("lb", "dc").replace("web", "db")
    del web1.plan.credentials["fairway.topology"]
    web2.insert({"topology.toml": changed})
    power_cut()
    record = told(lb1, "fairway.topology.sha256 says", "cut off")
    assert (record["state"], record["source"]) == ("refused", "kept"), f"{record}"
    assert "cut off" in lb1.console_text()
    shown(lb1, "the newest topology is refused", "2035-01-01", "not synchronized")
    record = told(lb2, 'the topology has no such host, only dc1, dc2, db1, db2')
    assert (record["state"], record["source"]) == ("refused", "applied"), f"{record}"
    assert "no such host" in lb2.console_text()
    record = told(web1)
    assert (record["state"], record["source"]) == ("ok", "kept"), f"{record}"
    record = told(web2, "two topologies disagree", lb1.sha256(given), lb1.sha256(changed))
    assert (record["state"], record["source"]) == ("ok", "credential"), f"{record}"
    shown(web2, "two topologies disagree")
    serve({"web1", "web2"})
    lb2.fail(holds())

with subtest("disks that take nothing, and a cable that is not there"):
    lb1.succeed("dd if=/dev/zero of=/var/filled bs=1M status=none || sync")
    lb1.plan.clock = None
    for machine in machines:
        machine.plan.credentials |= topology
        machine.plan.credentials.pop("fairway.topology.sha256", None)
    # It cannot be kept.
    lb1.plan.credentials["fairway.topology"] = web1.plan.credentials["fairway.topology"] = changed
    web1.plan.var_read_only = True
    lb2.plan.cable = False
    power_cut()
    record = told(lb1, "partition fairway-var is full")
    assert (record["state"], record["source"]) == ("ok", "credential"), f"{record}"
    shown(lb1, "partition fairway-var is full")
    record = told(web1, "partition fairway-var can only be read")
    assert (record["state"], record["source"]) == ("ok", "credential"), f"{record}"
    shown(web1, "partition fairway-var can only be read")
    serve({"web1", "web2"})
    told(lb2)
    lb2.wait_for_unit("fairway-director.service")
    lb2.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"fault\"'", timeout=PATIENCE)
    shown(lb2, "edge fault")
    lb2.unblock()
    lb2.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"backup\"'", timeout=PATIENCE)
