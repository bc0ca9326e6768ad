"""HMAC trailers between our own directors: elections, restarts, and another key without a failover."""
from __future__ import annotations

from pathlib import Path

from lan import wait
from restarts import Watch
from routers import Router, fairway, write_fairway
from service import Service, service

VIP, VIP6 = "10.9.0.100", "fd00:9::100"
SLACK = 0.35


def keys(bench, *numbers: int, active: int) -> str:
    """As TOML: these keys, of which one is used."""
    paths = []
    for number in numbers:
        path = Path(bench.scratch / f"key{number}")
        path.touch(0o600)
        path.write_text("hex:" + f"{number:02x}" * 32 + "\n")
        paths.append(f'{number} = "{path}"')
    return f'auth = {{ hmac = {{ keys = {{ {", ".join(paths)} }}, active = {active} }} }}\n'


def trailers_between_ourselves(bench) -> None:
    """HMAC over IPv4, IPv6 and by unicast: election, crash, return, a change of process; a router with another key is not obeyed."""
    for router in (Router((VIP,), interval=0.1), Router((VIP6,), interval=0.1), Router((VIP,), interval=0.1, unicast=True)):
        vip, router = router.vips[0], router.but(extra=keys(bench, 1, active=1))
        strong = router.but(priority=200)
        ours, other = bench.up(fairway, bench.a, strong), bench.up(fairway, bench.b, router)
        bench.alone(bench.a, bench.b, vip, 20)
        t = ours.kill()
        bench.a.link("down")
        took = wait("the backup takes over", lambda: bench.b.holds(vip), 20) - t
        assert took <= router.master_down + 2 * SLACK, f"after {took:.3f} s; bound {router.master_down:.3f} s"
        bench.a.link("up")
        ours = bench.up(fairway, bench.a, strong)
        bench.alone(bench.a, bench.b, vip, 20)
        taken = Watch(bench, bench.b)
        gone, ours = ours, fairway(bench.a, strong, bench.scratch, None, True, "--take-over")
        bench.daemons.append(ours)
        assert gone.process.wait(20) == 0
        wait("the next process goes on", lambda: "going on as master" in ours.log(), 20)
        bench.alone(bench.a, bench.b, vip, 1)
        came = [line for line in taken.end(vip) if "eth0" in line]
        assert not came, f"the other director took over: {came}"
        assert "dropped a packet" not in ours.log() + other.log(), ours.log() + other.log()
        ours.lose(router)
        if not router.unicast:
            other.lose(router)
    stranger = bench.up(fairway, bench.a, strong.but(extra=keys(bench, 2, active=2)))
    wait("both are master", lambda: bench.a.holds(VIP) and bench.b.holds(VIP), 20)
    for daemon in (stranger, other):
        wait("both say why", lambda: "dropped a packet" in daemon.log() and "key" in daemon.log(), 20, 0.05)


def trailers_through_restart_and_another_key(bench) -> None:
    """`systemctl restart` with HMAC, then from one key to the next by reloads of one director at a time: nothing moves."""
    plain = Router((VIP,), interval=0.25)
    one = keys(bench, 1, active=1)
    ours, other = bench.up(service, bench.a, plain.but(priority=200, extra=one)), bench.up(service, bench.b, plain.but(extra=one))
    bench.alone(bench.a, bench.b, VIP, 20)
    held, taken = Watch(bench, bench.a), Watch(bench, bench.b)
    for turn in range(1, 3):
        ours.restart()
        wait("the next process goes on", lambda: ours.log().count("going on as master") == turn, 20)

    def reload(daemon: Service, priority: int, extra: str) -> None:
        size = len(daemon.log())
        write_fairway(daemon.directory, daemon.host, plain.but(priority=priority, extra=extra))
        daemon.control("kill", "--kill-whom=main", "--signal=HUP", daemon.name)
        wait("the reload is in force", lambda: "reloaded" in daemon.log()[size:], 20, 0.05)

    for extra in (keys(bench, 1, 2, active=1), keys(bench, 1, 2, active=2), keys(bench, 2, active=2)):
        reload(ours, 200, extra)
        reload(other, 100, extra)
    other.restart()
    wait("the next process goes on", lambda: "going on as backup" in other.log(), 20)
    bench.alone(bench.a, bench.b, VIP, 5)
    gone, came = held.end(VIP), taken.end(VIP)
    assert not gone and not came, f"left our director: {gone}; taken over: {came}; our log: {ours.log()[-3000:]}"
    assert "dropped a packet" not in ours.log() + other.log(), ours.log() + other.log()
    ours.stop()
    bench.alone(bench.b, bench.a, VIP, 20)


CASES = [trailers_between_ourselves, trailers_through_restart_and_another_key]
