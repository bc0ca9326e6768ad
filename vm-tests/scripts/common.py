"""What the test scripts share: it is put before each of them.

Nodes are lb1, lb2 (directors), web1, web2 (real servers) and client, with the addresses of
vm-tests/topologies/guests-*.toml. Everything used of the driver is in nix/checks/driver.pyi.
"""

VIP = "192.168.1.100"
directors = [lb1, lb2]
servers = [web1, web2]
# Emulated machines are slow: everything that must come about is waited for this long, in seconds.
PATIENCE = 120


def holds(vip: str = VIP) -> str:
    """The command that succeeds where the virtual IP is."""
    return f"ip -o address show dev eth1 | grep -cF ' {vip}/'"


def get(url: str) -> str:
    """The command that asks for a page, and prints which server answered."""
    return f"curl --silent --show-error --fail --max-time 3 --noproxy '*' {url}"


def start_cluster(vip: str = VIP) -> None:
    """Starts everything and waits until lb1 is master and both servers are served."""
    start_all()
    for director in directors:
        director.wait_for_unit("fairway-director.service")
    for server in servers:
        server.wait_for_open_port(80)
    lb1.wait_until_succeeds(holds(vip), timeout=PATIENCE)
    lb2.wait_until_fails(holds(vip), timeout=PATIENCE)
    for director in directors:
        for name in ("web1", "web2"):
            director.wait_until_succeeds(up(name), timeout=PATIENCE)


def up(server: str) -> str:
    """The command that succeeds while a director's kernel sends connections to a server."""
    return f"{weights()} | grep -cE '^{server} [1-9]'"


def weights() -> str:
    """The command that prints the servers, each with its weight in the kernel's table."""
    return "fairwayctl status --json | jq -r '.services[].servers[] | \"\\(.name) \\(.effective_weight // 0)\"'"


def answers(url: str, names: set[str]) -> None:
    """The client gets answers from these servers and no others."""
    for name in names:
        client.wait_until_succeeds(f"{get(url)} | grep -cx {name}", timeout=PATIENCE)
    seen = {client.succeed(get(url)).strip() for _ in range(8)}
    assert seen <= names, f"answers from {seen}, not only {names}"


def pid() -> str:
    """The command that prints the director's process."""
    return "systemctl show --property MainPID --value fairway-director.service"
