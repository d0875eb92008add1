"""Checks are data: what is wrong with a file is said by entry and field, and a verdict shows what decided it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netnslab import check
from netnslab.check import BadChecks, Check, Output

ONE = Check(check="it answers", **{"from": "client"}, run="curl x", expect="pod: (web|api)", within=0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {from: client, run: x}", "entry 1, check"),
        ("- {check: a, from: client, run: x}\n- {check: b, from: client, run: x, expct: y}", "entry 2, expct"),
        ("- {check: a, from: client, run: x, expect: '('}", "not a regular expression"),
        ("- {check: a, from: client, run: x, within: 1000}", "entry 1, within"),
        ("{check: a}", "list"),
        ("[", "is not YAML"),
    ],
)
def test_a_bad_file_is_refused_with_the_entry_and_the_field(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(text)
    with pytest.raises(BadChecks, match=words):
        check.read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadChecks, match=r"nowhere\.yaml: No such file"):
        check.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("output", "passed", "seen"),
    [
        (Output(0, "a\npod: web-1\nb\n"), True, "pod: web-1"),
        (Output(0, "a\npod: db-1\n"), False, "no 'pod: (web|api)' in: pod: db-1"),
        (Output(7, "pod: web-1\ncurl: refused\n"), False, "exit 7: curl: refused"),
        (Output(0, ""), False, "no 'pod: (web|api)' in: (nothing was printed)"),
    ],
)
def test_a_verdict_shows_what_decided_it(output: Output, passed: bool, seen: str) -> None:
    verdict = check.verdict(ONE, output, 0.1)
    assert (verdict.passed, verdict.seen) == (passed, seen)


def test_what_was_seen_fits_the_terminal_unless_the_check_failed() -> None:
    fine = check.verdict(ONE, Output(0, f"pod: web-{'x' * 200}"), 0.1)
    text = check.line(fine, width=20, columns=80, color=False)
    assert len(text) == 80
    assert text.endswith("...")
    bad = check.verdict(ONE, Output(1, "y" * 120), 0.1)
    assert check.line(bad, width=20, columns=80, color=False).endswith("y" * 120)


def test_what_was_seen_is_left_out_where_the_terminal_is_too_narrow_for_it() -> None:
    fine = check.verdict(ONE, Output(0, "pod: web-0123456789"), 0.1)
    assert check.line(fine, width=40, columns=60, color=False) == "passed  it answers"


def test_a_check_is_tried_until_it_passes() -> None:
    answers = iter([Output(1, "no"), Output(0, "pod: db"), Output(0, "pod: api-1")])
    asked: list[tuple[str, str]] = []

    def run(place: str, script: str) -> Output:
        asked.append((place, script))
        return next(answers)

    (verdict,) = check.carry_out([ONE], run)
    assert verdict.passed
    assert asked == [("client", "curl x")] * 3


def test_a_check_that_never_passes_fails_when_its_time_is_over() -> None:
    (verdict,) = check.carry_out([ONE], lambda place, script: Output(1, "refused"))
    assert not verdict.passed
    assert verdict.seconds >= 0.5
