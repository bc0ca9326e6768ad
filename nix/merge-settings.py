#!/usr/bin/env python3
"""merge-settings CONFIG.toml SETTINGS.json: puts the settings over the configuration, tables into tables.

Lists of named tables ([[service]]) take settings by name: {"service": {"web": {"scheduler": "wrr"}}}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import tomli_w

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def merge(below: Any, above: Any, where: str) -> Any:
    """Tables are merged by key, lists of named tables by name; anything else is replaced. Null takes a key away."""
    if isinstance(below, list) and isinstance(above, dict):
        merged = list(below)
        places = {
            table["name"]: index for index, table in enumerate(below) if isinstance(table, dict) and "name" in table
        }
        for name, value in above.items():
            if name not in places:
                known = ", ".join(places) or "none"
                sys.exit(f"services.fairway.settings: {where} has no {name}; there is {known}")
            merged[places[name]] = merge(below[places[name]], value, f"{where}.{name}")
        return merged
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value, f"{where}.{key}" if where else key)
    return merged


def main() -> None:
    config, settings = (Path(argument) for argument in sys.argv[1:])
    text = config.read_text()
    header = text.splitlines(keepends=True)[0]
    merged = merge(tomllib.loads(text), json.loads(settings.read_text()), "")
    config.write_text(f"{header}# Changed by services.fairway.settings.\n\n{tomli_w.dumps(merged)}")


main()
