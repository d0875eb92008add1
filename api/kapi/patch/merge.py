"""JSON merge patch (RFC 7386). Pure."""

from __future__ import annotations

from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """Give `target` with `patch` applied; null removes. Neither is changed, and parts may be shared."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
