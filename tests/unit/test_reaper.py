"""What tests left running is ended and told of, and nothing outlives tests that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTS = """
import os, signal, subprocess, sys
from tests import reaper
reaper.GRACE = 0.1
reaper.guard()
left = subprocess.Popen(["sh", "-c", "echo $$; sleep 60 & exec sleep 61"], start_new_session=True)
{then}
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    """Start something that would last a minute, and then do something else. Its output ends when all of it ended."""
    command = [sys.executable, "-c", STARTS.format(then=then)]
    path = f"{ROOT}:{ROOT / 'netns-lab'}"
    return subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=20, check=False)


def test_what_was_left_running_is_told_of_ended_and_an_error() -> None:
    done = run("os._exit(0)")
    assert done.stderr == f"left running by the tests: {done.stdout.strip()} sleep 61 \n"
    assert done.returncode == 1


@pytest.mark.parametrize(("then", "code"), [("os.kill(os.getpid(), signal.SIGKILL)", 137), ("os._exit(2)", 2)])
def test_nothing_outlives_tests_that_were_killed_or_interrupted(then: str, code: int) -> None:
    assert run(then).returncode == code


def test_without_anything_left_the_exit_code_is_that_of_the_tests() -> None:
    assert run("os.killpg(left.pid, signal.SIGKILL); left.wait(); os._exit(0)").returncode == 0
