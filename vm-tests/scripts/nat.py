"""NAT: the client reaches both servers at another port, and the servers' own traffic leaves through the master."""

start_cluster()
answers(f"http://{VIP}:8080/", {"web1", "web2"})

with subtest("the servers' default route is the virtual IP inside"):
    lb1.succeed(holds("192.168.2.100").replace("eth1", "eth2"))
    for server in servers:
        server.succeed("ip route get 192.168.1.1 | grep -cF 'via 192.168.2.100'")
        server.wait_until_succeeds("ping -c 1 -W 2 192.168.1.1", timeout=PATIENCE)

with subtest("both virtual IPs move together"):
    lb1.succeed("systemctl stop fairway-director.service")
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_succeeds(holds("192.168.2.100").replace("eth1", "eth2"), timeout=PATIENCE)
    answers(f"http://{VIP}:8080/", {"web1", "web2"})
