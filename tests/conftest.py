"""Options of the whole suite."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.append(str(Path(__file__).parents[1]))  # tests.uml is a module beside the tests


# No test is timed: an example that takes long on a busy machine has shown nothing. The time-out of a test bounds it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let nothing that tests start outlive them; but a debugger needs the terminal's own process."""
    from tests import reaper

    if not config.getoption("usepdb"):
        reaper.guard()


def pytest_configure(config: pytest.Config) -> None:
    from tests import uml

    uml.install(config)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peers", action="store_true", help="also compare with released Kubernetes components")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the released components that `scripts/peers` builds, unless it is asked for."""
    if config.getoption("--peers"):
        return
    left_out = [item for item in items if item.get_closest_marker("peers")]
    items[:] = [item for item in items if not item.get_closest_marker("peers")]
    config.hook.pytest_deselected(items=left_out)
