"""Collections in order, as they are and as they were."""

from __future__ import annotations

import random
from typing import Any

import pytest

from kapi.errors import StatusError
from kapi.resources import CONFIG_MAPS
from kapi.server.state import FIRST, Collection
from kapi.store import Write

Json = dict[str, Any]


def write(collection: Collection, namespace: str, name: str, revision: int, *, gone: bool = False) -> None:
    key = f"{CONFIG_MAPS.qualified}/{namespace}/{name}"
    value = None if gone else {"metadata": {"namespace": namespace, "name": name}}
    collection.take(key, namespace, name, Write(key, revision, value))


def told(collection: Collection, version: int, namespace: str = "") -> list[tuple[str, str, int]]:
    return [(r.namespace, r.name, r.version) for r in collection.ordered_at(version, namespace)]


async def test_every_earlier_version_is_what_was_there_then_page_by_page() -> None:
    draw, collection = random.Random(4), Collection(CONFIG_MAPS, 0)
    then: dict[int, dict[tuple[str, str], int]] = {0: {}}
    for revision in range(1, 120):
        place = (draw.choice("abc"), draw.choice("uvwxyz"))
        gone = place in then[revision - 1] and draw.random() < 0.5
        write(collection, *place, revision, gone=gone)
        now = {**then[revision - 1], place: revision}
        then[revision] = {key: at for key, at in now.items() if not (gone and key == place)}
    for version, objects in then.items():
        everything = [(*place, at) for place, at in sorted(objects.items())]
        assert told(collection, version) == everything
        assert told(collection, version, "b") == [one for one in everything if one[0] == "b"]
        after = ("b", "w")
        rest = [(r.namespace, r.name) for r in collection.ordered_at(version, "", after)]
        assert rest == [one[:2] for one in everything if one[:2] > after]
        assert collection.count_at(version, "", after) == len(rest)
    assert collection.count("", FIRST) == len(collection) == len(then[119])


async def test_what_is_no_longer_known_is_expired() -> None:
    collection = Collection(CONFIG_MAPS, 7)
    with pytest.raises(StatusError, match="too old to display a consistent list"):
        collection.ordered_at(6)
