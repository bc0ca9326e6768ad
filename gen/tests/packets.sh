# Sends packets from a client namespace to the director namespace this runs in, whose rules are in $1.
rules=$1
ip link set lo up
unshare --net sleep 30 &
client=$!
trap 'kill $client $servers 2>/dev/null' EXIT
until [ "$(readlink /proc/$client/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
there="nsenter --net --target $client"

ip link add eth0 type veth peer name eth0 netns "$client"
ip link set eth0 up
$there ip link set lo up
$there ip link set eth0 up
for address in 198.51.100.11/24 198.51.100.100/32 198.51.100.101/32; do ip addr add $address dev eth0; done
for address in 2001:db8::11/64 2001:db8:ffff::53/128; do ip -6 addr add $address dev eth0 nodad; done
# The client has the address of another director too, to send adverts from.
for address in 198.51.100.200/24 198.51.100.12/24; do $there ip addr add $address dev eth0; done
$there ip -6 addr add 2001:db8::200/64 dev eth0 nodad
$there ip -6 route add default via 2001:db8::11
nft -I "$rules" -f "$rules/fairway.nft"

ready=$(mktemp -u)
mkfifo "$ready"
python3 - "$ready" <<'SERVERS' &
import socket, sys, threading

def loop(function, *arguments):
    def run():
        while True:
            function(*arguments)
    threading.Thread(target=run, daemon=True).start()

def echo(server):
    data, sender = server.recvfrom(100)
    server.sendto(data, sender)

for address, port in [("198.51.100.100", p) for p in (80, 443, 22, 81)] + [("198.51.100.101", 12345)]:
    loop(socket.create_server((address, port)).accept)
for port in (53, 54):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("2001:db8:ffff::53", port))
    loop(echo, server)
adverts = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
open(sys.argv[1], "w").close()
source = adverts.recv(100)[12:16]
print("advert from", socket.inet_ntoa(source), "heard", flush=True)
SERVERS
servers=$!
cat "$ready"
rm "$ready"

$there python3 - <<'CLIENT'
import socket

for address, port in [("198.51.100.100", p) for p in (80, 443, 22, 81)] + [("198.51.100.101", 12345)]:
    try:
        socket.create_connection((address, port), timeout=0.7).close()
        print(f"{address}:{port} open", flush=True)
    except TimeoutError:
        print(f"{address}:{port} filtered", flush=True)
for port in (53, 54):
    query = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    query.settimeout(0.7)
    query.sendto(b"?", ("2001:db8:ffff::53", port))
    try:
        query.recv(100)
        print(f"[2001:db8:ffff::53]:{port}/udp answered", flush=True)
    except TimeoutError:
        print(f"[2001:db8:ffff::53]:{port}/udp silent", flush=True)
# The stranger's comes first: had it passed, it would be the one that is heard.
for source in ("198.51.100.200", "198.51.100.12"):
    advert = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    advert.bind((source, 0))
    advert.sendto(b"advert", ("198.51.100.11", 0))
CLIENT
wait $servers
