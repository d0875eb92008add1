"""The stores that the tests run on, each a real one; etcd is started by the tests."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.etcd import Etcd

from kapi.store import Store
from kapi.store.etcd import EtcdStore
from kapi.store.memory import MemoryStore
from kapi.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """The etcd of the whole session: for tests that leave it running."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian package etcd-server)")
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    etcd.start()
    yield etcd
    etcd.stop()


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """An etcd of this test's own."""
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian package etcd-server)")
    own = Etcd(tmp_path / "etcd")
    own.start()
    yield own
    own.stop()


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Open the same store anew, as a server that starts again does."""
    if request.param == "etcd":
        url, prefix = request.getfixturevalue("shared_etcd").url, f"/{uuid.uuid4()}/"
        return lambda: EtcdStore(url, prefix=prefix)
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "objects.db")
    store = MemoryStore()
    return lambda: store
