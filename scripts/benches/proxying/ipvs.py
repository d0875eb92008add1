"""What the IPVS mode costs in a user-mode Linux kernel, which has IPVS, and the iptables mode beside it there."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT))  # the kernel is what the tests use, too

from tests import usermode  # noqa: E402

CHANGES = 10
PARTS = (("ipvs", 100), ("ipvs", 500), ("iptables-legacy", 500))  # more Services take more memory than it has
_SECONDS = 240.0

missing = usermode.missing


def measured() -> dict[tuple[str, int], dict[str, float]]:
    """Measure each mode with so many Services; empty where there is no such kernel."""
    if usermode.missing():
        return {}
    parts = (f"{sys.executable} -m benches.proxying.growth {mode} {services} {CHANGES} 0" for mode, services in PARTS)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        usermode.end(usermode.boot(work, f"cd {ROOT}/scripts; {'; '.join(parts)}"), _SECONDS)
        output = (work / "output").read_text()
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != len(PARTS):
        raise RuntimeError(f"the kernel in user mode did not measure: {output}")
    return dict(zip(PARTS, map(json.loads, lines), strict=True))
