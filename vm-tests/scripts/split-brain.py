"""The directors cannot hear each other: both are master. They can again: one is, and clients reach it."""

start_cluster()

with subtest("a partition makes two masters"):
    lb2.succeed(
        "nft add table inet cut",
        "nft add chain inet cut input '{ type filter hook input priority -10; }'",
        "nft add rule inet cut input ip protocol 112 drop",
    )
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb1.succeed(holds())

with subtest("it heals"):
    lb2.succeed("nft delete table inet cut")
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
    lb1.succeed(holds())
    client.wait_until_succeeds(get(f"http://{VIP}/"), timeout=PATIENCE)
    director = lb1.succeed("cat /sys/class/net/eth1/address").strip()
    neighbour = client.succeed(f"ip neighbour show {VIP} dev eth1")
    assert director in neighbour, f"the virtual IP is at {neighbour}, not at lb1's {director}"
