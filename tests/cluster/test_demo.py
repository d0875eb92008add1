"""The demo: `scripts/lab` tries every kind of Service, and its exit code tells whether all of them worked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Environment = dict[str, str]


@pytest.fixture
def named(can_run_labs: None, tmp_path: Path) -> Iterator[Environment]:
    """An environment in which `scripts/lab` makes a lab of this test's own."""
    environment = {**os.environ, "NETNS_LAB": f"demo-{os.getpid()}", "HOME": str(tmp_path)}
    yield environment
    subprocess.run([ROOT / ".venv/bin/netns-lab", "down"], env=environment, capture_output=True, check=False)


@pytest.mark.root
@pytest.mark.timeout(120)
def test_every_check_passes_and_passes_again_on_the_same_lab(named: Environment) -> None:
    for _ in range(2):
        ran = subprocess.run([ROOT / "scripts/lab"], env=named, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "16 of 16 checks passed" in ran.stdout
        assert "FAILED" not in ran.stdout
        assert "What to try next" in ran.stdout


@pytest.mark.root
@pytest.mark.timeout(120)
def test_a_check_that_fails_is_shown_with_what_was_seen_and_the_exit_code_is_not_0(
    named: Environment, tmp_path: Path
) -> None:
    checks = tmp_path / "checks.yaml"
    checks.write_text(
        "- {check: nobody answers here, from: client, run: curl -sS http://198.51.100.10:81/, within: 0}\n"
        "- {check: it says something else, from: node/worker-1, run: echo one, expect: two, within: 0}\n"
        "- {check: it works, from: router, run: 'true'}\n"
    )
    tool = ROOT / ".venv/bin/netns-lab"
    subprocess.run([tool, "up"], env=named, capture_output=True, check=True)
    ran = subprocess.run([tool, "check", checks], env=named, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("FAILED")
    assert "Connection refused" in lines[0] or "connect" in lines[0]
    assert lines[1].startswith("FAILED")
    assert "no 'two' in: one" in lines[1]
    assert lines[2].startswith("passed")
    assert lines[-1] == "1 of 3 checks passed"
