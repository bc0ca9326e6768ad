"""Direct routing: the client reaches both servers at the virtual IP, and the replies do not pass the director."""

start_cluster()
answers(f"http://{VIP}/", {"web1", "web2"})

with subtest("replies go straight to the client"):
    client.succeed(f"ip neighbour flush all; {get(f'http://{VIP}/')}")
    director = lb1.succeed("cat /sys/class/net/eth1/address").strip()
    neighbour = client.succeed(f"ip neighbour show {VIP} dev eth1")
    assert director in neighbour, f"the virtual IP is at {neighbour}, not at lb1's {director}"
    forwarded = lb1.succeed("ipvsadm --list --numeric --stats --exact").splitlines()
    outgoing = [line.split()[4] for line in forwarded if line.startswith("TCP")]
    assert outgoing == ["0"], f"packets came back through the director: {forwarded}"

with subtest("no real server answers ARP for the virtual IP"):
    for server in servers:
        server.succeed(f"ip -o address show dev fairway0 | grep -cF ' {VIP}/32'")
        server.succeed("test $(cat /proc/sys/net/ipv4/conf/all/arp_ignore) = 1")
