"""The server on its real stores when these fail: a sudden end, a full disk, an etcd without a quorum."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.etcd import Etcd, three
from tests.ports import unused_port
from tests.server import Server, start

from kapi.cache import Cache
from kapi.client import Client
from kapi.errors import AlreadyExists, ApiError, StatusError
from kapi.informer import Informer
from kapi.resources import CONFIG_MAPS
from kapi.testing import informing

Json = dict[str, Any]
WRITERS = 4
ROUNDS = 3

pytestmark = pytest.mark.timeout(180)


def plain(obj: Json) -> Json:
    """Keep an object whole: its version too must be the server's."""
    return obj


async def create(client: Client, name: str, size: int = 10) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"x": "x" * size}}, "default")


async def names(client: Client) -> set[str]:
    return {item["metadata"]["name"] for item in (await client.list(CONFIG_MAPS, "default")).items}


async def soon(_: float) -> None:
    """Do not wait as long as one should."""
    await asyncio.sleep(0.05)


@asynccontextmanager
async def following(url: str) -> AsyncIterator[Cache[Json]]:
    """A cache that an informer of this process keeps, over HTTP."""
    client, cache = Client.connect(url), Cache(CONFIG_MAPS, plain)
    try:
        async with informing(Informer(client, cache, namespace="default", sleep=soon)):
            yield cache
    finally:
        await client.close()


async def equal(client: Client, cache: Cache[Json]) -> None:
    """Wait until a cache is what the server has."""
    async with asyncio.timeout(30):
        while True:
            listed = await client.list(CONFIG_MAPS, "default", owners=False)
            if dict(cache) == {f"default/{item['metadata']['name']}": item for item in listed.items}:
                return
            await asyncio.sleep(0.05)


class Writing:
    """Writers that create objects as fast as they can; `acknowledged` are those that the server said yes to."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: set[str] = set()
        self.refusals: list[str] = []

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._write(number)) for number in range(WRITERS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def more(self, count: int) -> None:
        """Wait until so many more have been written."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < goal:  # noqa: ASYNC110  # written by many tasks
                await asyncio.sleep(0.02)

    async def _write(self, writer: int) -> None:
        for number in range(1_000_000):
            name = f"w{writer}-{number}"
            try:
                await create(self.client, name)
                self.acknowledged.add(name)
            except ApiError as error:
                self.refusals.append(str(error))
                await asyncio.sleep(0.02)


class Sqlite:
    """A server with a file. What fails is the server itself."""

    def __init__(self, folder: Path) -> None:
        self.flags = ("--data", str(folder / "db"), "--listen", f"127.0.0.1:{unused_port()}")
        self.server = start(*self.flags)

    def fail(self) -> None:
        self.server.kill()

    def recover(self) -> None:
        self.server = start(*self.flags)

    def end(self) -> None:
        self.server.end()


class InEtcd:
    """A server with an etcd. What fails is etcd."""

    def __init__(self, folder: Path) -> None:
        self.etcd = Etcd(folder / "etcd")
        self.etcd.start()
        self.server = start("--etcd", self.etcd.url, "--listen", "127.0.0.1:0")

    def fail(self) -> None:
        self.etcd.stop()

    def recover(self) -> None:
        self.etcd.start()

    def end(self) -> None:
        self.server.end()
        self.etcd.stop()


@pytest.fixture(params=[Sqlite, InEtcd], ids=["sqlite", "etcd"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sqlite | InEtcd]:
    if request.param is InEtcd and shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian package etcd-server)")
    made = request.param(tmp_path)
    yield made
    made.end()


async def test_sudden_ends_lose_nothing_that_was_acknowledged(place: Sqlite | InEtcd) -> None:
    client = Client.connect(place.server.url)
    writing = Writing(client)
    async with following(place.server.url) as cache:
        async with writing.going_on():
            for _ in range(ROUNDS):
                await writing.more(100)
                await asyncio.to_thread(place.fail)
                await asyncio.sleep(0.2)
                await asyncio.to_thread(place.recover)
            await writing.more(100)
        assert writing.refusals, "it did fail"
        assert writing.acknowledged <= await names(client)
        await equal(client, cache)
    await client.close()


DISK = 'mount -t tmpfs -o size=8m tmpfs "$0" && head -c 3000000 /dev/zero >"$0/ballast" && exec "$@"'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Server]:
    """A server whose file is on a disk of 8 MB, in a mount namespace of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", DISK, str(folder))
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    server = start("--data", str(folder / "db"), "--listen", "127.0.0.1:0", within=within)
    yield server
    server.end()


async def fill(client: Client, acknowledged: set[str]) -> None:
    """Create large objects for ever."""
    for number in range(1_000_000):
        await create(client, f"c{number}", 100_000)
        acknowledged.add(f"c{number}")


@pytest.mark.root
async def test_on_a_full_disk_writes_fail_and_reads_and_watches_go_on(small_disk: Server, tmp_path: Path) -> None:
    client = Client.connect(small_disk.url)
    acknowledged: set[str] = set()
    async with following(small_disk.url) as cache:
        with pytest.raises(StatusError, match="does not take writes: database or disk is full") as refusal:
            await fill(client, acknowledged)
        assert refusal.value.status["code"] == 503
        assert acknowledged <= await names(client), "reads go on"
        await equal(client, cache)
        ballast = Path(f"/proc/{small_disk.process.pid}/root{tmp_path}/disk/ballast")
        await asyncio.to_thread(ballast.unlink)
        await create(client, "after")
        assert acknowledged | {"after"} <= await names(client)
        await equal(client, cache)
    await client.close()


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[Etcd]]:
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian package etcd-server)")
    found = three(tmp_path)
    for member in found:
        member.begin()
    for member in found:
        member.ready()
    yield found
    for member in found:
        member.stop()


async def test_without_a_quorum_writes_fail_and_reads_and_watches_go_on(members: list[Etcd]) -> None:
    flags = [part for member in members for part in ("--etcd", member.url)]
    servers = [start(*flags, "--listen", "127.0.0.1:0") for _ in range(2)]
    clients = [Client.connect(server.url) for server in servers]
    first, second = clients
    try:
        async with following(servers[1].url) as cache:
            await create(first, "before")
            members[0].stop()
            await _sooner_or_later(first, "one-less", tries=3)
            members[1].stop()
            with pytest.raises(StatusError) as refusal:
                await create(first, "no-quorum")
            assert refusal.value.status["code"] == 503
            assert "the object was not stored" in str(refusal.value)
            for client in clients:
                assert {"before", "one-less"} <= await names(client), "reads go on"
            for member in members[:2]:
                member.begin()
            await _sooner_or_later(first, "after", tries=20)
            await equal(second, cache)
            for client in clients:
                assert {"before", "one-less", "after"} <= await names(client)
    finally:
        for client in clients:
            await client.close()
        for server in servers:
            server.end()


async def _sooner_or_later(client: Client, name: str, *, tries: int) -> None:
    """Create an object, again where that fails: the outcome of a failed attempt may be unknown."""
    for left in reversed(range(tries)):
        try:
            await create(client, name)
        except AlreadyExists:
            return
        except StatusError:
            if not left:
                raise
            await asyncio.sleep(0.2)
        else:
            return
