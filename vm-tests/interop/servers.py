"""Checks against other people's servers: nginx, HAProxy, Exim, dnsmasq, Redis, OpenLDAP, MariaDB, PostgreSQL and gRPC, each from its Debian package."""
from __future__ import annotations

import csv
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from lan import Host, wait
from routers import binary

if TYPE_CHECKING:
    from run import Bench

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "exim4": "exim4-daemon-light", "dnsmasq": "dnsmasq-base",
            "redis-server": "redis-server", "slapd": "slapd", "mariadbd": "mariadb-server-core", "openssl": "openssl", "/usr/bin/python3": "python3-grpcio"}  # fmt: skip
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
A, B = "10.9.0.1", "10.9.0.2"  # the servers' host, and the one that checks


class Servers:
    """Servers on the first host, and probes from the second."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.there, self.here = bench, bench.a, bench.b
        self.directory = bench.scratch / "servers"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        bench.scratch.chmod(0o755)  # the servers give up their rights

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, program: str, *arguments: object, port: int) -> subprocess.Popen[str]:
        path = shutil.which(program, path=SYSTEM)
        assert path, f"{program} is missing: apt-get install {PACKAGES[program]}"
        if program == "slapd":
            # AppArmor's profile of it, where there is one, goes by the path and allows no files of ours.
            path = shutil.copy(path, self.directory)
        log = self.directory.parent / f"log-{Path(program).name}"
        log.mkdir()
        with open(log / "log", "w") as out:
            process = self.there.spawn(path, *map(str, arguments), stdout=out, stderr=out)
        self.listening(port, lambda: (log / "log").read_text()[-1500:])
        return process

    def listening(self, port: int, log) -> None:
        def ready() -> bool:
            return f":{port} " in self.there.run("ss", "-lntu")

        try:
            wait(f"a server at port {port}", ready, 20)
        except Exception as error:
            raise AssertionError(f"{error}: {log()}") from error

    def sees(self, port: int, check: str, timeout: int = 15) -> str:
        """One check's outcome and its words, `pass: connected`."""
        argv = ["ip", "netns", "exec", self.here.space, binary("examples/check"), f"{A}:{port}"]
        check = f'{check.strip()}\nevery = "20s"\ntimeout = "{timeout}s"\n'
        done = subprocess.run(argv, input=check, text=True, capture_output=True, timeout=60)
        assert done.stdout, f"{check}{done.stderr}"
        return done.stdout.strip()

    def expect(self, port: int, check: str, *wanted: str, timeout: int = 15) -> None:
        seen = self.sees(port, check, timeout)
        assert all(text in seen for text in wanted), f"port {port}: {check!r} saw {seen!r} instead of {wanted!r}"


def authority(servers: Servers, *names: str) -> Path:
    """An authority, and a certificate by it for each name, as NAME.pem with its key."""
    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=servers.directory)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", 30, "-subj", "/CN=the authority")
    for name in names:
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        servers.file("extensions", f"subjectAltName=DNS:{name}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 30,
                "-extfile", "extensions", "-out", f"{name}.crt")
        both = servers.directory / f"{name}.pem"
        both.write_text((servers.directory / f"{name}.key").read_text() + (servers.directory / f"{name}.crt").read_text())
        both.chmod(0o644)
        (servers.directory / f"{name}.key").chmod(0o644)
    return servers.directory / "ca.pem"


def web_servers(bench: Bench) -> None:
    """nginx and HAProxy: HTTP, virtual hosts, TLS by an authority of one's own, SNI, HTTP/2, redirects, and agents."""
    servers = Servers(bench)
    ca = authority(servers, "shop.example", "blog.example")
    where = servers.directory
    tls = f"ssl_certificate {where}/NAME.pem; ssl_certificate_key {where}/NAME.key;"
    sites = "".join(
        f"""
        server {{
            listen 80; listen 443 ssl http2; listen 8080 http2; server_name {name};
            {tls.replace("NAME", name)}
            location /healthz {{ default_type text/plain; return 200 "{name} is well"; }}
            location /round {{ return 302 /round; }}
            location / {{ return 404; }}
        }}"""
        for name in ("shop.example", "blog.example")
    )
    nginx = servers.file("nginx.conf", f"""
        daemon off; pid {where}/nginx.pid; error_log stderr; user root;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {where}/t1; proxy_temp_path {where}/t2; fastcgi_temp_path {where}/t3;
            uwsgi_temp_path {where}/t4; scgi_temp_path {where}/t5;
            {sites}
        }}
        """)
    servers.start("nginx", "-c", nginx, port=8080)
    trust = f'ca-file = "{ca}"'
    healthy = 'path = "/healthz", body = "^shop.example is well$", host = "shop.example"'
    servers.expect(80, "tcp = {}", "pass: connected")
    servers.expect(80, f"http = {{ {healthy} }}", "pass: status 200, body matches")
    servers.expect(80, 'http = { path = "/healthz", body = "shop", host = "blog.example" }', "fail: status 200, but the body")
    servers.expect(80, 'http = { path = "/missing" }', "fail: status 404 instead of 200")
    servers.expect(80, 'http = { path = "/round" }', "fail: status 302 instead of 200")
    servers.expect(80, 'http = { path = "/healthz", method = "HEAD" }', "pass: status 200")
    servers.expect(443, f"http = {{ {healthy}, tls = {{ {trust} }} }}", "pass: status 200, body matches")
    servers.expect(443, f"http = {{ {healthy}, http2 = true, tls = {{ {trust} }} }}", "pass: status 200, body matches")
    servers.expect(8080, f"http = {{ {healthy}, http2 = true }}", "pass: status 200, body matches")
    # The name asked for decides which certificate comes.
    servers.expect(443, f'http = {{ path = "/healthz", host = "blog.example", body = "blog", tls = {{ {trust} }} }}', "pass:")
    servers.expect(443, f'http = {{ path = "/healthz", tls = {{ {trust}, sni = "other.example" }} }}', "fail:", "other.example")
    servers.expect(443, f"http = {{ {healthy}, tls = {{}} }}", "fail:", "certificate")
    servers.expect(443, f"http = {{ {healthy}, tls = {{ verify = false }} }}", "pass: status 200")
    servers.expect(443, f'http = {{ {healthy}, tls = {{ {trust}, expiry-warning = "60d" }} }}', "warn:")
    request = 'send = "GET /healthz HTTP/1.0\\r\\nHost: shop.example\\r\\n\\r\\n", expect = "^HTTP/1.[01] 200 (?s:.*)well"'
    servers.expect(443, f'tcp = {{ {request}, tls = {{ {trust}, sni = "shop.example" }} }}', "pass: answered as expected")
    proxied(servers, ca)


def proxied(servers: Servers, ca: Path) -> None:
    """HAProxy in front of it, and as another reader of agents: both must take the same words for the same thing."""
    words = {"up": 7001, "75%": 7002, "drain": 7003, "down # disk full": 7004}
    agents = ("import socket, sys, threading\n"
              "def agent(word, port):\n"
              "    listener = socket.create_server(('', port))\n"
              "    while True:\n"
              "        one, _ = listener.accept()\n"
              "        one.sendall(word.encode() + b'\\n')\n"
              "        one.close()\n"
              f"for word, port in {words!r}.items():\n"
              "    threading.Thread(target=agent, args=(word, port)).start()\n")  # fmt: skip
    servers.there.spawn("python3", "-c", agents)
    where = servers.directory
    # A server behind an agent needs a check of its own there, or agent-check does not count it down.
    lines = "".join(f"    server s{port} {A}:80 weight 100 check inter 200 agent-check agent-port {port} agent-inter 200\n" for port in words.values())
    haproxy = servers.file("haproxy.cfg", f"""\
global
    stats socket {where}/haproxy.sock
    log stderr format raw local0 err
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend plain
    bind :8081
    default_backend web
frontend secure
    bind :8443 ssl crt {where}/shop.example.pem alpn h2,http/1.1
    default_backend web
frontend empty
    bind :8082
    default_backend none
backend web
    server nginx {A}:80
backend none
    server nobody {A}:9
backend told
{lines}""")
    servers.start("haproxy", "-db", "-f", haproxy, port=8443)
    healthy = 'path = "/healthz", body = "^shop.example is well$", host = "shop.example"'
    servers.expect(8081, "tcp = {}", "pass: connected")
    servers.expect(8081, f"http = {{ {healthy} }}", "pass: status 200, body matches")
    servers.expect(8082, "http = {}", "fail: status 503 instead of 200")
    servers.expect(8443, f'http = {{ {healthy}, http2 = true, tls = {{ ca-file = "{ca}" }} }}', "pass: status 200, body matches")

    def told() -> dict[str, tuple[str, str]]:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(where / "haproxy.sock"))
            one.sendall(b"show stat\n")
            text = "".join(iter(lambda: one.recv(65536).decode(), ""))
        rows = csv.DictReader(io.StringIO(text.lstrip("# ")))
        return {row["svname"]: (row["status"], row["weight"]) for row in rows if row["pxname"] == "told"}

    wanted = {"up": "UP 100", "75%": "UP 75", "drain": "DRAIN", "down # disk full": "DOWN"}
    wait(f"HAProxy has heard its agents: {told()}", lambda: all(
        " ".join(told()[f"s{port}"]).startswith(wanted[word]) for word, port in words.items()), 20)  # fmt: skip
    ours = {"up": "pass: the agent says up", "75%": "advice: the agent says 75 %", "drain": "advice: the agent says drain",
            "down # disk full": "fail: the agent says down: disk full"}  # fmt: skip
    for word, port in words.items():
        servers.expect(port, "agent = {}", ours[word])


def name_and_data_servers(bench: Bench) -> None:
    """dnsmasq over UDP and TCP, gRPC health, and the greetings of Redis, OpenLDAP, MariaDB and PostgreSQL as the guide has them."""
    servers = Servers(bench)
    servers.start("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--pid-file=",
                  "--log-facility=-", "--host-record=www.example,10.1.2.3,fd00::3", "--mx-host=example,mail.example,10",
                  "--txt-record=example,v=spf1 -all", "--local=/example/", port=53)  # fmt: skip
    for transport in ("udp", "tcp"):
        def dns(rest: str, transport: str = transport) -> str:
            return f'dns = {{ transport = "{transport}", {rest} }}'

        servers.expect(53, dns('name = "www.example", answer = ["10.1.2.3"]'), "pass:")
        servers.expect(53, dns('name = "www.example", type = "AAAA", answer = ["fd00::3"]'), "pass:")
        servers.expect(53, dns('name = "example", type = "MX", answer = ["10 mail.example."]'), "pass:")
        servers.expect(53, dns('name = "www.example", answer = ["10.9.9.9"]'), "fail:", "10.9.9.9")
        servers.expect(53, dns('name = "missing.example"'), "fail:")
    # Asked for www.example as bytes; the answer has the question's number.
    query = "hex:2a2a01000001000000000000037777770765" + "78616d706c650000010001"
    servers.expect(53, f'udp = {{ send = "{query}", expect = "(?-u)^\\\\*\\\\*" }}', "pass:")

    greetings = dict(re.findall(r"^\[checks\.([a-z]+)\]\n((?:[a-z]+ = .*\n)+)", GUIDE.read_text(), re.MULTILINE))
    assert {"redis", "ldap", "mysql", "postgres"} <= greetings.keys(), f"{GUIDE} has {sorted(greetings)}"
    postgresql(servers, greetings["postgres"])
    grpc(servers)
    redis = servers.start("redis-server", "--port", 6379, "--bind", A, "--save", "", "--dir", servers.directory,
                          "--protected-mode", "no", port=6379)  # fmt: skip
    servers.expect(6379, greetings["redis"], "pass: answered as expected")
    redis.terminate()
    redis.wait(20)
    servers.expect(6379, greetings["redis"], "refused: connection refused")
    slapd = servers.file("slapd.conf", f"pidfile {servers.directory}/slapd.pid\nmodulepath /usr/lib/ldap\n")
    servers.start("slapd", "-f", slapd, "-h", f"ldap://{A}:389", "-d", "0", port=389)
    servers.expect(389, greetings["ldap"], "pass: answered as expected")
    (servers.directory / "mariadb").mkdir()
    mariadb = servers.start("mariadbd", "--no-defaults", "--user=root", f"--datadir={servers.directory}/mariadb", f"--bind-address={A}",
                            f"--socket={servers.directory}/mariadb.sock", f"--pid-file={servers.directory}/mariadb.pid",
                            "--skip-grant-tables", "--skip-networking=0", port=3306)  # fmt: skip
    servers.expect(3306, greetings["mysql"], "pass: answered as expected")
    mariadb.terminate()
    mariadb.wait(20)
    servers.expect(3306, greetings["mysql"], "refused: connection refused")
    for wrong, port in (("ldap", 53), ("mysql", 389), ("postgres", 53)):
        assert not servers.sees(port, greetings[wrong], 1).startswith("pass"), f"{wrong} takes the server at {port} for one"


def postgresql(servers: Servers, check: str) -> None:
    """PostgreSQL as it is after initdb: it answers before it asks who is there."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    assert found, "postgres is missing: apt-get install postgresql"
    data = servers.directory / "postgresql"
    data.mkdir()
    shutil.chown(data, "postgres", "postgres")
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    command = [*become, str(found[-1].with_name("initdb")), "--no-sync", "--auth=trust", "-D", str(data)]
    subprocess.run(command, check=True, capture_output=True, cwd="/", env={"LANG": "C.UTF-8", "PATH": SYSTEM})
    with open(servers.directory.parent / "log-postgresql", "w+") as log:
        one = servers.there.spawn(*become, str(found[-1]), "-F", "-D", str(data), "-h", A, "-k", str(data), stdout=log, stderr=log, cwd="/")
        servers.listening(5432, lambda: Path(log.name).read_text()[-1500:])
        servers.expect(5432, check, "pass: answered as expected")
        one.send_signal(signal.SIGINT)
        one.wait(20)
        servers.expect(5432, check, "refused: connection refused")
        # A check that is answered leaves nothing in the server's log.
        assert "FATAL" not in Path(log.name).read_text() and "incomplete" not in Path(log.name).read_text(), Path(log.name).read_text()


GRPC = """
import grpc
from concurrent import futures

STATES = {"shop": b"\\x08\\x01", "closed": b"\\x08\\x02", "": b"\\x08\\x01"}


def check(request, context):
    # HealthCheckRequest: one string, field 1.
    name = request[2:].decode()
    if name not in STATES:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return STATES[name]


class Health(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)


server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Health(),))
assert server.add_insecure_port("0.0.0.0:50051")
server.start()
server.wait_for_termination()
"""


def grpc(servers: Servers) -> None:
    """gRPC's own server (its C core) with the health service."""
    servers.start("/usr/bin/python3", servers.file("health.py", GRPC), port=50051)
    servers.expect(50051, "grpc = {}", "pass: SERVING")
    servers.expect(50051, 'grpc = { service = "shop" }', "pass: SERVING")
    servers.expect(50051, 'grpc = { service = "closed" }', "fail: NOT_SERVING")
    servers.expect(50051, 'grpc = { service = "missing" }', "fail: gRPC status 5")


GUIDE = Path(__file__).resolve().parents[2] / "docs/how-to/checks.md"


def mail_server(bench: Bench) -> None:
    """Exim: greeted in the open, by STARTTLS and by TLS; and the director's mail arrives there."""
    servers = Servers(bench)
    ca = authority(servers, "mail.example")
    where = servers.directory
    spool = where / "spool"
    spool.mkdir()
    shutil.chown(spool, "Debian-exim", "Debian-exim")
    exim = servers.file("exim.conf", f"""\
primary_hostname = mail.example
domainlist local_domains = example
tls_certificate = {where}/mail.example.pem
tls_advertise_hosts = *
tls_on_connect_ports = 465
daemon_smtp_ports = 25 : 465
spool_directory = {spool}
log_file_path = {spool}/%slog
pid_file_path = {spool}/pid
rfc1413_query_timeout = 0s
host_lookup =
acl_smtp_rcpt = ours
keep_environment =
begin acl
ours:
  accept domains = +local_domains
  deny message = relay not permitted
begin routers
local:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = {spool}/mailbox
  user = Debian-exim
  group = Debian-exim
""")
    servers.start("exim4", "-C", exim, "-bdf", port=465)
    servers.expect(25, 'smtp = { helo = "lb1.example" }', "pass: greets and answers EHLO")
    tls = f'tls = {{ ca-file = "{ca}", sni = "mail.example" }}'
    servers.expect(25, f"smtp = {{ starttls = true, {tls} }}", "pass:")
    servers.expect(465, f"smtp = {{ {tls} }}", "pass:")
    servers.expect(25, "smtp = { starttls = true, tls = {} }", "fail:", "certificate")
    servers.expect(465, "smtp = {}", "fail: timed out after 1s while waiting for the greeting", timeout=1)

    director = bench.scratch / "director"
    director.mkdir()
    (director / "director.toml").write_text(f"""
version = 1
host = "lb1"
cluster = "edge"

[notify.ops]
events = ["started", "stopping"]
collect = "0s"
pause = "0s"
mail = {{ server = "{A}", port = 25, from = "lb1@example", to = ["ops@example"], helo = "lb1.example" }}
""")
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={director}/no-bus", "RUNTIME_DIRECTORY": str(director),
                   "STATE_DIRECTORY": str(director)}  # fmt: skip
    with open(director / "log", "w") as log:
        process = servers.here.spawn(binary("fairway-director"), "run", "--config", str(director / "director.toml"),
                                     stdout=log, stderr=log, env=environment)  # fmt: skip
    mailbox = spool / "mailbox"

    def arrived(text: str) -> bool:
        return mailbox.exists() and text in mailbox.read_text()

    wait("mail about the start", lambda: arrived("started"), 30)
    process.terminate()
    process.wait(30)
    wait("mail about the stop", lambda: arrived("stopping"), 30)
    text = mailbox.read_text()
    assert re.search(r"^From: .*lb1@example", text, re.MULTILINE) and re.search(r"^To: .*ops@example", text, re.MULTILINE), text
    assert text.count("\nMessage-ID:") + text.count("\nMessage-Id:") == 2, text
    assert "(helo=lb1.example)" in text or "helo=lb1.example" in text, text


CASES = [web_servers, name_and_data_servers, mail_server]
