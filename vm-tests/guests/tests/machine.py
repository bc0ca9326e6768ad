"""Every machine is as systemd wants it: no failed unit, nobody can log in, the director is sandboxed, bus and journal tell."""

start_cluster()

with subtest("every unit is in order"):
    for machine in (*directors, *servers):
        machine.wait_until_succeeds("systemctl is-system-running", timeout=PATIENCE)

with subtest("nobody can log in, and nothing listens that need not"):
    for machine in (lb1, web1):
        machine.fail("grep -vE '^[^:]+:[!*]' /etc/shadow")
        for unit in ("ssh.service", "getty@tty1.service", "serial-getty@ttyS0.service"):
            machine.fail(f"systemctl is-active {unit}")
    listening = lb1.succeed("ss --no-header --listening --tcp --numeric | awk '{ print $4 }'").split()
    assert all(address.startswith(("127.", "[::1]")) for address in listening), f"lb1 listens at {listening}"

with subtest("the director's sandbox"):
    # The kernel's networking and VRRP's sockets are its task; 10 is no sandbox at all.
    lb1.succeed("systemd-analyze security --no-pager --threshold=30 fairway-director.service")
    lb1.succeed("test $(stat --format %U /proc/$(systemctl show --property MainPID --value fairway-director.service)) = fairway")

with subtest("the bus"):
    lb1.succeed("busctl --system tree --list org.fairway.Director1 | grep -c /org/fairway/Director1")
    lb1.succeed("busctl --system introspect org.fairway.Director1 /org/fairway/Director1 | grep -c org.freedesktop.DBus.Properties")
    # Everybody may look, and nobody else may change anything.
    lb1.succeed("setpriv --reuid nobody --clear-groups fairwayctl status | grep -c edge")
    lb1.fail("setpriv --reuid nobody --clear-groups fairwayctl failover edge")
    lb1.succeed(holds())

with subtest("the screen, without anybody having logged in"):
    for machine, words in ((lb1, ("lb1, director of cluster guests", "edge master")), (web1, ("web1, real-server of cluster guests",))):
        for word in words:
            machine.wait_until_succeeds(f"tr -s ' ' </dev/vcs1 | grep -cF '{word}'", timeout=PATIENCE)

with subtest("the journal"):
    events = "journalctl --unit fairway-director.service --output json --output-fields FAIRWAY_EVENT,EVENT,MESSAGE"
    lb1.succeed(f"{events} | grep -c 'backup -> master'")
