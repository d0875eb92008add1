"""Runs marked tests in a user-mode Linux kernel, which has IPVS and dummy devices where the host may not.

A test with the marker `uml` does not run in this process: the first one boots the kernel, on the host's own files, and
all that were selected run inside, in one pytest; each one's reports come back through a file and are told as its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from tests import usermode

INSIDE = "KPROXY_TESTS_REPORT_TO"  # set within: the file that takes the reports
ROOT = Path(__file__).parents[1]
SECONDS = 240


def install(config: pytest.Config) -> None:
    """Take part in a run of pytest."""
    config.addinivalue_line("markers", "uml: runs in a user-mode Linux kernel, which has IPVS")
    config.pluginmanager.register(Reporter() if INSIDE in os.environ else Elsewhere(), "uml-tests")


class Reporter:
    """Inside: writes every report to the file."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        with Path(os.environ[INSIDE]).open("a") as file:
            file.write(json.dumps(report._to_json()) + "\n")


class Elsewhere:
    """Outside: has marked tests run inside, beside the others, and tells what came of each."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._work = Path()
        self._reports: dict[str, list[dict[str, Any]]] | None = None
        self._trouble = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tests that run inside are told last, so that the kernel works while others run."""
        items.sort(key=lambda item: item.get_closest_marker("uml") is not None)
        for item in items:
            if item.get_closest_marker("uml"):
                item.add_marker(pytest.mark.timeout(SECONDS + 30))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        selected = [item.nodeid for item in session.items if item.get_closest_marker("uml")]
        if not selected or session.config.getoption("collectonly"):
            return
        self._trouble = usermode.missing()
        if self._trouble:
            return
        self._work = Path(tempfile.mkdtemp(prefix="kproxy-uml-"))
        (self._work / "selected").write_text("\n".join([*selected, ""]))
        tests = f"{sys.executable} -m pytest -q -p no:cacheprovider @{self._work}/selected"
        self._running = usermode.boot(self._work, f"cd {ROOT}; {INSIDE}={self._work}/reports {tests}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not item.get_closest_marker("uml"):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._told(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_unconfigure(self) -> None:
        if self._running:
            usermode.end(self._running, 0)
            shutil.rmtree(self._work)

    def _told(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        if self._running and self._reports is None:
            usermode.end(self._running, SECONDS)
            self._reports = _read(self._work)
        told = (self._reports or {}).get(item.nodeid, [])
        for data in told:
            report: pytest.TestReport = pytest.TestReport._from_json(data)
            yield report
        if not told:
            where = (str(item.path), item.location[1] or 0, self._trouble)
            outcome: Literal["skipped", "failed"] = "skipped" if self._trouble else "failed"
            longrepr = where if self._trouble else f"the kernel ended before this test:\n{_last_words(self._work)}"
            yield pytest.TestReport(item.nodeid, item.location, {}, outcome, longrepr, "setup")


def _read(work: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the reports, by test."""
    file = work / "reports"
    found: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        report = json.loads(line)
        found.setdefault(report["nodeid"], []).append(report)
    return found


def _last_words(work: Path) -> str:
    """Give the end of what pytest inside printed, or of what the kernel did where pytest never started."""
    file = next(file for name in ("output", "console") if (file := work / name).exists())
    return "\n".join(file.read_text(errors="replace").splitlines()[-30:])
