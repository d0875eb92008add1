"""Every rule that docs/reference/conformance.md names has a case or a test, and every case a rule."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.case import cases

ROOT = Path(__file__).parents[2]
ROWS = [
    line.split(" | ")
    for line in (ROOT / "docs/reference/conformance.md").read_text().partition("### What is required")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| a service proxy")
]
SHOWN = [row[-1] for row in ROWS]


def test_every_rule_is_shown_by_something_that_exists() -> None:
    known = {case.name for case in cases()}
    written = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert len(ROWS) > 40
    for rule, shown in zip(ROWS, SHOWN, strict=True):
        named, tests = re.findall(r"\*(.+?)\*", shown), re.findall(r"`(test_\w+)`", shown)
        assert named or tests, rule
        assert set(named) <= known, (rule, set(named) - known)
        assert all(f"def {test}(" in written for test in tests), rule


def test_every_case_is_for_a_rule() -> None:
    named = set(re.findall(r"\*(.+?)\*", " ".join(SHOWN)))
    assert {case.name for case in cases()} <= named
