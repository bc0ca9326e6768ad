"""A reload of a bad file is refused with the reason, and the last good configuration goes on, by D-Bus and by SIGHUP."""

from __future__ import annotations

import signal

from host import CommandFailed
from lab import Lab, eventually


def test(lab: Lab) -> None:
    lb1, config = lab.directors["lb1"], lab.config("lb1")
    good = config.read_text()
    table = lab.table("lb1")
    generation = lb1.property("", "Manager", "Generation")

    config.write_text(good.replace('scheduler = "rr"', 'scheduler = "fastest"'))
    try:
        lb1.control("reload")
    except CommandFailed as refusal:
        assert "fastest" in str(refusal), f"the refusal does not name the value: {refusal}"
        lab.note(str(refusal).splitlines()[0])
    else:
        raise AssertionError("a bad reload was accepted")
    assert "fastest" in lb1.property("", "Manager", "LastReloadError")

    config.write_text("this is not TOML [")
    lb1.signal(signal.SIGHUP)
    eventually(lambda: "fastest" not in lb1.property("", "Manager", "LastReloadError"), "SIGHUP's error is told")
    assert lb1.property("", "Manager", "LastReloadError") != ""
    assert lb1.property("", "Manager", "Generation") == generation
    assert lab.table("lb1") == table and lab.masters() == ["lb1"]
    result = lab.get(50)
    assert not result.failed, f"bad reloads lost requests: {result}"

    heavier = good
    for server in ('"10.0.0.21"', '"10.0.0.22"'):
        assert server in good
        heavier = heavier.replace(server, f"{server}\nweight = 2")
    config.write_text(heavier)
    lb1.control("reload")
    eventually(lambda: set(lab.table("lb1")["tcp 10.0.0.100:80 rr"].values()) == {2}, "a good reload works again")
    assert lb1.property("", "Manager", "LastReloadError") == ""
