"""Kubernetes objects in protobuf, as `kubectl create` and typed clients send them. Pure.

The envelope is four bytes and a `runtime.Unknown` that tells version and kind; the object in it is read by the
table in `kapi.codec.messages`. Nothing is dropped silently: a field that is not in the table is an error.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from kapi.codec import wire
from kapi.codec.bodies import BodyError
from kapi.codec.messages import MESSAGES

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message: its JSON name, its type, whether there are many, and whether zero says something."""

    name: str
    type: str
    many: bool
    mapped: bool
    optional: bool


def decode(data: bytes) -> Json:
    """Read an object from its envelope. Raises `BodyError`."""
    if not data.startswith(_MAGIC):
        raise BodyError("the body does not begin as Kubernetes protobuf does")
    try:
        return _envelope(data[len(_MAGIC) :])
    except (wire.WireError, UnicodeDecodeError, OverflowError, TypeError) as error:
        raise BodyError(f"the body is not valid protobuf: {error}") from error


def _envelope(data: bytes) -> Json:
    outer: dict[int, Any] = dict(wire.fields(data))
    kind_fields: dict[int, Any] = dict(wire.fields(_bytes(outer.get(1, b""))))
    version, kind = _text(kind_fields.get(1, b"")), _text(kind_fields.get(2, b""))
    name = f"{version}/{kind}"
    if kind == "DeleteOptions":  # the same in every group
        name = "v1/DeleteOptions"
    if name not in MESSAGES:
        raise BodyError(f"{name} is not understood in protobuf; send it as JSON")
    return {"apiVersion": version, "kind": kind} | _message(name, _bytes(outer.get(2, b"")))


@cache
def _table(message: str) -> dict[int, _Field]:
    table = {}
    for entry in MESSAGES[message].split(","):
        number, name, text = entry.split()
        kind = text.rstrip("?").strip("[]{}")
        table[int(number)] = _Field(name, kind, text[0] == "[", text[0] == "{", text[-1] == "?")
    return table


def _message(message: str, data: bytes) -> Json:
    table = _table(message)
    found: Json = {}
    for number, raw in wire.fields(data):
        field = table.get(number)
        if field is None:
            if raw:
                raise BodyError(f"field {number} of {message} is not understood in protobuf; send the object as JSON")
        elif field.mapped:
            entry: dict[int, Any] = dict(wire.fields(_bytes(raw)))
            found.setdefault(field.name, {})[_text(entry.get(1, b""))] = _value(field.type, entry.get(2, b""))
        elif field.many:
            found.setdefault(field.name, []).append(_value(field.type, raw))
        else:
            value = _value(field.type, raw)
            if field.name == "inline":
                found |= value
            elif value or (field.optional and value is not None):
                found[field.name] = value
    return found


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise wire.WireError("a number stands where bytes are expected")
    return raw


def _text(raw: int | bytes) -> str:
    return _bytes(raw).decode()


def _value(kind: str, raw: int | bytes) -> Any:
    match kind:
        case "int":
            return wire.signed(_number(raw))
        case "bool":
            return bool(_number(raw))
    data = _bytes(raw)
    match kind:
        case "str":
            return _text(data)
        case "bytes":
            return base64.b64encode(data).decode()
        case "time" | "microtime":
            return _time(data, kind)
        case "int-or-string":
            parts: dict[int, Any] = dict(wire.fields(data))
            return _text(parts.get(3, b"")) if parts.get(1) else wire.signed(_number(parts.get(2, 0)))
        case "quantity":
            quantity: dict[int, Any] = dict(wire.fields(data))
            return _text(quantity.get(1, b""))
    return _message(kind, data)


def _number(raw: int | bytes) -> int:
    if isinstance(raw, bytes):
        raise wire.WireError("bytes stand where a number is expected")
    return raw


def _time(data: bytes, kind: str) -> str | None:
    parts: dict[int, Any] = dict(wire.fields(data))
    if not parts.get(1):
        return None
    moment = _EPOCH + timedelta(seconds=wire.signed(_number(parts[1])), microseconds=_number(parts.get(2, 0)) // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if kind == "time" else "%Y-%m-%dT%H:%M:%S.%fZ")
