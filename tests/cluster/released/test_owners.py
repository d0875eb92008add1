"""Whom our server and the released one say that fields belong to, after the same histories of writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = ("kube-apiserver", "kubectl-v1.27", "kubectl-v1.35")


@pytest.mark.peers
@pytest.mark.root
@pytest.mark.timeout(300)
def test_both_servers_tell_the_same_owners_and_the_same_conflicts(tmp_path: Path) -> None:
    for name in NEEDED:
        if not (ROOT / "peers" / "bin" / name).exists():
            pytest.skip(f"{name} has not been built: scripts/peers {name}")
    alone = ["unshare", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
    up = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    play = [sys.executable, "-m", "tests.cluster.released.histories", str(tmp_path)]
    ran = subprocess.run([*alone, *up, *play], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["compared"] > 10
    assert told["differ"] == {}
