"""What the documents point at exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.splitlines()
PAGES = [name for name in LISTED if (ROOT / name).exists()]


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{name} points at {target}"


@pytest.mark.parametrize("name", PAGES)
def test_pages_speak_of_the_project_alone(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"/work/|/root/|/home/\w", text), f"{name} names a path of somebody's machine"


def test_every_script_is_in_the_list_of_scripts() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "scripts" / "README.md").read_text(), re.MULTILINE)
    there = [path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix == ""]
    assert sorted(listed) == sorted(there)
