"""The story of `./demo --full`."""


def told(load: object) -> str:
    answers = ", ".join(f"{server} {count}" for server, count in sorted(load.answers.items()))
    return (
        f"   answers: {answers}; not opened: {len(load.lost)}, broken: {len(load.interrupted)}; "
        f"longest pause {load.pause:.1f} s"
    )


print("\n== two directors and two web servers boot the appliance, lb2 the whole disk by UEFI", flush=True)
start_cluster()
print(lb1.succeed("fairwayctl status"))

print("== balancing: requests for ten seconds", flush=True)
with client.load(f"http://{VIP}/", pace=0.05) as load:
    client.sleep(10)
print(told(load))

print("\n== systemctl restart of the director that serves", flush=True)
with client.load(f"http://{VIP}/", pace=0.05) as load:
    lb1.succeed("systemctl restart fairway-director.service")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
print(told(load))

print("\n== lb1 loses its power, and comes back", flush=True)
with client.load(f"http://{VIP}/", pace=0.05) as load:
    lb1.crash()
    lb2.wait_until_succeeds(holds(), timeout=PATIENCE)
    client.wait_until_succeeds(get(f"http://{VIP}/"), timeout=PATIENCE)
print(told(load))
print(lb2.succeed("fairwayctl status | head -n 6"))
lb1.start()
lb1.wait_for_unit("fairway-director.service")
lb1.wait_until_succeeds(holds(), timeout=PATIENCE)

print("== a graceful reboot of lb1: it hands over, and takes over again", flush=True)
with client.load(f"http://{VIP}/", pace=0.05) as load:
    lb1.reboot()
    lb1.wait_for_unit("fairway-director.service")
    lb1.wait_until_succeeds(holds(), timeout=PATIENCE)
    lb2.wait_until_fails(holds(), timeout=PATIENCE)
print(told(load))
