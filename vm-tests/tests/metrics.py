"""Prometheus' question over HTTP is answered by a process of its own, without any right on the bus but to read."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import unit
from lab import Lab, eventually

PORT = 9798


def test(lab: Lab) -> None:
    lb1 = lab.hosts["lb1"]
    service = unit.command("fairway-metrics@.service")
    # With --inetd the connection is standard input, as the unit's StandardInput=socket makes it.
    lb1.spawn(
        "metrics", "systemd-socket-activate", "--accept", "--inetd", f"--listen=10.0.0.11:{PORT}",
        "-E", "DBUS_SYSTEM_BUS_ADDRESS", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *service,
    )  # fmt: skip

    def scrape(path: str = "/metrics", method: str = "GET") -> tuple[int, str, str]:
        """Status, media type and text."""

        def ask(_: object) -> list[object]:
            request = urllib.request.Request(f"http://10.0.0.11:{PORT}{path}", method=method)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return [answer.status, answer.headers["content-type"], answer.read().decode()]
            except urllib.error.HTTPError as error:
                return [error.code, "", error.read().decode()]

        status, kind, text = lab.hosts["client"].task(ask).wait()
        return status, kind, text

    def listening() -> bool:
        return f":{PORT}" in lb1.run("ss", "-ltn")

    eventually(listening, "the socket listens")
    lab.get(20)
    # The kernel adds its counters up every two seconds.
    path = "/service/web"
    eventually(lambda: lab.directors["lb1"].statistics(path, "VirtualService")["connections"] >= 20, "the kernel counted 20")

    status, kind, text = scrape()
    assert status == 200 and kind.startswith("application/openmetrics-text"), (status, kind)
    assert text.endswith("# EOF\n"), text[-200:]
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values["fairway_up"] == "1.0"
    assert values['fairway_group_state{group="edge",state="master"}'] == "1.0"
    assert values['fairway_server_up{service="web",server="web1"}'] == "1.0"
    counted = [float(values[f'fairway_server_connections_total{{service="web",server="{name}"}}']) for name in ("web1", "web2")]
    assert sum(counted) >= 20 and min(counted) > 0, counted
    instances = json.loads(lab.directors["lb1"].control("status", "--json"))["groups"][0]["instances"]
    sent = f'fairway_instance_adverts_sent_total{{group="edge",vrrp_instance="{instances[0]["name"]}"}}'
    assert float(values[sent]) > 0, f"{sent} is not there, or 0"

    assert scrape("/")[0] == 404
    assert scrape(method="POST")[0] == 405

    lab.directors["lb1"].stop()
    status, _, text = scrape()
    assert status == 200 and "\nfairway_up 0.0\n" in text and "fairway_group" not in text, (status, text)
    log = Path(lb1.run_directory / "metrics.log").read_text(errors="replace")
    assert "no director is on this bus" in log, log
