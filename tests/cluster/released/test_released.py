"""The released kube-proxy and kube-controller-manager at work on our API server, while a lot happens.

Their logs may hold what the released API server makes them log as well, under the same churn, and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SECONDS = float(os.environ.get("CHURN_SECONDS", "60"))
COMPONENTS = ("kube-proxy", "kube-controller-manager")
# What any API server answers to those who come too late, and what the components say of themselves.
TOLERATED = re.compile(
    "|".join(
        (
            r"unable to create new content in namespace \S+ because it is being terminated",
            r"the object has been modified; please apply your changes to the latest version",
            r"read version: \d+ is not as new as written version: \d+",
            r'\\?" not found',
            r'\\?" already exists',
            r"Precondition failed: UID in precondition",
            r"Error getting updated StatefulSet from lister",  # after a refused write: it was deleted meanwhile
            r"nodePortAddresses is unset",
            r"Failed to list existing nftables objects",  # kube-proxy looks before it has made its table
            r"The manifest file is empty",
        )
    )
)


@pytest.mark.peers
@pytest.mark.root
@pytest.mark.timeout(SECONDS + 120)
def test_they_log_no_error_that_a_released_api_server_would_not_cause(tmp_path: Path) -> None:
    for name in COMPONENTS:
        if not (ROOT / "peers" / "bin" / name).exists():
            pytest.skip(f"{name} has not been built: scripts/peers {name}")
    if shutil.which("nft") is None:
        pytest.skip("there is no nft on the PATH, which kube-proxy runs")
    alone = ["unshare", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
    up = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    churn = [sys.executable, "-m", "tests.cluster.released.churn", str(tmp_path), str(SECONDS), "ours"]
    ran = subprocess.run([*alone, *up, *churn], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "steps" in (tmp_path / "steps").read_text()
    assert not ran.stderr, "our server warns of nothing"
    for name in COMPONENTS:
        lines = (tmp_path / f"{name}.log").read_text().splitlines()
        assert len(lines) > 20, f"{name} has hardly begun: {lines}"
        errors = [line for line in lines if re.match(r"[EF]\d{4} ", line) and not TOLERATED.search(line)]
        assert not errors, "\n".join(errors)
