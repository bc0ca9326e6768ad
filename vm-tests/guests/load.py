"""The measuring client, as a program in its namespace: one request after the other, each on a connection of its own.

  load.py URL PACE      until SIGTERM; then prints {"answers": {server: number}, "lost": [...], "interrupted": [...],
                     "pause": the longest time between two answers, in seconds}

A connection that cannot be opened within ten seconds is lost, although its first packet was sent several times.
One that was open and broke is interrupted: those that change directors do.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import time
from urllib.parse import urlsplit

TIMEOUT = 10.0


def main() -> None:
    url, pace = urlsplit(sys.argv[1]), float(sys.argv[2])
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    answers: dict[str, int] = {}
    lost: list[str] = []
    interrupted: list[str] = []
    answered, pause = time.monotonic(), 0.0
    print("started", flush=True)
    while not ended:
        began = time.time()
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT)
        opened = False
        try:
            connection.connect()
            opened = True
            connection.request("GET", url.path or "/")
            response = connection.getresponse()
            body = response.read().decode().strip()
            if response.status != 200:
                raise http.client.HTTPException(f"status {response.status}")
            answers[body] = answers.get(body, 0) + 1
            pause = max(pause, time.monotonic() - answered)
            answered = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            moment = time.strftime("%H:%M:%S", time.localtime(began))
            (interrupted if opened else lost).append(f"{moment} after {time.time() - began:.1f} s: {error!r}")
        finally:
            connection.close()
        time.sleep(pace)
    print(json.dumps({"answers": answers, "lost": lost, "interrupted": interrupted, "pause": pause}), flush=True)


main()
