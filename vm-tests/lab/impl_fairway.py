"""Fairway as an implementation under test of the LVS lab: a spec becomes a topology, goes through
fairway-gen, and our release binary runs what comes out.

The lab executes this file in its own name space (see its `load_impls`), so there is no `__file__`:
the checkout is found from $LAB_IMPLS (this directory) or the current directory. Inside the lab's
guest, where there is no checkout, the binaries come from $PATH.

What fairway-gen wrote is remembered by spec. It runs when a cluster is deployed, not when a director
starts, so a bench that starts the same spec several times measures the director alone from the
second run on.
"""
import ipaddress
import json
import os
import shutil
import signal
import subprocess


def _binary(name):
    for start in (os.environ.get("LAB_IMPLS"), os.getcwd()):
        for up in ("../..", ".", ".."):
            path = os.path.join(start or ".", up, "target", os.environ.get("FAIRWAY_PROFILE", "release"), name)
            if os.access(path, os.X_OK):
                return os.path.realpath(path)
    return shutil.which(name) or name


def _period(seconds):
    return "%dms" % round(seconds * 1000)


_written = {}


class IMPL(Keepalived):  # noqa: F821 - the lab provides it
    name = "fairway"

    def __init__(self, binary=None):
        self.bin = binary or _binary("fairway-director")
        self.gen = _binary("fairway-gen")

    def topology(self, spec):
        """The spec as a topology of one director. Everything is on one network, whatever its size."""
        vrrp, services = spec.get("vrrp", ()), spec.get("vs", ())
        vips, groups, out = {}, [], ["version = 1", "", "[cluster]", 'name = "lab"', ""]
        interface = vrrp[0]["iface"] if vrrp else "eth0"
        addresses = [v.split("/")[0] for i in vrrp for v in i["vips"]] + [s["addr"] for s in services]
        subnet = ipaddress.ip_network(addresses[0] + "/8", strict=False)
        out += ["[networks.lan]", 'subnets = ["%s"]' % subnet, "", "[hosts.self]",
                'interfaces.%s = { network = "lan", manage = false }' % interface, ""]
        for i in vrrp:
            names = []
            for v in i["vips"]:
                names.append("v%d" % len(vips))
                vips[v] = names[-1]
            groups += ["[failover.%s]" % i["id"], "virtual-ips = %s" % json.dumps(names),
                       "directors = { self = %d }" % i["prio"], "vrid = %d" % i["vrid"], "version = %d" % i["version"],
                       'advert-interval = "%s"' % _period(i["adv"])]
            # keepalived, the lab's other implementation, forms and demands this checksum
            groups += ['checksum = "rfc5798"', ""] if i["version"] == 3 else [""]
        shared = {v.split("/")[0]: n for v, n in vips.items()}
        for s in services:
            if s["addr"] not in shared:
                shared[s["addr"]] = vips[s["addr"]] = "v%d" % len(vips)
        # without a prefix length: the lab's would have to be that of our one network
        out += ["[virtual-ips]"] + ['%s = "%s"' % (n, v.split("/")[0]) for v, n in vips.items()] + [""] + groups
        followed = {v.split("/")[0] for i in vrrp for v in i["vips"]}
        checks = {}
        for k, s in enumerate(services):
            out += ["[services.s%d]" % k, 'listen = ["%s:%d"]' % (shared[s["addr"]], s["port"]), 'protocol = "tcp"',
                    'scheduler = "%s"' % s.get("sched", "rr"), 'forward = "%s"' % {"DR": "direct", "NAT": "nat"}[s.get("kind", "DR")]]
            if s["addr"] not in followed:
                out.append('directors = ["self"]')
            if s.get("check"):
                probe = {"tcp": "tcp = {}", "http": 'http = { path = "/", status = [200] }'}[s["check"]]
                body = '%s\nevery = "%s"\ntimeout = "%s"\nrise = 1\nfall = %d' % (
                    probe, _period(s.get("delay", 1)), _period(s.get("timeout", 1)), s.get("retry", 0) + 1)
                out.append('checks = ["%s"]' % checks.setdefault(body, "c%d" % len(checks)))
            out.append("[services.s%d.real-servers]" % k)
            out += ['r%d = { address = "%s", port = %d, weight = %d, managed = false }' % (n, a, p, w)
                    for n, (a, p, w) in enumerate(s["reals"])]
            out.append("")
        for body, name in checks.items():
            out += ["[checks.%s]" % name, body, ""]
        return "\n".join(out)

    def write(self, dir, spec):
        os.makedirs(dir, exist_ok=True)
        key = json.dumps(spec, sort_keys=True)
        if key not in _written:
            topology = os.path.join(dir, "topology.toml")
            with open(topology, "w") as f:
                f.write(self.topology(spec))
            out = os.path.join(dir, "self")
            subprocess.run([self.gen, "director", topology, "--host", "self", "--out", out], check=True, stdout=subprocess.DEVNULL)
            with open(os.path.join(out, "etc/fairway/director.toml")) as f:
                _written[key] = f.read()
        with open(os.path.join(dir, "director.toml"), "w") as f:
            f.write(_written[key])

    def argv(self, dir, spec):
        return [self.bin, "run", "--config", os.path.join(dir, "director.toml")]

    def reload(self, d):
        os.kill(d.p.pid, signal.SIGHUP)

    def cleanup_after_crash(self, d):
        pass
