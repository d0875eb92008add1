"""How many pods of a workload may be missing or too many while it is renewed: a number, or a percentage. Pure."""

from __future__ import annotations

import re
from typing import Any

from kapi.server.fields import FieldError, invalid, required

Json = dict[str, Any]

_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)


def daemon_set_errors(rolling: Json, path: str) -> list[FieldError]:
    """Say what is wrong with the `rollingUpdate` of a DaemonSet: just one of its numbers is to be more than 0."""
    missing, more = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    errors = _share_errors(missing, f"{path}.maxUnavailable") + _share_errors(more, f"{path}.maxSurge")
    if _size(missing) and _size(more):
        errors.append(invalid(f"{path}.maxSurge", more, "may not be set when maxUnavailable is non-zero"))
    elif not _size(missing) and not _size(more):
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def stateful_set_errors(rolling: Json, path: str) -> list[FieldError]:
    """Say what is wrong with the `maxUnavailable` of a StatefulSet, if it has one."""
    where, missing = f"{path}.maxUnavailable", rolling.get("maxUnavailable")
    if missing is None:
        return []
    errors = _share_errors(missing, where)
    return errors if _size(missing) else [*errors, invalid(where, missing, "cannot be 0")]


def _share_errors(value: int | str, path: str) -> list[FieldError]:
    if isinstance(value, int):
        return [invalid(path, value, "must be greater than or equal to 0")] if value < 0 else []
    if not _PERCENT.fullmatch(value):
        return [invalid(path, value, _PERCENT_TEXT)]
    return [invalid(path, value, "must not be greater than 100%")] if _size(value) > 100 else []


def _size(value: int | str) -> int:
    """The number, or that of the percentage; what is neither is none."""
    if isinstance(value, int):
        return value
    return int(value.removesuffix("%")) if _PERCENT.fullmatch(value) else 0
