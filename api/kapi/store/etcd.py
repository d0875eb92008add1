"""A store in etcd version 3, over its JSON gateway: several servers can share one state.

Every write is a transaction on the key's revision, and on the names it claims; what is committed, by whichever server,
comes back through one watch, in order, and only then is a writer told of its success. One key beside the values is put
by every write: its revision is how far the watch must have come for all that was written to be known. Without a quorum
writes fail and reads go on; the watch begins again where it was, and compares whole states where etcd no longer has the
history.

https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kapi.store import NO_CLAIMS, Changed, Claims, Json, Listener, Snapshot, StoreError, Taken, TooLarge, Write
from kapi.transport import sendable

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

_PAGE = 1000  # entries of one answer
_PATIENCE = 10.0  # seconds for one request; etcd itself gives up after seven
_SILENCE = 900.0  # seconds without a word on a watch that is told its progress every ten minutes
_RETRY = 0.5  # seconds
_COMPACT_EVERY = 300.0  # seconds of history that etcd keeps for us
_HELPLESS = (4, 14)  # codes of gRPC: too late, unavailable. A member that says so may have no quorum

_JSON = {"Content-Type": "application/json"}
_HASTE = 1.0  # seconds that a request may be kept waiting for what other servers wrote
_APART = 5.0  # seconds in which no other request waits, after one has waited in vain
_MOST_CLAIMS = 60  # of a write, each way: etcd takes 128 operations in a transaction
_TOO_LARGE = ("request is too large", "message larger than max")  # of etcd (1.5 MiB by default) and of its gateway


class _Unreachable(StoreError):
    """A member of etcd was not there to be asked."""


class EtcdStore:
    """Keeps values under `prefix` in the etcd that answers at one of `urls`."""

    def __init__(self, *urls: str, prefix: str = "/kapi/") -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._prefix = prefix
        self._claims = f"{prefix.rstrip('/')}-claims/"  # beside what is watched
        self._last = _base64(f"{prefix.rstrip('/')}-last")
        self._revisions: dict[str, int] = {}
        self._seen = 0
        self._listener: Listener | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = asyncio.Condition()
        self._catching: asyncio.Task[None] | None = None
        self._apart_until = 0.0  # on the clock of the event loop

    async def open(self, listener: Listener) -> Snapshot:
        """See `Store.open`. Raises `StoreError` where etcd does not answer."""
        import aiohttp  # noqa: PLC0415  # command lines that only ask for help stay quick

        self._session = aiohttp.ClientSession(read_bufsize=1 << 20)
        try:
            revision, entries = await self._all()
            await self._free({entry.key for entry in entries}, revision)
        except StoreError:
            await self._session.close()
            self._session = None
            raise
        self._listener, self._seen = listener, revision
        self._revisions = {entry.key: entry.revision for entry in entries}
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._compact())]
        return Snapshot(revision, entries)

    async def write(self, key: str, value: Json | None, expected: int, claims: Claims = NO_CLAIMS) -> int:
        """See `Store.write`. After a lost connection nobody knows whether the value was kept; the error says so."""
        if self._session is None:
            raise StoreError(f"{key} was not written: the store is not open")
        answer = await self._post("kv/txn", self._transaction(key, value, expected, claims))
        if not answer.get("succeeded") or (value is None and not expected):
            if claims.taken and _revision_in(answer) == expected:
                raise Taken(f"{key} was not written: one of {', '.join(claims.taken)} is another's")
            await self._hear(key, expected)
            raise Changed(f"{key} is not at revision {expected}")
        revision = int(answer["header"]["revision"])
        await self._reach(revision)
        return revision

    def _transaction(self, key: str, value: Json | None, expected: int, claims: Claims) -> Json:
        """Give the transaction of a write: all of it happens, or it tells at which revision the key is."""
        place = _base64(self._prefix + key)
        taken, left = (
            [_base64(self._claims + n) for n in names[:_MOST_CLAIMS]] for names in (claims.taken, claims.left)
        )
        change: Json = {"request_delete_range": {"key": place}}
        if value is not None:
            change = {"request_put": {"key": place, "value": _base64(_encode(key, value))}}
        return {
            "compare": [_at(place, expected), *(_at(name, 0) for name in taken)],
            "success": [
                change,
                {"request_put": {"key": self._last}},
                *({"request_put": {"key": name, "value": _base64(key)}} for name in taken),
                *({"request_delete_range": {"key": name}} for name in left),
            ],
            "failure": [{"request_range": {"key": place}}],
        }

    async def catch_up(self) -> None:
        """See `Store.catch_up`. Calls share one question to etcd: the first that is put after they came."""
        if self._catching is not None and not self._catching.done():
            await asyncio.shield(self._catching)  # it may have missed what was written since it began
        if self._catching is None or self._catching.done():
            self._catching = asyncio.create_task(self._reach_last())
        await asyncio.shield(self._catching)

    async def _reach_last(self) -> None:
        now = asyncio.get_running_loop().time
        if self._session is None or now() < self._apart_until:
            return
        try:
            async with asyncio.timeout(_HASTE):
                answer = await self._post("kv/range", {"key": self._last})
                for last in answer.get("kvs") or ():
                    await self._reach(int(last["mod_revision"]))
        except (StoreError, TimeoutError) as error:
            self._apart_until = now() + _APART
            log.warning("what other servers wrote is not known: %s", error or f"no answer within {_HASTE} s")

    async def close(self) -> None:
        """See `Store.close`."""
        if self._catching is not None:
            self._tasks.append(self._catching)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._listener, self._catching = [], None, None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _reach(self, revision: int) -> None:
        """Wait until the watch has told of a revision."""
        async with self._heard:
            await self._heard.wait_for(lambda: self._seen >= revision or self._session is None)

    async def _hear(self, key: str, expected: int) -> None:
        """Wait until the watch has told why `key` no longer is at the revision that a writer saw; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._heard:
                await self._heard.wait_for(lambda: self._revisions.get(key, 0) != expected)

    async def _take(self, writes: Sequence[Write]) -> None:
        for write in writes:
            if write.value is None:
                self._revisions.pop(write.key, None)
            else:
                self._revisions[write.key] = write.revision
            self._seen = max(self._seen, write.revision)
            if self._listener is not None:
                self._listener(write)
        async with self._heard:
            self._heard.notify_all()

    async def _follow(self) -> None:
        """Watch, beginning again whenever the connection or the history is lost."""
        while True:
            try:
                async for event in self._watch():
                    if event.get("compact_revision"):
                        await self._compare()
                        break
                    await self._take([self._write_of(e) for e in event.get("events") or ()])
            except StoreError as error:
                log.warning("%s; watching again", error)
            await asyncio.sleep(_RETRY)

    async def _watch(self) -> AsyncIterator[Json]:
        import aiohttp  # noqa: PLC0415  # as above

        assert self._session is not None
        where = {"key": _base64(self._prefix), "range_end": _base64(_end(self._prefix))}
        asked = {"create_request": {**where, "start_revision": str(self._seen + 1), "progress_notify": True}}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_SILENCE)
        url = f"{self._urls[0]}/v3/watch"
        try:
            async with self._session.post(url, json=asked, timeout=timeout) as response:
                async for line in _lines(response.content):
                    answer = json.loads(line)
                    if "result" not in answer:
                        raise StoreError(f"{url} ended the watch: {line[:200]!r}")
                    yield answer["result"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._turn()
            raise StoreError(f"{url} was lost: {error or type(error).__name__}") from error

    async def _compare(self) -> None:
        """Tell of all that differs from what was last told of: etcd has forgotten how it came about."""
        revision, entries = await self._all()
        present = {entry.key for entry in entries}
        changed = [entry for entry in entries if self._revisions.get(entry.key) != entry.revision]
        gone = [Write(key, revision, None) for key in self._revisions if key not in present]
        await self._take([*sorted(changed, key=lambda write: write.revision), *gone])
        self._seen = max(self._seen, revision)

    async def _compact(self) -> None:
        """Let etcd forget old history, so that it grows with what is in it and not with what happened."""
        while True:
            old = self._seen
            await asyncio.sleep(_COMPACT_EVERY)
            with suppress(StoreError):  # another server was quicker, or etcd is away: the next round does it
                await self._post("kv/compaction", {"revision": str(old)})

    async def _all(self) -> tuple[int, list[Write]]:
        """Read everything, page by page, as it was at the revision of the first page."""
        start, end, revision, entries = self._prefix, _base64(_end(self._prefix)), 0, list[Write]()
        while True:
            asked = {"key": _base64(start), "range_end": end, "limit": str(_PAGE), "revision": str(revision)}
            answer = await self._post("kv/range", asked)
            revision = revision or int(answer["header"]["revision"])
            entries += [self._write_of({"kv": kv}) for kv in answer.get("kvs") or ()]
            if not answer.get("more"):
                return revision, entries
            start = f"{self._prefix}{entries[-1].key}\0"

    async def _free(self, keys: set[str], revision: int) -> None:
        """Free the names that were claimed for keys that are gone without their server's doing."""
        where = {"key": _base64(self._claims), "range_end": _base64(_end(self._claims)), "revision": str(revision)}
        for claim in (await self._post("kv/range", where)).get("kvs") or ():
            if base64.b64decode(claim["value"]).decode() not in keys:
                drop = {"request_delete_range": {"key": claim["key"]}}
                same = _at(claim["key"], int(claim["mod_revision"]))
                await self._post("kv/txn", {"compare": [same], "success": [drop]})

    def _write_of(self, event: Json) -> Write:
        entry = event["kv"]
        key = base64.b64decode(entry["key"]).decode().removeprefix(self._prefix)
        gone = event.get("type") == "DELETE"
        value = None if gone else json.loads(base64.b64decode(entry["value"]))
        return Write(key, int(entry["mod_revision"]), value)

    async def _post(self, path: str, body: Json) -> Json:
        for _ in self._urls[1:]:
            with suppress(_Unreachable):  # it was not even asked: another may be
                return await self._ask(path, body)
        return await self._ask(path, body)

    async def _ask(self, path: str, body: Json) -> Json:
        """Ask the first of the URLs; the next time another one is the first, if this one cannot help."""
        import aiohttp  # noqa: PLC0415  # as above

        assert self._session is not None
        url = f"{self._urls[0]}/v3/{path}"
        try:
            data = sendable(json.dumps(body).encode())
            timeout = aiohttp.ClientTimeout(_PATIENCE)
            async with self._session.post(url, data=data, headers=_JSON, timeout=timeout) as response:
                answer: Any = json.loads(await response.read())
        except aiohttp.ClientConnectorError as error:
            self._turn()
            raise _Unreachable(f"{url} cannot be reached: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._turn()
            why = error or type(error).__name__
            raise StoreError(f"{url} does not answer: {why}; whether it did what was asked is not known") from error
        if not isinstance(answer, dict) or "header" not in answer:
            raise self._refused(url, answer if isinstance(answer, dict) else {"error": answer})
        return answer

    def _refused(self, url: str, answer: Json) -> StoreError:
        """Give the error that an answer without a result stands for."""
        if answer.get("code") in _HELPLESS:
            self._turn()
        why = str(answer.get("error"))
        kind = TooLarge if any(words in why for words in _TOO_LARGE) else StoreError
        return kind(f"{url} refused: {why}")

    def _turn(self) -> None:
        self._urls.append(self._urls.pop(0))


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream into lines of any length."""
    pending = bytearray()
    async for chunk in content.iter_any():
        pending += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(pending).split(b"\n")
            pending = bytearray(rest)
            for line in lines:
                if line:
                    yield line


def _at(place: str, revision: int) -> Json:
    """Give the condition that a key is at a revision."""
    return {"key": place, "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def _revision_in(answer: Json) -> int:
    """Give the revision that a key has, from the answer to a transaction that did not happen."""
    (found,) = answer["responses"]
    entries = (found.get("response_range") or {}).get("kvs") or ()
    return int(entries[0]["mod_revision"]) if entries else 0


def _encode(key: str, value: Json) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise StoreError(f"{key} was not written: {error}") from error


def _base64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def _end(prefix: str) -> str:
    """Give the first key after all that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
