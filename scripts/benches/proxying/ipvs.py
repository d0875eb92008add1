"""What the IPVS mode costs in a user-mode Linux kernel, which has IPVS, and the iptables mode beside it there."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT))  # the kernel is what the tests use, too

from tests import usermode  # noqa: E402

SERVICES, CHANGES = 500, 10
MODES = ("ipvs", "iptables-legacy")
_SECONDS = 240.0

missing = usermode.missing


def measured() -> dict[str, dict[str, float]]:
    """Measure each mode; empty where there is no such kernel."""
    if usermode.missing():
        return {}
    parts = (f"{sys.executable} -m benches.proxying.growth {mode} {SERVICES} {CHANGES} 0" for mode in MODES)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        usermode.end(usermode.boot(work, f"cd {ROOT}/scripts; {'; '.join(parts)}"), _SECONDS)
        output = (work / "output").read_text()
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if len(lines) != len(MODES):
        raise RuntimeError(f"the kernel in user mode did not measure: {output}")
    return dict(zip(MODES, map(json.loads, lines), strict=True))
