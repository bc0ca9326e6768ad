"""Tunnel: the director wraps what the client sends, the servers unwrap it and answer the client themselves."""

start_cluster()
answers(f"http://{VIP}/", {"web1", "web2"})

with subtest("the servers unwrap"):
    for server in servers:
        before = int(server.succeed("cat /sys/class/net/fairway-ipip/statistics/rx_packets"))
        client.succeed("; ".join([get(f"http://{VIP}/")] * 4))
        after = int(server.succeed("cat /sys/class/net/fairway-ipip/statistics/rx_packets"))
        assert after > before, f"nothing came out of the tunnel of {server.name}"

with subtest("replies go straight to the client"):
    forwarded = lb1.succeed("ipvsadm --list --numeric --stats --exact").splitlines()
    outgoing = [line.split()[4] for line in forwarded if line.startswith("TCP")]
    assert outgoing == ["0"], f"packets came back through the director: {forwarded}"

with subtest("the other director goes on"):
    lb1.succeed("systemctl stop fairway-director.service")
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    answers(f"http://{VIP}/", {"web1", "web2"})
