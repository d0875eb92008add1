"""Options of the whole suite."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # tests.uml is a module beside the tests


def pytest_configure(config: pytest.Config) -> None:
    from tests import uml

    uml.install(config)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peers", action="store_true", help="also compare with released Kubernetes components")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--peers"):
        return
    skip = pytest.mark.skip(reason="compares with a released component: scripts/peers builds them, --peers asks for it")
    for item in items:
        if item.get_closest_marker("peers"):
            item.add_marker(skip)
