"""Kubernetes objects in protobuf, as `kubectl create` and typed clients send them. Pure.

The envelope is four bytes and a `runtime.Unknown` that tells version and kind; the object in it is read by the
table in `kapi.codec.messages`. A field that is not in the table is of a newer release and is left out, as every
protobuf reader does.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from kapi.codec import wire
from kapi.codec.bodies import BodyError
from kapi.codec.messages import Field, message, message_of

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode(data: bytes) -> Json:
    """Read an object from its envelope. Raises `BodyError`."""
    if not data.startswith(_MAGIC):
        raise BodyError("the body does not begin as Kubernetes protobuf does")
    try:
        return _envelope(data[len(_MAGIC) :])
    except (wire.WireError, UnicodeDecodeError, OverflowError, RecursionError, json.JSONDecodeError) as error:
        raise BodyError(f"the body is not valid protobuf: {error}") from error


def _envelope(data: bytes) -> Json:
    outer = _parts(data)
    kind_fields = _parts(outer.get(1, b""))
    version, kind = _text(kind_fields.get(1, b"")), _text(kind_fields.get(2, b""))
    name = message_of(version, kind)
    if message(name) is None:
        raise BodyError(f"{version}/{kind} is not understood in protobuf; send it as JSON")
    return {"apiVersion": version, "kind": kind} | _message(name, _bytes(outer.get(2, b"")))


def _message(name: str, data: bytes) -> Json:
    table = message(name) or {}
    found: Json = {}
    for number, raw in wire.fields(data):
        field = table.get(number)
        if field is not None:
            _take(found, field, raw)
    return found


def _take(found: Json, field: Field, raw: int | bytes) -> None:
    """Put one field into the message it belongs to."""
    kind = field.type
    if kind[0] == "{":
        entry = _parts(raw)
        found.setdefault(field.name, {})[_text(entry.get(1, b""))] = _value(kind[1:-1], entry.get(2, b""))
        return
    if kind[0] == "[":
        found.setdefault(field.name, []).append(_value(kind[1:-1], raw))
        return
    value = _value(kind, raw)
    if field.name == "inline":
        found |= value
    elif value or (field.optional and value is not None):
        found[field.name] = value


def _parts(raw: int | bytes) -> dict[int, Any]:
    return dict(wire.fields(_bytes(raw)))


def _bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise wire.WireError("a number stands where bytes are expected")
    return raw


def _text(raw: int | bytes) -> str:
    return _bytes(raw).decode()


def _value(kind: str, raw: int | bytes) -> Any:
    match kind:
        case "str":
            return _text(raw)
        case "int":
            return wire.signed(_number(raw))
        case "bool":
            return bool(_number(raw))
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "time" | "microtime":
            return _time(raw, kind)
        case "int-or-string":
            parts = _parts(raw)
            return _text(parts.get(3, b"")) if parts.get(1) else wire.signed(_number(parts.get(2, 0)))
        case "quantity":
            return _text(_parts(raw).get(1, b""))
        case "duration":
            return f"{wire.signed(_number(_parts(raw).get(1, 0))) / 1e9:g}s"
        case "json":
            return json.loads(_bytes(_parts(raw).get(1, b"")) or b"null")
    if kind[0] == "[":  # a list that is a map's value: a message with one field
        return [_value(kind[1:-1], item) for _, item in wire.fields(_bytes(raw))]
    return _message(kind, _bytes(raw))


def _number(raw: int | bytes) -> int:
    if isinstance(raw, bytes):
        raise wire.WireError("bytes stand where a number is expected")
    return raw


def _time(raw: int | bytes, kind: str) -> str | None:
    parts = _parts(raw)
    if not parts.get(1):
        return None
    moment = _EPOCH + timedelta(seconds=wire.signed(_number(parts[1])), microseconds=_number(parts.get(2, 0)) // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if kind == "time" else "%Y-%m-%dT%H:%M:%S.%fZ")
