"""Boots with everything that can be wrong: each machine says so on console, screen, in the journal, to fairwayctl, and serves what it served."""

import json

# Of the password "secret".
PASSWORD = "$6$fairway$vZaU9vJ/mLYVr.RIrTnihKnDsZ.RJKhFEKU2qxb8ipJW9pwpNp3YbEKaR4u1bSx6LrVVn.5FRWEwvk453J6N31"
# One server is enough for that: the other stays switched off.
machines = [lb1, lb2, web1]
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


def start() -> None:
    for machine in machines:
        machine.start()


def serve() -> None:
    lb1.wait_for_unit("fairway-director.service")
    web1.wait_for_open_port(80)
    lb1.wait_until_succeeds(up("web1"), timeout=PATIENCE)
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1"})


def group(state: str) -> None:
    """lb2's part in the election."""
    lb2.wait_until_succeeds(f"fairwayctl status --json | jq -e '.groups[0].state == \"{state}\"'", timeout=PATIENCE)


del lb2.plan.credentials["fairway.topology"]
lb2.fill_var()
web1.plan.credentials["passwd.hashed-password.root"] = PASSWORD
start()

with subtest("no topology: it says what to give it"):
    record = told(lb2)
    assert (record["state"], record["source"]) == ("none", None), f"{record}"
    lb2.fail("fairwayctl provision")
    assert "there is no topology" in lb2.console_text()
    shown(lb2, "there is no topology", "fairwayctl apply")
    serve()

with subtest("a full disk: memory takes what is written, also a topology that is applied"):
    told(lb2, "partition fairway-var is full")
    shown(lb2, "partition fairway-var is full")
    lb2.succeed("findmnt --noheadings --output FSTYPE --mountpoint /var | grep -cx overlay")
    lb2.write("/run/new.toml", given)
    lb2.succeed("fairwayctl apply --yes /run/new.toml")
    group("backup")
    lb2.succeed("test -s /var/lib/fairway-provision/good/topology.toml && ! test -e /run/fairway-var/disk/lib/fairway-provision/good")

with subtest("no password was given: no console lets anybody in; one was: it does"):
    for console in ("getty@tty2.service", "serial-getty@ttyS0.service"):
        lb1.fail(f"systemctl start {console} && systemctl is-active {console}")
    web1.wait_for_unit("serial-getty@ttyS0.service")
    for said, typed in (("web1 login: ", "root"), ("Password: ", "secret"), ("root@web1.*# ", "id -un >/run/who")):
        web1.wait_for_console_text(said, timeout=PATIENCE)
        web1.send_console(f"{typed}\r")
    web1.wait_until_succeeds("grep -cx root /run/who", timeout=PATIENCE)

# All of them lose their power, and come back with something else that is wrong.
for machine in machines:
    machine.crash()
lb1.plan.credentials |= {"fairway.topology": given[: len(given) // 2], "fairway.topology.sha256": lb1.sha256(given)}
lb1.plan.clock = "2035-01-01T00:00:00"
lb2.plan.credentials |= topology
lb2.insert({"topology.toml": changed})
lb2.plan.cable = False
web1.plan.var_read_only = True
web1.plan.credentials["fairway.topology"] = given.replace("lb", "dc").replace("web", "db")
start()

with subtest("a credential that was cut off: the last good copy is in force"):
    record = told(lb1, "fairway.topology.sha256 says", "cut off")
    assert (record["state"], record["source"]) == ("refused", "kept"), f"{record}"
    assert "cut off" in lb1.console_text()
    shown(lb1, "the newest topology is refused")

with subtest("a clock that is wrong is on the screen"):
    shown(lb1, "2035-01-01", "not synchronized")

with subtest("a topology for other hosts, and a disk that can only be read: the last good copy is read from it"):
    record = told(web1, "the topology has no such host, only dc1, dc2, db1, db2", "partition fairway-var can only be read")
    assert (record["state"], record["source"]) == ("refused", "kept"), f"{record}"
    assert "no such host" in web1.console_text()
    shown(web1, "the topology has no such host", "partition fairway-var can only be read")
    web1.succeed("touch /var/lib/writable")

with subtest("all of them serve what they served"):
    serve()

with subtest("two topologies that disagree: the credential is in force"):
    record = told(lb2, "two topologies disagree", lb2.sha256(given), lb2.sha256(changed), "partition fairway-var is full")
    assert (record["state"], record["source"]) == ("ok", "credential"), f"{record}"
    shown(lb2, "two topologies disagree")

with subtest("no network: it is there as soon as there is a carrier"):
    lb2.wait_for_unit("fairway-director.service")
    group("fault")
    shown(lb2, "edge fault")
    lb2.unblock()
    group("backup")
    lb2.fail(holds())
