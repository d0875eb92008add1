"""A network namespace, and the backend at work in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from kproxy.backends.nftables.backend import Nftables
from kproxy.host import InNamespace
from netnslab.errors import KernelError
from netnslab.kernel import Namespace


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    try:
        made = Namespace.create()
    except (KernelError, PermissionError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    with made:
        yield made


@pytest.fixture
def backend(namespace: Namespace) -> Iterator[Nftables]:
    made = Nftables(InNamespace(namespace.fd))
    with closing(made):
        if missing := made.missing():
            pytest.skip(missing)
        yield made
