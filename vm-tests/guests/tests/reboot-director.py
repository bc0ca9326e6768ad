"""`systemctl reboot` of the master under load, until it is master again: no connection is lost."""

start_cluster()
with client.load(f"http://{VIP}/") as load:
    lb1.reboot()
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
assert not load.lost, f"connections could not be opened: {load}"
# Of two moves each can meet a request that is under way; the directors do not share their connections here.
assert len(load.interrupted) <= 2, f"connections broke: {load}"
assert set(load.answers) == {"web1", "web2"}, f"answers: {load}"
lb1.succeed("journalctl --unit fairway-director.service --grep 'backup -> master' --quiet | grep -c .")
