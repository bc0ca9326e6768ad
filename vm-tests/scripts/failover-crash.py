"""The master loses its power: the backup takes over, and gives back when the better director has returned."""

start_cluster()

with subtest("the backup takes over"):
    lb1.crash()
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1", "web2"})

with subtest("the preferred director takes over again"):
    lb1.start()
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1", "web2"})
