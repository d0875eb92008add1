"""Every command of the tutorials and READMEs is run, in order, in a fresh lab, and must print what the page says.

A page's ```console blocks are its script: a line that starts with `$ ` is a command, the lines after it are what it
prints. What differs from run to run may differ: addresses, generated names, ages. A line `...` stands for any lines,
and `...` within a line for anything. All commands of a page run in one shell. What a command that ends in `&` prints is
waited for.

The page of a component that stands alone runs in namespaces of its own: every port is free there, and whatever still
runs at the end of the page ends with them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "netns-lab" / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("[0-9]*.md"))]
ALONE = [ROOT / folder / "README.md" for folder in ("api", "dns", "endpoints", "ingress", "kproxy")]
NAMESPACES = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
LAB = ROOT / ".venv" / "bin"


@dataclass(frozen=True)
class Step:
    """A command of a page, and what the page says it prints."""

    line: int
    command: str
    expected: tuple[str, ...]


def steps(text: str) -> Iterator[Step]:
    """The commands of a page, with their outputs."""
    inside, command, expected, start = False, "", list[str](), 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if command:
                yield Step(start, command, tuple(expected))
            inside, command, expected = line.strip() == "```console", "", []
        elif inside and line.startswith("$ "):
            if command:
                yield Step(start, command, tuple(expected))
            command, expected, start = line[2:], [], number
        elif inside and command.endswith("\\") and not expected:
            command += "\n" + line
        elif inside:
            expected.append(line)


VARIABLE = (  # each: what it looks like on the page, and what may stand in its place
    (r"\b(?:\d{1,3}\.){3}\d{1,3}\b", r"(?:\d{1,3}\.){3}\d{1,3}"),
    (r"\b(?:\d{1,3}-){3}\d{1,3}\b", r"(?:\d{1,3}-){3}\d{1,3}"),
    (r"\bf[de][0-9a-f]{0,2}(?::[0-9a-f]{0,4})+\b", r"[0-9a-f:]+"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"-[a-z0-9]{5,10}-[a-z0-9]{5}"),
    (r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"-[a-z0-9]{5}"),
    (r"\b\d+(?:\.\d+)?(?:ms|s|m|h)\b", r"\d+(?:\.\d+)?(?:ms|s|m|h)(?:\d+s)?"),
    (r"\b3[0-2]\d{3}/", r"3[0-2]\d{3}/"),
    (r"\b\d{5,}\b", r"\d+"),
)


def pattern(line: str) -> re.Pattern[str]:
    """Compile a line of a page: spaces are elastic, `...` is anything, and variable parts match their kind."""
    any_variable = re.compile("|".join(f"({look})" for look, _ in VARIABLE) + r"|(\.\.\.)|(\s+)")
    out, position = "", 0
    for match in any_variable.finditer(line.strip()):
        out += re.escape(line.strip()[position : match.start()])
        kind = match.lastindex or 0
        out += VARIABLE[kind - 1][1] if kind <= len(VARIABLE) else (".*" if match.group() == "..." else r"\s+")
        position = match.end()
    return re.compile(out + re.escape(line.strip()[position:]) + r"\s*")


def difference(expected: tuple[str, ...], printed: str) -> str | None:
    """What is wrong with an output, or None. Empty lines do not count."""
    wanted = [line for line in expected if line.strip()]
    lines = [line for line in printed.splitlines() if line.strip()]
    position, anywhere = 0, False
    for line in wanted:
        if line.strip() == "...":
            anywhere = True
            continue
        found = next((i for i in range(position, len(lines)) if pattern(line).fullmatch(lines[i].strip())), None)
        if found is None or (found != position and not anywhere):
            return f"the page says {line!r}"
        position, anywhere = found + 1, False
    return None if anywhere or position == len(lines) else f"the page does not say {lines[position]!r}"


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("pod/web-7d9f6b5c4d-x2k8p   1/1  Running  0  12s", "pod/web-5c8b7d9f6c-bbbbb  1/1   Running 0 3s"),
        ("10.96.14.3 is web", "10.96.200.17 is web"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("server ... is up", "server web on node-1 is up"),
        ("fd96::a1b2", "fd96::3c"),
    ],
)
def test_what_changes_from_run_to_run_may_differ(page: str, printed: str) -> None:
    assert difference(tuple(page.splitlines()), printed) is None


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("pod/web-7d9f6b5c4d-x2k8p 1/1 Running", "pod/web-7d9f6b5c4d-x2k8p 0/1 Pending"),
        ("a\nc", "a\nb\nc"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("a\n...\nd", "a\nb"),
        ("", "an error"),
    ],
)
def test_what_matters_may_not_differ(page: str, printed: str) -> None:
    assert difference(tuple(page.splitlines()), printed) is not None


MARK = "end-of-step-4711"


def printed_by(step: Step, output: IO[str]) -> str:
    """What a command prints until it is done; in the background, until it has printed as much as the page says."""
    background = step.command.partition(" #")[0].rstrip().endswith("&")
    printed, done = "", False
    for line in output:
        done = done or line.startswith(MARK)
        printed += "" if line.startswith(MARK) else line
        if done and (not background or len([line for line in printed.splitlines() if line]) >= len(step.expected)):
            break
    return printed


def run_page(page: Path, environment: dict[str, str], folder: Path = ROOT, inside: Sequence[str] = ()) -> None:
    """Run a page's commands in one shell, and fail at the first that does not print what the page says."""
    shell = subprocess.Popen(
        [*inside, "bash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        for step in steps(page.read_text()):
            shell.stdin.write(f"{step.command}\necho; echo {MARK} $?\n")
            shell.stdin.flush()
            printed = printed_by(step, shell.stdout)
            wrong = difference(step.expected, printed)
            assert wrong is None, f"{page.name}:{step.line}: $ {step.command}\n{wrong}; it printed:\n{printed}"
    finally:
        shell.communicate(timeout=10)


@pytest.mark.root
@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_tutorial_does_what_it_says(page: Path, tmp_path: Path) -> None:
    name = f"t{os.getpid()}-{time.monotonic_ns() % 100000}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NETNS_LAB": name, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    try:
        run_page(page, environment)
    finally:
        subprocess.run(["netns-lab", "down", "--name", name], env=environment, capture_output=True, check=False)


@pytest.mark.root
@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", ALONE, ids=[str(page.relative_to(ROOT)) for page in ALONE])
def test_a_component_alone_does_what_its_page_says(page: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    assert list(steps(page.read_text())), "a page that shows nothing proves nothing"
    run_page(page, environment, tmp_path, [*NAMESPACES, "sh", "-c", 'ip link set lo up && exec "$0"'])
