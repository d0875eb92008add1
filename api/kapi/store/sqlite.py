"""A store in one SQLite file: durable, with no other process to run.

Writes that wait at the same time share one transaction, so that many writers pay for one `fsync` (group commit). The
commits run in a thread of their own; the event loop never waits for the disk. One row per object, no history: the
file grows with what is in it and not with what happened.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kapi.store import NO_CLAIMS, Changed, Claims, Json, Listener, Snapshot, StoreError, Write

log = logging.getLogger(__name__)

_OWNER_ONLY = 0o600  # Secrets are in it
_BESIDE = ("", "-wal", "-shm", "-journal")  # the database, and what SQLite keeps beside it
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""
_READ_AT_ONCE = 5000
_MOST_IN_ONE = 512  # writes of one transaction: more would only make the first of them wait


@dataclass(slots=True)
class _Waiting:
    """A write that was accepted and is not yet committed. `encoded` is its value as it will be kept, None to delete."""

    write: Write
    encoded: bytes | None
    done: asyncio.Future[None]


class SqliteStore:
    """Keeps values in the file at `path`, which one process has to itself and only its owner can read.

    `durability` "power" survives a power failure (WAL with an fsync per group of writes); "process" survives the end
    of this process, however sudden, and leaves the fsync to SQLite's checkpoints.
    """

    def __init__(self, path: Path | str, *, durability: Literal["power", "process"] = "power") -> None:
        self.path = Path(path)
        self._synchronous = {"power": "FULL", "process": "NORMAL"}[durability]
        self._revisions: dict[str, int] = {}
        self._revision = 0
        self._pending: dict[str, _Waiting] = {}
        self._listener: Listener | None = None
        self._connection: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._committer: asyncio.Task[None] | None = None

    async def open(self, listener: Listener) -> Snapshot:
        """See `Store.open`. Raises `StoreError` where the file is not ours to use."""
        self._listener = listener
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kapi-sqlite")
        try:
            snapshot = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except sqlite3.Error as error:
            self._thread.shutdown()
            hint = "another server has it open" if "locked" in str(error) else "is it a database of this server?"
            raise StoreError(f"{self.path} cannot be opened: {error} ({hint})") from error
        except OSError as error:
            self._thread.shutdown()
            raise StoreError(f"{self.path} cannot be opened: {error.strerror or error} (is it this user's?)") from error
        self._revision = snapshot.revision
        self._revisions = {entry.key: entry.revision for entry in snapshot.entries}
        return snapshot

    async def write(self, key: str, value: Json | None, expected: int, _claims: Claims = NO_CLAIMS) -> int:
        """See `Store.write`. One server has this store to itself, and knows itself who holds what."""
        while key in self._pending:
            await asyncio.wait([self._pending[key].done])
        if self._connection is None:
            raise StoreError(f"{key} was not written: the store is not open")
        try:  # before it joins a group: a value that cannot be kept must fail nobody else's write
            encoded = None if value is None else _encode(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{key} was not written: its value is not JSON: {error}") from error
        actual = self._revisions.get(key, 0)
        if actual != expected:
            raise Changed(f"{key} is at revision {actual}, not {expected}")
        self._revision += 1
        waiting = _Waiting(Write(key, self._revision, value), encoded, asyncio.get_running_loop().create_future())
        self._pending[key] = waiting
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all(), name=f"commits to {self.path.name}")
        await asyncio.shield(waiting.done)
        return waiting.write.revision

    async def catch_up(self) -> None:
        """See `Store.catch_up`. There is no other server."""

    async def close(self) -> None:
        """See `Store.close`."""
        if self._committer is not None:
            await asyncio.wait([self._committer])
        if self._thread is not None and self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._thread.shutdown()
        self._connection = self._thread = self._listener = None

    async def _commit_all(self) -> None:
        """Commit what waits, group by group, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._pending:
            group = list(self._pending.values())[:_MOST_IN_ONE]
            try:
                await loop.run_in_executor(self._thread, self._commit, group)
            except sqlite3.Error as error:
                self._settle(group, StoreError(f"{self.path} does not take writes: {error}"))
            else:
                self._settle(group, None)
        self._committer = None

    def _settle(self, group: list[_Waiting], error: StoreError | None) -> None:
        for waiting in group:
            write = waiting.write
            del self._pending[write.key]
            if error is not None:
                waiting.done.set_exception(error)
                waiting.done.exception()  # seen here: the writer may have been cancelled meanwhile
                continue
            if write.value is None:
                self._revisions.pop(write.key, None)
            else:
                self._revisions[write.key] = write.revision
            if self._listener is not None:
                self._listener(write)
            waiting.done.set_result(None)

    def _load(self) -> Snapshot:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _keep_private(self.path)
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=1.0, check_same_thread=False)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        connection.executescript(_SCHEMA)
        (revision,) = connection.execute("SELECT revision FROM counter").fetchone()
        rows = connection.execute("SELECT key, revision, value FROM objects")
        entries: list[Write] = []
        while group := rows.fetchmany(_READ_AT_ONCE):
            values = _decode([value for _, _, value in group])
            entries += [Write(key, at, value) for (key, at, _), value in zip(group, values, strict=True)]
        self._connection = connection
        return Snapshot(revision, entries)

    def _commit(self, group: list[_Waiting]) -> None:
        """Run one transaction; all of it happens or nothing does."""
        assert self._connection is not None
        puts = [(w.write.key, w.write.revision, w.encoded) for w in group if w.encoded is not None]
        gone = [(w.write.key,) for w in group if w.encoded is None]
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", puts)
            self._connection.executemany("DELETE FROM objects WHERE key = ?", gone)
            execute("UPDATE counter SET revision = ?", (group[-1].write.revision,))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise


def _keep_private(path: Path) -> None:
    """Make the file, or take it back, so that none but its owner reads it; what SQLite adds later has the same mode."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _OWNER_ONLY))
    for file in (path.with_name(path.name + ending) for ending in _BESIDE):
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(_OWNER_ONLY)
            log.warning("%s could be read by other users of this host, with every Secret in it: it is now 0600", file)


def _decode(values: list[bytes]) -> list[Json]:
    """Read JSON values as one document: the names in them are then in memory once."""
    found: list[Json] = json.loads(b"[" + b",".join(values) + b"]")
    return found


_WRITE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _encode(value: Json) -> bytes:
    return _WRITE(value).encode()
