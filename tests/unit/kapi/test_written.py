"""A cache and what this process has just written, seen as one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from kapi.cache import Cache, Change
from kapi.client import Client
from kapi.decode import endpoint_slice, pod
from kapi.errors import NotFound
from kapi.network import Pod
from kapi.resources import ENDPOINT_SLICES, PODS
from kapi.transport import Request
from kapi.written import Written


def obj(version: int | str, uid: str = "u", **labels: str) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "default", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta}


class View:
    """A view with its cache, and what its listeners heard."""

    def __init__(self) -> None:
        self.cache: Cache[Pod] = Cache(PODS, pod)
        self.written: Written[Pod] = Written(self.cache, pod)
        self.heard: list[str] = []
        self.others: list[str] = []
        self.written.listen(lambda change: self.heard.append(_version(change)))
        self.written.listen_others(lambda change: self.others.append(_version(change)))

    @property
    def version(self) -> str:
        found = self.written.get("default/p")
        return found.resource_version if found else ""


def _version(change: Change[Pod]) -> str:
    return change.new.resource_version if change.new else "gone"


@pytest.fixture
def view() -> View:
    return View()


def test_an_own_write_shows_before_the_cache_has_it(view: View) -> None:
    view.written.wrote(obj(5))
    assert (view.version, view.heard, view.others) == ("5", ["5"], [])
    view.cache.put(obj(5))
    assert (view.heard, view.others) == (["5"], [])


def test_an_older_state_from_the_cache_never_hides_an_own_write(view: View) -> None:
    view.cache.put(obj(3))
    view.written.wrote(obj(9))
    for version in (4, 8):
        view.cache.put(obj(version))
    assert view.version == "9"
    view.cache.put(obj(10))
    assert (view.version, view.others) == ("10", ["3", "10"])


def test_an_old_reply_never_hides_what_the_cache_shows(view: View) -> None:
    view.cache.put(obj(9))
    view.written.wrote(obj(7))
    assert view.version == "9"


def test_a_reply_that_the_deletion_has_overtaken_brings_nothing_back(view: View) -> None:
    view.cache.put(obj(3))
    view.cache.remove("default/p")
    view.written.wrote(obj(4))
    assert (view.version, view.others) == ("", ["3", "gone"])
    view.written.wrote(obj(6, uid="another"))
    assert view.version == "6"


def test_an_own_deletion_shows_before_the_cache_has_it(view: View) -> None:
    view.cache.put(obj(3))
    view.written.deleted("default/p", "u")
    view.cache.put(obj(4))
    assert (view.version, view.heard, view.others) == ("", ["3", "gone"], ["3"])
    view.cache.remove("default/p")
    view.cache.put(obj(5, "another"))
    assert view.version == "5"


def test_the_end_of_an_earlier_object_does_not_end_its_successor(view: View) -> None:
    view.cache.put(obj(3, "first"))
    view.written.deleted("default/p", "first")
    view.written.wrote(obj(5, "second"))
    view.cache.remove("default/p")
    assert view.version == "5"
    view.cache.put(obj(5, "second"))
    view.cache.remove("default/p")
    assert view.version == ""


def test_a_deletion_is_one_of_that_very_object(view: View) -> None:
    view.cache.put(obj(3, "second"))
    view.written.deleted("default/p", "first")
    assert (view.version, view.heard) == ("3", ["3"])


def test_deleting_what_is_not_known_is_nothing(view: View) -> None:
    view.written.deleted("default/p", "u")
    assert view.heard == []


def test_versions_that_are_no_numbers_follow_the_cache(view: View) -> None:
    view.written.wrote(obj("x1"))
    view.cache.put(obj("x0"))
    assert view.version == "x0"


class Answers:
    """A transport that answers every GET with one object, or with 404."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer

    async def send(self, request: Request) -> dict[str, Any]:
        if self.answer is None:
            raise NotFound({"message": "gone", "code": 404})
        return self.answer

    def stream(self, request: Request) -> Any:
        raise AssertionError("nothing is watched here")

    async def close(self) -> None:
        return


@pytest.mark.parametrize(("answer", "expected"), [(None, ""), (obj(8), "8")], ids=["deleted", "changed"])
async def test_a_write_that_the_cache_never_shows_is_asked_about(
    view: View, answer: dict[str, Any] | None, expected: str
) -> None:
    view.written.wrote(obj(5))
    settling = asyncio.create_task(view.written.settle(Client(Answers(answer)), PODS, patience=0.002))
    await asyncio.sleep(0.02)
    settling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await settling
    assert view.version == expected


def test_a_generation_tells_where_versions_are_no_numbers() -> None:
    cache = Cache(ENDPOINT_SLICES, endpoint_slice)
    written = Written(cache, endpoint_slice)

    def slice_of(version: str, generation: int) -> dict[str, Any]:
        meta = {"name": "s", "namespace": "default", "uid": "u", "resourceVersion": version, "generation": generation}
        return {"metadata": meta, "addressType": "IPv4"}

    cache.put(slice_of("a", 1))
    written.wrote(slice_of("b", 2))
    cache.put(slice_of("a2", 1))
    assert written["default/s"].resource_version == "b", "an older state does not hide an own write"
    cache.put(slice_of("c", 2))
    assert written["default/s"].resource_version == "c", "labels may change without a new generation"
