"""Every store keeps what it was given, in order, and refuses what came too late."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kapi.store import Changed, Store, StoreError, Write
from kapi.store.sqlite import SqliteStore

Make = Callable[[], Store]


def ignore(_: Write) -> None:
    """Listen to nothing."""


async def test_a_write_gets_the_next_revision_and_is_heard(make: Make) -> None:
    store, heard = make(), list[Write]()
    start = (await store.open(heard.append)).revision
    assert await store.write("a/x", {"v": 1}, 0) == start + 1
    assert await store.write("a/y", {"v": 1}, 0) == start + 2
    assert await store.write("a/x", {"v": 2}, start + 1) == start + 3
    assert await store.write("a/y", None, start + 2) == start + 4
    assert [(w.key, w.revision - start, w.value) for w in heard] == [
        ("a/x", 1, {"v": 1}),
        ("a/y", 2, {"v": 1}),
        ("a/x", 3, {"v": 2}),
        ("a/y", 4, None),
    ]
    await store.close()


async def test_a_write_from_another_revision_is_refused_and_changes_nothing(make: Make) -> None:
    store, heard = make(), list[Write]()
    await store.open(heard.append)
    await store.write("a/x", {"v": 1}, 0)
    for expected in (0, 1_000_000):
        with pytest.raises(Changed):
            await store.write("a/x", {"v": 2}, expected)
    with pytest.raises(Changed):
        await store.write("a/nix", None, 1_000_000)
    assert len(heard) == 1
    await store.close()
    assert [(e.key, e.value) for e in (await store.open(ignore)).entries] == [("a/x", {"v": 1})]
    await store.close()


async def test_what_was_written_is_there_when_the_store_is_opened_again(make: Make) -> None:
    store = make()
    start = (await store.open(ignore)).revision
    for index in range(20):
        await store.write(f"a/{index}", {"v": "ü"}, 0)
    await store.write("a/3", None, start + 4)
    await store.close()
    again = make()
    snapshot = await again.open(ignore)
    assert snapshot.revision == start + 21, "revisions go on where they were, also after a deletion"
    assert {entry.key for entry in snapshot.entries} == {f"a/{i}" for i in range(20) if i != 3}
    assert await again.write("a/3", {"v": 1}, 0) == start + 22
    await again.close()


async def test_of_writers_of_one_key_at_one_time_one_wins(make: Make) -> None:
    store = make()
    await store.open(ignore)
    results = await asyncio.gather(*(store.write("a/x", {"v": i}, 0) for i in range(10)), return_exceptions=True)
    assert sum(isinstance(r, int) for r in results) == 1
    assert sum(isinstance(r, Changed) for r in results) == 9
    await store.close()


async def test_many_writers_at_once_are_heard_in_order(make: Make) -> None:
    store, heard = make(), list[Write]()
    start = (await store.open(heard.append)).revision
    await asyncio.gather(*(store.write(f"a/{i}", {"v": i}, 0) for i in range(700)))
    assert [w.revision - start for w in heard] == list(range(1, 701))
    await store.close()


async def test_a_closed_store_takes_no_writes(make: Make) -> None:
    store = make()
    await store.open(ignore)
    await store.close()
    with pytest.raises(StoreError):
        await store.write("a/x", {}, 0)


async def test_a_second_server_cannot_open_the_file(tmp_path: Path) -> None:
    first, second = SqliteStore(tmp_path / "f.db"), SqliteStore(tmp_path / "f.db")
    await first.open(ignore)
    await first.write("a/x", {}, 0)
    with pytest.raises(StoreError, match="another server has it open"):
        await second.open(ignore)
    await first.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_text("this is not a database, however long it may be" * 100)
    with pytest.raises(StoreError, match=r"f\.db cannot be opened"):
        await SqliteStore(tmp_path / "f.db").open(ignore)


@pytest.mark.parametrize("found", [None, 0o644, 0o660])
async def test_nobody_but_its_owner_reads_the_file(tmp_path: Path, found: int | None) -> None:
    file = tmp_path / "f.db"
    if found is not None:
        file.touch()
        file.chmod(found)
    before = os.umask(0o022)
    try:
        store = SqliteStore(file)
        await store.open(ignore)
        await store.write("a/x", {}, 0)
        assert _modes(tmp_path) == {"f.db": "0o600", "f.db-wal": "0o600"}
        await store.close()
    finally:
        os.umask(before)


async def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(StoreError, match=r"f\.db cannot be opened: .*this user"):
        await SqliteStore(tmp_path / "plain" / "f.db").open(ignore)


async def test_a_full_disk_refuses_writes_until_there_is_room_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "f.db")
    await store.open(ignore)
    await store.write("a/x", {"v": 1}, 0)
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count=10")
    with pytest.raises(StoreError, match="does not take writes: database or disk is full"):
        await store.write("a/y", {"v": "x" * 100_000}, 0)
    store._connection.execute("PRAGMA max_page_count=100000")
    assert await store.write("a/y", {"v": "x" * 100_000}, 0) > 1
    await store.close()


WRITER = """
import asyncio, sys
from kapi.store.sqlite import SqliteStore
async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(lambda write: None)
    async def one(worker):
        for i in range(100000):
            await store.write(f"a/{worker}-{i}", {"v": "x" * 200}, 0)
            print(f"a/{worker}-{i}", flush=True)
    await asyncio.gather(*(one(w) for w in range(4)))
asyncio.run(main())
"""


def test_an_acknowledged_write_survives_the_sudden_end_of_its_writer(tmp_path: Path) -> None:
    file = tmp_path / "f.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().strip() for _ in range(200)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
    connection = sqlite3.connect(file)
    kept = {key for (key,) in connection.execute("SELECT key FROM objects")}
    connection.close()
    assert set(acknowledged) <= kept


async def test_what_an_earlier_server_left_for_all_to_read_is_taken_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "f.db"
    _write_and_be_killed(file)
    left = [file, tmp_path / "f.db-wal"]
    for one in left:
        one.chmod(0o644)
    store = SqliteStore(file)
    await store.open(ignore)
    assert {one.stat().st_mode & 0o777 for one in left} == {0o600}
    assert "f.db-wal could be read by other users" in caplog.text
    await store.close()


async def test_a_value_that_cannot_be_kept_fails_no_other_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.open(lambda _: None)
    try:
        writes = [store.write(f"/k/{n}", {"n": "\ud800" if n == 7 else n}, 0) for n in range(20)]
        results = await asyncio.gather(*writes, return_exceptions=True)
    finally:
        await store.close()
    failed = [n for n, result in enumerate(results) if isinstance(result, BaseException)]
    assert failed == [7]
    assert "/k/7 was not written: its value is not JSON" in str(results[7])


def _write_and_be_killed(file: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()


def _modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}
