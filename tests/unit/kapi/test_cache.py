"""A cache shows the present state and tells its listeners of every change, once."""

from __future__ import annotations

from typing import Any

import pytest

from kapi import decode
from kapi.cache import Cache, Change
from kapi.network import Service
from kapi.resources import SERVICES

Json = dict[str, Any]


def service(name: str, port: int = 80, version: str = "1") -> Json:
    meta = {"name": name, "namespace": "shop", "resourceVersion": version}
    return {"metadata": meta, "spec": {"ports": [{"port": port}]}}


def watched() -> tuple[Cache[Service], list[tuple[str, bool, bool]]]:
    cache, heard = Cache(SERVICES, decode.service), list[tuple[str, bool, bool]]()

    def note(change: Change[Service]) -> None:
        heard.append((change.key, change.old is not None, change.new is not None))

    cache.listen(note)
    return cache, heard


def test_objects_appear_change_and_vanish() -> None:
    cache, heard = watched()
    cache.put(service("web"))
    cache.put(service("web", port=81))
    cache.remove("shop/web")
    assert heard == [("shop/web", False, True), ("shop/web", True, True), ("shop/web", True, False)]
    assert not cache


def test_the_same_object_again_is_not_a_change() -> None:
    cache, heard = watched()
    cache.put(service("web"))
    cache.put(service("web"))
    cache.remove("shop/other")
    assert len(heard) == 1


def test_a_late_listener_hears_of_what_is_already_there() -> None:
    cache, _ = watched()
    cache.put(service("web"))
    heard: list[str] = []
    cache.listen(lambda change: heard.append(change.key))
    assert heard == ["shop/web"]


def test_a_complete_state_removes_what_is_not_in_it_and_marks_the_cache_synced() -> None:
    cache, heard = watched()
    cache.put(service("old"))
    assert not cache.synced
    cache.replace([service("new")])
    assert cache.synced
    assert list(cache) == ["shop/new"]
    assert heard[1:] == [("shop/old", True, False), ("shop/new", False, True)]


def test_one_unreadable_object_hides_no_other() -> None:
    cache, _ = watched()
    cache.replace([{"metadata": {"namespace": "shop"}}, service("web"), {}])
    assert list(cache) == ["shop/web"]


def test_an_object_that_cannot_be_read_any_more_is_as_good_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    def decode_even(obj: Json) -> int:
        number = obj["spec"]["ports"][0]["port"]
        if number % 2:
            raise ValueError(f"{number} is odd")
        return int(number)

    cache = Cache(SERVICES, decode_even)
    cache.put(service("web", port=80))
    cache.put(service("web", port=81))
    assert "shop/web" not in cache
    assert "skipped Service shop/web, which cannot be read: ValueError: 81 is odd" in caplog.text


def test_a_listener_that_fails_is_named_with_the_object_and_hides_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache: Cache[Service] = Cache(SERVICES, decode.service)
    heard: list[str] = []

    def fail(_: Change[Service]) -> None:
        raise RuntimeError("out of luck")

    cache.listen(fail)
    cache.listen(lambda change: heard.append(change.key))
    cache.put({"metadata": {"name": "web", "namespace": "shop"}})
    assert heard == ["shop/web"]
    assert "Service shop/web changed, and one who listens failed" in caplog.text
    assert "RuntimeError: out of luck" in caplog.text
