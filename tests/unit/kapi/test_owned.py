"""Records of owners as they are kept: what was kept is read as it was, and what cannot be read is refused."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from typing import Any

import pytest

from kapi.codec import owned
from kapi.resources import CONFIG_MAPS
from kapi.server.state import Collection
from kapi.store import Write

Json = dict[str, Any]

ENTRIES: list[Json] = [
    {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-11-29T14:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:app": {}}}},
    }
]
KEPT = "AUgs1i2L6KO61YaGukaWIYYmBK1GCzpYsEGCBBR6oLABhxdqqKKHHkgppJqoBYJYACDuQjQ="  # ENTRIES, as version 1 keeps them
WHAT_TO_DO = (
    "Records that stores hold can no longer be read. Put the text back as it was, and a better one beside it: with a "
    "version of its own, in which new records are written."
)


def test_what_was_kept_is_read_by_every_later_release() -> None:
    assert zlib.crc32(owned._COMMON) == 3658172761, WHAT_TO_DO
    try:
        found = json.loads(owned.unpack(base64.b64decode(KEPT)))
    except owned.Unreadable as error:
        pytest.fail(f"{error}: {WHAT_TO_DO}")
    assert found == ENTRIES, WHAT_TO_DO


def test_what_is_packed_is_unpacked() -> None:
    assert json.loads(owned.unpack(owned.pack(ENTRIES))) == ENTRIES


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"garbage",
        lambda kept: b"\x02" + kept[1:],
        lambda kept: kept[:-1],
        lambda kept: kept + b"\x00",
        lambda kept: kept[:20] + bytes([kept[20] ^ 1]) + kept[21:],
        lambda kept: kept[:3] + bytes([kept[3] ^ 1]) + kept[4:],  # packed against another text
    ],
    ids=["nothing", "garbage", "later version", "cut off", "too long", "damaged", "other text"],
)
def test_a_record_that_is_not_what_was_kept_is_refused(change: Any) -> None:
    with pytest.raises(owned.Unreadable):
        owned.unpack(change(base64.b64decode(KEPT)))


@pytest.mark.parametrize("kept", ["not base64!", "Z2FyYmFnZQ==", {"f:data": {}}, 7], ids=str)
async def test_an_object_whose_record_cannot_be_read_is_shown_without_one(
    kept: Any, caplog: pytest.LogCaptureFixture
) -> None:
    collection = Collection(CONFIG_MAPS, 0)
    with caplog.at_level(logging.WARNING):
        for revision, (name, fields) in enumerate((("bad", kept), ("good", KEPT)), 1):
            meta = {"namespace": "default", "name": name, "managedFields": fields}
            key = f"configmaps/default/{name}"
            collection.take(key, "default", name, Write(key, revision, {"kind": "ConfigMap", "metadata": meta}))
    bad, good = (collection.get("default", name) for name in ("bad", "good"))
    assert bad is not None
    assert good is not None
    assert "managedFields" not in json.loads(bad.encoded)["metadata"]
    assert json.loads(good.encoded)["metadata"]["managedFields"] == ENTRIES
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["configmaps/default/bad"]
