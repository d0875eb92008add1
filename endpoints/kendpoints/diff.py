"""How an object would change, as a unified diff of YAML. Pure."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import yaml

Json = dict[str, Any]

_SERVERS = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "deletionTimestamp"}


def difference(name: str, before: Json | None, after: Json | None) -> str:
    """Show what becomes of an object; None is where it does not exist. "" where nothing changes."""
    old, new = _lines(before), _lines(after)
    return "".join(unified_diff(old, new, f"now/{name}" if before else "/dev/null", _after(name, after)))


def _after(name: str, after: Json | None) -> str:
    return f"then/{name}" if after else "/dev/null"


def _lines(obj: Json | None) -> list[str]:
    if obj is None:
        return []
    meta = {name: value for name, value in obj["metadata"].items() if name not in _SERVERS}
    text: str = yaml.safe_dump({**obj, "metadata": meta}, sort_keys=True, default_flow_style=False)
    return text.splitlines(keepends=True)
