"""The protobuf form of objects: what typed clients write is read as the JSON they would have written."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.codec.messages import message, message_of
from kapi.codec.protobuf import decode
from kapi.codec.wire import field, varint
from kapi.resources import RESOURCES, Resource

Json = dict[str, Any]


def number(position: int, value: int) -> bytes:
    return varint(position << 3) + varint(value)


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, version) + field(2, kind)) + field(2, raw)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.qualified)
def test_every_kind_can_be_written_in_protobuf(resource: Resource) -> None:
    table = message(message_of(resource.api_version, resource.kind))
    assert table is not None
    assert table[1].name == "metadata"


def test_messages_refer_to_messages_that_are_there() -> None:
    waiting, seen = [message_of(r.api_version, r.kind) for r in RESOURCES], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        table = message(name)
        assert table is not None, name
        waiting += [part for f in table.values() if "/" in (part := f.type.strip("[]{}"))]
    assert len(seen) > 200


def test_a_field_of_a_newer_release_is_left_out() -> None:
    raw = field(1, field(1, "n1") + field(99, "x")) + field(98, b"\x08\x01")
    assert decode(envelope("v1", "Namespace", raw))["metadata"] == {"name": "n1"}


MINUTE = number(1, 1_700_000_000)
CASES: list[tuple[str, str, bytes, Json]] = [
    (
        "coordination.k8s.io/v1",
        "Lease",
        field(2, field(1, "me") + number(2, 15) + field(4, MINUTE + number(2, 1_500_000)) + number(5, 0)),
        {
            "spec": {
                "holderIdentity": "me",
                "leaseDurationSeconds": 15,
                "renewTime": "2023-11-14T22:13:20.001500Z",
                "leaseTransitions": 0,
            }
        },
    ),
    (
        "v1",
        "Pod",
        field(
            2,
            field(1, field(1, "data") + field(2, field(2, b"")))
            + field(2, field(1, "main") + field(8, field(1, field(1, "cpu") + field(2, field(1, "100m"))))),
        ),
        {
            "spec": {
                "volumes": [{"name": "data", "emptyDir": {}}],
                "containers": [{"name": "main", "resources": {"limits": {"cpu": "100m"}}}],
            }
        },
    ),
    (
        "events.k8s.io/v1",
        "Event",
        field(2, MINUTE) + field(3, number(1, 2)) + field(8, field(1, "Pod")) + field(10, "text"),
        {
            "eventTime": "2023-11-14T22:13:20.000000Z",
            "series": {"count": 2},
            "regarding": {"kind": "Pod"},
            "note": "text",
        },
    ),
    (
        "networking.k8s.io/v1",
        "Ingress",
        field(2, field(3, field(1, "a.b") + field(2, field(1, field(1, field(1, "/")))))),
        {"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/"}]}}]}},
    ),
    (
        "v1",
        "Service",
        field(2, field(1, number(3, 80) + field(4, number(1, 1) + field(3, "web"))) + field(2, field(1, "a"))),
        {"spec": {"ports": [{"port": 80, "targetPort": "web"}], "selector": {"a": ""}}},
    ),
]


@pytest.mark.parametrize(("version", "kind", "raw", "expected"), CASES, ids=[case[1] for case in CASES])
def test_objects_are_read_as_their_json(version: str, kind: str, raw: bytes, expected: Json) -> None:
    assert decode(envelope(version, kind, raw)) == {"apiVersion": version, "kind": kind} | expected
