"""The stage, built once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the stage and the cases are modules beside the tests


@pytest.fixture(scope="session")
def stage() -> Iterator[object]:
    from tests.conformance.stage import Stage

    from netnslab.errors import KernelError

    built = Stage()
    try:
        built.build()
    except (KernelError, PermissionError) as error:
        built.close()
        pytest.skip(f"network namespaces cannot be made here: {error}")
    yield built
    built.close()
