"""Checks of a running lab, written as data: from where, what to run, what must come out.

    - check: a pod reaches a Service by its name
      from: tools                # a pod, ns/pod, node/NAME, client, or host
      run: curl -sS http://web/
      expect: 'pod: web-'        # a regular expression that must be found in the output
      within: 10                 # seconds to keep trying; 5 where it is not said

A check passes when its command exits with 0 and prints what is expected. Its words (`check`) are what people read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from netnslab.errors import LabError

_LEAST_SEEN = 12  # characters of what was seen that are worth showing
_PAUSE = 0.2  # seconds between two tries of the same check


class Check(BaseModel):
    """One check, as written in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    words: str = Field(alias="check", min_length=1)
    place: str = Field(alias="from", min_length=1)
    run: str = Field(min_length=1)
    expect: str = ""
    within: float = Field(default=5, ge=0, le=300)

    @field_validator("expect")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed (standard output and error together) and how it exited."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check ended: `seen` is what it printed, or why that was not enough."""

    check: Check
    passed: bool
    seen: str
    seconds: float

    def report(self) -> dict[str, Any]:
        """The verdict for programs."""
        return {"check": self.check.words, "passed": self.passed, "seen": self.seen, "seconds": round(self.seconds, 3)}


Run = Callable[[str, str], Output]
"""Runs a shell script somewhere: `run(place, script)`."""


class BadChecks(LabError):
    """A file of checks that cannot be read; the message names the entry and the field."""


def read(path: Path) -> list[Check]:
    """Read a file of checks. Raises `BadChecks`."""
    try:
        entries = yaml.safe_load(path.read_text())
        return TypeAdapter(list[Check]).validate_python(entries)
    except OSError as error:
        raise BadChecks(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BadChecks(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadChecks(f"{path}: {_place(first['loc'])}: {first['msg']}") from error


def verdict(check: Check, output: Output, seconds: float) -> Verdict:
    """Decide whether `output` is what the check expects, and show the line that decided it."""
    found = re.search(check.expect, output.text)
    if output.code != 0:
        return Verdict(check, False, f"exit {output.code}: {_last_line(output.text)}", seconds)
    if found is None:
        return Verdict(check, False, f"no {check.expect!r} in: {_last_line(output.text)}", seconds)
    return Verdict(check, True, _line_around(output.text, found.start()), seconds)


def carry_out(checks: list[Check], run: Run) -> Iterator[Verdict]:
    """Try each check in turn, again and again until it passes or its time is over."""
    for check in checks:
        started = time.monotonic()
        while True:
            result = verdict(check, run(check.place, check.run), time.monotonic() - started)
            if result.passed or time.monotonic() - started >= check.within:
                break
            time.sleep(_PAUSE)
        yield result


def line(verdict: Verdict, *, width: int, columns: int, color: bool) -> str:
    """Lay a verdict out for people: how it ended, what was tried (in `width` columns), what was seen.

    What was seen is cut to fit `columns` in all, and left out where that would leave little of it, unless the check
    failed: then every word may matter.
    """
    mark = "passed" if verdict.passed else "FAILED"
    if color:
        mark = f"\033[{32 if verdict.passed else 31}m{mark}\033[0m"
    room = columns - width - len("passed    ")
    fits = len(verdict.seen) <= room or not verdict.passed
    seen = verdict.seen if fits else f"{verdict.seen[: room - 3]}..." if room >= _LEAST_SEEN else ""
    return f"{mark}  {verdict.check.words:<{width}}  {seen}".rstrip()


def _place(loc: tuple[int | str, ...]) -> str:
    entry = f"entry {loc[0] + 1}" if loc and isinstance(loc[0], int) else "the file"
    return ", ".join([entry, *(str(part) for part in loc[1:])])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:160] if lines else "(nothing was printed)"


def _line_around(text: str, position: int) -> str:
    if not text.strip():
        return "done"
    start = text.rfind("\n", 0, position) + 1
    line = text[start:].lstrip("\n").split("\n", 1)[0].strip()
    return line[:160] or _last_line(text)
