"""Runs marked tests in a user-mode Linux kernel, which has IPVS and dummy devices where the host may not.

A test with the marker `uml` does not run in this process: the first one boots the kernel, on the host's own files, and
all that were selected run inside, in one pytest; each one's reports come back through a file and are told as its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

INSIDE = "KPROXY_TESTS_REPORT_TO"  # set within: the file that takes the reports
KERNEL = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
ROOT = Path(__file__).parents[1]
SECONDS = 240

_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root {inside}={work}/reports
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/lib/modules
ln -s {modules}/$(uname -r) /run/lib/modules/
printf '#!/bin/sh\\nexec modprobe -d /run "$@"\\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh nf_conntrack veth dummy iptable_nat ip6table_nat; do
  /run/modprobe $module
done
ip link set lo up
cd {root}
{python} -m pytest -q -p no:cacheprovider @{work}/selected >{work}/output 2>&1
halt -f
"""


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
        kernel, compiler = shutil.which(KERNEL), shutil.which("cc")
        if kernel is None or compiler is None or not MODULES.is_dir() or os.geteuid() != 0:
            self._trouble = "needs root, a user-mode Linux kernel (Debian: user-mode-linux) and a C compiler for IPVS"
            return
        self._work = Path(tempfile.mkdtemp(prefix="kproxy-uml-"))
        (self._work / "selected").write_text("\n".join([*selected, ""]))
        _build(compiler, self._work)
        self._running = _boot(kernel, self._work)

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
            self._end(self._running, 0)
            shutil.rmtree(self._work)

    @staticmethod
    def _end(kernel: subprocess.Popen[bytes], patience: float) -> None:
        """Wait for the kernel to halt, so many seconds at most."""
        try:
            kernel.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(kernel.pid, signal.SIGKILL)
            kernel.wait()

    def _told(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        if self._running and self._reports is None:
            self._end(self._running, SECONDS)
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


def _build(compiler: str, work: Path) -> None:
    """Make what lets the kernel run on every processor; `xstate.c` tells why."""
    source = Path(__file__).with_name("xstate.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", work / "xstate.so", source], check=True)


def _boot(kernel: str, work: Path) -> subprocess.Popen[bytes]:
    init = work / "init"
    words = {"inside": INSIDE, "work": work, "modules": MODULES, "root": ROOT, "python": sys.executable}
    init.write_text(_INIT.format(**words))
    init.chmod(0o755)
    options = "mem=512M root=/dev/root rootfstype=hostfs rootflags=/ rw con=null con0=fd:0,fd:1 con1=null ssl=null"
    command = [kernel, *options.split(), f"init={init}", f"uml_dir={work}"]
    environment = {**os.environ, "LD_PRELOAD": str(work / "xstate.so")}
    with (work / "console").open("wb") as console:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, start_new_session=True
        )


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
