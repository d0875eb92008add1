"""What a machine lacks is said in one sentence by `up`, and by `doctor` with what to do. Here it is taken away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def without() -> Run:
    """Runs `netns-lab` without a capability."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can take a capability away")

    def run(capability: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        drop = ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]
        command = [*drop, sys.executable, "-m", "netnslab.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def findings(told: str) -> dict[str, dict[str, Any]]:
    return {finding["feature"]: finding for finding in json.loads(told)}


def test_without_namespaces_the_doctor_names_them_and_blames_nothing_else(without: Run) -> None:
    ran = without("sys_admin", "doctor", "--json")
    assert ran.returncode == 4, ran.stderr
    found = findings(ran.stdout)
    barred = found["PID, network, mount and UTS namespaces"]
    assert not barred["present"]
    assert "Operation not permitted" in barred["detail"]
    assert "become root" in barred["without"]
    for feature in ("veth pairs and bridges", "nf_tables", "IPv6"):
        assert "not tried" in found[feature]["detail"]
        assert found[feature]["without"] == ""
    assert found["the command nft"]["present"]


def test_a_doctor_for_people_fits_their_terminal(without: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = without("sys_admin", "doctor").stdout.splitlines()
    assert lines[-1] == "a lab cannot run here: see MISSING above"
    advice = [line for line in lines if line.startswith(" " * 11)]
    assert len(advice) >= 4
    assert max(map(len, advice)) <= 80


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        ("sys_admin", "does not let the lab make its namespaces"),
        ("net_admin", "refuses a part of the lab's network"),
    ],
)
def test_a_missing_privilege_is_told_in_one_sentence(without: Run, capability: str, words: str) -> None:
    ran = without(capability, "up", "--name=t-unprivileged")
    assert ran.returncode == 4, ran.stderr
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("netns-lab: this machine")
    assert words in last
    assert "netns-lab doctor" in last
    assert "Traceback" not in ran.stderr
    assert without("net_admin", "list").stdout.count("t-unprivileged") == 0


def test_a_limit_of_namespaces_is_named_as_one() -> None:
    """In a user namespace whose limit is set to nothing: the machine's own stays as it is."""
    limit = "echo 0 > /proc/sys/user/max_net_namespaces"
    command = f'{limit} && exec "$0" -m netnslab.cli up --name=t-limited'
    inside = ["unshare", "--user", "--map-root-user", "sh", "-c", command, sys.executable]
    ran = subprocess.run(inside, capture_output=True, text=True, check=False)
    if "unshare" in ran.stderr:
        pytest.skip(f"no user namespace can be made here: {ran.stderr.strip()}")
    assert ran.returncode == 4, ran.stderr
    assert "user.max_*_namespaces" in ran.stderr
