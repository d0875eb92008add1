"""A folder of manifests is a cluster: whole files only, and no file hides another."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kapi import decode
from kapi.cache import Cache
from kapi.manifests import Manifests, ManifestsError
from kapi.network import Service
from kapi.resources import SERVICES

WEB = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
API = WEB.replace("web", "api").replace("0.1", "0.2")


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Cache[Service]]:
    source = Manifests(folder)
    cache = source.cache(SERVICES, decode.service)
    running = asyncio.create_task(source.run())
    try:
        yield cache
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(wanted: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not wanted():  # noqa: ASYNC110  # any state of the cache is waited for, not an event
            await asyncio.sleep(0.005)


async def test_files_are_taken_as_they_come_change_and_go(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with watched(tmp_path) as cache:
        await cache.wait_synced()
        assert set(cache) == {"default/web"}
        (tmp_path / "api.yml").write_text(API)
        await until(lambda: set(cache) == {"default/web", "default/api"}, 0.9)
        (tmp_path / "web.yaml").write_text(WEB.replace("80", "81"))
        await until(lambda: cache["default/web"].ports[0].port == 81, 0.9)
        (tmp_path / "web.yaml").unlink()
        await until(lambda: set(cache) == {"default/api"}, 0.9)


async def test_an_object_is_as_old_as_its_file_was_when_it_came_and_stays_so(tmp_path: Path) -> None:
    for name, text, seconds in (("web.yaml", WEB, 1_000_000_000), ("api.yml", API, 1_100_000_000)):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (seconds, seconds))
    async with watched(tmp_path) as cache:
        await cache.wait_synced()
        assert cache["default/web"].created == "2001-09-09T01:46:40Z" < cache["default/api"].created
        (tmp_path / "web.yaml").write_text(WEB.replace("80", "81"))
        await until(lambda: cache["default/web"].ports[0].port == 81)
        assert cache["default/web"].created == "2001-09-09T01:46:40Z"


async def test_a_file_that_is_being_written_is_left_until_it_is_closed(tmp_path: Path) -> None:
    async with watched(tmp_path) as cache:
        await cache.wait_synced()
        with (tmp_path / "both.yaml").open("w") as half:
            half.write(WEB + "---\n")
            half.flush()
            await asyncio.sleep(1.2)
            assert not cache
            half.write(API)
        await until(lambda: len(cache) == 2)


async def test_a_file_that_is_overwritten_in_place_keeps_what_it_said_until_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text(WEB + "---\n" + API)
    async with watched(tmp_path) as cache:
        await until(lambda: len(cache) == 2)
        with (tmp_path / "both.yaml").open("w") as half:
            half.write(WEB)
            half.flush()
            (tmp_path / "other.yaml").write_text("")
            await asyncio.sleep(0.2)
            assert len(cache) == 2


@pytest.mark.parametrize(
    "bad",
    ["a: [", "kind: Service\n", "- 1\n", WEB.replace("name: web", "nam: x"), WEB + "---\nkind: Spell\n", "\x00"],
)
async def test_a_bad_file_keeps_what_it_said_and_hides_no_other(
    tmp_path: Path, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "first.yaml").write_text(WEB)
    async with watched(tmp_path) as cache:
        await until(lambda: len(cache) == 1)
        (tmp_path / "first.yaml").write_text(bad)
        (tmp_path / "second.yaml").write_text(API)
        await until(lambda: len(cache) == 2)
        assert sum("first.yaml is not taken" in message for message in caplog.messages) == 1


async def test_lists_json_and_times_are_read_as_kubernetes_reads_them(tmp_path: Path) -> None:
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"}, "spec": {}}
    (tmp_path / "list.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [item]}))
    dated = API.replace("name: api", "name: api, creationTimestamp: 2026-01-02T03:04:05Z")
    (tmp_path / "dated.yaml").write_text(dated)
    for name in (".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text(WEB)
    async with watched(tmp_path) as cache:
        await cache.wait_synced()
        assert set(cache) == {"shop/web", "default/api"}
        assert cache["default/api"].created == "2026-01-02T03:04:05Z"


async def test_of_two_objects_with_one_name_the_first_files_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text(WEB)
    (tmp_path / "b.yaml").write_text(WEB.replace("80", "90"))
    async with watched(tmp_path) as cache:
        await cache.wait_synced()
        assert cache["default/web"].ports[0].port == 80
        assert "b.yaml is left out: a.yaml has it" in caplog.text


async def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestsError, match="is no folder"):
        await Manifests(tmp_path / "nowhere").run()
