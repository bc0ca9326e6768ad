"""A director that nobody has told its name: a DHCP server does, and it takes its part without a restart."""

start_cluster()
web1.succeed(
    "mkdir -p /run/systemd/network/10-fairway-eth1.network.d",
    "printf '[Network]\\nDHCPServer=yes\\n[DHCPServer]\\nPoolOffset=100\\nPoolSize=20\\nEmitDNS=no\\nEmitRouter=no\\nSendOption=12:string:lb2\\n'"
    " >/run/systemd/network/10-fairway-eth1.network.d/server.conf",
    "networkctl reload",
)
del lb2.plan.credentials["fairway.host"]
lb2.plan.credentials["system.hostname"] = "unnamed"
# The copy of the last one that was good knows its name.
lb2.succeed("rm -r /var/lib/fairway-provision/*")
lb2.reboot()
lb2.wait_for_unit("fairway-director.service")
assert lb2.succeed("uname -n").strip() == "lb2"
assert lb2.succeed("fairwayctl provision --json | jq -r '\"\\(.state) \\(.source) \\(.host)\"'").strip() == "ok credential lb2"
lb2.wait_until_succeeds("fairwayctl status --json | jq -e '.groups[0].state == \"backup\"'", timeout=PATIENCE)
lb2.succeed("ip -4 -json address show eth1 | jq -e 'any(.[].addr_info[]; .local == \"192.168.1.3\")'")
answers(f"http://{VIP}/", {"web1", "web2"})
lb2.plan.credentials["fairway.host"] = "lb2"
del lb2.plan.credentials["system.hostname"]
