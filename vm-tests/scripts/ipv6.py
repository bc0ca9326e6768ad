"""IPv6 with direct routing: balancing, and a take-over."""

vip = "fd00:1::100"
start_cluster(vip)
answers(f"http://[{vip}]/", {"web1", "web2"})

lb1.crash()
lb2.wait_until_succeeds(holds(vip), timeout=PATIENCE)
answers(f"http://[{vip}]/", {"web1", "web2"})
