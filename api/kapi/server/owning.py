"""Who owns the fields of what is written: the record that goes with every version of an object. Pure.

It is kept packed (`kapi.codec.owned`), and read only where something changes or somebody looks.
"""

from __future__ import annotations

import json
from typing import Any

from kapi.codec.owned import pack, unpack
from kapi.patch import owners
from kapi.patch.difference import Scope, difference_of
from kapi.patch.owners import Owner, Owners
from kapi.patch.shape import Shape
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_UNTRACKED = ("binding",)  # subresources whose writes are the server's own work


def scope_of(kind: Kind, subresource: str) -> Scope:
    """Say what of an object a request to this subresource ("": none) can write."""
    if subresource == "status":
        return "status"
    return "rest" if kind.has_status else "all"


def begun(kind: Kind, obj: Json, by: Owner) -> bytes:
    """Give the record of a new object: all that came with it, and its defaults, are its creator's."""
    found = difference_of({}, obj, Shape(kind.model), scope_of(kind, ""))
    return packed(owners.written((), by, found))


def continued(kind: Kind, old: Json, new: Json, owned: bytes, by: Owner, *, given: Any = None) -> bytes:
    """Give the record after an ordinary write, from the one before.

    `given` is what the client sent as managedFields, if anything: kubectl writes the record where an object comes to be
    applied by the server. An object without a record gets one when it is first applied.
    """
    if by.subresource in _UNTRACKED:
        return owned
    sent = None
    if given is not None and by.subresource != "status":
        if owners.is_reset(given):
            return b""
        sent = owners.read(given)
    if not owned and sent is None:
        return b""
    if new == old and sent is None:
        return owned
    before = unpacked(owned)
    base = before if sent is None else sent
    found = difference_of(old, new, Shape(kind.model), scope_of(kind, by.subresource))
    after = owners.written(base, by, found)
    return owned if owners.unchanged(after, before) else packed(after)


def applied(owned: bytes, given: Any) -> bytes:
    """Give the record that an apply has made, or the one before where nothing but times has changed."""
    after = owners.read(given) or ()
    return owned if owners.unchanged(after, unpacked(owned)) else packed(after)


def packed(record: Owners) -> bytes:
    """Give a record in the form in which it is kept."""
    return pack(owners.shown(record)) if record else b""


def unpacked(owned: bytes) -> Owners:
    """Read a record that was kept."""
    return (owners.read(json.loads(unpack(owned))) or ()) if owned else ()
